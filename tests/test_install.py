"""What a user installs: the wheel in a clean environment, the sdist, an editable checkout."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 300.0
NOT_COPIED = shutil.ignore_patterns(
    ".*", "*.so", "*.o", "*.egg-info", "__pycache__", "build", "dist"
)
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

PARENT = """
import sys, child_port
child = "import child_port as cp, sys; cp.check_in_to_parent(cp.task_self()); sys.stdin.read()"
with child_port.Popen([sys.executable, "-c", child], stdin=-1) as process:
    with process.accept(30) as check_in:
        assert child_port.pid_for_task(check_in.port) == process.pid
print(child_port.__version__, child_port.__file__)
"""


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What the command prints; it must not fail. Python finds no packages but the installed."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean | {"CFLAGS": "-O0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def python_of(environment: Path) -> Path:
    return environment / "bin" / "python"


def clean_environment(folder: Path) -> Path:
    """An environment with nothing in it; its interpreter."""
    venv.create(folder, symlinks=True)
    return python_of(folder)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, with no git, at a path with a space."""
    copy = tmp_path_factory.mktemp("install") / "a checkout"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    return copy


@pytest.fixture(scope="module")
def dist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel that was made from it alone."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "-o", folder, checkout, cwd=folder)
    return folder


def test_the_wheel_works_in_a_clean_environment(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    python = clean_environment(tmp_path / "an environment")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", wheel, cwd=dist)
    said = run(python, "-c", PARENT, cwd=tmp_path)
    assert str(tmp_path) in said and said.startswith(wheel.name.split("-")[1])
    assert "all 9 checks held" in run(python, "-m", "child_port", "demo", cwd=tmp_path)


def test_an_extension_is_built_against_the_installed_wheel(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    python = clean_environment(tmp_path / "an environment")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", wheel, cwd=dist)
    example = tmp_path / "example"
    shutil.copytree(ROOT / "tests" / "capi_example", example)
    backend = importlib.util.find_spec("setuptools")
    assert backend is not None and backend.origin is not None
    build = (python, "setup.py", "-q", "build_ext", "--inplace")
    run(*build, cwd=example, PYTHONPATH=str(Path(backend.origin).parents[1]))
    program = (
        "import child_port as cp, capi_example as example\n"
        "with cp.ReceiveRight() as port, example.serve(7) as server:\n"
        "    example.hand_over(server.make_send(), 7, port, cp.Disposition.MAKE_SEND, 30)\n"
        "    kind, name, *_ = example.take(server, 30)\n"
        "    example.adopt(kind, name).close()\n"
        "    print(name == port.name, cp.__file__)\n"
    )
    said = run(python, "-c", program, cwd=example)
    assert said.startswith("True") and str(tmp_path) in said


def test_the_wheel_has_the_package_and_nothing_else(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    tag = "-cp" if FREE_THREADED else "-cp311-abi3-"
    assert tag in wheel.name
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {name for name in names if name.startswith("child_port/")}
    for name in ("__init__.py", "__main__.py", "py.typed", "_child_port.pyi"):
        assert f"child_port/{name}" in package
    assert len([name for name in package if name.endswith(".so")]) == 1
    assert not [
        name for name in package if not name.endswith((".py", ".pyi", ".typed", ".so", ".h"))
    ]
    others = {name.split("/")[0] for name in names - package} - {"_child_port_pytest.py"}
    assert len(others) == 1 and others.pop().endswith(".dist-info")


def test_the_sdist_has_all_that_a_packager_needs(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        "LICENSE",
        "NOTICE",
        "README.md",
        "Makefile",
        "setup.py",
        "defs/child_port.defs",
        "mig/__main__.py",
        "ext/module.c",
        "ext/mach_linux/include/mach/message.h",
        "python/child_port/py.typed",
        "python/child_port/include/child_port_capi.h",
        "python/child_port/_child_port.pyi",
        "tests/conftest.py",
        "tests/test_install.py",
        "bench/__main__.py",
    }
    assert wanted <= names
    assert not [name for name in names if name.endswith((".so", ".o", ".pyc"))]


def test_an_editable_install_sees_edits(checkout: Path, tmp_path: Path) -> None:
    python = clean_environment(tmp_path / "an environment")
    backend = importlib.util.find_spec("setuptools")
    assert backend is not None and backend.origin is not None
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--no-build-isolation"),
        *("--no-deps", "--no-index", "--editable", checkout),
        cwd=tmp_path,
        PYTHONPATH=str(Path(backend.origin).parents[1]),
    )
    assert str(checkout) in run(python, "-c", PARENT, cwd=tmp_path)
    with (checkout / "python" / "child_port" / "bootstrap.py").open("a") as module:
        module.write("EDITED = True\n")
    assert "True" in run(
        python, "-c", "import child_port as cp; print(cp.bootstrap.EDITED)", cwd=tmp_path
    )


def test_an_isolated_build_fetches_what_it_needs(checkout: Path, tmp_path: Path) -> None:
    """`pip install .` as a user types it; needs a package index."""
    pip = [sys.executable, "-m", "pip"]
    probe = [*pip, "download", "--no-deps", "-d", str(tmp_path), "setuptools"]
    if subprocess.run(probe, capture_output=True, timeout=DEADLINE).returncode != 0:
        pytest.skip("no package index can be reached")
    python = clean_environment(tmp_path / "environment")
    run(*pip, "--python", python, "install", checkout, cwd=tmp_path)
    assert str(tmp_path) in run(python, "-c", PARENT, cwd=tmp_path)
