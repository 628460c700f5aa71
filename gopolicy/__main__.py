"""``python -m gopolicy`` is the ``gopolicy`` command."""

import sys

from gopolicy.cli import main

if __name__ == "__main__":
    sys.exit(main())
