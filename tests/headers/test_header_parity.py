"""Our Mach headers against Apple's, and the comparison against headers that are wrong."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("ziglang", reason="Apple's headers come with ziglang")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headers.parity import Report, run
from headers.toolchain import INCLUDE

# What is wrong, in which header, in place of what, and the name that must be complained of.
WRONG = {
    "value": (
        "mach/message.h",
        "MACH_SEND_TIMED_OUT 0x10000004",
        "MACH_SEND_TIMED_OUT 0x14",
        "MACH_SEND_TIMED_OUT",
    ),
    "signedness": ("mach/kern_return.h", "KERN_FAILURE 5", "KERN_FAILURE 5u", "KERN_FAILURE"),
    "macro": ("mach/port.h", "((name) >> 8)", "((name) >> 7)", "MACH_PORT_INDEX"),
    "text": (
        "mach/mach_init.h",
        "current_task() mach_task_self()",
        "current_task() 0 + 1",
        "current_task",
    ),
    "type": (
        "mach/vm_types.h",
        "typedef vm_offset_t vm_address_t",
        "typedef int vm_address_t",
        "vm_address_t",
    ),
    "field order": (
        "mach/port.h",
        "mach_port_rights_t mps_pset;",
        "natural_t extra, mps_pset;",
        "struct mach_port_status.mps_pset",
    ),
    "bit-field": (
        "mach/message.h",
        "unsigned int pad2 : 16;",
        "unsigned int pad2 : 15, x : 1;",
        "mach_msg_port_descriptor_t.pad2",
    ),
    "prototype": (
        "mach/mach_traps.h",
        "mach_port_name_t t, int *x",
        "mach_port_name_t t, long *x",
        "pid_for_task",
    ),
    "variable": (
        "mach/ndr.h",
        "extern NDR_record_t NDR_record",
        "extern int NDR_record",
        "NDR_record",
    ),
    "invented constant": (
        "mach/error.h",
        "#define err_max_system 0x3f",
        "#define err_max_system 0x3f\n#define err_invented 7",
        "err_invented",
    ),
    "invented function": (
        "mach/vm_map.h",
        "extern kern_return_t vm_deallocate",
        "int vm_invented(void);\nextern kern_return_t vm_deallocate",
        "vm_invented",
    ),
    "invented type": (
        "mach/boolean.h",
        "#include <mach/machine/boolean.h>",
        "#include <mach/machine/boolean.h>\ntypedef int invented_t;",
        "invented_t",
    ),
}


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Report:
    include = tmp_path_factory.mktemp("wrong") / "include"
    shutil.copytree(INCLUDE, include)
    for header, right, wrong, _ in WRONG.values():
        text = (include / header).read_text()
        assert text.count(right) >= 1, f"{header} has no {right}"
        (include / header).write_text(text.replace(right, wrong, 1))
    return run(include)


def test_every_name_equals_apples() -> None:
    report = run()
    print(report.text())
    assert report.differences == []
    assert report.compared.total() >= 600


@pytest.mark.parametrize("what", WRONG)
def test_a_header_that_is_wrong_is_reported(wrong: Report, what: str) -> None:
    name = WRONG[what][3]
    assert [d for d in wrong.differences if name in d and "our headers" not in d]


def test_a_header_that_apple_has_not_is_reported(tmp_path: Path) -> None:
    shutil.copytree(INCLUDE, tmp_path / "include")
    (tmp_path / "include" / "mach" / "invented.h").write_text("#define MACH_INVENTED 1\n")
    assert any("invented.h" in difference for difference in run(tmp_path / "include").differences)


def test_a_macro_without_sample_arguments_is_refused(tmp_path: Path) -> None:
    shutil.copytree(INCLUDE, tmp_path / "include")
    with (tmp_path / "include" / "mach" / "boolean.h").open("a") as header:
        header.write("#define INVENTED(x) ((x) + 1)\n")
    with pytest.raises(RuntimeError, match="INVENTED"):
        run(tmp_path / "include")
