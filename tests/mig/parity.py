"""Compare two MIG compilers, or one with recorded facts, by what their stubs do.

For each interface both compilers generate the four files; they are compiled with a driver that
prints sizes, offsets, the subsystem's table, every byte that a user stub sends with the arguments
of its ``mach_msg``, and what the other side makes of each message, whole and with one field wrong
at a time. The outputs must be equal, line by line.

Without ``--mig-b`` the second compiler is Apple's if there is one (``$MIG``, or on macOS the one
that ``xcrun`` finds), else the facts recorded in ``facts/``.
"""

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FACTS = HERE / "facts"
HEADERS = ROOT / "ext" / "mach_linux" / "include"
OURS = f"{shlex.quote(sys.executable)} -m mig"


@dataclass(frozen=True)
class Interface:
    """One interface, and where its recorded facts come from."""

    name: str
    defs: Path
    features: str
    recorded: str
    doubtful: bool = False  # the other compiler may fail on it, and that counts as no difference

    @property
    def expected(self) -> Path:
        return FACTS / f"{self.name}.expected"

    @property
    def seen(self) -> str:
        """Has Apple's mig been seen to compile it? "yes" or "no"."""
        return "yes" if self.recorded == APPLE else "no"


APPLE = "Apple's mig (bootstrap_cmds 122)"
OWN = "this compiler; never seen from Apple's"

INTERFACES = (
    Interface("child_port", ROOT / "defs" / "child_port.defs", "the product's interface", APPLE),
    Interface("gamma", FACTS / "gamma.defs", "one of each kind of argument", APPLE),
    Interface("scalars", HERE / "scalars.defs", "scalars, structures, fixed arrays", OWN),
    Interface("strings", HERE / "strings.defs", "strings, fixed and variable", OWN),
    Interface("arrays", HERE / "arrays.defs", "bounded variable arrays, CountInOut", OWN),
    Interface("ports", HERE / "ports.defs", "ports, polymorphic, reply ports", OWN),
    Interface("outofline", HERE / "outofline.defs", "data and ports out of line", OWN),
    Interface("options", HERE / "options.defs", "timeouts, options, RetCode, trailers", OWN),
    Interface("codes", HERE / "codes.defs", "RetCode in the body", OWN, doubtful=True),
)


class ParityError(Exception):
    """A command failed; the message is its output."""


@dataclass(frozen=True)
class Toolchain:
    """How the generated files are compiled and run."""

    cc: tuple[str, ...] = ("cc",)
    flags: tuple[str, ...] = ()


def run(command: list[str], cwd: Path | None = None) -> str:
    """Run a command and return what it printed; raise with its errors if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )
    if result.returncode != 0:
        text = f"{shlex.join(command)}\nexit code {result.returncode}\n"
        raise ParityError(text + result.stdout[-2000:] + result.stderr)
    return result.stdout


def generate(mig: str, interface: Interface, folder: Path) -> None:
    """Generate the four files of an interface, as any build would call mig."""
    name = interface.name
    sdk = ["-isysroot", run(["xcrun", "--show-sdk-path"]).strip()] if _darwin() else []
    run(
        [
            *shlex.split(mig),
            *("-user", str(folder / f"{name}User.c"), "-server", str(folder / f"{name}Server.c")),
            *("-header", str(folder / f"{name}.h"), "-sheader", str(folder / f"{name}S.h")),
            *sdk,
            *([] if _darwin() else [f"-I{ROOT / 'defs'}"]),
            str(interface.defs),
        ]
    )


def observe(mig: str, interface: Interface, folder: Path, toolchain: Toolchain) -> list[str]:
    """Generate, compile and run; return the driver's lines."""
    folder.mkdir(parents=True, exist_ok=True)
    generate(mig, interface, folder)
    name = interface.name
    program = folder / name
    headers = [] if _darwin() else [f"-I{HEADERS}"]
    run(
        [
            *toolchain.cc,
            *toolchain.flags,
            "-Werror=implicit-function-declaration",
            "-D__MigTypeCheck=1",
            "-Dmach_msg=fake_mach_msg",
            *headers,
            f"-I{folder}",
            f"-I{FACTS}",
            str(FACTS / f"{name}_facts.c"),
            str(folder / f"{name}User.c"),
            str(folder / f"{name}Server.c"),
            str(HERE / "ndr.c"),
            "-o",
            str(program),
        ]
    )
    return run([str(program)]).splitlines()


def _darwin() -> bool:
    return sys.platform == "darwin"


def apple_mig() -> str | None:
    """The other mig of this host, if it has one."""
    if os.environ.get("MIG"):
        return os.environ["MIG"]
    if _darwin():
        found = subprocess.run(
            ["xcrun", "--find", "mig"], capture_output=True, text=True, check=False
        )
        if found.returncode == 0:
            return shlex.quote(found.stdout.strip())
    return None


@dataclass
class Comparison:
    """What the comparison of one interface found."""

    interface: Interface
    against: str
    lines: int
    mutations: int
    differences: list[str]
    failure: str = ""  # why there was nothing to compare
    excused: bool = False

    @property
    def passed(self) -> bool:
        """Whether there is nothing to look into."""
        return not self.differences and (self.excused or not self.failure)


def compare(
    interface: Interface, mig_a: str, mig_b: str | None, folder: Path, toolchain: Toolchain
) -> Comparison:
    """Compare the two compilers on one interface, or the first with the recorded facts.

    What fails on one interface, the compiler or what it made, is said in its comparison alone.
    """
    name = interface.name
    against = mig_b or f"recorded from {interface.recorded}"
    try:
        ours = observe(mig_a, interface, folder / "a" / name, toolchain)
    except ParityError as error:
        return Comparison(interface, against, 0, 0, [], str(error))
    try:
        if mig_b is None:
            theirs = interface.expected.read_text().splitlines()
        else:
            theirs = observe(mig_b, interface, folder / "b" / name, toolchain)
    except ParityError as error:
        return Comparison(interface, against, 0, 0, [], str(error), excused=interface.doubtful)
    differences = [
        line
        for line in difflib.unified_diff(theirs, ours, against, mig_a, lineterm="", n=0)
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    mutations = sum(line.startswith("  ") for line in ours)
    return Comparison(interface, against, len(ours), mutations, differences)


def compare_all(
    mig_a: str,
    mig_b: str | None,
    folder: Path,
    toolchain: Toolchain,
    interfaces: Sequence[Interface] = INTERFACES,
) -> list[Comparison]:
    """Compare on every interface."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda i: compare(i, mig_a, mig_b, folder, toolchain), interfaces))


def record(mig: str, folder: Path, toolchain: Toolchain) -> None:
    """Write the facts of the interfaces that were never seen from Apple's mig."""
    for interface in INTERFACES:
        if interface.recorded == OWN:
            lines = observe(mig, interface, folder / interface.name, toolchain)
            interface.expected.write_text("\n".join(lines) + "\n")


def report(comparisons: list[Comparison]) -> str:
    """The parity report."""
    rows = [f"{'interface':12}{'lines':>7}{'messages':>10}{'differences':>13}  features; against"]
    for c in comparisons:
        found = "not compared" if c.failure else str(len(c.differences))
        rows.append(
            f"{c.interface.name:12}{c.lines:7}{c.mutations:10}{found:>13}"
            f"  {c.interface.features}; {c.against}"
        )
    total = [
        sum(x)
        for x in zip(
            *((c.lines, c.mutations, len(c.differences)) for c in comparisons), strict=True
        )
    ]
    rows.append(f"{'total':12}{total[0]:7}{total[1]:10}{total[2]:13}")
    for c in comparisons:
        rows += [f"{c.interface.name}: {line}" for line in c.differences[:20]]
        rows += [f"{c.interface.name}: {line}" for line in c.failure.splitlines()[:20]]
    return "\n".join(rows)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--mig-a", default=OURS, help="the first compiler's command")
    parser.add_argument("--mig-b", default=apple_mig(), help="the second compiler's command")
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"), help="the C compiler")
    parser.add_argument(
        "--seen",
        choices=["yes", "no"],
        help="only the interfaces that Apple's mig has been seen to compile, or only the others",
    )
    parser.add_argument("--record", action="store_true", help="record facts of our own interfaces")
    options = parser.parse_args()
    toolchain = Toolchain(tuple(shlex.split(options.cc)))
    with tempfile.TemporaryDirectory(prefix="mig-parity.") as scratch:
        if options.record:
            try:
                record(options.mig_a, Path(scratch), toolchain)
            except ParityError as error:
                print(error, file=sys.stderr)
                return 2
            return 0
        chosen = [i for i in INTERFACES if options.seen in (None, i.seen)]
        comparisons = compare_all(options.mig_a, options.mig_b, Path(scratch), toolchain, chosen)
    print(report(comparisons))
    return 0 if all(c.passed for c in comparisons) else 1


if __name__ == "__main__":
    sys.exit(main())
