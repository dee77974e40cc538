"""Types made from other types: what they are in the generated C, or that they are refused."""

from __future__ import annotations

import pytest

from mig.compiler import Outputs, compile_text, generate
from mig.diagnostics import CompilationError, Diagnostics
from mig.emit.common import Names

START = """subsystem types 100;
type int = MACH_MSG_TYPE_INTEGER_32;
type byte = MACH_MSG_TYPE_BYTE;
type port = MACH_MSG_TYPE_COPY_SEND;
type triple = struct[3] of int;
"""


def generated(text: str, warnings: list[str] | None = None) -> Outputs:
    """What the compiler makes of a few declarations and routines."""
    diagnostics = Diagnostics()
    interface = compile_text(START + text, "types.defs", diagnostics)
    if warnings is not None:
        warnings += [w.splitlines()[0] for w in diagnostics.warnings]
    return generate(interface, Names("types.h", "typesS.h"), None)


@pytest.mark.parametrize(
    ("declarations", "size"),
    [
        ("type data = ^array[] of byte; type alias = data;", "1 * aCnt"),
        ("type data = ^array[] of byte; type other = data; type alias = other;", "1 * aCnt"),
        ("type data = array[] of byte; type alias = ^data;", "1 * aCnt"),
        ("type data = array[*:16] of byte; type alias = ^data;", "1 * aCnt"),
        ("type data = array[*:9] of byte; type other = data; type alias = ^other;", "1 * aCnt"),
        ("type data = ^array[] of int; type alias = data;", "4 * aCnt"),
        ("type data = array[] of triple; type alias = ^data;", "12 * aCnt"),
    ],
)
def test_an_alias_of_data_out_of_line_is_as_long_as_the_data(declarations: str, size: str) -> None:
    made = generated(f"{declarations} routine r(s : port; a : alias; out b : alias);")
    assert f"InP->a.size = {size};" in made.user
    assert f"OutP->b.size = {size.replace('aCnt', 'bCnt')};" in made.server


@pytest.mark.parametrize("direction", ["in", "out", "inout"])
@pytest.mark.parametrize(
    "clauses",
    [
        "intran: data ain(t) outtran: t aout(data)",
        "outtran: t aout(data)",
        "destructor: done(data)",
    ],
)
def test_translations_of_arrays_are_refused(clauses: str, direction: str) -> None:
    with pytest.raises(CompilationError, match="translations of arrays are not generated"):
        generated(
            f"type rr = array[16] of byte {clauses}; routine r(s : port; {direction} a : rr);"
        )


def test_an_array_may_have_a_destructor_for_its_own_type() -> None:
    made = generated("type rr = array[16] of byte destructor: d(rr); routine r(s : port; a : rr);")
    assert "d(In0P->a);" in made.server


MOVED = """type bytes = array[*:9] of byte;
type heat = int ctype: int intran: double heat_in(int);
type cold = int ctype: int outtran: int cold_out(double);
routine r(s : port; x : bytes; inout h : heat; inout c : cold; out y : bytes; out k : heat);
"""


def test_a_missing_translation_is_said_and_a_moved_value_keeps_its_size() -> None:
    warnings: list[str] = []
    server = generated(MOVED, warnings).server
    assert [w.split("warning: ")[1] for w in warnings] == [
        "h: argument has no out-translation function",
        "c: argument has no in-translation function",
        "k: argument has no out-translation function",
    ]
    assert "int msgh_cursor = k;" in server
    assert "c = msgh_cursor;" in server
    assert "sizeof(k)" not in server.replace("memset(&k, 0, sizeof(k))", "")


ERROR_ALONE = """type heat = int ctype: int intran: double heat_in(int);
type thing = port ctype: port intran: thing_t thing_in(port) destructor: thing_done(thing_t);
simpleroutine r(s : port; code : int, RetCode; p : port; h : heat; t : thing);
"""


def test_an_error_that_comes_alone_brings_zeros_that_are_translated() -> None:
    call = generated(ERROR_ALONE).server.split("RetCode = r(")[1].split(");\n")[0]
    values = [value.strip() for value in call.split(",")]
    assert values[2:] == ["(port) 0", "heat_in((int) 0)", "(thing_t) 0"]


def test_memory_that_moved_when_a_send_timed_out_goes_back_to_mig() -> None:
    user = generated("type far = ^array[] of int; waittime 5; routine r(s : port; a : far);").user
    assert "mig_deallocate((vm_address_t) InP->a.address," in user
    assert "vm_deallocate" not in user


AUTO = "type far = ^array[] of int; type some = ^array[] of port;"


def test_data_that_is_the_callouts_for_the_call_alone_is_freed_after_it() -> None:
    server = generated(f"{AUTO} routine r(s : port; a : far, Auto);").server
    after = server.split("RetCode = r(")[1].split("RetCode;")[0]
    assert "mig_deallocate((vm_address_t) In0P->a.address, In0P->a.size);" in after
    assert "In0P->a.address = NULL;" in after and "In0P->a.size = 0;" in after


@pytest.mark.parametrize("argument", ["a : some, Auto", "out a : far, Auto", "inout a : far, Auto"])
def test_what_is_not_data_that_comes_in_cannot_be_freed_so(argument: str) -> None:
    with pytest.raises(CompilationError, match="not generated but for data that comes in"):
        generated(f"{AUTO} routine r(s : port; {argument});")
