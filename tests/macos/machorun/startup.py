"""Runs when an interpreter of the environment starts: see environment.py."""

import json
import sys
from pathlib import Path

from .hook import install

FINDER = install(**json.loads(Path(sys.prefix, "machorun.json").read_text(encoding="utf-8")))
