"""``python -m tests.faults``: see :mod:`tests.faults.runner`."""

import sys

from tests.faults.runner import main

if __name__ == "__main__":
    sys.exit(main())
