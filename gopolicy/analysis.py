"""What a policy thinks of a position, for people to see: candidate moves, and what it expects after each of them.

    gopolicy analysis                       # KataGo's JSON protocol, on standard input and output: for KaTrain and review tools

There is no search. A move's *visits* are its share of ``VISITS``, so that programs which draw visits draw the policy's
probabilities; its *pv* is found by following the likeliest moves on a board where captures are seen; *winrate*, *lead* and
*ownership* are the scorer's, and the same for all moves of a position. Without a scorer the winrate is 50 % and the lead 0, which
says: not known.

``Analysis`` is shared with ``gtp``. ``Analyst`` is the JSON protocol, and knows of no process.
Source: KataGo's "Parallel Analysis Engine" (its documentation), for the fields and their meaning.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import json
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from gopolicy import __version__
from gopolicy.coords import BLACK, EMPTY, MAX_SIZE, MIN_SIZE, PASS, WHITE, point_from_gtp, point_to_gtp
from gopolicy.errors import GoPolicyError, IllegalMoveError, Interrupted, explain
from gopolicy.process import Lines, Loading, add_policy_arguments, load_policy, load_scorer, say
from gopolicy.process import run as run_process

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from gopolicy.board import Board

COLOURS = {"b": BLACK, "black": BLACK, "w": WHITE, "white": WHITE}
VISITS = 10_000  # of a position: one is a hundredth of a per cent
SHOWN = 0.001  # share from which a move is a candidate: 10 visits, which is where Sabaki begins to write numbers
MAX_CANDIDATES = 20
PV_LENGTH = 10  # plies of a pv, where nobody asks for more
DEEPENINGS = 12  # of a query: enough for ten plies after the best move, and the most that it gets
PVS_AT_ONCE = 4  # positions in one batch: few, as whoever has new input waits for a batch


class Mover(Protocol):
    """What an engine wants of a policy: ``policy.Policy`` has it."""

    def probabilities(self, board: Board, symmetries: int = 1) -> npt.NDArray[np.float32]: ...

    def probabilities_batch(self, boards: Sequence[Board], symmetries: int = 1) -> list[npt.NDArray[np.float32]]: ...


class Scorer(Protocol):
    """Who owns what, and who is ahead. ``board.to_play`` is the player whose turn it is; the board is not changed.

    It is asked several things about one position in turn: one that plays games out should remember the last.
    """

    def final_score(self, board: Board, komi: float, rules: str) -> float:
        """By how many points Black leads, komi counted; ``rules`` is ``"area"`` or ``"territory"``."""
        ...

    def expected_lead(self, board: Board, komi: float, rules: str) -> float:
        """The same for positions in which much is open, as far as it can be told."""
        ...

    def status(self, board: Board, stop: Callable[[], bool] | None = None) -> Mapping[str, Sequence[int]]:
        """The points of the stones that are ``"alive"``, ``"dead"`` and in ``"seki"``, and the empty ones that are ``"black_territory"``,
        ``"white_territory"`` and nobody's, ``"dame"``. Raises Interrupted soon after ``stop()`` says so."""
        ...

    def ownership(self, board: Board) -> npt.NDArray[np.floating[Any]]:
        """(N, N): 1 surely Black's, -1 surely White's."""
        ...

    def worth_playing(
        self, board: Board, probs: npt.NDArray[np.float32], komi: float, rules: str, stop: Callable[[], bool] | None = None
    ) -> npt.NDArray[np.bool_]:
        """(N, N): the moves by which the player may still gain something; where there is none, pass. ``probs`` (N, N): the player's."""
        ...

    def is_lost(self, board: Board, komi: float, rules: str, stop: Callable[[], bool] | None = None) -> bool:
        """Whether the player has lost beyond doubt, as far as it is known when ``stop()`` says so."""
        ...

    def winrate(self, board: Board, komi: float, rules: str, stop: Callable[[], bool] | None = None) -> float:
        """How likely Black wins, 0 to 1. Raises Interrupted soon after ``stop()`` says so."""
        ...


# ------------------------------------------------------------------------------------------------------------- rules


@dataclass(frozen=True)
class Rules:
    """The rules that make a difference here, in KataGo's words. Suicide is never allowed."""

    scoring: str = "AREA"  # or TERRITORY
    ko: str = "POSITIONAL"  # no repetition of the whole board; or SIMPLE
    bonus: str = "0"  # White's points for Black's handicap stones; or N, one for each, or N-1, for each but the first
    uncounted: tuple[str, ...] = field(default=(), compare=False)  # what these rules have that the score here leaves out: TAX, BUTTON

    @property
    def superko(self) -> bool:
        return self.ko != "SIMPLE"

    def komi(self, board: Board, komi: float) -> float:
        """Komi, with what White gets for the handicap stones of the game."""
        stones = handicap(board)
        return komi + {"0": 0, "N": stones, "N-1": max(stones - 1, 0)}[self.bonus]

    @property
    def sgf(self) -> str:
        """The name in SGF's RU that comes nearest: by what is counted, and by what White gets for handicap stones."""
        return "Japanese" if self.scoring == "TERRITORY" else {"0": "NZ", "N": "Chinese", "N-1": "AGA"}[self.bonus]

    def described(self) -> dict[str, Any]:
        """As ``kata-get-rules`` answers."""
        tax = "SEKI" if self.scoring == "TERRITORY" else "NONE"
        return {"hasButton": False, "ko": self.ko, "scoring": self.scoring, "suicide": False, "tax": tax, "whiteHandicapBonus": self.bonus}


TAX, BUTTON = "the tax on groups", "the half point for the button"

NAMED_RULES = {
    "aga": Rules(bonus="N-1"),
    "aga-button": Rules(bonus="N-1", uncounted=(BUTTON,)),
    "ancient-area": Rules(ko="SIMPLE", uncounted=(TAX,)),
    "ancient-territory": Rules("TERRITORY", "SIMPLE", uncounted=(TAX,)),
    "bga": Rules(bonus="N-1"),
    "chinese": Rules(ko="SIMPLE", bonus="N"),
    "chinese-kgs": Rules(bonus="N"),
    "chinese-ogs": Rules(bonus="N"),
    "japanese": Rules("TERRITORY", "SIMPLE"),
    "korean": Rules("TERRITORY", "SIMPLE"),
    "new-zealand": Rules(),
    "stone-scoring": Rules(ko="SIMPLE", uncounted=(TAX,)),
    "tromp-taylor": Rules(),
}

# The keys of KataGo's JSON object; ``score`` is another word for ``scoring``, and komi is told elsewhere.
RULE_KEYS = ("ko", "scoring", "score", "tax", "suicide", "hasButton", "whiteHandicapBonus", "friendlyPassOk")

# KataGo's short form, as koPOSITIONALscoreAREAtaxNONEsui0.
SHORT_RULES = re.compile(r"ko([a-z]+?)score([a-z]+?)tax([a-z]+?)(?:sui[01])?(?:button([01]))?(?:whb(0|n1?))?(?:fpok[01])?")


def plain_name(name: str) -> str:
    """A name of rules without what clients write differently: KaTrain has blanks and underscores in it, KataGo takes it in one word too."""
    return re.sub("[-_ ]", "", name.lower())


BY_NAME = {plain_name(name): rules for name, rules in NAMED_RULES.items()}
# GOE and NZ are SGF's names, in RU; collections of professional games have the shorter ones too.
BY_NAME |= {
    "french": NAMED_RULES["aga"],
    "goe": NAMED_RULES["tromp-taylor"],
    "ing": NAMED_RULES["tromp-taylor"],
    "inggoe": NAMED_RULES["tromp-taylor"],
    "jp": NAMED_RULES["japanese"],
    "jpn": NAMED_RULES["japanese"],
    "nz": NAMED_RULES["new-zealand"],
}


def rules_from(told: object) -> Rules:
    """The rules of a name, of KataGo's short form, or of an object in the form of ``Rules.described``, which may be JSON text.

    What is unknown, a key too, raises GoPolicyError. Situational superko is played as positional, suicide stays forbidden, and what
    ``uncounted`` names is left out: the rules of ``described`` are what is played.
    """
    if isinstance(told, str):
        name = plain_name(told)
        if name in BY_NAME:
            return BY_NAME[name]
        if short := SHORT_RULES.fullmatch(name):
            ko, scoring, tax = (word.upper() for word in short.groups()[:3])
            bonus = {"n": "N", "n1": "N-1"}.get(short[5], "0")
            return rules_from({"ko": ko, "scoring": scoring, "tax": tax, "hasButton": short[4] == "1", "whiteHandicapBonus": bonus})
        if told.lstrip().startswith("{"):
            try:
                read = json.loads(told)
            except (ValueError, RecursionError):
                raise GoPolicyError("the rules are no JSON object") from None
            return rules_from(read)
        raise GoPolicyError(f"unknown rules {told[:40]!r}: expected one of {', '.join(NAMED_RULES)}")
    if not isinstance(told, dict):
        raise GoPolicyError("rules are a name or a JSON object")
    for key in told:
        if key not in RULE_KEYS:  # misspelt, "scoring" would else mean area scoring, and nobody would know
            raise GoPolicyError(f"unknown rules: {str(key)[:40]!r}, expected one of {', '.join(RULE_KEYS)}")
    scoring, ko = told.get("scoring", told.get("score", "AREA")), told.get("ko", "POSITIONAL")
    if scoring not in ("AREA", "TERRITORY") or ko not in ("SIMPLE", "POSITIONAL", "SITUATIONAL"):
        raise GoPolicyError("unknown rules: scoring is AREA or TERRITORY, ko is SIMPLE, POSITIONAL or SITUATIONAL")
    bonus = str(told.get("whiteHandicapBonus", "0"))
    if bonus not in ("0", "N", "N-1"):
        raise GoPolicyError("unknown rules: whiteHandicapBonus is 0, N or N-1")
    if told.get("tax", "NONE") not in ("NONE", "SEKI", "ALL"):
        raise GoPolicyError("unknown rules: tax is NONE, SEKI or ALL")
    for key in ("hasButton", "suicide", "friendlyPassOk"):
        if type(told.get(key, False)) is not bool:  # "false" would be taken for true
            raise GoPolicyError(f"unknown rules: {key} is true or false")
    uncounted = (TAX,) * (told.get("tax") == "ALL") + (BUTTON,) * told.get("hasButton", False)
    return Rules(scoring, "SIMPLE" if ko == "SIMPLE" else "POSITIONAL", bonus, uncounted)


# --------------------------------------------------------------------------------------------------- what a network sees


def set_up_count(moves: Sequence[tuple[int, int]], size: int) -> int:
    """How many of the first moves are stones set up through ``play``, as clients do it: stones of one colour, then of the other, or all of
    them row by row or column by column.

    One stone of a colour is a move, unless more than one of the other colour follow. Stones in the order of the board may be moves too,
    while the colours take turns.
    """
    runs = [0, 0]
    i = 0
    for run in range(2):
        while i < len(moves) and moves[i][1] != PASS and moves[i][0] == moves[i - runs[run]][0]:
            runs[run] += 1
            i += 1
    count = sum(runs) if runs[1] > 1 else runs[0] if runs[0] > 1 else 0
    for by_columns in (False, True):
        end, last = 0, -1
        for _, point in moves:
            place = point % size * size + point // size if by_columns else point
            if point == PASS or place < last:
                break
            end, last = end + 1, place
        if any(moves[i][0] == moves[i - 1][0] for i in range(count + 1, end)):
            count = end
    return count


BY_TURNS = 7  # moves from White's first, after which a position set up stone by stone hardly ever looks like a game


def handicap(board: Board) -> int:
    """Black's handicap stones, as KataGo counts them: those set up, and those played before White's first stone; a single one is a move.

    Where White's stones are set up too, or the game does not go on by turns from White's first, somebody has set up a position by ``play``.
    """
    first, moves = board.first_stones(), board.moves
    start = next((i for i, (colour, point) in enumerate(moves) if colour == WHITE and point != PASS), len(moves))
    played = sum(colour == BLACK and point != PASS for colour, point in moves[:start])
    if any(before == after for (before, _), (after, _) in pairwise(moves[start : start + BY_TURNS])):
        played = 0
    stones = len(first) + played
    return stones if stones > 1 and all(colour == BLACK for colour, _ in first) else 0


def as_seen(board: Board) -> Board:
    """A copy of the board for the network, on which stones set up through ``play`` are set up.

    Set-up stones count as "older" in the planes, and that is how networks have met handicap stones.
    """
    count = set_up_count(board.moves, board.size)
    if count == 0:
        return board.copy()
    first, seen = type(board)(board.size, superko=False), type(board)(board.size, superko=False)
    first.set_up(board.first_stones())
    for colour, point in board.moves[:count]:
        first.play(point, colour)
    seen.set_up((int(stone), point) for point, stone in enumerate(first.stones().ravel()) if stone != EMPTY)
    for colour, point in board.moves[count:]:
        seen.play(point, colour)
    seen.to_play, seen.superko = board.to_play, board.superko
    return seen


# ---------------------------------------------------------------------------------------------------------- a position


@dataclass(frozen=True)
class Restriction:
    """Moves that a player may not think of, or (``only``) some of the only ones, before that ply; 0 is the next move."""

    colour: int
    points: frozenset[int]  # PASS may be one
    until: int
    only: bool = False


@dataclass(frozen=True)
class Wanted:
    """What is asked of an analysis."""

    restrictions: tuple[Restriction, ...] = ()
    min_moves: int = 1
    max_moves: int = MAX_CANDIDATES
    visits: int = VISITS
    pv_length: int = PV_LENGTH

    def _holding(self, colour: int, ply: int) -> list[Restriction]:
        return [restriction for restriction in self.restrictions if restriction.colour == colour and ply < restriction.until]

    def may_pass(self, colour: int) -> bool:
        """Whether the restrictions leave a pass to the colour that moves."""
        holding = self._holding(colour, 0)
        avoided = any(PASS in restriction.points for restriction in holding if not restriction.only)
        allowed = [PASS in restriction.points for restriction in holding if restriction.only]
        return not avoided and (any(allowed) or not allowed)

    def permitted(self, mask: npt.NDArray[np.bool_], colour: int, ply: int) -> npt.NDArray[np.bool_]:
        """(N*N,): the points of the mask that the restrictions leave to the colour at that ply."""
        import numpy as np

        holding = self._holding(colour, ply)
        avoided, allowed = np.zeros_like(mask), np.zeros_like(mask)
        for restriction in holding:
            (allowed if restriction.only else avoided)[[point for point in restriction.points if point != PASS]] = True
        mask = mask & ~avoided
        return mask & allowed if any(restriction.only for restriction in holding) else mask


@dataclass
class MoveInfo:
    """A candidate move, and what is expected after it."""

    point: int
    prob: float  # the probability that the policy gives it among all legal moves
    visits: int
    order: int  # 0 is the likeliest
    pv: list[int]  # the move itself and those that follow
    board: Board = field(repr=False)  # after the pv


class Analysis:
    """What a policy expects of ``board.to_play``; the board is not changed. The symmetries are for the next move: pvs are read at a glance.

    ``black_winrate`` (0 to 1) and ``black_lead`` (points, komi counted) are 0.5 and 0 until a scorer was asked (``score``), which also
    knows the moves that are worth playing: the others are no candidates then, and where there are no others, the pass is the only one.
    """

    def __init__(
        self,
        policy: Mover,
        board: Board,
        wanted: Wanted | None = None,
        *,
        symmetries: int = 1,
    ) -> None:
        self.wanted = wanted = wanted or Wanted()
        self.policy = policy
        self.board = board.copy()
        self.probs = policy.probabilities(as_seen(board), symmetries)  # (N, N)
        self.scorer: Scorer | None = None  # who was asked
        self.black_winrate, self.black_lead = 0.5, 0.0
        sensible = board.sensible_mask().ravel()
        self.settled = not sensible.any()  # nothing is left to be gained, whatever may be played
        self._permitted = wanted.permitted(sensible, board.to_play, 0)
        self.moves: list[MoveInfo] = []
        self._choose(self._permitted)

    def _choose(self, mask: npt.NDArray[np.bool_]) -> None:
        """The candidates, out of the points of the mask (N*N,); the pass where it has none."""
        import numpy as np

        self.moves = []
        flat = np.where(mask, self.probs.ravel().astype(np.float64), 0.0)
        shares = flat / flat.sum() if flat.sum() > 0 else mask / max(mask.sum(), 1)
        order = np.argsort(-np.where(mask, shares, -1.0), kind="stable")[: mask.sum()]
        count = max(int((shares >= SHOWN).sum()), self.wanted.min_moves, 1)
        for point in map(int, order[: min(count, self.wanted.max_moves)]):
            self._add(point, float(flat[point]), float(shares[point]))
        if not self.moves:
            self._add(PASS, 1.0, 1.0)

    def _add(self, point: int, prob: float, share: float) -> None:
        after = self.board.copy()
        after.play(point)
        visits = max(round(share * self.wanted.visits), 0 if self.moves else 1)  # clients drop a position that nothing was spent on
        self.moves.append(MoveInfo(point, prob, visits, len(self.moves), [point], after))

    def score(self, scorer: Scorer, komi: float, rules: Rules, stop: Callable[[], bool] | None = None) -> None:
        """Asks for winrate, lead and the moves worth playing, which may take a second or more in an opening.

        Raises Interrupted, and changes nothing, where ``stop()`` says so before the winrate is known; all moves stay where it does later.
        """
        komi, scoring = rules.komi(self.board, komi), rules.scoring.lower()
        self.black_winrate = scorer.winrate(self.board, komi, scoring, stop)
        self.black_lead = scorer.expected_lead(self.board, komi, scoring)
        self.scorer = scorer
        worth = scorer.worth_playing(self.board, self.probs, komi, scoring, stop).ravel()
        left = self._permitted & worth
        self.settled = not worth.any()
        may_choose = left.any() or (self.settled and self.wanted.may_pass(self.board.to_play))
        if may_choose and not all(move.point == PASS or worth[move.point] for move in self.moves):
            self._choose(left)

    def deepen(self) -> bool:
        """Makes some pvs a ply longer, the better a move the longer its pv; returns False where all are as long as they get."""
        open_moves = [move for move in self.moves if len(move.pv) < self.wanted.pv_length and move.pv[-1] != PASS]
        open_moves.sort(key=lambda move: (len(move.pv) * (move.order + 1), move.order))
        chosen = open_moves[:PVS_AT_ONCE]
        if not chosen:
            return False
        masks = [self.wanted.permitted(move.board.sensible_mask().ravel(), move.board.to_play, len(move.pv)) for move in chosen]
        expected = self.policy.probabilities_batch([as_seen(move.board) for move in chosen])
        for move, mask, probs in zip(chosen, masks, expected, strict=True):
            flat = probs.ravel().astype(float)
            flat[~mask] = -1.0
            point = int(flat.argmax()) if mask.any() else PASS
            move.board.play(point)
            move.pv.append(point)
        return True

    def seen_by(self, colour: int) -> tuple[float, float]:
        """Winrate and lead of a player."""
        return (self.black_winrate, self.black_lead) if colour == BLACK else (1 - self.black_winrate, 0.0 - self.black_lead)


# ------------------------------------------------------------------------------------------------- KataGo's JSON protocol

# The fields of a query; what else it has is answered with a warning.
FIELDS = {
    "id",
    "moves",
    "initialStones",
    "initialPlayer",
    "rules",
    "komi",
    "whiteHandicapBonus",
    "boardXSize",
    "boardYSize",
    "analyzeTurns",
    "maxVisits",
    "rootPolicyTemperature",
    "rootFpuReductionMax",
    "analysisPVLen",
    "includeOwnership",
    "includeOwnershipStdev",
    "includeMovesOwnership",
    "includeMovesOwnershipStdev",
    "includePolicy",
    "includePVVisits",
    "includeNoResultValue",
    "avoidMoves",
    "allowMoves",
    "overrideSettings",
    "reportDuringSearchEvery",
    "firstReportDuringSearchAfter",
    "priority",
    "priorities",
}
MAX_KOMI = 1000.0


class QueryError(GoPolicyError):
    """A query that cannot be answered: what is wrong, and in which field."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.field = name


@dataclass(frozen=True)
class Query:
    """What a line asks for, checked."""

    id: str
    size: int
    stones: tuple[tuple[int, int], ...]  # colour, point
    moves: tuple[tuple[int, int], ...]
    to_play: int  # at turn 0
    turns: tuple[int, ...]
    priorities: tuple[int, ...]  # of the turns
    rules: Rules
    komi: float
    wanted: Wanted
    policy: bool
    ownership: bool
    moves_ownership: bool
    perspective: int | None  # whose winrate is told: a colour's, or that of the player to move

    def position(self, turn: int) -> Board:
        """The board after so many moves. Raises QueryError where the rules forbid one of them, or the stones; a repeated board, which
        other servers have allowed, is no fault of a game that is told."""
        from gopolicy.board import Board

        board = Board(self.size, superko=False)
        try:
            board.set_up(self.stones)
        except GoPolicyError as error:
            raise QueryError(str(error), "initialStones") from None
        board.to_play = self.to_play
        for number, (colour, point) in enumerate(self.moves[:turn]):
            try:
                board.play(point, colour)
            except IllegalMoveError as error:
                raise QueryError(f"Illegal move {number}: {point_to_gtp(point, self.size)} ({error})", "moves") from None
        board.superko = self.rules.superko
        return board


Job = tuple[int, int, int, Query]  # -priority, the order of arrival, turn


class Analyst:
    """Answers KataGo's JSON queries: ``take`` a line, then ``work`` while it is ``busy``; each gives objects to be sent.

    ``listen`` is called again and again during ``work``, and may ``take`` lines.
    """

    def __init__(self, policy: Callable[[], Mover], *, symmetries: int = 1, scorer: Callable[[], Scorer] | None = None) -> None:
        self.policy, self.symmetries, self.scorer = policy, symmetries, scorer
        self.listen: Callable[[], None] = lambda: None
        self._jobs: list[Job] = []  # a heap
        self._at_work: Job | None = None
        self._arrived = 0

    @property
    def busy(self) -> bool:
        return bool(self._jobs)

    def take(self, line: str) -> list[dict[str, Any]]:
        """Takes a line in; returns what has to be answered at once. Nothing is raised."""
        text = line.lstrip("\ufeff").strip()
        if not text:
            return []
        try:
            query = json.loads(text)
        except (ValueError, RecursionError) as error:
            return [{"error": f"this line is no JSON: {' '.join(str(error).split())[:200]}"}]
        if not isinstance(query, dict):
            return [{"error": "a query is a JSON object with the field id"}]
        name = query.get("id")
        if not isinstance(name, str):
            return [{"error": "a query needs the field id, a string", "field": "id"}]
        try:
            if "action" in query:
                return self._act(query)
            asked = read_query(query)
            asked.position(max(asked.turns, default=0))
        except QueryError as error:
            return [{"error": str(error), "field": error.field, "id": name}]
        for turn, priority in zip(asked.turns, asked.priorities, strict=True):
            self._arrived += 1
            heapq.heappush(self._jobs, (-priority, self._arrived, turn, asked))
        unknown = [{"warning": "this field is not known and has no effect", "field": key, "id": name} for key in query if key not in FIELDS]
        unknown += [{"warning": f"{part} is not counted here", "field": "rules", "id": name} for part in asked.rules.uncounted]
        if self.scorer is None:
            owners = {"includeOwnership": asked.ownership, "includeMovesOwnership": asked.moves_ownership}
            missing = "ownership is not known here and will be missing"
            unknown += [{"warning": missing, "field": field, "id": name} for field, wanted in owners.items() if wanted]
        return unknown

    def _act(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        action = query["action"]
        if action == "query_version":
            return [query | {"version": __version__, "git_hash": "<omitted>"}]
        if action == "clear_cache":  # there is none
            return [query]
        if action not in ("terminate", "terminate_all"):
            raise QueryError("action is query_version, clear_cache, terminate or terminate_all", "action")
        turns = _whole_numbers(query, "turnNumbers", 0, None)
        only = query.get("terminateId") if action == "terminate" else None
        if action == "terminate" and not isinstance(only, str):
            raise QueryError("terminateId is a string", "terminateId")
        jobs = [*self._jobs, *([self._at_work] if self._at_work else [])]
        ended = [job for job in jobs if (only is None or job[3].id == only) and (turns is None or job[2] in turns)]
        numbers = {job[1] for job in ended}
        self._jobs = [job for job in self._jobs if job[1] not in numbers]
        heapq.heapify(self._jobs)
        if self._at_work and self._at_work[1] in numbers:
            self._at_work = None
        return [query] + [
            {"id": asked.id, "isDuringSearch": False, "noResults": True, "turnNumber": turn} for _, _, turn, asked in sorted(ended)
        ]

    def work(self) -> list[dict[str, Any]]:
        """Analyses the turn that is due, which has to be there: its answer, or none where it was terminated meanwhile.

        Nothing is raised: where nobody reads the answers any more, that shows when this one is sent.
        """
        self._at_work = heapq.heappop(self._jobs)
        _, _, turn, query = self._at_work
        try:
            answer = self._analysed(query, turn)
        except Interrupted:
            return []
        except Exception as error:
            if not isinstance(error, GoPolicyError | ImportError | OSError):  # our own mistake: the client goes on, the log tells
                say(f"the analysis of turn {turn} failed\n{traceback.format_exc()}")
            answer = {"error": explain(error), "id": query.id}
        if self._at_work is None:  # terminated while it was finished
            return []
        self._at_work = None
        return [answer]

    def _terminated(self) -> bool:
        self.listen()
        return self._at_work is None

    def _analysed(self, query: Query, turn: int) -> dict[str, Any]:
        board = query.position(turn)
        scorer = None if self.scorer is None else self.scorer()
        analysis = Analysis(self.policy(), board, query.wanted, symmetries=self.symmetries)
        if scorer is not None:
            analysis.score(scorer, query.komi, query.rules, self._terminated)
        for _ in range(DEEPENINGS):
            analysis.deepen()
        view = query.perspective or board.to_play
        winrate, lead = analysis.seen_by(view)
        value = {
            "winrate": winrate,
            "lcb": winrate,
            "utility": 2 * winrate - 1,
            "scoreLead": lead,
            "scoreSelfplay": lead,
            "scoreStdev": 0.0,
        }
        raw = {"rawWinrate": winrate, "rawLead": lead, "rawScoreSelfplay": lead, "rawScoreSelfplayStdev": 0.0, "rawNoResultProb": 0.0}
        raw |= dict.fromkeys(("rawStWrError", "rawStScoreError", "rawVarTimeLeft"), -1.0)  # as KataGo of networks that do not know them
        this, symmetric = _hashes(board)
        answer: dict[str, Any] = {
            "id": query.id,
            "turnNumber": turn,
            "isDuringSearch": False,
            "rootInfo": value
            | raw
            | {
                "currentPlayer": "B" if board.to_play == BLACK else "W",
                "symHash": symmetric,
                "thisHash": this,
                "visits": query.wanted.visits,
                "weight": float(query.wanted.visits),
            },
            "moveInfos": [
                value
                | {
                    "move": point_to_gtp(move.point, query.size),
                    "order": move.order,
                    "visits": move.visits,
                    "edgeVisits": move.visits,
                    "weight": float(move.visits),
                    "edgeWeight": float(move.visits),
                    "playSelectionValue": float(move.visits),
                    "prior": move.prob,
                    "scoreMean": lead,
                    "utilityLcb": 2 * winrate - 1,
                    "pv": [point_to_gtp(point, query.size) for point in move.pv],
                }
                for move in analysis.moves
                if move.visits  # with few visits not all get one
            ],
        }
        if query.policy:
            legal = board.legal_mask().ravel()
            share = 0.0 if analysis.settled else 1.0  # of the points
            flat = [round(share * float(prob), 8) if ok else -1.0 for prob, ok in zip(analysis.probs.ravel(), legal, strict=True)]
            answer["policy"] = [*flat, 1.0 - share]
        if (query.ownership or query.moves_ownership) and scorer is not None:
            owners = [round(float(share) * view, 4) for share in scorer.ownership(board).ravel()]
            if query.ownership:
                answer["ownership"] = owners
            if query.moves_ownership:  # the same for all moves, as the lead is
                for told in answer["moveInfos"]:
                    told["ownership"] = owners
        return answer


def _hashes(board: Board) -> tuple[str, str]:
    """Of stones, player and forbidden ko; and one that is the same for all positions that turn or mirror into this one."""
    from gopolicy import symmetry

    size, ko = board.size, board.ko_point
    stones = board.stones()
    views = []
    for k in range(symmetry.COUNT):
        where = PASS if ko is None else symmetry.point(ko, k, size)
        told = f"{size} {board.to_play} {where} ".encode() + symmetry.apply(stones, k).tobytes()
        views.append(hashlib.blake2b(told, digest_size=16).hexdigest().upper())
    return views[0], min(views)


def read_query(query: Mapping[str, Any]) -> Query:
    """The query of a JSON object. Raises QueryError for what cannot be analysed."""
    size = _whole(query, "boardXSize", MIN_SIZE, MAX_SIZE)
    if _whole(query, "boardYSize", MIN_SIZE, MAX_SIZE) != size:
        raise QueryError("only square boards can be analysed: boardXSize and boardYSize have to be equal", "boardYSize")
    moves = _stones(query, "moves", size)
    stones = _stones(query, "initialStones", size)
    if any(point == PASS for _, point in stones):
        raise QueryError("a pass is no stone", "initialStones")
    try:
        rules = rules_from(query.get("rules", "chinese-ogs"))
    except GoPolicyError as error:
        raise QueryError(str(error), "rules") from None
    if "whiteHandicapBonus" in query:  # beside the rules it comes before theirs
        try:
            bonus = rules_from({"whiteHandicapBonus": query["whiteHandicapBonus"]}).bonus
        except GoPolicyError as error:
            raise QueryError(str(error), "whiteHandicapBonus") from None
        rules = replace(rules, bonus=bonus)
    komi = query.get("komi", 7.5 if rules.scoring == "AREA" else 6.5)
    if type(komi) not in (int, float) or not abs(komi) <= MAX_KOMI:
        raise QueryError(f"komi is a number from -{MAX_KOMI:g} to {MAX_KOMI:g}", "komi")
    turns = _whole_numbers(query, "analyzeTurns", 0, len(moves))
    turns = [len(moves)] if turns is None else turns
    priorities = _whole_numbers(query, "priorities", -(2**62), 2**62)
    priority = _whole(query, "priority", -(2**62), 2**62, 0)
    if priorities is not None and len(priorities) != len(turns):
        raise QueryError("priorities need as many numbers as analyzeTurns", "priorities")
    by_turn = dict(sorted(zip(turns, priorities or [priority] * len(turns), strict=True)))  # each turn is answered once
    settings = query.get("overrideSettings", {})
    if not isinstance(settings, dict):
        raise QueryError("overrideSettings is an object", "overrideSettings")
    told = str(settings.get("reportAnalysisWinratesAs", "BLACK")).lower()
    if told not in (*COLOURS, "sidetomove"):
        raise QueryError("reportAnalysisWinratesAs is BLACK, WHITE or SIDETOMOVE", "overrideSettings")
    # Without a move and without a word on it a game with handicap begins with White.
    first = moves[0][0] if moves else WHITE if len(stones) > 1 and all(colour == BLACK for colour, _ in stones) else BLACK
    return Query(
        id=query["id"],
        size=size,
        stones=stones,
        moves=moves,
        to_play=_colour(query["initialPlayer"], "initialPlayer") if "initialPlayer" in query else first,
        turns=tuple(by_turn),
        priorities=tuple(by_turn.values()),
        rules=rules,
        komi=float(komi),
        wanted=Wanted(
            _restrictions(query, size),
            visits=_whole(query, "maxVisits", 1, 2**62, VISITS),
            pv_length=1 + _whole(query, "analysisPVLen", 0, None, PV_LENGTH - 1),
        ),
        policy=_flag(query, "includePolicy"),
        ownership=_flag(query, "includeOwnership"),
        moves_ownership=_flag(query, "includeMovesOwnership"),
        perspective=COLOURS.get(told),
    )


def _restrictions(query: Mapping[str, Any], size: int) -> tuple[Restriction, ...]:
    result = []
    for name in ("avoidMoves", "allowMoves"):
        told = query.get(name, [])
        if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
            raise QueryError(f"{name} is a list of objects with player, moves and untilDepth", name)
        for one in told:
            vertices = one.get("moves")
            if not isinstance(vertices, list):
                raise QueryError(f"moves of {name} is a list of vertices", name)
            points = frozenset(_point(vertex, size, name) for vertex in vertices)
            until = one.get("untilDepth")
            if type(until) is not int or until < 1:
                raise QueryError(f"untilDepth of {name} is a whole number, 1 or more", name)
            result.append(Restriction(_colour(one.get("player"), name), points, until, only=name == "allowMoves"))
    return tuple(result)


def _stones(query: Mapping[str, Any], name: str, size: int) -> tuple[tuple[int, int], ...]:
    told = query.get(name, [] if name == "initialStones" else None)
    if not isinstance(told, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in told):
        raise QueryError(f'{name} is a list of pairs as ["B", "D4"]', name)
    return tuple((_colour(colour, name), _point(vertex, size, name)) for colour, vertex in told)


def _colour(told: object, name: str) -> int:
    colour = COLOURS.get(told.lower()) if isinstance(told, str) else None
    if colour is None:
        raise QueryError("a player is B or W", name)
    return colour


def _point(told: object, size: int, name: str) -> int:
    """Of a vertex, or of column and row from the top left corner, as "(0,13)"."""
    text = told if isinstance(told, str) else ""
    if pair := re.fullmatch(r"\(([0-9]{1,2}),([0-9]{1,2})\)", text):
        column, row = map(int, pair.groups())
        if column < size and row < size:
            return row * size + column
    try:
        return point_from_gtp(text, size)
    except GoPolicyError:
        raise QueryError(f"{str(told)[:20]!r} is no point of a {size}x{size} board", name) from None


def _flag(query: Mapping[str, Any], name: str) -> bool:
    told = query.get(name, False)
    if not isinstance(told, bool):
        raise QueryError(f"{name} is true or false", name)
    return told


def _whole(query: Mapping[str, Any], name: str, least: int, most: int | None, default: int | None = None) -> int:
    told = query.get(name, default)
    if type(told) is not int or told < least or (most is not None and told > most):
        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        raise QueryError(f"{name} is a whole number, {bounds}", name)
    return told


def _whole_numbers(query: Mapping[str, Any], name: str, least: int, most: int | None) -> list[int] | None:
    """None where the field is not there."""
    told = query.get(name)
    if told is None:
        return None
    if not isinstance(told, list):
        raise QueryError(f"{name} is a list of whole numbers", name)
    return [_whole({name: number}, name, least, most) for number in told]


def serve(analyst: Analyst, stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Answers queries until the end of input, and then those that wait. New lines are taken while a turn is at work.

    Raises OSError where nobody reads the answers any more.
    """
    lines = Lines(stdin)
    more = True

    def send(answers: Iterable[dict[str, Any]]) -> None:
        for answer in answers:
            # Some clients do not parse, but look for the last number or for rootInfo: KataGo's keys are sorted.
            stdout.write(json.dumps(answer, separators=(",", ":"), sort_keys=True).encode() + b"\n")
        stdout.flush()

    def take() -> None:
        nonlocal more
        line = next(lines, None)
        more = line is not None
        send(analyst.take(line.decode("utf-8", "replace")) if line is not None else [])

    def listen() -> None:
        while more and not lines.quiet(0):
            take()

    analyst.listen = listen
    while more or analyst.busy:
        listen()
        if analyst.busy:
            send(analyst.work())
        elif more:
            take()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``gopolicy analysis``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "One JSON object a line, as KataGo's analysis engine has it. In KaTrain: General & Engine settings, Override Engine Command:\n"
        "  exec /full/path/to/.gopolicy-venv/bin/python -m gopolicy analysis\n"
        "(Windows: without exec, and .gopolicy-venv\\Scripts\\python.exe.) docs/katrain.md shows what it answers."
    )
    add_policy_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """``gopolicy analysis``: ends the process."""
    policy = Loading(lambda: load_policy(args))
    analyst = Analyst(policy, symmetries=args.symmetries, scorer=load_scorer(args, policy))
    run_process(lambda stdin, stdout: serve(analyst, stdin, stdout), policy)
