"""The Go Text Protocol: a line → a reply, and the engine's state.

    gopolicy gtp                            # the weights that come with the package, best move first
    gopolicy gtp --weights FILE --symmetries 8
    python /path/to/gtp_engine.py           # the same, for the path field of a GUI

Source: G. Farnebäck, Specification of the Go Text Protocol, version 2, draft 2 (2002).

``Engine.answer`` is the protocol and knows of no process; ``serve`` joins it to two streams; ``run`` to standard input and output.
Nothing heavy is imported before it is used: an engine answers ``name`` while a thread still loads the network (``Loading``).
"""

from __future__ import annotations

import argparse
import math
import os
import random
import re
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar

from gopolicy import __version__
from gopolicy.coords import BLACK, EMPTY, MAX_SIZE, MIN_SIZE, PASS, WHITE, point_from_gtp, point_to_gtp
from gopolicy.errors import GoPolicyError, IllegalMoveError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from gopolicy.board import Board

COLOURS = {"b": BLACK, "black": BLACK, "w": WHITE, "white": WHITE}
MIRRORS = (1, 8)  # numbers of symmetries that --symmetries takes
# A tab is a blank; every other control character is dropped (specification, 2.2 and 3.1).
_CONTROL = dict.fromkeys((*range(32), 127)) | {ord("\t"): " "}
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_ENDLESS = 200  # moves: small boards, with little room and many captures, may take more than two moves for each point

Number = TypeVar("Number", int, float)


class Mover(Protocol):
    """What the engine wants of a policy: ``policy.Policy`` has it."""

    def probabilities(self, board: Board, symmetries: int = 1) -> npt.NDArray[np.float32]: ...


class GtpError(GoPolicyError):
    """A command that is refused; the message is the answer."""


class Engine:
    """The state of a GTP engine. ``policy`` is called when a move is wanted: it returns the policy, or raises GoPolicyError.

    ``temperature`` 0 plays the best move; above, a move is drawn from p^(1/temperature), out of the likeliest moves that together have
    ``top_p`` of that. ``seed`` fixes what is drawn: the same commands get the same answers.
    """

    def __init__(
        self,
        policy: Callable[[], Mover],
        *,
        symmetries: int = 1,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
    ) -> None:
        self.policy = policy
        self.symmetries, self.temperature, self.top_p = symmetries, temperature, top_p
        self.komi = 7.5  # until the client tells
        self._random = random.Random(seed)
        self._board: Board | None = None
        self.commands: dict[str, Callable[[Sequence[str]], str]] = {
            "protocol_version": lambda _: "2",
            "name": lambda _: "gopolicy",
            "version": lambda _: __version__,
            "known_command": self.known_command,
            "list_commands": lambda _: "\n".join(self.commands),
            "quit": lambda _: "",
            "boardsize": self.boardsize,
            "clear_board": self.clear_board,
            "komi": self.set_komi,
            "play": self.play,
            "genmove": self.genmove,
            "reg_genmove": self.reg_genmove,
            "undo": self.undo,
            "showboard": self.showboard,
            "time_settings": self.time_settings,
            "time_left": self.time_left,
        }

    @property
    def board(self) -> Board:
        if self._board is None:
            self._board = _new_board(19)
        return self._board

    def answer(self, line: str) -> tuple[str, bool]:
        """The whole answer to a line, empty where none is due, and whether the session ends with it.

        Nothing is raised: what goes wrong is an answer that begins with ``?``, and changes nothing.
        """
        # str.split() alone would also split at blanks that are no ASCII.
        words = [word for word in line.lstrip("\ufeff").translate(_CONTROL).partition("#")[0].split(" ") if word]
        if not words:
            return "", False
        number = words.pop(0) if words[0].isascii() and words[0].isdigit() else ""
        name, arguments = (words[0], words[1:]) if words else ("", [])
        try:
            if name not in self.commands:
                raise GtpError("unknown command")
            mark, text = "=", self.commands[name](arguments)
        except Exception as error:
            mark, text = "?", explain(error)
            if not isinstance(error, GoPolicyError | ImportError):  # our own mistake: the client plays on, the log tells
                say(f"{name} failed\n{traceback.format_exc()}")
        between = " " if text and not text.startswith("\n") else ""
        return f"{mark}{number}{between}{text}\n\n", name == "quit"

    def known_command(self, arguments: Sequence[str]) -> str:
        return "true" if arguments and arguments[0] in self.commands else "false"

    def boardsize(self, arguments: Sequence[str]) -> str:
        # Some clients send the width and the height.
        sizes = {_whole(word) for word in _words(arguments, 1, 2)}
        size = sizes.pop()
        if sizes or not MIN_SIZE <= size <= MAX_SIZE:
            raise GtpError("unacceptable size")
        self._board = _new_board(size)
        return ""

    def clear_board(self, arguments: Sequence[str]) -> str:
        self._board = _new_board(self.board.size)
        return ""

    def set_komi(self, arguments: Sequence[str]) -> str:
        (word,) = _words(arguments, 1)
        self.komi = _number(word)
        return ""

    def play(self, arguments: Sequence[str]) -> str:
        colour, vertex = _words(arguments, 2)
        mover = _colour(colour)
        try:
            point = point_from_gtp(vertex, self.board.size)
        except GoPolicyError:
            raise GtpError("syntax error") from None
        try:
            self.board.play(point, mover)
        except IllegalMoveError:
            raise GtpError("illegal move") from None
        return ""

    def genmove(self, arguments: Sequence[str]) -> str:
        (colour,) = _words(arguments, 1)
        mover = _colour(colour)
        point = self._choose(mover, self.temperature)
        self.board.play(point, mover)
        return point_to_gtp(point, self.board.size)

    def reg_genmove(self, arguments: Sequence[str]) -> str:
        """The best move, not played, and nothing left to chance: as regression tests want it."""
        (colour,) = _words(arguments, 1)
        return point_to_gtp(self._choose(_colour(colour), 0.0), self.board.size)

    def undo(self, arguments: Sequence[str]) -> str:
        if not self.board.moves:
            raise GtpError("cannot undo")
        self.board.undo()
        return ""

    def showboard(self, arguments: Sequence[str]) -> str:
        from gopolicy import draw

        return f"\n{draw.board_text(self.board, colour=False, unicode=False)}\nkomi {self.komi:g}"

    def time_settings(self, arguments: Sequence[str]) -> str:
        """Taken note of by doing nothing: without search every move comes at once."""
        for word in _words(arguments, 3):
            _number(word)
        return ""

    def time_left(self, arguments: Sequence[str]) -> str:
        colour, *numbers = _words(arguments, 3)
        _colour(colour)
        for word in numbers:
            _number(word)
        return ""

    def _choose(self, colour: int, temperature: float) -> int:
        """The move of that colour, or ``PASS`` where nothing is left but to fill own true eyes.

        A game that goes on and on, as superko lets it, is given up after two moves for each point.
        """
        import numpy as np

        policy = self.policy()
        board = self.board
        sensible = board.sensible_mask(colour).ravel()
        if not sensible.any() or board.move_number >= max(2 * sensible.size, _ENDLESS):
            return PASS
        seen = as_seen(board)
        seen.to_play = colour
        probs = np.where(sensible, policy.probabilities(seen, self.symmetries).ravel().astype(np.float64), -1.0)
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


def _new_board(size: int) -> Board:
    from gopolicy.board import Board  # where a thread is importing it, this waits

    return Board(size)


def set_up_count(moves: Sequence[tuple[int, int]]) -> int:
    """How many of the first moves are stones set up through ``play``, as clients do it: stones of one colour, then of the other.

    One stone of a colour is a move, unless more than one of the other colour follow.
    """
    runs = [0, 0]
    i = 0
    for run in range(2):
        while i < len(moves) and moves[i][1] != PASS and moves[i][0] == moves[i - runs[run]][0]:
            runs[run] += 1
            i += 1
    if runs[1] > 1:
        return sum(runs)
    return runs[0] if runs[0] > 1 else 0


def as_seen(board: Board) -> Board:
    """A copy of the board for the network, on which stones set up through ``play`` are set up.

    Set-up stones count as "older" in the planes, and that is how networks have met handicap stones. Superko is left to the board itself.
    """
    count = set_up_count(board.moves)
    if count == 0:
        return board.copy()
    first, seen = type(board)(board.size, superko=False), type(board)(board.size, superko=False)
    for colour, point in board.moves[:count]:
        first.play(point, colour)
    seen.set_up((int(stone), point) for point, stone in enumerate(first.stones().ravel()) if stone != EMPTY)
    for colour, point in board.moves[count:]:
        seen.play(point, colour)
    return seen


def _words(arguments: Sequence[str], *counts: int) -> Sequence[str]:
    if len(arguments) not in counts:
        raise GtpError("syntax error")
    return arguments


def _colour(word: str) -> int:
    colour = COLOURS.get(word.lower())
    if colour is None:
        raise GtpError("syntax error")
    return colour


def _number(word: str) -> float:
    value = float(word) if _NUMBER.fullmatch(word) else math.inf
    if not math.isfinite(value):
        raise GtpError("syntax error")
    return value


def _whole(word: str) -> int:
    digits = word[1:] if word[:1] in ("+", "-") else word
    if not (digits.isascii() and digits.isdigit()):
        raise GtpError("syntax error")
    return int(word[:40])  # what is longer is too large for everything, and Python refuses to read it


def explain(error: Exception) -> str:
    """The error as one line, for an answer or the log."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, GoPolicyError):
        return text
    if isinstance(error, ImportError):
        return f"{text}: what gopolicy needs is not installed for this Python ({sys.executable})"
    return f"{type(error).__name__}: {text}"


def say(text: str) -> None:
    """Writes to the log, standard error. No line may look like an answer: some clients read both streams as one."""
    for line in text.splitlines():
        print(f"gopolicy: {line}", file=sys.stderr, flush=True)


class Loading:
    """Calls ``load`` in a thread, at once; called itself, waits for what that returns, or raises GtpError with what went wrong."""

    def __init__(self, load: Callable[[], Mover]) -> None:
        self._load = load
        self._loaded: Mover | None = None
        self._error = ""
        self._thread = threading.Thread(target=self._work, name="gopolicy-loading", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._loaded = self._load()
        except Exception as error:
            self._error = explain(error)
            say(self._error)

    def __call__(self) -> Mover:
        self._thread.join()
        if self._loaded is None:
            raise GtpError(self._error)
        return self._loaded


def serve(engine: Engine, stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Answers the lines of ``stdin`` on ``stdout`` in their order, each at once, until ``quit`` or the end of input.

    The last line counts without a newline too. Raises OSError where nobody reads the answers any more.
    """
    for line in stdin:
        reply, end = engine.answer(line.decode("utf-8", "replace"))
        if reply:
            stdout.write(reply.encode("utf-8", "replace"))  # file names need not be text
            stdout.flush()
        if end:
            return


def claim_stdout() -> BinaryIO:
    """Standard output for the answers alone: what anything else prints goes to standard error from now on."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    try:
        answers = os.fdopen(os.dup(1), "wb")
    except OSError:
        raise GoPolicyError("standard output is closed, so there is nowhere to answer") from None
    try:
        os.dup2(2, 1)
    except OSError:  # started without a standard error
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout = sys.stderr
    return answers


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
        "What goes wrong stands in the GUI's engine log, on lines that begin with `gopolicy:`."
    )
    parser.add_argument(
        "--weights",
        default="default",
        metavar="FILE",
        help="the network: a .safetensors file, by its full path in a GUI, or `default` or `fast` of the package (default: default)",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="where the network runs: cpu, cuda, cuda:1 and so on; auto takes a GPU where there is one (default: auto)",
    )
    parser.add_argument(
        "--threads", type=_checked(int, lambda n: n >= 1, "1 or more"), metavar="N", help="CPU threads of the network (default: one a core)"
    )
    parser.add_argument(
        "--symmetries",
        type=int,
        choices=MIRRORS,
        default=1,
        help="8 averages all turned and mirrored views of the board: a little stronger, and slower (default: 1)",
    )
    parser.add_argument(
        "--temperature",
        type=_checked(float, lambda t: 0 <= t < math.inf, "0 or more"),
        default=0.0,
        metavar="T",
        help="0 plays the likeliest move, so that every game can be repeated; 1 draws moves as often as experts play them; "
        "0.2 to 0.5 varies games at little cost (default: 0)",
    )
    parser.add_argument(
        "--top-p",
        type=_checked(float, lambda p: 0 < p <= 1, "above 0, up to 1"),
        default=1.0,
        metavar="P",
        help="with a temperature: draws only from the likeliest moves that together have the share P, as 0.9 (default: 1, all)",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="with a temperature: the same number draws the same moves (default: new ones each time)"
    )


def _checked(kind: Callable[[str], Number], fits: Callable[[Number], bool], wanted: str) -> Callable[[str], Number]:
    """For argparse: a number of that kind that fits."""

    def convert(text: str) -> Number:
        try:
            value = kind(text)
            if fits(value):
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"{text!r}: expected {'a whole number' if kind is int else 'a number'}, {wanted}")

    return convert


def run(args: argparse.Namespace) -> int:
    """The engine on standard input and output. Ends the process with its exit status: 0 after ``quit`` or the end of input."""
    answers = claim_stdout()

    def load() -> Mover:
        import gopolicy.board  # noqa: F401 - before torch: commands that set up the board wait for no more than this
        from gopolicy.policy import load

        return load(args.weights, device=args.device, threads=args.threads)

    engine = Engine(Loading(load), symmetries=args.symmetries, temperature=args.temperature, top_p=args.top_p, seed=args.seed)
    status = 0
    try:
        if sys.stdin is not None:
            serve(engine, sys.stdin.buffer, answers)
    except KeyboardInterrupt:
        status = 1
    except OSError:  # nobody reads the answers any more: the client has gone
        pass
    # All has been written. Python would take seconds to put torch away, and may crash around a thread that still imports it.
    sys.stderr.flush()
    os._exit(status)
