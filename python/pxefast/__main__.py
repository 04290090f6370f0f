"""`python -m pxefast` is `pxefast`."""

import sys

from pxefast.cli import main

if __name__ == "__main__":
    sys.exit(main())
