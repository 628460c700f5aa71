"""All checks of the project: sets everything up, then ruff, mypy and the tests.

    python scripts/test.py                           # everything
    python scripts/test.py tests/test_board.py -x    # arguments are pytest's; without ruff and mypy
    .gopolicy-venv/bin/python -m pytest -k ladder    # afterwards: without this script (Windows: .gopolicy-venv\\Scripts\\python)

Needs Python 3.11 or newer with pip, and the network the first time. Exit status 0 if all is well, 1 if not, 130 after Ctrl-C.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this file is kept simple enough for old ones to come this far
    sys.exit("gopolicy needs Python 3.11 or newer, and this is Python " + sys.version.split()[0] + ": try `python3.11 scripts/test.py`.")

from environment import INTERRUPTED, prepare, run

chosen = sys.argv[1:]
if chosen in (["--help"], ["-h"]):  # pytest's own help comes after the set-up
    sys.exit(print(__doc__))
prepare()
checks = [] if chosen else [("ruff", "check", "--quiet"), ("mypy", "--no-error-summary")]
status = 0
for check in (*checks, ("pytest", "--quiet", *chosen)):
    ended = run(*check)
    if ended == INTERRUPTED:
        sys.exit(ended)
    status |= ended != 0
sys.exit(status)
