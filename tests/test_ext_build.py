"""The build: which mig is used, what is said when a tool is missing, and that output repeats."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("defs", "mig", "ext", "python", "setup.py", "pyproject.toml", "MANIFEST.in")
TEXTS = ("README.md", "LICENSE", "NOTICE")
STUBS = ("child_portUser.c", "child_portServer.c", "child_port.h", "child_portServer.h")
SLOW = 300


def copy_sources(target: Path) -> Path:
    """The project as it is without git, build products and tests."""
    target.mkdir(parents=True)
    ignore = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info", "*.o", "*.a")
    for name in SOURCES + TEXTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignore)
        else:
            shutil.copy(source, target / name)
    return target


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_sources(tmp_path_factory.mktemp("build") / "a folder with spaces")


def run_setup(
    project: Path, build: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key not in ("MIG", "CC")}
    command = [sys.executable, "setup.py", "build_ext", "-b", str(build), "-t", str(build / "temp")]
    return subprocess.run(
        [*command, *arguments],
        cwd=project,
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SLOW,
    )


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"MIG": "/nowhere/mig"}, "there is no such program"),
        ({"MIG": "false"}, "failed with status 1"),
        ({"MIG": "true"}, "wrote no child_portUser.c"),
        ({"CC": "no-such-compiler"}, "there is no C compiler 'no-such-compiler'"),
        ({"CC": "false"}, "If a system header is missing"),
    ],
    ids=["no-mig", "mig-fails", "mig-writes-nothing", "no-compiler", "compiler-fails"],
)
def test_a_tool_that_is_missing_or_fails_stops_the_build_with_a_message(
    project: Path, tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    result = run_setup(project, tmp_path, **environment)
    assert result.returncode != 0
    assert message in result.stdout
    if environment.get("MIG") != "/nowhere/mig":
        assert "Install " in result.stdout
    assert not list(tmp_path.rglob("*.so"))


def test_an_interface_that_does_not_compile_stops_the_build(tmp_path: Path) -> None:
    project = copy_sources(tmp_path / "broken")
    defs = project / "defs" / "child_port.defs"
    defs.write_text(defs.read_text(encoding="utf-8") + "\nroutine (\n", encoding="utf-8")
    result = run_setup(project, tmp_path)
    assert result.returncode != 0
    assert "child_port.defs" in result.stdout
    assert "error" in result.stdout


def without_date(stub: bytes) -> bytes:
    """Apple's mig writes down when it ran; ours does not."""
    return re.sub(rb"^ \* stub generated .*\n", b"", stub, flags=re.MULTILINE)


def test_stubs_are_the_same_wherever_and_whenever_they_are_made(
    project: Path, tmp_path: Path
) -> None:
    other = copy_sources(tmp_path / "other")
    for place, build in ((project, "one"), (project, "two"), (other, "three")):
        # A compiler that fails ends the build after mig, which is all that is wanted here.
        result = run_setup(place, tmp_path / build, CC="false")
        assert "stubs by " in result.stdout
    for name in STUBS:
        texts = {
            without_date((tmp_path / build / "temp" / "stubs" / name).read_bytes())
            for build in ("one", "two", "three")
        }
        assert len(texts) == 1
        assert str(tmp_path).encode() not in texts.pop()


def test_a_wheel_is_built_from_the_sdist_alone(tmp_path: Path) -> None:
    project = copy_sources(tmp_path / "project")
    subprocess.run(
        [sys.executable, "setup.py", "-q", "sdist", "-d", str(tmp_path)],
        cwd=project,
        check=True,
        timeout=SLOW,
    )
    (archive,) = tmp_path.glob("*.tar.gz")
    unpacked = tmp_path / "from the sdist"
    with tarfile.open(archive) as tar:
        tar.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    subprocess.run(
        [sys.executable, "setup.py", "-q", "bdist_wheel", "-d", str(tmp_path)],
        cwd=source,
        check=True,
        timeout=SLOW,
    )
    (wheel,) = tmp_path.glob("*.whl")
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    assert ("-cp311-abi3-" in wheel.name) is not free_threaded
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        content.extractall(installed)
    assert {"child_port/py.typed", "child_port/_child_port.pyi"} <= set(names)
    assert not [name for name in names if name.startswith(("mig/", "tests/"))]
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    program = "import child_port._child_port as ext; print(ext.__file__, ext.MIG)"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
        timeout=SLOW,
    )
    assert result.stdout.startswith(str(installed))
