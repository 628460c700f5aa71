"""The other side of GTP: another engine as a process of its own, asked a command at a time.

The protocol is GTP version 2 (G. Farnebäck, draft 2): a line in, and an answer that begins with ``=`` or ``?`` and ends with an empty line.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from gopolicy.coords import BLACK, point_to_gtp
from gopolicy.errors import GoPolicyError

Fault = Literal["crash", "time-out", "garbage", "illegal", "refused"]  # what an engine can do wrong (illegal: a move)

QUIT_SECONDS = 3.0  # for an engine to end by itself
LONGEST_LINE = 1 << 20  # bytes of an answer's line
MOST_LINES = 10_000  # of an answer


class EngineError(GoPolicyError):
    """An engine did not do its part: ``kind`` is one of ``Fault``, the message a sentence that says what it did."""

    def __init__(self, kind: Fault, reason: str) -> None:
        super().__init__(reason)
        self.kind: Fault = kind


def words_of(command: str) -> list[str]:
    """A command line's words, which ``errors.quoted`` writes. On Windows backslashes belong to paths, and only ``"`` quotes. Raises
    ValueError for a quote that is not closed."""
    if os.name == "posix":
        return shlex.split(command)
    if command.count('"') % 2:
        raise ValueError("No closing quotation")
    return [word.replace('"', "") for word in re.findall(r'(?:[^\s"]|"[^"]*")+', command)]


def play(colour: int, point: int, size: int) -> str:
    """The command for a move on a board of so many lines."""
    return f"play {'b' if colour == BLACK else 'w'} {point_to_gtp(point, size)}"


def setting_up(size: int, komi: float, stones: Iterable[tuple[int, int]] = ()) -> list[str]:
    """The commands for a board of so many lines with these stones, (colour, point) each, a pass among them too."""
    return [f"boardsize {size}", "clear_board", f"komi {komi:g}", *(play(colour, point, size) for colour, point in stones)]


class Engine:
    """A GTP engine, started by the words of its command line, and the conversation with it. What it writes on standard error goes to the
    end of the file ``log``, or nowhere. Raises EngineError where it cannot be started, and OSError where the log cannot be opened.

    ``ask`` and ``close`` are for one thread, ``kill`` for any. An engine that is late is killed with what it started, which ends every wait
    for it, but not with what has left for a session of its own.
    """

    def __init__(self, command: Sequence[str], log: Path | None = None) -> None:
        self._lock = threading.Lock()
        with contextlib.nullcontext(subprocess.DEVNULL) if log is None else log.open("ab") as errors:
            try:
                # A session of its own: Ctrl-C does not reach it, and its children can be killed with it.
                self.process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
                )
            except OSError as error:
                raise EngineError("crash", f"the engine cannot be started: {error.strerror}") from None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._stdin, self._stdout = self.process.stdin, self.process.stdout

    def ask(self, command: str, seconds: float | None = None) -> str:
        """The text of the answer, without its mark. Raises EngineError for everything that is no answer with ``=`` in that time; without
        one it waits as long as it takes."""
        answer = None
        with self._at_most(seconds):
            with contextlib.suppress(OSError):  # it has gone; what it wrote before can still be read
                self._stdin.write(f"{command}\n".encode())
                self._stdin.flush()
            with contextlib.suppress(OSError):
                answer = self._answer(command)
        if self.late:
            raise EngineError("time-out", f"the engine gave no answer to {command!r} within {seconds:g} s")
        if answer is None:
            self.kill()
            raise EngineError("crash", f"the engine ended with status {self.process.returncode} instead of answering {command!r}")
        if answer.startswith("?"):
            raise EngineError("refused", f"the engine answered {answer[:100]!r} to {command!r}")
        return answer[1:].strip()

    def _answer(self, command: str) -> str | None:
        """The lines up to an empty one; None if the output ends before."""
        lines: list[str] = []
        while line := self._stdout.readline(LONGEST_LINE):
            text = line.decode("utf-8", "replace").strip()
            if not text and lines:
                return "\n".join(lines)
            if text:
                lines.append(text)
            if text and (lines[0][0] not in "=?" or len(lines) > MOST_LINES or len(line) == LONGEST_LINE):
                raise EngineError(
                    "garbage", f"{text[:60]!r} is no answer to {command!r}: one begins with = or ? and ends with an empty line"
                )
        return None

    def final_score(self, seconds: float | None = None) -> str:
        """Its count of the position: ``B+3.5``, ``W+12`` or ``0``. Raises EngineError as ``ask``, and where it gives none."""
        answer = self.ask("final_score", seconds)
        if not re.fullmatch(r"[BW]\+[0-9]+(\.[0-9]+)?|0", answer):
            raise EngineError("garbage", f"{answer[:60]!r} is no final_score: one is as B+3.5, W+12 or 0")
        return answer

    @contextlib.contextmanager
    def _at_most(self, seconds: float | None) -> Iterator[None]:
        self.late = False
        if seconds is None:
            yield
            return

        def too_late() -> None:
            self.late = True
            self.kill()

        timer = threading.Timer(seconds, too_late)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # it may be killing just now

    def kill(self) -> None:
        """Ends the process with all that it started, and takes note of its status. A second time does nothing."""
        with self._lock:
            if self.process.returncode is not None:
                return
            if os.name == "posix":
                # Its number is its own until wait() below, also if it has ended.
                with contextlib.suppress(OSError):
                    os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
            self.process.wait()

    def close(self) -> None:
        """Lets it quit, and kills it if it does not, or if Ctrl-C comes meanwhile."""
        try:
            with self._at_most(QUIT_SECONDS):
                with contextlib.suppress(OSError):
                    self._stdin.write(b"quit\n")
                with contextlib.suppress(OSError):
                    self._stdin.close()
                while self._stdout.read(1 << 16):
                    pass
        finally:
            self.kill()
            self._stdout.close()


GNUGO_LINES = 19  # of its boards, at most


def find_gnugo(name: str = "gnugo") -> str | None:
    """The path of GNU Go, if it is installed; Debian puts it where many paths do not lead."""
    return shutil.which(name) or shutil.which(name, path="/usr/games")


def gnugo(program: str, *options: str, level: int = 1, seed: int = 1) -> list[str]:
    """The command line of GNU Go that counts by area."""
    return [program, "--mode", "gtp", "--level", str(level), "--seed", str(seed), "--chinese-rules", *options]
