"""The Go Text Protocol: a line → a reply, and the engine's state.

    gopolicy gtp                            # the weights that come with the package, best move first
    gopolicy gtp --weights FILE --symmetries 8
    python /path/to/gtp_engine.py           # the same, for the path field of a GUI

Sources: G. Farnebäck, Specification of the Go Text Protocol, version 2, draft 2 (2002); for what clients know beyond it, the
documentation of GoGui (``gogui-``), KGS (``kgs-``), Leela Zero (``lz-``) and KataGo (``kata-``).

``Engine`` is the protocol and knows of no process; ``serve`` joins it to two streams; ``run`` to standard input and output.
Nothing heavy is imported before it is used: an engine answers ``name`` while a thread still loads the network.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from gopolicy import __version__
from gopolicy.analysis import COLOURS, MAX_CANDIDATES, NAMED_RULES, Analysis, Mover, Restriction, Scorer, Wanted, as_seen, rules_from
from gopolicy.coords import BLACK, MAX_SIZE, MIN_SIZE, PASS, WHITE, point_from_gtp, point_to_gtp
from gopolicy.errors import GoPolicyError, IllegalMoveError, Interrupted, SgfError, explain
from gopolicy.process import Lines, Loading, add_policy_arguments, checked, load_policy, load_scorer, say
from gopolicy.process import run as run_process

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from gopolicy.board import Board

# A tab is a blank; every other control character is dropped (specification, 2.2 and 3.1).
_CONTROL = dict.fromkeys((*range(32), 127)) | {ord("\t"): " "}
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_ENDLESS = 200  # moves: small boards, with little room and many captures, may take more than two moves for each point
_INTERVAL, _SHORTEST_INTERVAL = 0.5, 0.05  # seconds between two lines of an analysis
_GLANCE = 5  # how often the pvs of a move that is played are made longer
_REST = 30  # moves that have to be played in the time left, where the client does not say how many
_TO_PASS = 0.5  # seconds that a pass is worth asking for after the opponent's, however little time is left: it ends the game
_HURRY = 0.5  # seconds for a move below which the network is asked once, and no winrate is looked for
_KGS_TIMES = {"none": 0, "absolute": 1, "canadian": 3, "byoyomi": 3}  # how many numbers follow
# Keys of an analysis that are true or false; the first three have an effect.
_SWITCHES = {
    "ownership",
    "movesOwnership",
    "rootInfo",
    "ownershipStdev",
    "movesOwnershipStdev",
    "pvVisits",
    "pvEdgeVisits",
    "noResultValue",
}
_OWNERSHIP = {"ownership", "movesOwnership"}
_GOGUI_COMMANDS = (
    "gfx/Likeliest Moves/gopolicy-moves %m",
    "cboard/Heat Map/gopolicy-heat_map %m",
    "sboard/Probability in Per Cent/gopolicy-per_cent %m",
    "dboard/Ownership/gopolicy-ownership",
    "plist/Dead Stones/final_status_list dead",
    "plist/Stones in Seki/final_status_list seki",
    "string/Score/final_score",
    "string/Rules/kata-get-rules",
    "hstring/Board/showboard",
)


class GtpError(GoPolicyError):
    """A command that is refused; the message is the answer."""


@dataclass(frozen=True)
class _Asked:
    """The arguments of an analysing command."""

    colour: int
    interval: float  # seconds
    wanted: Wanted
    switches: frozenset[str]  # those that are true
    may_resign: bool


class Engine:
    """The state of a GTP engine. ``policy`` is called when a move is wanted: it returns the policy, or raises GoPolicyError.

    ``temperature`` 0 plays the best move; above, a move is drawn from p^(1/temperature), out of the likeliest moves that together have
    ``top_p`` of that. ``seed`` fixes what is drawn: the same commands get the same answers.

    ``scorer``, called like ``policy``, knows scores, when to pass and, with ``resigns``, when to resign; without one the engine passes when
    nothing is left but own eyes, and cannot score.
    """

    def __init__(
        self,
        policy: Callable[[], Mover],
        *,
        symmetries: int = 1,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        scorer: Callable[[], Scorer] | None = None,
        resigns: bool = False,
    ) -> None:
        self.policy, self.scorer = policy, scorer
        self.symmetries, self.temperature, self.top_p, self.resigns = symmetries, temperature, top_p, resigns
        self.komi = 7.5  # until the client tells
        self.rules = NAMED_RULES["chinese-ogs"]
        self.ended = False
        # Waits so many seconds for input, and tells whether none has come: an analysis goes on for as long.
        self.quiet: Callable[[float], bool] = lambda _: False
        self._allowed = math.inf  # seconds for a move, by the settings of the clock
        self._seconds = {BLACK: math.inf, WHITE: math.inf}  # the same, by what is left
        self._overtime = 0.0  # seconds for a move when the main time is over
        self._periods = False  # whether overtime is counted in periods of one move
        self._random = random.Random(seed)
        self._board: Board | None = None
        self.commands: dict[str, Callable[[Sequence[str]], str | Iterator[str]]] = {
            "protocol_version": lambda _: "2",
            "name": lambda _: "gopolicy",
            "version": lambda _: __version__,
            "known_command": self.known_command,
            "list_commands": lambda _: "\n".join(self.commands),
            "quit": self.quit,
            "boardsize": self.boardsize,
            "rectangular_boardsize": self.boardsize,
            "query_boardsize": lambda _: str(self.board.size),
            "clear_board": self.clear_board,
            "komi": self.set_komi,
            "get_komi": lambda _: _shortest(self.komi),
            "fixed_handicap": self.fixed_handicap,
            "place_free_handicap": self.place_free_handicap,
            "set_free_handicap": self.set_free_handicap,
            "play": self.play,
            "genmove": self.genmove,
            "reg_genmove": self.reg_genmove,
            "kgs-genmove_cleanup": self.genmove_cleanup,
            "undo": lambda _: self.undo(()),  # as GNU Go: qGo says ``undo 0`` for one move
            "gg-undo": self.undo,
            "showboard": self.showboard,
            "time_settings": self.time_settings,
            "kgs-time_settings": self.kgs_time_settings,
            "time_left": self.time_left,
            "final_score": self.final_score,
            "final_status_list": self.final_status_list,
            "loadsgf": self.loadsgf,
            "printsgf": self.printsgf,
            "cputime": lambda _: f"{time.process_time():.3f}",
            # What KGS calls Chinese rules forbids every repetition.
            "kgs-rules": lambda words: self.set_rules(["chinese-kgs" if word.lower() == "chinese" else word for word in words]),
            "kata-set-rules": self.set_rules,
            "kata-get-rules": lambda _: json.dumps(self.rules.described()),
            "kata-raw-nn": self.raw_network,
            "heatmap": self.heatmap,
            "analyze": lambda words: self.analyze(words, _whole_number_line),
            "lz-analyze": lambda words: self.analyze(words, _whole_number_line),
            "kata-analyze": lambda words: self.analyze(words, self._decimal_line),
            "genmove_analyze": lambda words: self.genmove_analyze(words, _whole_number_line),
            "lz-genmove_analyze": lambda words: self.genmove_analyze(words, _whole_number_line),
            "kata-genmove_analyze": lambda words: self.genmove_analyze(words, self._decimal_line),
            "stop": lambda _: "",  # KataGo's, to end an analysis, which any line does
            "gogui-analyze_commands": lambda _: "\n".join(_GOGUI_COMMANDS),
            "gogui-title": lambda _: "gopolicy",
            "gogui-interrupt": lambda _: "",  # no command takes long enough, and the lines that interrupt are comments
            "gogui-play_sequence": self.play_sequence,
            "gogui-setup": self.set_up,
            "set_position": self.set_position,
            "gogui-setup_player": self.set_up_player,
            "gopolicy-moves": self.gogui_moves,
            "gopolicy-heat_map": self.gogui_heat_map,
            "gopolicy-per_cent": self.gogui_per_cent,
            "gopolicy-ownership": self.gogui_ownership,
        }

    @property
    def board(self) -> Board:
        if self._board is None:
            self._board = self._new_board(19)
        return self._board

    def answer(self, line: str) -> tuple[str, bool]:
        """The whole answer to a line, empty where none is due, and whether the session ends with it.

        Nothing is raised: what goes wrong is an answer that begins with ``?``, and changes nothing.
        """
        return "".join(self.pieces(line)), self.ended

    def pieces(self, line: str) -> Iterator[str]:
        """``answer`` in the pieces in which it comes about: an analysis has many, every other command one."""
        # str.split() alone would also split at blanks that are no ASCII.
        words = [word for word in line.lstrip("\ufeff").translate(_CONTROL).partition("#")[0].split(" ") if word]
        if not words:
            return
        number = words.pop(0) if words[0].isascii() and words[0].isdigit() else ""
        name, arguments = (words[0], words[1:]) if words else ("", [])
        more: Iterator[str] | None = None
        try:
            if name not in self.commands:
                raise GtpError("unknown command")
            told = self.commands[name](arguments)
            if isinstance(told, str):
                mark, text = "=", told
            else:  # what can go wrong goes wrong before the first piece
                mark, first = "=", next(told, None)
                text, more = ("", None) if first is None else ("\n" + first, told)
        except Exception as error:
            mark, text = "?", explain(error)
            if not isinstance(error, GoPolicyError | ImportError):  # our own mistake: the client plays on, the log tells
                say(f"{name} failed\n{traceback.format_exc()}")
        between = " " if text and not text.startswith("\n") else ""
        yield f"{mark}{number}{between}{text}\n" + ("" if more else "\n")
        if more:
            try:
                for text in more:
                    yield text + "\n"
            except Exception:
                say(f"{name} failed\n{traceback.format_exc()}")
            yield "\n"

    # ---- the session

    def known_command(self, arguments: Sequence[str]) -> str:
        return "true" if arguments and arguments[0] in self.commands else "false"

    def quit(self, arguments: Sequence[str]) -> str:
        self.ended = True
        return ""

    # ---- the board

    def _new_board(self, size: int) -> Board:
        from gopolicy.board import Board  # where a thread is importing it, this waits

        return Board(size, superko=self.rules.superko)

    def boardsize(self, arguments: Sequence[str]) -> str:
        # Some clients send the width and the height.
        sizes = {_whole(word) for word in _words(arguments, 1, 2)}
        size = sizes.pop()
        if sizes or not MIN_SIZE <= size <= MAX_SIZE:
            raise GtpError("unacceptable size")
        return self._begin(self._new_board(size))

    def clear_board(self, arguments: Sequence[str]) -> str:
        return self._begin(self._new_board(self.board.size))

    def _begin(self, board: Board) -> str:
        """Another game: its clocks are set as the last one's were, not where that one left them."""
        self._board = board
        self._seconds = dict.fromkeys(self._seconds, self._allowed)
        return ""

    def set_komi(self, arguments: Sequence[str]) -> str:
        (word,) = _words(arguments, 1)
        self.komi = _number(word)
        return ""

    def set_rules(self, arguments: Sequence[str]) -> str:
        """A name, or a JSON object as ``kata-get-rules`` tells it. The board stays."""
        if not arguments:
            raise GtpError("syntax error")
        self.rules = rules_from(" ".join(arguments))
        self.board.superko = self.rules.superko
        return ""

    def play(self, arguments: Sequence[str]) -> str:
        colour, vertex = _words(arguments, 2)
        self._play(self.board, _colour(colour), _vertex(vertex, self.board.size))
        return ""

    def _play(self, board: Board, colour: int, point: int) -> None:
        board.superko = False  # a move that is told has been played: servers with other rules let the board repeat
        try:
            board.play(point, colour)
        except IllegalMoveError:
            raise GtpError("illegal move") from None
        finally:
            board.superko = self.rules.superko

    def undo(self, arguments: Sequence[str]) -> str:
        """Takes back a move, or as many as ``gg-undo`` says."""
        count = _whole(_words(arguments, 0, 1)[0]) if arguments else 1
        if count < 0:
            raise GtpError("syntax error")
        if count > self.board.move_number:
            raise GtpError("cannot undo")
        for _ in range(count):
            self.board.undo()
        return ""

    def showboard(self, arguments: Sequence[str]) -> str:
        from gopolicy import draw

        return f"\n{draw.board_text(self.board, colour=False, unicode=False)}\nkomi {_shortest(self.komi)}"

    # ---- handicap and setup

    def fixed_handicap(self, arguments: Sequence[str]) -> str:
        (word,) = _words(arguments, 1)
        count, size = _whole(word), self.board.size
        if not 2 <= count <= max_fixed_handicap(size):
            raise GtpError("invalid number of stones")
        return self._place_handicap(fixed_handicap(size, count))

    def place_free_handicap(self, arguments: Sequence[str]) -> str:
        """As many stones as asked for, on every board: the OGS bridge counts them."""
        (word,) = _words(arguments, 1)
        count, size = _whole(word), self.board.size
        if not 2 <= count < size * size:
            raise GtpError("invalid number of stones")
        return self._place_handicap(free_handicap(size, count))

    def set_free_handicap(self, arguments: Sequence[str]) -> str:
        size = self.board.size
        try:
            points = [point_from_gtp(word, size) for word in arguments]
        except GoPolicyError:
            raise GtpError("bad vertex list") from None
        if PASS in points or len(set(points)) < len(points) or not 2 <= len(points) < size * size:
            raise GtpError("bad vertex list")
        self._place_handicap(points)
        return ""

    def _place_handicap(self, points: Sequence[int]) -> str:
        if self.board.stones().any():
            raise GtpError("board not empty")
        board = self._new_board(self.board.size)
        board.set_up((BLACK, point) for point in points)
        board.to_play = WHITE
        self._board = board
        return " ".join(point_to_gtp(point, board.size) for point in points)

    def play_sequence(self, arguments: Sequence[str]) -> str:
        """Plays all of the moves, or none."""
        board = self.board.copy()
        for colour, point in _pairs(arguments, board.size):
            self._play(board, colour, point)
        self._board = board
        return ""

    def set_up(self, arguments: Sequence[str]) -> str:
        self.board.set_up(self._stones(arguments))
        return ""

    def set_position(self, arguments: Sequence[str]) -> str:
        """KataGo's: these stones, whatever stood there, and no move before them."""
        board = self._new_board(self.board.size)
        board.set_up(self._stones(arguments))
        return self._begin(board)

    def _stones(self, arguments: Sequence[str]) -> list[tuple[int, int]]:
        stones = list(_pairs(arguments, self.board.size))
        if any(point == PASS for _, point in stones):
            raise GtpError("syntax error")
        return stones

    def set_up_player(self, arguments: Sequence[str]) -> str:
        (colour,) = _words(arguments, 1)
        self.board.to_play = _colour(colour)
        return ""

    # ---- time

    def time_settings(self, arguments: Sequence[str]) -> str:
        main, period, stones = map(_number, _words(arguments, 3))
        self._set_times(main, period, stones)
        return ""

    def kgs_time_settings(self, arguments: Sequence[str]) -> str:
        kind = arguments[0].lower() if arguments else ""
        numbers = [_number(word) for word in arguments[1:]]
        if len(numbers) != _KGS_TIMES.get(kind):
            raise GtpError("syntax error")
        if kind == "byoyomi":
            self._set_times(numbers[0], numbers[1], 1, periods=True)
        elif kind != "none":
            self._set_times(*(*numbers, 0.0, 0.0)[:3])
        else:
            self._set_times(0, 1, 0)
        return ""

    def _set_times(self, main: float, period: float, stones: float, *, periods: bool = False) -> None:
        """Of the specification: a period without stones means no limit (4.2). So does no time at all, in which no game can be played."""
        endless = period > 0 >= stones or max(main, period) <= 0
        self._overtime = math.inf if endless else period / stones if stones > 0 else 0.0
        self._periods = periods
        self._allowed = main / _REST + self._overtime
        self._seconds = dict.fromkeys(self._seconds, self._allowed)

    def time_left(self, arguments: Sequence[str]) -> str:
        colour, *numbers = _words(arguments, 3)
        mover = _colour(colour)
        seconds, stones = map(_number, numbers)
        if stones <= 0:  # main time: overtime will follow
            seconds = seconds / _REST + self._overtime
        elif not self._periods:  # in byoyomi it is the number of periods, and each is for one move
            seconds /= stones
        self._seconds[mover] = seconds
        return ""

    def _hurries(self, colour: int) -> bool:
        return self._seconds[colour] < _HURRY

    def _out_of_time(self, colour: int) -> Callable[[], bool]:
        """Says so from when half of the time for a move is over: then the network alone decides."""
        passed = self.board.moves[-1:] == [(-colour, PASS)]
        end = time.monotonic() + max(self._seconds[colour] / 2, _TO_PASS if passed else 0.0)
        return lambda: time.monotonic() >= end

    def _views(self, colour: int) -> int:
        """How many symmetries there is time for."""
        return 1 if self._hurries(colour) else self.symmetries

    # ---- moves

    def genmove(self, arguments: Sequence[str]) -> str:
        (colour,) = _words(arguments, 1)
        mover = _colour(colour)
        return self._played(mover, self._decide(mover, self.temperature, self.resigns))

    def reg_genmove(self, arguments: Sequence[str]) -> str:
        """The best move, not played, and nothing left to chance: as regression tests want it."""
        (colour,) = _words(arguments, 1)
        return self._played(_colour(colour), self._decide(_colour(colour), 0.0, False), for_good=False)

    def genmove_cleanup(self, arguments: Sequence[str]) -> str:
        """A move after the game: takes the opponent's dead stones off, and passes when none is left. Resigning is over."""
        (colour,) = _words(arguments, 1)
        mover = _colour(colour)
        stop = self._out_of_time(mover)
        move = self._decide(mover, self.temperature, False, stop=stop)
        # What is left to gain goes first: an answer missed may cost the game.
        if move == PASS and (dead := self._dead_stones(-mover, stop)):
            around = Restriction(mover, _neighbours(dead, self.board.size), 1, only=True)
            move = self._decide(mover, self.temperature, False, Wanted((around,)), stop=stop)
        return self._played(mover, move)

    def _dead_stones(self, colour: int, stop: Callable[[], bool]) -> list[int]:
        """None without a scorer, and none where ``stop()`` ends the search."""
        if self.scorer is None:
            return []
        stones = self.board.stones().ravel()
        try:
            return [point for point in self.scorer().status(self.board, stop)["dead"] if stones[point] == colour]
        except Interrupted:
            return []

    def _played(self, colour: int, point: int | None, for_good: bool = True) -> str:
        """The vertex of a decision, which is played."""
        if point is None:
            return "resign"
        if for_good:
            self.board.play(point, colour)
        return point_to_gtp(point, self.board.size)

    def _turn_of(self, colour: int) -> Board:
        board = self.board.copy()
        board.to_play = colour
        return board

    def _decide(
        self,
        colour: int,
        temperature: float,
        resigns: bool,
        wanted: Wanted | None = None,
        probs: npt.NDArray[np.float32] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> int | None:
        """The move of that colour, ``PASS`` where there is nothing to gain, or None to resign. ``probs`` (N, N), where they are known.
        ``stop()`` says when playouts have to end, where the time is running already.

        Without a scorer it passes where nothing is left but to fill own true eyes. A game that goes on and on, as superko lets it, is given
        up after two moves for each point, on small boards after 200.
        """
        board = self._turn_of(colour)
        komi, rules = self.rules.komi(board, self.komi), self.rules.scoring.lower()
        worth = sensible = board.sensible_mask().ravel()
        wanted = wanted or Wanted()
        if not sensible.any() or board.move_number >= max(2 * sensible.size, _ENDLESS):
            return PASS
        if self.scorer is not None:
            scorer = self.scorer()
            stop = stop or self._out_of_time(colour)
            if resigns and scorer.is_lost(board, komi, rules, stop):
                return None
        if probs is None:
            probs = self.policy().probabilities(as_seen(board), self._views(colour))
        if self.scorer is not None:
            worth = sensible & scorer.worth_playing(board, probs, komi, rules, stop).ravel()
            if not worth.any() and wanted.may_pass(colour):
                return PASS
        allowed = wanted.permitted(sensible, colour, 0)
        if not allowed.any() and wanted.may_pass(colour):
            return PASS
        mask = next((mask for mask in (allowed & worth, allowed) if mask.any()), sensible)
        return self._draw(probs.ravel(), mask, temperature)

    def _draw(self, probs: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], temperature: float) -> int:
        """One of the points of the mask (N*N,), which has some."""
        import numpy as np

        probs = np.where(mask, probs.astype(np.float64), -1.0)
        best = int(probs.argmax())
        if temperature == 0 or probs[best] <= 0:
            return best
        order = np.argsort(-probs, kind="stable")
        order = order[probs[order] > 0]
        with np.errstate(over="ignore"):  # a temperature next to 0 leaves the best move alone
            weights = np.exp(np.log(probs[order] / probs[best]) / temperature)
        sums = np.cumsum(weights)
        # The move that brings the sum to top_p is the last that can be drawn.
        count = int(np.searchsorted(sums, self.top_p * sums[-1])) + 1
        sums = sums[:count]
        drawn = int(np.searchsorted(sums, self._random.random() * sums[-1], side="right"))
        return int(order[min(drawn, len(sums) - 1)])

    # ---- analysis

    def _asked(self, arguments: Sequence[str]) -> _Asked:
        """``[COLOUR] [INTERVAL] KEY VALUE …``, intervals in hundredths of a second."""
        words = list(arguments)
        colour = _colour(words.pop(0)) if words and words[0].lower() in COLOURS else self.board.to_play
        hundredths = _number(words.pop(0)) if words and _NUMBER.fullmatch(words[0]) else 100 * _INTERVAL
        least, most = 1, None
        restrictions: list[Restriction] = []
        switches = set()
        may_resign = True
        rest = iter(words)
        for key in rest:
            values = [next(rest, "") for _ in range(3 if key in ("avoid", "allow") else 1)]
            if key == "interval":
                hundredths = _number(values[0])
            elif key == "minmoves":
                least = _whole(values[0])
            elif key == "maxmoves":
                most = max(_whole(values[0]), 1)
            elif key in ("avoid", "allow"):
                player, until, vertices = _colour(values[0]), _whole(values[2]), values[1].lower().split(",")
                points = frozenset(_vertex(vertex, self.board.size) for vertex in vertices if vertex != "resign")
                restrictions.append(Restriction(player, points, until, only=key == "allow"))
                may_resign &= not ("resign" in vertices and key == "avoid" and player == colour and until > 0)
            elif key in _SWITCHES and values[0].lower() in ("true", "false"):
                if values[0].lower() == "true":
                    switches.add(key)
            else:
                raise GtpError("syntax error")
        wanted = Wanted(tuple(restrictions), min_moves=least, max_moves=max(MAX_CANDIDATES, least) if most is None else most)
        return _Asked(colour, max(hundredths / 100, _SHORTEST_INTERVAL), wanted, frozenset(switches), may_resign)

    def _analysis(self, asked: _Asked) -> Analysis:
        return Analysis(self.policy(), self._turn_of(asked.colour), asked.wanted, symmetries=self._views(asked.colour))

    def analyze(self, arguments: Sequence[str], line: Callable[[Analysis, _Asked], str]) -> Iterator[str]:
        """A line now and one each interval, until there is input; meanwhile the pvs grow.

        The winrate of the first line is that of no playout, 50 %: they take a second in an opening. Where input waits already, this line
        is all, but that it waits for the playouts where it is to tell the ownership.
        """
        asked = self._asked(arguments)
        analysis = self._analysis(asked)
        patient = bool(asked.switches & _OWNERSHIP) and not self.quiet(0.0)
        if not patient:
            yield line(analysis, asked)
        if self.scorer is not None:
            try:
                analysis.score(self.scorer(), self.komi, self.rules, lambda: not (patient or self.quiet(0.0)))
            except Interrupted:
                return
        if patient or self.scorer is not None:
            yield line(analysis, asked)
        due = time.monotonic() + asked.interval
        grows = True
        while self.quiet(0.0 if grows else max(due - time.monotonic(), 0.0)):
            grows = analysis.deepen()
            if time.monotonic() >= due:
                yield line(analysis, asked)
                due = time.monotonic() + asked.interval

    def genmove_analyze(self, arguments: Sequence[str], line: Callable[[Analysis, _Asked], str]) -> str:
        """``genmove``, with what it looked at on a line before: the move comes at once, so there is only one."""
        asked = self._asked(arguments)
        hurries, stop = self._hurries(asked.colour), self._out_of_time(asked.colour)
        analysis = self._analysis(asked)
        if self.scorer is not None and not hurries:
            with suppress(Interrupted):
                analysis.score(self.scorer(), self.komi, self.rules, stop)
        for _ in range(0 if hurries else _GLANCE):
            analysis.deepen()
        resigns = self.resigns and asked.may_resign
        point = self._decide(asked.colour, self.temperature, resigns, asked.wanted, analysis.probs, stop=stop)
        return f"\n{line(analysis, asked)}\nplay {self._played(asked.colour, point)}"

    def _decimal_line(self, analysis: Analysis, asked: _Asked) -> str:
        """KataGo's form: fractions, and what else it is asked for."""
        winrate, lead = analysis.seen_by(asked.colour)
        value = f"utility {2 * winrate - 1:.6f} winrate {winrate:.6f} scoreMean {lead:.3f} scoreStdev 0.0 scoreLead {lead:.3f}"
        owners = ""
        if asked.switches & _OWNERSHIP and analysis.scorer is not None:
            shares = analysis.scorer.ownership(analysis.board).ravel() * asked.colour
            owners = " ".join(f"{round(share, 4) + 0.0:.4f}" for share in shares.tolist())
        each = f" movesOwnership {owners}" if owners and "movesOwnership" in asked.switches else ""
        infos = [
            f"info move {point_to_gtp(move.point, analysis.board.size)} visits {move.visits} {value} scoreSelfplay {lead:.3f} "
            f"prior {move.prob:.6f} lcb {winrate:.6f} utilityLcb {2 * winrate - 1:.6f} order {move.order} {_pv(analysis, move.pv)}{each}"
            for move in analysis.moves
        ]
        if "rootInfo" in asked.switches:
            infos.append(f"rootInfo visits {asked.wanted.visits} {value}")
        if owners and "ownership" in asked.switches:
            infos.append(f"ownership {owners}")
        return " ".join(infos)

    def raw_network(self, arguments: Sequence[str]) -> str:
        """``kata-raw-nn``: what the network says of the position as it lies, of a symmetry of it (0 to 7), or of all eight in turn.

        Winrate, lead and ownership are the scorer's, the same for all symmetries; without one, or in time trouble, 0.5, 0 and 0, which
        says: not known.
        """
        import numpy as np

        from gopolicy import symmetry

        which = arguments[0].lower() if arguments else "all"
        told = range(symmetry.COUNT) if which == "all" else [_whole(which)]
        if not 0 <= told[0] < symmetry.COUNT:
            raise GtpError("syntax error")
        board = self.board
        legal = board.legal_mask()
        white, lead, owners = 0.5, 0.0, np.zeros((board.size, board.size), dtype=np.float32)
        if self.scorer is not None:
            scorer, komi, rules = self.scorer(), self.rules.komi(board, self.komi), self.rules.scoring.lower()
            with suppress(Interrupted):  # no time: not known
                white = 1 - scorer.winrate(board, komi, rules, self._out_of_time(board.to_play))
                lead, owners = 0.0 - scorer.expected_lead(board, komi, rules), 0.0 - scorer.ownership(board)
        value = f"whiteWin {white:.6f}\nwhiteLoss {1 - white:.6f}\nnoResult 0.000000\nwhiteLead {lead:.3f}\nwhiteScoreSelfplay {lead:.3f}"
        ownership = "\n".join(" ".join(f"{share:.7f}" for share in row) for row in owners.tolist())
        blocks = []
        for k in told:
            probs = symmetry.apply(self.policy().probabilities(_turned(as_seen(board), k)), int(symmetry.INVERSE[k]))
            rows = [
                " ".join(f"{prob:.6f}" if ok else "NAN" for prob, ok in zip(*row, strict=True)) for row in zip(probs, legal, strict=True)
            ]
            passing = 0.0 if legal.any() else 1.0
            blocks.append("\n".join([f"symmetry {k}", value, "policy", *rows, f"policyPass {passing:.6f}", "whiteOwnership", ownership]))
        return "\n" + "\n".join(blocks)

    def heatmap(self, arguments: Sequence[str]) -> str:
        """Leela Zero's: thousandths, a row a line."""
        probs = self._probabilities_of(self.board.to_play)
        rows = [" ".join(f"{round(1000 * float(prob)):4d}" for prob in row) for row in probs]
        return "\n" + "\n".join([*rows, f"pass: {0 if probs.any() else 1000}"])

    def _probabilities_of(self, colour: int) -> npt.NDArray[np.float32]:
        return self.policy().probabilities(as_seen(self._turn_of(colour)), self.symmetries)

    def _side(self, arguments: Sequence[str]) -> int:
        return _colour(_words(arguments, 0, 1)[0]) if arguments else self.board.to_play

    def gogui_moves(self, arguments: Sequence[str]) -> str:
        """For GoGui's board: the likeliest moves with their per cent, and what is expected after the first."""
        colour = self._side(arguments)
        analysis = Analysis(self.policy(), self._turn_of(colour), symmetries=self.symmetries)
        for _ in range(_GLANCE):
            analysis.deepen()
        size, best = self.board.size, analysis.moves[0]
        shown = [move for move in analysis.moves if move.point != PASS]
        labels = "".join(f" {point_to_gtp(move.point, size)} {100 * move.prob:.0f}" for move in shown)
        colours = [f"COLOR {_heat(move.prob)} {point_to_gtp(move.point, size)}" for move in shown]
        line = " ".join(f"{'bw'[(colour == WHITE) ^ i % 2]} {point_to_gtp(point, size)}" for i, point in enumerate(best.pv))
        return "\n".join([*colours, *([f"LABEL{labels}"] if shown else []), f"TEXT expected: {line}"])

    def gogui_heat_map(self, arguments: Sequence[str]) -> str:
        return _grid(self._probabilities_of(self._side(arguments)), lambda prob: _heat(prob) if prob >= 0.001 else '""')

    def gogui_per_cent(self, arguments: Sequence[str]) -> str:
        return _grid(self._probabilities_of(self._side(arguments)), lambda prob: f"{100 * prob:.0f}" if prob >= 0.005 else '""')

    def gogui_ownership(self, arguments: Sequence[str]) -> str:
        return _grid(self._scorer().ownership(self.board), lambda share: f"{share:.2f}")

    # ---- the end of the game

    def _scorer(self) -> Scorer:
        if self.scorer is None:
            raise GtpError("cannot score")
        return self.scorer()

    def final_score(self, arguments: Sequence[str]) -> str:
        komi = self.rules.komi(self.board, self.komi)
        lead = round(self._scorer().final_score(self.board, komi, self.rules.scoring.lower()), 6)
        return f"{'B' if lead > 0 else 'W'}+{abs(float(lead))}" if lead else "0"

    def final_status_list(self, arguments: Sequence[str]) -> str:
        """Of stones, and of empty points as GNU Go names them."""
        (status,) = _words(arguments, 1)
        if status not in ("alive", "dead", "seki", "black_territory", "white_territory", "dame"):
            raise GtpError("syntax error")
        return " ".join(point_to_gtp(point, self.board.size) for point in sorted(self._scorer().status(self.board)[status]))

    # ---- files

    def loadsgf(self, arguments: Sequence[str]) -> str:
        """The position before that move, or the last one. Komi and rules are the file's, where it has some that are known."""
        from gopolicy import sgf

        if not arguments:
            raise GtpError("syntax error")
        words, number = list(arguments), None
        if len(words) > 1 and words[-1].isascii() and words[-1].isdigit():
            number = max(_whole(words.pop()), 1)
        try:
            record = sgf.read_until(_path(words), number)
        except SgfError as error:
            say(explain(error))
            raise GtpError("cannot load file") from None
        end = len(record.moves) + 1
        board = record.position(end if number is None else min(number, end))
        if record.rules:
            try:
                named = rules_from(record.rules)
                if named.sgf != self.rules.sgf:  # else they count the same, and which repetitions are forbidden was told better before
                    self.rules = named
            except GoPolicyError as error:
                say(f"{record.name}: {error}; those that were set before stay")
        board.superko = self.rules.superko
        self._begin(board)
        if math.isfinite(record.komi):
            self.komi = record.komi
        return ""

    def printsgf(self, arguments: Sequence[str]) -> str:
        """The game as SGF: the answer, or into a file."""
        from gopolicy import sgf

        board = self.board
        stones, moves = tuple(board.first_stones()), tuple(board.moves)
        handicap = len(stones) if len(stones) > 1 and all(colour == BLACK for colour, _ in stones) else 0
        to_play = moves[0][0] if moves else board.to_play
        rules = "" if self.komi % 0.5 else self.rules.sgf  # beside Chinese rules, quarters of a point would be read as stones
        record = sgf.GameRecord(size=board.size, komi=self.komi, rules=rules, handicap=handicap, setup=stones, to_play=to_play, moves=moves)
        text = sgf.write_sgf(record)
        if not arguments:
            return text.rstrip("\n")
        try:
            _path(arguments).write_text(text, encoding="utf-8")
        except (OSError, ValueError) as error:
            say(explain(error))
            raise GtpError("cannot write file") from None
        return ""


# --------------------------------------------------------------------------------------------------- arguments of commands


def _words(arguments: Sequence[str], *counts: int) -> Sequence[str]:
    if len(arguments) not in counts:
        raise GtpError("syntax error")
    return arguments


def _colour(word: str) -> int:
    colour = COLOURS.get(word.lower())
    if colour is None:
        raise GtpError("syntax error")
    return colour


def _vertex(word: str, size: int) -> int:
    try:
        return point_from_gtp(word, size)
    except GoPolicyError:
        raise GtpError("syntax error") from None


def _pairs(words: Sequence[str], size: int) -> Iterator[tuple[int, int]]:
    """``b D4 w Q16 …`` as colours and points."""
    if len(words) % 2:
        raise GtpError("syntax error")
    for colour, vertex in zip(words[::2], words[1::2], strict=True):
        yield _colour(colour), _vertex(vertex, size)


def _number(word: str) -> float:
    value = float(word) if _NUMBER.fullmatch(word) else math.inf
    if not math.isfinite(value):
        raise GtpError("syntax error")
    return value


def _shortest(number: float) -> str:
    """All the digits that it needs, and no negative zero."""
    return str(number + 0.0).removesuffix(".0")


def _whole(word: str) -> int:
    digits = word[1:] if word[:1] in ("+", "-") else word
    if not (digits.isascii() and digits.isdigit()):
        raise GtpError("syntax error")
    return int(word[:40])  # what is longer is too large for everything, and Python refuses to read it


def _path(words: Sequence[str]) -> Path:
    """A file name, which may have blanks and stand in quotes."""
    text = " ".join(words)
    return Path(text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text)


# ------------------------------------------------------------------------------------------------------------- answers


def _pv(analysis: Analysis, points: Iterable[int]) -> str:
    return "pv " + " ".join(point_to_gtp(point, analysis.board.size) for point in points)


def _whole_number_line(analysis: Analysis, asked: _Asked) -> str:
    """Leela Zero's form: winrate, prior and lcb are whole numbers, of 10,000."""
    winrate = round(10_000 * analysis.seen_by(asked.colour)[0])
    return " ".join(
        f"info move {point_to_gtp(move.point, analysis.board.size)} visits {move.visits} winrate {winrate} "
        f"prior {round(10_000 * move.prob)} lcb {winrate} order {move.order} {_pv(analysis, move.pv)}"
        for move in analysis.moves
    )


def _grid(values: npt.NDArray[np.floating[Any]], cell: Callable[[float], str]) -> str:
    """A board for GoGui: (N, N) → a row a line."""
    return "\n" + "\n".join(" ".join(cell(float(value)) for value in row) for row in values)


def _heat(prob: float) -> str:
    """A colour from pale to red; by the root, so that a second choice can be seen beside a first of 90 %."""
    pale = round(230 * (1 - min(prob, 1.0) ** 0.5))
    return f"#ff{pale:02x}{pale:02x}"


# ------------------------------------------------------------------------------------------------------------- points


def _turned(board: Board, k: int) -> Board:
    """The same game under a symmetry."""
    from gopolicy import symmetry

    size = board.size
    turned = type(board)(size, superko=False)
    turned.set_up((colour, symmetry.point(point, k, size)) for colour, point in board.first_stones())
    for colour, point in board.moves:
        turned.play(symmetry.point(point, k, size), colour)
    turned.to_play, turned.superko = board.to_play, board.superko
    return turned


def _neighbours(points: Iterable[int], size: int) -> frozenset[int]:
    around = set()
    for point in points:
        row, column = divmod(point, size)
        around |= {r * size + c for r, c in ((row - 1, column), (row + 1, column)) if 0 <= r < size}
        around |= {row * size + c for c in (column - 1, column + 1) if 0 <= c < size}
    return frozenset(around)


def max_fixed_handicap(size: int) -> int:
    """How many fixed handicap stones a board has places for (specification, 4.1.1)."""
    if size < 7:
        return 0
    return 9 if size % 2 and size > 7 else 4


def fixed_handicap(size: int, count: int) -> list[int]:
    """The places of so many stones, up to ``max_fixed_handicap`` (specification, 4.1.1)."""
    low = 2 if size < 13 else 3
    near, middle, far = low, size // 2, size - 1 - low  # rows from the bottom, columns from the left
    corners = [(near, near), (far, far), (far, near), (near, far)]  # row, column
    sides = [(middle, near), (middle, far), (near, middle), (far, middle)]
    places = corners[: min(count, 4)] + sides[: count // 2 * 2 - 4 if count > 5 else 0]
    places += [(middle, middle)] if count > 4 and count % 2 else []
    return [(size - 1 - row) * size + column for row, column in places]


def free_handicap(size: int, count: int) -> list[int]:
    """So many places, up to all points but one: the fixed ones first, then always the point with most room around it."""
    points = fixed_handicap(size, min(count, max_fixed_handicap(size)))
    # Of each point the squared distance to the next stone, or to beyond the edge.
    room = [(min(row, column, size - 1 - row, size - 1 - column) + 1) ** 2 for row in range(size) for column in range(size)]

    def take(point: int) -> None:
        row, column = divmod(point, size)
        for other in range(size * size):
            room[other] = min(room[other], (other // size - row) ** 2 + (other % size - column) ** 2)

    for point in points:
        take(point)
    while len(points) < count:
        point = room.index(max(room))
        points.append(point)
        take(point)
    return points


# ------------------------------------------------------------------------------------------------------------ a process


def serve(engine: Engine, stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Answers the lines of ``stdin`` on ``stdout`` in their order, each at once, until ``quit`` or the end of input.

    The last line counts without a newline too. Raises OSError where nobody reads the answers any more.
    """
    lines = Lines(stdin)
    engine.quiet = lines.quiet
    for line in lines:
        for piece in engine.pieces(line.decode("utf-8", "replace")):
            stdout.write(piece.encode("utf-8", "replace"))  # file names need not be text
            stdout.flush()
        if engine.ended:
            return


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``gopolicy gtp`` and of ``gtp_engine.py``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "In a GUI, add an engine with\n"
        "  path       the full path of the Python that has gopolicy, as .gopolicy-venv/bin/python (Windows:\n"
        "             .gopolicy-venv\\Scripts\\python.exe)\n"
        "  arguments  the full path of gtp_engine.py (or: -m gopolicy gtp), then any of the options above,\n"
        "             as: /home/me/gopolicy/gtp_engine.py --symmetries 8\n"
        "  commands   none\n"
        "Where the GUI has one field, write both into it, with a blank between. The working folder does not matter.\n"
        "What goes wrong stands in the GUI's engine log, on lines that begin with `gopolicy:`, or have `error:` for an option.\n"
        "docs/sabaki.md shows every step in Sabaki, docs/ogs.md how to let it play on OGS."
    )
    add_policy_arguments(parser)
    parser.add_argument(
        "--temperature",
        type=checked(float, lambda t: 0 <= t < math.inf, "0 or more"),
        default=0.0,
        metavar="T",
        help="0 plays the likeliest move, so that every game can be repeated; 1 draws moves as often as experts play them; "
        "0.2 to 0.5 varies games at little cost (default: 0)",
    )
    parser.add_argument(
        "--top-p",
        type=checked(float, lambda p: 0 < p <= 1, "above 0, up to 1"),
        default=1.0,
        metavar="P",
        help="with a temperature: draws only from the likeliest moves that together have the share P, as 0.9 (default: 1, all)",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="with a temperature: the same number draws the same moves (default: new ones each time)"
    )
    parser.add_argument(
        "--resign", action="store_true", help="resigns when the game is lost beyond doubt (default: plays every game to its end)"
    )


def run(args: argparse.Namespace) -> int:
    """``gopolicy gtp``: ends the process, with status 0 after ``quit`` or the end of input, 1 without a network."""
    policy = Loading(lambda: load_policy(args))
    engine = Engine(
        policy,
        symmetries=args.symmetries,
        temperature=args.temperature,
        top_p=args.top_p,
        seed=args.seed,
        resigns=args.resign,
        scorer=load_scorer(args, policy),
    )
    run_process(lambda stdin, stdout: serve(engine, stdin, stdout), policy)
