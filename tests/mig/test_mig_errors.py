"""Errors point at their place, and one run reports more than one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mig.compiler import compile_text
from mig.diagnostics import CompilationError, Diagnostics
from mig.lexer import Kind, tokenize

START = (
    "subsystem s 1;\n"
    "type int = MACH_MSG_TYPE_INTEGER_32;\n"
    "type port = MACH_MSG_TYPE_COPY_SEND;\n"
    "type bytes = array[*:4] of int;\n"
)
USED = "is used by the generated code"


def errors(text: str) -> list[str]:
    """The messages of a compilation that fails."""
    with pytest.raises(CompilationError) as caught:
        compile_text(START + text, "t.defs", Diagnostics())
    return caught.value.messages


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("type a = b;", "5:10", "type 'b' not defined"),
        ("routine r(p : port; n : nonesuch);", "5:25", "type 'nonesuch' not defined"),
        ("routine r();", "5:9", "Routine r doesn't have a server port argument"),
        ("routine r(n : int);", "5:11", "argument n isn't a proper request port"),
        ("simpleroutine r(p : port; out n : int);", "5:31", "SimpleRoutine r has OUT argument"),
        ("routine r(p : port; n : int; n : int);", "5:30", "argument n is declared twice"),
        ("routine r(p : port; InP : int);", "5:21", USED),
        ("routine r(p : port; msgh_used : bytes);", "5:21", USED),
        ("routine r(p : port; msgh_shrink_2 : int);", "5:21", USED),
        ("routine r(p : port; while : int);", "5:21", USED),
        ("routine r(p : port; memcpy : int);", "5:21", USED),
        ("type b = MACH_MSG_TYPE_BYTE; routine r(p : port; a : b; aPad : int);", "5:57", USED),
        ("type s = c_string[*:8]; routine r(p : port; a : s; aOffset : int);", "5:52", USED),
        ("routine r(p : port; int : bytes; n : int);", "5:21", USED),
        ("routine r(p : port; port : port);", "5:21", USED),
        ("serverprefix do_; routine r(p : port; do_r : int);", "5:39", USED),
        (
            "type t = int intran: x f(int) outtran: int g(x); routine r(p : port; f : t);",
            "5:70",
            USED,
        ),
        ("routine r(p : port; a : bytes; aCnt : int);", "5:32", "aCnt is declared twice"),
        ("routine while(p : port);", "5:9", "routine name while is a word of C"),
        ("type t = array[1] of port; routine r(p : port; a : t);", "5:48", "arrays of ports"),
        ("type t = array[*:1] of port; routine r(p : port; a : t);", "5:50", "arrays of ports"),
        ("type t = struct[2] of port; routine r(p : port; a : t);", "5:49", "structures of ports"),
        (
            "type f = ^array[] of int; type t = array[1] of f; routine r(p : port; a : t);",
            "5:71",
            "arrays of out-of-line data",
        ),
        (
            "type z = struct[0] of int; type f = ^array[] of z; routine r(p : port; a : f);",
            "5:72",
            "the elements of the array have no size",
        ),
        (
            "type b = MACH_MSG_TYPE_BIT; type t = array[*:16] of b; routine r(p : port; a : t);",
            "5:76",
            "not a whole number of bytes",
        ),
        (
            "type s = c_string[*:8]; routine r(p : port; out a : s, CountInOut);",
            "5:56",
            "CountInOut of a string is not generated",
        ),
        (
            "type t = array[*:500000000] of int; routine r(p : port; a : t; b : t; c : t);",
            "5:45",
            "the messages of r are too large to be sent",
        ),
        ("msgoption /etc/passwd;", "5:1", "this is no expression of C"),
        ("waittime 5//6;", "5:1", "this is no expression of C"),
        ("sendtime a-;", "5:1", "this is no expression of C"),
        ("routine r(p : port; inout b : bytes);", "5:27", "can't be InOut"),
        ("routine r(p : port; waittime w : port);", "5:30", "isn't a proper integer"),
        ("routine r(p : port; serveraudittoken t : int);", "5:38", "isn't a proper Token"),
        ("routine r(p : port);\nroutine r(p : port);", "6:9", "routine r is already declared"),
        ("routine r(p : port; c : int, retcode);", "5:30", "allowed only for SimpleRoutines"),
        ("type a = array[0 - 1] of int;", "5:16", "out of range: it must not be negative"),
        ("type a = array[2147483647 + 1] of int;", "5:27", "out of range"),
        ("type a = array[0 - 2147483647 - 1 + 9] of int;", "5:31", "out of range"),
        ("type a = MACH_MSG_TYPE_INTEGER_32 | 0; routine r(p : a);", "5:50", "proper request port"),
        (
            "type a = MACH_MSG_TYPE_COPY_SEND | 0; routine r(p : port; q : a);",
            "5:59",
            "only a reply port can be received as 0",
        ),
        ("type a = 0 | MACH_MSG_TYPE_COPY_SEND;", "5:10", "a port can't be sent as data"),
        ("function f(p : port) : int;", "5:10", "a function is not generated"),
        ("type a = array[1 / 0] of int;", "5:18", "division by zero"),
        ("type a = array[99999999999] of int;", "5:16", "number too large"),
        ("type a = array[2147483647] of int;", "5:10", "too large for any message"),
        ("type a = array[*:4] of bytes;", "5:10", "too complicated"),
        ("type a = ^^int;", "5:10", "already defined to be Out-Of-Line"),
        ("type a = MACH_MSG_TYPE_NONESUCH;", "5:10", "unknown IPC type"),
        ("type a = MACH_MSG_TYPE_UNSTRUCTURED;", "5:10", "must use full IPC type decl"),
        ("type a = MACH_MSG_TYPE_CHAR | MACH_MSG_TYPE_REAL_64;", "5:10", "aren't equal"),
        ("type a = MACH_MSG_TYPE_INTEGER_32 | polymorphic;", "5:10", "can't be sent as data"),
        ("type a = bytes ctype: b destructor: c(d);", "5:6", "can't destroy variable-sized"),
        ("type routine = int;", "5:6", "expected a type name before 'routine'"),
        ("skip", "5:1", "expected ';' before end of file"),
        ("import foo.h;", "5:8", "expected a file name"),
        ("type a = int @;", "5:14", "illegal character '@'"),
        ("type a = " + "^" * 70 + "int;", "5:74", "nested more than 64 levels deep"),
        ("type a = array[" + "(" * 70 + "1;", "5:79", "nested more than 64 levels deep"),
    ],
)
def test_the_message_points_at_its_place(text: str, place: str, message: str) -> None:
    first = errors(text)[0]
    assert first.startswith(f"t.defs:{place}: error: "), first
    assert message in first.splitlines()[0]


def test_the_caret_stands_under_the_place() -> None:
    message = errors("\troutine r(p : port;\tn : nonesuch);")[0].splitlines()
    assert message[1] == "\troutine r(p : port;\tn : nonesuch);"
    assert message[2] == "\t" + " " * 19 + "\t" + " " * 4 + "^"


def test_one_run_reports_several_errors() -> None:
    found = errors("type a = b;\ntype c = ;\nroutine r(p : port; n : d; q);\nskip;\n")
    assert [m.split(": ")[0] for m in found] == ["t.defs:6:10", "t.defs:7:29", "t.defs:5:10"]


def test_too_many_errors_end_the_run() -> None:
    found = errors("type a = ;\n" * 1000)
    assert len(found) == 21
    assert found[-1] == "fatal: too many errors"


def test_a_missing_subsystem_is_an_error() -> None:
    with pytest.raises(CompilationError, match="no SubSystem declaration"):
        compile_text("skip;", "t.defs", Diagnostics())


def test_message_ids_must_fit(tmp_path: Path) -> None:
    with pytest.raises(CompilationError, match="exceed the range"):
        compile_text("subsystem s 2147483600;", "t.defs", Diagnostics())


def test_line_markers_say_where_the_text_came_from() -> None:
    text = '# 10 "one.defs"\ntype a =\n#line 3 "two \\"b\\".defs" 1\n b;\n#pragma once\n'
    words = [(t.value, t.where.file, t.where.line) for t in tokenize(text, "x")]
    assert words == [
        ("type", "one.defs", 10),
        ("a", "one.defs", 10),
        ("=", "one.defs", 10),
        ("b", 'two "b".defs', 3),
        (";", 'two "b".defs', 3),
        ("", 'two "b".defs', 3),
    ]


def test_raw_words_follow_their_keywords_only_in_statements() -> None:
    text = "waittime a-b/c.d; import <x/y.h>; routine r(s : p; msgoption o : i; waittime w : n);"
    kinds = {t.value: t.kind for t in tokenize(text, "x")}
    assert kinds["a-b/c.d"] is Kind.STRING
    assert kinds["<x/y.h>"] is Kind.FILENAME
    assert kinds["o"] is kinds["w"] is Kind.IDENT
