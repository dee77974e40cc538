"""Builds an extension against the C API of the child_port that is installed."""

import child_port
from setuptools import Extension, setup

setup(
    name="capi-example",
    py_modules=[],
    ext_modules=[
        Extension(
            "capi_example",
            ["capi_example.c"],
            include_dirs=[child_port.get_include()],
            extra_compile_args=["-std=c11", "-Wall", "-Wextra", "-Werror"],
        )
    ],
)
