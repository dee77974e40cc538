"""What type of right a caller expects, and whether that is what came."""

from __future__ import annotations

from typing import TypeVar

from ._child_port import CheckIn, Right
from ._errors import RightTypeMismatch

_R = TypeVar("_R", bound=Right)
Expect = type[_R] | tuple[type[_R], ...]


def kinds_of(expect: Expect[_R]) -> tuple[type[_R], ...]:
    """The expected types. TypeError if it is something else."""
    kinds = expect if isinstance(expect, tuple) else (expect,)
    if not kinds or not all(isinstance(kind, type) and issubclass(kind, Right) for kind in kinds):
        raise TypeError(f"expect must be a type of right or a tuple of them, not {expect!r}")
    return kinds


def expected_right(arrived: CheckIn, expect: tuple[type[_R], ...], key: str | None = None) -> _R:
    """The check-in's right. RightTypeMismatch if it is of another type; then it is released."""
    right = arrived.port
    if isinstance(right, expect):
        return right
    if right is not None:
        right.close()
    raise RightTypeMismatch(
        expect, None if right is None else type(right), arrived.disposition, key
    )
