"""The compiler is run from the repository, not from an installation."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
for folder in (str(ROOT), str(HERE)):
    if folder not in sys.path:
        sys.path.insert(0, folder)

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)] or ["cc"]


@pytest.fixture(params=COMPILERS)
def cc(request: pytest.FixtureRequest) -> str:
    """Each C compiler that the host has."""
    return str(request.param)
