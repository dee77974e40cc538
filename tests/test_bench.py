"""The bench's arithmetic: which figure is compared with which."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.plot import Line, chart, step_for
from bench.report import table, verdict
from bench.scaling import limit_text, sizes_within
from bench.streams import AIMS, Aim, Results, Stream, run_all, streams


def test_a_ratio_is_taken_within_each_round() -> None:
    # The second round was disturbed as a whole.
    results = Results({"ours": [150.0, 1500.0, 151.0], "base": [100.0, 1000.0, 100.0]})
    assert results.ratio("ours", "base") == pytest.approx(1.5)
    assert results.typical("ours") == 151.0
    assert results.ratio_spread("ours", "base") == pytest.approx((1.5, 1.505))


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


def test_the_sizes_end_with_what_the_limit_of_descriptors_allows() -> None:
    assert sizes_within(50_000)[-1] == 10_000
    assert sizes_within(9_950)[-2:] == [3000, 9900]
    assert sizes_within(40) == [1, 3, 10, 30, 40]


def test_a_largest_set_below_ten_thousand_is_put_down_to_the_limit() -> None:
    assert "hard limit" in " ".join(limit_text(9_900))
    assert "9,900 ports" in " ".join(limit_text(9_900))
    assert "hard limit" not in " ".join(limit_text(10_000))


def test_a_plot_has_its_lines_within_its_frame() -> None:
    lines = [Line("one & two", [(1, 100.0), (10, 400.0)]), Line("flat", [(1, 50.0), (10, 50.0)])]
    root = ElementTree.fromstring(chart("title", "machine", "ports", "ns", lines))
    drawn = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(drawn) == 2
    for line in drawn:
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 < x < 760 and 0 < y < 420
    assert "one & two" in "".join(root.itertext())


@pytest.mark.parametrize(("highest", "step"), [(5, 1), (9, 2), (1200, 500), (499, 100)])
def test_the_grid_of_a_plot_is_in_round_numbers(highest: float, step: float) -> None:
    assert step_for(highest) == step
