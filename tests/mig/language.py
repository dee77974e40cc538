"""The MIG language, construct by construct, and what the compiler does with each.

Every row is a test: its text is compiled, and a row that says "generated" is also generated and
compiled as C. ``mig/README.md`` carries the table; ``python tests/mig/language.py --write`` renews
it, ``--check`` says whether it is up to date.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / "mig" / "README.md"
BEGIN = "<!-- language table: made by tests/mig/language.py -->"
END = "<!-- end of the language table -->"


class Outcome(Enum):
    """What becomes of a construct."""

    GENERATED = "generated"
    IGNORED = "accepted, without effect"
    REFUSED = "parsed, refused"
    ERROR = "not MIG"


@dataclass(frozen=True)
class Row:
    """One construct. ``text`` stands after ``PRELUDE``; ``says`` is part of the message."""

    group: str
    construct: str
    text: str
    outcome: Outcome = Outcome.GENERATED
    says: str = ""


PRELUDE = """\
#include <mach/std_types.defs>
#include <mach/mach_types.defs>
subsystem sample 7000;
type bytes_t = array[*:16] of uint8_t;
type text_t = c_string[16];
type name_t = c_string[*:16];
type box_t = struct[4] of uint32_t;
type row_t = array[4] of uint32_t;
import "sample_types.h";
"""
TYPES = """\
#include <stdint.h>
#include <mach/mach.h>
typedef uint8_t bytes_t[16];
typedef char text_t[16];
typedef char name_t[16];
typedef struct { uint32_t v[4]; } box_t;
typedef uint32_t row_t[4];
typedef uint32_t *far_t;
typedef uint8_t *octets_t;
typedef mach_port_t *ports_t;
typedef struct thing *thing_t;
extern thing_t thing_in(mach_port_t);
extern mach_port_t thing_out(thing_t);
extern void thing_done(thing_t);
#define PATIENCE 50
#define MY_OPTION 0
"""


def _argument(text: str, kind: str = "routine") -> str:
    return f"{kind} r(s : mach_port_t; {text});"


G, X, R, E = Outcome.GENERATED, Outcome.IGNORED, Outcome.REFUSED, Outcome.ERROR
_OLD = "use a routine or a simpleroutine"
_KERNEL = "they are for stubs inside the kernel"
_INDEFINITE = "indefinite arrays are not generated"
_NATIVE = "native C types are not generated"
_PORT_ARRAY = "arrays of ports are not generated"

ROWS = (
    Row("Statements", "`subsystem name base`", ""),
    Row("Statements", "a second `subsystem`", "subsystem other 8000;", X, "will be ignored"),
    Row("Statements", "`subsystem kerneluser …`", "subsystem kerneluser k 1;", R, _KERNEL),
    Row("Statements", "`subsystem kernelserver …`", "subsystem KernelServer k 1;", R, _KERNEL),
    Row(
        "Statements",
        "`userprefix`, `serverprefix`",
        f"userprefix u_; serverprefix s_; {_argument('n : int')}",
    ),
    Row("Statements", "`serverdemux`", f"serverdemux my_demux; {_argument('n : int')}"),
    Row("Statements", "`routine`", _argument("n : int; out m : int")),
    Row("Statements", "`simpleroutine`", _argument("n : int", "simpleroutine")),
    Row("Statements", "`skip`", f"skip; {_argument('n : int')}"),
    Row(
        "Statements",
        "`import`, `uimport`, `simport`, `iimport`, `dimport`",
        "import <stdint.h>; uimport <stddef.h>; simport <stddef.h>;"
        ' iimport "sample_types.h"; dimport <stdint.h>;',
    ),
    Row("Statements", "`msgoption`", f"msgoption MY_OPTION; {_argument('n : int')}"),
    Row(
        "Statements",
        "`waittime`, `nowaittime`",
        f"waittime PATIENCE; {_argument('n : int')} nowaittime;",
    ),
    Row(
        "Statements",
        "`sendtime`, `nosendtime`",
        f"sendtime PATIENCE; {_argument('n : int')} nosendtime;",
    ),
    Row("Statements", "`rcsid`", f'rcsid "sample 1.0"; {_argument("n : int")}'),
    Row("Statements", "`error`", f"error my_error; {_argument('n : int')}", X),
    Row(
        "Statements",
        "`OnStackLimit`, in this spelling only",
        f"OnStackLimit 20; {_argument('n : int')}",
    ),
    Row(
        "Statements",
        "`UserTypeLimit`, in this spelling only",
        f"UserTypeLimit 100; {_argument('n : int')}",
        X,
        "UserTypeLimit is ignored",
    ),
    Row("Statements", "`usespecialreplyport 1`", "usespecialreplyport 1;", R, "not generated"),
    Row("Statements", "`consumeonsenderror`", "consumeonsenderror Timeout;", R, "not generated"),
    Row("Statements", "`procedure`, `simpleprocedure`", "procedure p(s : mach_port_t);", R, _OLD),
    Row("Statements", "`function`", "function f(s : mach_port_t) : int;", R, _OLD),
    Row(
        "Statements",
        "`function`, `procedure`, `simpleprocedure` as names",
        "type Function = int ctype: int; "
        + _argument("procedure : Function; simpleprocedure : int"),
    ),
    Row(
        "Statements",
        "`#include`, `#if`, macros, line markers",
        f"#define TWICE 2\n#if TWICE == 2\n{_argument('n : int')}\n#endif",
    ),
    Row(
        "Types",
        "`type new = old`",
        f"type mine = uint32_t ctype: uint32_t; {_argument('n : mine')}",
    ),
    Row(
        "Types",
        "`MACH_MSG_TYPE_INTEGER_8` … `_64`, `_CHAR`, `_BYTE`, `_BOOLEAN`, `_REAL_32`, `_REAL_64`",
        "type d = MACH_MSG_TYPE_REAL_64 ctype: double;"
        " type f = MACH_MSG_TYPE_REAL_32 ctype: float;"
        + _argument("a : d; b : f; c : uint8_t; e : int64_t; g : boolean_t"),
    ),
    Row(
        "Types",
        "`MACH_MSG_TYPE_` `COPY_SEND`, `MAKE_SEND`, `MOVE_SEND`, `MAKE_SEND_ONCE`,"
        " `MOVE_SEND_ONCE`, `MOVE_RECEIVE`, `PORT_NAME`",
        "type named = MACH_MSG_TYPE_PORT_NAME ctype: mach_port_t;"
        + _argument(
            "a : mach_port_copy_send_t; b : mach_port_make_send_t; c : mach_port_move_send_t;"
            " d : mach_port_make_send_once_t; e : mach_port_move_send_once_t;"
            " f : mach_port_move_receive_t; g : named"
        ),
    ),
    Row(
        "Types",
        "`MACH_MSG_TYPE_` `PORT_SEND`, `PORT_SEND_ONCE`, `PORT_RECEIVE`: the sender says how",
        _argument(
            "a : mach_port_send_t; b : mach_port_send_once_t; c : mach_port_receive_t;"
            " out d : mach_port_send_t"
        ),
    ),
    Row(
        "Types",
        "`polymorphic`, and `sent | received` pairs",
        "type half = polymorphic | MACH_MSG_TYPE_PORT_SEND ctype: mach_port_t;"
        + _argument("a : mach_port_poly_t; b : half; out c : mach_port_poly_t"),
    ),
    Row("Types", "`struct[n] of`", _argument("b : box_t; out c : box_t; inout d : box_t")),
    Row("Types", "`array[n] of`", _argument("b : row_t; out c : row_t; inout d : row_t")),
    Row(
        "Types", "`array[*:n] of`", _argument("b : bytes_t; n : int; c : bytes_t; out d : bytes_t")
    ),
    Row(
        "Types",
        "`c_string[n]`, `c_string[*:n]`",
        _argument("a : text_t; b : name_t; out c : text_t; out d : name_t"),
    ),
    Row(
        "Types",
        "integer expressions in bounds",
        f"type four = array[(2 - 6) / 2 * 1 + 6] of uint32_t ctype: row_t; {_argument('a : four')}",
    ),
    Row(
        "Types",
        "`ctype`, `cusertype`, `cservertype`",
        f"type mine = uint32_t cusertype: natural_t cservertype: uint32_t; {_argument('n : mine')}",
    ),
    Row(
        "Types",
        "`intran`, `outtran`, `destructor`",
        "type thing = mach_port_t cusertype: mach_port_t intran: thing_t thing_in(mach_port_t)"
        " outtran: mach_port_t thing_out(thing_t) destructor: thing_done(thing_t);"
        + _argument("t : thing; out u : thing"),
    ),
    Row(
        "Types",
        "`intran`, `outtran`, `destructor` of an array",
        "type rr_t = array[16] of uint8_t intran: data_t ain(rr_t) outtran: rr_t aout(data_t);"
        + _argument("b : bytes_t; a : rr_t"),
        R,
        "translations of arrays are not generated",
    ),
    Row(
        "Types",
        "`^array[] of`, `^array[n] of`, `^struct[n] of` (out of line)",
        "type far = ^array[] of uint32_t ctype: far_t; type block = ^array[4] of uint8_t"
        " ctype: octets_t; type big = ^struct[4] of uint32_t ctype: far_t;"
        + _argument("a : far; b : block; c : big; out d : far; inout e : far"),
    ),
    Row(
        "Types",
        "`^array[] of`, `^array[n] of` ports",
        "type some = ^array[] of mach_port_t ctype: ports_t; type any = ^array[3] of"
        " mach_port_poly_t ctype: ports_t;" + _argument("a : some; b : any; out c : some"),
    ),
    Row(
        "Types",
        "`array[] of`, `array[*] of` (indefinite, not `^`)",
        f"type any = array[] of uint8_t; {_argument('a : any')}",
        R,
        _INDEFINITE,
    ),
    Row(
        "Types",
        "arrays of ports in line",
        f"type some = array[3] of mach_port_t; {_argument('a : some')}",
        R,
        _PORT_ARRAY,
    ),
    Row(
        "Types",
        "`PointerTo`, `PointerToIfNot`, `ValueOf`, in these spellings only",
        _argument("a : ValueOf(natural_t)"),
        R,
        _NATIVE,
    ),
    Row(
        "Types",
        "long form, `(TYPE, bits)`",
        "type old = (MACH_MSG_TYPE_INTEGER_32, 32);",
        E,
        "aren't allowed any longer",
    ),
    Row(
        "Arguments",
        "`in`, `out`, `inout`, and none",
        _argument("a : int; in b : int; out c : int; inout d : int"),
    ),
    Row(
        "Arguments",
        "a type declared on the spot",
        _argument("b : here = struct[4] of uint32_t ctype: box_t"),
    ),
    Row("Arguments", "`requestport`", "routine r(in n : int; requestport s : mach_port_t);"),
    Row(
        "Arguments",
        "`replyport`, `sreplyport`, `ureplyport`",
        "type once = MACH_MSG_TYPE_MAKE_SEND_ONCE | 0 ctype: mach_port_t;"
        " routine q(s : mach_port_t; ureplyport p : once; n : int);"
        + _argument("replyport p : mach_port_make_send_once_t; n : int"),
    ),
    Row(
        "Arguments",
        "a second `requestport`, `replyport`, `waittime` or `msgoption`: the last holds",
        _argument("requestport t : mach_port_t; waittime v : natural_t; waittime w : natural_t"),
        X,
        "won't be used",
    ),
    Row(
        "Arguments",
        "`waittime`, `sendtime`, `msgoption`",
        _argument("waittime w : natural_t; msgoption o : integer_t; out n : int"),
    ),
    Row("Arguments", "`msgseqno`", _argument("msgseqno q : natural_t")),
    Row(
        "Arguments",
        "`sectoken`, `serversectoken`, `usersectoken`",
        _argument("serversectoken t : security_token_t; out n : int"),
    ),
    Row(
        "Arguments",
        "`audittoken`, `serveraudittoken`, `useraudittoken`",
        _argument("serveraudittoken t : audit_token_t; out n : int"),
    ),
    Row(
        "Arguments", "`servercontexttoken`", _argument("servercontexttoken c : mach_port_context_t")
    ),
    Row(
        "Arguments", "`serverimpl`, `userimpl`", _argument("serverimpl x : int"), R, "not generated"
    ),
    Row("Flags", "`countinout`", _argument("out b : bytes_t, CountInOut")),
    Row(
        "Flags",
        "`retcode`",
        _argument("c : kern_return_t, RetCode; p : mach_port_t; b : box_t", "simpleroutine"),
    ),
    Row(
        "Flags", "`samecount`", _argument("a : bytes_t; b : bytes_t, SameCount"), R, "not generated"
    ),
    Row(
        "Flags",
        "`dealloc`, `notdealloc`, `dealloc[]`, `physicalcopy`, and on data that comes in `auto`,"
        " out of line",
        "type far = ^array[] of uint32_t ctype: far_t;"
        + _argument(
            "a : far, Dealloc; b : far, Dealloc[]; c : far, PhysicalCopy; d : far, NotDealloc;"
            " e : far, Auto"
        ),
    ),
    Row(
        "Flags",
        "`overwrite` out of line, and `auto` on what goes out or on ports",
        f"type far = ^array[] of uint32_t ctype: far_t; {_argument('out a : far, Overwrite')}",
        R,
        "Overwrite is not generated",
    ),
    Row(
        "Flags",
        "`dealloc`, `notdealloc`, `dealloc[]`, `physicalcopy`, `overwrite` on inline data",
        _argument("a : int, Dealloc; b : int, PhysicalCopy; out c : int, Overwrite"),
        X,
        "is ignored",
    ),
    Row("Flags", "`auto`, `const`", _argument("a : int, Auto; b : int, Const"), X),
)


def table() -> str:
    """The table in Markdown."""
    lines = ["| construct | what becomes of it |", "|---|---|"]
    group = ""
    for row in ROWS:
        if row.group != group:
            group = row.group
            lines.append(f"| **{group}** | |")
        construct = row.construct.replace("|", "\\|")
        note = f": “…{row.says}…”" if row.says and row.outcome is not Outcome.GENERATED else ""
        lines.append(f"| {construct} | {row.outcome.value}{note} |")
    counts = ", ".join(
        f"{sum(r.outcome is outcome for r in ROWS)} {outcome.value}" for outcome in Outcome
    )
    return "\n".join([*lines, "", f"{len(ROWS)} rows: {counts}."])


def renewed(text: str) -> str:
    """The README's text with the table as it should be."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Command line: ``--write`` or ``--check``."""
    text = README.read_text(encoding="utf-8")
    if arguments == ["--write"]:
        README.write_text(renewed(text), encoding="utf-8")
        return 0
    if arguments == ["--check"]:
        if text == renewed(text):
            return 0
        print("mig/README.md: the language table is out of date: run tests/mig/language.py --write")
        return 1
    print("usage: language.py --write | --check")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
