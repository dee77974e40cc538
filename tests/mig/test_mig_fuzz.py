"""Whatever the input, the compiler ends in good time with output or with messages.

``MIG_FUZZ_EXAMPLES`` says how many inputs to try, at random; ``make fuzz-mig`` sets it.
"""

from __future__ import annotations

import os
import time

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mig.compiler import compile_text, generate
from mig.diagnostics import CompilationError, Diagnostics
from mig.emit.common import Names
from mig.lexer import FLAGS, KEYWORDS
from mig.types import SYMBOLS

EXAMPLES = os.environ.get("MIG_FUZZ_EXAMPLES", "")
BOUNDED = settings(
    max_examples=int(EXAMPLES or 150),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=not EXAMPLES,
)
VALID = """subsystem fuzz 400; userprefix u_; serverprefix s_;
type int = MACH_MSG_TYPE_INTEGER_32; type byte = MACH_MSG_TYPE_BYTE;
type port = MACH_MSG_TYPE_COPY_SEND; type poly = polymorphic ctype: port;
type text = c_string[*:9]; type row = array[*:7] of byte; type box = struct[3] of int;
type far = ^array[] of int; type ports = ^array[2] of poly;
import "fuzz.h"; waittime 5; msgoption A; skip;
routine a(s : port; n : int; inout m : int; p : poly; t : text; r : row; out q : row, CountInOut;
  out b : box);
simpleroutine c(requestport s : port; in code : int, RetCode; x : port);
"""
WORDS = [
    *sorted(KEYWORDS | FLAGS | set(SYMBOLS)),
    *";:,()[]=^|*+-/<>",
    *("0", "1", "7", "2147483647", "99999999999", "name", "port", "int", "row", '"f.h"', "<g.h>"),
    *("\n", '# 5 "x"\n', "\t", "é", "\0", "\udce9"),
]


def compiles(text: str) -> bool:
    """Compile; anything but success or clean messages is a failure of the test."""
    diagnostics = Diagnostics()
    try:
        interface = compile_text(text, "fuzz.defs", diagnostics)
    except CompilationError as failure:
        messages = failure.messages
    else:
        messages = []
        outputs = generate(interface, Names("a.h", "b.h"), 100)
        assert outputs.user
        assert outputs.server
    assert all("error" in m or m.startswith("fatal") for m in messages)
    return not messages


def test_the_seed_compiles() -> None:
    assert compiles(VALID)


@BOUNDED
@given(st.text())
@example("#" * 100)
@example('# 99999999999999999999 "')
def test_any_text(text: str) -> None:
    compiles(text)


@BOUNDED
@given(st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join))
def test_any_words_of_the_language(text: str) -> None:
    compiles(text)
    compiles("subsystem s 1; " + text)


@BOUNDED
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(VALID.split(" ")) - 1),
            st.sampled_from(["drop", "double", "swap", "replace"]),
            st.sampled_from(WORDS),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_mutations_of_a_valid_interface(edits: list[tuple[int, str, str]]) -> None:
    words = VALID.split(" ")
    for index, edit, word in edits:
        index %= len(words)
        if edit == "drop":
            words[index] = ""
        elif edit == "double":
            words[index] *= 2
        elif edit == "swap":
            words[index], words[index - 1] = words[index - 1], words[index]
        else:
            words[index] = word
    compiles(" ".join(words))


DECLARED = ("int", "byte", "port", "poly", "text", "row", "box", "far", "ports")


@BOUNDED
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "in", "out", "inout"]), st.sampled_from(DECLARED)),
        max_size=12,
    ),
    st.booleans(),
)
def test_any_combination_of_arguments(arguments: list[tuple[str, str]], simple: bool) -> None:
    declared = VALID.split("routine a", 1)[0]
    names = "".join(f"; {d} a{i} : {t}" for i, (d, t) in enumerate(arguments))
    kind = "simpleroutine" if simple else "routine"
    wrong = any(d == "inout" and t in ("text", "row") for d, t in arguments) or (
        simple and any(d in ("out", "inout") for d, _ in arguments)
    )
    assert compiles(f"{declared}{kind} r(s : port{names});") is not wrong


def test_deep_and_long_inputs_end_in_good_time() -> None:
    start = time.monotonic()
    deep = "type a = " + "array[2] of " * 100_000 + "int;"
    parentheses = "type a = array[" + "(" * 100_000 + "1" + ")" * 100_000 + "] of int;"
    doubling = "".join(f"type t{i + 1} = array[2] of t{i};\n" for i in range(5000))
    chain = "".join(f"type t{i + 1} = t{i};\n" for i in range(5000))
    wide = "routine r(s : port" + "".join(f"; a{i} : int" for i in range(20_000)) + ");"
    many = "".join(f"routine r{i}(s : port);" for i in range(1000))
    head = VALID.split("routine a", 1)[0] + "type t0 = int;\n"
    outcomes = [
        compiles(head + body)
        for body in (deep, parentheses, doubling, chain, wide, many, "(" * 200_000, "^" * 200_000)
    ]
    assert outcomes == [False, False, False, True, False, True, False, False]
    assert time.monotonic() - start < 60
