"""Any mixture of arguments that the compiler accepts becomes clean C and C++."""

from __future__ import annotations

import random
from pathlib import Path

import parity
import pytest

PRELUDE = """\
#include <mach/std_types.defs>
#include <mach/mach_types.defs>
subsystem mixture 900;
type box_t = struct[3] of uint32_t;
type bytes_t = array[*:9] of uint8_t;
type longs_t = array[*:4] of uint64_t;
type boxes_t = array[*:3] of box_t;
type row_t = array[5] of uint16_t;
type wide_t = array[2] of uint64_t;
type text_t = c_string[11];
type name_t = c_string[*:11];
type far_t = ^array[] of uint32_t;
type block_t = ^array[7] of uint8_t;
type ports_t = ^array[] of mach_port_t;
type any_t = ^array[] of mach_port_poly_t;
type half_t = polymorphic | MACH_MSG_TYPE_PORT_SEND ctype: mach_port_t;
type object_t = mach_port_t cusertype: mach_port_t intran: thing_t thing_in(mach_port_t)
  outtran: mach_port_t thing_out(thing_t) destructor: thing_done(thing_t);
type heat_t = int cusertype: int intran: double heat_in(int) outtran: int heat_out(double);
import "mixture_types.h";
"""
TYPES = """\
#pragma once
#include <stdint.h>
#include <mach/mach.h>
typedef struct { uint32_t v[3]; } box_t;
typedef uint8_t bytes_t[9];
typedef uint64_t longs_t[4];
typedef box_t boxes_t[3];
typedef uint16_t row_t[5];
typedef uint64_t wide_t[2];
typedef char text_t[11], name_t[11];
typedef uint32_t *far_t;
typedef uint8_t *block_t;
typedef mach_port_t *ports_t, *any_t;
typedef struct thing *thing_t;
#ifdef __cplusplus
extern "C" {
#endif
thing_t thing_in(mach_port_t);
mach_port_t thing_out(thing_t);
void thing_done(thing_t);
double heat_in(int);
int heat_out(double);
#ifdef __cplusplus
}
#endif
"""
VARIABLE = ("bytes_t", "longs_t", "boxes_t", "name_t")
COUNTED = ("bytes_t", "longs_t", "boxes_t")
OUT_OF_LINE = ("far_t", "block_t", "ports_t", "any_t")
OTHERS = (
    *("int", "uint8_t", "uint16_t", "uint64_t", "box_t", "row_t", "wide_t", "text_t", "half_t"),
    *("object_t", "heat_t", "mach_port_t", "mach_port_poly_t", "mach_port_move_receive_t"),
)
EXTRAS = (
    "replyport q : mach_port_make_send_once_t",
    "serveraudittoken q : audit_token_t",
    "waittime q : natural_t",
    "msgseqno q : natural_t",
)
RPC_EXTRAS = ("useraudittoken q : audit_token_t", "audittoken q : audit_token_t")
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-fsyntax-only")


def _argument(choose: random.Random, name: str, simple: bool) -> str:
    kind = choose.choice([*VARIABLE, *OUT_OF_LINE, *OTHERS])
    direction = "in" if simple else choose.choice(["in", "out", "inout"])
    if direction == "inout" and kind in VARIABLE:
        direction = "out"
    flags = [""]
    if direction == "out" and kind in COUNTED:
        flags.append(", CountInOut")
    if kind in OUT_OF_LINE:
        flags += [", Dealloc", ", Dealloc[]"]
    return f"{direction} {name} : {kind}{choose.choice(flags)}"


def _routine(choose: random.Random, name: str) -> str:
    simple = choose.random() < 0.3
    arguments = [_argument(choose, f"a{i}", simple) for i in range(choose.randint(0, 9))]
    extra = choose.choice(["", *EXTRAS, *(() if simple else RPC_EXTRAS)])
    if extra:
        arguments.insert(choose.randint(0, len(arguments)), extra)
    if simple and choose.random() < 0.5:
        arguments.append("code : kern_return_t, RetCode")
    server = choose.choice(["mach_port_t", "mach_port_poly_t", "object_t"])
    rest = "".join(f";\n  {a}" for a in arguments)
    return f"{'simpleroutine' if simple else 'routine'} {name}(requestport s : {server}{rest});\n"


@pytest.mark.parametrize("seed", range(6))
def test_a_mixture_of_arguments_is_clean_c_and_cpp(seed: int, cc: str, tmp_path: Path) -> None:
    choose = random.Random(seed)
    routines = "".join(_routine(choose, f"r{i}") for i in range(8))
    (tmp_path / "mixture.defs").write_text(PRELUDE + routines)
    (tmp_path / "mixture_types.h").write_text(TYPES)
    mixture = parity.Interface("mixture", tmp_path / "mixture.defs", "", "")
    parity.generate(parity.OURS + (" -maxonstack 64" if seed % 2 else ""), mixture, tmp_path)
    include = [f"-I{parity.HEADERS}", f"-I{tmp_path}"]
    files = [str(tmp_path / f"mixture{side}.c") for side in ("User", "Server")]
    for language in ("c", "c++"):
        parity.run([cc, "-x", language, *STRICT, *include, *files])
