"""What the comparison must be told: arguments for macros, and what Apple's headers leave out.

Each macro with parameters needs arguments to be compared with; one without an entry here is an
error, so that none goes unseen.
"""

from __future__ import annotations

_OPTIONS = tuple(f"(MACH_RCV_MSG | ({n} << 24))" for n in range(16))
_BITS = ("0u", "0x1513u", "0x80001112u", "0x0011130fu", "0xffffffffu")
_DISPOSITIONS = tuple(str(n) for n in range(14, 24))
_NAMES = ("0u", "0x103u", "0xabcdef12u", "0xffffffffu")
_CODES = ("0", "17", "0x10004003", "0x3fffffff")
_BITS_OF = ("REMOTE", "LOCAL", "VOUCHER", "PORTS", "OTHER", "IS_COMPLEX")
_HAS = ("HAS_REMOTE", "HAS_LOCAL", "HAS_VOUCHER")

SAMPLES: dict[str, tuple[str, ...]] = {
    **{f"MACH_MSGH_BITS_{name}": _BITS for name in (*_BITS_OF, *_HAS)},
    "MACH_MSGH_BITS": ("19, 21", "0, 0", "0x1f, 0x1f"),
    "MACH_MSGH_BITS_SET_PORTS": ("19, 21, 17", "0x3f, 0x3f, 0x3f"),
    "MACH_MSGH_BITS_SET": ("19, 21, 17, 0x80000000u", "0x3f, 0x3f, 0x3f, 0xffffffffu"),
    **{
        f"MACH_MSG_TYPE_PORT_ANY{kind}": _DISPOSITIONS
        for kind in ("", "_SEND", "_SEND_ONCE", "_RIGHT")
    },
    "MACH_RCV_TRAILER_TYPE": ("0", "1", "7"),
    "MACH_RCV_TRAILER_ELEMENTS": ("0", "3", "15", "19"),
    "GET_RCV_ELEMENTS": _OPTIONS,
    "REQUESTED_TRAILER_SIZE": _OPTIONS,
    "REQUESTED_TRAILER_SIZE_NATIVE": _OPTIONS,
    "round_msg": ("0", "24", "25", "28u", "0xfffffffbu", "0xffffffffu"),
    "MACH_PORT_VALID": _NAMES,
    "MACH_PORT_INDEX": _NAMES,
    "MACH_PORT_GEN": _NAMES,
    "MACH_PORT_MAKE": ("1u, 0x03000000u", "0xabcdefu, 0x12000000u"),
    "MACH_PORT_TYPE": tuple(str(n) for n in range(6)),
    "err_system": ("0", "4", "0x3e", "0x3f"),
    "err_sub": ("0", "1", "0xfff", "0x1fff"),
    "err_get_system": _CODES,
    "err_get_sub": _CODES,
    "err_get_code": _CODES,
    "mach_task_self": ("",),
    "current_task": ("",),
    "task_get_bootstrap_port": ("task, port",),
    "task_set_bootstrap_port": ("task, port",),
}

# Headers of the macOS SDK that the subset in ziglang does not carry. The generated file compares
# what they declare wherever it is compiled with the whole SDK.
ABSENT_HEADERS = {
    "bsm/libbsm.h": "a library's header, not libSystem's",
    "servers/bootstrap.h": "not among the headers that ziglang carries",
}

# Names without a public declaration at Apple's, each with the reason that it is in ours.
UNDECLARED = {
    "mach_reply_port": "libSystem exports it, the SDK does not declare it; programs do themselves",
}

# Functions of an absent header that another library than libSystem exports.
NOT_IN_LIBSYSTEM = ("audit_token_to_",)
