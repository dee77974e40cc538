"""What differs between Linux and macOS: the list that the conformance suite reads, as a table."""

from pathlib import Path

LIST = Path(__file__).resolve().parent.parent / "tests" / "mach" / "differences.txt"


def rows() -> list[tuple[str, str]]:
    """Each case's name, suite.case, and why Linux differs."""
    found = []
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            case, reason = line.split(" | ", 1)
            found.append((case, reason))
    return found


def table() -> str:
    """One row for each reason, with the cases that show it."""
    cases: dict[str, list[str]] = {}
    for case, reason in rows():
        cases.setdefault(reason, []).append(case.split(".", 1)[1].replace("_", " "))
    lines = ["| On Linux | Cases of the conformance suite that show it |", "| --- | --- |"]
    for reason, names in cases.items():
        shown = reason.removeprefix("sometimes: ")
        lines.append(f"| {shown[0].upper()}{shown[1:]} | {'; '.join(names)} |")
    return "\n".join(lines) + "\n"


def write(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(table(), encoding="utf-8")
