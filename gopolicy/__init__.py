"""gopolicy: predicts the moves of expert Go players.

>>> import gopolicy
>>> policy = gopolicy.load()
>>> board = gopolicy.Board(19)
>>> board.play("D4")
>>> len(policy.top_k(board, k=5))
5

Importing the package loads nothing heavy: each name brings its module when it is first used.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from gopolicy.coords import BLACK, EMPTY, PASS, WHITE
from gopolicy.errors import GamesError, GoPolicyError, IllegalMoveError, SgfError, WeightsError, cores, quota

if TYPE_CHECKING:
    from gopolicy.board import Board
    from gopolicy.features import PLANE_SETS, encode
    from gopolicy.games import PackedGames
    from gopolicy.policy import Candidate, Policy, load
    from gopolicy.sgf import GameRecord, read_sgf

__all__ = [
    "BLACK",
    "EMPTY",
    "PASS",
    "PLANE_SETS",
    "WHITE",
    "Board",
    "Candidate",
    "GameRecord",
    "GamesError",
    "GoPolicyError",
    "IllegalMoveError",
    "PackedGames",
    "Policy",
    "SgfError",
    "WeightsError",
    "__version__",
    "encode",
    "load",
    "read_sgf",
]

__version__ = "0.20.0"  # as in pyproject.toml; what is installed may be of another version than this code, which a checkout brings

# Threads of torch that wait for one another spin for milliseconds before they sleep, and beside other work on the same cores take from the
# thread they wait for: a move then takes a hundred times as long, and training a fifth of its speed remains. To sleep after some
# microseconds costs nothing alone (RESULTS.md, 2026-11-28). Read when torch is loaded: import gopolicy first. GOMP_SPINCOUNT is GNU's
# alone; other runtimes of OpenMP know only to spin or to sleep at once.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ["OMP_WAIT_POLICY"] = "passive"

# torch sees the CPUs that a process is bound to, not a container's limit of their time; more threads than that make one another wait.
if "OMP_NUM_THREADS" not in os.environ and cores() == quota() != os.cpu_count():
    os.environ["OMP_NUM_THREADS"] = str(cores())

# A notebook tells all programs that it starts to draw its own way (``!gopolicy train …``), without which matplotlib is not imported.
_kind, _, _module = os.environ.get("MPLBACKEND", "").partition("://")
if _kind == "module" and not ((_package := _module.partition(".")[0]) and find_spec(_package)):
    del os.environ["MPLBACKEND"]

_HOMES = {
    "Board": "board",
    "Candidate": "policy",
    "GameRecord": "sgf",
    "PLANE_SETS": "features",
    "PackedGames": "games",
    "Policy": "policy",
    "encode": "features",
    "load": "policy",
    "read_sgf": "sgf",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gopolicy' has no attribute {name!r}")
    value = getattr(import_module(f"gopolicy.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
