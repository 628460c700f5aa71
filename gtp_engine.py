#!/usr/bin/env python3
"""The GTP engine, for a GUI's path field: the same as ``gopolicy gtp``, and gopolicy need not be installed.

    python /path/to/gtp_engine.py           # from any working folder
    python /path/to/gtp_engine.py --help    # the options, and what to write into a GUI

Where this Python lacks what gopolicy needs and scripts/demo.py has made .gopolicy-venv/, it goes on with the Python of that.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this file is kept simple enough for old ones to come this far
    sys.exit("gopolicy needs Python 3.11 or newer, and this is Python " + sys.version.split()[0] + ": write python3.11 into the GUI.")

import importlib.util
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".gopolicy-venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def main() -> int:
    complete = all(importlib.util.find_spec(module) for module in ("numba", "numpy", "safetensors", "sgfmill", "torch"))
    if not complete and PYTHON.exists() and sys.prefix != str(VENV):
        command = [str(PYTHON), str(ROOT / "gtp_engine.py"), *sys.argv[1:]]
        if os.name == "posix":
            os.execv(PYTHON, command)
        return subprocess.run(command, check=False).returncode  # Windows cannot exchange a process for another

    sys.path.insert(0, str(ROOT))  # before an installed gopolicy, and where Python was told not to look here (-P, -I)
    import argparse

    from gopolicy import gtp
    from gopolicy.errors import GoPolicyError

    parser = argparse.ArgumentParser(prog="gtp_engine.py", description="The engine for GTP clients such as Sabaki.")
    gtp.add_arguments(parser)
    try:
        return gtp.run(parser.parse_args())
    except GoPolicyError as error:
        print(f"gopolicy: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
