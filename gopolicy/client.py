"""The other side of GTP: another engine as a process of its own, asked a command at a time.

The protocol is GTP version 2 (G. Farnebäck, draft 2): a line in, and an answer that begins with ``=`` or ``?`` and ends with an empty line.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
from collections.abc import Sequence

from gopolicy.errors import GoPolicyError


class EngineError(GoPolicyError):
    """An engine went away, or refused a command: the message says which."""


def words_of(command: str) -> list[str]:
    """A command line's words, which ``errors.quoted`` writes. On Windows backslashes belong to paths, and only ``"`` quotes. Raises
    ValueError for a quote that is not closed."""
    if os.name == "posix":
        return shlex.split(command)
    if command.count('"') % 2:
        raise ValueError("No closing quotation")
    return [word.replace('"', "") for word in re.findall(r'(?:[^\s"]|"[^"]*")+', command)]


class Engine:
    """A GTP engine, started by its command line; what it writes on standard error is thrown away."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace"
        )

    def ask(self, command: str) -> str:
        """The answer without its ``=``, its lines joined by blanks. Waits as long as it takes. Raises EngineError."""
        sink, source = self.process.stdin, self.process.stdout
        assert sink is not None
        assert source is not None
        lines: list[str] = []
        try:
            sink.write(command + "\n")
            sink.flush()
            while (line := source.readline()) and (line.strip() or not lines):  # empty lines before an answer are no answer
                lines += [line.strip()] if line.strip() else []
        except OSError:
            pass  # it has gone, which is said below
        if not lines:
            try:
                raise EngineError(f"{command}: the engine stopped with exit status {self.process.wait(10)}")
            except subprocess.TimeoutExpired:
                raise EngineError(f"{command}: the engine says nothing any more") from None
        answer = " ".join(lines)
        if not answer.startswith("="):
            raise EngineError(f"{command}: the engine answered {answer!r}")
        return answer[1:].strip()

    def close(self) -> None:
        """Ends the process at once; what it has started itself is not waited for."""
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):  # a command that it has not read
                stream.close()
        self.process.wait()
