"""Packed games → shuffled, augmented, encoded batches, made by compiled code in threads.

A sample is a position before a stone was played, and the point of that stone; passes are no samples. An epoch cuts every
game's positions into random groups of ``PER_GAME`` and takes all groups of all games in a random order, so that a game is
replayed once for eight samples. All of it follows from (seed, step) alone: batch number 1,000 needs none of those
before it, and the same batch can be divided among any number of processes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from numba import int16, int64, types, uint8, uint16, uint64, void

from gopolicy import symmetry
from gopolicy.board import Journal, State, cell_of, clear, play
from gopolicy.compiled import compiled
from gopolicy.coords import BLACK, EMPTY, WHITE
from gopolicy.errors import MAX_THREADS, GamesError, whole_number
from gopolicy.features import Tracker, expand, follow, forget, plane_set, workspace, write_codes
from gopolicy.games import PASS_CODE, WHITE_BIT, PackedGames, mixed
from gopolicy.ladders import Reader

PER_GAME = 8  # samples of one replayed game in a batch
LONGEST_GAME = 1024  # positions
SIZE = 19

Made = TypeVar("Made")

_GOLDEN = 0x9E3779B97F4A7C15


@compiled(uint64(uint64, uint64), inner=True)
def mixed_with(key: Any, value: Any) -> Any:
    return mixed(key * uint64(_GOLDEN) + mixed(value + uint64(_GOLDEN)))


@compiled(int64(int64, int64, uint64))
def shuffled_index(index: Any, count: Any, key: Any) -> Any:
    """Where a keyed permutation of 0 … count-1 takes ``index``: a Feistel network, walked until it lands in range."""
    half = 1
    while (1 << (2 * half)) < count:
        half += 1
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(4):
            left, right = right, left ^ (int64(mixed_with(key + uint64(turn), uint64(right)) >> uint64(8)) & mask)
        index = (left << half) | right
        if index < count:
            return index


@compiled(void(uint16[::1], int64[::1], int64[::1], int64[::1]))
def count_stones(moves: Any, move_start: Any, games: Any, counts: Any) -> None:
    """Writes the number of positions before a stone (not a pass) of each game."""
    for g in range(len(games)):
        total = 0
        for i in range(move_start[games[g]], move_start[games[g] + 1]):
            total += (moves[i] & uint16(1023)) != uint16(PASS_CODE)
        counts[g] = total


@compiled(
    void(uint16[::1], int64[::1], int64[::1], int64[::1], int64[::1], uint64, int64, int16[::1], int64[::1], int64[::1], int64[::1])
)  # fmt: skip
def draw_samples(
    moves: Any,
    move_start: Any,
    games: Any,
    counts: Any,
    group_start: Any,
    seed: Any,
    first: Any,
    order: Any,
    out_games: Any,
    out_plies: Any,
    out_symmetries: Any,
) -> None:
    """Writes the samples of the groups ``first``, ``first + 1`` … of the endless stream: game, ply (ascending in a group), symmetry.

    ``order`` is scratch; of longer games only as many positions as it has places are drawn.
    """
    total = group_start[len(games)]
    for k in range(len(out_games) // PER_GAME):
        epoch = (first + k) // total
        key = mixed_with(seed, uint64(epoch))
        place = shuffled_index((first + k) % total, total, key)
        g, after = 0, len(games)
        while after - g > 1:
            middle = (g + after) >> 1
            if group_start[middle] <= place:
                g = middle
            else:
                after = middle
        group = place - group_start[g]
        count = counts[g] if counts[g] < len(order) else len(order)
        game_key = mixed_with(key, uint64(g + 1))
        for i in range(count):
            order[i] = i
        for i in range(count - 1, 0, -1):
            game_key = mixed(game_key + uint64(_GOLDEN))
            j = int64((game_key >> uint64(16)) % uint64(i + 1))
            order[i], order[j] = order[j], order[i]
        chosen = out_plies[k * PER_GAME : (k + 1) * PER_GAME]
        for i in range(PER_GAME):
            stone = int64(order[(group * PER_GAME + i) % count])
            j = i
            while j > 0 and chosen[j - 1] > stone:
                chosen[j] = chosen[j - 1]
                j -= 1
            chosen[j] = stone
        game_key = mixed_with(game_key, uint64(group))  # a group's symmetries are its own
        for i in range(PER_GAME):
            game_key = mixed(game_key + uint64(_GOLDEN))
            out_games[k * PER_GAME + i] = games[g]
            out_symmetries[k * PER_GAME + i] = int64(game_key >> uint64(61))
        # From the number of the stone to that of the move, passes counted.
        start = move_start[games[g]]
        ply = 0
        stone = 0
        for i in range(PER_GAME):
            wanted = chosen[i]
            while True:
                if (moves[start + ply] & uint16(1023)) != uint16(PASS_CODE):
                    if stone == wanted:
                        break  # and stands still: a short game gives the same position twice
                    stone += 1
                ply += 1
            chosen[i] = ply


@compiled(
    int64(
        State, Journal, Reader, Tracker, uint16[::1], int64[::1], uint16[::1], int64[::1], int64[::1], int64[::1], int64[::1],
        types.Array(uint16, 2, "C"), uint8[:, ::1], int64[::1],
    )
)  # fmt: skip
def fill(
    state: Any, journal: Any, reader: Any, tracker: Any, moves: Any, move_start: Any, setup: Any, setup_start: Any,
    games: Any, plies: Any, symmetries: Any, tables: Any, planes: Any, targets: Any,
) -> Any:  # fmt: skip
    """Writes the planes (B, P*N*N) and targets (B,) of samples; those of one game stand together, plies ascending.

    ``tables`` are those of the board's size, (8, N*N). Returns -1, or the index of a game with an illegal move.
    """
    points = tables.shape[1]
    size = 1
    while size * size < points:
        size += 1
    ply: Any = int64(0)
    for b in range(len(games)):
        g = games[b]
        if b == 0 or g != games[b - 1] or plies[b] < ply:
            ply = 0
            clear(state, size)
            for i in range(setup_start[g], setup_start[g + 1]):
                point = int64(setup[i] & uint16(1023))
                cell = cell_of(state, point)
                if point >= points or state.colour[cell] != EMPTY:
                    return g
                journal.top = 0
                play(state, journal, cell, WHITE if setup[i] & uint16(WHITE_BIT) else BLACK)
            forget(tracker, state)
        start = move_start[g]
        while ply < plies[b]:
            move = moves[start + ply]
            colour = WHITE if move & uint16(WHITE_BIT) else BLACK
            point = int64(move & uint16(1023))
            cell = 0
            if point != PASS_CODE:
                cell = cell_of(state, point)
                if point >= points or state.colour[cell] != EMPTY:
                    return g
            follow(state, journal, tracker, cell, colour)
            if cell != 0 and state.libs[state.head[cell]] == 0:
                return g
            ply += 1
        move = moves[start + ply]
        write_codes(state, journal, reader, tracker, WHITE if move & uint16(WHITE_BIT) else BLACK, planes.shape[1] // points)
        table = tables[symmetries[b]]
        expand(state, tracker, table, planes[b])
        target = int64(move & uint16(1023))
        for i in range(points):
            if table[i] == target:
                targets[b] = i
                break
    return -1


def encode_samples(
    packed: PackedGames,
    games: npt.NDArray[np.int64],
    plies: npt.NDArray[np.int64],
    symmetries: npt.NDArray[np.int64],
    planes: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Planes (B, P, 19, 19) uint8 (int8 for ``stones1``) and targets (B,) int64 of positions before the moves ``plies`` of ``games``.

    Every move asked for is a stone. Raises GamesError where the packed moves break the rules.
    """
    chosen = plane_set(planes)
    out = np.empty((len(games), chosen.planes * SIZE * SIZE), dtype=np.uint8)
    targets = np.empty(len(games), dtype=np.int64)
    space = workspace()
    bad = fill(
        space.state, space.journal, space.reader, space.tracker, packed.moves, packed.move_start, packed.setup, packed.setup_start,
        games, plies, symmetries, symmetry.tables(SIZE), out, targets,
    )  # fmt: skip
    if bad >= 0:
        raise GamesError(f"game {bad} of the packed set breaks the rules of Go: pack the games again")
    return torch.from_numpy(out.view(chosen.dtype).reshape(len(games), chosen.planes, SIZE, SIZE)), torch.from_numpy(targets)


def playable(packed: PackedGames, split: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The games of a split that have positions on 19×19, and how many each has."""
    games = packed.indices(split)
    games = games[packed.facts["size"][games] == SIZE]
    counts = np.empty(len(games), dtype=np.int64)
    count_stones(packed.moves, packed.move_start, games, counts)
    return games[counts > 0], counts[counts > 0]


def other_boards(packed: PackedGames, split: str) -> str:
    """A sentence about the games of a split that are not on 19×19; empty where all are."""
    sizes = packed.facts["size"][packed.indices(split)]
    other = int((sizes != SIZE).sum())
    return f"{other:,} of {len(sizes):,} games are not on {SIZE}x{SIZE} boards, and are left out" if other else ""


def _made_ahead(pool: ThreadPoolExecutor, make: Callable[[int], Made], numbers: Iterable[int], most: int) -> Iterator[Made]:
    """What ``make`` gives for each of ``numbers``, in their order; at most ``most`` are made or wait while one is used."""
    ahead: deque[Future[Made]] = deque()
    try:
        for number in numbers:
            ahead.append(pool.submit(make, number))
            if len(ahead) > most:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()


class Batches:
    """Endless training batches of a split; see the module's docstring for the order of samples.

    ``batch_size`` is that of all processes together, a multiple of ``8 * world``; this process (``rank`` of ``world``) makes its part
    of each batch. ``augment`` puts every sample under a random symmetry. ``threads`` batches are made at a time.
    """

    def __init__(
        self,
        packed: PackedGames,
        split: str = "train",
        *,
        batch_size: int,
        planes: str = "alphago48",
        seed: int = 1,
        augment: bool = True,
        rank: int = 0,
        world: int = 1,
        threads: int = 2,
        pin_memory: bool = False,
    ) -> None:
        world = whole_number(world, "the number of processes", 1)
        rank = whole_number(rank, "the rank of a process", 0, world - 1)
        batch_size, seed = whole_number(batch_size, "the size of a batch", 1), whole_number(seed, "the seed", 0, 2**63 - 1)
        threads = whole_number(threads, "the number of threads", 1, MAX_THREADS)
        if batch_size % (PER_GAME * world):
            raise GamesError(f"a batch of {batch_size} cannot be divided: it has to be a multiple of {PER_GAME * world}")
        self.packed, self.planes, self.augment, self.pin_memory = packed, planes, augment, pin_memory
        self.batch_size, self.rank, self.world, self.threads = batch_size, rank, world, threads
        self.seed = seed
        self.games, self.counts = playable(packed, split)
        if not len(self.games):
            none = f"no game of {SIZE}x{SIZE} in the {split} split of the packed set ({len(packed)} games)"
            elsewhere = len(playable(packed, "all")[0])
            raise GamesError(f"there is {none}: more games are needed" if elsewhere else f"there is {none}, nor elsewhere in it")
        groups = np.maximum(self.counts // PER_GAME, 1)
        self._group_start = np.concatenate([[0], np.cumsum(groups)]).astype(np.int64)
        self.waited_seconds = 0.0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="batches")

    @property
    def positions(self) -> int:
        """Positions of the split."""
        return int(self.counts.sum())

    def draw(self, step: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """This process's samples of one batch, (B,) each: games, plies, symmetries. Those of one game stand together, plies ascending."""
        groups = self.batch_size // PER_GAME
        mine = groups // self.world
        games, plies, symmetries = np.empty((3, mine * PER_GAME), dtype=np.int64)
        first = step * groups + self.rank * mine
        seed = np.uint64(self.seed)
        draw_samples(
            self.packed.moves, self.packed.move_start, self.games, self.counts, self._group_start, seed, first,
            np.empty(LONGEST_GAME, dtype=np.int16), games, plies, symmetries,
        )  # fmt: skip
        if not self.augment:
            symmetries[:] = 0
        return games, plies, symmetries

    def make(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """This process's part of one batch: planes (B, P, 19, 19), targets (B,)."""
        planes, targets = encode_samples(self.packed, *self.draw(whole_number(step, "the number of a step", 0)), self.planes)
        return (planes.pin_memory(), targets.pin_memory()) if self.pin_memory else (planes, targets)

    def stream(self, steps: Iterable[int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The batches of these steps, made ahead in threads."""
        made = _made_ahead(self._pool, self.make, steps, 2 * self.threads)
        while True:
            began = time.perf_counter()
            batch = next(made, None)
            self.waited_seconds += time.perf_counter() - began
            if batch is None:
                return
            yield batch

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


Measured = tuple[torch.Tensor, torch.Tensor, dict[str, npt.NDArray[np.int64]]]


def fixed(
    packed: PackedGames,
    split: str,
    *,
    max_positions: int | None = None,
    planes: str = "alphago48",
    seed: int = 1,
    batch_size: int = 256,
) -> Iterator[Measured]:
    """The positions of whole games, for evaluation: (planes, targets, {"game", "move_number"}), each once, no symmetry.

    Games come in an order drawn by the seed; with ``max_positions`` until they have as many, and the last one is cut.
    """
    games, counts = playable(packed, split)
    order = np.random.default_rng(seed).permutation(len(games))
    games, counts = games[order], counts[order]
    ends = np.cumsum(counts)  # where the positions of each game end, all in a row
    total = int(counts.sum()) if max_positions is None else min(int(counts.sum()), max_positions)

    def make(first: int) -> Measured:
        last = min(first + batch_size, total)
        samples = []
        for i in range(np.searchsorted(ends, first, side="right"), np.searchsorted(ends, last) + 1):
            codes = packed.moves[packed.move_start[games[i]] : packed.move_start[games[i] + 1]]
            begin = ends[i] - counts[i]
            plies = np.flatnonzero((codes & 1023) != PASS_CODE)[max(first - begin, 0) : last - begin]
            samples.append((np.full(len(plies), games[i]), plies))
        game, ply = (np.concatenate(column) for column in zip(*samples, strict=True))
        planes_, targets = encode_samples(packed, game, ply, np.zeros(len(game), dtype=np.int64), planes)
        return planes_, targets, {"game": game, "move_number": ply + 1}

    with ThreadPoolExecutor(2, thread_name_prefix="fixed") as pool:
        yield from _made_ahead(pool, make, range(0, total, batch_size), 4)
