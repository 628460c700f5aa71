"""Self-play: engines that play illegal moves, stop, or hold more and more memory are found out; a sound one is not."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import subprocess
import sys
import time
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
    ("moves", "end", "count"),
    [
        ([], "two passes", 2),
        (["A1", "resign"], "resignation", 1),
        (["A1", "B1", "A1"], "illegal: b a1, occupied", 3),
        (["A1", "zz99"], "illegal: w zz99, no point of the board", 2),
        (["A2", "T19", "B1", "A1"], "illegal: w a1, suicide", 4),
        ([*KO, "E4"], "illegal: b e4, ko", 9),
        ([*KO, "A1", "B1", "E4"], "two passes", 13),
        ([*KO, "pass", "E4"], "two passes", 12),  # by White herself
        (["A1", "pass", "A2", "pass", "A3"], "limit", 5),
    ],
)
def test_how_a_game_ends(fake: list[str], moves: list[str], end: str, count: int) -> None:
    engine = selfplay.Engine([*fake, *moves])
    try:
        game = selfplay.play(engine, 19, 5 if end == "limit" else 420)
        status = Path(f"/proc/{engine.process.pid}/status")
        resident = re.findall(r"VmRSS:\s+(\d+) kB", status.read_text()) if status.exists() else []
    finally:
        engine.close()
    assert (game.end, game.moves) == (end, count)
    if sys.platform == "linux":
        assert game.memory == pytest.approx(int(resident[0]) / 1024, rel=0.03)


@pytest.mark.skipif(sys.platform != "linux", reason="processes as Linux shows them")
def test_a_signal_to_end_leaves_no_engine_behind(tmp_path: Path) -> None:
    """Not even one that hears nothing: Ctrl-C and the end of a terminal reach no engine by themselves."""
    code = f"import os, pathlib, time; pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch(); time.sleep(99)"
    command = [sys.executable, str(ROOT / "scripts" / "selfplay.py"), "--engine", shlex.join([sys.executable, "-c", code])]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (begun := [int(path.name) for path in tmp_path.iterdir()]):
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "selfplay: stopped" in err
    assert not Path(f"/proc/{begun[0]}").exists()


def test_what_sound_games_are(capsys: pytest.CaptureFixture[str]) -> None:
    """99 of 100 end by two passes, none has an illegal move, and the last hold 5 % more than the first at most."""

    def sound(*others: str, last: float = 100.0) -> bool:
        ends = [*others, *["two passes"] * (100 - len(others))]
        return selfplay.report([selfplay.Game(300 + i, end, 100.0 if i < 90 else last) for i, end in enumerate(ends)], 100)

    assert sound()
    assert sound("resignation")
    assert not sound("resignation", "limit")
    assert not sound("illegal: b a1, occupied")
    assert sound(last=104)
    assert not sound(last=106)
    out = capsys.readouterr().out
    assert "100 games, 34,950 moves; 350 in the median game, 399 in the longest\n  100.0 %    100  two passes\n" in out
    assert "memory: 100 MiB at most in the first 10 games, 106 MiB in the last\n" in out
    assert not selfplay.report([selfplay.Game(300, "two passes", memory) for memory in range(100, 111)], 11)
    assert "memory: 101 MiB at most in the first 2 games, 110 MiB in the last\n" in capsys.readouterr().out
    assert selfplay.report([selfplay.Game(300, "two passes", 0.0)], 1)
    assert capsys.readouterr().out.endswith("memory: this system does not tell\n")


@pytest.mark.parametrize(("options", "limit"), [([], 420), (["--size", "9"], 94), (["--size", "9", "--limit", "7"], 7)])
def test_what_is_played_where_nothing_is_said(options: list[str], limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    class Silent:
        def __init__(self, command: list[str]) -> None:
            asked.append(" ".join(command[2:]))

        def ask(self, _: str) -> str:
            return ""

        def close(self) -> None:
            pass

    def play(_: object, __: int, limit: int) -> selfplay.Game:
        asked.append(limit)
        return selfplay.Game(1, "two passes", 1.0)

    monkeypatch.setattr(selfplay, "Engine", Silent)
    monkeypatch.setattr(selfplay, "play", play)
    monkeypatch.setattr(sys, "argv", ["selfplay.py", "--games", "1", *options])
    assert selfplay.main() == 0
    assert asked == ["--weights playouts --temperature 1 --seed 1 --threads 1", limit]


def run(fake: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "selfplay.py"), "--engine", shlex.join(fake), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("options", [["--engine", " "], ["--engine", '"x'], ["--size", "40"], ["--games", "0"], ["--limit", "0"]])
def test_options_that_cannot_be(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["selfplay.py", *options])
    with pytest.raises(SystemExit) as stop:
        selfplay.main()
    assert stop.value.code == 2


def test_ctrl_c(fake: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    log, engines = tmp_path / "log", []

    def play(engine: selfplay.Engine, *_: int) -> selfplay.Game:
        engines.append(engine)
        assert len(log.read_text().splitlines()) == len(engines) - 1, "every game is kept when it ends"
        if len(engines) == 2:
            raise KeyboardInterrupt
        return selfplay.Game(1, "two passes", 1.0)

    monkeypatch.setattr(selfplay, "play", play)
    monkeypatch.setattr(sys, "argv", ["selfplay.py", "--games", "3", "--log", str(log), "--engine", shlex.join(fake)])
    assert selfplay.main() == 1
    out, err = capsys.readouterr()
    assert out.startswith("1 games, ")
    assert "  100.0 %      1  two passes\n" in out
    assert err.endswith("selfplay: stopped\n")
    assert engines[0].process.returncode is not None, "the engine does not live on"


def test_the_exit_status(fake: list[str], tmp_path: Path) -> None:
    (tmp_path / "log").write_text("of an earlier run")
    sound = run([*fake, "A1"], "--games", "12", "--log", str(tmp_path / "log"))
    assert sound.returncode == 0, sound.stderr
    assert "100.0 %     12  two passes" in sound.stdout
    games = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [game["moves"] for game in games] == [3] * 12, "each begins anew"
    assert run(["no-such-program"], "--log", str(tmp_path / "log")).returncode == 2
    assert len((tmp_path / "log").read_text().splitlines()) == 12, "another run's log stays where none begins"
    nowhere = run(fake, "--log", str(tmp_path / "none" / "log"))
    assert (nowhere.returncode, nowhere.stderr) == (2, f"selfplay.py: {tmp_path / 'none' / 'log'}: {os.strerror(errno.ENOENT)}\n")
    assert run([*fake, "A1", "A1"], "--games", "2").returncode == 1
    stopped = run([*fake, "A1", "stop"], "--games", "2")
    assert stopped.returncode == 2
    assert "selfplay: the engine ended with status 3 instead of answering 'genmove w'" in stopped.stderr
    if sys.platform == "linux":
        full = run([*fake, "A1"], "--games", "2", "--log", "/dev/full")
        assert (full.returncode, full.stdout.splitlines()[0][:7]) == (1, "1 games"), "what was played is told"
        assert full.stderr.endswith("selfplay: /dev/full: No space left on device\n")
        assert run([*fake, "grow"], "--games", "12").returncode == 1
