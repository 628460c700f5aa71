"""The figures count what they say; how long anything takes is not tested."""

from __future__ import annotations

import json
import runpy
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from gopolicy import games
from gopolicy.coords import BLACK, PASS
from gopolicy.sgf import GameRecord
from tests.test_games import record, write

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import bench  # noqa: E402

SMALL = GameRecord(size=9, komi=6.5, players=("a", "b"), ranks=("7d", "6d"), moves=tuple((BLACK, 9 * row) for row in range(9)))


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Nine games of 60 moves, the last of them a pass; in one a stone was set up; and one on another board."""
    records = [replace(one, moves=(*one.moves[:-1], (one.moves[-1][0], PASS))) for one in map(record, range(9))]
    records[8] = replace(records[8], setup=((BLACK, 19),))
    file = tmp_path / "games.gpk"
    games.pack([write(tmp_path / "in", [*records, SMALL])], file, chosen=games.Filter(sizes=(9, 19)))
    return file


def test_the_best_of_several_rounds() -> None:
    times = iter([0.0, 4.0, 10.0, 12.0, 20.0, 25.0])
    assert bench.rate(lambda: 10, 3, lambda: next(times)) == 5.0


def test_what_is_counted(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece of work returns how many moves or positions it did: with those for rates, the figures are these numbers."""
    monkeypatch.setattr(bench, "rate", lambda work, *_: work())
    house = bench.Bench(Namespace(games=packed, archives=[tmp_path / "in"], weights=None), tmp_path)
    assert len(house.chosen) == 9, "those of 19x19"
    replay = house.replay()
    assert replay["moves_per_second"] == 3 * 8 * 60, "the games without stones that were set up, three times"
    assert replay["sgfmill_moves_per_second"] == 8 * 60
    assert replay["times_sgfmill"] == 3.0
    encode = house.encode()
    names = ("every_position", "eight_a_game", "one_a_game")
    assert [encode[f"{name}_per_second"] for name in names] == [9 * 59, 9 * 8, 9], "no pass is learned from"
    reading = house.reading()
    assert reading["games"] == reading["sgfmill_parses_per_second"] == 10, "kept or not"


def test_an_engine_s_game_is_timed_to_its_end() -> None:
    """From the second move: the first loads the network. Two passes end it, and the engine."""
    answers = ["D4", "pass", "Q16", "pass", "pass"]
    asked: list[str] = []
    player = SimpleNamespace(ask=lambda request: asked.append(request) or answers[len(asked) - 1], close=lambda: asked.append("closed"))
    assert len(bench.game(player, 99)) == 4
    assert asked == ["genmove b", "genmove w", "genmove b", "genmove w", "genmove b", "closed"]
    answers[:] = ["D4"] * 9
    asked.clear()
    assert len(bench.game(player, 3)) == 2


def test_what_is_measured_and_shown(packed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in bench.FIGURES:
        monkeypatch.setattr(bench.Bench, name, lambda self, name=name: {"of": name, "per_second": 12345})

    def main(*options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["bench.py", "--games", str(packed), *options])
        assert bench.main() == 0
        return capsys.readouterr().out

    every = [line.split()[0] for line in main().splitlines()]
    assert every == [name for name in bench.FIGURES for _ in range(2)]
    assert [line.split() for line in main("--train").splitlines()] == [["training", "of", "training"], ["training", "per_second", "12,345"]]
    assert json.loads(main("--only", "encode", "gtp", "--json")) == {name: {"of": name, "per_second": 12345} for name in ("encode", "gtp")}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--games", "small.gpk"], "small.gpk holds no game of 19x19, and those alone are measured"),
        (["--games", "handicap.gpk", "--only", "replay"], "handicap.gpk holds no game on 19x19 that begins with an empty board"),
        (["--games", "none.gpk"], "none.gpk"),
        (["--games", "games.gpk", "--only", "reading", "--archives", "none"], "there is no file or folder none"),
    ],
)
def test_what_cannot_be_measured(
    packed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    monkeypatch.chdir(packed.parent)
    games.pack([write(packed.parent / "small", [SMALL])], packed.with_name("small.gpk"), chosen=games.Filter(sizes=(9,)))
    games.pack([write(packed.parent / "handicap", [replace(record(0), setup=((BLACK, 19),))])], packed.with_name("handicap.gpk"))
    monkeypatch.setattr(sys, "argv", ["bench.py", *options])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "scripts" / "bench.py"), run_name="__main__")
    assert ended.value.code == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("bench.py: ")
    assert said in last


def test_ctrl_c(packed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(games.PackedGames, "open", stopped)
    monkeypatch.setattr(sys, "argv", ["bench.py", "--games", str(packed)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "scripts" / "bench.py"), run_name="__main__")
    assert (ended.value.code, capsys.readouterr().err) == (1, "bench.py: stopped\n")
