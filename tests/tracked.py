"""The planes as training makes them: one workspace follows game after game and encodes some of the positions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from gopolicy import symmetry
from gopolicy.board import Board, cell_of
from gopolicy.coords import PASS
from gopolicy.features import Workspace, expand, follow, forget, write_codes


class TrackedGame:
    """A game followed by ``workspace``: what it remembers of a position is used for the next ones."""

    def __init__(self, size: int, workspace: Workspace) -> None:
        self.size, self.space = size, workspace
        self.board = Board(size, superko=False)
        forget(workspace.tracker, self.board.state)

    def setup(self, black: Iterable[int], white: Iterable[int]) -> None:
        self.board.setup(black, white)
        forget(self.space.tracker, self.board.state)

    def play(self, point: int, colour: int) -> None:
        cell = 0 if point == PASS else cell_of(self.board.state, point)
        follow(self.board.state, self.board.journal, self.space.tracker, cell, colour)

    def planes(self, colour: int, count: int = 48, k: int = 0) -> npt.NDArray[np.uint8]:
        """The first ``count`` planes for ``colour`` under symmetry ``k``, (count, N, N)."""
        out = np.empty((count, self.size**2), dtype=np.uint8)
        write_codes(self.board.state, self.board.journal, self.space.reader, self.space.tracker, colour, count)
        expand(self.board.state, self.space.tracker, symmetry.tables(self.size)[k], out.reshape(-1))
        return out.reshape(count, self.size, self.size)
