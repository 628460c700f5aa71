"""Matches: who plays what, what becomes of engines that misbehave, going on after a stop, and the figures of the result."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import itertools
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gopolicy import __version__, sgf
from gopolicy.client import find_gnugo
from gopolicy.coords import point_to_gtp

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import match  # noqa: E402

GNUGO = find_gnugo()

# Plays three moves along its own first line, or those it is given, then passes. Its standard error tells its process and what it hears.
FAKE = """
import os, sys, time
kind, *vertices = sys.argv[1:]
say = lambda text: print(text, file=sys.stderr, flush=True)
answer = lambda text: print(text + "\\n", flush=True)
say(f"pid {os.getpid()}")
heard = []
for line in sys.stdin:
    say(line.strip())
    command, *words = line.split()
    if command == "clear_board":
        heard, turn = [], 0
    if command == "genmove":
        turn += 1
        if turn == 2 and kind == "crash":
            sys.exit(3)
        if kind == "hang":
            while True:
                time.sleep(60)
        if kind == "slow":
            time.sleep(0.05)
        moves = vertices or [f"{letter}{dict(b=1, w=5)[words[0]]}" for letter in "ABC"]
        vertex = moves[turn - 1] if turn <= len(moves) else "PASS"
        answer({
            "garbage": "hello", "nonsense": "= Z99", "two words": "= A1 B1", "empty": "=", "error": "? no idea", "resign": "= Resign",
            "illegal": "= A1" if words[0] == "b" else "= A5",
        }.get(kind, "= " + vertex))
    elif command == "play" and kind == "deaf":
        answer("? illegal move")
    elif command == "play" and kind == "superko" and words in heard:
        answer("? illegal move")
    elif command == "play" and kind == "fragile" and words in heard:
        sys.exit(3)
    elif command == "final_score":
        answer("= " + vertices[0])
    else:
        heard.append(words)
        answer("= " + {"name": kind, "version": "1.0"}.get(command, ""))
"""


class Hall:
    """A folder with the fake engine, where matches are played."""

    def __init__(self, path: Path) -> None:
        self.path, self.out = path, path / "out"
        (path / "fake.py").write_text(FAKE)

    def engine(self, *words: str) -> str:
        return shlex.join([sys.executable, "-S", "-E", str(self.path / "fake.py"), *words])

    def command(self, a: str, b: str, *options: str) -> list[str]:
        """A match by force of defaults: two games on 5 lines, where the referee sees Black ahead by 2.5 points."""
        referee = self.engine("referee", "B+2.5")
        return [a, b, "--games", "2", "--size", "5", "--jobs", "1", "--referee", referee, "--out", str(self.out), "--json", *options]

    def games(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in (self.out / "games.jsonl").read_text().splitlines()[1:]]
        return sorted(lines, key=lambda line: line["number"])

    def records(self) -> list[sgf.GameRecord]:
        return [sgf.read_sgf(path) for path in sorted(self.out.glob("*.sgf"))]

    def heard(self, log: str) -> list[str]:
        return (self.out / log).read_text().splitlines()

    def assert_nobody_is_left(self) -> None:
        started = [line.removeprefix("pid ") for log in self.out.glob("*.log") for line in self.heard(log.name) if line.startswith("pid ")]
        assert started
        for _ in range(200):  # what was killed may take a moment to end
            states = subprocess.run(["ps", "-o", "stat=", "-p", ",".join(started)], capture_output=True, text=True, check=False).stdout
            if all(state.startswith("Z") for state in states.split()):
                return
            time.sleep(0.05)
        raise AssertionError(f"still running: {states}")


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    return Hall(tmp_path)


def played(capsys: pytest.CaptureFixture[str], command: list[str]) -> dict[str, Any]:
    """The JSON object that a match prints."""
    status = match.main(command)
    out, err = capsys.readouterr()
    assert status == 0, err
    result: dict[str, Any] = json.loads(out)
    return result


# ---- openings and colours


def test_openings() -> None:
    # Counted by Burnside's lemma. With p points in a corner, d of them on its diagonal: Black has two neighbouring corners,
    # (p^4 + p^2) / 2, or two opposite ones, (p^4 + p^2 + 2 d^2 p) / 4. On 19 lines p = 8 and d = 2 (5-5 is left out), on 9 lines p = 4.
    for size, p, d in ((19, 8, 2), (13, 8, 2), (9, 4, 2), (8, 4, 2)):
        assert len(match.openings(size, 1)) == (p**4 + p**2) // 2 + (p**4 + p**2 + 2 * d * d * p) // 4
    assert match.openings(7, 1) == []
    for opening in match.openings(19, 1)[:100]:
        places = [divmod(point, 19) for point in opening]
        assert len({(row > 9, column > 9) for row, column in places}) == 4
        assert all({min(row, 18 - row), min(column, 18 - column)} <= {2, 3, 4} for row, column in places)
        assert (places[0][0] < 9 < places[0][1], places[2][0] > 9) == (True, True), "Black's are the upper right and a lower corner"
    assert match.openings(19, 1) == match.openings(19, 1) != match.openings(19, 2)


def test_colours_and_openings_alternate(hall: Hall, capsys: pytest.CaptureFixture[str]) -> None:
    command = hall.command(hall.engine("one"), hall.engine("two"), "--games", "6", "--size", "9", "--jobs", "3", "--openings", "2")
    result = played(capsys, [*command, "--seed", "5"])
    records = hall.records()
    assert [record.players for record in records] == [("one 1.0", "two 1.0"), ("two 1.0", "one 1.0")] * 3
    first = [record.moves[:4] for record in records]
    assert first[0] == first[1] == first[4] == first[5]
    assert first[2] == first[3] != first[0]
    assert [tuple(point for _, point in moves) for moves in (first[0], first[2])] == match.openings(9, 5)[:2]
    # As the fake engine plays: A1, B1, C1 against A5, B5, C5, and two passes.
    assert [point_to_gtp(point, 9) for _, point in records[0].moves[4:]] == ["A1", "A5", "B1", "B5", "C1", "C5", "pass", "pass"]
    assert {(record.result, record.komi, record.size) for record in records} == {("B+2.5", 7.5, 9)}
    assert [line["number"] for line in hall.games()] == [1, 2, 3, 4, 5, 6]
    assert (result["games"], result["wins"], result["losses"], result["draws"], result["no_result"]) == (6, 3, 3, 0, 0)
    assert (result["with_black"], result["with_white"]) == ([3, 3], [0, 3])
    assert result["share"] == 0.5
    assert result["average_length"] == 12
    assert result["ends"]["two passes"] == 6
    assert result["faults"] == [{}, {}]
    assert result["repeated"] == 4  # two openings, and these engines do not care who has Black
    hall.assert_nobody_is_left()


def test_as_many_games_at_once_as_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = match.Settings(("a", "b"), ("A", "B"), 9, 7.0, None, 1, 262, 60.0, "none")
    together, tables = threading.Barrier(3), set()

    def play(table: match.Table, number: int) -> tuple[match.Game, sgf.GameRecord]:
        tables.add(table)
        together.wait(30)
        return game(number, "B+1"), sgf.GameRecord(9, 7.0)

    monkeypatch.setattr(match.Table, "play", play)
    with contextlib.closing(match.Log(tmp_path, settings)) as log:
        match.play_missing(match.Match(settings, tmp_path), log, 6, 3)
        assert sorted(log.games) == [1, 2, 3, 4, 5, 6]
    assert len(tables) == 3, "the engines keep running from game to game"


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    settings = match.Settings(("a", "b"), ("A", "B"), 9, 7.0, None, 1, 262, 60.0, "none")
    with contextlib.closing(match.Log(tmp_path, settings)) as log:
        log._file.close()
        log._file = Full()
        with pytest.raises(OSError, match=r"No space left on device: .*games.jsonl"):
            log.add(game(1, "B+1"), sgf.GameRecord(9, 7.0))
        assert log.games == {}


def test_a_draw_from_the_empty_board(hall: Hall, capsys: pytest.CaptureFixture[str]) -> None:
    command = hall.command(
        hall.engine("one"), hall.engine("two"), "--size", "9", "--openings", "0", "--referee", hall.engine("referee", "0")
    )
    result = played(capsys, command)
    assert (result["draws"], result["share"], result["elo"]) == (2, 0.5, 0)
    heard = hall.heard("referee.log")
    assert [after for line, after in itertools.pairwise(heard) if line == "final_score"] == ["quit"] * 2, "a new one for each game"
    for record in hall.records():
        assert record.result == "0"
        assert [point_to_gtp(point, 9) for _, point in record.moves] == ["A1", "A5", "B1", "B5", "C1", "C5", "pass", "pass"]


def test_engines_and_referee_hear_the_whole_game(hall: Hall, capsys: pytest.CaptureFixture[str]) -> None:
    played(capsys, hall.command(hall.engine("one"), hall.engine("two"), "--games", "1", "--komi", "6.5"))
    begin = ["boardsize 5", "clear_board", "komi 6.5"]
    introduced = ["name", "version", *begin, "quit"]

    def said(log: str) -> list[str]:
        return [line for line in hall.heard(log) if not line.startswith("pid ")]

    turns = [("A1", "A5"), ("B1", "B5"), ("C1", "C5")]
    black = list(itertools.chain.from_iterable(("genmove b", f"play w {w}") for _, w in turns))
    white = list(itertools.chain.from_iterable((f"play b {b}", "genmove w") for b, _ in turns))
    moves = list(itertools.chain.from_iterable((f"play b {b}", f"play w {w}") for b, w in turns))
    assert said("engine-A.log") == [*introduced, *begin, *black, "genmove b", "quit"]
    assert said("engine-B.log") == [*introduced, *begin, *white, "play b pass", "genmove w", "quit"]
    assert said("referee.log") == [*introduced, *begin, *moves, "play b pass", "play w pass", "final_score", "quit"]


# ---- engines that misbehave


@pytest.mark.parametrize(
    ("kind", "fault", "reason"),
    [
        ("crash", "crash", "the engine ended with status 3 instead of answering 'genmove b'"),
        ("garbage", "garbage", "'hello' is no answer to 'genmove b'"),
        ("nonsense", "garbage", "'Z99' is no point of a 5x5 board"),
        ("two words", "garbage", "'A1 B1' is no point"),
        ("empty", "garbage", "'' is no point"),
        ("illegal", "illegal", "black A1 is illegal at move 3: the point is occupied"),
        ("error", "refused", "'? no idea' to 'genmove b'"),
        ("deaf", "refused", "'? illegal move' to 'play w A5'"),
    ],
)
def test_a_fault_loses_the_game_and_the_match_goes_on(
    hall: Hall, capsys: pytest.CaptureFixture[str], kind: str, fault: str, reason: str
) -> None:
    result = played(capsys, hall.command(hall.engine(kind), hall.engine("two"), "--games", "3"))
    assert (result["wins"], result["losses"]) == (0, 3)
    assert result["faults"] == [{fault: 3}, {}]
    assert result["ends"]["a fault"] == 3
    assert result["average_length"] is None
    games = hall.games()
    assert [record.result for record in hall.records()] == ["W+F", "B+F", "W+F"]
    assert reason in games[0]["reason"]
    # It was started again: each game goes as far as the first with that colour.
    assert games[2]["moves"] == games[0]["moves"]
    assert hall.heard("engine-A.log").count("quit") == 1, "when it was introduced; after a fault it is killed at once"
    hall.assert_nobody_is_left()


def test_an_engine_that_hangs_is_killed_with_its_children(hall: Hall, capsys: pytest.CaptureFixture[str]) -> None:
    wrapped = shlex.join(["sh", "-c", f"{hall.engine('hang')}; true"])
    assert match.main(hall.command(hall.engine("one"), wrapped, "--games", "1", "--move-time", "2")) == 0
    out, err = capsys.readouterr()
    assert "game 1: hang 1.0: time-out, the engine gave no answer to 'genmove w' within 2 s\n" in err
    result = json.loads(out)
    assert (result["wins"], result["faults"]) == (1, [{}, {"time-out": 1}])
    assert [record.result for record in hall.records()] == ["B+T"]
    assert "no answer to 'genmove w' within 2 s" in hall.games()[0]["reason"]
    hall.assert_nobody_is_left()


def test_resignation_and_length_limit(hall: Hall, capsys: pytest.CaptureFixture[str]) -> None:
    result = played(capsys, hall.command(hall.engine("resign"), hall.engine("two")))
    assert (result["losses"], result["ends"]["resignation"]) == (2, 2)
    assert [record.result for record in hall.records()] == ["W+R", "B+R"]
    hall.out = hall.path / "short"
    result = played(capsys, hall.command(hall.engine("one"), hall.engine("two"), "--max-moves", "5"))
    assert result["ends"]["the length limit"] == 2
    assert [(line["moves"], line["result"]) for line in hall.games()] == [(5, "B+2.5")] * 2


@pytest.mark.parametrize(
    ("white", "end", "result", "faults"),
    [
        ("two", "two passes", "B+2.5", {}),
        ("superko", "a refused repetition", "Void", {}),
        ("fragile", "a fault", "B+F", {"crash": 1}),
    ],
)
def test_a_repeated_position(
    hall: Hall, capsys: pytest.CaptureFixture[str], white: str, end: str, result: str, faults: dict[str, int]
) -> None:
    """On 2x2: Black's B2 captures one stone, White's second B1 three, and then Black's A1 makes the position after move 2 again."""
    command = hall.command(
        hall.engine("one", "A1", "B2", "A2", "A1"), hall.engine(white, "B1", "pass", "B1"), "--games", "1", "--size", "2"
    )
    summary = played(capsys, command)
    (game,) = hall.games()
    assert (game["end"], game["result"], game["by"]) == (end, result, 1 if faults else None)
    assert summary["no_result"] == (result == "Void")
    assert summary["faults"] == [{}, faults]


@pytest.mark.parametrize(
    ("referee", "reason"),
    [
        ("none", ""),
        ("garbled", "the referee: 'B+2.5 or so' is no final_score"),
        ("deaf", "the referee: the engine answered '? illegal move'"),
    ],
)
def test_without_a_count_there_is_no_result(hall: Hall, capsys: pytest.CaptureFixture[str], referee: str, reason: str) -> None:
    command = hall.command(
        hall.engine("one"), hall.engine("two"), "--referee", "none" if referee == "none" else hall.engine(referee, "B+2.5 or so")
    )
    result = played(capsys, command)
    assert (result["wins"], result["losses"], result["no_result"]) == (0, 0, 2)
    assert result["share"] is result["interval"] is result["elo"] is result["elo_interval"] is None
    for game, record in zip(hall.games(), hall.records(), strict=True):
        assert (game["result"], record.result) == ("?", "?")
        assert game["reason"].startswith(reason)
    hall.assert_nobody_is_left()


def test_what_is_started_while_the_match_is_stopped_is_killed(hall: Hall) -> None:
    settings = match.Settings(("a", "b"), ("A", "B"), 9, 7.0, None, 1, 262, 60.0, "none")
    stopped = match.Match(settings, hall.path)
    stopped.stop()
    program = stopped.start(hall.engine("hang"), "log")
    assert program.process.returncode == -signal.SIGKILL
    stopped.close()


# ---- going on


def started(hall: Hall, command: list[str], games: int) -> subprocess.Popen[str]:
    """The match as a process, once it has logged so many games."""
    process = subprocess.Popen([sys.executable, str(ROOT / "scripts" / "match.py"), *command], stderr=subprocess.PIPE, text=True)
    log = hall.out / "games.jsonl"
    while not (log.exists() and log.read_bytes().count(b"\n") > games):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.02)
    return process


def test_killed_and_gone_on(hall: Hall, capsys: pytest.CaptureFixture[str]) -> None:
    command = hall.command(hall.engine("slow"), hall.engine("two"), "--games", "8", "--jobs", "2", "--size", "9")
    process = started(hall, command, 2)
    process.kill()
    process.communicate()
    before = hall.games()
    assert 2 <= len(before) < 8
    with (hall.out / "games.jsonl").open("a") as log:
        log.write('{"number": 8, "bla')  # cut off by force
    result = played(capsys, command)
    assert (result["games"], result["wins"], result["losses"]) == (8, 4, 4)
    after = hall.games()
    assert [line["number"] for line in after] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [line for line in after if line in before] == before
    assert len(hall.records()) == 8
    assert not list(hall.out.glob("*.part"))
    assert played(capsys, command) == result
    assert played(capsys, [*command, "--games", "3"])["games"] == 3
    assert hall.games() == after
    hall.assert_nobody_is_left()  # the killed one's engines too: they saw the end of their input


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped(hall: Hall, number: int) -> None:
    # The second game, where the engine that hangs has Black, does not end by itself.
    command = hall.command(hall.engine("one"), hall.engine("hang"), "--max-moves", "1", "--games", "4")
    process = started(hall, command, 1)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)  # the answer would be waited for twice as long
    assert process.returncode == 1
    assert f"match: stopped; 1 of 4 games are kept in {hall.out}, the same command goes on" in err
    assert "Traceback" not in err
    assert [line["number"] for line in hall.games()] == [1]
    hall.assert_nobody_is_left()


def test_the_folder_of_another_match_is_refused(hall: Hall, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = hall.engine("one"), hall.engine("two")
    played(capsys, hall.command(one, two))
    before = (hall.out / "games.jsonl").read_bytes()
    for other, what in (
        (hall.command(two, one), "engines"),
        (hall.command(one, two, "--komi", "0.5"), "komi 7.5 there, 0.5 here"),
        (hall.command(one, two, "--names", "x", "y"), "names"),
    ):
        assert match.main(other) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert what in err
        assert "holds another match" in err
        assert err.count("\n") == 1
    assert (hall.out / "games.jsonl").read_bytes() == before
    assert played(capsys, hall.command(one, two, "--games", "3"))["games"] == 3  # more of the same match
    assert played(capsys, hall.command(one, two, "--games", "1"))["games"] == 1  # the first of it

    (hall.out / "games.jsonl").write_bytes(before.replace(b'"black"', b'"blank"', 1))
    assert match.main(hall.command(one, two)) == 1
    assert "line 2 of" in capsys.readouterr().err
    (hall.out / "games.jsonl").write_bytes(b"".join(line for line in before.splitlines(keepends=True) if b'"number": 1,' not in line))
    assert played(capsys, hall.command(one, two))["games"] == 2  # that one alone is played again
    assert [line["number"] for line in hall.games()] == [1, 2]
    (hall.out / "games.jsonl").write_bytes(b"{}\n")
    assert match.main(hall.command(one, two)) == 1
    assert "line 1 of" in capsys.readouterr().err
    (hall.out / "games.jsonl").unlink()
    assert match.main(hall.command(one, two)) == 1
    assert "holds games but no match" in capsys.readouterr().err
    file = hall.path / "file"
    file.write_text("of the user")
    assert match.main(hall.command(one, two, "--out", str(file))) == 1
    assert capsys.readouterr().err == f"match: {file} is a file, and a match needs a folder: give --out another one\n"


def test_a_game_whose_file_cannot_be_written_is_played_again(hall: Hall, capsys: pytest.CaptureFixture[str]) -> None:
    command = hall.command(hall.engine("one"), hall.engine("two"))
    played(capsys, [*command, "--games", "1"])
    (hall.out / "0002.sgf").mkdir()
    assert match.main(command) == 1
    err = capsys.readouterr().err
    assert "0002.sgf" in err
    assert "Traceback" not in err
    hall.assert_nobody_is_left()
    (hall.out / "0002.sgf").rmdir()
    assert played(capsys, command)["games"] == 2
    assert len(hall.records()) == 2


@pytest.mark.skipif(os.name != "posix", reason="files are locked on POSIX systems only")
def test_two_at_once_in_one_folder_are_refused(hall: Hall) -> None:
    command = hall.command(hall.engine("one"), hall.engine("hang"), "--max-moves", "1")
    first = started(hall, command, 1)
    second = subprocess.run([sys.executable, str(ROOT / "scripts" / "match.py"), *command], capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == f"match: {hall.out} is in use: another process plays this match\n"
    first.terminate()
    first.communicate()
    hall.assert_nobody_is_left()


@pytest.mark.skipif(os.name != "posix", reason="files are locked on POSIX systems only")
def test_a_file_system_without_locks_is_no_other_match(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none_here(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none_here)
    assert played(capsys, [*hall.command(hall.engine("one"), hall.engine("two")), "--games", "1"])["games"] == 1


# ---- use


@pytest.mark.parametrize(
    "wrong",
    [
        ["--games", "0"],
        ["--size", "26"],
        ["--size", "1"],
        ["--komi", "nan"],
        ["--jobs", "0"],
        ["--move-time", "0"],
        ["--max-moves", "0"],
        ["--openings", "1"],  # there are none on 5 lines
        ["--names", "same", "same"],
        ["--names", "a\udcff", "b"],
        ["--referee", "'"],
        ["--referee", ""],
        ["--out", ""],
    ],
)
def test_wrong_use(hall: Hall, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        match.main(hall.command(hall.engine("one"), hall.engine("two"), *wrong))
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err
    assert not hall.out.exists()


def test_what_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: program)
    args = match.arguments_of(["a", "b"])
    assert (args.games, args.size, args.komi, args.openings, args.seed, args.move_time) == (100, 19, 7.5, None, 1, 120)
    assert [match.arguments_of(["a", "b", "--size", str(size)]).max_moves for size in (9, 19)] == [262, 822]
    assert shlex.split(args.referee) == ["gnugo", "--mode", "gtp", "--chinese-rules", "--seed", "1"]


def test_an_engine_that_cannot_play_at_all(hall: Hall, capsys: pytest.CaptureFixture[str]) -> None:
    for engine, reason in (
        ("no-such-program --gtp", "the engine cannot be started: No such file"),
        (shlex.join([sys.executable, "-c", "print('= hello')"]), "instead of answering 'name'"),
        (shlex.join([sys.executable, "-c", "print('hello')"]), "'hello' is no answer to 'name'"),
    ):
        assert match.main(hall.command(hall.engine("one"), engine)) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert reason in err
        assert err.count("\n") == 1
    assert not list(hall.out.glob("*.sgf"))


def test_table(hall: Hall, capsys: pytest.CaptureFixture[str]) -> None:
    command = hall.command(hall.engine("one"), hall.engine("resign"), "--names", "Left", "Right")
    command.remove("--json")
    assert match.main(command) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Left against Right: 2 games, 5x5, komi 7.5",
        "wins                  2 (1 of 1 with Black, 1 of 1 with White)",
        "losses                0",
        "share of the points   100.0 %, 95 % interval 34.2 % to 100.0 % (Wilson)",
        "Elo difference        +inf, 95 % interval -113 to +inf",
        "average length        0.5 moves",
        "ended by resignation  2 (100.0 %)",
    ]


def test_a_name_that_the_terminal_cannot_write(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "cp1252", write_through=True))
    command = hall.command(hall.engine("one"), hall.engine("resign"), "--games", "1", "--names", "碁", "Right")
    command.remove("--json")
    assert match.main(command) == 0
    assert written.getvalue().startswith(rb"\u7881 against Right: 1 games")


# ---- figures


@pytest.mark.parametrize(
    ("wins", "games", "low", "high"),
    # R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(wins: int, games: int, low: float, high: float) -> None:
    assert match.wilson(wins, games) == pytest.approx((low, high), abs=5e-5)
    assert match.wilson(games - wins, games) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_wilson_is_where_the_share_is_just_not_unlikely() -> None:
    for wins, games in ((1, 2), (62, 100), (150.5, 200)):
        for bound in match.wilson(wins, games):
            assert abs(wins / games - bound) == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / games), rel=1e-6)
    assert match.wilson(0, 7)[0] == 0
    assert match.wilson(7, 7)[1] == 1


def test_elo() -> None:
    # By its definition, 10 to 1 are 400 points; 100 points are 64 %, 200 are 76 % (A. E. Elo's logistic table).
    assert match.elo(10 / 11) == pytest.approx(400)
    assert match.elo(1 / 101) == pytest.approx(-800)
    assert match.elo(0.64) == pytest.approx(100, abs=1)
    assert match.elo(0.76) == pytest.approx(200, abs=1)
    assert (match.elo(0.5), match.elo(0.0), match.elo(1.0)) == (0, -math.inf, math.inf)


def game(number: int, result: str) -> match.Game:
    return match.Game(number, (number - 1) % 2, result, "two passes", "", None, "", 200, f"{number}", 1.0)


def test_summary_counts_draws_as_halves() -> None:
    settings = match.Settings(("a", "b"), ("A", "B"), 19, 7.0, None, 1, 822, 60.0, "none")
    games = [game(number, result) for number, result in enumerate(["B+1", "B+R", "0", "0", "B+T", "W+3", "Void", "?"], start=1)]
    result = match.summary(settings, games)
    # A has Black in games 1, 3, 5 and 7: it wins 1, 5 and 6, loses 2.
    assert (result["wins"], result["losses"], result["draws"], result["no_result"]) == (3, 1, 2, 2)
    assert (result["with_black"], result["with_white"]) == ([2, 3], [1, 3])
    assert result["share"] == pytest.approx(4 / 6, abs=1e-4)
    assert result["elo"] == pytest.approx(400 * math.log10(2), abs=0.1)
    assert {"draws                2", "no result            2"} < set(match.report(result).splitlines())
    lost = match.report(match.summary(settings, [game(1, "W+R"), game(2, "B+R")]))
    assert "\nElo difference       -inf, 95 % interval -inf to +113\n" in lost  # as in test_table, from the other side


def test_summary_of_faults_and_repeated_games() -> None:
    """A wins all but the third game: one by B's fault; the last game is the first one again."""
    settings = match.Settings(("a", "b"), ("A", "B"), 19, 7.0, None, 1, 822, 60.0, "none")
    games = [game(number, result) for number, result in enumerate(["B+1", "W+R", "W+2.5", "W+T"], start=1)]
    games[1] = dataclasses.replace(games[1], end="resignation", moves=130)
    games[3] = dataclasses.replace(games[3], end="a fault", fault="time-out", by=1, reason="late", moves=7)
    games.append(dataclasses.replace(games[0], number=5))
    result = match.summary(settings, games)
    assert (result["with_black"], result["with_white"], result["share"]) == ([2, 3], [2, 2], 0.8)
    low, high = match.wilson(4, 5)
    assert result["elo_interval"] == [round(match.elo(low), 1), round(match.elo(high), 1)]
    assert result["average_length"] == (3 * 200 + 130) / 4, "of games without a fault"
    assert result["ends"] == {"two passes": 3, "resignation": 1, "the length limit": 0, "a fault": 1, "a refused repetition": 0}
    assert result["faults"] == [{}, {"time-out": 1}]
    assert result["repeated"] == 1
    lines = match.report(result).splitlines()
    assert lines[-2:] == ["faults of B           time-out 1", "repeated games        1, move by move: the intervals are too narrow"]


# ---- a real engine


@pytest.mark.skipif(GNUGO is None, reason="GNU Go is not installed (Debian: apt-get install gnugo)")
def test_gnugo_against_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert GNUGO is not None
    engines = [f"{shlex.quote(GNUGO)} --mode gtp --level 1 --chinese-rules --seed {seed}" for seed in (1, 2)]
    result = played(capsys, [*engines, "--games", "2", "--size", "9", "--jobs", "2", "--out", str(tmp_path / "out"), "--json"])
    assert result["players"] == ["GNU Go 3.8 (A)", "GNU Go 3.8 (B)"]
    assert result["ends"]["two passes"] + result["ends"]["resignation"] == 2
    assert result["wins"] + result["losses"] == 2
    for path in sorted((tmp_path / "out").glob("*.sgf")):
        record = sgf.read_sgf(path)  # which refuses illegal moves
        assert len(record.moves) > 20
        # GNU Go counts the same when it reads the game from the file.
        asked = f"loadsgf {path}\nkomi 7.5\nfinal_score\nquit\n"
        command = [GNUGO, "--mode", "gtp", "--chinese-rules", "--seed", "1"]
        if not record.result.endswith("+R"):
            answers = subprocess.run(command, input=asked, capture_output=True, text=True, check=True).stdout
            assert f"= {record.result}\n" in answers


def test_the_script_and_the_package_engine(hall: Hall) -> None:
    """Started from another folder, the match in its own folder there; Black resigns before the engine has loaded its network."""
    engine = shlex.join([sys.executable, str(ROOT / "gtp_engine.py")])
    command = [sys.executable, str(ROOT / "scripts" / "match.py"), hall.engine("resign"), engine]
    command += ["--games", "1", "--size", "9", "--referee", "none", "--json"]
    done = subprocess.run(command, cwd=hall.path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["players"] == ["resign 1.0", f"gopolicy {__version__}"]
    assert result["losses"] == 1
    assert sgf.read_sgf(hall.path / result["folder"] / "0001.sgf").result == "W+R"
