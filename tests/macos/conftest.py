"""These tests need the environment that `make test-macos-binary` makes."""

import sys

collect_ignore_glob = [] if "machorun.startup" in sys.modules else ["test_*.py"]
