"""``python -m ferrocyte``: the same as the command ``ferrocyte``."""

import sys

from ferrocyte.cli import main

if __name__ == "__main__":
    sys.exit(main())
