"""The bench's arithmetic: which figure is compared with which."""

from pathlib import Path

import pytest

from bench.report import table, verdict
from bench.streams import AIMS, Aim, Results, Stream, run_all, streams


def test_a_ratio_is_taken_within_each_round() -> None:
    # The second round was disturbed as a whole.
    results = Results({"ours": [150.0, 1500.0, 151.0], "base": [100.0, 1000.0, 100.0]})
    assert results.ratio("ours", "base") == pytest.approx(1.5)
    assert results.typical("ours") == 151.0


@pytest.mark.parametrize(("limit", "said"), [(1.5, "met"), (1.49, "missed")])
def test_an_aim_is_met_up_to_its_limit(limit: float, said: str) -> None:
    results = Results({"ours": [150.0], "base": [100.0]})
    assert verdict(Aim("ours", "base", limit, ""), results) == said


def test_the_aims_speak_of_streams_that_exist() -> None:
    keys = {stream.key for stream in streams(Path("raw"), Path("mach"))}
    assert {key for aim in AIMS for key in (aim.key, aim.base)} <= keys


def test_every_stream_runs_once_a_round_and_none_is_always_first(tmp_path: Path) -> None:
    log = tmp_path / "log"
    entries = [
        Stream(key, key, ("sh", "-c", f"echo {key} >> '{log}'; echo 12.5", "sh"), 100)
        for key in ("a", "b", "c")
    ]
    results = run_all(entries, rounds=3, divisor=1, progress=lambda _: None)
    assert results.rounds == {key: [12.5] * 3 for key in ("a", "b", "c")}
    assert log.read_text().split() == list("abcbcacab")


def test_a_stream_that_fails_ends_the_bench() -> None:
    entries = [Stream("a", "a stream", ("sh", "-c", "echo broken >&2; exit 3", "sh"), 100)]
    with pytest.raises(SystemExit, match=r"(?s)a stream: exited with 3.*broken"):
        run_all(entries, rounds=1, divisor=1, progress=lambda _: None)


def test_the_columns_of_a_table_are_of_one_width() -> None:
    lines = table(["name", "ns"], [["a", "1"], ["longer", "1234"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| ------ | ---: |"
