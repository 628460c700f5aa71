"""The eight symmetries of the board, as index tables.

Symmetry ``k`` is made of three bits: 1 mirrors left and right, 2 mirrors top and bottom, 4 swaps rows and columns first.
``apply(x, k)`` gives ``y`` with ``y.flat[i] = x.flat[TABLE[k, i]]`` on the last two axes; ``point(p, k, size)`` is where
``p`` goes, so that ``apply(one_hot(p), k) == one_hot(point(p, k, size))``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gopolicy.coords import PASS

COUNT = 8


@cache
def tables(size: int) -> npt.NDArray[np.uint16]:
    """The index tables of a board size: (8, N*N) uint16, shared by all callers and not to be written."""
    size = int(size)
    points = np.arange(size * size, dtype=np.uint16).reshape(size, size)
    result = np.empty((COUNT, size * size), dtype=np.uint16)
    for k in range(COUNT):
        grid = points.T if k & 4 else points
        grid = grid[::-1] if k & 2 else grid
        grid = grid[:, ::-1] if k & 1 else grid
        result[k] = grid.reshape(-1)
    return result


def _inverses() -> npt.NDArray[np.int8]:
    table = tables(3)
    identity = np.arange(9)
    pairs = [(k, j) for k in range(COUNT) for j in range(COUNT) if np.array_equal(table[k][table[j]], identity)]
    return np.array([j for _, j in pairs], dtype=np.int8)


INVERSE = _inverses()  # (8,): apply(apply(x, k), INVERSE[k]) is x


def apply(planes: npt.NDArray[Any], k: int) -> npt.NDArray[Any]:
    """The symmetry ``k`` of an array (..., N, N), as a new array."""
    size = planes.shape[-1]
    return planes.reshape(*planes.shape[:-2], size * size)[..., tables(size)[k]].reshape(planes.shape)


def point(p: int, k: int, size: int) -> int:
    """Where the point ``p`` goes under symmetry ``k``; ``PASS`` stays."""
    if p == PASS:
        return PASS
    return int(tables(size)[INVERSE[k]][p])
