"""What the generated text is like: the same every time, and clean C and C++."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import parity
import pytest

INTERFACES = {i.name: i for i in parity.INTERFACES}
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-Werror", "-O2", "-c")
KINDS = ("user", "server", "header", "sheader", "iheader", "dheader")


def generate(defs: Path, folder: Path, seed: str = "0", cwd: Path | None = None) -> dict[str, str]:
    """Generate all six files and return their text."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {kind: folder / f"{kind}.out" for kind in KINDS}
    command = [sys.executable, "-m", "mig"]
    for kind, path in names.items():
        command += [f"-{kind}", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(parity.ROOT), "PYTHONHASHSEED": seed}
    subprocess.run([*command, str(defs)], check=True, cwd=cwd, env=environment)
    return {kind: path.read_text() for kind, path in names.items()}


@pytest.mark.parametrize("name", INTERFACES)
def test_the_same_bytes_whatever_the_place_and_the_hash_seed(name: str, tmp_path: Path) -> None:
    defs = INTERFACES[name].defs
    first = generate(defs, tmp_path / "one")
    second = generate(defs, tmp_path / "another place", seed="4711", cwd=tmp_path)
    assert first == second
    for text in first.values():
        assert str(tmp_path) not in text and str(parity.ROOT) not in text
        assert text.endswith("\n") and not text.endswith("\n\n")


@pytest.mark.parametrize("language", ["c", "c++"])
@pytest.mark.parametrize("name", INTERFACES)
def test_strict_compilers_have_nothing_to_say(
    name: str, language: str, cc: str, tmp_path: Path
) -> None:
    parity.generate(parity.OURS, INTERFACES[name], tmp_path)
    include = [f"-I{parity.HEADERS}", f"-I{tmp_path}", f"-I{parity.FACTS}"]
    for source in (f"{name}User.c", f"{name}Server.c"):
        parity.run(
            [cc, "-x", language, *STRICT, *include, str(tmp_path / source), "-o", os.devnull]
        )


@pytest.mark.parametrize("name", INTERFACES)
def test_the_stubs_compile_without_type_checks_and_without_headers(
    name: str, tmp_path: Path
) -> None:
    command = [*shlex.split(parity.OURS), "-user", "u.c", "-server", "s.c", "-header", os.devnull]
    parity.run([*command, str(INTERFACES[name].defs)], cwd=tmp_path)
    include = [f"-I{parity.HEADERS}", f"-I{parity.FACTS}"]
    for source in ("u.c", "s.c"):
        flags = [*STRICT, "-D__MigTypeCheck=0"]
        parity.run(["cc", *flags, *include, str(tmp_path / source), "-o", os.devnull])


def test_both_headers_can_be_included_in_either_order(tmp_path: Path) -> None:
    parity.generate(parity.OURS, INTERFACES["gamma"], tmp_path)
    for order in (("gamma.h", "gammaS.h"), ("gammaS.h", "gamma.h", "gamma.h")):
        source = tmp_path / "both.c"
        source.write_text("".join(f'#include "{name}"\n' for name in order))
        include = [f"-I{parity.HEADERS}", f"-I{tmp_path}", f"-I{parity.FACTS}"]
        parity.run(["cc", *STRICT, *include, str(source), "-o", os.devnull])


def test_exported_symbols_are_migs(tmp_path: Path) -> None:
    parity.generate(parity.OURS, INTERFACES["child_port"], tmp_path)
    found = set()
    for side in ("User", "Server"):
        include = [f"-I{parity.HEADERS}", f"-I{tmp_path}", f"-I{parity.FACTS}"]
        object_file = str(tmp_path / f"{side}.o")
        source = str(tmp_path / f"child_port{side}.c")
        parity.run(["cc", "-c", *include, source, "-o", object_file])
        listing = parity.run(["nm", "-g", "--defined-only", object_file])
        found |= {line.split()[-1] for line in listing.splitlines() if line.strip()}
    # Mach-O has an underscore before every name that C has.
    assert {name.removeprefix("_") if sys.platform == "darwin" else name for name in found} == {
        "child_port_check_in",
        "child_port_server",
        "child_port_server_routine",
        "handle_child_port_subsystem",
    }


HOOKS = """
extern int hooks;
#define __DeclareSendSimple(number, name) int declared = 0;
#define __BeforeSendSimple(number, name) declared = (number) + (int) sizeof(name);
#define __AfterSendSimple(number, name) hooks += declared;
"""


def test_a_program_can_hook_every_message(tmp_path: Path) -> None:
    parity.generate(parity.OURS, INTERFACES["child_port"], tmp_path)
    source = tmp_path / "hooked.c"
    source.write_text(HOOKS + '#include "child_portUser.c"\n')
    include = [f"-I{parity.HEADERS}", f"-I{tmp_path}", f"-I{parity.FACTS}"]
    parity.run(["cc", *STRICT, *include, str(source), "-o", os.devnull])


def test_a_port_named_by_what_arrives_has_its_disposition_from_the_sender(tmp_path: Path) -> None:
    text = generate(INTERFACES["ports"].defs, tmp_path)
    prototype = text["header"].split("kern_return_t ports_plain\n")[1].split(");")[0]
    assert "mach_msg_type_name_t bPoly" in prototype
    stub = text["user"].split("kern_return_t ports_plain\n")[1]
    assert "InP->b.disposition = bPoly & 0xffu;" in stub
    assert "bPoly" not in text["sheader"]


SUPERSEDED = """#include <mach/std_types.defs>
subsystem superseded 10;
simpleroutine twice(a : mach_port_poly_t; requestport b : mach_port_t; waittime c : natural_t;
  sendtime d : natural_t; msgoption e : integer_t; msgoption f : integer_t);
"""


def test_of_two_arguments_for_one_thing_the_last_holds(cc: str, tmp_path: Path) -> None:
    (tmp_path / "superseded.defs").write_text(SUPERSEDED)
    interface = parity.Interface("superseded", tmp_path / "superseded.defs", "", "")
    parity.generate(parity.OURS, interface, tmp_path)
    user = (tmp_path / "supersededUser.c").read_text()
    assert "msgh_remote_port = b;" in user
    assert "MACH_SEND_TIMEOUT|f," in user and "c, MACH_PORT_NULL" in user
    include = [f"-I{parity.HEADERS}", f"-I{tmp_path}"]
    for side in ("User", "Server"):
        source = tmp_path / f"superseded{side}.c"
        parity.run([cc, *STRICT, *include, str(source), "-o", os.devnull])


def test_a_limit_in_the_source_puts_longer_messages_on_the_heap(tmp_path: Path) -> None:
    text = INTERFACES["child_port"].defs.read_text()
    for limit, on_heap in ((40, True), (400, False)):
        defs = tmp_path / "limit.defs"
        defs.write_text(text.replace("import", f"OnStackLimit {limit};\nimport", 1))
        user = generate(defs, tmp_path / str(limit))["user"]
        assert ("mig_user_allocate(sizeof(*Mess))" in user) is on_heap


AWKWARD = """#include <mach/std_types.defs>
subsystem awkward 10;
type octets_t = array[*:9] of uint8_t;
type title_t = c_string[*:9];
import "awkward_types.h";
routine awkward(server : mach_port_t; inout count : int; received : title_t; start : octets_t;
  length : octets_t; out offered : octets_t, CountInOut; out value : title_t; out used : octets_t;
  routine_ : uint64_t; in_ : octets_t; size : uint64_t; Body : octets_t;
  msgh_shrinks : octets_t; aPad : uint8_t; int32_t : int32_t);
msgoption MACH_SEND_MSG; waittime 100-1;
routine awkward_too(server : mach_port_t; awkward_too_ : int);
"""


def test_arguments_may_have_any_ordinary_name(cc: str, tmp_path: Path) -> None:
    (tmp_path / "awkward.defs").write_text(AWKWARD)
    (tmp_path / "awkward_types.h").write_text(
        "#pragma once\n#include <stdint.h>\n"
        "typedef uint8_t octets_t[9];\ntypedef char title_t[9];\n"
    )
    parity.generate(
        parity.OURS, parity.Interface("awkward", tmp_path / "awkward.defs", "", ""), tmp_path
    )
    include = [f"-I{parity.HEADERS}", f"-I{tmp_path}"]
    for source in ("awkwardUser.c", "awkwardServer.c"):
        parity.run([cc, *STRICT, *include, str(tmp_path / source), "-o", os.devnull])
