"""What a policy expects of a position, and KataGo's JSON protocol: queries as KaTrain sends them, and lines that are none."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from gopolicy import __version__, analysis
from gopolicy.analysis import Analysis, Analyst, Restriction, Wanted, as_seen
from gopolicy.board import Board
from gopolicy.coords import BLACK, PASS, WHITE, point_from_gtp, point_to_gtp
from gopolicy.errors import GoPolicyError, Interrupted


class FirstFree:
    """A policy that likes the first legal point best, and each further one half as much."""

    def __init__(self):
        self.boards = []

    def probabilities(self, board, symmetries=1):
        self.boards.append(board)
        legal = board.legal_mask()
        probs = np.zeros(board.size**2)
        order = np.flatnonzero(legal.ravel())
        probs[order] = 0.5 ** np.arange(1, len(order) + 1)
        return (probs / max(probs.sum(), 1e-30)).reshape(board.size, board.size).astype(np.float32)

    def probabilities_batch(self, boards, symmetries=1):
        return [self.probabilities(board, symmetries) for board in boards]


class Scores:
    """Black leads by 3, wins 7 of 10 games and has more of the top line than White, whatever the board."""

    def expected_lead(self, board, komi, rules):
        return 3.0

    def ownership(self, board):
        owners = np.zeros((board.size, board.size))
        owners[0] = 0.25
        return owners

    def winrate(self, board, komi, rules, stop=None):
        return 0.7

    def worth_playing(self, board, probs, komi, rules, stop=None):
        return board.legal_mask()


def board_of(size: int, vertices: str) -> Board:
    board = Board(size)
    for vertex in vertices.split():
        board.play(vertex)
    return board


def points(size: int, vertices: str) -> list[int]:
    return [point_from_gtp(vertex, size) for vertex in vertices.split()]


# ---- a position


def test_pvs_are_games_that_can_be_played():
    board = board_of(3, "B2 A2 B1 pass B3")
    before = board.stones().tolist(), list(board.moves)
    thought = Analysis(FirstFree(), board, Wanted(min_moves=9, max_moves=9))
    while thought.deepen():
        pass
    assert (board.stones().tolist(), board.moves) == before
    captured = False
    for move in thought.moves:
        replayed = board.copy()
        for point in move.pv:
            assert replayed.sensible_mask().ravel()[point] if point != PASS else not replayed.sensible_mask().any()
            replayed.play(point)
        assert (replayed.stones() == move.board.stones()).all()
        assert len(move.pv) == analysis.PV_LENGTH or move.pv[-1] == PASS
        assert PASS not in move.pv[:-1]
        captured |= replayed.captures != board.captures
    assert captured, "no pv takes a stone: the position shows nothing"


def test_the_better_the_move_the_longer_its_pv():
    thought = Analysis(FirstFree(), Board(9))
    lengths = []
    for _ in range(5):
        thought.deepen()
        lengths = [len(move.pv) for move in thought.moves]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[-1]


def test_restrictions_hold_as_deep_as_they_say():
    black, white = frozenset(points(9, "A9 B9")), frozenset(points(9, "A9 pass"))
    wanted = Wanted((Restriction(BLACK, black, 1), Restriction(WHITE, white, 2)), max_moves=1, pv_length=4)
    thought = Analysis(FirstFree(), Board(9), wanted)
    while thought.deepen():
        pass
    assert thought.moves[0].pv == points(9, "C9 B9 A9 D9")  # White may not take A9 as the second move, Black may as the third
    only = Analysis(FirstFree(), Board(9), Wanted((Restriction(BLACK, frozenset(points(9, "E5 D4 pass")), 1, only=True),)))
    assert [move.point for move in only.moves] == points(9, "E5 D4")
    lists = Wanted(tuple(Restriction(BLACK, frozenset(points(9, told)), 1, only=True) for told in ("E5 D4", "C3", "pass")), min_moves=3)
    assert [move.point for move in Analysis(FirstFree(), Board(9), lists).moves] == points(9, "E5 D4 C3"), "as Leela Zero takes them"
    assert only.moves[0].visits > only.moves[1].visits
    assert sum(move.visits for move in only.moves) == 10_000


def test_nothing_left_is_a_pass():
    board = Board(3)
    board.setup(black=["A2", "B1", "B2", "B3", "C2"])
    thought = Analysis(FirstFree(), board)
    assert [(move.point, move.visits, move.pv) for move in thought.moves] == [(PASS, 10_000, [PASS])]
    assert not thought.deepen()


def test_a_policy_without_any_idea():
    class Blank(FirstFree):
        def probabilities(self, board, symmetries=1):
            return np.zeros((board.size, board.size), dtype=np.float32)

    thought = Analysis(Blank(), Board(5))
    assert [move.visits for move in thought.moves] == [400] * 20
    thought.deepen()
    assert len(thought.moves[0].pv) == 2


def test_the_scorer_is_turned_to_the_player():
    board = board_of(5, "C3")
    thought = Analysis(FirstFree(), board)
    assert thought.seen_by(BLACK) == (0.5, 0.0)
    thought.score(Scores(), 7.5, analysis.Rules())
    assert thought.seen_by(BLACK) == (0.7, 3.0)
    assert thought.seen_by(WHITE) == (pytest.approx(0.3), -3.0)
    assert Analysis(FirstFree(), board).seen_by(WHITE) == (0.5, 0.0)


def test_setup_before_moves_stays_setup():
    board = Board(9)
    board.setup(black=["C3"])
    board.play("G7", WHITE)
    board.play("G3", WHITE)
    seen = as_seen(board)
    assert seen.first_stones() == board_of_stones("G7 w,C3 b,G3 w")
    assert seen.to_play == board.to_play


def test_stones_set_up_through_play_leave_superko_as_it_is():
    # Black's first two stones are set up; A1 would bring back the board that his third made.
    moves = [["B", "A1"], ["B", "A2"], ["W", "B2"], ["B", "B1"], ["W", "B2"], ["B", "A2"], ["W", "pass"]]
    query = query_of(moves=moves, boardXSize=2, boardYSize=2, rules="tromp-taylor", includePolicy=True)
    (answer,) = ask(analyst_of(), **query)
    # Nothing of the policy is lost on a move that is illegal.
    assert answer["policy"] == [-1.0, -1.0, -1.0, 1.0, 0.0]


def board_of_stones(stones: str) -> list[tuple[int, int]]:
    return [({"b": BLACK, "w": WHITE}[word[-1]], point_from_gtp(word[:-2], 9)) for word in stones.split(",")]


@pytest.mark.parametrize(
    "told",
    [
        "go",
        3,
        None,
        ["chinese"],
        {"ko": "NONE"},
        {"whiteHandicapBonus": "N-2"},
        {"whiteHandicapBonus": ["N"]},
        {"tax": "SOME"},
        {"tax": ["ALL"]},
        {"hasButton": "false"},
        {"suicide": 0},
        {"scorring": "TERRITORY"},
        "{",
    ],
)
def test_rules_that_are_not_known(told):
    with pytest.raises(GoPolicyError, match="rules") as plain:
        analysis.rules_from(told)
    if isinstance(told, dict):
        with pytest.raises(GoPolicyError) as as_json:
            analysis.rules_from(json.dumps(told))
        assert str(as_json.value) == str(plain.value)


@pytest.mark.parametrize(
    ("told", "rules"),
    [
        ("TrompTaylor", analysis.NAMED_RULES["tromp-taylor"]),
        ("koPOSITIONALscoreAREAtaxNONEsui0", analysis.Rules()),
        ("koSIMPLEscoreTERRITORYtaxSEKIsui0", analysis.NAMED_RULES["japanese"]),
        ("koSITUATIONALscoreAREAtaxNONEsui1button0whbN-1", analysis.NAMED_RULES["aga"]),
        ("koPOSITIONALscoreAREAtaxNONEsui1whbN", analysis.NAMED_RULES["chinese-ogs"]),
        ("koSIMPLEscoreAREAtaxALLsui0whb0", analysis.NAMED_RULES["stone-scoring"]),
        ("koPOSITIONALscoreAREAtaxNONEsui1button1whbN-1", analysis.NAMED_RULES["aga-button"]),
        ('{"ko": "SIMPLE", "scoring": "AREA", "whiteHandicapBonus": "N"}', analysis.NAMED_RULES["chinese"]),
        ('{"whiteHandicapBonus": 0}', analysis.Rules()),
        ('{"ko": "SIMPLE", "score": "TERRITORY", "tax": "SEKI", "friendlyPassOk": false}', analysis.NAMED_RULES["japanese"]),
    ],
)
def test_forms_of_rules(told, rules):
    """As KataGo's documentation of ``kata-set-rules`` and of its JSON engine writes them."""
    assert analysis.rules_from(told) == rules
    assert analysis.rules_from(told).uncounted == rules.uncounted
    assert analysis.rules_from(rules.described()) == rules


# KataGo's named rules (Rules::parseRules), as its Rules::toStringNoKomi writes them.
TABLE_OF_RULES = {
    "aga": "koSITUATIONALscoreAREAtaxNONEsui0whbN-1fpok1",
    "aga-button": "koSITUATIONALscoreAREAtaxNONEsui0button1whbN-1fpok1",
    "ancient-area": "koSIMPLEscoreAREAtaxALLsui0fpok1",
    "ancient-territory": "koSIMPLEscoreTERRITORYtaxALLsui0",
    "bga": "koSITUATIONALscoreAREAtaxNONEsui0whbN-1fpok1",
    "chinese": "koSIMPLEscoreAREAtaxNONEsui0whbNfpok1",
    "chinese-kgs": "koPOSITIONALscoreAREAtaxNONEsui0whbNfpok1",
    "chinese-ogs": "koPOSITIONALscoreAREAtaxNONEsui0whbNfpok1",
    "japanese": "koSIMPLEscoreTERRITORYtaxSEKIsui0",
    "korean": "koSIMPLEscoreTERRITORYtaxSEKIsui0",
    "new-zealand": "koSITUATIONALscoreAREAtaxNONEsui1fpok1",
    "stone-scoring": "koSIMPLEscoreAREAtaxALLsui0fpok1",
    "tromp-taylor": "koPOSITIONALscoreAREAtaxNONEsui1",
}
OTHER_NAMES = {
    "french": "koSITUATIONALscoreAREAtaxNONEsui0whbN-1fpok1",
    "GOE": "koPOSITIONALscoreAREAtaxNONEsui1fpok1",
    "ing": "koPOSITIONALscoreAREAtaxNONEsui1fpok1",
    "NZ": "koSITUATIONALscoreAREAtaxNONEsui1fpok1",
}


def test_named_rules_are_those_of_katago():
    assert TABLE_OF_RULES.keys() == analysis.NAMED_RULES.keys()
    for name, short in (TABLE_OF_RULES | OTHER_NAMES).items():
        named, spelt = analysis.rules_from(name), analysis.rules_from(short)
        assert (named, named.uncounted) == (spelt, spelt.uncounted), name
        if "taxALL" not in short:  # that one is not played here
            assert f"tax{named.described()['tax']}sui" in short, name


@pytest.mark.parametrize(
    ("told", "left_out"),
    [
        ("stone_scoring", ["the tax on groups"]),
        ("ancient-territory", ["the tax on groups"]),
        ("aga-button", ["the half point for the button"]),
        # As programs send KataGo's object in place of the name.
        ({"scoring": "AREA", "ko": "SIMPLE", "tax": "ALL", "hasButton": True}, ["the tax on groups", "the half point for the button"]),
        ({"scoring": "TERRITORY", "ko": "SIMPLE", "tax": "SEKI"}, []),
    ],
)
def test_what_the_score_leaves_out_is_a_warning(told, left_out):
    answers = ask(analyst_of(), **query_of(rules=told))
    assert [answer["warning"] for answer in answers[:-1]] == [f"{part} is not counted here" for part in left_out]
    assert "rootInfo" in answers[-1]


@pytest.mark.parametrize(("name", "bonus"), [("chinese", 4), ("aga", 3), ("japanese", 0), ("tromp-taylor", 0)])
def test_white_gets_points_for_handicap_stones_where_the_rules_say_so(name, bonus):
    """As KataGo's table of rules has it."""
    board = Board(9)
    board.setup(black=["C3", "G7", "G3", "C7"])
    board.play("E5", WHITE)
    assert analysis.NAMED_RULES[name].komi(board, 0.5) == 0.5 + bonus
    assert analysis.NAMED_RULES[name].komi(board_of(9, "C3 G7 G3 C7"), 7.5) == 7.5


# Stones set up, moves, and the handicap that KataGo's BoardHistory::computeNumHandicapStones comes to, where it is a game's.
@pytest.mark.parametrize(
    ("first", "moves", "stones"),
    [
        ("", "b C3,b G7,b G3,w E5,b E3", 3),
        ("b C3", "b G7,b G3,w E5", 3),
        ("", "b C3,w E5,b G7", 0),
        ("b C3", "w E5,b G7", 0),
        ("", "b C3,w pass,b G7,w pass,b G3,w E5", 3),
        ("b C3,b G7,b G3", "w E5,w E6", 3),
        ("b C3,b G7,b G3", "w E5,b E6,b E7", 3),
        ("b C3,b G7,b G3", "w pass,b E6,w E7", 4),
        ("", "b C3,b G7,b G3,w E5,w E6", 0),
        ("", "b C3,b G7,b G3,w E5,b E6,w pass,b C7,w E7,b F7", 3),
        ("", "b C3,b G7,w E5,b E6,w E7,b E8,w D5,b D6,w D7,b D8,b F5", 2),  # two in a row far from the beginning
        ("", "b C3,b G7,w E5,b E6,b E7", 0),  # a position as q5Go sets it up, point by point
        ("", "b C3,b G7,w E5,b E6,w E7,b E8,w D5,b D6,b D7", 0),  # another, whose stones came by turns to begin with
        ("b C3,b G7,w G3", "b E5", 0),
        ("", "", 0),
    ],
)
def test_handicap_stones(first, moves, stones):
    board = Board(9)
    setup = [stone.split() for stone in first.split(",") if stone]
    board.setup(black=[vertex for colour, vertex in setup if colour == "b"], white=[vertex for colour, vertex in setup if colour == "w"])
    for move in moves.split(","):
        if move:
            colour, vertex = move.split()
            board.play(vertex, analysis.COLOURS[colour])
    assert analysis.handicap(board) == stones


def test_a_query_may_say_what_white_gets_for_handicap_stones():
    class Asked(Scores):
        def winrate(self, board, komi, rules, stop=None):
            asked.append(komi)
            return 0.7

    asked: list[float] = []
    handicap = {"initialStones": [["B", "C3"], ["B", "G7"]], "initialPlayer": "W", "komi": 0.5}
    for change in ({}, {"whiteHandicapBonus": "N"}, {"rules": "chinese"}, {"rules": "chinese", "whiteHandicapBonus": "0"}):
        assert all(
            "error" not in answer and "warning" not in answer for answer in ask(analyst_of(scorer=Asked), **query_of(**handicap, **change))
        )
    assert asked == [0.5, 2.5, 2.5, 0.5]


def test_what_a_query_may_leave_out():
    """KataGo guesses komi from the way of counting. Without rules they are area, with White paid for handicap stones."""

    class Asked(Scores):
        def winrate(self, board, komi, rules, stop=None):
            asked.append((komi, rules))
            return 0.7

    asked: list[tuple[float, str]] = []
    handicap = {"initialStones": [["B", "C3"], ["B", "G7"]], "initialPlayer": "W"}
    for change in ({"rules": "japanese"}, {"rules": "tromp-taylor"}, {}, handicap):
        query = query_of(**change)
        del query["komi"]
        if "rules" not in change:
            del query["rules"]
        ask(analyst_of(scorer=Asked), **query)
    assert asked == [(6.5, "territory"), (7.5, "area"), (7.5, "area"), (9.5, "area")]


def test_a_game_may_repeat_a_board():
    """As some that were played by other rules do; whoever is to move then is not advised to."""
    moves = [["BW"[i % 2], vertex] for i, vertex in enumerate(["A1", "B2", "A2", "B1", "A1", "A2", "B1"])]
    size = {"boardXSize": 2, "boardYSize": 2}
    (answer,) = ask(analyst_of(), **query_of(moves=[*moves[:6], ["B", "A1"]], rules="tromp-taylor", **size))
    assert "error" not in answer
    (answer,) = ask(analyst_of(), **query_of(moves=moves[:6], rules="tromp-taylor", **size))
    assert [info["move"] for info in answer["moveInfos"]] == ["pass"]


# As in KaTrain 1.20's engine.py, with a blank and an underscore.
@pytest.mark.parametrize("name", ["japanese", "chinese", "korean", "aga", "tromp-taylor", "new zealand", "stone_scoring"])
def test_all_rules_of_katrain(name):
    warnings = [answer["field"] for answer in ask(analyst_of(), **query_of(rules=name)) if "rootInfo" not in answer]
    assert warnings == (["rules"] if name == "stone_scoring" else [])
    assert analysis.rules_from(name).superko == (name in ("aga", "tromp-taylor", "new zealand"))


# ---- the JSON protocol


def analyst_of(**options) -> Analyst:
    policy = FirstFree()
    return Analyst(lambda: policy, **options)


def ask(analyst: Analyst, **query) -> list[dict]:
    """All answers to a query."""
    answers = analyst.take(json.dumps(query))
    while analyst.busy:
        answers += analyst.work()
    return json.loads(json.dumps(answers))


def query_of(**changes) -> dict:
    return {"id": "q", "moves": [], "rules": "japanese", "komi": 6.5, "boardXSize": 9, "boardYSize": 9} | changes


# As KaTrain writes it.
KATRAIN = {
    "id": "QUERY:7",
    "rules": "japanese",
    "priority": 1,
    "analyzeTurns": [2],
    "maxVisits": 500,
    "komi": 6.5,
    "boardXSize": 9,
    "boardYSize": 9,
    "includeOwnership": True,
    "includeMovesOwnership": True,
    "includePolicy": True,
    "initialStones": [["B", "C3"], ["B", "G7"]],
    "initialPlayer": "W",
    "moves": [["W", "E5"], ["B", "pass"]],
    "overrideSettings": {"reportAnalysisWinratesAs": "BLACK", "maxTime": 8.0, "wideRootNoise": 0.04},
    "reportDuringSearchEvery": 1,
}


def test_a_query_of_katrain():
    policy = FirstFree()
    (answer,) = ask(Analyst(lambda: policy, scorer=Scores), **KATRAIN)
    assert (answer["id"], answer["turnNumber"], answer["isDuringSearch"]) == ("QUERY:7", 2, False)
    root = answer["rootInfo"]
    assert (root["winrate"], root["scoreLead"], root["visits"], root["currentPlayer"]) == (0.7, 3.0, 500, "W")
    board = Board(9)
    board.setup(black=["C3", "G7"])
    board.play("E5", WHITE)
    board.play("pass", BLACK)
    assert (policy.boards[0].stones() == board.stones()).all()
    assert policy.boards[0].to_play == WHITE
    legal = board.legal_mask().ravel()
    assert len(answer["policy"]) == 82
    assert [prob == -1 for prob in answer["policy"][:81]] == (~legal).tolist()
    assert sum(prob for prob in answer["policy"] if prob >= 0) == pytest.approx(1, abs=1e-4)
    assert answer["ownership"] == [0.25] * 9 + [0] * 72
    moves = answer["moveInfos"]
    assert all(move["ownership"] == answer["ownership"] for move in moves)  # some of KaTrain's opponents refuse to play without
    assert [move["order"] for move in moves] == list(range(len(moves)))
    assert [move["move"] for move in moves[:3]] == ["A9", "B9", "C9"]
    assert [move["visits"] for move in moves[:3]] == [250, 125, 62]
    assert moves[0]["prior"] == pytest.approx(0.5)
    for move in moves:
        assert move["pv"][0] == move["move"]
        assert {move[name] for name in ("edgeVisits", "weight", "edgeWeight", "playSelectionValue")} == {move["visits"]}
        assert {"winrate", "scoreLead", "scoreMean", "scoreStdev", "lcb", "utility"} <= set(move)
    assert len(moves[0]["pv"]) == 10


def test_ownership_stands_where_it_is_asked_for():
    for where in ((), ("includeOwnership",), ("includeMovesOwnership",)):
        (answer,) = ask(analyst_of(scorer=Scores), **query_of(**dict.fromkeys(where, True)))
        assert ("ownership" in answer) == ("includeOwnership" in where)
        assert {"ownership" in move for move in answer["moveInfos"]} == {"includeMovesOwnership" in where}


def test_a_lead_that_is_not_known_has_no_sign():
    (answer,) = ask(analyst_of(), **query_of(overrideSettings={"reportAnalysisWinratesAs": "WHITE"}))
    assert "-0.0" not in json.dumps(answer)


class Settled(Scores):
    """Only a move at the points told gains something."""

    def __init__(self, *worth):
        self.worth = worth

    def worth_playing(self, board, probs, komi, rules, stop=None):
        mask = np.zeros((board.size, board.size), dtype=bool)
        mask.flat[points(board.size, " ".join(self.worth))] = True
        return mask


def test_who_has_nothing_to_gain_passes():
    """As ``genmove`` does: KaTrain's players take the first candidate, or look whether the pass is likely."""
    (answer,) = ask(analyst_of(scorer=Settled), **query_of(includePolicy=True))
    assert [(move["move"], move["visits"], move["pv"]) for move in answer["moveInfos"]] == [("pass", 10_000, ["pass"])]
    assert answer["policy"] == [0.0] * 81 + [1.0]
    (answer,) = ask(analyst_of(scorer=lambda: Settled("C9", "E5")), **query_of(includePolicy=True))
    assert [move["move"] for move in answer["moveInfos"]] == ["C9"], "E5 is no candidate: its share is too small"
    assert answer["policy"][81] == 0
    assert answer["policy"][0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "vertices", "found"),
    [
        ("avoidMoves", ["pass"], "A9"),
        ("avoidMoves", ["A9"], "pass"),
        ("allowMoves", ["E5", "E6"], "E6"),
        ("allowMoves", ["E5", "pass"], "pass"),
    ],
)
def test_a_pass_can_be_avoided_too(name, vertices, found):
    restriction = [{"player": "B", "moves": vertices, "untilDepth": 1}]
    each = [{"player": "B", "moves": [vertex], "untilDepth": 1} for vertex in vertices]
    for told in (restriction, each):
        (answer,) = ask(analyst_of(scorer=Settled), **query_of(**{name: told}))
        assert answer["moveInfos"][0]["move"] == found


def test_a_turn_that_is_terminated_at_its_very_end_is_not_answered():
    class Ending(Scores):
        def worth_playing(self, board, probs, komi, rules, stop=None):
            assert stop()
            return board.legal_mask()

    analyst = analyst_of(scorer=Ending)
    said: list[dict] = []
    analyst.listen = lambda: said.extend(analyst.take('{"id": "t", "action": "terminate", "terminateId": "q"}')) if not said else None
    answers = ask(analyst, **query_of())
    assert [answer.get("noResults") for answer in said] == [None, True]
    assert answers == []


def test_restrictions_say_nothing_of_what_is_likely():
    allow = [{"player": "B", "moves": ["pass"], "untilDepth": 1}]
    (answer,) = ask(analyst_of(scorer=Scores), **query_of(allowMoves=allow, includePolicy=True))
    assert [move["move"] for move in answer["moveInfos"]] == ["pass"]
    assert answer["policy"][0] == pytest.approx(0.5)
    assert answer["policy"][81] == 0


def test_something_is_spent_on_the_best_move():
    """LizzieYzy, which asks for two visits, drops a position whose moves have none."""

    class Even(FirstFree):
        def probabilities(self, board, symmetries=1):
            return np.full((board.size, board.size), 1 / board.size**2, dtype=np.float32)

    (answer,) = ask(Analyst(Even), **query_of(maxVisits=2))
    assert [(move["order"], move["visits"], move["edgeVisits"]) for move in answer["moveInfos"]] == [(0, 1, 1)]


def test_who_begins_when_nobody_says_so():
    """KataGo's ``initialPlayer``: White where there are handicap stones, else Black, and before both who moves first."""
    for stones, moves, player in (
        ([], [], "B"),
        ([["B", "C3"]], [], "B"),
        ([["B", "C3"], ["B", "G7"]], [], "W"),
        ([["B", "C3"], ["B", "G7"], ["W", "G3"]], [], "B"),
        ([["B", "C3"], ["B", "G7"]], [["B", "E5"]], "B"),
    ):
        (answer,) = ask(analyst_of(), **query_of(initialStones=stones, moves=moves, analyzeTurns=[0]))
        assert answer["rootInfo"]["currentPlayer"] == player


def test_a_turn_before_an_illegal_move():
    """A suicide, which Tromp and Taylor's rules allow and this board does not."""
    moves = [["B", "A2"], ["W", "E5"], ["B", "B1"], ["W", "A1"], ["B", "E6"]]
    *answers, last = ask(analyst_of(), **query_of(moves=moves, rules="tromp-taylor", analyzeTurns=[0, 3]))
    assert [answer["turnNumber"] for answer in [*answers, last]] == [0, 3]
    for turns in ({}, {"analyzeTurns": [0, 3, 5]}):  # of a query that cannot be answered no turn is
        (answer,) = ask(analyst_of(), **query_of(moves=moves, rules="tromp-taylor", **turns))
        assert answer["error"].startswith("Illegal move 3: A1")


def test_points_as_numbers():
    """KataGo's documentation: column and row of a point, from the top left corner."""
    (answer,) = ask(analyst_of(), **query_of(moves=[["B", "(0,8)"], ["W", "(3,0)"]], includePolicy=True))
    assert [point for point, prob in enumerate(answer["policy"]) if prob == -1] == points(9, "D9 A1")
    (answer,) = ask(analyst_of(), **query_of(moves=[["B", "(0,9)"]]))
    assert answer["field"] == "moves"


def test_hashes_of_positions():
    """The same position has the same, however it came about; turned ones share the second."""

    def hashes(vertices, **changes):
        moves = [["BW"[i % 2], vertex] for i, vertex in enumerate(vertices.split())]
        (answer,) = ask(analyst_of(), **query_of(moves=moves, **changes))
        return answer["rootInfo"]["thisHash"], answer["rootInfo"]["symHash"]

    here = hashes("C3 G7 C7 E5")
    assert hashes("C7 G7 C3 E5") == here
    turned = hashes("G3 C7 G7 E5")
    assert turned[0] != here[0]
    assert turned[1] == here[1]
    other = hashes("C3 G7 C7 E4")
    assert not set(other) & {*here, *turned}
    assert not set(hashes("C3 G7 C7 E5 pass")) & set(here)  # Black passed: it is White's turn
    ko = "C5 D5 B4 E4 C3 D3 A1 C4 D4"
    assert hashes(ko) != hashes(f"{ko} pass pass"), "White may not retake, and then may"
    assert hashes("G5 F5 H4 E4 G3 F3 J1 G4 F4")[1] == hashes(ko)[1]


@pytest.mark.parametrize(
    ("perspective", "winrates"),
    [
        (None, [0.7, 0.7]),
        ("BLACK", [0.7, 0.7]),
        ("WHITE", [0.3] * 2),
        ("SIDETOMOVE", [0.7, 0.3]),
        ("sideToMove", [0.7, 0.3]),
        ("w", [0.3] * 2),
    ],
)
def test_perspectives(perspective, winrates):
    settings = {"reportAnalysisWinratesAs": perspective} if perspective else {}
    query = query_of(moves=[["B", "C3"]], analyzeTurns=[0, 1], includeOwnership=True, overrideSettings=settings)
    answers = ask(analyst_of(scorer=Scores), **query)
    assert [answer["rootInfo"]["winrate"] for answer in answers] == pytest.approx(winrates)
    for answer, winrate in zip(answers, winrates, strict=True):
        assert "ownership" not in answer["moveInfos"][0]
        root, moves, lead = answer["rootInfo"], answer["moveInfos"], 3.0 if winrate == 0.7 else -3.0
        assert {root["lcb"], root["rawWinrate"], *(move[name] for move in moves for name in ("winrate", "lcb"))} == {root["winrate"]}
        leads = {root[name] for name in ("scoreLead", "scoreSelfplay", "rawLead", "rawScoreSelfplay")}
        assert leads | {move[name] for move in moves for name in ("scoreLead", "scoreMean", "scoreSelfplay")} == {lead}
        # A win is 1 and a loss -1.
        assert [answer["rootInfo"]["utility"], answer["moveInfos"][0]["utilityLcb"]] == pytest.approx([0.4 if winrate == 0.7 else -0.4] * 2)
    assert [answer["ownership"][0] for answer in answers] == [0.25 if winrate == 0.7 else -0.25 for winrate in winrates]


def test_turns_and_priorities():
    analyst = analyst_of()
    moves = [["B", "C3"], ["W", "G7"], ["B", "G3"]]
    assert analyst.take(json.dumps(query_of(moves=moves, analyzeTurns=[0, 3, 1]))) == []
    assert analyst.take(json.dumps(query_of(id="first", moves=moves, priority=5))) == []
    assert analyst.take(json.dumps(query_of(id="last", moves=moves, analyzeTurns=[2, 1], priorities=[-1, 9]))) == []
    order = []
    while analyst.busy:
        (answer,) = analyst.work()
        order.append((answer["id"], answer["turnNumber"]))
        assert answer["rootInfo"]["currentPlayer"] == "BW"[answer["turnNumber"] % 2]
    assert order == [("last", 1), ("first", 3), ("q", 0), ("q", 1), ("q", 3), ("last", 2)]
    assert ask(analyst, **query_of(priority=-1))[0]["turnNumber"] == 0
    answers = ask(analyst, **query_of(moves=moves, analyzeTurns=[2, 0, 2], priority=2**61))
    assert [answer["turnNumber"] for answer in answers] == [0, 2], "a turn is answered once"


def test_priorities_hold_when_others_are_terminated():
    """Whatever was taken out of the middle: the highest first, and of those that are alike the earliest."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        analyst = analyst_of()
        told = [(f"{number}", int(priority)) for number, priority in enumerate(rng.integers(0, 20, size=30))]
        for name, priority in told:
            assert analyst.take(json.dumps(query_of(id=name, priority=priority))) == []
        ended = {f"{number}" for number in rng.choice(30, size=12, replace=False)}
        for name in ended:
            analyst.take(json.dumps({"id": "t", "action": "terminate", "terminateId": name}))
        left = [(name, priority) for name, priority in told if name not in ended]
        answered = []
        while analyst.busy:
            answered += [answer["id"] for answer in analyst.work()]
        assert answered == [name for name, _ in sorted(left, key=lambda one: -one[1])]


def test_moves_of_a_thousandth_are_told():
    """Ten visits of ten thousand, where Sabaki begins to write numbers; more of them where more are asked for."""

    class Shares(FirstFree):
        def probabilities(self, board, symmetries=1):
            probs = np.zeros((board.size, board.size), dtype=np.float32)
            probs.flat[:5] = 0.9967, 0.0012, 0.0011, 0.0009, 0.0001
            return probs

    assert [move.visits for move in Analysis(Shares(), Board(9)).moves] == [9967, 12, 11]
    assert [move.visits for move in Analysis(Shares(), Board(9), Wanted(min_moves=4)).moves] == [9967, 12, 11, 9]


def test_avoided_and_allowed_moves():
    avoid = [{"player": "B", "moves": ["A9", "pass"], "untilDepth": 1}]
    (answer,) = ask(analyst_of(), **query_of(avoidMoves=avoid))
    assert answer["moveInfos"][0]["move"] == "B9"
    (answer,) = ask(analyst_of(), **query_of(allowMoves=[{"player": "B", "moves": ["D5", "E5"], "untilDepth": 3}], analysisPVLen=4))
    assert [move["pv"] for move in answer["moveInfos"]] == [["D5", "A9", "E5", "B9", "C9"], ["E5", "A9", "D5", "B9", "C9"]]
    assert answer["moveInfos"][0]["visits"] > 5_000
    assert answer["moveInfos"][0]["prior"] < 1e-6, "among all legal moves"


# The query's change → the field that the error names.
WRONG = [
    ({"boardXSize": "9"}, "boardXSize"),
    ({"boardXSize": 1}, "boardXSize"),
    ({"boardXSize": True}, "boardXSize"),
    ({"boardYSize": 26}, "boardYSize"),
    ({"boardYSize": 13}, "boardYSize"),
    ({"boardYSize": 7}, "boardYSize"),
    ({"moves": None}, "moves"),
    ({"moves": "B D4"}, "moves"),
    ({"moves": [["B"]]}, "moves"),
    ({"moves": [["X", "D4"]]}, "moves"),
    ({"moves": [["B", "K4"]]}, "moves"),
    ({"moves": [["B", 3]]}, "moves"),
    ({"moves": [["B", "(9,0)"]]}, "moves"),
    ({"moves": [["B", "D4"], ["W", "D4"]]}, "moves"),
    ({"initialStones": [["B", "pass"]]}, "initialStones"),
    ({"initialStones": [["B", "A1"], ["W", "A2"], ["W", "B1"]]}, "initialStones"),
    ({"initialPlayer": "X"}, "initialPlayer"),
    ({"rules": "chess"}, "rules"),
    ({"rules": 7}, "rules"),
    ({"komi": "6.5"}, "komi"),
    ({"komi": 1e9}, "komi"),
    ({"komi": float("nan")}, "komi"),
    ({"komi": True}, "komi"),
    ({"whiteHandicapBonus": "N-2"}, "whiteHandicapBonus"),
    ({"analyzeTurns": [1]}, "analyzeTurns"),
    ({"analyzeTurns": [-1]}, "analyzeTurns"),
    ({"analyzeTurns": 0}, "analyzeTurns"),
    ({"priorities": [1, 2]}, "priorities"),
    ({"priority": 0.5}, "priority"),
    ({"maxVisits": 0}, "maxVisits"),
    ({"maxVisits": 10**400}, "maxVisits"),
    ({"includePolicy": 1}, "includePolicy"),
    ({"overrideSettings": []}, "overrideSettings"),
    ({"overrideSettings": {"reportAnalysisWinratesAs": "ME"}}, "overrideSettings"),
    ({"avoidMoves": {}}, "avoidMoves"),
    ({"avoidMoves": [{"player": "B", "moves": ["D4"]}]}, "avoidMoves"),
    ({"allowMoves": [{"player": "B", "untilDepth": 1}]}, "allowMoves"),
    ({"avoidMoves": [{"player": "B", "moves": ["E5"], "untilDepth": 0}]}, "avoidMoves"),
    ({"action": "dance"}, "action"),
    ({"action": "terminate"}, "terminateId"),
    ({"action": "terminate_all", "turnNumbers": 3}, "turnNumbers"),
]


@pytest.mark.parametrize(("change", "name"), WRONG)
def test_what_is_refused_names_its_field(change, name):
    analyst = analyst_of()
    (answer,) = ask(analyst, **query_of(**change))
    assert (answer["field"], answer["id"], set(answer)) == (name, "q", {"error", "field", "id"})
    assert "\n" not in answer["error"]


def test_an_illegal_move_is_called_so():
    # KaTrain looks for these words.
    (answer,) = ask(analyst_of(), **query_of(moves=[["B", "D4"], ["W", "D4"]]))
    assert answer["error"].startswith("Illegal move 1: D4")


@pytest.mark.parametrize("missing", ["boardXSize", "boardYSize", "moves"])
def test_a_field_that_is_missing(missing):
    query = query_of()
    del query[missing]
    assert [answer["field"] for answer in ask(analyst_of(), **query)] == [missing]


def test_warnings():
    answers = ask(analyst_of(), **query_of(colour="red", includeOwnership=True, includeMovesOwnership=True))
    assert [answer.get("field") for answer in answers] == ["colour", "includeOwnership", "includeMovesOwnership", None]
    assert all("warning" in answer and answer["id"] == "q" for answer in answers[:3])
    assert "ownership" not in answers[3]
    assert answers[3]["rootInfo"]["winrate"] == 0.5


def test_actions():
    analyst = analyst_of()
    version = {"id": "v", "action": "query_version", "version": __version__, "git_hash": "<omitted>"}
    assert ask(analyst, id="v", action="query_version") == [version]
    assert ask(analyst, id="c", action="clear_cache") == [{"id": "c", "action": "clear_cache"}]
    moves = [["B", "C3"], ["W", "G7"]]
    for name in ("one", "two"):
        analyst.take(json.dumps(query_of(id=name, moves=moves, analyzeTurns=[0, 1, 2])))
    end = {"id": "t", "action": "terminate", "terminateId": "one", "turnNumbers": [0, 2]}
    nothing = {"id": "one", "isDuringSearch": False, "noResults": True}
    assert analyst.take(json.dumps(end)) == [end, nothing | {"turnNumber": 0}, nothing | {"turnNumber": 2}]
    assert analyst.take(json.dumps(end | {"terminateId": "unknown"})) == [end | {"terminateId": "unknown"}]
    assert [answer["turnNumber"] for answer in analyst.work()] == [1]
    ended = analyst.take(json.dumps({"id": "a", "action": "terminate_all"}))
    assert [answer.get("turnNumber") for answer in ended] == [None, 0, 1, 2]
    assert not analyst.busy


def test_terminate_ends_the_turn_at_work():
    class Slow(Scores):
        def winrate(self, board, komi, rules, stop=None):
            for _ in range(1000):
                if stop():
                    raise Interrupted
            return 0.7

    analyst = analyst_of(scorer=Slow)
    moves = [["B", "C3"], ["W", "G7"]]
    end = {"id": "t", "action": "terminate", "terminateId": "q", "turnNumbers": [1]}
    waiting = [json.dumps(query_of(id="other")), json.dumps(end)]
    heard: list[dict] = []

    def listen():
        if analyst.busy and waiting and started:
            heard.extend(analyst.take(waiting.pop(0)))

    analyst.listen = listen
    started = False
    assert analyst.take(json.dumps(query_of(moves=moves, analyzeTurns=[0, 1, 2]))) == []
    assert [answer["turnNumber"] for answer in analyst.work()] == [0]
    started = True
    assert analyst.work() == [], "turn 1 is at work when it is terminated"
    assert heard == [end, {"id": "q", "isDuringSearch": False, "noResults": True, "turnNumber": 1}]
    assert [(answer["id"], answer["turnNumber"]) for answer in [*analyst.work(), *analyst.work()]] == [("q", 2), ("other", 0)]
    assert not analyst.busy


def test_a_move_without_a_visit_is_not_told():
    (answer,) = ask(analyst_of(), **query_of(maxVisits=5))
    assert [move["visits"] for move in answer["moveInfos"]] == [2, 1, 1]
    (answer,) = ask(analyst_of(), **query_of(maxVisits=80_000))
    assert (answer["rootInfo"]["visits"], answer["moveInfos"][0]["visits"]) == (80_000, 40_000)
    (answer,) = ask(analyst_of(), **query_of(maxVisits=1))
    assert [move["move"] for move in answer["moveInfos"]] == ["A9"]


GARBAGE = [
    b"hello",
    b"{",
    b"[" * 100_000,
    b"3",
    b"[]",
    b"null",
    b'{"id": 3}',
    b"{}",
    b"\x00\xff\xfe",
    b'{"id": "x", "moves"' + b" " * 1_000_000,
    b'{"id": "x", "boardXSize": ' + b"9" * 100_000 + b"}",
    b'{"id": "\\ud800", "boardXSize": NaN}',
    b"\xef\xbb\xbf{}",
]


def served(data: bytes, analyst: Analyst | None = None) -> list[dict]:
    out = io.BytesIO()
    analysis.serve(analyst or analyst_of(), io.BytesIO(data), out)
    answers = [json.loads(line) for line in out.getvalue().splitlines()]
    assert all(list(answer) == sorted(answer) for answer in answers), "as clients want it that do not parse"
    return answers


def test_a_mark_of_byte_order_is_no_part_of_a_query():
    assert "rootInfo" in served(b"\xef\xbb\xbf" + json.dumps(query_of()).encode())[0]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_answered_and_survived(garbage):
    good = json.dumps(query_of()).encode()
    answers = served(b"\n" + garbage + b"\n\r\n" + good + b"\r\n" + garbage + b"\n" + good)
    assert sorted("error" in answer for answer in answers) == [False, False, True, True]
    assert [answer["id"] for answer in answers if "error" not in answer] == ["q", "q"]


def test_new_lines_are_looked_at_while_others_wait():
    reading, writing = os.pipe()
    at_work, go = threading.Event(), threading.Event()

    class Waits(FirstFree):
        def probabilities(self, board, symmetries=1):
            at_work.set()
            assert go.wait(60)
            return super().probabilities(board)

    policy = Waits()
    out = io.BytesIO()
    with os.fdopen(reading, "rb") as stdin, os.fdopen(writing, "wb", buffering=0) as queries:
        thread = threading.Thread(target=analysis.serve, args=(Analyst(lambda: policy), stdin, out))
        thread.start()
        queries.write(json.dumps(query_of(moves=[["B", "C3"]] * 1, analyzeTurns=[0, 1])).encode() + b"\n")
        assert at_work.wait(60)
        queries.write(json.dumps({"id": "t", "action": "terminate", "terminateId": "q"}).encode() + b"\n")
        threading.Timer(0.2, go.set).start()
        queries.close()
        thread.join(60)
        assert not thread.is_alive()
    answers = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(answer["id"], answer.get("turnNumber"), "noResults" in answer) for answer in answers] == [
        ("q", 0, False),
        ("t", None, False),
        ("q", 1, True),
    ]


def test_without_a_network_each_turn_says_so(capsys):
    def missing():
        raise GoPolicyError("weights file 'x' does not exist")

    answers = ask(Analyst(missing), **query_of(moves=[["B", "C3"]], analyzeTurns=[0, 1]))
    assert answers == [{"error": "weights file 'x' does not exist", "id": "q"}] * 2
    assert capsys.readouterr() == ("", "")


def test_a_mistake_of_our_own_is_an_answer_too(capsys):
    class Broken(FirstFree):
        def probabilities(self, board, symmetries=1):
            raise RuntimeError("out of\nmemory")

    assert ask(Analyst(Broken), **query_of()) == [{"error": "RuntimeError: out of memory", "id": "q"}]
    assert "Traceback" in capsys.readouterr().err


def test_a_scorer_that_cannot_be_loaded_is_an_answer_too(capsys):
    """Not the end of the engine, as if the client had gone: a library may be missing, or the disk be full."""

    def load():
        raise OSError(28, "No space left")

    assert ask(Analyst(FirstFree, scorer=load), **query_of()) == [{"error": "No space left", "id": "q"}]
    assert capsys.readouterr().out == ""


def test_a_client_that_goes_while_a_turn_is_at_work_ends_the_engine(capsys):
    reading, writing = os.pipe()

    class Listens(Scores):
        def winrate(self, board, komi, rules, stop=None):
            os.write(writing, b"no query\n")
            for _ in range(6000):
                stop()
                time.sleep(0.01)

    class Gone(io.BytesIO):
        def write(self, _):
            raise BrokenPipeError

    with os.fdopen(reading, "rb", buffering=0) as stdin, os.fdopen(writing, "wb", buffering=0) as queries:
        queries.write(json.dumps(query_of()).encode() + b"\n")
        with pytest.raises(BrokenPipeError):
            analysis.serve(analyst_of(scorer=Listens), stdin, Gone())
    assert capsys.readouterr() == ("", ""), "no mistake of ours"


def test_symmetries_are_for_the_next_move():
    class Seen(FirstFree):
        def probabilities(self, board, symmetries=1):
            seen.append(symmetries)
            return super().probabilities(board)

    seen: list[int] = []
    ask(Analyst(Seen, symmetries=8), **query_of(analysisPVLen=1))
    assert seen[0] == 8
    assert set(seen[1:]) == {1}


def test_vertices_of_the_policy_are_those_of_the_board():
    (answer,) = ask(analyst_of(), **query_of(moves=[["B", "A9"], ["W", "J1"]], includePolicy=True))
    taken = [point_to_gtp(point, 9) for point, prob in enumerate(answer["policy"]) if prob == -1]
    assert taken == ["A9", "J1"]


def test_process(tmp_path):
    command = [sys.executable, "-m", "gopolicy", "analysis", "--weights", "there is none", "--threads", "1"]
    lines = [json.dumps({"id": "v", "action": "query_version"}), "garbage", json.dumps(query_of())]
    surroundings = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        command, cwd=tmp_path, env=surroundings, input="\r\n".join(lines), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    version, refused, failed = map(json.loads, done.stdout.splitlines())
    assert version["version"] == __version__
    assert set(refused) == {"error"}
    assert failed["id"] == "q"
    assert failed["error"].startswith("weights file 'there is none' does not exist")
    assert all(line.startswith("gopolicy: ") for line in done.stderr.splitlines())
