"""mach_linux by itself: what `make install` puts where, and that a program compiles with it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parents[1] / "ext" / "mach_linux"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mach_linux is for Linux")

PROGRAM = """
#include <mach/mach.h>
#include <mach_linux.h>
#include <servers/bootstrap.h>
int main(void)
{
    mach_port_t port;
    if (mach_linux_missing() != 0)
        return 2;
    return mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port) != KERN_SUCCESS;
}
"""


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("install") / "build"


def install(build: Path, prefix: Path, *arguments: str) -> None:
    command = ["make", "-s", "-C", str(LIBRARY), "install", f"BUILD={build}", f"PREFIX={prefix}"]
    # Not a part of an outer make: its jobserver is not for this one.
    environment = os.environ | {"MAKEFLAGS": "", "MFLAGS": ""}
    subprocess.run([*command, *arguments], check=True, env=environment)


def pkg_config(package: Path) -> dict[str, list[str]]:
    """Reads a .pc file as pkg-config does; it need not be there for the test."""
    variables: dict[str, str] = {}
    fields: dict[str, list[str]] = {}
    for line in package.read_text(encoding="utf-8").splitlines():
        for name, value in variables.items():
            line = line.replace(f"${{{name}}}", value)
        key, _, rest = line.partition(":")
        if key.isidentifier() and rest:
            fields[key] = shlex.split(rest)
        elif "=" in line:
            name, _, value = line.partition("=")
            variables[name] = value
    return fields


def compile_and_run(folder: Path, arguments: list[str], environment: dict[str, str]) -> None:
    source, program = folder / "program.c", folder / "program"
    source.write_text(PROGRAM, encoding="utf-8")
    compiler = shlex.split(os.environ.get("CC", "cc")) + shlex.split(os.environ.get("CFLAGS", ""))
    subprocess.run([*compiler, str(source), "-o", str(program), *arguments], check=True)
    subprocess.run([str(program)], check=True, env=os.environ | environment)


def test_a_program_compiles_with_what_the_pc_file_says_and_runs(
    build: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "prefix"
    install(build, prefix)
    package = pkg_config(prefix / "lib" / "pkgconfig" / "mach_linux.pc")
    assert package["Name"] == ["mach_linux"]
    flags = package["Cflags"] + package["Libs"]
    compile_and_run(tmp_path, flags, {"LD_LIBRARY_PATH": str(prefix / "lib")})


def test_a_program_compiles_with_the_installed_archive_alone(build: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    install(build, prefix)
    package = pkg_config(prefix / "lib" / "pkgconfig" / "mach_linux.pc")
    archive = str(prefix / "lib" / "libmach_linux.a")
    compile_and_run(tmp_path, [*package["Cflags"], archive, "-pthread"], {})


def test_the_pc_file_names_the_prefix_and_not_where_it_was_staged(
    build: Path, tmp_path: Path
) -> None:
    install(build, tmp_path / "other")  # what was built for another place is not taken for this one
    install(build, Path("/opt/mach"), f"DESTDIR={tmp_path}/staged")
    staged = tmp_path / "staged" / "opt" / "mach"
    package = pkg_config(staged / "lib" / "pkgconfig" / "mach_linux.pc")
    assert package["Cflags"] == ["-I/opt/mach/include/mach_linux"]
    assert package["Libs"][0] == "-L/opt/mach/lib"
    assert (staged / "include" / "mach_linux" / "mach" / "mach.h").is_file()


def test_the_shared_library_is_found_by_the_name_that_it_calls_itself(
    build: Path, tmp_path: Path
) -> None:
    install(build, tmp_path)
    libraries = tmp_path / "lib"
    real = (libraries / "libmach_linux.so").resolve()
    assert (libraries / "libmach_linux.so.0").resolve() == real
    assert b"libmach_linux.so.0\0" in real.read_bytes()
