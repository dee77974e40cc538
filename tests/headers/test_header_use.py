"""The headers as a program uses them: alone, in C and C++, under strict warnings, and linked."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "ext" / "mach_linux"
INCLUDE = LIBRARY / "include"
HEADERS = sorted(path.relative_to(INCLUDE).as_posix() for path in INCLUDE.rglob("*.h"))
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror")

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="macOS has headers of its own"
)


def compile_text(compiler: str, *arguments: str, source: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    language = "c++" if "++" in compiler else "c"
    command = [compiler, *arguments, *STRICT, f"-I{INCLUDE}", "-fsyntax-only", "-x", language, "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("header", HEADERS)
def test_each_header_stands_alone(header: str) -> None:
    compile_text("cc", "-std=c11", source=f"#include <{header}>\nint unit;\n")


@pytest.mark.parametrize("compiler", ["gcc", "clang", "g++", "clang++"])
def test_all_together_are_clean_in_c_and_cxx(compiler: str) -> None:
    standard = "-std=c++14" if "++" in compiler else "-std=c11"
    # Twice: the guards hold.
    source = "".join(f"#include <{header}>\n" for header in HEADERS * 2) + "int unit;\n"
    compile_text(compiler, standard, source=source)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_macros_are_clean_where_they_are_used(compiler: str) -> None:
    source = """
        #include <mach/mach.h>
        mach_msg_size_t size(mach_msg_option_t option, mach_msg_header_t *header);
        mach_msg_size_t size(mach_msg_option_t option, mach_msg_header_t *header)
        {
            header->msgh_bits = MACH_MSGH_BITS_SET(MACH_MSG_TYPE_COPY_SEND,
                                                   MACH_MSG_TYPE_MAKE_SEND_ONCE, 0,
                                                   MACH_MSGH_BITS_COMPLEX);
            if (!MACH_PORT_VALID(header->msgh_local_port) ||
                MACH_MSGH_BITS_LOCAL(header->msgh_bits) != MACH_MSG_TYPE_MOVE_SEND)
                header->msgh_local_port = MACH_PORT_NULL;
            return (mach_msg_size_t)round_msg(header->msgh_size) + REQUESTED_TRAILER_SIZE(option);
        }
"""
    compile_text(compiler, "-std=c11", source=source)


def declared_functions() -> list[str]:
    text = "".join((INCLUDE / header).read_text() for header in HEADERS)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"^#.*(\\\n.*)*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^typedef .*?;$|^static .*?^}$", "", text, flags=re.DOTALL | re.MULTILINE)
    return sorted(set(re.findall(r"\b([a-z]\w+)\((?!\*)", text)) - {"defined", "sizeof"})


def test_every_function_declared_is_in_the_shared_library(tmp_path: Path) -> None:
    functions = declared_functions()
    assert {"mach_msg", "mach_port_construct", "bootstrap_check_in", "audit_token_to_pid"} <= set(
        functions
    )
    build = tmp_path / "library"
    make = ["make", "-s", "-C", str(LIBRARY), f"BUILD={build}", f"{build}/libmach_linux.so"]
    subprocess.run(make, check=True, capture_output=True)
    includes = "".join(f"#include <{header}>\n" for header in HEADERS)
    uses = "".join(f"    use((void (*)(void)){function});\n" for function in functions)
    source = f"{includes}void use(void (*f)(void));\nvoid use(void (*f)(void)) {{ (void)f; }}\n"
    source += f"int main(void)\n{{\n{uses}    return 0;\n}}\n"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    command = [*compiler, "-w", "-x", "c", "-", f"-I{INCLUDE}", "-O0", "-o", str(tmp_path / "use")]
    command += ["-pthread", f"-L{build}", "-lmach_linux"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    missing = sorted(set(re.findall(r"undefined reference to `(\w+)'", done.stderr)))
    assert missing == []
    assert done.returncode == 0, done.stderr
