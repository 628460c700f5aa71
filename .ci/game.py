"""game.py "ENGINE A" "ENGINE B": the two play a game by GTP, with sgfmill's board as referee; every process has to end well."""

import shlex
import subprocess
import sys
from typing import IO

from sgfmill.boards import Board
from sgfmill.common import move_from_vertex

LONGEST = 120  # plies


class Engine:
    def __init__(self, command: str) -> None:
        self.process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command: str) -> str:
        def stream(pipe: IO[str] | None) -> IO[str]:
            assert pipe is not None
            return pipe

        stream(self.process.stdin).write(command + "\n")
        stream(self.process.stdin).flush()
        lines = []
        while line := stream(self.process.stdout).readline().rstrip("\n"):
            lines.append(line)
        assert lines, f"no answer to {command!r}"
        assert lines[0].startswith("="), f"{command!r}: {lines[0]!r}"
        return lines[0][1:].strip()


engines = dict(zip("bw", map(Engine, sys.argv[1:]), strict=True))
for engine in engines.values():
    assert engine.ask("protocol_version") == "2"
    engine.ask("boardsize 19")
    engine.ask("clear_board")
    engine.ask("komi 7.5")
board, ko, passes, moves = Board(19), None, 0, 0
while passes < 2 and moves < LONGEST:
    colour = "bw"[moves % 2]
    vertex = engines[colour].ask(f"genmove {colour}")
    engines["wb"[moves % 2]].ask(f"play {colour} {vertex}")
    point = move_from_vertex(vertex, 19)
    passes = passes + 1 if point is None else 0
    if point is not None:
        assert point != ko, f"move {moves + 1}, {vertex}, takes a ko back"
        ko = board.play(*point, colour)  # refuses a point that is taken
        assert board.get(*point) == colour, f"move {moves + 1}, {vertex}, is suicide"
    else:
        ko = None
    moves += 1
for engine in engines.values():
    engine.ask("quit")
    assert engine.process.wait(timeout=10) == 0
print(f"{moves} moves")
assert moves > 20
