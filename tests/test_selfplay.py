"""Self-play: engines that play illegal moves, stop, or hold more and more memory are found out; a sound one is not."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import selfplay  # noqa: E402

# Plays the moves it is given, then passes; `stop` ends it, `grow` takes 20 MiB.
FAKE = """
import sys
moves, held, at = sys.argv[1:], [], 0
for line in sys.stdin:
    words, reply = line.split(), ""
    if words[0] == "clear_board":
        at = 0
    if words[0] == "genmove":
        reply = moves[at] if at < len(moves) else "pass"
        at += 1
    if reply == "stop":
        sys.exit(3)
    if reply == "grow":
        held.append(b"x" * 20 * 2**20)
        reply = "pass"
    print("= " + reply, end="\\n\\n", flush=True)
"""
# Black and White in turn: a ko around D4 and E4, which White takes at D4 with her last move.
KO = ["D5", "E5", "D3", "E3", "C4", "F4", "E4", "D4"]


@pytest.fixture
def fake(tmp_path: Path) -> list[str]:
    (tmp_path / "fake.py").write_text(FAKE, encoding="utf-8")
    return [sys.executable, str(tmp_path / "fake.py")]


@pytest.mark.parametrize(
    ("moves", "end"),
    [
        ([], "two passes"),
        (["A1", "resign"], "resignation"),
        (["A1", "B1", "A1"], "illegal: b a1, occupied"),
        (["A1", "zz99"], "illegal: w zz99, no point of the board"),
        (["A2", "T19", "B1", "A1"], "illegal: w a1, suicide"),
        ([*KO, "E4"], "illegal: b e4, ko"),
        ([*KO, "A1", "B1", "E4"], "two passes"),
        ([*KO, "pass", "A1", "E4"], "two passes"),
        (["A1", "pass", "A2", "pass", "A3"], "limit"),
    ],
)
def test_how_a_game_ends(fake: list[str], moves: list[str], end: str) -> None:
    engine = selfplay.Engine([*fake, *moves])
    try:
        game = selfplay.play(engine, 19, 5 if end == "limit" else 420)
    finally:
        engine.close()
    assert game.end == end
    if sys.platform == "linux":
        assert 2 < game.memory < 500


def run(fake: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "selfplay.py"), "--engine", shlex.join(fake), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("options", [["--engine", " "], ["--engine", '"x'], ["--size", "40"]])
def test_options_that_cannot_be(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["selfplay.py", *options])
    with pytest.raises(SystemExit) as stop:
        selfplay.main()
    assert stop.value.code == 2


def test_the_exit_status(fake: list[str], tmp_path: Path) -> None:
    sound = run([*fake, "A1"], "--games", "12", "--log", str(tmp_path / "log"))
    assert sound.returncode == 0, sound.stderr
    assert "100.0 %     12  two passes" in sound.stdout
    assert len((tmp_path / "log").read_text().splitlines()) == 12
    assert run([*fake, "A1", "A1"], "--games", "2").returncode == 1
    stopped = run([*fake, "A1", "stop"], "--games", "2")
    assert stopped.returncode == 2
    assert "genmove w: the engine stopped with exit status 3" in stopped.stderr
    if sys.platform == "linux":
        assert run([*fake, "grow"], "--games", "12").returncode == 1
