"""The figures as text: tables in Markdown, which read well on a terminal too."""

from .streams import AIMS, Aim, Results, Stream


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Columns padded to the same width; all but the first are aligned to the right."""
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]

    def line(cells: list[str]) -> str:
        first = cells[0].ljust(widths[0])
        others = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join([first, *others])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(headings), line(rule), *map(line, rows)])


def streams_table(entries: list[Stream], results: Results) -> str:
    rows = []
    for stream in entries:
        low, high = results.spread(stream.key)
        rows.append(
            [
                stream.title,
                f"{results.typical(stream.key):.0f}",
                f"{low:.0f}–{high:.0f}",
                f"{results.ratio(stream.key, 'raw1'):.2f}",
            ]
        )
    return table(["a stream between two processes", "ns each", "middle half", "× raw, one"], rows)


def verdict(aim: Aim, results: Results) -> str:
    return "met" if results.ratio(aim.key, aim.base) <= aim.limit else "missed"


def aims_table(entries: list[Stream], results: Results) -> str:
    titles = {stream.key: stream.title for stream in entries}
    rows = []
    for aim in AIMS:
        low, high = results.ratio_spread(aim.key, aim.base)
        rows.append(
            [
                f"{titles[aim.key]}: {aim.text}",
                f"{results.ratio(aim.key, aim.base):.2f}",
                f"{low:.2f}–{high:.2f}",
                f"{aim.limit:.2f}",
                verdict(aim, results),
            ]
        )
    return table(["aim", "ratio", "middle half", "at most", ""], rows)


def handshake_table(figures: dict[str, float]) -> str:
    base = next(iter(figures.values()))
    rows = [[title, f"{ms:.1f}", f"{ms - base:+.1f}"] for title, ms in figures.items()]
    return table(["a child, from its start to its exit", "ms", "more"], rows)


def resources_table(figures: dict[str, dict[str, float]]) -> str:
    rows = [
        [
            title,
            f"{each['descriptors']:.1f}",
            f"{each['bytes']:.0f}",
            f"{max(each['kernel_bytes'], 0.0) / 1024:.1f}",
        ]
        for title, each in figures.items()
    ]
    return table(["each occupies", "descriptors", "bytes", "kernel KiB, about"], rows)


def document(machine: dict[str, str], rounds: int, tables: list[str]) -> str:
    """bench/RESULTS.md."""
    facts = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    body = "\n\n".join(tables)
    return f"""# What handing a right over costs

Written by `make bench BENCH_ARGS="--write --rounds {rounds}"`: medians of so many interleaved
runs, receiver and sender each on a processor of its own, the stream throttled by the socket's queue
alone. In each stream the sender keeps what it hands over and the receiver releases what it gets. No
receiver has a gap among its descriptors: the two of a right are neighbours then, which one call
closes. A ratio is the median of the ratios within each round. Compare ratios within a run, not
times between runs.

{facts}

<!-- tables:begin -->

{body}

<!-- tables:end -->
"""
