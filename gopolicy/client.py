"""The other side of GTP: another engine as a process of its own, asked a command at a time.

The protocol is GTP version 2 (G. Farnebäck, draft 2): a line in, and an answer that begins with ``=`` or ``?`` and ends with an empty line.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from gopolicy.errors import GoPolicyError


class EngineError(GoPolicyError):
    """An engine went away, or refused a command: the message says which."""


class Engine:
    """A GTP engine, started by its command line; what it writes on standard error is thrown away."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def ask(self, command: str) -> str:
        """The answer without its ``=``, its lines joined by blanks. Waits as long as it takes. Raises EngineError."""
        sink, source = self.process.stdin, self.process.stdout
        assert sink is not None
        assert source is not None
        lines = []
        try:
            sink.write(command + "\n")
            sink.flush()
            while line := source.readline().strip():
                lines.append(line)
        except OSError:
            pass  # it has gone, which is said below
        if not lines:
            raise EngineError(f"{command}: the engine stopped with exit status {self.process.wait(10)}")
        answer = " ".join(lines)
        if not answer.startswith("="):
            raise EngineError(f"{command}: the engine answered {answer!r}")
        return answer[1:].strip()

    def close(self) -> None:
        """Ends the process at once."""
        self.process.kill()
        self.process.communicate()
