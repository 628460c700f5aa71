"""GTP: framing, commands and their refusals as the specification and the clients have them; moves; and the engine as a process."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import sgfmill.boards
import torch

from gopolicy import __version__, analysis, gtp, weights
from gopolicy.analysis import NAMED_RULES
from gopolicy.board import Board
from gopolicy.client import find_gnugo
from gopolicy.coords import BLACK, WHITE, point_from_gtp, point_to_gtp
from gopolicy.errors import Interrupted, WeightsError
from gopolicy.features import encode
from gopolicy.network import PolicyConfig, PolicyNetwork
from gopolicy.policy import Policy
from gopolicy.process import Loading

ROOT = Path(__file__).resolve().parents[1]


class Batches:
    def probabilities_batch(self, boards, symmetries=1):
        return [self.probabilities(board, symmetries) for board in boards]


class Prefers(Batches):
    """A policy that likes the given vertices, each half as much as the one before, and does not look whether they are legal."""

    def __init__(self, *vertices: str) -> None:
        self.vertices = vertices
        self.boards: list[Board] = []
        self.symmetries: list[int] = []

    def probabilities(self, board, symmetries=1):
        self.boards.append(board)
        self.symmetries.append(symmetries)
        probs = np.full(board.size**2, 1e-6, dtype=np.float32)
        for i, vertex in enumerate(self.vertices):
            probs[point_from_gtp(vertex, board.size)] = 0.5 ** (i + 1)
        return probs.reshape(board.size, board.size)


class Dice(Batches):
    """A policy that has no idea."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def probabilities(self, board, symmetries=1):
        return self.random.random((board.size, board.size)).astype(np.float32)


class Scores:
    """A scorer that says what it is told to."""

    def __init__(self, lead=0.0, winrate=0.5, dead=(), passes=False, lost=False):
        self.lead, self.chance, self.dead, self.passes, self.lost = lead, winrate, dead, passes, lost
        self.asked: list = []
        self.thinks = False  # whether nothing is ever found when there is time to look for it
        self.stops: list = []  # by which it was told when to end
        self.probs = None  # the player's, with which it was last asked

    def final_score(self, board, komi, rules):
        self.asked.append((komi, rules))
        return self.lead

    def expected_lead(self, board, komi, rules):
        return self.final_score(board, komi, rules)

    def status(self, board, stop=None):
        while stop is not None and self.thinks:
            if stop():
                raise Interrupted
        stones = {point_to_gtp(int(point), board.size) for point in np.flatnonzero(board.stones())}
        status = {"alive": stones - set(self.dead), "dead": stones & set(self.dead), "seki": set()}
        status |= {"black_territory": {"A1"}, "white_territory": {"H9", "J9"}, "dame": {"E5"}}
        return {name: [point_from_gtp(vertex, board.size) for vertex in vertices] for name, vertices in status.items()}

    def ownership(self, board):
        return np.linspace(1, -1, board.size**2).reshape(board.size, board.size)

    def worth_playing(self, board, probs, komi, rules, stop=None):
        self.asked.append(board.to_play)
        self.probs = probs
        self.stops.append(stop)
        while self.thinks and not stop():
            pass
        return np.full((board.size, board.size), not self.passes)

    def is_lost(self, board, komi, rules, stop=None):
        return self.lost

    def winrate(self, board, komi, rules, stop=None):
        self.stops.append(stop)
        while stop is not None and self.thinks:
            if stop():
                raise Interrupted
        return self.chance


def engine_of(policy=None, **options) -> gtp.Engine:
    return gtp.Engine(lambda: policy or Prefers("D4"), **options)


def tell(engine: gtp.Engine, *lines: str) -> list[str]:
    """The answers, without their framing; every one has to be framed."""
    answers = []
    for line in lines:
        reply, _ = engine.answer(line)
        assert reply[0] in "=?"
        assert reply.endswith("\n\n")
        assert "\n\n" not in reply[:-2]
        answers.append(reply[:-2])
    return answers


def state(engine: gtp.Engine) -> tuple:
    board = engine.board
    facts = engine.komi, engine.rules, board.superko, dict(engine._seconds), board.first_stones(), engine.ended
    return board.stones().tolist(), list(board.moves), board.to_play, board.captures, board.ko_point, *facts


def plays(moves: str) -> list[str]:
    """The commands for ``"b D4,w Q16"``."""
    return [f"play {move}" for move in moves.split(",")]


def in_turn(vertices: str) -> list[str]:
    return [f"play {'bw'[i % 2]} {vertex}" for i, vertex in enumerate(vertices.split())]


# ---- framing


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("name", "= gopolicy\n\n"),
        ("name\n", "= gopolicy\n\n"),
        ("name\r\n", "= gopolicy\n\n"),
        ("12 name", "=12 gopolicy\n\n"),
        ("0 name", "=0 gopolicy\n\n"),
        ("007\tname", "=007 gopolicy\n\n"),
        ("  3   name  ", "=3 gopolicy\n\n"),
        ("\tname\t\t", "= gopolicy\n\n"),
        ("na\x00m\x07e\x7f\x0c", "= gopolicy\n\n"),
        ("name # of the engine", "= gopolicy\n\n"),
        ("name#", "= gopolicy\n\n"),
        ("\ufeffname", "= gopolicy\n\n"),  # what Windows' shell puts in front
        ("5 protocol_version", "=5 2\n\n"),
        ("version", f"= {__version__}\n\n"),
        ("quit", "=\n\n"),
        ("8 quit", "=8\n\n"),
        ("clear_board", "=\n\n"),
        ("4 komi 6.5", "=4\n\n"),
        ("", ""),
        ("\r\n", ""),
        (" \t \x00", ""),
        ("# 1 name", ""),
        ("foo", "? unknown command\n\n"),
        ("9 foo bar", "?9 unknown command\n\n"),
        ("12", "?12 unknown command\n\n"),
        ("NAME", "? unknown command\n\n"),
        ("12name", "? unknown command\n\n"),
        ("-1 name", "? unknown command\n\n"),
        ("² name", "? unknown command\n\n"),
        ("\u00a0name", "? unknown command\n\n"),
        ("\ufffd\ufffd", "? unknown command\n\n"),
        ("名前", "? unknown command\n\n"),
    ],
)
def test_framing(line, reply):
    assert engine_of().answer(line) == (reply, reply[:1] == "=" and "quit" in line)


CLIENTS = (
    "fixed_handicap place_free_handicap set_free_handicap time_settings time_left final_score final_status_list loadsgf printsgf "
    "reg_genmove cputime kgs-time_settings kgs-genmove_cleanup kgs-rules kata-set-rules kata-get-rules kata-raw-nn gg-undo get_komi "
    "rectangular_boardsize query_boardsize heatmap analyze lz-analyze kata-analyze genmove_analyze lz-genmove_analyze "
    "kata-genmove_analyze stop set_position gogui-analyze_commands gogui-play_sequence gogui-setup gogui-setup_player gogui-interrupt "
    "gogui-title"
)
REQUIRED = "protocol_version name version known_command list_commands quit boardsize clear_board komi play genmove undo showboard"


def test_list_commands():
    engine = engine_of()
    reply, _ = engine.answer("1 list_commands")
    listed = reply.removeprefix("=1 ").removesuffix("\n\n").split("\n")
    assert set(REQUIRED.split()) | set(CLIENTS.split()) <= set(listed)
    assert len(set(listed)) == len(listed)
    for name in listed:
        assert name == name.strip()
        assert tell(engine, f"known_command {name}") == ["= true"]
    assert tell(engine, "known_command foo", "known_command", "known_command Play") == ["= false"] * 3


def test_cputime_is_a_number_of_seconds():
    assert float(tell(engine_of(), "cputime")[0][2:]) > 0


# ---- the board


# command → arguments that are no arguments of it
NONSENSE = {
    "boardsize": ["", "nine", "9.5", "9x", "９", "9 9 9", "9 x"],
    "komi": ["", "x", "6,5", "nan", "inf", "1e999", "6.5 7", "1_0", "٣", "1" * 100_000 + "x"],
    "play": ["", "b", "d4", "b d4 d5", "x d4", "b d", "b 4", "b d0", "b d10", "b k4", "b i5", "b resign"],
    "play b": ["é4", "d４", "d-4", "d+4", "dd4", "D4.", "x" * 100_000],
    "genmove": ["", "x", "b w", "bw"],
    "reg_genmove": ["", "red"],
    "time_settings": ["", "60 x 1", "60 1"],
    "time_left": ["b", "x 3 0", "b 3 y"],
    "kgs-time_settings": ["", "absolute", "byoyomi 1 2", "none 3", "canadian 1 2 x", "hourglass 3"],
    "fixed_handicap": ["", "x", "2 3", "2.5"],
    "place_free_handicap": ["", "x", "2 3"],
    "final_status_list": ["", "owned", "dead alive"],
    "loadsgf": [""],
    "gg-undo": ["x", "-1", "1 2"],
    "gogui-setup": ["b", "b pass", "x A1", "b K4"],
    "set_position": ["b", "b pass", "x A1", "b K4"],
    "kgs-genmove_cleanup": ["", "x"],
    "kata-set-rules": [""],
    "kata-raw-nn": ["8", "-1", "x"],
    "gogui-play_sequence": ["b", "b d1 w", "b d1 w x9", "b pass x d2"],
    "gogui-setup_player": ["", "x", "b w"],
    "gopolicy-heat_map": ["x", "b w"],
}
NONSENSE |= {
    f"{prefix}{word}analyze": [
        *("x", "b x", "b 50 50", "50 b", "b interval", "b interval x", "minmoves -", "b 50 foo 3", "ownership yes", "rootInfo"),
        *("avoid", "avoid b A1", "avoid x A1 3", "avoid b A1,K4 3", "allow b , 3", "allow b A1 x"),
    ]
    for prefix in ("", "lz-", "kata-")
    for word in ("", "genmove_")
}
SIZES = ["0", "1", "26", "-9", "99999999999999999999999", "9 13", "9" * 100_000]
ILLEGAL = ["b E5", "w E5", "w A9", "w C3"]  # an own stone lies there, one of the other colour; a suicide, a ko


@pytest.mark.parametrize(
    ("command", "message"),
    [(f"{command} {arguments}", "syntax error") for command, wrong in NONSENSE.items() for arguments in wrong]
    + [(f"boardsize {size}", "unacceptable size") for size in SIZES]
    + [(f"play {move}", "illegal move") for move in ILLEGAL]
    + [(f"gogui-play_sequence b A1 {move}", "illegal move") for move in ILLEGAL[:3]]
    + [(f"fixed_handicap {count}", "invalid number of stones") for count in ("0", "1", "10", "-2", "9" * 50)]
    + [(f"place_free_handicap {count}", "invalid number of stones") for count in ("0", "1", "81", "9" * 50)]
    + [(f"set_free_handicap {stones}", "bad vertex list") for stones in ("", "A1", "A1 A1", "A1 pass", "A1 K4", "A1 x", "A1 b")]
    + [(command, "board not empty") for command in ("fixed_handicap 2", "place_free_handicap 7", "set_free_handicap A1 G7")]
    + [("gg-undo 12", "cannot undo"), ("rectangular_boardsize 9 13", "unacceptable size"), ("loadsgf there/is/none 3", "cannot load file")]
    + [(f"kata-set-rules {text}", "the rules are no JSON object") for text in ("{", '{"ko":', "{" * 100_000)]
    + [(command, "cannot score") for command in ("final_score", "final_status_list dead", "gopolicy-ownership")]
    + [("printsgf there/is/none", "cannot write file"), ("loadsgf " + "x" * 100_000, "cannot load file")],
)
def test_what_is_refused_changes_nothing(command, message):
    engine = engine_of()
    tell(engine, "komi 0.5", "boardsize 9", *plays("b E5,b A8,b B9,b C4,b B3,b C2,w D4,w E3,w D2,w C3,b D3"))
    assert point_to_gtp(engine.board.ko_point, 9) == "C3"
    before = state(engine)
    assert tell(engine, command, f"17 {command}") == [f"? {message}", f"?17 {message}"]
    assert state(engine) == before


def test_sizes_and_komi():
    engine = engine_of()
    assert tell(engine, "komi -3.25") == ["="]
    for size in range(2, 26):
        assert tell(engine, f"boardsize {size}", "play b a1", f"boardsize {size} {size}", f"play w a{size}", "clear_board") == ["="] * 5
        assert tell(engine, "query_boardsize") == [f"= {size}"]
        assert engine.board.size == size
        assert not engine.board.stones().any()
        assert engine.board.moves == []
    assert engine.komi == -3.25
    assert "komi -3.25" in tell(engine, "showboard")[0]
    for text, komi in (("7", 7), ("+6.5", 6.5), (".5", 0.5), ("0", 0), ("1e2", 100), ("1E2", 100), ("-1000000", -1e6)):
        assert tell(engine, f"komi {text}") == ["="]
        assert engine.komi == komi


@pytest.mark.parametrize("move", ["b D4", "B d4", "black D4", "BLACK d4", "Black D4", "b\tD4"])
def test_colours_and_vertices_in_either_case(move):
    engine = engine_of()
    assert tell(engine, f"play {move}", f"play {move.replace('D4', 'pass').replace('d4', 'PASS')}") == ["=", "="]
    assert engine.board.moves == [(BLACK, 15 * 19 + 3), (BLACK, -1)]


def test_the_engine_repeats_no_board_and_takes_what_others_repeat():
    engine = engine_of()
    # On 2x2 black's last stone captures three and brings back the board after his first.
    tell(engine, "boardsize 2", *in_turn("A1 B2 A2 B1 A1 A2"))
    before = state(engine)
    assert tell(engine, "genmove b", "undo", "play b A1") == ["= pass", "=", "="]
    assert state(engine)[0] != before[0]
    assert tell(engine, "undo", "genmove b") == ["=", "= pass"]
    assert tell(engine, "gogui-play_sequence b A1 w B2 b A2 w B1 b A1 w A2 b A1", "play w A1") == ["=", "? illegal move"]


def test_undo():
    engine = engine_of()
    commands = plays("b E5,b A8,b B9,b C4,b B3,b C2,w D4,w E3,w D2,w C3,b D3,w pass,w A1")
    assert tell(engine, "boardsize 9") == ["="]
    states = [state(engine)]
    for command in commands:
        assert tell(engine, command) == ["="]
        states.append(state(engine))
    assert states[-1][3] == {BLACK: 1, WHITE: 0}
    for before in reversed(states[:-1]):
        assert tell(engine, "undo") == ["="]
        now = state(engine)
        assert now[:2] + now[3:] == before[:2] + before[3:]  # whose turn it is, is the client's to say
    assert tell(engine, "undo", "3 undo") == ["? cannot undo", "?3 cannot undo"]
    assert tell(engine, "genmove w", "undo", "undo") == ["= D4", "=", "? cannot undo"]


def test_showboard(monkeypatch):
    monkeypatch.setattr("gopolicy.draw.shows", lambda _: (True, True))  # an engine that is tried out in a terminal
    engine = engine_of()
    tell(engine, "boardsize 5", "play b c3", "play w e1")
    reply = engine.answer("1 showboard")[0]
    assert reply.split("\n") == [
        "=1",
        "   A B C D E",
        " 5 . . . . . 5   Black (X) to play move 3",
        " 4 . . . . . 4   last move: white E1",
        " 3 . . X . . 3   captured: 0 by black, 0 by white",
        " 2 . . . . . 2",
        " 1 . . . .(O)1",
        "   A B C D E",
        "komi 7.5",
        "",
        "",
    ]


def test_undo_of_several():
    engine = engine_of()
    tell(engine, *in_turn("A1 B1 C1 D1"))
    assert tell(engine, "gg-undo 3", "gg-undo 2", "gg-undo", "gg-undo") == ["=", "? cannot undo", "=", "? cannot undo"]
    assert tell(engine, "gg-undo 0") == ["="]
    assert tell(engine, *in_turn("A1 B1"), "undo 0", "undo 0", "undo 0") == ["=", "=", "=", "=", "? cannot undo"]


def test_a_sequence_is_played_in_one():
    engine = engine_of()
    assert tell(engine, "boardsize 9", "gogui-play_sequence b A1 w B1 w PASS b J9", "gogui-play_sequence") == ["="] * 3
    assert engine.board.moves == [(BLACK, 72), (WHITE, 73), (WHITE, -1), (BLACK, 8)]


def test_setup():
    engine = engine_of()
    assert tell(engine, "boardsize 9", "gogui-setup b A1 w B2", "gogui-setup b C3", "gogui-setup_player w") == ["="] * 4
    assert engine.board.to_play == WHITE
    assert engine.board.first_stones() == [(BLACK, 56), (WHITE, 64), (BLACK, 72)]
    assert tell(engine, "undo", "play w A2") == ["? cannot undo", "="]
    before = state(engine)
    assert tell(engine, "gogui-setup b D4")[0].startswith("? stones can be set up before the first move only")
    tell(engine, "boardsize 2")
    assert tell(engine, "gogui-setup b A1 b A2 b B1 b B2")[0].startswith("? the set-up chain")
    assert state(engine) != before
    assert not engine.board.stones().any()


def test_a_position_takes_the_place_of_what_was_there():
    engine = engine_of()
    tell(engine, "boardsize 9", "komi 5.5", "kgs-rules japanese", "play b E5", "play w pass")
    before, rules = state(engine), engine.rules
    assert tell(engine, "set_position b A1 b A2 w A3 w B2 w B1")[0].startswith("? the set-up chain")
    assert state(engine) == before
    assert tell(engine, "set_position b C3 w D4 w A1", "undo", "get_komi", "play w E5") == ["=", "? cannot undo", "= 5.5", "="]
    stones = {(colour, point_to_gtp(point, 9)) for colour, point in engine.board.first_stones()}
    assert stones == {(BLACK, "C3"), (WHITE, "D4"), (WHITE, "A1")}
    assert engine.rules is rules
    assert engine.board.moves == [(WHITE, point_from_gtp("E5", 9))]
    assert tell(engine, "set_position") == ["="]
    assert not engine.board.stones().any()


# The specification's table, 4.1.1, for 19 lines and 9.
FIXED = {2: "D4 Q16", 3: "D4 Q16 D16", 4: "D4 Q16 D16 Q4", 5: "D4 Q16 D16 Q4 K10", 6: "D4 Q16 D16 Q4 D10 Q10"}
FIXED |= {7: FIXED[6] + " K10", 8: FIXED[6] + " K4 K16", 9: FIXED[6] + " K4 K16 K10"}


@pytest.mark.parametrize(("count", "vertices"), FIXED.items())
def test_fixed_handicap(count, vertices):
    engine = engine_of()
    assert tell(engine, f"fixed_handicap {count}") == [f"= {vertices}"]
    assert engine.board.to_play == WHITE
    assert int(engine.board.stones().sum()) == count
    assert tell(engine, "undo", "fixed_handicap 2") == ["? cannot undo", "? board not empty"]
    other = engine_of()
    assert tell(other, f"set_free_handicap {vertices.lower()}") == ["="]
    assert state(other) == state(engine)


@pytest.mark.parametrize(
    ("size", "count", "answer"),
    [
        (13, 2, "= D4 K10"),
        (12, 2, "= C3 K10"),
        (9, 9, "= C3 G7 C7 G3 C5 G5 E3 E7 E5"),
        (7, 4, "= C3 E5 C5 E3"),
        *((size, count, "? invalid number of stones") for size, count in ((8, 5), (7, 5), (6, 2))),
    ],
)
def test_fixed_handicap_of_other_boards(size, count, answer):
    """The third line below 13 lines; four stones at most on 7 lines and on even boards, none on smaller ones (specification, 4.1.1)."""
    assert tell(engine_of(), f"boardsize {size}", f"fixed_handicap {count}") == ["=", answer]


def test_fixed_handicap_as_gnu_go_places_it():
    gnugo = find_gnugo()
    if gnugo is None:
        pytest.skip("GNU Go is not installed")
    # Not 12 lines: there GNU Go takes the fourth line, and the specification the third.
    asked = [(size, count) for size in (5, 6, 7, 8, 9, 10, 11, 13, 14, 19) for count in range(1, 11)]
    commands = [f"boardsize {size}\nfixed_handicap {count}\n" for size, count in asked]
    done = subprocess.run([gnugo, "--mode", "gtp"], input="".join(commands), capture_output=True, text=True, timeout=60, check=True)
    engine = engine_of()
    answers = done.stdout.split("\n\n")[:-1]
    for (size, count), theirs in zip(asked, answers[1::2], strict=True):
        ours = tell(engine, f"boardsize {size}", f"fixed_handicap {count}")[1]
        assert ours[0] == theirs[0]
        assert ours[0] == "?" or set(ours[1:].split()) == set(theirs[1:].split())


def test_handicap_stones_leave_a_point_free():
    engine = engine_of()
    tell(engine, "boardsize 2")
    assert tell(engine, "set_free_handicap A1 A2 B1 B2", "set_free_handicap A1 A2 B1") == ["? bad vertex list", "="]


def test_passes_do_not_stand_in_the_way_of_handicap_stones():
    """The board is still empty. As in GNU Go, they are no moves of the game then."""
    assert tell(engine_of(), "play b pass", "fixed_handicap 2", "undo") == ["=", "= D4 Q16", "? cannot undo"]


@pytest.mark.parametrize(("size", "count"), [(19, 2), (19, 9), (19, 17), (19, 360), (9, 10), (8, 5), (5, 2), (2, 2), (2, 3), (25, 100)])
def test_free_handicap_has_as_many_stones_as_asked_for(size, count):
    engine = engine_of()
    vertices = tell(engine, f"boardsize {size}", f"place_free_handicap {count}")[1].removeprefix("= ").split()
    assert len(set(vertices)) == len(vertices) == count == int(engine.board.stones().sum())
    assert engine.board.to_play == WHITE


def test_rules():
    engine = engine_of()
    told = lambda: json.loads(tell(engine, "kata-get-rules")[0][2:])  # noqa: E731
    assert told() == {
        "hasButton": False, "ko": "POSITIONAL", "scoring": "AREA", "suicide": False, "tax": "NONE", "whiteHandicapBonus": "N"
    }  # fmt: skip
    for name, scoring, ko in (
        ("kgs-rules japanese", "TERRITORY", "SIMPLE"),
        ("kgs-rules chinese", "AREA", "POSITIONAL"),
        ("kgs-rules Chinese", "AREA", "POSITIONAL"),
        ("kgs-rules new_zealand", "AREA", "POSITIONAL"),
        ("kata-set-rules chinese", "AREA", "SIMPLE"),
        ('kata-set-rules {"ko": "SITUATIONAL", "scoring": "TERRITORY"}', "TERRITORY", "POSITIONAL"),
        ("kata-set-rules Tromp-Taylor", "AREA", "POSITIONAL"),
    ):
        assert tell(engine, name) == ["="]
        assert (told()["scoring"], told()["ko"]) == (scoring, ko)
    for wrong in ("chess", '{"scoring": "STONES"}', '{"whiteHandicapBonus": 7}', '{"ko": 3}'):
        before = state(engine)
        assert tell(engine, f"kata-set-rules {wrong}")[0].startswith("? ")
        assert state(engine) == before


def test_simple_ko_lets_a_board_repeat():
    engine = engine_of()
    tell(engine, "boardsize 2", *in_turn("A1 B2 A2 B1 A1 A2"))
    assert not engine.board.is_legal("A1", BLACK)
    assert tell(engine, "kata-set-rules japanese") == ["="]
    assert engine.board.is_legal("A1", BLACK)
    # Rules stay from game to game, and where handicap stones are put.
    for new_game in ("clear_board", "boardsize 2", "set_free_handicap A1 B2"):
        tell(engine, new_game)
        assert not engine.board.superko


# ---- files


def test_games_are_written_and_read(tmp_path):
    engine = engine_of()
    tell(engine, "boardsize 9", "komi 0.5", "fixed_handicap 2", "play w E5", "play b pass", "play w D5")
    before = state(engine)
    path = tmp_path / "a game.sgf"
    assert tell(engine, f"printsgf {path}") == ["="]
    (text,) = tell(engine, "printsgf")
    assert text[2:] == path.read_text(encoding="utf-8").rstrip("\n")
    assert state(engine) == before
    other = engine_of()
    assert tell(other, f'loadsgf "{path}"') == ["="]
    assert state(other) == before
    assert tell(other, "clear_board", f"loadsgf {path} 2") == ["=", "="]
    assert other.board.moves == [(WHITE, point_from_gtp("E5", 9))]
    for first in (1, 0):
        assert tell(other, f"loadsgf {path} 99", f"loadsgf {path} {first}") == ["=", "="]
        assert (other.board.moves, other.board.first_stones(), other.board.to_play) == ([], engine.board.first_stones(), WHITE)
    assert tell(other, f"loadsgf {path} 99") == ["="]
    assert state(other) == before


def test_the_name_of_a_file_may_be_a_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("7").write_text("(;SZ[9];B[dd];W[ee])")
    engine = engine_of()
    for command, count in (("loadsgf 7", 2), ("loadsgf 7 2", 1)):
        assert tell(engine, command) == ["="]
        assert engine.board.move_number == count


def test_a_file_is_another_game_for_the_clock(tmp_path):
    (tmp_path / "game.sgf").write_text("(;SZ[9];B[dd])")
    policy = Prefers("E5")
    engine = engine_of(policy, symmetries=8)
    tell(engine, "time_settings 300 0 0", "time_left w 0.1 0", f"loadsgf {tmp_path / 'game.sgf'}", "genmove w")
    assert policy.symmetries == [8]


def test_a_file_without_komi_leaves_it(tmp_path):
    engine = engine_of()
    path = tmp_path / "game.sgf"
    for text, komi in (("(;SZ[9]KM[0.5];B[dd])", "0.5"), ("(;SZ[9];B[dd])", "0.5"), ("(;SZ[9]KM[x];B[dd])", "0.5")):
        path.write_text(text)
        assert tell(engine, f"loadsgf {path}", "get_komi") == ["=", f"= {komi}"]


def test_a_game_is_counted_by_the_rules_that_its_file_names(tmp_path, capsys):
    """KataGo's loadsgf does so too. Unknown ones, as "Pair go" in a collection of professional games, leave what was set."""
    engine, path = engine_of(), tmp_path / "game.sgf"
    for told, name in (
        ("", "chinese-ogs"), ("Japanese", "japanese"), ("Pair go", "japanese"), ("AGA", "aga"), ("NZ", "new-zealand"), ("", "new-zealand"),
        ("Chinese", "chinese"), ("JPN", "japanese"), ("koPOSITIONALscoreAREAtaxNONEsui0whbN-1", "aga"),
    ):  # fmt: skip
        path.write_text(f"(;SZ[9]RU[{told}];B[dd])")
        assert tell(engine, f"loadsgf {path}") == ["="]
        assert engine.rules == NAMED_RULES[name], told
        assert engine.board.superko == NAMED_RULES[name].superko
        assert ("game.sgf: unknown rules 'Pair go'" in capsys.readouterr().err) == (told == "Pair go")


@pytest.mark.parametrize("name", NAMED_RULES)
def test_a_written_game_names_the_rules_it_is_counted_by(name, tmp_path):
    """As far as SGF has names: how repetitions are played is not told by all of them."""
    engine, other, path = engine_of(), engine_of(), tmp_path / "game.sgf"
    for komi in ("3.75", "6.25"):  # in which collections count stones
        assert tell(engine, f"kata-set-rules {name}", f"komi {komi}", f"printsgf {path}", f"loadsgf {path}", "get_komi")[-1] == f"= {komi}"
    assert tell(engine, "komi 7.5", "play b D4", f"printsgf {path}") == ["=", "=", "="]
    assert tell(other, f"loadsgf {path}") == ["="]
    assert (other.rules.scoring, other.rules.bonus) == (engine.rules.scoring, engine.rules.bonus)
    tell(engine, f"loadsgf {path}")
    assert engine.rules == NAMED_RULES[name]


@pytest.mark.parametrize(
    ("commands", "written"),
    [
        (["fixed_handicap 2", "play w E5", "play b D5"], {"HA": "2", "PL": "W"}),
        (["gogui-setup b A1", "gogui-setup_player w", "play w E5", "play b D5"], {"PL": "W"}),
        (["gogui-setup b A1", "gogui-setup_player w", "play w E5"], {"PL": "W"}),
        (["gogui-setup b A1 b B2 w C3", "gogui-setup_player w"], {"PL": "W"}),
        (["gogui-setup b A1 b B2 w C3", "play b E5", "play w D5"], {}),
    ],
)
def test_a_written_game_says_who_began_and_what_is_handicap(commands, written):
    """Stones of both colours are a position and no handicap, and a single one is none either."""
    engine = engine_of()
    text = tell(engine, "boardsize 9", *commands, "printsgf")[-1]
    assert dict(re.findall(r"(HA|PL)\[(.*?)\]", text)) == written


def test_a_fault_after_the_move_asked_for_does_not_matter(tmp_path, capsys):
    """An occupied point at the third move; stones set up after the second."""
    for text in ("(;SZ[9]KM[0];B[dd];W[ee];B[dd])", "(;SZ[9]KM[0];B[dd];W[ee];AB[aa]AE[dd];B[cc])"):
        path = tmp_path / "game.sgf"
        path.write_text(text)
        engine = engine_of()
        assert tell(engine, f"loadsgf {path} 3", f"loadsgf {path} 4", f"loadsgf {path}") == ["=", *["? cannot load file"] * 2]
        assert engine.board.moves == [(BLACK, point_from_gtp("D6", 9)), (WHITE, point_from_gtp("E5", 9))]
        assert "game.sgf" in capsys.readouterr().err


def test_why_a_file_cannot_be_written_stands_in_the_log(tmp_path, capsys):
    assert tell(engine_of(), f"printsgf {tmp_path}") == ["? cannot write file"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gopolicy: ")
    assert str(tmp_path) in err


@pytest.mark.parametrize(("komi", "told"), [("-0", "0"), ("7", "7"), ("6.25", "6.25"), ("300.123456789", "300.123456789"), ("1e3", "1000")])
def test_komi_keeps_its_digits(komi, told):
    engine = engine_of()
    assert tell(engine, f"komi {komi}", "get_komi") == ["=", f"= {told}"]
    assert tell(engine, "showboard")[0].endswith(f"\nkomi {told}")


@pytest.mark.parametrize("content", [b"", b"no game", b"(;SZ[9:13];B[aa])", b"(;SZ[9];B[aa];W[aa])", b"\x00" * 1000])
def test_a_file_that_cannot_be_loaded(tmp_path, content, capsys):
    path = tmp_path / "bad.sgf"
    path.write_bytes(content)
    engine = engine_of()
    tell(engine, "boardsize 9", "play b A1")
    before = state(engine)
    assert tell(engine, f"loadsgf {path}", f"loadsgf {tmp_path}") == ["? cannot load file"] * 2
    assert state(engine) == before
    assert all(line.startswith("gopolicy: ") for line in capsys.readouterr().err.splitlines())


# ---- time, scores, passing, resigning


@pytest.mark.parametrize(
    ("commands", "views"),
    [
        ([], 8),
        (["time_settings 600 30 5", "time_left b 600 0"], 8),
        (["time_left b 3 0"], 1),
        (["time_left w 3 0"], 8),
        (["time_left b 10 25"], 1),
        (["time_left b 30 25"], 8),
        (["time_left b 3 0", "time_left b 300 0"], 8),
        (["time_left b 0 0"], 1),
        (["time_settings 0 1 10"], 1),
        (["time_settings 0 30 1"], 8),
        # As clients say that there is no limit.
        (["time_settings 0 0 0"], 8),
        (["time_settings 0 0 1"], 8),
        (["time_settings 0 30 0"], 8),
        (["kgs-time_settings none"], 8),
        (["kgs-time_settings absolute 5"], 1),
        (["kgs-time_settings byoyomi 0 10 5"], 8),
        (["kgs-time_settings byoyomi 0 5 20"], 8),
        (["kgs-time_settings canadian 0 10 25"], 1),
        # As the OGS bridge sends it: the periods that are left, not stones; and a main time that is the less by an increment to come.
        (["kgs-time_settings byoyomi 0 5 20", "time_left b 5 20"], 8),
        (["kgs-time_settings canadian 90 10 1", "time_left b 3 0"], 8),
        (["kgs-time_settings canadian 90 10 1", "time_left b 0 1"], 1),
        (["kgs-time_settings byoyomi 0 5 20", "time_settings 0 5 20", "time_left b 5 20"], 1),
        (["time_settings 90 0 0", "time_left b 3 0"], 1),
        # The next game begins with the clock as it was set, not as it was left.
        (["time_settings 300 0 0", "time_left b 0.1 0", "clear_board"], 8),
        (["time_settings 3 0 0", "time_left b 300 0", "boardsize 19"], 1),
        (["time_left b 0.1 0", "clear_board"], 8),
        # Handicap stones are no other game.
        (["time_left b 0.1 0", "set_free_handicap A1 B1"], 1),
    ],
)
def test_eight_views_while_there_is_time(commands, views):
    policy = Prefers("D4")
    engine = engine_of(policy, symmetries=8)
    assert set(tell(engine, *commands, "genmove b")) <= {"=", "= D4"}
    assert policy.symmetries == [views]


@pytest.mark.parametrize("command", ["lz-analyze b 50", "kata-analyze 50", "genmove_analyze b", "kata-genmove_analyze b 50"])
def test_an_analysis_has_as_many_views(command):
    for seconds, views in ((300, 8), (0.1, 1)):
        policy = Prefers("D4")
        tell(engine_of(policy, symmetries=8), f"time_left b {seconds} 0", command)
        assert policy.symmetries[0] == views


@pytest.mark.parametrize("seconds", [3, 30])
def test_a_move_comes_in_time_however_long_the_scorer_would_think(seconds):
    scores = Scores()
    scores.thinks = True
    engine = engine_of(Prefers("D4", "Q16"), scorer=lambda: scores)
    tell(engine, f"time_left b {seconds} 0")
    began = time.monotonic()
    assert tell(engine, "genmove b") == ["= D4"]
    (line, move) = tell(engine, "kata-genmove_analyze b ownership true")[0].split("\n")[1:]
    assert move == "play Q16"
    assert " winrate 0.500000 " in line
    assert "ownership" not in line
    assert time.monotonic() - began < 2 * seconds / 30 + 1
    assert len(set(scores.stops)) == 2, "a clock for each of the two commands, whatever they ask"


@pytest.mark.parametrize(("seconds", "hurries"), [(14, True), (16, False)])
def test_in_time_trouble_the_network_is_asked_once(seconds, hurries):
    """Half a second for a move, of thirty that are to come, is needed to look at what follows and for a winrate."""
    policy = Prefers("D4")
    engine = engine_of(policy, scorer=lambda: Scores(winrate=0.75))
    answer = tell(engine, f"time_left b {seconds} 0", "kata-genmove_analyze b")[1]
    assert (len(policy.boards) == 1, " winrate 0.750000 " not in answer, "pv D4\n" in answer) == (hurries,) * 3


def test_a_pass_is_answered_with_time_to_pass():
    """With no time left the network alone decides, which never passes: it would fill its own territory after the end."""

    class Last(Scores):
        def worth_playing(self, board, probs, komi, rules, stop=None):
            return np.full((board.size, board.size), stop())  # nothing, if there is time to find that out

    engine = engine_of(Prefers("D4", "Q16"), scorer=Last)
    assert tell(engine, "time_left b 0 0", "genmove b", "play w C3", "genmove b", "play w pass", "genmove b")[1::2] == [
        "= D4",
        "= Q16",
        "= pass",
    ]


@pytest.mark.parametrize(
    ("lead", "answer"), [(3.5, "B+3.5"), (-0.5, "W+0.5"), (0.0, "0"), (361, "B+361.0"), (13 - 12.75, "B+0.25"), (12.96 - 13, "W+0.04")]
)
def test_final_score(lead, answer):
    scorer = Scores(lead)
    engine = engine_of(scorer=lambda: scorer)
    assert tell(engine, "final_score", "komi 6.5", "kgs-rules japanese", "final_score")[::3] == [f"= {answer}"] * 2
    assert scorer.asked == [(7.5, "area"), (6.5, "territory")]


def test_final_status():
    engine = engine_of(scorer=lambda: Scores(dead=("B2",)))
    tell(engine, "boardsize 9", *in_turn("C3 B2 G7"))
    statuses = ("alive", "dead", "seki", "black_territory", "white_territory", "dame")
    listed = tell(engine, *(f"final_status_list {status}" for status in statuses))
    assert listed == ["= G7 C3", "= B2", "=", "= A1", "= H9 J9", "= E5"]


def test_it_passes_and_resigns_when_the_scorer_says_so():
    scorer = Scores(passes=True, lost=True)
    engine = engine_of(scorer=lambda: scorer)
    assert tell(engine, "genmove w", "reg_genmove b") == ["= pass", "= pass"]
    assert scorer.asked == [WHITE, BLACK]
    assert scorer.probs.ravel().argmax() == point_from_gtp("D4", 19), "the scorer knows what the player would play"
    assert engine.board.moves == [(WHITE, -1)]
    resigning = engine_of(scorer=lambda: scorer, resigns=True)
    assert tell(resigning, "genmove w", "reg_genmove w", "lz-genmove_analyze w")[:2] == ["= resign", "= pass"]
    assert tell(resigning, "lz-genmove_analyze w")[0].endswith("\nplay resign")
    assert resigning.board.moves == []


def test_who_may_not_resign_plays_on():
    engine = engine_of(Prefers("D4", "C3"), scorer=lambda: Scores(lost=True), resigns=True)
    for told, move in (
        ("avoid b resign 1", "D4"),
        ("avoid w resign 9 avoid b pass,resign 1", "C3"),
        ("avoid w resign 9", "resign"),  # another player
        ("avoid b resign 0", "resign"),  # no move at all
        ("allow b A1,resign 1", "resign"),
    ):
        assert tell(engine, f"lz-genmove_analyze b {told}")[0].split("\n")[-1] == f"play {move}"


def test_who_resigns_is_who_is_asked_for_a_move():
    """It may be anybody's turn: clients set stones up through play."""

    class BlackLost(Scores):
        def is_lost(self, board, komi, rules, stop=None):
            return board.to_play == BLACK

    engine = engine_of(scorer=BlackLost, resigns=True)
    assert tell(engine, "genmove w", "play b C3", "genmove b") == ["= D4", "=", "= resign"]


def test_cleanup_takes_dead_stones_off():
    scorer = Scores(dead=("D4", "E4"), passes=True)
    engine = engine_of(Prefers("G7", "D3", "F4"), scorer=lambda: scorer)
    tell(engine, "boardsize 9", "play w D4", "play w E4", "play w C7", "play b C3")
    # G7 touches no dead stone; Black's own dead stones there would be White's affair.
    assert tell(engine, "kgs-genmove_cleanup b") == ["= D3"]
    assert len(set(scorer.stops)) == 1, "one clock, however often it asks"
    assert tell(engine, "kgs-genmove_cleanup w", "kgs-genmove_cleanup b") == ["= pass", "= F4"]
    scorer.dead = ()
    assert tell(engine, "kgs-genmove_cleanup b") == ["= pass"]


def test_cleanup_plays_beside_dead_stones_at_the_edge():
    """A4 follows J5 in the order of the points, and is far from it."""
    engine = engine_of(Prefers("A4", "H5", "J4"), scorer=lambda: Scores(dead=("J5",), passes=True))
    assert tell(engine, "boardsize 9", "play w J5", "kgs-genmove_cleanup b")[2] == "= H5"


@pytest.mark.parametrize(("dead", "beside"), [("A2", "A1"), ("A8", "A9"), ("B5", "A5"), ("H5", "J5")])
def test_cleanup_plays_on_the_first_line(dead, beside):
    engine = engine_of(Prefers("E5", beside), scorer=lambda: Scores(dead=(dead,), passes=True))
    assert tell(engine, "boardsize 9", f"play w {dead}", "kgs-genmove_cleanup b")[2] == f"= {beside}"


def test_cleanup_never_resigns():
    """The stones on the board decide what the game was, and both players are counting."""
    for passes, move in ((False, "= G7"), (True, "= D3")):
        scorer = Scores(dead=("D4",), passes=passes, lost=True)
        engine = engine_of(Prefers("G7", "D3"), scorer=lambda scorer=scorer: scorer, resigns=True)
        assert tell(engine, "boardsize 9", "play w D4", "kgs-genmove_cleanup b", "genmove b")[2:] == [move, "= resign"]


def test_cleanup_answers_first():
    """White has threatened something while White's own prisoners wait to be taken: as long as a move is worth playing, it is played."""
    scorer = Scores(dead=("D4", "E4"))
    engine = engine_of(Prefers("G7", "D3", "F4"), scorer=lambda: scorer)
    tell(engine, "boardsize 9", "play w D4", "play w E4")
    assert tell(engine, "kgs-genmove_cleanup b") == ["= G7"]
    scorer.passes = True
    assert tell(engine, "kgs-genmove_cleanup b", "kgs-genmove_cleanup b") == ["= D3", "= F4"]


def test_cleanup_comes_in_time():
    """Where the search for dead stones takes too long, the network alone decides."""
    scorer = Scores(dead=("D4",))
    scorer.thinks = True
    engine = engine_of(Prefers("G7", "D3"), scorer=lambda: scorer)
    tell(engine, "boardsize 9", "time_settings 0 1 1", "play w D4")
    began = time.monotonic()
    assert tell(engine, "kgs-genmove_cleanup b") == ["= G7"]
    assert time.monotonic() - began < 1
    scorer.passes = True
    assert tell(engine, "kgs-genmove_cleanup b") == ["= pass"]


# ---- analysis


def infos(text: str) -> list[dict[str, str]]:
    """The moves of an analysis line, as clients take them apart: pairs of words, and pv to the end."""
    result = []
    for part in text.split("info ")[1:]:
        head, _, pv = part.partition(" pv ")
        words = head.split()
        result.append(dict(zip(words[::2], words[1::2], strict=True)) | {"pv": pv.split()})
    return result


def test_visits_are_probabilities():
    engine = engine_of(Prefers("D4", "Q16", "C3"))
    (answer,) = tell(engine, "lz-analyze b 50")
    head, line = answer.split("\n")
    assert head == "="
    moves = infos(line)
    assert [(move["move"], move["order"]) for move in moves] == [("D4", "0"), ("Q16", "1"), ("C3", "2")]
    total = 0.875 + 358e-6
    assert [int(move["visits"]) for move in moves] == [round(10_000 * prob / total) for prob in (0.5, 0.25, 0.125)]
    assert [move["prior"] for move in moves] == ["5000", "2500", "1250"]
    assert {(move["winrate"], move["lcb"]) for move in moves} == {("5000", "5000")}
    assert [move["pv"][0] for move in moves] == ["D4", "Q16", "C3"]
    assert tell(engine, "analyze b 50") == [answer]
    (decimal,) = tell(engine, "7 kata-analyze b 50")
    assert decimal.startswith("=7\ninfo move D4 visits")
    for move, whole in zip(infos(decimal), moves, strict=True):
        assert (move["move"], move["visits"], move["order"], move["pv"]) == (whole["move"], whole["visits"], whole["order"], whole["pv"])
        assert all("." in move[key] for key in ("winrate", "prior", "lcb", "scoreLead", "utility"))
        assert 10_000 * float(move["prior"]) == pytest.approx(int(whole["prior"]))


@pytest.mark.parametrize(
    "arguments",
    [
        *("", "50", "b", "B 50", "b interval 50", "interval 50", "black minmoves 0 interval 5", "b 50 ownership true"),
        # The other keys of KataGo's, as its page on GTP extensions has them.
        *("b ownershipStdev true", "b movesOwnership true", "b movesOwnershipStdev true", "b pvVisits true", "b pvEdgeVisits true"),
        "b noResultValue true",
        "b rootInfo false",
    ],
)
@pytest.mark.parametrize("command", ["analyze", "lz-analyze", "kata-analyze"])
def test_all_forms_of_arguments(command, arguments):
    engine = engine_of(Prefers("D4", "Q16"))
    assert tell(engine, f"{command} {arguments}") == tell(engine, f"{command} b 50")
    tell(engine, "play b C3")
    policy = engine.policy()
    tell(engine, f"{command} 50")
    assert policy.boards[-1].to_play == WHITE  # without a colour it is whose turn it is
    assert engine.board.moves == [(BLACK, point_from_gtp("C3", 19))]


@pytest.mark.parametrize(
    ("arguments", "moves"),
    [
        ("b 50 maxmoves 1", "D4"),
        ("b 50 maxmoves 0", "D4"),
        ("b 50 minmoves 24", "D4 Q16 C3 " + " ".join(f"{column}19" for column in "ABCDEFGHJKLMNOPQRST") + " A18 B18"),
        ("b 50 minmoves 4", "D4 Q16 C3 A19"),
        ("b 50 minmoves 4 maxmoves 2", "D4 Q16"),
        ("b 50 maxmoves 2 minmoves 4", "D4 Q16"),
        ("b 50 avoid b D4,C3 1", "Q16"),
        ("b 50 avoid w D4 9", "D4 Q16 C3"),
        ("b 50 avoid b D4 1 avoid b Q16,pass 3", "C3"),
        ("b 50 allow b C3,Q16,pass 1", "Q16 C3"),
        ("b 50 allow b pass 1", "pass"),
        # Leela Zero's lists may hold resign too.
        ("b 50 avoid b D4,Resign 1", "Q16 C3"),
        ("50 allow b C3,Q16 1 avoid b pass,resign 1", "Q16 C3"),
        ("b 50 allow b C3,resign 1", "C3"),
    ],
)
def test_which_moves_are_looked_at(arguments, moves):
    engine = engine_of(Prefers("D4", "Q16", "C3"))
    (answer,) = tell(engine, f"kata-analyze {arguments}")
    assert [move["move"] for move in infos(answer)] == moves.split()
    assert sum(int(move["visits"]) for move in infos(answer)) == pytest.approx(10_000, abs=40 if "max" not in arguments else 6000)


def test_twenty_moves_are_looked_at_where_nothing_is_said():
    engine = engine_of(Prefers())
    assert len(infos(tell(engine, "boardsize 9", "lz-analyze b 50")[1])) == 20


@pytest.mark.parametrize(("depth", "answer"), [(1, "Q16"), (2, "C3")])
def test_a_restriction_holds_up_to_its_depth(depth, answer):
    """Black's move is ply 0 and White's answer ply 1, as KataGo counts them."""
    engine = engine_of(Prefers("D4", "Q16", "C3"))
    (told,) = tell(engine, f"lz-genmove_analyze b avoid w Q16 {depth}")
    assert infos(told.split("\n")[1])[0]["pv"][:2] == ["D4", answer]


def test_a_move_that_is_avoided_is_not_played():
    engine = engine_of(Prefers("D4", "Q16", "C3"))
    (answer,) = tell(engine, "lz-genmove_analyze b avoid b D4 1 avoid w Q16 9")
    assert answer.endswith("\nplay Q16")
    assert engine.board.moves == [(BLACK, point_from_gtp("Q16", 19))]


@pytest.mark.parametrize(
    ("told", "played"),
    [("avoid b A5 1", "B5"), ("allow b C3,D4 1", "C3"), ("avoid b pass 1", "A5"), ("allow b pass 1", "pass"), ("", "A5")],
)
def test_a_restriction_comes_before_what_is_worth_playing(told, played):
    class Corner(Scores):
        def worth_playing(self, board, probs, komi, rules, stop=None):
            mask = np.zeros((board.size, board.size), dtype=bool)
            mask[0, 0] = True  # A5 alone
            return mask

    engine = engine_of(Prefers("A5", "B5", "C3", "D4"), scorer=Corner)
    tell(engine, "boardsize 5")
    line, move = tell(engine, f"kata-genmove_analyze b {told}".strip())[0].split("\n")[1:]
    assert (infos(line)[0]["move"], move) == (played, f"play {played}")


def test_a_point_that_cannot_be_played_is_not_worth_playing():
    class Taken(Scores):
        def worth_playing(self, board, probs, komi, rules, stop=None):
            return board.stones() != 0

    assert tell(engine_of(scorer=Taken), "play w C3", "genmove b") == ["=", "= pass"]


def test_who_may_not_pass_plays_where_nothing_is_to_be_gained():
    engine = engine_of(Prefers("D4", "C3"), scorer=lambda: Scores(passes=True))
    assert [tell(engine, f"lz-genmove_analyze {told}")[0].splitlines()[-1] for told in ("b avoid b pass 1", "w avoid b pass 1")] == [
        "play D4",
        "play pass",
    ]


def test_what_the_scorer_knows_is_told_from_the_players_view():
    engine = engine_of(Prefers("D4"), scorer=lambda: Scores(lead=6.5, winrate=0.8))
    tell(engine, "boardsize 5")
    for colour, winrate, lead, first, utility in (("b", 0.8, 6.5, 1.0, 0.6), ("w", 0.2, -6.5, -1.0, -0.6)):
        (answer,) = tell(engine, f"kata-analyze {colour} 50 ownership true rootInfo true")
        assert "movesOwnership" not in answer
        text, _, owners = answer.partition(" ownership ")
        text, _, root = text.partition(" rootInfo ")
        for move in infos(text):
            assert {float(move[key]) for key in ("winrate", "lcb")} == {winrate}
            assert {float(move[key]) for key in ("scoreLead", "scoreMean", "scoreSelfplay")} == {lead}
            assert (float(move["utility"]), float(move["utilityLcb"])) == (utility, utility), "a win is 1 and a loss -1"
        words = root.split()
        told = dict(zip(words[::2], words[1::2], strict=True))
        assert (told["visits"], float(told["winrate"]), float(told["utility"])) == ("10000", winrate, utility)
        assert [float(share) for share in owners.split()][::24] == [first, -first]
        assert len(owners.split()) == 25
        (answer,) = tell(engine, f"kata-analyze {colour} 50 movesOwnership true")
        assert [told.split(" info ")[0] for told in answer.split(" movesOwnership ")[1:]] == [owners] * answer.count("info move")
        _, at_once, later = tell(engine, f"lz-analyze {colour} 50")[0].split("\n")
        assert [{move["winrate"] for move in infos(line)} for line in (at_once, later)] == [{"5000"}, {str(round(10_000 * winrate))}]


@pytest.mark.parametrize("name", ["genmove_analyze", "lz-genmove_analyze", "kata-genmove_analyze"])
def test_genmove_analyze_plays_what_genmove_plays(name):
    engine, plain = engine_of(Prefers("D4", "Q16")), engine_of(Prefers("D4", "Q16"))
    for colour in ("b 50", "w 50", "50", "w"):
        head, line, last = tell(engine, f"{name} {colour}")[0].split("\n")
        (vertex,) = tell(plain, f"genmove {'w' if colour[0] == 'w' else 'b'}")
        assert (head, last) == ("=", f"play {vertex[2:]}")
        assert infos(line)[0]["move"] == vertex[2:]
        assert infos(line)[0]["winrate"].isdigit() == (not name.startswith("kata-")), "Sabaki and Lizzie read whole numbers"
    assert engine.board.moves == plain.board.moves


def test_raw_network():
    policy = tiny_policy()
    engine = engine_of(policy)
    tell(engine, "boardsize 9")
    (answer,) = tell(engine, "kata-raw-nn all")
    blocks = answer.split("symmetry ")[1:]
    assert [block.split()[0] for block in blocks] == [str(k) for k in range(8)]
    parts = [[float(word) for word in block.split("policy\n")[1].split("policyPass")[0].split()] for block in blocks]
    # Their mean is the network asked with all symmetries at once.
    assert np.mean(parts, axis=0) == pytest.approx(policy.probabilities(Board(9), 8).ravel(), abs=2e-6)
    assert parts[0] == pytest.approx(policy.probabilities(Board(9)).ravel(), abs=2e-6)
    assert not np.allclose(parts[0], parts[1], atol=1e-4)
    assert tell(engine, "kata-raw-nn 5")[0] == "=\nsymmetry " + blocks[5].rstrip("\n")
    assert tell(engine, "kata-raw-nn", "kata-raw-nn ALL") == [answer] * 2


def test_the_raw_network_sees_stones_that_were_set_up():
    policy = Prefers("E5")
    engine = engine_of(policy)
    tell(engine, "boardsize 9", "set_free_handicap A1 B1", "play w C1", "kata-raw-nn 0")
    assert (policy.boards[-1].stones() == engine.board.stones()).all()
    tell(engine, "kata-raw-nn 1")
    assert sorted(policy.boards[-1].stones().ravel()) == sorted(engine.board.stones().ravel())


def test_the_raw_network_knows_what_superko_forbids():
    policy = tiny_policy()
    engine = engine_of(policy)
    tell(engine, "boardsize 2", *in_turn("A1 pass A2 B2 B1 B2 A2 pass"))
    for k in range(8):
        (answer,) = tell(engine, f"kata-raw-nn {k}")
        assert np.nansum(raw_fields(answer)["policy"]) == 1.0


def raw_fields(text: str) -> dict[str, list[float]]:
    """A block of ``kata-raw-nn`` as LizGoban reads it: a word is a field, numbers belong to the field before them."""
    fields: dict[str, list[float]] = {}
    name = ""
    for word in text.lstrip("=").split():
        if re.fullmatch(r"[-.0-9]+|NAN", word):
            fields[name].append(float(word))
        else:
            name = word
            fields[name] = []
    return fields


def test_raw_network_tells_what_the_scorer_knows():
    """From White's view, as KataGo does."""

    class Open(Scores):
        def expected_lead(self, board, komi, rules):
            return 6.5

    engine = engine_of(Prefers("D4"), scorer=lambda: Open(lead=0.5, winrate=0.8))
    tell(engine, "boardsize 5")
    fields = raw_fields(tell(engine, "kata-raw-nn 3")[0])
    assert (fields["symmetry"], fields["whiteWin"], fields["whiteLoss"], fields["noResult"]) == ([3.0], [0.2], [0.8], [0.0])
    assert fields["whiteLead"] == fields["whiteScoreSelfplay"] == [-6.5]
    assert fields["whiteOwnership"] == pytest.approx(np.linspace(-1, 1, 25), abs=1e-6)
    assert len(fields["policy"]) == 25
    unknown = raw_fields(tell(engine_of(Prefers("D4")), "kata-raw-nn 0")[0])
    assert (unknown["whiteWin"], unknown["whiteLead"], unknown["whiteOwnership"]) == ([0.5], [0.0], [0.0] * 361)


def test_a_pass_is_all_that_the_network_has_where_nothing_is_legal():
    engine = engine_of(tiny_policy())
    tell(engine, "boardsize 3", *plays("b B1,b A2,b B2,b C2,b B3"))  # White can play into none of the corners
    assert tell(engine, "heatmap")[0].endswith("\npass: 1000")
    fields = raw_fields(tell(engine, "kata-raw-nn 0")[0])
    assert fields["policyPass"] == [1.0]
    assert np.isnan(fields["policy"]).all()
    assert tell(engine, "clear_board", "heatmap")[1].endswith("\npass: 0")
    assert raw_fields(tell(engine, "kata-raw-nn 0")[0])["policyPass"] == [0.0]


def test_every_command_pays_for_handicap_stones():
    """By Chinese rules Black gives White a point for each: of 10 points on the board 6.5 are left after them and a komi of 0.5."""

    class Counts(Scores):
        def final_score(self, board, komi, rules):
            return 10 - komi

        def winrate(self, board, komi, rules, stop=None):
            return float(komi == 3.5)

        def is_lost(self, board, komi, rules, stop=None):
            return board.to_play == WHITE and komi < 3.5

        def worth_playing(self, board, probs, komi, rules, stop=None):
            return np.full((9, 9), komi == 3.5)

    engine = engine_of(Prefers("E5"), scorer=Counts, resigns=True)
    tell(engine, "boardsize 9", "kata-set-rules chinese", "komi 0.5", "fixed_handicap 3")
    score, analysed, raw = tell(engine, "final_score", "kata-analyze b 50", "kata-raw-nn 0")
    assert score == "= B+6.5"
    assert {(move["scoreLead"], move["winrate"]) for move in infos(analysed.split("\n")[-1])} == {("6.500", "1.000000")}
    fields = raw_fields(raw)
    assert (fields["whiteLead"], fields["whiteWin"]) == ([-6.5], [0.0])
    assert tell(engine, "genmove w") == ["= E5"], "neither resigned nor passed"


def test_every_command_counts_by_the_rules():
    """The Japanese ones, by which a move into territory costs a point."""

    class Territory(Scores):
        def final_score(self, board, komi, rules):
            return 5.0 if rules == "territory" else 0.0

        def winrate(self, board, komi, rules, stop=None):
            return float(rules == "territory")

        def is_lost(self, board, komi, rules, stop=None):
            return rules != "territory"

        def worth_playing(self, board, probs, komi, rules, stop=None):
            return np.full((9, 9), rules == "territory")

    engine = engine_of(Prefers("E5"), scorer=Territory, resigns=True)
    tell(engine, "boardsize 9", "kgs-rules japanese")
    score, analysed, raw = tell(engine, "final_score", "kata-analyze b 50", "kata-raw-nn 0")
    assert score == "= B+5.0"
    assert {(move["scoreLead"], move["winrate"]) for move in infos(analysed.split("\n")[-1])} == {("5.000", "1.000000")}
    assert (raw_fields(raw)["whiteLead"], raw_fields(raw)["whiteWin"]) == ([-5.0], [0.0])
    assert tell(engine, "genmove b") == ["= E5"], "neither resigned nor passed"


def test_raw_network_does_not_wait_for_playouts_in_time_trouble():
    scorer = Scores(lead=6.5, winrate=0.8)
    scorer.thinks = True
    engine = engine_of(Prefers("D4"), scorer=lambda: scorer)
    tell(engine, "time_settings 0 1 1", "time_left b 0.1 1")
    fields = raw_fields(tell(engine, "kata-raw-nn 0")[0])
    assert (fields["whiteWin"], fields["whiteLead"], fields["policy"][15 * 19 + 3]) == ([0.5], [0.0], 0.5)


def test_an_analysis_passes_where_genmove_does():
    engine = engine_of(Prefers("D4", "Q16"), scorer=lambda: Scores(passes=True))
    first, last = tell(engine, "kata-analyze b 50")[0].split("\n")[1:]
    assert infos(first)[0]["move"] == "D4"  # before the scorer has been asked
    assert [(move["move"], move["visits"]) for move in infos(last)] == [("pass", "10000")]
    line, move = tell(engine, "kata-genmove_analyze b")[0].split("\n")[1:]
    assert (infos(line)[0]["move"], move) == ("pass", "play pass")


def test_raw_network_turns_the_board_and_its_answer():
    class Beside(Batches):
        """Likes the neighbour of the last move that has most room on its side: the same move in every view of the board."""

        def probabilities(self, board, symmetries=1):
            probs = np.zeros((board.size, board.size), dtype=np.float32)
            row, column = divmod(board.last_move, board.size)
            probs[row, column + (1 if column < board.size // 2 else -1)] = 0.75
            probs[row + (1 if row < board.size // 2 else -1), column] = 0.25
            return probs

    class BySide(Beside):
        def probabilities(self, board, symmetries=1):
            probs = super().probabilities(board)
            row, column = divmod(board.last_move, board.size)
            edges = [min(n, board.size - 1 - n) for n in (row, column)]
            return probs if edges[0] > edges[1] else np.where(probs == 0.75, 0.25, np.where(probs == 0.25, 0.75, 0))

    engine = engine_of(BySide())
    tell(engine, "boardsize 9", "play b H3", "play w C4")
    blocks = tell(engine, "kata-raw-nn all")[0].split("symmetry ")[1:]
    assert len({block[2:].strip() for block in blocks}) == 1
    grid = [line.split() for line in blocks[0].split("policy\n")[1].splitlines()[:9]]
    assert grid[9 - 3][7] == grid[9 - 4][2] == "NAN"  # stones
    assert {float(grid[9 - 4][3]), float(grid[9 - 5][2])} == {0.25, 0.75}


def test_boards_for_gogui():
    engine = engine_of(Prefers("A9", "J1", "E5"), scorer=lambda: Scores())
    tell(engine, "boardsize 9")
    types = dict(line.rpartition("/")[::2] for line in tell(engine, "gogui-analyze_commands")[0][2:].split("\n"))
    assert {name.split("/")[0] for name in types} >= {"gfx", "cboard", "sboard", "dboard", "plist", "string"}
    for kind, command in types.items():
        (answer,) = tell(engine, command.replace("%m", "b"))
        assert answer[0] == "=", command
        if "board" in kind.split("/")[0]:
            rows = answer.split("\n")[1:]
            assert [len(row.split()) for row in rows] == [9] * 9
    shown = {types[f"plist/{name}"] for name in ("Dead Stones", "Stones in Seki")}
    assert shown == {"final_status_list dead", "final_status_list seki"}
    assert tell(engine, "gogui-title") == ["= gopolicy"]
    assert tell(engine, "gopolicy-per_cent w")[0].split("\n")[1].split()[:2] == ["50", '""']
    for colour, line in (("b", "b A9 w J1 b E5"), ("w", "w A9 b J1 w E5")):
        told = tell(engine, f"gopolicy-moves {colour}")[0]
        assert "LABEL A9 50 J1 25 E5 12" in told
        assert f"TEXT expected: {line} " in told
    assert tell(engine, "heatmap")[0].split("\n")[1].split()[0] == "500"
    owners = tell(engine, "gopolicy-ownership")[0].split()
    assert (owners[1], owners[-1]) == ("1.00", "-1.00"), "Black's are positive"


def test_gogui_shows_moves_down_to_a_per_cent():
    """Of half as much each: 1.6 and 0.8 % are the last that have a number, and a thousandth the last with a colour."""
    engine = engine_of(Prefers(*(f"{column}9" for column in "ABCDEFGHJ"), "A8"))
    tell(engine, "boardsize 9")
    cells = {command: tell(engine, f"gopolicy-{command} b")[0].split()[1:12] for command in ("per_cent", "heat_map")}
    assert cells["per_cent"] == [*["50", "25", "12", "6", "3", "2", "1"], *['""'] * 4]
    assert [cell == '""' for cell in cells["heat_map"]] == [False] * 9 + [True] * 2
    assert gtp._heat(1.0) == "#ff0000"
    pale = [int(cell[3:5], 16) for cell in cells["heat_map"][:9]]
    assert pale == sorted(set(pale))
    assert all(re.fullmatch("#ff([0-9a-f]{2})\\1", cell) for cell in cells["heat_map"][:9])


def test_gogui_is_told_of_a_pass():
    engine = engine_of(Prefers("A1"))
    tell(engine, "boardsize 3", *plays("b B1,b A2,b B2,b C2,b B3"))
    assert tell(engine, "gopolicy-moves b") == ["= TEXT expected: b pass"]


@pytest.mark.parametrize("command", ["heatmap", "kata-raw-nn 0", "gopolicy-moves", "gopolicy-heat_map", "gopolicy-per_cent"])
def test_the_network_is_shown_with_all_its_views_of_whose_turn_it_is(command):
    policy = Prefers("D4")
    engine = engine_of(policy, symmetries=8)
    tell(engine, "play b C3", "play b C5", "play b C7")
    for told, colour in [("", WHITE), (" w", WHITE), (" b", BLACK)][: 1 if command in ("heatmap", "kata-raw-nn 0") else 3]:
        policy.boards.clear()
        policy.symmetries.clear()
        tell(engine, command + told)
        # kata-raw-nn is asked for each view by itself.
        assert (policy.boards[0].to_play, policy.symmetries[0]) == (colour, 1 if command == "kata-raw-nn 0" else 8)
        assert policy.boards[0].moves == [], "stones set up through play are old"


def test_analysis_goes_on_until_there_is_input():
    reading, writing = os.pipe()
    out = io.BytesIO()
    reports = threading.Event()

    class Out(io.BytesIO):
        def flush(self):
            if self.getvalue().count(b"\ninfo ") >= 3:
                reports.set()

    out = Out()
    engine = engine_of(Prefers("D4", "Q16"))
    with os.fdopen(reading, "rb") as stdin, os.fdopen(writing, "wb", buffering=0) as commands:
        thread = threading.Thread(target=gtp.serve, args=(engine, stdin, out))
        thread.start()
        commands.write(b"1 lz-analyze b 1\n")
        assert reports.wait(60)
        commands.write(b"\n2 kata-analyze 100000\n")  # an empty line ends it too
        commands.write(b"3 known_command known_command\n4 analyze 5\n5 stop\n6 quit\n7 name\n")
        thread.join(60)
        assert not thread.is_alive()
    answers = out.getvalue().decode().split("\n\n")
    assert [answer.split()[0] for answer in answers[:-1]] == ["=1", "=2", "=3", "=4", "=5", "=6"]
    assert [answer.count("\ninfo ") >= 1 for answer in answers[:-1]] == [True, True, False, True, False, False]
    lines = answers[0].split("\n")[1:]
    lengths = [len(infos(line)[0]["pv"]) for line in lines]
    assert lengths == sorted(lengths)
    assert lengths[-1] > lengths[0]


def test_the_first_line_of_an_analysis_waits_for_no_playout():
    """Input ends the search for a winrate; what is known without one has been said by then."""

    class Slow(Scores):
        def winrate(self, board, komi, rules, stop=None):
            while not stop():
                time.sleep(0.001)
            raise Interrupted

    engine = engine_of(Prefers("D4"), scorer=Slow)
    pieces = engine.pieces("3 lz-analyze b 50")
    first = next(pieces)
    assert first.startswith("=3\ninfo move D4 visits ")
    assert " winrate 5000 " in first
    assert not first.endswith("\n\n")
    assert list(pieces) == ["\n"], "the answer ends, without another line"
    # Whoever asks for the ownership and has sent more already is told all of it on the one line they get.
    engine = engine_of(Prefers("D4"), scorer=lambda: Scores(winrate=0.8))
    (line,) = tell(engine, "kata-analyze b 50 ownership true")[0].split("\n")[1:]
    assert " winrate 0.800000 " in line
    assert " ownership 1.0000 " in line


def test_whoever_waits_for_more_lines_gets_the_first_before_the_ownership_is_known():
    engine = engine_of(Prefers("D4"), scorer=lambda: Scores(winrate=0.8))
    engine.quiet = lambda _: True
    pieces = engine.pieces("kata-analyze b 50 ownership true")
    first, second = next(pieces), next(pieces)
    assert (" winrate 0.500000 " in first, "ownership" in first) == (True, False)
    assert (" winrate 0.800000 " in second, " ownership 1.0000 " in second) == (True, True)


def test_the_end_of_input_ends_an_analysis():
    out = served(b"lz-analyze 10").decode()
    assert out.startswith("=\ninfo move D4 ")
    assert out.endswith("\n\n")


def undisturbed(monkeypatch, seconds: float) -> gtp.Engine:
    """An engine that hears of no input for so long, by a clock that only its waiting moves on."""
    clock = [0.0]

    def quiet(wait: float) -> bool:
        clock[0] += max(wait, 0.001)
        return clock[0] < seconds

    monkeypatch.setattr(gtp.time, "monotonic", lambda: clock[0])
    engine = engine_of()
    engine.quiet = quiet
    return engine


def test_an_interval_of_nothing_does_not_flood_the_client(monkeypatch):
    assert 15 < tell(undisturbed(monkeypatch, 1), "lz-analyze 0")[0].count("info move D4") <= 21


@pytest.mark.parametrize(("arguments", "lines"), [("", 4), ("50", 4), ("b interval 50", 4), ("100", 2), ("w interval 20", 10)])
def test_an_interval_is_in_hundredths_of_a_second(monkeypatch, arguments, lines):
    """A line at the start, and one each interval; half a second where nothing is said."""
    (answer,) = tell(undisturbed(monkeypatch, 1.9), f"kata-analyze {arguments}")
    assert answer.count("\n") == lines


def test_an_analysis_with_nothing_left_to_look_at_sleeps_until_the_next_line(monkeypatch):
    """It looks for input at once as long as the pvs grow, and never after: a GUI leaves an analysis on for hours."""
    engine = undisturbed(monkeypatch, 10)
    quiet, waits = engine.quiet, []
    engine.quiet = lambda wait: waits.append(wait) or quiet(wait)
    tell(engine, "boardsize 5", "lz-analyze b 50")
    assert waits[0] == 0
    assert all(waits[waits.count(0) :])
    assert waits[-1] > 0


def test_an_interval_longer_than_the_machine_can_wait():
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        lines = gtp.Lines(stream)
        threading.Timer(0.2, os.write, (writer, b"name\n")).start()
        assert not lines.quiet(1e15)
        assert next(lines) == b"name\n"
        os.close(writer)


# ---- moves


@pytest.mark.parametrize(
    ("word", "colour"), [("b", BLACK), ("B", BLACK), ("black", BLACK), ("w", WHITE), ("WHITE", WHITE), ("White", WHITE)]
)
def test_genmove_plays_the_best_move_of_the_colour_asked_for(word, colour):
    policy = Prefers("Q16", "D4")
    engine = engine_of(policy, symmetries=8)
    assert tell(engine, "play b c3", f"genmove {word}") == ["=", "= Q16"]
    assert engine.board.moves[-1] == (colour, point_from_gtp("Q16", 19))
    assert policy.boards[0].to_play == colour
    assert policy.symmetries == [8]
    assert tell(engine, f"reg_genmove {word}") == ["= D4"]
    assert engine.board.move_number == 2


def test_genmove_never_plays_what_is_illegal_or_an_own_eye():
    policy = Prefers("J9", "A9", "E5", "D5", "G7")
    engine = engine_of(policy)
    # A9 is Black's eye and J9 White's; Black has just taken a ko, so White may not play E5.
    stones = plays("b A8,b B9,b B8,w H9,w J8,w H8,b D5,b E6,b E4,w F6,w F4,w G5,w E5,b F5")
    assert set(tell(engine, "boardsize 9", *stones)) == {"="}
    assert tell(engine, "play w A9", "play w E5", "play w D5") == ["? illegal move"] * 3
    assert tell(engine, "play w J9", "undo") == ["=", "="]  # legal, and yet
    assert tell(engine, "genmove w", "genmove b") == ["= G7", "= E5"]


def test_genmove_passes_when_only_own_eyes_are_left():
    engine = engine_of(Prefers("A1", "C1", "A3"))
    assert set(tell(engine, "boardsize 3", *plays("b B1,b A2,b B2,b C2,b B3"))) == {"="}
    # Of Black's four corners none may be filled; White has no legal move at all.
    assert tell(engine, "genmove b", "genmove w", "reg_genmove b") == ["= pass"] * 3
    assert engine.board.moves[-2:] == [(BLACK, -1), (WHITE, -1)]


def test_a_game_that_does_not_end_is_given_up():
    engine = engine_of()
    for _ in range(361):
        engine.board.play("pass")
        engine.board.play("pass")
    assert tell(engine, "genmove b", "undo", "undo", "genmove w") == ["= pass", "=", "=", "= D4"]


def test_a_game_on_a_small_board_may_take_two_hundred_moves():
    engine = engine_of()
    tell(engine, "boardsize 5", *["play b pass"] * 199)
    assert tell(engine, "genmove b", "genmove w") == ["= D4", "= pass"]


def test_stones_set_up_through_play_are_old_to_the_network():
    policy = Prefers("G7")
    engine = engine_of(policy)
    black, white = ["C3", "G7", "C7", "E5"], ["E6", "F5", "D5"]
    tell(engine, "boardsize 9", *(f"play b {vertex}" for vertex in black), *(f"play w {vertex}" for vertex in white))
    expected = Board(9)
    expected.setup(black=black, white=white)
    tell(engine, "reg_genmove b")
    assert (encode(policy.boards[-1]) == encode(expected)).all()
    tell(engine, "play b E4", "play w E3")
    expected.play("E4", BLACK)
    expected.play("E3", WHITE)
    tell(engine, "reg_genmove b")
    assert (encode(policy.boards[-1]) == encode(expected)).all()
    # And E4 took nothing that a board with its history would not have taken.
    assert (policy.boards[-1].stones() == engine.board.stones()).all()


SET_UP = {"": 0, "b": 0, "bw": 0, "bwb": 0, "bwbb": 0, "bb": 2, "ww": 2, "bbwb": 2, "bbww": 4, "bbwwb": 4, "bwwwb": 4, ".bb": 0, "b.bb": 0}


@pytest.mark.parametrize(("moves", "count"), SET_UP.items())
def test_which_stones_count_as_set_up(moves, count):
    pairs = [({"b": BLACK, "w": WHITE, ".": WHITE}[sign], -1 if sign == "." else 80 - i) for i, sign in enumerate(moves)]
    assert analysis.set_up_count(pairs, 9) == count


# q5Go sends a position column by column, whatever the colours, and then the moves that followed; old Sabakis did it row by row.
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("later", ["", "w A9", "b A9", "b B9,w A9", "w pass,b H1"])
def test_stones_set_up_in_the_order_of_the_board_are_old_to_the_network(rows, later):
    black, white = ["B1", "B2", "B8", "C3", "C7", "D7", "G3", "G7", "H6"], ["B4", "B5", "C6", "D3", "E7", "F3", "G6", "H3"]
    stones = [(point_from_gtp(vertex, 9), f"{sign} {vertex}") for sign, vertices in (("b", black), ("w", white)) for vertex in vertices]
    stones.sort(key=lambda stone: stone[0] if rows else (stone[0] % 9, stone[0] // 9))
    moves = [move for move in later.split(",") if move]
    policy = Prefers("E5")
    engine = engine_of(policy)
    tell(engine, "boardsize 9", *(f"play {stone}" for _, stone in stones), *(f"play {move}" for move in moves), "reg_genmove b")
    expected = Board(9)
    expected.setup(black=black, white=white)
    for move in moves:
        expected.play(move.split()[1], analysis.COLOURS[move[0]])
    expected.to_play = BLACK
    assert (encode(policy.boards[-1]) == encode(expected)).all()


def test_handicap_stones_and_moves_that_happen_to_be_in_the_order_of_the_board_stay_moves():
    for told, count in (("b C7,w D7,b C3,w D3", 0), ("b C7,b G7,w C3,b D3,w G3", 2)):
        moves = [(analysis.COLOURS[move[0]], point_from_gtp(move[2:], 9)) for move in told.split(",")]
        assert analysis.set_up_count(moves, 9) == count


def test_a_game_in_turns_is_seen_with_its_turns():
    policy = Prefers("G7")
    engine = engine_of(policy)
    tell(engine, "boardsize 9", *in_turn("C3 G7 pass D4 E5"), "reg_genmove w")
    expected = Board(9)
    for vertex in ("C3", "G7", "pass", "D4", "E5"):
        expected.play(vertex)
    assert (encode(policy.boards[0]) == encode(expected)).all()


@pytest.mark.parametrize("size", [2, 3, 5, 9, 19])
def test_self_play_is_legal_and_ends_in_two_passes(size):
    engine = engine_of(Dice(size))
    referee = sgfmill.boards.Board(size)
    seen = {tuple(referee.list_occupied_points())}
    tell(engine, f"boardsize {size}")
    passes = 0
    for number in range(max(2 * size**2, 200) + 2):
        colour = "bw"[number % 2]
        (answer,) = tell(engine, f"genmove {colour}")
        if answer == "= pass":
            passes += 1
            if passes == 2:
                break
            continue
        passes = 0
        row, column = divmod(point_from_gtp(answer[2:], size), size)
        referee.play(size - 1 - row, column, colour)  # ValueError where a stone lies
        assert referee.get(size - 1 - row, column) == colour  # no suicide
        position = tuple(referee.list_occupied_points())
        assert position not in seen
        seen.add(position)
    assert passes == 2
    stones = {
        (size - 1 - row, column): "b" if stone > 0 else "w" for (row, column), stone in np.ndenumerate(engine.board.stones()) if stone
    }
    assert stones == {point: colour for colour, point in referee.list_occupied_points()}


def drawn(count: int, **options) -> list[str]:
    """Moves of a policy that gives three points 0.5, 0.25 and 0.125, and the other 22 of the board next to nothing."""
    engine = engine_of(Prefers("D4", "B2", "C3"), **options)
    tell(engine, "boardsize 5")
    return [tell(engine, "genmove b", "undo")[0][2:] for _ in range(count)]


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_temperature_draws_as_often_as_the_policy_says(temperature):
    expected = np.array([0.5, 0.25, 0.125]) ** (1 / temperature)
    rest = 22 * 1e-6 ** (1 / temperature)
    moves = drawn(1500, temperature=temperature, seed=1)
    for vertex, share in zip(("D4", "B2", "C3"), expected / (expected.sum() + rest), strict=True):
        assert moves.count(vertex) / 1500 == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 1500))


def test_no_temperature_draws_nothing():
    assert set(drawn(20, temperature=0.0, seed=1)) == {"D4"}
    assert set(drawn(20, temperature=1e-320, seed=1)) == {"D4"}


def test_top_p_keeps_the_likeliest():
    assert set(drawn(200, temperature=1.0, seed=1, top_p=0.5)) == {"D4"}
    assert set(drawn(200, temperature=1.0, seed=1, top_p=0.7)) == {"D4", "B2"}
    assert set(drawn(200, temperature=1.0, seed=1, top_p=0.9)) == {"D4", "B2", "C3"}


def test_a_move_that_the_policy_finds_impossible_can_be_asked_for():
    class Sure(Prefers):
        def probabilities(self, board, symmetries=1):
            return np.float32(super().probabilities(board, symmetries) > 0.1)

    engine = engine_of(Sure("D4"), temperature=1.0)
    assert tell(engine, "lz-genmove_analyze b allow b C3 1")[0].endswith("play C3")


def test_nothing_is_drawn_for_regression_tests():
    engine = engine_of(temperature=2.0)
    assert tell(engine, *["reg_genmove b"] * 20) == ["= D4"] * 20


def test_the_seed_fixes_the_game():
    assert drawn(30, temperature=1.0, seed=3) == drawn(30, temperature=1.0, seed=3)
    assert len({tuple(drawn(30, temperature=1.0, seed=seed)) for seed in (3, 4, None, None)}) == 4


def test_sabaki_gets_moves_that_are_drawn_too():
    """It plays with the analysing command, and never asks for a plain move."""
    engine = engine_of(Prefers("D4", "B2", "C3"), temperature=1.0, seed=3)
    tell(engine, "boardsize 5")
    moves = [tell(engine, "genmove_analyze b", "undo")[0].split("play ")[1] for _ in range(30)]
    assert moves == drawn(30, temperature=1.0, seed=3)


def test_the_same_position_gets_the_same_answer():
    policy = tiny_policy()
    engine = engine_of(policy)
    moves = ["play b q16", "play w d4", "play b c17"]
    first = tell(engine, *moves, "genmove w")
    assert tell(engine, "undo", "reg_genmove w", "genmove w")[1:] == first[-1:] * 2
    assert tell(engine, "boardsize 9", "genmove b", "clear_board", "boardsize 19", *moves, "genmove w")[-1] == first[-1]


# ---- what can go wrong


def test_without_a_network_everything_else_works(capsys):
    def missing():
        raise WeightsError("weights file 'x' does not exist;\nexpected a .safetensors file")

    engine = gtp.Engine(missing)
    answers = tell(engine, "name", "boardsize 9", "play b c3", "genmove w", "3 reg_genmove b", "undo")
    sentence = "weights file 'x' does not exist; expected a .safetensors file"
    assert answers == ["= gopolicy", "=", "=", f"? {sentence}", f"?3 {sentence}", "="]
    assert capsys.readouterr() == ("", "")


def test_a_mistake_of_our_own_is_an_answer_too(capsys):
    class Broken(Batches):
        def probabilities(self, board, symmetries=1):
            raise RuntimeError("out of\n\nmemory")

    engine = engine_of(Broken())
    before = state(engine)
    assert tell(engine, "genmove w") == ["? RuntimeError: out of memory"]
    assert state(engine) == before
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" in err
    assert all(line.startswith("gopolicy: ") for line in err.splitlines())


def test_what_is_not_installed_is_said_without_a_traceback(capsys):
    def missing():
        raise ModuleNotFoundError("No module named 'numba'")

    answers = tell(gtp.Engine(missing), "genmove b", "name")
    assert answers == [f"? No module named 'numba': what gopolicy needs is not installed for this Python ({sys.executable})", "= gopolicy"]
    assert capsys.readouterr() == ("", "")


def test_a_mistake_in_the_middle_of_an_analysis_ends_it_alone(capsys):
    class Breaks(Prefers):
        def probabilities_batch(self, boards, symmetries=1):
            raise RuntimeError("out of memory")

    engine = engine_of(Breaks("D4"))
    engine.quiet = lambda _: True
    (answer,) = tell(engine, "5 lz-analyze b")
    assert answer.startswith("=5\ninfo move D4 ")
    assert tell(engine, "name") == ["= gopolicy"]
    out, err = capsys.readouterr()
    assert (out, "RuntimeError: out of memory" in err) == ("", True)
    assert all(line.startswith("gopolicy: ") for line in err.splitlines())


def test_loading_is_waited_for_only_where_it_is_needed(capsys):
    go = threading.Event()
    policy = Prefers("Q16")

    def load():
        assert go.wait(60)
        return policy

    engine = gtp.Engine(Loading(load))
    assert {reply[0] for reply in tell(engine, "name", "list_commands", "boardsize 19", "play b d4", "showboard", "undo", "quit")} == {"="}
    threading.Timer(0.05, go.set).start()
    assert tell(engine, "genmove b") == ["= Q16"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (WeightsError("w.safetensors is damaged"), "w.safetensors is damaged"),
        (ModuleNotFoundError("No module named 'torch'"), "No module named 'torch': what gopolicy needs is not installed for this Python"),
        (OSError(28, "No space left"), "No space left"),
        (OSError(28, "No space left", "a.txt"), "a.txt: No space left"),
        (OSError("strange"), "OSError: strange"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_loading_that_fails_is_said_once(error, text, capsys):
    def load():
        raise error

    engine = gtp.Engine(Loading(load))
    answers = tell(engine, "genmove b", "genmove w", "name")
    assert answers[0].startswith(f"? {text}")
    assert answers[1:] == [answers[0], "= gopolicy"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"gopolicy: {answers[0][2:]}\n"


# ---- streams


def served(data: bytes, engine: gtp.Engine | None = None) -> bytes:
    out = io.BytesIO()
    gtp.serve(engine or engine_of(), io.BytesIO(data), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "answers"),
    [
        (b"", b""),
        (b"\n\r\n \n# nothing\n", b""),
        (b"1 name\r\n2 name\n", b"=1 gopolicy\n\n=2 gopolicy\n\n"),
        (b"name\nquit\nname\n", b"= gopolicy\n\n=\n\n"),
        (b"name\nprotocol_version", b"= gopolicy\n\n= 2\n\n"),  # the end of input in the last line
        (b"\xef\xbb\xbfname\n", b"= gopolicy\n\n"),
        (b"na\x00me\n\x00\n", b"= gopolicy\n\n"),
        (b"\xff\xfe\x80\n1 play b \xc3\n", b"? unknown command\n\n?1 syntax error\n\n"),
        (b"name # caf\xe9\n", b"= gopolicy\n\n"),
        (b"x" * 1_000_000 + b"\nname " + b"y " * 500_000 + b"\n" + b" " * 1_000_000 + b"\n", b"? unknown command\n\n= gopolicy\n\n"),
        (b"play b " + b"a" * 1_000_000 + b"\nname\n", b"? syntax error\n\n= gopolicy\n\n"),
    ],
)
def test_streams(data, answers):
    assert served(data) == answers


def test_a_file_name_that_is_no_text():
    def missing():
        raise WeightsError(f"weights file {os.fsdecode(b'caf' + bytes([0xE9]))} of café does not exist")

    assert served(b"genmove b\nname\n", gtp.Engine(missing)) == b"? weights file caf? of caf\xc3\xa9 does not exist\n\n= gopolicy\n\n"


def test_ten_thousand_commands_at_once():
    lines = [f"{i} {('play b pass', 'undo', 'name', 'foo', 'play w a0')[i % 5]}" for i in range(10_000)]
    marks = ["=", "=", "=", "?", "?"]
    answers = served("\n".join(lines).encode() + b"\n").decode().split("\n\n")
    assert [answer.split(" ")[0] for answer in answers[:-1]] == [f"{marks[i % 5]}{i}" for i in range(10_000)]
    assert answers[-1] == ""


def test_each_answer_is_flushed_before_the_next_line_is_read():
    class Out(io.BytesIO):
        flushed = 0

        def flush(self):
            self.flushed = len(self.getvalue())

    out = Out()

    class In(io.BytesIO):
        def __next__(self):
            assert out.flushed == len(out.getvalue())
            return super().__next__()

    gtp.serve(engine_of(), In(b"name\n\nplay b d4\nshowboard\nfoo\n"), out)
    assert out.flushed == len(out.getvalue()) > 100


# ---- the process


def tiny_network() -> PolicyNetwork:
    torch.manual_seed(5)
    return PolicyNetwork(PolicyConfig(planes="alphago4", in_planes=4, filters=4, layers=3))


def tiny_policy() -> Policy:
    return Policy(tiny_network(), {}, torch.device("cpu"))


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    weights.save(path, tiny_network(), {})
    return path


def start(folder: Path, *command: str, data: bytes = b"", status: int = 0) -> tuple[str, str]:
    """Standard output and error of a Python process that is started in ``folder`` and knows nothing of this checkout."""
    # Nor is it unbuffered, with which output that is lost to users would come.
    surroundings = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONUNBUFFERED")}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=surroundings, input=data, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == status, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


ENGINE = str(ROOT / "gtp_engine.py")


def test_process_plays(tmp_path, tiny_weights):
    moves = ["genmove b", "boardsize 9", "genmove black", "genmove w", "play b a1", "undo", "foo", "quit", "name"]
    data = "".join(f"{i} {line}\r\n" for i, line in enumerate(["name", *moves])).encode()
    out, err = start(tmp_path, ENGINE, "--weights", str(tiny_weights), "--device", "cpu", "--threads", "1", data=data)
    answers = out.split("\n\n")
    vertices = [answers[i].split(" ")[1] for i in (1, 3, 4)]
    assert answers == [
        "=0 gopolicy",
        f"=1 {vertices[0]}",
        "=2",
        f"=3 {vertices[1]}",
        f"=4 {vertices[2]}",
        "=5",
        "=6",
        "?7 unknown command",
        "=8",
        "",
    ]
    board = Board(9)
    board.play(vertices[1])
    board.play(vertices[2])
    # It is the network that was asked, not any other.
    policy = tiny_policy()
    assert vertices[0] == policy.top_k(Board(19), 1)[0].move
    assert vertices[1] == policy.top_k(Board(9), 1)[0].move
    assert not [line for line in err.splitlines() if not line.startswith("gopolicy: ")]


def test_process_without_weights_of_that_name(tmp_path):
    out, err = start(
        tmp_path,
        ENGINE,
        "--weights",
        "there is none",
        data=b"1 name\n2 genmove b\n3 boardsize 9\n4 genmove w\n5 play b a1\n6 showboard",
        status=1,
    )
    answers = out.split("\n\n")
    assert answers[0] == "=1 gopolicy"
    assert answers[1].startswith("?2 weights file 'there is none' does not exist")
    assert answers[2:5] == ["=3", "?4" + answers[1][2:], "=5"]
    assert answers[5].startswith("=6\n   A B C D E F G H J\n")
    assert [line for line in err.splitlines() if "compiling" not in line] == ["gopolicy:" + answers[1][2:]]


@pytest.mark.parametrize(("data", "out"), [(b"", ""), (b"quit\n", "=\n\n"), (b"name\nversio", "= gopolicy\n\n? unknown command\n\n")])
def test_process_ends_while_it_loads(tmp_path, data, out):
    # -I: Python looks for modules neither in the script's folder nor in the working folder.
    assert start(tmp_path, "-I", ENGINE, data=data)[0] == out


def test_nothing_heavy_is_loaded_to_say_the_name(tmp_path):
    heavy = "import gopolicy.gtp, sys; print([name for name in ('numpy', 'numba', 'torch', 'matplotlib') if name in sys.modules])"
    assert start(tmp_path, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {heavy}") == ("[]\n", "")


def test_stray_prints_do_not_reach_the_client(tmp_path):
    script = tmp_path / "stray.py"
    script.write_text(
        f"import os, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from gopolicy.process import claim_stdout\n"
        "answers = claim_stdout()\n"
        "print('stray 1'); sys.__stdout__.write('stray 2\\n'); sys.__stdout__.flush()\n"
        "os.write(1, b'stray 3\\n'); sys.stdout.flush()\n"
        "answers.write(b'= name\\n\\n'); answers.flush()\n"
        "print('stray 4'); os._exit(0)\n"
    )
    out, err = start(tmp_path, str(script))
    assert out == "= name\n\n"
    assert sorted(err.split("\n")) == ["", "stray 1", "stray 2", "stray 3", "stray 4"]


def test_options(tmp_path):
    out, err = start(tmp_path, ENGINE, "--help")
    options = "--weights --device --precision --threads --symmetries --temperature --top-p --seed --resign"
    for option in (*options.split(), "gtp_engine.py"):
        assert option in out
    for wrong in (
        ["--temperature", "-1"],
        ["--temperature", "inf"],
        ["--top-p", "0"],
        ["--top-p", "1.5"],
        ["--symmetries", "3"],
        ["--threads", "0"],
        ["--threads", "100000"],
        ["--seed", "x"],
        ["--sed", "1"],
    ):
        out, err = start(tmp_path, ENGINE, *wrong, status=2)
        assert out == ""
        assert wrong[0] in err


def test_options_reach_the_engine(monkeypatch):
    made: list[dict] = []
    monkeypatch.setattr(gtp, "Engine", lambda policy, **options: made.append(options))
    monkeypatch.setattr(gtp, "load_policy", lambda args: Prefers("D4"))
    monkeypatch.setattr(gtp, "run_process", lambda serve, policy: None)
    parser = argparse.ArgumentParser()
    gtp.add_arguments(parser)
    for line in ("", "--symmetries 8 --temperature 0.5 --top-p 0.9 --seed 3 --resign"):
        gtp.run(parser.parse_args(line.split()))
    assert [callable(options.pop("scorer")) for options in made] == [True, True]
    assert made == [
        {"symmetries": 1, "temperature": 0.0, "top_p": 1.0, "seed": None, "resigns": False},
        {"symmetries": 8, "temperature": 0.5, "top_p": 0.9, "seed": 3, "resigns": True},
    ]
    assert [
        vars(parser.parse_args(told))[name] for told, name in ((["--temperature", "0"], "temperature"), (["--top-p", "1"], "top_p"))
    ] == [0, 1]
