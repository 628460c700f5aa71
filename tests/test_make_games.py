"""The games of data/ as they are made: from a GNU Go that plays what it is told, and those that lie there."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from gopolicy.archives import Member, members
from gopolicy.client import EngineError
from gopolicy.coords import BLACK, WHITE, point_to_gtp
from gopolicy.sgf import GameRecord, read_sgf

DATA = Path(__file__).parents[1] / "data"
sys.path.insert(0, str(DATA))

import make_games  # noqa: E402

# Plays all corners and a point beside the missing letter I, then passes; its command line and what it hears go to a file beside it.
FAKE = """
import pathlib, sys
log = pathlib.Path(__file__).with_suffix(".log").open("a")
print(*sys.argv[1:], file=log, flush=True)
moves = iter("A19 T19 A1 T1 J10 pass PASS".upper().split())
for line in sys.stdin:
    print(line.strip(), file=log, flush=True)
    word = line.split()[0]
    reply = next(moves) if word == "genmove" else {"final_score": "W+3.5", "version": "3.8"}.get(word, "")
    print("= " + reply, end="\\n\\n", flush=True)
"""


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    program = tmp_path / "gnugo"
    program.write_text(f"#!{sys.executable}{FAKE}", encoding="utf-8")
    program.chmod(0o755)
    return program


def made(monkeypatch: pytest.MonkeyPatch, program: Path, out: Path, *options: str) -> list[GameRecord]:
    monkeypatch.setattr(sys, "argv", ["make_games.py", "--gnugo", str(program), "--out", str(out), "--jobs", "1", *options])
    assert make_games.main() == 0
    return [read_sgf(item.data, name=item.name) for item in members([out]) if isinstance(item, Member)]


@pytest.mark.skipif(os.name != "posix", reason="a program that is a script")
def test_what_gnu_go_plays_stands_in_the_archive(fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    games = made(monkeypatch, fake, tmp_path / "a.tar.gz", "--games", "2", "--first-seed", "7", "--level", "3")
    assert [Path(game.name).name for game in games] == ["0007.sgf", "0008.sgf"]
    for game in games:
        assert [point_to_gtp(point, 19) for _, point in game.moves] == ["A19", "T19", "A1", "T1", "J10", "pass", "pass"]
        assert [colour for colour, _ in game.moves] == [BLACK, WHITE] * 3 + [BLACK]
        assert (game.size, game.komi, game.rules, game.result) == (19, 7.5, "Chinese", "W+3.5")
        assert game.players == ("GNU Go 3.8 level 3",) * 2
    heard = (tmp_path / "gnugo.log").read_text().splitlines()
    turns = [f"genmove {colour}" for colour in "bwbwbwb"]
    for number, seed in enumerate((7, 8)):
        mine = heard[13 * number :][:13]
        assert mine[0] == f"--mode gtp --level 3 --seed {seed} --chinese-rules --never-resign"
        assert mine[1:] == ["boardsize 19", "komi 7.5", *turns, "final_score", "version", "quit"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "gnugo", "gnugo.log"]


@pytest.mark.skipif(os.name != "posix", reason="a program that is a script")
def test_the_same_games_make_the_same_archive_and_a_stopped_run_goes_on(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made(monkeypatch, fake, tmp_path / "a.tar.gz", "--games", "3")
    play = make_games.play_game

    def stopped(engine: make_games.Engine, level: int, seed: int) -> str:
        if seed == 3:
            raise EngineError("crash", "it ended")
        return play(engine, level, seed)

    monkeypatch.setattr(make_games, "play_game", stopped)
    monkeypatch.setattr(
        sys, "argv", ["make_games.py", "--gnugo", str(fake), "--out", str(tmp_path / "b.tar.gz"), "--games", "3", "--jobs", "1"]
    )
    assert make_games.main() == 1
    work = tmp_path / "b.tar.gz.level1.games"
    assert f"it ended; finished games are kept in {work}" in capsys.readouterr().err
    kept = {path: path.stat().st_mtime_ns for path in work.glob("*.sgf")}
    assert sorted(path.name for path in kept) == ["0001.sgf", "0002.sgf"]
    monkeypatch.setattr(
        make_games, "play_game", lambda engine, level, seed: play(engine, level, seed) if seed == 3 else pytest.fail("again")
    )
    made(monkeypatch, fake, tmp_path / "b.tar.gz", "--games", "3")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    assert (tmp_path / "a.tar.gz").read_bytes()[4:8] == bytes(4), "gzip's time of writing (RFC 1952)"
    assert not work.exists()


@pytest.mark.skipif(os.name != "posix", reason="a program that is a script")
@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(28, "No space left on device", "0001.sgf")])
def test_a_stop_does_not_wait_for_the_games_that_are_played(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stop: BaseException
) -> None:
    """Ctrl-C does not reach the engines, and a game may last for minutes: here one that waits, while the second is about to begin."""
    heard, killed, begun = tmp_path / "heard", threading.Event(), []
    fake.write_text(
        f"#!{sys.executable}\nimport sys, time\nline = sys.stdin.readline()\n"
        f"open({str(heard)!r}, 'a').write(line)\ntime.sleep(0 if line == 'quit\\n' else 10)\n"
    )

    class Noted(make_games.Engine):
        def __init__(self, command: list[str]) -> None:
            super().__init__(command)
            begun.append(self)
            if len(begun) == 2:
                killed.wait(20)

        def kill(self) -> None:
            super().kill()
            killed.set()

    def as_completed(_: object) -> None:
        for _ in range(1500):  # half a minute
            if len(begun) == 2 and heard.exists() and "boardsize" in heard.read_text():
                break
            time.sleep(0.02)
        raise stop

    monkeypatch.setattr(make_games, "as_completed", as_completed)
    monkeypatch.setattr(make_games, "Engine", Noted)
    command = ["make_games.py", "--gnugo", str(fake), "--out", str(tmp_path / "a.tar.gz"), "--games", "3", "--jobs", "2"]
    monkeypatch.setattr(sys, "argv", command)
    assert make_games.main() == 1
    said = capsys.readouterr().err
    assert f"{str(stop) or 'stopped'}; finished games are kept in {tmp_path / 'a.tar.gz.level1.games'}, the same command goes on" in said
    assert (len(begun), begun[0].process.returncode) == (2, -signal.SIGKILL)
    assert heard.read_text().splitlines().count("boardsize 19") == 1


def test_a_game_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(make_games.Engine):
        def __init__(self) -> None:
            self.asked = 0

        def ask(self, command: str, seconds: float | None = None) -> str:
            self.asked += command.startswith("genmove")
            return "0" if command == "final_score" else "PASS" if self.asked % 2 else "A1"

    text = make_games.play_game(Endless(), 1, 1)
    assert text.count(";B[") + text.count(";W[") == 600


@pytest.mark.skipif(os.name != "posix", reason="a program that is a script")
def test_a_move_that_is_no_point(fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake.write_text(fake.read_text(encoding="utf-8").replace("J10", "A25"), encoding="utf-8")
    command = ["make_games.py", "--gnugo", str(fake), "--out", str(tmp_path / "a.tar.gz"), "--games", "1", "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", command)
    assert make_games.main() == 1
    assert "'A25' is no point of a 19x19 board" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="a program that is a script")
def test_a_folder_is_no_archive(fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Told before the games are played."""
    monkeypatch.setattr(sys, "argv", ["make_games.py", "--gnugo", str(fake), "--out", str(tmp_path)])
    assert make_games.main() == 1
    assert capsys.readouterr().err == f"--out {tmp_path} is a folder, expected the archive's file\n"


def test_without_gnu_go_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["make_games.py", "--gnugo", str(tmp_path / "none"), "--out", str(tmp_path / "a.tar.gz")])
    assert make_games.main() == 1
    assert capsys.readouterr().err.endswith("none': install GNU Go, or name it with --gnugo\n")
    assert not list(tmp_path.iterdir())


def test_the_games_that_lie_there_are_of_these_settings() -> None:
    games = [item for item in members([DATA / "gnugo-selfplay.tar.gz"]) if isinstance(item, Member)]
    assert [Path(item.name).name for item in games] == [f"{seed:04}.sgf" for seed in range(1, 201)]
    for seed, item in enumerate(games, start=1):
        assert f"GC[seed {seed}]".encode() in item.data
        record = read_sgf(item.data)
        assert (record.size, record.komi, record.rules, record.players) == (19, 7.5, "Chinese", ("GNU Go 3.8 level 1",) * 2)
