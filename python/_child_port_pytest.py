"""The pytest plugin of child_port: the fixture no_right_leaks.

pytest imports it wherever child_port is installed, so it stands outside the package and imports
child_port when a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

_raised = pytest.StashKey[bool]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    before = call.when != "setup" and item.stash.get(_raised, False)
    item.stash[_raised] = before or call.excinfo is not None


@pytest.fixture
def no_right_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """The test fails if this task has Mach rights after it that it did not have before.

    Rights that are released within a few seconds, by other threads or the collector, are none. The
    report says which right object owns each and where that was made. A test that fails by itself is
    not asked: its traceback keeps what was in its variables.

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
    if request.node.stash.get(_raised, False):
        return
    left = leaks.settled()
    if left:
        pytest.fail("rights are left that were not there before:\n" + "\n".join(left), False)
