"""Types made from other types: what they are in the generated C, or that they are refused."""

from __future__ import annotations

import pytest

from mig.compiler import Outputs, compile_text, generate
from mig.diagnostics import Diagnostics
from mig.emit.common import Names

START = """subsystem types 100;
type int = MACH_MSG_TYPE_INTEGER_32;
type byte = MACH_MSG_TYPE_BYTE;
type port = MACH_MSG_TYPE_COPY_SEND;
type triple = struct[3] of int;
"""


def generated(text: str) -> Outputs:
    """What the compiler makes of a few declarations and routines."""
    interface = compile_text(START + text, "types.defs", Diagnostics())
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
