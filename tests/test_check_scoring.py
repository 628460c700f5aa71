"""Scores against those that stand in the games, which needs no GNU Go; and what cannot be compared."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gopolicy.client import find_gnugo
from gopolicy.sgf import GameRecord

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import check_scoring  # noqa: E402

GNUGO = find_gnugo()
# Black holds four columns of seven and White three; all is counted, but for one game that ended by resignation.
GAME = "(;GM[1]FF[4]SZ[7]KM[6.5]RE[{}]" + "".join(f";B[d{row}];W[e{row}]" for row in "abcdefg") + "{};B[];W[])"
PASSES = ";B[];W[]" * 45  # --recorded asks for a hundred moves


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "check_scoring.py"), str(folder), "--playouts", "2", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_against_recorded_results(tmp_path: Path) -> None:
    for name, result in {"right": "B+0.5", "near": "B+2.5", "wrong": "W+2.5", "resigned": "B+R"}.items():
        (tmp_path / f"{name}.sgf").write_text(GAME.format(result, PASSES))
    (tmp_path / "short.sgf").write_text(GAME.format("B+0.5", ""))
    done = run(tmp_path, "--recorded", "--json", "--log", str(tmp_path / "log.jsonl"))
    told = json.loads(done.stdout)
    assert [told[name] for name in ("games", "near", "same", "same_winner")] == [3, 2, 1, 2]
    assert done.returncode == 1, "two thirds of the scores are not nine tenths"
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {Path(line["game"]).stem: line["referee"] for line in logged} == {"right": 0.5, "near": 2.5, "wrong": -2.5}
    (tmp_path / "wrong.sgf").unlink()
    assert run(tmp_path, "--recorded").returncode == 0


def test_recorded_results_go_by_the_games_rules(tmp_path: Path) -> None:
    """Black has two stones of handicap: by area 28 points to 21, and two more for White; by territory 19 to 14."""
    head = "(;GM[1]FF[4]SZ[7]KM[0.5]RU[{}]RE[{}]HA[2]AB[aa][ab]"
    handicap = head + "".join(f";W[e{row}];B[d{row}]" for row in "abcdefg") + "{};W[];B[])"
    for rules, result in {"Chinese": "B+4.5", "Japanese": "B+4.5", "Nihon": "B+6.5"}.items():
        (tmp_path / f"{rules}.sgf").write_text(handicap.format(rules, result, ";W[];B[]" * 45))
    done = run(tmp_path, "--recorded", "--json", "--log", str(tmp_path / "log.jsonl"))
    assert json.loads(done.stdout)["same"] == 3
    logged = {Path(line["game"]).stem: line for line in map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())}
    assert {name: line["rules"] for name, line in logged.items()} == {"Chinese": "area", "Japanese": "territory", "Nihon": "area"}


@pytest.mark.skipif(GNUGO is None, reason="GNU Go, the referee, is not installed")
def test_against_gnu_go(tmp_path: Path) -> None:
    (tmp_path / "game.sgf").write_text(GAME.format("", ""))
    (tmp_path / "large.sgf").write_text(GAME.format("", "").replace("SZ[7]", "SZ[21]"))
    (tmp_path / "unfinished.sgf").write_text(GAME.format("", "").replace(";B[];W[])", ";B[])"))
    (tmp_path / "dead.sgf").write_text(GAME.format("", "").replace("SZ[7]", "SZ[7]AB[gd]"))
    told = json.loads(run(tmp_path, "--json", "--log", str(tmp_path / "log.jsonl")).stdout)
    assert (told["games"], told["same"], told["stones"], told["stones_same"]) == (2, 2, 29, 29)
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(Path(line["game"]).stem, line["referee"], line["stones"]) for line in logged] == [("dead", 0.5, 15), ("game", 0.5, 14)]


@pytest.mark.skipif(os.name != "posix", reason="a program that is a script")
def test_a_game_that_takes_too_long_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And so is one that GNU Go does not understand; the others are counted."""
    for name in ("slow", "strange", "well"):
        (tmp_path / f"{name}.sgf").write_text(
            GAME.format("", "").replace("KM[6.5]", {"slow": "KM[1]", "strange": "KM[2]"}.get(name, "KM[3]"))
        )
    program = tmp_path / "gnugo"
    program.write_text(
        f"#!{sys.executable}\nimport sys, time\nfor line in sys.stdin:\n"
        "    komi = line.split()[1] if line.startswith('komi') else komi if 'komi' in globals() else ''\n"
        "    if komi == '1' and line.startswith('final_score'): time.sleep(60)\n"
        "    score = {'2': 'what'}.get(komi, 'B+4')\n"
        "    print('= ' + score * line.startswith('final_score'), end=chr(10) * 2, flush=True)\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(check_scoring, "LONGEST", 2)
    monkeypatch.setattr(sys, "argv", ["check_scoring.py", str(tmp_path), "--gnugo", str(program), "--playouts", "2", "--json"])
    check_scoring.main()
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["games"], told["same"]) == (1, 1)
    assert "slow.sgf is left out: the engine gave no answer to 'final_score' within 2 s" in err
    assert "strange.sgf is left out: 'what' is no final_score" in err


def test_where_nothing_can_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "game.sgf").write_text(GAME.format("B+R", ""))
    for options, said in (
        (["--recorded"], "no finished game was found"),
        (["--gnugo", "no such program"], "there is no program 'no such program'"),
        (["--recorded", "--every", "0"], "check_scoring.py: error: argument --every: '0': expected a whole number, 1 or more"),
    ):
        monkeypatch.setattr(sys, "argv", ["check_scoring.py", str(tmp_path), *options])
        with pytest.raises(SystemExit) as ended:
            sys.exit(check_scoring.main())
        assert ended.value.code == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith(said)


def test_what_is_judged_and_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The position after the last move, here a stone, with as many playouts of the network that is named."""
    (tmp_path / "game.sgf").write_text(GAME.format("B+0.5", PASSES).replace(";B[];W[])", ";B[ga])"))
    asked: list[object] = []

    def judge(policy: object, board: object, playouts: int) -> SimpleNamespace:
        asked.extend([policy, board.stones().tolist()[0], playouts])  # type: ignore[attr-defined]
        return SimpleNamespace(lead=lambda komi, rules: 0.5)

    def finished_games(paths: list[Path], every: int, recorded: bool) -> object:
        asked.append(every)
        return found(paths, 1, recorded)

    found = check_scoring.finished_games
    monkeypatch.setattr(check_scoring, "load", lambda name, threads, precision: (name, threads))
    monkeypatch.setattr(check_scoring.scoring, "judge", judge)
    monkeypatch.setattr(check_scoring, "finished_games", finished_games)
    options = "--recorded --playouts 3 --weights w --threads 2 --every 5"
    monkeypatch.setattr(sys, "argv", ["check_scoring.py", str(tmp_path), *options.split()])
    assert check_scoring.main() == 0
    assert asked == [5, ("w", 2), [0, 0, 0, 1, -1, 0, 1], 3]


def test_which_files_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in so many, each by its own name, and of these the finished games that can be counted."""
    monkeypatch.chdir(tmp_path)  # a folder's name, another in every run, would be part of theirs
    files = [Path(f"{number}.sgf") for number in range(90)]
    for file in files:
        file.write_text(GAME.format("", ""))
    bad = [Path("a.rar"), Path("words.sgf")]
    for file in bad:
        file.write_text("words")
    every, third, of_half = (
        {record.name for record in check_scoring.finished_games(some, n, False)}
        for some, n in ((bad + files, 1), (files, 3), (files[::2], 3))
    )
    assert every == {str(file) for file in files}
    assert 15 < len(third) < 45
    assert of_half == third & {str(file) for file in files[::2]}, "whatever lies beside it"
    counted = {name: GAME.format(*told) for name, told in {"a": ("B+0.5", PASSES), "b": ("", ""), "c": ("B+R", PASSES)}.items()}
    counted |= {"no komi": counted["a"].replace("KM[6.5]", ""), "no pass": counted["b"].replace(";B[];W[])", ";B[];W[aa])")}
    counted |= {f"{size} lines": counted["b"].replace("SZ[7]", f"SZ[{size}]") for size in (19, 20)}
    for name, text in counted.items():
        (tmp_path / f"{name}.sgf").write_text(text)
        taken = [bool(list(check_scoring.finished_games([tmp_path / f"{name}.sgf"], 1, recorded))) for recorded in (False, True)]
        expected = {"a": [True, True], "b": [True, False], "c": [True, False], "19 lines": [True, False]}
        assert taken == expected.get(name, [False, False]), name


# Leads of ten games, Black's, as the referee has them and here, and how many of a thousand stones differ.
@pytest.mark.parametrize(
    ("referees", "here", "differing", "status", "same", "winners"),
    [
        ([5.0] * 10, [5.0] * 9 + [7.5], 50, 0, 9, 10),
        ([5.0] * 10, [5.0] * 8 + [7.5] * 2, 50, 1, 8, 10),
        ([5.0] * 10, [5.0] * 10, 51, 1, 10, 10),
        ([5.0] * 10, [3.0] * 10, 0, 0, 0, 10),
        ([0.5, -0.5, 0.0, 0.0, -1.0] * 2, [0.0, 0.5, 0.0, -0.5, -2.0] * 2, 0, 0, 2, 4),
    ],
)
def test_what_is_good_enough(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    referees: list[float],
    here: list[float],
    differing: int,
    status: int,
    same: int,
    winners: int,
) -> None:
    """Nine games of ten within two points, and 95 of a hundred stones."""
    games = [check_scoring.Compared(str(i), a, b, "area", 100, seconds=i**2) for i, (a, b) in enumerate(zip(referees, here, strict=True))]
    games[0].differing = ["A1"] * differing
    left = iter(games)
    monkeypatch.setattr(check_scoring, "load", lambda *_, **__: None)
    monkeypatch.setattr(check_scoring, "finished_games", lambda *_: range(100))
    monkeypatch.setattr(check_scoring, "compare", lambda *_: next(left))
    monkeypatch.setattr(sys, "argv", ["check_scoring.py", "games", "--games", "10", "--gnugo", sys.executable])
    assert check_scoring.main() == status
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.endswith("took 20.5 s (median)")
    rows = {line[:34].strip(): line[34:].split() for line in lines}
    assert rows["the same score"][:3] == [str(same), "of", "10"]
    assert rows["the same winner"][:3] == [str(winners), "of", "10"]
    assert rows["dead or alive as it says, stones"] == [f"{1000 - differing:,}", "of", "1,000", f"{1 - differing / 1000:.2%}"]


def test_games_without_a_stone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Two passes and nothing else: their scores are told."""
    monkeypatch.setattr(check_scoring, "load", lambda *_, **__: None)
    monkeypatch.setattr(check_scoring, "finished_games", lambda *_: range(1))
    monkeypatch.setattr(check_scoring, "compare", lambda *_: check_scoring.Compared("a", -6.5, -6.5, "area"))
    monkeypatch.setattr(sys, "argv", ["check_scoring.py", "games", "--gnugo", sys.executable])
    assert check_scoring.main() == 0
    assert "the same winner" in capsys.readouterr().out.splitlines()[-1]


def test_a_program_that_is_not_gnu_go(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is asked a few times, and not once a game of a large archive. One that has counted a game may refuse as many as it likes; and what
    has been compared when Ctrl-C is pressed is told."""
    asked = []

    def compare(_policy: object, record: GameRecord, *_: object) -> check_scoring.Compared:
        asked.append(record.name)
        if record.name == counted:
            return check_scoring.Compared(record.name, 0.5, 0.5, "area", 1)
        if record.name == "20":
            raise KeyboardInterrupt
        raise check_scoring.EngineError("refused", "no idea")

    counted = None

    monkeypatch.setattr(check_scoring, "load", lambda *_, **__: None)
    monkeypatch.setattr(check_scoring, "finished_games", lambda *_: (GameRecord(19, 7.5, name=str(number)) for number in range(100)))
    monkeypatch.setattr(check_scoring, "compare", compare)
    monkeypatch.setattr(sys, "argv", ["check_scoring.py", "games", "--gnugo", sys.executable])
    with pytest.raises(check_scoring.GoPolicyError, match=re.escape(f"{sys.executable} seems to be no GNU Go: no idea")):
        check_scoring.main()
    assert len(asked) == check_scoring.MOST_REFUSALS
    counted = "2"
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--json"])
    assert check_scoring.main() == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["games"], told["left_out"]) == (1, 19)
