"""The checks of cross-built Mac extensions and wheels: each finds the defect it is there for."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

for tool in ("ziglang", "lief", "abi3info", "fat_macho", "packaging", "wheel"):
    pytest.importorskip(tool, reason="a tool of the dependency group cross")

import lief  # noqa: E402

from tools.cross_macos import binary, target, wheels  # noqa: E402
from tools.cross_macos.target import BINARY, HERE, ROOT, TARGETS  # noqa: E402
from tools.cross_macos.wheels import EXTENSION  # noqa: E402

SLOW = 300
SOUND = """
    __attribute__((visibility("default"))) long PyInit__child_port(void) {
        return (long)PyList_New(0) + audit_token_to_pid() + getpid();
    }
"""
DECLARATIONS = """
    void *PyList_New(long), *_PyObject_GetDictPtr(long), *PyType_FromMetaclass(long);
    int audit_token_to_pid(void), getpid(void), mach_port_misspelt(void);
"""
INSTALL_NAME = ("-install_name", f"@rpath/{BINARY}")

Build = Callable[..., bytes]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds C text into a Mach-O file as setup.py's compiler and linker are called."""
    scratch = tmp_path_factory.mktemp("mach-o")
    # What zig links into every file takes seconds to build; pytest-xdist's workers share it.
    base = tmp_path_factory.getbasetemp()
    cache = str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "zig-cache")

    def run(
        text: str = SOUND,
        *options: str,
        arch: str = "x86_64",
        named: bool = True,
        link: bool = True,
    ) -> bytes:
        (scratch / "seed.c").write_text(f"{DECLARATIONS}\n{text}", encoding="utf-8")
        command = [sys.executable, "-m", "ziglang", "cc", "-target", TARGETS[arch].triple]
        command += ["-O2", "-g0", "-fvisibility=hidden", "seed.c", "-o", "seed.so"]
        command += ["-shared", "-undefined", "dynamic_lookup"] if link else ["-c"]
        command += [f"-L{HERE}", "-lbsm"] if link else []
        command += [*(INSTALL_NAME if named else ()), *options] if link else []
        zig = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        subprocess.run(command, cwd=scratch, env=os.environ | zig, check=True, timeout=SLOW)
        return (scratch / "seed.so").read_bytes()

    return run


@pytest.fixture(scope="module")
def sound(build: Build) -> dict[str, bytes]:
    return {arch: build(arch=arch) for arch in TARGETS}


def parsed(data: bytes) -> lief.MachO.Binary:
    fat = lief.MachO.parse(data)
    assert fat is not None
    (cpu_type,) = (binary.header.cpu_type for binary in fat)
    found = fat.take(cpu_type)
    assert found is not None
    return found


@pytest.mark.parametrize("arch", TARGETS)
def test_nothing_is_said_against_a_sound_extension(sound: dict[str, bytes], arch: str) -> None:
    assert binary.extension_problems(sound[arch], TARGETS[arch]) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            SOUND + '__attribute__((visibility("default"))) int helper(void) { return 1; }',
            "exports _helper",
        ),
        (SOUND.replace("PyInit_", "PyInit_other"), "does not export _PyInit__child_port"),
        (
            SOUND.replace("PyList_New", "_PyObject_GetDictPtr"),
            "imports __PyObject_GetDictPtr, which is in no library and not in the stable ABI",
        ),
        (
            SOUND.replace("PyList_New", "PyType_FromMetaclass"),
            "imports _PyType_FromMetaclass, which is in no library and not in the stable ABI",
        ),
        (
            SOUND.replace("getpid", "mach_port_misspelt"),
            "imports _mach_port_misspelt, which is in no library and not in the stable ABI",
        ),
        (
            SOUND.replace("return", 'return (long)"/Users/builder/seed.c" +'),
            "has the absolute path /Users/builder/seed.c in it",
        ),
    ],
    ids=["export", "no-entry", "private-python", "newer-python", "misspelt", "path"],
)
def test_a_defect_of_the_code_is_found(build: Build, text: str, problem: str) -> None:
    found = binary.extension_problems(build(text), TARGETS["x86_64"])
    assert found
    assert found[0].startswith(problem)


def test_a_library_that_is_not_of_the_system_is_found(build: Build, tmp_path: Path) -> None:
    stub = (HERE / "libbsm.tbd").read_text(encoding="utf-8")
    (tmp_path / "libother.tbd").write_text(
        stub.replace("/usr/lib/libbsm.0.dylib", "/opt/other/libother.dylib").replace(
            "_audit_token_to_asid", "_other_library"
        ),
        encoding="utf-8",
    )
    text = "int other_library(void);" + SOUND.replace("getpid", "other_library")
    found = binary.extension_problems(build(text, f"-L{tmp_path}", "-lother"), TARGETS["x86_64"])
    assert "is linked with /opt/other/libother.dylib" in found


def test_a_search_path_for_libraries_is_found(build: Build) -> None:
    found = binary.extension_problems(build(SOUND, "-Wl,-rpath,/opt/place"), TARGETS["x86_64"])
    assert "searches /opt/place for libraries" in found


def test_an_install_name_that_tells_where_it_was_built_is_found(build: Build) -> None:
    found = binary.extension_problems(build(SOUND, named=False), TARGETS["x86_64"])
    assert found == [f"has the install name seed.so, not @rpath/{BINARY}"]


def test_a_wrong_oldest_macos_is_found(sound: dict[str, bytes]) -> None:
    older = replace(TARGETS["x86_64"], minimum=(10, 12))
    assert binary.extension_problems(sound["x86_64"], older) == [
        "is for macOS from 10.13.0, not from 10.12"
    ]


def test_a_wrong_architecture_is_found(sound: dict[str, bytes]) -> None:
    found = binary.extension_problems(sound["arm64"], replace(TARGETS["x86_64"], minimum=(11, 0)))
    assert found == ["is for CPU_TYPE.ARM64, not for x86_64"]


def test_an_object_file_is_not_taken_for_an_extension(build: Build) -> None:
    found = binary.extension_problems(build(link=False), TARGETS["x86_64"])
    assert "is neither a bundle nor a library, but FILE_TYPE.OBJECT" in found


@pytest.mark.parametrize("data", [b"", b"\x7fELF" + bytes(100)], ids=["empty", "linux"])
def test_what_is_no_mach_o_file_is_refused(data: bytes) -> None:
    assert binary.extension_problems(data, TARGETS["arm64"]) == [
        "is not a Mach-O file of one architecture"
    ]


def test_code_that_was_changed_after_signing_is_found(sound: dict[str, bytes]) -> None:
    changed = bytearray(sound["arm64"])
    changed[0x2000] ^= 1
    assert binary.extension_problems(bytes(changed), TARGETS["arm64"]) == [
        "has been changed after it was signed"
    ]


@pytest.mark.parametrize(
    ("offset", "problem"), [(0, "does not begin as a signature does"), (20, "has a code directory")]
)
def test_a_signature_that_is_none_is_found(
    sound: dict[str, bytes], offset: int, problem: str
) -> None:
    signature = parsed(sound["arm64"]).code_signature
    assert signature is not None
    start = signature.data_offset + offset
    changed = sound["arm64"][:start] + b"\0" + sound["arm64"][start + 1 :]
    (found,) = binary.extension_problems(changed, TARGETS["arm64"])
    assert found.startswith(f"has a code signature that {problem}")


def test_unsigned_code_is_found_on_arm64_alone(sound: dict[str, bytes], tmp_path: Path) -> None:
    assert parsed(sound["x86_64"]).code_signature is None
    arm64 = parsed(sound["arm64"])
    assert arm64.remove_signature()
    arm64.write(str(tmp_path / BINARY))
    found = binary.extension_problems((tmp_path / BINARY).read_bytes(), TARGETS["arm64"])
    assert "has no code signature, without which arm64 runs nothing" in found


@pytest.mark.parametrize(
    ("name", "stable"),
    [
        ("PyList_New", True),
        ("PyExc_OSError", True),
        ("_Py_Dealloc", True),
        ("PyType_FromMetaclass", False),
        ("_PyObject_GetDictPtr", False),
        ("mach_msg", False),
    ],
)
def test_the_stable_abi_is_that_of_the_oldest_python(name: str, stable: bool) -> None:
    assert binary.in_stable_abi(name) is stable


def make_wheel(folder: Path, extension: bytes, platform: str, text: str = "x = 1\n") -> Path:
    """A wheel of two files, made by the wheel package."""
    tree = folder / f"tree-{platform}"
    info = tree / "child_port-1.dist-info"
    (tree / "child_port").mkdir(parents=True)
    info.mkdir()
    (tree / "child_port" / "__init__.py").write_text(text, encoding="utf-8")
    (tree / EXTENSION).write_bytes(extension)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: child_port\nVersion: 1\n", encoding="utf-8"
    )
    (info / "WHEEL").write_text(
        f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-abi3-{platform}\n",
        encoding="utf-8",
    )
    out = folder / f"wheel-{platform}"
    out.mkdir()
    command = [sys.executable, "-m", "wheel", "pack", "--dest-dir", str(out), str(tree)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=SLOW)
    (wheel,) = out.iterdir()
    return wheel


def test_a_universal_wheel_has_both_files_as_they_were(
    sound: dict[str, bytes], tmp_path: Path
) -> None:
    thin = {
        "arm64": make_wheel(tmp_path, sound["arm64"], "macosx_11_0_arm64"),
        "x86_64": make_wheel(tmp_path, sound["x86_64"], "macosx_10_13_x86_64"),
    }
    for arch, wheel in thin.items():
        assert wheels.wheel_problems(wheel, (arch,)) == []
    universal = wheels.make_universal(thin, tmp_path)
    assert universal.name == "child_port-1-cp311-abi3-macosx_10_13_universal2.whl"
    assert wheels.wheel_problems(universal, ("arm64", "x86_64")) == []
    with zipfile.ZipFile(universal) as archive:
        assert wheels.slices(archive.read(EXTENSION)) == sound
        assert b"universal2" in archive.read("child_port-1.dist-info/WHEEL")


def test_wheels_of_different_sources_are_not_put_together(
    sound: dict[str, bytes], tmp_path: Path
) -> None:
    thin = {
        "arm64": make_wheel(tmp_path, sound["arm64"], "macosx_11_0_arm64"),
        "x86_64": make_wheel(tmp_path, sound["x86_64"], "macosx_10_13_x86_64", "x = 2\n"),
    }
    with pytest.raises(wheels.PackingError, match=r"are different: \['child_port/__init__\.py'\]"):
        wheels.make_universal(thin, tmp_path)


@pytest.mark.parametrize(
    ("platform", "problem"),
    [
        ("macosx_12_0_x86_64", "which pip on macosx-10.13-x86_64 does not take"),
        ("macosx_10_13_arm64", "which pip on macosx-10.13-x86_64 does not take"),
    ],
)
def test_a_wheel_with_the_wrong_tag_is_found(
    sound: dict[str, bytes], tmp_path: Path, platform: str, problem: str
) -> None:
    wheel = make_wheel(tmp_path, sound["x86_64"], platform)
    (found,) = wheels.wheel_problems(wheel, ("x86_64",))
    assert problem in found


def test_a_wheel_that_lacks_an_architecture_is_found(
    sound: dict[str, bytes], tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path, sound["x86_64"], "macosx_10_13_universal2")
    assert wheels.wheel_problems(wheel, ("arm64", "x86_64")) == [
        "is for ['x86_64'], not for ['arm64', 'x86_64']"
    ]


@pytest.mark.parametrize("arch", TARGETS)
def test_a_cross_build_takes_the_sources_and_libraries_of_a_mac(tmp_path: Path, arch: str) -> None:
    print_extension = (
        "import json, runpy, setuptools\n"
        "def setup(ext_modules, **_):\n"
        "    e = ext_modules[0]\n"
        "    print(json.dumps([e.sources, e.include_dirs, e.extra_link_args]))\n"
        "setuptools.setup = setup\n"
        "runpy.run_path('setup.py')\n"
    )
    variables = target.environment(TARGETS[arch], "release", tmp_path, tmp_path / "cache")
    result = subprocess.run(
        [sys.executable, "-c", print_extension],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        check=True,
        text=True,
        timeout=SLOW,
    )
    sources, include, link = json.loads(result.stdout)
    ours = {f"ext/{path.name}" for path in ROOT.glob("ext/*.c")}
    assert set(sources) == {name for name in ours if not name.endswith("_linux.c")}
    assert include == ["ext/include"]
    assert link == ["-lbsm"]


def test_the_users_compiler_and_flags_do_not_reach_a_cross_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CC", "CFLAGS", "LDFLAGS", "MIG"):
        monkeypatch.setenv(name, "mine")
    variables = target.environment(TARGETS["arm64"], "release", tmp_path, tmp_path / "cache")
    assert "mine" not in variables.values()


def test_each_name_of_the_mac_pyconfig_is_one_of_pythons() -> None:
    ours = re.findall(r"^#define (\w+) ", (HERE / "pyconfig.h").read_text("utf-8"), re.MULTILINE)
    platinclude = Path(sysconfig.get_config_h_filename())
    if not platinclude.is_file():
        pytest.skip("this Python has no pyconfig.h")
    text = platinclude.read_text("utf-8")
    assert ours
    assert [name for name in ours if not re.search(rf"\b{name}\b", text)] == []


def test_our_headers_stand_in_only_for_what_ziglang_lacks() -> None:
    spec = importlib.util.find_spec("ziglang")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    libc = Path(spec.submodule_search_locations[0]) / "lib" / "libc"
    apple = libc / "include" / "any-darwin-any"
    assert (apple / "mach" / "mach.h").is_file()
    assert [name for name in target.STAND_INS if (apple / name).exists()] == []
    assert not list(libc.rglob("libbsm*.tbd"))
