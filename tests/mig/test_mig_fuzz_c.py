"""What the compiler accepts is C, and the command ends cleanly, whatever it is given.

``MIG_FUZZ_EXAMPLES`` is as in ``test_mig_fuzz``.
"""

from __future__ import annotations

import contextlib
import io

import parity
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_mig_fuzz import EXAMPLES, VALID, WORDS

from mig.cli import main
from mig.compiler import compile_text, generate
from mig.diagnostics import CompilationError, Diagnostics
from mig.emit.common import Names

BOUNDED = settings(
    max_examples=int(EXAMPLES or 40),
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    derandomize=not EXAMPLES,
    phases=(Phase.explicit, Phase.generate),  # to shrink takes a compiler's run for each step
)
HEADER = """#pragma once
#include <stdint.h>
#include <mach/mach.h>
#define A 0
typedef uint8_t byte;
typedef mach_port_t port;
typedef mach_port_t poly;
typedef char text[9];
typedef byte row[7];
typedef struct { int v[3]; } box;
typedef int *far;
typedef port *ports;
typedef int grid[4];
typedef struct thing *thing;
thing thing_in(port);
port thing_out(thing);
void thing_done(thing);
"""
DECLARATIONS = (
    VALID.split("skip;", 1)[0]
    + """skip;
type grid = array[4] of int; type other = far; type spot = row;
type thing = port cusertype: port cservertype: port intran: thing thing_in(port)
  outtran: port thing_out(thing) destructor: thing_done(thing);
"""
)
TYPES = ("int", "byte", "port", "poly", "text", "row", "box", "far", "ports", "grid", "thing")
ODD_NAMES = (
    *(
        "",
        "",
        "",
        "aCnt",
        "aPad",
        "aOffset",
        "aPoly",
        "aDealloc",
        "cPad",
        "count",
        "while",
        "memcpy",
    ),
    *("Head", "InP", "Out0P", "msgh_used", "msgh_shrink_1", "msgh_no_a", "r", "s_r", "thing_in"),
    *("port", "far", "byte", "Body", "In", "x", "y", "z", "NULL", "mach_port_t", "result"),
)
FLAGS = (
    "",
    "",
    ", Dealloc",
    ", Dealloc[]",
    ", CountInOut",
    ", PhysicalCopy",
    ", Auto",
    ", RetCode",
)
ARGUMENT = st.tuples(
    st.sampled_from(("", "in", "out", "inout")), st.sampled_from(TYPES), st.sampled_from(FLAGS)
)


def argument(name: str, direction: str, kind: str, flag: str, simple: bool) -> str:
    """An argument that is not refused for what another test is about."""
    if simple:
        direction = "in"
    elif flag == ", RetCode" or (direction == "inout" and kind in ("text", "row")):
        direction, flag = "out", ""
    if flag == ", CountInOut" and kind == "text":
        flag = ""
    if flag == ", Auto" and (direction not in ("", "in") or kind == "ports"):
        flag = ""
    return f"; {direction} {name} : {kind}{flag}"


@BOUNDED
@given(
    st.lists(ARGUMENT, max_size=9),
    st.sampled_from(ODD_NAMES),
    st.booleans(),
    st.sampled_from((None, 0)),
)
def test_any_accepted_routine_is_c(
    tmp_path_factory: pytest.TempPathFactory,
    arguments: list[tuple[str, str, str]],
    odd: str,
    simple: bool,
    on_stack: int | None,
) -> None:
    names = ["a", odd or "b", "c", "d", "e", "f", "g", "h", "i"]
    rest = "".join(
        argument(name, *parts, simple) for name, parts in zip(names, arguments, strict=False)
    )
    text = f"{DECLARATIONS}{'simpleroutine' if simple else 'routine'} r(s : port{rest});\n"
    try:
        interface = compile_text(text, "fuzz.defs", Diagnostics())
    except CompilationError:
        return
    folder = tmp_path_factory.mktemp("fuzz")
    made = generate(interface, Names("h.h", "s.h"), on_stack)
    files = {"fuzz.h": HEADER, "h.h": made.header, "s.h": made.sheader}
    files |= {"u.c": made.user, "s.c": made.server}
    for name, content in files.items():
        (folder / name).write_text(content)
    include = [f"-I{parity.HEADERS}", f"-I{folder}"]
    sources = [str(folder / "u.c"), str(folder / "s.c")]
    parity.run(
        ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *include, *sources]
    )


OPTIONS = (
    *("-q", "-v", "-L", "-l", "-x", "-header", "h.h", "-user", "u.c", "-server", "u.c", "", "-"),
    *("-maxonstack", "0", "-iheader", "i.h", "-DA=1", "-I", ".", "-arch", "x86_64", "one.defs"),
)


@BOUNDED
@given(
    st.one_of(
        st.text(st.characters(codec="utf-8")),
        st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join),
        st.sampled_from(
            (VALID, VALID.replace("fuzz", "other"), "#include <mach/std_types.defs>\n")
        ),
    ),
    st.lists(st.sampled_from(OPTIONS), max_size=5),
)
def test_the_command_succeeds_or_says_why_not(
    tmp_path_factory: pytest.TempPathFactory, text: str, options: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    source = folder / "one.defs"
    written = text.encode(errors="surrogateescape")
    source.write_bytes(written)
    said = io.StringIO()
    streams = contextlib.redirect_stdout(said), contextlib.redirect_stderr(said)
    with contextlib.chdir(folder), streams[0], streams[1]:
        code = main(["one.defs", *options])
    left = {path.name for path in folder.iterdir()}
    assert source.read_bytes() == written
    if code == 0:
        assert not any(name.startswith(".") for name in left)
    else:
        assert code == 1 and "error" in said.getvalue()
        assert left == {"one.defs"}
