"""An engine as a process: its options, the network that a thread loads, and the standard streams.

``gtp`` and ``analysis`` are protocols and know of no process; both are run with what stands here. Nothing heavy is imported before it is
used: an engine answers the first questions while the thread still loads (``Loading``).
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import functools
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Generic, NoReturn, TypeVar

from gopolicy.errors import MAX_THREADS, GoPolicyError, explain

if TYPE_CHECKING:
    from gopolicy.policy import Policy
    from gopolicy.scoring import PlayoutScorer

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # where answers go to a file: the disk has no place left, or may not take more

T = TypeVar("T")
Number = TypeVar("Number", int, float)


def say(text: str) -> None:
    """Writes to the log, standard error. No line may look like an answer: some clients read both streams as one."""
    for line in text.splitlines():
        with contextlib.suppress(OSError):  # nobody reads the log any more
            print(f"gopolicy: {line}", file=sys.stderr, flush=True)


class Loading(Generic[T]):
    """Calls ``load`` in a thread, at once; called itself, waits for what that returns, or raises GoPolicyError with what went wrong."""

    def __init__(self, load: Callable[[], T]) -> None:
        self._load = load
        self._loaded: list[T] = []
        self._error = ""
        self._thread = threading.Thread(target=self._work, name="gopolicy-loading", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._loaded.append(self._load())
        except Exception as error:
            self._error = explain(error)
            say(self._error)

    @property
    def failed(self) -> bool:
        return bool(self._error)

    def __call__(self) -> T:
        self._thread.join()
        if not self._loaded:
            raise GoPolicyError(self._error)
        return self._loaded[0]


class Lines:
    """The lines of a stream, in their order, each when it is asked for. Whoever is at work can ask whether the next has come.

    The last line counts without a newline too.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = iter(stream)
        self._next: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()  # of a line read ahead; None is the end
        self._reader: threading.Thread | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._reader is None:
            return next(self._lines)
        line = self._next.get()
        self._reader = None
        if line is None:
            raise StopIteration
        return line

    def quiet(self, seconds: float) -> bool:
        """Waits for the next line, or the end, at most so long; returns whether neither has come."""
        if self._reader is None:
            self._reader = threading.Thread(target=self._read, name="gopolicy-reading", daemon=True)
            self._reader.start()
        self._reader.join(min(seconds, threading.TIMEOUT_MAX))
        return self._reader.is_alive()

    def _read(self) -> None:
        line = None
        try:
            line = next(self._lines, None)
        finally:  # a stream that breaks has ended
            self._next.put(line)


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


def load_policy(args: argparse.Namespace) -> Policy:
    """The policy that the options ask for."""
    import gopolicy.board  # noqa: F401 - before torch: commands that set up the board wait for no more than this
    from gopolicy.policy import load

    return load(args.weights, device=args.device, threads=args.threads, precision=args.precision)


def load_scorer(args: argparse.Namespace, policy: Callable[[], Policy]) -> Callable[[], PlayoutScorer]:
    """What judges positions, loaded when it is first asked: the package's network for ``playouts``, or ``policy`` where there is none."""

    @functools.cache
    def scorer() -> PlayoutScorer:
        from gopolicy import weights
        from gopolicy.policy import load, quickest
        from gopolicy.scoring import PlayoutScorer

        if "playouts" in weights.packaged():  # hundreds of moves that are drawn: there speed is worth more than the last hundredth
            try:
                return PlayoutScorer(load("playouts", device=args.device, threads=args.threads, precision=quickest(args.device)))
            except GoPolicyError:
                policy()  # on the same device: the log and the exit status tell what its thread meets, which may be at it still
                raise
        return PlayoutScorer(policy())

    return scorer


def run(serve: Callable[[BinaryIO, BinaryIO], None], policy: Loading[Policy]) -> NoReturn:
    """``serve`` on standard input and output. Ends the process with its exit status: 0 after the end of input, 1 where the policy could not
    be loaded (then it has answered, but could not do what it is there for), or the disk takes no more answers."""
    answers = claim_stdout()
    status = 0
    try:
        if sys.stdin is not None:
            serve(sys.stdin.buffer, answers)
    except KeyboardInterrupt:
        status = 1
    except OSError as error:
        if error.errno in FULL:
            say(f"an answer cannot be written: {error.strerror}")
            status = 1
        # Else nobody reads the answers any more: the client has gone.
    # All has been written. Python would take seconds to put torch away, and may crash around a thread that still imports it.
    sys.stderr.flush()
    os._exit(status or int(policy.failed))


def add_policy_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every engine: which network, and how it is asked."""
    parser.add_argument(
        "--weights",
        default="default",
        metavar="FILE",
        help="the network: a .safetensors file, by its full path in a GUI, or `default`, `fast`, `playouts` (default: default)",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="where the network runs: cpu, cuda, cuda:1 and so on; auto takes a GPU where there is one (default: auto)",
    )
    parser.add_argument(
        "--precision",
        default="auto",
        help="how the network computes: bf16, float32, or int8 on CPUs (up to three times as fast, one first choice in thirty to sixty "
        "another); auto takes bf16 where it is fast, else float32 (default: auto)",
    )
    parser.add_argument(
        "--threads",
        type=checked(int, lambda n: 1 <= n <= MAX_THREADS, f"1 to {MAX_THREADS}"),
        metavar="N",
        help="CPU threads of the network (default: one a core)",
    )
    parser.add_argument(
        "--symmetries",
        type=int,
        choices=(1, 8),
        default=1,
        help="8 averages all turned and mirrored views of the board: a little stronger, and slower (default: 1)",
    )


def checked(kind: Callable[[str], Number], fits: Callable[[Number], bool], wanted: str) -> Callable[[str], Number]:
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
