"""The Macs that are built for, and how a build on another platform is told.

Python's build tools ask sysconfig for the compiler, its options, the headers and the platform's
name. Its answers are replaced by two environment variables that CPython has for cross builds:
_PYTHON_HOST_PLATFORM, the name, and _PYTHON_SYSCONFIGDATA_NAME, the module that the rest comes
from. Setup writes that module into a folder of its own, with the headers and the library that
ziglang does not carry.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
MODULE = "_sysconfigdata__darwin_cross"
BINARY = "_child_port.abi3.so"

# All that our sources include and ziglang lacks of the macOS SDK. These two of ours have Apple's
# names and values and nothing else; no other header of ours may stand in for one of Apple's.
STAND_INS = ("servers/bootstrap.h", "bsm/libbsm.h")

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wunguarded-availability", "-Werror")
# Without an option about it, zig's driver adds a sanitizer to what is not optimized.
COMMON = ("-DNDEBUG", "-fwrapv", "-fno-sanitize=undefined")
KINDS = {"release": ("-O2", "-g0"), "debug": ("-O1", "-g", "-fno-omit-frame-pointer")}
# What a user's environment would add to a build, or put in place of what is said here.
OVERRIDES = (
    "CC",
    "CXX",
    "CFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "LDSHARED",
    "ARCHFLAGS",
    "MACOSX_DEPLOYMENT_TARGET",
    "MIG",
    "SDKROOT",
)
# The time in the wheels, which do not tell when they were built; a zip archive begins with 1980.
EPOCH = os.environ.get("SOURCE_DATE_EPOCH", "315532800")


@dataclass(frozen=True)
class Target:
    """A kind of Mac: its architecture, in Apple's word and in zig's, and its oldest macOS."""

    arch: str
    zig_arch: str
    minimum: tuple[int, int]

    @property
    def version(self) -> str:
        return ".".join(map(str, self.minimum))

    @property
    def platform(self) -> str:
        """As sysconfig.get_platform() has it on such a Mac."""
        return f"macosx-{self.version}-{self.arch}"

    @property
    def triple(self) -> str:
        return f"{self.zig_arch}-macos.{self.version}"


# The oldest that CPython itself supports there: 11.0 is the first macOS on arm64, 10.13 is what
# python.org's installers of 3.12 and 3.13 ask for (3.11's: 10.9).
TARGETS = {
    "arm64": Target("arm64", "aarch64", (11, 0)),
    "x86_64": Target("x86_64", "x86_64", (10, 13)),
}


def _copy_python_headers(folder: Path) -> None:
    """The interpreter's public headers, with macOS's pyconfig.h in place of this platform's."""
    source = Path(sysconfig.get_path("include"))
    if not (source / "Python.h").is_file():
        raise SystemExit(f"there is no Python.h in {source}: install Python's headers")
    shutil.copytree(
        source,
        folder,
        ignore=lambda _, names: [n for n in names if n in ("internal", "pyconfig.h")],
    )
    shutil.copy(HERE / "pyconfig.h", folder)


def _copy_stand_ins(folder: Path) -> None:
    for name in STAND_INS:
        (folder / name).parent.mkdir(parents=True)
        shutil.copy(ROOT / "ext" / "mach_linux" / "include" / name, folder / name)


def _variables(target: Target, kind: str, site: Path) -> dict[str, str | int]:
    """What sysconfig.get_config_vars() is to say. All that setuptools reads, and no more."""
    include, library = site / "include", site / "lib"
    compiler = shlex.join([sys.executable, "-m", "ziglang", "cc", "-target", target.triple])
    flags = [*KINDS[kind], *COMMON, *WARNINGS]
    flags += ["-isystem", str(include / "python"), "-isystem", str(include / "stand_ins")]
    link = ["-shared", "-undefined", "dynamic_lookup", "-install_name", f"@rpath/{BINARY}"]
    return {
        "AR": shlex.join([sys.executable, "-m", "ziglang", "ar"]),
        "ARFLAGS": "rcs",
        "CC": compiler,
        "CCSHARED": "-fPIC",
        "CFLAGS": shlex.join(flags),
        "CONFINCLUDEPY": str(include / "python"),
        "CXX": compiler,
        "EXT_SUFFIX": ".abi3.so",
        "INCLUDEPY": str(include / "python"),
        "LDCXXSHARED": f"{compiler} {shlex.join(link)}",
        "LDSHARED": f"{compiler} {shlex.join([*link, f'-L{library}'])}",
        "MACOSX_DEPLOYMENT_TARGET": target.version,
        "Py_GIL_DISABLED": 0,
        "SHLIB_SUFFIX": ".so",
        "SOABI": f"cpython-{sys.version_info.major}{sys.version_info.minor}-darwin",
    }


def environment(target: Target, kind: str, folder: Path, cache: Path) -> dict[str, str]:
    """The environment of a build for the target, after writing what it needs into the folder."""
    site = folder / "site"
    shutil.rmtree(site, ignore_errors=True)
    _copy_python_headers(site / "include" / "python")
    _copy_stand_ins(site / "include" / "stand_ins")
    (site / "lib").mkdir()
    shutil.copy(HERE / "libbsm.tbd", site / "lib")
    variables = _variables(target, kind, site)
    (site / f"{MODULE}.py").write_text(f"build_time_vars = {variables!r}\n", encoding="utf-8")
    clean = {key: value for key, value in os.environ.items() if key not in OVERRIDES}
    return clean | {
        "SOURCE_DATE_EPOCH": EPOCH,
        "_PYTHON_HOST_PLATFORM": target.platform,
        "_PYTHON_SYSCONFIGDATA_NAME": MODULE,
        "MIGCC": str(variables["CC"]),
        "PYTHONPATH": str(site),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ZIG_GLOBAL_CACHE_DIR": str(cache),
        "ZIG_LOCAL_CACHE_DIR": str(cache),
    }
