"""The errors a user can meet: each is a sentence that says what was wrong, where, and what would be right. And how many CPUs there are."""

from __future__ import annotations

import contextlib
import operator
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_THREADS = 1024  # torch ends the process where the machine cannot start so many
CGROUPS = Path("/sys/fs/cgroup")  # where a container's limits stand
NO_MEMORY = ("DefaultCPUAllocator", "MPS backend out of memory", "STATUS_ALLOC_FAILED", "CUDA error: out of memory")
# What torch says where it raises no OutOfMemoryError: of main memory, on Apple's GPUs, in libraries for CUDA, by CUDA itself


class GoPolicyError(ValueError):
    """Base of every error this package raises on purpose."""


class UsageError(GoPolicyError):
    """An option or an argument that cannot be: of another type than is wanted, out of its range, or not with the others."""


def as_index(value: Any) -> int | None:
    """A whole number of any type as an int; None for what is none, as True and 3.0."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def whole_number(value: Any, what: str, least: int, most: int | None = None) -> int:
    """The value as an int. Raises UsageError for what is no whole number from ``least`` to ``most``."""
    number = as_index(value)
    if number is None or number < least or (most is not None and number > most):
        raise UsageError(f"{what} is {value!r}, expected a whole number, {least} " + ("or more" if most is None else f"to {most}"))
    return number


def quota() -> int | None:
    """How many CPUs' time a container's limit comes to, rounded down, at least 1; None where there is no limit."""
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):  # cgroups of version 2, and of 1
        with contextlib.suppress(OSError, ValueError):  # no such file; "max"
            limit, period = map(int, " ".join((CGROUPS / name).read_text() for name in names).split())
            if limit > 0:
                return max(1, limit // period)
    return None


def cores() -> int:
    """How many CPUs this process may keep busy: containers and batch systems grant fewer than the machine has."""
    bound = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(bound, quota() or bound)


def flag(name: str) -> str:
    """The command-line option of an argument: ``--batch-size`` of ``batch_size``."""
    return "--" + name.replace("_", "-")


def quoted(word: str) -> str:
    """The word as it stands in a command line, for a sentence that names a command. On Windows only ``"`` quotes."""
    return shlex.quote(word) if os.name == "posix" else f'"{word}"'


def explain(error: Exception) -> str:
    """The error as one line, for an answer or the log."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, GoPolicyError):
        return text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, ImportError):
        return f"{text}: what gopolicy needs is not installed for this Python ({sys.executable})"
    return f"{type(error).__name__}: {text}"


def lacks_memory(error: BaseException) -> bool:
    """Whether it is Python or torch, which need not be loaded, that found no memory: the machine's or a GPU's."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or any(words in str(error) for words in NO_MEMORY)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives an OSError that tells no name, as of a write to a full disk, that of the file."""
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)
        raise


class Interrupted(Exception):
    """Raised by work that was told to stop, in whoever asked for it; no user meets it."""


class SgfError(GoPolicyError):
    """A game record that cannot be read, or that holds what the rules forbid.

    ``kind`` is a short fixed name for counting refusals (``"not-sgf"``, ``"illegal-move"`` …).
    """

    def __init__(self, message: str, kind: str = "unreadable") -> None:
        super().__init__(message)
        self.kind = kind


class IllegalMoveError(GoPolicyError):
    """A move the rules forbid: an occupied point, a suicide, a ko or a repeated board."""


class WeightsError(GoPolicyError):
    """Weights that cannot be used: damaged, of another plane set, or of another network."""


class DeviceError(WeightsError, UsageError):
    """A device, or a number format on a device, that this machine does not have."""


class GamesError(GoPolicyError):
    """A packed set of games, or an archive, that cannot be read."""
