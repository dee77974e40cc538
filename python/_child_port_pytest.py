"""The pytest plugin of child_port: the fixture no_right_leaks.

pytest imports it wherever child_port is installed, so it stands outside the package and imports
child_port when a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def no_right_leaks() -> Iterator[None]:
    """The test fails if this task has Mach rights after it that it did not have before.

    Rights that are released within a few seconds, by other threads or the collector, are none. The
    report says which right object owns each and where that was made.

    The collector runs before each such test: among many modules, gc.freeze() once they are imported
    makes that quick.
    """
    from child_port import trace_rights
    from child_port._leaks import RightLeaks

    leaks = RightLeaks()
    traced = trace_rights(True)
    try:
        yield
    finally:
        trace_rights(traced)
    left = leaks.settled()
    if left:
        pytest.fail("rights are left that were not there before:\n" + "\n".join(left), False)
