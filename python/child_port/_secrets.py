"""What nobody may guess: tokens, and the names of services that few are to find."""

import os
import threading

SERVICE_NAMES = "org.child-port.handshake."
"""What every name that this package registers begins with, so that a policy can allow them."""

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEF"  # 32, so that 5 bits choose one


def random_token() -> int:
    """64 bits from the operating system's generator."""
    return int.from_bytes(os.urandom(8), "little")


def random_service_name() -> str:
    """The process, the thread, and 80 bits from the operating system's generator."""
    letters = "".join(_LETTERS[byte % 32] for byte in os.urandom(16))
    return f"{SERVICE_NAMES}{os.getpid()}.{threading.get_native_id()}.{letters}"
