"""The loader: what it puts right in an image, and what it refuses."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import child_port as cp
import pytest
from machorun.image import Image, UnsupportedImageError, read_description
from machorun.loader import Loaded, load
from machorun.macho import read_image
from machorun.startup import FINDER
from support import DEADLINE, running

# A compiler that is used for the first time makes its library.
pytestmark = pytest.mark.timeout(600)

SAMPLE = Path(__file__).with_name("sample.c")


def build(folder: Path, *options: str) -> Path:
    library = folder / "sample.dylib"
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-macos.10.13"]
    command = [*compiler, "-O1", "-shared", "-undefined", "dynamic_lookup", *options]
    cache = {"ZIG_GLOBAL_CACHE_DIR": str(folder), "ZIG_LOCAL_CACHE_DIR": str(folder)}
    subprocess.run([*command, "-o", str(library), str(SAMPLE)], env=os.environ | cache, check=True)
    return library


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return read_image(build(tmp_path_factory.mktemp("sample")))


@pytest.fixture(scope="module")
def sample(image: Image) -> Loaded:
    return load(image, FINDER.symbols())


def test_pointers_into_the_image_move_with_it(sample: Loaded) -> None:
    name_of = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_int)(sample.address("name_of"))
    assert [name_of(which) for which in range(3)] == [b"one", b"two", b"three"]


def test_pointers_to_other_libraries_are_bound(sample: Loaded) -> None:
    length_of = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_int)(sample.address("length_of"))
    assert length_of(2) == len("three")


def test_what_the_file_does_not_have_is_zeros(sample: Loaded) -> None:
    assert ctypes.CFUNCTYPE(ctypes.c_int)(sample.address("zeros_are_zero"))() == 1


def test_what_the_compiler_calls_by_itself_is_there(sample: Loaded) -> None:
    symbols = {binding.symbol for binding in sample.image.bindings}
    assert {"memset_pattern16", "__bzero"} <= symbols
    kinds = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    fill = ctypes.CFUNCTYPE(None, *kinds)(sample.address("fill"))
    longs, text = (ctypes.c_long * 5)(), ctypes.create_string_buffer(b"12345678")
    fill(longs, 3, text, 6)
    assert list(longs) == [0x0102030405060708] * 3 + [0, 0]
    assert text.raw == bytes(6) + b"78\0"


def test_each_thread_has_its_own_variables(sample: Loaded) -> None:
    next_count = ctypes.CFUNCTYPE(ctypes.c_int)(sample.address("next_count"))
    counts: list[list[int]] = []

    def count() -> None:
        counts.append([next_count() for _ in range(3)])

    for _ in range(2):
        with running(count):
            pass
    assert counts == [[6, 7, 8]] * 2


def test_asking_for_a_threads_variable_changes_no_other_register(sample: Loaded) -> None:
    kinds = [ctypes.c_long] * 6 + [ctypes.c_double] * 2
    total = ctypes.CFUNCTYPE(ctypes.c_double, *kinds)(sample.address("sum_and_count"))
    answers = []
    with running(lambda: answers.append(total(1, 2, 3, 4, 5, 6, 0.25, 0.5))):
        pass
    assert answers == [1 + 4 + 9 + 16 + 25 + 36 + 0.75]


def test_code_and_constants_cannot_be_written_nor_data_run(sample: Loaded) -> None:
    maps = Path("/proc/self/maps").read_text(encoding="ascii").splitlines()
    rights = {}
    for line in maps:
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        for segment in sample.image.segments:
            if start <= sample.base + segment.address < end:
                rights[segment.address] = line.split()[1][:3]
    assert list(rights.values()) == ["r-x", "r--", "rw-", "r--"]


def test_a_description_is_what_was_read(image: Image, tmp_path: Path) -> None:
    image.write(tmp_path / "image.json")
    assert read_description(tmp_path / "image.json") == image


def test_an_import_that_nothing_stands_for_is_an_error(tmp_path: Path) -> None:
    image = read_image(build(tmp_path, "-DWITH_UNKNOWN_IMPORT"))
    with pytest.raises(UnsupportedImageError, match=r"getlogin_r of /usr/lib/libSystem"):
        load(image, FINDER.symbols())


@pytest.mark.parametrize(
    ("option", "reason"),
    [("-DWITH_INITIALIZER", "functions to run"), ("-DWITH_WEAK_IMPORT", "weak import")],
)
def test_what_the_loader_does_not_do_is_refused(tmp_path: Path, option: str, reason: str) -> None:
    library = build(tmp_path, option)
    with pytest.raises(UnsupportedImageError, match=reason):
        read_image(library)


def test_what_is_no_image_for_x86_64_is_refused() -> None:
    with pytest.raises(UnsupportedImageError, match="no Mach-O file"):
        read_image(Path(sys.executable).resolve())


def test_the_images_imports_are_those_of_the_mac_alone() -> None:
    libraries = {binding.library for binding in FINDER.image().image.bindings}
    assert libraries == {"*", "/usr/lib/libSystem.B.dylib", "/usr/lib/libbsm.0.dylib"}


@pytest.mark.parametrize("options", [[], ["-I"], ["-E", "-s"]], ids=str)
def test_every_process_of_a_test_runs_the_macs_code(options: list[str]) -> None:
    program = "import child_port as cp; print(cp.PLATFORM, cp.pid_for_task(cp.task_self()))"
    process = subprocess.Popen(
        [sys.executable, *options, "-c", program], env={}, stdout=subprocess.PIPE
    )
    output, _ = process.communicate(timeout=DEADLINE)
    assert output.decode().split() == ["darwin", str(process.pid)]
    assert cp.PLATFORM == "darwin"


def test_so_does_one_that_has_only_this_ones_path() -> None:
    program = "import child_port as cp; print(cp.PLATFORM, cp.bootstrap.__name__)"
    result = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        timeout=DEADLINE,
    )
    assert result.stdout == b"darwin child_port.bootstrap\n"


def test_the_packages_python_code_is_that_for_macos() -> None:
    from child_port import _exit_watch

    assert not hasattr(_exit_watch, "Pidfd")
    assert sys.platform == "linux"
