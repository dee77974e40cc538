"""``python -m mig``: the command line."""

import sys

from mig.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
