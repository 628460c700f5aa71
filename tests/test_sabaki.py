"""The engine driven by Sabaki's own library, @sabaki/gtp, in a process of node."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gopolicy import __version__

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> dict:
    """What the library understood; see sabaki.js."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not (ROOT / "node_modules" / "@sabaki" / "gtp").is_dir():
        pytest.skip("Sabaki's library is not here: npm install --no-save @sabaki/gtp")
    command = [node, str(ROOT / "tests" / "sabaki.js"), str(ROOT), sys.executable, str(ROOT / "gtp_engine.py"), "--threads", "1"]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, timeout=200, check=True)
    return json.loads(done.stdout)


def test_it_attaches(seen):
    assert (seen["name"], seen["version"], seen["protocol"]) == ("gopolicy", __version__, "2")
    assert {"analyze", "genmove_analyze", "set_free_handicap", "undo", "play"} <= set(seen["commands"])


def test_boards_are_brought_into_step(seen):
    assert seen["refused"] == [["rectangular_boardsize", "unacceptable size"]]
    assert seen["rectangular"] == "Board size is not supported by engine"
    assert seen["back"].replace("\n", "").endswith("AB[dd][pp];B[pd])"), seen["back"]
    assert seen["komi"] == "6.5"
    assert "9 . . . . . . . . . 9   White (O) to play move 2" in seen["board"]


def test_an_analysis_ends_when_something_else_is_asked(seen):
    assert seen["after"] == "2"
    lines = seen["analysis"]
    assert lines[0] == "="
    assert lines[-1] == ""
    assert len(lines) > 3
    for line in lines[1:-1]:
        # Sabaki's own way of taking a line apart: a pv to the end of each segment, winrate a whole number.
        for segment in line.split("info ")[1:]:
            assert re.search(r" pv (pass|[A-Z]\d+)( (pass|[A-Z]\d+))*$", segment.strip())
            assert re.search(r"\bvisits [1-9]\d+ winrate \d+ ", segment)


def test_a_move_reaches_the_board(seen):
    head, info, last, end = seen["genmove"]
    assert (head, end) == ("=", "")
    assert info.startswith("info move ")
    vertex = re.fullmatch(r"play ([A-J]\d)", last).group(1)
    assert seen["history"][-1] == {"name": "play", "args": ["W", vertex]}


def test_it_quits_by_itself(seen):
    assert seen["status"] == 0  # none where Sabaki has to kill it, after three seconds
