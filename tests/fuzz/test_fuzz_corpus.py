"""The fuzz targets over their committed corpus, without a fuzzer: it takes a C compiler only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.harness import CORPUS, TARGETS, build_replay, has_fuzzer, write_seeds

HERE = Path(__file__).resolve().parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mach_linux is for Linux")


def replay(program: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), str(folder)], capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_of_the_corpus_breaks_or_leaks_anything(tmp_path: Path, target: str) -> None:
    done = replay(build_replay(tmp_path / target, target), CORPUS / target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(list((CORPUS / target).iterdir()))} inputs" in done.stdout


LEAKY = "void __wrap_ml_close_untrusted(const int *fds, unsigned n) { (void)fds; (void)n; }"


def test_a_decoder_that_leaves_a_descriptor_open_is_found_out(tmp_path: Path) -> None:
    source, patience = tmp_path / "leaky.c", "-DPATIENCE=20"
    source.write_text(LEAKY, encoding="utf-8")
    flags = ["-Wl,--wrap=ml_close_untrusted", patience, str(source)]
    done = replay(build_replay(tmp_path / "leaky", "packet", flags), CORPUS / "packet")
    assert done.returncode < 0
    assert "a descriptor is left open" in done.stderr


def test_an_empty_corpus_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert replay(build_replay(tmp_path / "packet", "packet"), tmp_path / "empty").returncode == 1


def test_the_seeds_are_what_the_library_sends_today(tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds", tmp_path / "record")
    fresh = sorted(path for path in (tmp_path / "seeds").rglob("*") if path.is_file())
    assert fresh
    for path in fresh:
        committed = CORPUS / path.relative_to(tmp_path / "seeds")
        assert committed.read_bytes() == path.read_bytes(), committed.name


def test_without_a_fuzzer_make_fuzz_says_what_to_install(tmp_path: Path) -> None:
    assert not has_fuzzer(["no-such-compiler"], tmp_path)
    done = subprocess.run(
        [sys.executable, str(HERE / "harness.py"), "--build", str(tmp_path / "build")],
        env=os.environ | {"FUZZ_CC": "no-such-compiler"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "libclang-rt-dev" in done.stderr
