"""Early passes are found out: a game whose last border was left open, and the same game played to its end."""

from __future__ import annotations

import io
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from gopolicy.client import find_gnugo
from gopolicy.coords import BLACK, WHITE
from gopolicy.sgf import GameRecord, read_sgf

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import check_passes  # noqa: E402

GNUGO = find_gnugo()
# Black holds four columns of seven and White three, but the border is open below: the last three moves are worth more than komi leaves.
WALLS = "".join(f";B[d{row}];W[e{row}]" for row in "abcd")
CLOSED = "".join(f";B[d{row}];W[e{row}]" for row in "efg")
GAME = "(;GM[1]FF[4]SZ[7]KM[6.5]PB[gopolicy 1]PW[another]RE[{}]{};B[];W[])"


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "check_passes.py"), str(folder), "--player", "gopolicy", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(GNUGO is None, reason="GNU Go, the referee, is not installed")
def test_what_a_pass_gave_away(tmp_path: Path) -> None:
    (tmp_path / "finished.sgf").write_text(GAME.format("B+0.5", WALLS + CLOSED + ";B[aa]"))  # which by territory would cost Black the game
    finished = run(tmp_path, "--level", "1")
    assert finished.returncode == 0, finished.stderr
    assert "1 games, 1 with a pass of gopolicy" in finished.stdout
    assert "gains +0 points" in finished.stdout

    (tmp_path / "early.sgf").write_text(GAME.format("W+R", WALLS).replace(";B[];W[])", ";B[];W[dg])"))
    early = run(tmp_path, "--level", "1", "--json")
    told = {Path(line["game"]).stem: line for line in map(json.loads, early.stdout.splitlines())}
    assert told["finished"]["ended"] == told["finished"]["played_out"] == 0.5
    assert told["finished"]["move"] == 16
    assert told["early"]["move"] == 9
    assert told["early"]["ended"] < 0 < told["early"]["played_out"]
    assert early.returncode == 1


@pytest.mark.skipif(GNUGO is None, reason="GNU Go, the referee, is not installed")
@pytest.mark.parametrize(("result", "ended"), [("Void", None), ("?", None), ("W+3.5", -3.5), ("B+R", 999.0)])
def test_a_game_that_did_not_end_by_passes(tmp_path: Path, result: str, ended: float | None) -> None:
    (tmp_path / "game.sgf").write_text(GAME.format(result, WALLS).replace(";B[];W[])", ";B[];W[dg])"))
    done = run(tmp_path, "--level", "1", "--json")
    assert [json.loads(line)["ended"] for line in done.stdout.splitlines()] == ([] if ended is None else [ended])


@pytest.mark.skipif(GNUGO is None, reason="GNU Go, the referee, is not installed")
def test_what_gnu_go_cannot_count_is_left_out(tmp_path: Path) -> None:
    finished = GAME.format("B+0.5", WALLS + CLOSED)
    (tmp_path / "a.sgf").write_text(finished.replace("KM[6.5]", ""))
    (tmp_path / "b.sgf").write_text(finished.replace("SZ[7]", "SZ[21]"))
    (tmp_path / "c.sgf").write_text(finished)
    done = run(tmp_path, "--level", "1")
    assert "a.sgf is left out: its komi is not known" in done.stderr
    assert "b.sgf is left out: GNU Go plays on 19 lines at most" in done.stderr
    assert "1 games, 1 with a pass of gopolicy" in done.stdout


class Told(check_passes.Engine):
    """Answers what it is told, and notes what it is asked."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = list(answers), []

    def ask(self, command: str, seconds: float | None = None) -> str:
        self.asked.append(command)
        return self.answers.pop(0) if command.startswith(("genmove", "final")) else ""


def test_whose_pass_it_is_and_whose_points() -> None:
    """White passes with her first move; GNU Go plays on from there with White to move, and leads are White's."""
    game = "(;SZ[7]KM[6.5]AB[aa]PB[another]PW[gopolicy]{};B[dd];W[];B[ee];W[]{})"
    begin = ["boardsize 7", "clear_board", "komi 6.5", "play b A7", "play b D4"]
    record = read_sgf(game.format("", ";B[]"))
    gnugo = Told("W+3.5", "pass", "D5", "pass", "resign", "B+2")
    found = check_passes.look_at(record, WHITE, gnugo)
    assert found is not None
    assert (found.move, found.ended, found.played_out, found.moves, found.lost_by_it) == (2, 3.5, -2, 4, False)
    turns = ["genmove white", "genmove black"] * 2
    rest = ["play w pass", "play b E3", "play w pass", "play b pass"]
    assert gnugo.asked == [*begin, *rest, "final_score", *begin, *turns, "final_score"]
    for result, ended in (("W+1.5", 1.5), ("B+1.5", -1.5), ("B+R", -999)):
        found = check_passes.look_at(read_sgf(game.format(f"RE[{result}]", "")), WHITE, Told("pass", "pass", "W+8"))
        assert found is not None
        assert (found.ended, found.played_out, found.lost_by_it) == (ended, 8, ended < 0)
    assert check_passes.look_at(read_sgf(game.format("", "")), BLACK, Told()) is None
    assert [check_passes.lead(Told(score), colour) for score in ("B+2.5", "0") for colour in (BLACK, WHITE)] == [2.5, -2.5, 0, 0]
    assert check_passes.play_out(Told(*["A1"] * 99), BLACK, 7) == 98, "as long as it never passes"


def test_what_is_told_of_several_games(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Leads at the end and played out: +1 and +3, -2.5 and +4 (lost by it), -8 and -7, 0 and +9, and one that was resigned. In one nobody
    passed, at one GNU Go dies, at one Ctrl-C is pressed, and two files hold no game."""
    leads = {"a": (1.0, 3.0), "b": (-2.5, 4.0), "c": (-8.0, -7.0), "d": (0.0, 9.0), "e": (-999.0, -1.0)}
    for name in [*leads, "none", "stop", "crash"]:
        (tmp_path / f"{name}.sgf").write_text(GAME.format("", WALLS))
    for name in ("damaged.rar", "words.sgf"):
        (tmp_path / name).write_text("words")
    levels, closed = [], []

    def look_at(record: GameRecord, colour: int, gnugo: check_passes.Engine) -> check_passes.Pass | None:
        name = Path(record.name).stem
        if name == "stop":
            raise KeyboardInterrupt
        if name == "crash":
            raise check_passes.EngineError("gnugo", "signal 11")
        return check_passes.Pass(record.name, 9, *leads[name], 20) if name in leads else None

    monkeypatch.setattr(check_passes, "look_at", look_at)
    monkeypatch.setattr(check_passes.Engine, "__init__", lambda self, command: levels.append(command[command.index("--level") + 1]))
    monkeypatch.setattr(check_passes.Engine, "close", lambda self: closed.append(self))
    for names, level, status, told in (
        (
            "a.sgf damaged.rar words.sgf b.sgf c.sgf none.sgf d.sgf e.sgf",
            [],
            1,
            [
                "6 games, 5 with a pass of gopolicy; GNU Go, level 10, ",
                "gains +4.25 points in the median, +9 at most; over 2 points in 2 games",
                "the pass: 1",
                "b.sgf: move 9, -2.5 at the end, +4 played",
            ],
        ),
        (
            "a.sgf crash.sgf c.sgf d.sgf e.sgf",
            ["--level", "3"],
            0,
            ["4 games, 4 with ", "gains +2 points in the median, +9 at most; over 2 points in 1 games", "the pass: 0"],
        ),
        ("e.sgf stop.sgf b.sgf", [], 0, ["1 games, 1 with ", "the pass: 0"]),
    ):
        files = [str(tmp_path / name) for name in names.split()]
        monkeypatch.setattr(sys, "argv", ["check_passes.py", *files, "--player", "gopolicy", "--gnugo", sys.executable, *level])
        assert check_passes.main() == status
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == len(told)
        assert all(text in line for text, line in zip(told, lines, strict=True))
    assert levels == ["10", "3", "3", "10"]
    assert len(closed) == 4


def test_a_name_that_the_terminal_cannot_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "碁.sgf").write_text(GAME.format("", WALLS))
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "cp1252"))
    monkeypatch.setattr(check_passes, "look_at", lambda record, *_: check_passes.Pass(record.name, 9, -2.5, 4.0, 20))
    monkeypatch.setattr(check_passes, "Engine", lambda _: Told())
    monkeypatch.setattr(Told, "close", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["check_passes.py", str(tmp_path), "--player", "gopolicy", "--gnugo", sys.executable])
    assert check_passes.main() == 1
    sys.stdout.flush()
    assert rb"\u7881.sgf: move 9, " in written.getvalue()


def test_a_player_is_known_by_a_part_of_the_name() -> None:
    for black, white, colour in (
        ("Gopolicy 1", "x", BLACK),
        ("x", "a gopolicy", WHITE),
        ("gopolicy 1", "gopolicy 2", None),
        ("x", "", None),
    ):
        assert check_passes.player_of(read_sgf(f"(;PB[{black}]PW[{white}];B[aa])"), "gopolicy") == colour


@pytest.mark.skipif(os.name != "posix", reason="a file that may be executed and cannot")
@pytest.mark.parametrize(
    ("player", "gnugo", "said"),
    [
        ("nobody", sys.executable, "none of 0 games of a player 'nobody' has a pass of this player"),
        ("gopolicy", "no such program", "there is no program 'no such program'"),
        ("gopolicy", sys.executable, "check_passes.py: the engine ended with status 2 instead of answering 'boardsize 7'"),
        ("gopolicy", "no program", "check_passes.py: the engine cannot be started: Exec format error"),
    ],
)
def test_where_there_is_nothing_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], player: str, gnugo: str, said: str
) -> None:
    """None of this is a game that a pass has lost, which status 1 says."""
    (tmp_path / "game.sgf").write_text(GAME.format("B+0.5", WALLS))
    (tmp_path / "no program").write_bytes(b"words")
    (tmp_path / "no program").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    monkeypatch.setattr(sys, "argv", ["check_passes.py", str(tmp_path / "game.sgf"), "--player", player, "--gnugo", gnugo])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "scripts" / "check_passes.py"), run_name="__main__")
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(said)
