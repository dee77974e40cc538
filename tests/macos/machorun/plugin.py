"""The pytest plugin of make test-macos-binary: the exceptions, and the count at the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import child_port as cp
import pytest

from .inheritance import inherited_descriptors
from .startup import FINDER

FAILS, LEFT_OUT = "fails", "left out"
LIST = Path(__file__).resolve().parents[1] / "exceptions.txt"


@dataclass(frozen=True)
class Entry:
    kind: str
    test: str
    reason: str


def read_entries(text: str) -> list[Entry]:
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        kind, _, rest = line.partition(": ")
        test, _, reason = rest.partition(": ")
        if kind not in (FAILS, LEFT_OUT) or not test or not reason.strip():
            raise pytest.UsageError(f"{LIST.name}:{number}: 'KIND: TEST: REASON' is expected")
        entries.append(Entry(kind, test, reason))
    return entries


class Exceptions:
    """Applies the list to what is collected."""

    def __init__(self, entries: list[Entry]) -> None:
        self._places = {e.test: e for e in entries if "::" not in e.test}
        self._tests = {e.test: e for e in entries if "::" in e.test}

    @pytest.hookimpl
    def pytest_ignore_collect(self, collection_path: Path, config: pytest.Config) -> bool | None:
        name = collection_path.relative_to(config.rootpath).as_posix()
        return True if name in self._places else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        unused = dict(self._tests)
        for item in items:
            for name in (item.nodeid, item.nodeid.partition("[")[0]):
                if name in self._tests:
                    unused.pop(name, None)
                    item.add_marker(_mark(self._tests[name]))
        if any("::" in argument for argument in config.args):
            return  # of a file only some tests were collected
        files = {item.nodeid.partition("::")[0] for item in items}
        stale = [name for name in unused if name.partition("::")[0] in files]
        stale += [name for name in self._places if not (config.rootpath / name).exists()]
        if stale:
            raise pytest.UsageError(f"{LIST.name} has entries for no test: {', '.join(stale)}")


def _mark(entry: Entry) -> pytest.MarkDecorator:
    if entry.kind == FAILS:
        return pytest.mark.xfail(reason=entry.reason, strict=True)
    return pytest.mark.skip(reason=f"left out: {entry.reason}")


def pytest_configure(config: pytest.Config) -> None:
    if cp.PLATFORM != "darwin":
        raise pytest.UsageError("child_port is not the Mac's")
    import support  # only now, when pytest has put the folder of the tests into the path

    support.stand_ins = lambda: inherited_descriptors(FINDER.symbols_in_use())
    # These have another name because elsewhere they have nothing to test.
    config.addinivalue_line("python_files", "mac_*.py")
    config.pluginmanager.register(Exceptions(read_entries(LIST.read_text(encoding="utf-8"))))


def pytest_report_header() -> list[str]:
    return [f"extension: machine code of {FINDER.image().image.path}"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    count = {kind: len(reports) for kind, reports in terminalreporter.stats.items()}
    skipped = count.get("skipped", 0)
    terminalreporter.write_line(
        f"on the Mac extension's x86_64 machine code: {count.get('passed', 0)} passed, "
        f"{count.get('failed', 0) + count.get('error', 0)} failed, "
        f"{count.get('xfailed', 0)} failed as {LIST.name} says, {skipped} skipped"
    )
