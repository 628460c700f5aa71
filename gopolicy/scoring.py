"""Who owns what at the end of a game: what the rules prove, what playouts say, dead stones, score, and when to pass.

Sources: D. B. Benson, Life in the game of Go, Information Sciences 10 (1976); ownership by playouts as B. Brügmann, Monte Carlo Go (1993),
with the moves of the playouts drawn from a policy network.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from numba import float32, float64, from_dtype, int8, int64, types, uint8, uint16, uint64, void
from torch import Tensor

from gopolicy import symmetry
from gopolicy.board import (
    BORDER,
    CELLS,
    STATE,
    Board,
    Journal,
    State,
    advance,
    cell_of,
    masks,
    neighbour,
    play,
    point_of,
    take_back,
)
from gopolicy.compiled import compiled
from gopolicy.coords import BLACK, EMPTY, WHITE
from gopolicy.features import Tracker, expand, forget, plane_set, workspace, write_codes
from gopolicy.ladders import Reader

PROOF = np.dtype(
    [
        ("region", np.int16, (CELLS,)),  # number of the region of a cell; -1 outside of all
        ("cells", np.uint16, (CELLS,)),  # the cells of the regions, one region behind the other
        ("first", np.int16, (CELLS,)),  # where in ``cells`` a region begins; one more entry than there are regions
        ("kept", np.int8, (CELLS,)),  # of a region: all chains around it may still be alive
        ("vital", np.uint16, (CELLS, 4)),  # the heads of the chains to which the region is vital, 0: none
        ("vitals", np.int16, (CELLS,)),  # by head: how many of the regions that are kept are vital to the chain
        ("alive", np.int8, (CELLS,)),  # by head
        ("proven", np.int8, (CELLS,)),  # the colour whose point it is, or EMPTY
        ("stones", np.int8, (CELLS,)),  # 1 where the proven point is a stone that cannot be captured
    ],
    align=True,
)
Proof = from_dtype(PROOF)


@compiled(types.boolean(State, int64, int64), inner=True, inline=True)
def touches(state: Any, cell: Any, head: Any) -> Any:
    """Whether a stone of that chain lies beside the cell."""
    colour = state.colour[head]
    for d in range(4):
        q = neighbour(state, cell, d)
        if state.colour[q] == colour and state.head[q] == head:
            return True
    return False


@compiled(int64(State, Proof, int64), inner=True)
def find_regions(state: Any, proof: Any, colour: Any) -> Any:
    """Writes the regions between the stones of a colour: connected points that are empty or the opponent's. Returns their number."""
    first, end = state.stride, (state.size + 1) * state.stride
    for cell in range(first, end):
        proof.region[cell] = -1
    regions = 0
    filled = 0
    for start in range(first, end):
        if state.colour[start] == colour or state.colour[start] == BORDER or proof.region[start] >= 0:
            continue
        proof.first[regions] = filled
        proof.cells[filled] = start
        proof.region[start] = regions
        read = filled
        filled += 1
        while read < filled:
            cell = int64(proof.cells[read])
            read += 1
            for d in range(4):
                q = neighbour(state, cell, d)
                if state.colour[q] != colour and state.colour[q] != BORDER and proof.region[q] < 0:
                    proof.region[q] = regions
                    proof.cells[filled] = q
                    filled += 1
        regions += 1
    proof.first[regions] = filled
    return regions


@compiled(void(State, Proof, int64), inner=True)
def find_vital(state: Any, proof: Any, region: Any) -> None:
    """Writes the chains to which a region is vital: all its empty points are their liberties."""
    heads = proof.vital[region]
    for k in range(4):
        heads[k] = 0
    met = False
    for i in range(proof.first[region], proof.first[region + 1]):
        cell = int64(proof.cells[i])
        if state.colour[cell] != EMPTY:
            continue
        if not met:  # a chain that is not here is not at every empty point
            for d in range(4):
                q = neighbour(state, cell, d)
                h = state.head[q]
                own = state.colour[q] != EMPTY and state.colour[q] != BORDER and proof.region[q] < 0
                if own and h != heads[0] and h != heads[1] and h != heads[2]:
                    heads[d] = h
            met = True
        else:
            for k in range(4):
                if heads[k] != 0 and not touches(state, cell, heads[k]):
                    heads[k] = 0


@compiled(types.boolean(State, Proof, int64, int64), inner=True)
def has_two_eyes(state: Any, proof: Any, region: Any, colour: Any) -> Any:
    """Whether the other side might make two eyes in a region: two of its points that touch neither stones of ``colour`` nor each other.

    True as well for a region that has no stone of the colour around it.
    """
    inner = 0
    walls = 0
    last = int64(0)
    for i in range(proof.first[region], proof.first[region + 1]):
        cell = int64(proof.cells[i])
        free = True
        for d in range(4):
            if state.colour[neighbour(state, cell, d)] == colour:
                free = False
        if not free:
            walls += 1
            continue
        inner += 1
        if inner > 2:
            return True
        if inner == 2 and abs(cell - last) != 1 and abs(cell - last) != state.stride:
            return True
        last = cell
    return walls == 0


@compiled(void(State, Proof, int64), inner=True)
def prove_side(state: Any, proof: Any, colour: Any) -> None:
    """Benson's algorithm for one colour: adds its alive chains and their territory to ``proof.proven``."""
    first, end = state.stride, (state.size + 1) * state.stride
    regions = find_regions(state, proof, colour)
    for r in range(regions):
        proof.kept[r] = 1
        find_vital(state, proof, r)
    for cell in range(first, end):
        proof.alive[cell] = state.colour[cell] == colour and state.head[cell] == cell
    changed = True
    while changed:
        changed = False
        for cell in range(first, end):
            proof.vitals[cell] = 0
        for r in range(regions):
            if proof.kept[r]:
                for k in range(4):
                    if proof.vital[r, k] != 0:
                        proof.vitals[proof.vital[r, k]] += 1
        for cell in range(first, end):
            if proof.alive[cell] and proof.vitals[cell] < 2:
                proof.alive[cell] = 0
                changed = True
        if changed:
            for cell in range(first, end):
                if state.colour[cell] == colour and not proof.alive[state.head[cell]]:
                    for d in range(4):
                        r = proof.region[neighbour(state, cell, d)]
                        if state.colour[neighbour(state, cell, d)] != BORDER and r >= 0:
                            proof.kept[r] = 0
    for r in range(regions):
        if proof.kept[r] and not has_two_eyes(state, proof, r, colour):
            for i in range(proof.first[r], proof.first[r + 1]):
                proof.proven[proof.cells[i]] = colour
    for cell in range(first, end):
        if state.colour[cell] == colour and proof.alive[state.head[cell]]:
            proof.proven[cell] = colour
            proof.stones[cell] = 1


@compiled(void(State, Proof))
def prove(state: Any, proof: Any) -> None:
    """Writes ``proof.proven`` and ``proof.stones`` of a position."""
    for cell in range(CELLS):
        proof.proven[cell] = EMPTY
        proof.stones[cell] = 0
    prove_side(state, proof, BLACK)
    prove_side(state, proof, WHITE)


@compiled(void(State, Proof, int8[::1], int8[::1]))
def prove_points(state: Any, proof: Any, owner: Any, alive: Any) -> None:
    """``prove`` by points: (N*N,) each."""
    prove(state, proof)
    for point in range(len(owner)):
        owner[point] = proof.proven[cell_of(state, point)]
        alive[point] = proof.stones[cell_of(state, point)]


@compiled(types.boolean(State, Journal, int64, int64), inner=True)
def throws_away(state: Any, journal: Any, cell: Any, colour: Any) -> Any:
    """Whether a legal move gives away its chain for nothing: in atari without a capture, and in a shape that, once captured, leaves
    room for two eyes.

    What is left, a throw-in or a nakade, may be good: up to three stones, four around a square or in a T, the bulky five and the cross,
    the rabbity six.
    """
    journal.top = 0
    taken = play(state, journal, cell, colour)
    head = state.head[cell]
    stones = int64(state.stones[head])
    away = taken == 0 and state.libs[head] == 1 and stones > 3
    if away and stones <= 6:
        pairs = 0  # of neighbouring stones
        most = 0  # neighbours of one stone
        s = int64(cell)
        while True:
            degree = 0
            for d in range(4):
                degree += state.colour[neighbour(state, s, d)] == colour
            pairs += degree
            most = max(most, degree)
            s = int64(state.next[s])
            if s == cell:
                break
        pairs //= 2
        if stones == 4:
            away = pairs != 4 and most != 3
        elif stones == 5:
            away = pairs != 5 and most != 4
        else:
            away = pairs != 6 or most != 4
    take_back(state, journal)
    return away


@compiled(void(State[::1], Journal, Reader, Tracker, int64[::1], int8[::1], uint16[:, ::1], uint8[:, :, ::1]))
def encode_all(
    states: Any, journal: Any, reader: Any, tracker: Any, active: Any, to_play: Any, tables: Any, planes: Any
) -> None:
    """Writes the planes of the boards ``active`` (A,): (A, P, N*N), board k under symmetry k mod 8."""
    for a in range(len(active)):
        k = active[a]
        forget(tracker, states[k])
        write_codes(states[k], journal, reader, tracker, to_play[k], planes.shape[1])
        expand(states[k], tracker, tables[k % symmetry.COUNT], planes[a])


@compiled(float64(uint64[::1], int64), inner=True)
def draw_number(seeds: Any, k: Any) -> Any:
    """A number in [0, 1) from the k-th row of numbers (splitmix64; Steele, Lea and Flood 2014)."""
    seeds[k] += uint64(0x9E3779B97F4A7C15)
    z = seeds[k]
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    z ^= z >> uint64(31)
    return float64(z >> uint64(11)) * 2.0**-53


@compiled(
    void(State[::1], Journal, Proof, int64[::1], int8[::1], int8[::1], uint64[::1], uint16[:, ::1], float32[:, ::1], float64, float64)
)
def turn_all(
    states: Any,
    journal: Any,
    proof: Any,
    active: Any,
    to_play: Any,
    passes: Any,
    seeds: Any,
    tables: Any,
    logits: Any,
    temperature: Any,
    least: Any,
) -> None:
    """One turn on each of the boards ``active``: a move drawn by its probability, or a pass where none is left.

    ``logits`` (A, N*N) are under the symmetries of ``encode_all``.
    """
    points = logits.shape[1]
    legal, sensible, weight = np.empty(points, np.int8), np.empty(points, np.int8), np.empty(points, np.float64)
    for a in range(len(active)):
        k = active[a]
        state, colour, table = states[k], int64(to_play[k]), tables[k % symmetry.COUNT]
        prove(state, proof)
        masks(state, journal, colour, legal, sensible)
        best = -1e30
        for i in range(points):
            if legal[table[i]]:
                best = max(best, float64(logits[a, i]))
        mass = 0.0
        for i in range(points):
            point = table[i]
            weight[point] = 0.0
            if legal[point]:
                mass += math.exp(float64(logits[a, i]) - best)
                if sensible[point] and proof.proven[cell_of(state, point)] == EMPTY:
                    weight[point] = math.exp((float64(logits[a, i]) - best) / temperature)
        move = int64(0)
        while True:
            total = 0.0
            for point in range(points):
                total += weight[point]
            if total <= least * mass:
                break
            rest = draw_number(seeds, k) * total
            chosen = -1
            for point in range(points):
                if weight[point] > 0.0:
                    chosen = point
                    rest -= weight[point]
                    if rest < 0.0:
                        break
            cell = cell_of(state, chosen)
            if not throws_away(state, journal, cell, colour):
                move = cell
                break
            weight[chosen] = 0.0
        advance(state, journal, move, colour)
        passes[k] = passes[k] + 1 if move == 0 else 0
        to_play[k] = -colour


@compiled(void(State[::1], Proof, int8[:, ::1]))
def count_all(states: Any, proof: Any, owners: Any) -> None:
    """Whose each point is when all stones on the boards are taken as alive but those in proven territory: (K, N*N)."""
    for k in range(len(states)):
        state = states[k]
        prove(state, proof)
        for cell in range(state.stride, (state.size + 1) * state.stride):
            if state.colour[cell] == BLACK or state.colour[cell] == WHITE:
                owners[k, point_of(state, cell)] = state.colour[cell]
        # Regions of empty points.
        first, end = state.stride, (state.size + 1) * state.stride
        for cell in range(first, end):
            proof.region[cell] = -1
        for start in range(first, end):
            if state.colour[start] != EMPTY or proof.region[start] >= 0:
                continue
            proof.cells[0] = start
            proof.region[start] = 1
            read, filled = 0, 1
            black = white = False
            while read < filled:
                cell = int64(proof.cells[read])
                read += 1
                for d in range(4):
                    q = neighbour(state, cell, d)
                    c = state.colour[q]
                    if c == EMPTY:
                        if proof.region[q] < 0:
                            proof.region[q] = 1
                            proof.cells[filled] = q
                            filled += 1
                    elif c == BLACK:
                        black = True
                    elif c == WHITE:
                        white = True
            owner = EMPTY if black == white else BLACK if black else WHITE
            for i in range(filled):
                owners[k, point_of(state, proof.cells[i])] = owner
        for cell in range(first, end):
            if proof.proven[cell] != EMPTY:
                owners[k, point_of(state, cell)] = proof.proven[cell]


class Thinker(Protocol):
    """What playouts want of a policy: ``policy.Policy`` has it."""

    planes: str

    def log_probabilities(self, planes: Tensor, symmetries: int = 1) -> Tensor: ...


def new_proof() -> Any:
    return np.zeros(1, dtype=PROOF)[0]


def proven(board: Board) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
    """What no play can change: (N, N) int8, the colour whose point it is or 0; and (N, N) bool, the stones among these."""
    size = board.size
    both = np.empty((2, size * size), dtype=np.int8)
    prove_points(board.state, new_proof(), both[0], both[1])
    return both[0].reshape(size, size), both[1].reshape(size, size).astype(np.bool_)


def play_out(
    policy: Thinker, board: Board, *, playouts: int = 16, first: int | None = None, temperature: float = 1.0, least: float = 0.0, limit: int | None = None
) -> npt.NDArray[np.int8]:
    """Plays the board out ``playouts`` times: (K, N, N) int8, whose each point is at the end."""
    size = board.size
    chosen, space, proof = plane_set(policy.planes), workspace(), new_proof()
    states = np.empty(playouts, dtype=STATE)
    states[:] = board.state
    tables = symmetry.tables(size)
    active, passes = np.arange(playouts, dtype=np.int64), np.zeros(playouts, dtype=np.int8)
    to_play = np.where(np.arange(playouts) % 2 == 0, board.to_play, -board.to_play).astype(np.int8)
    if first is not None:
        to_play[:] = first
    seed = int(board.state["zobrist"]) ^ (int(board.state["ko"]) << 1) ^ (board.to_play == BLACK)
    seeds = np.random.default_rng(seed).integers(0, 2**63, size=playouts, dtype=np.uint64)
    limit = limit if limit is not None else 2 * size * size
    for _ in range(limit):
        if not len(active):
            break
        planes = np.empty((len(active), chosen.planes, size * size), dtype=np.uint8)
        encode_all(states, space.journal, space.reader, space.tracker, active, to_play, tables, planes)
        shaped = torch.from_numpy(planes.view(chosen.dtype).reshape(len(active), chosen.planes, size, size))
        logits = policy.log_probabilities(shaped).float().cpu().numpy()  # (A, N*N)
        turn_all(states, space.journal, proof, active, to_play, passes, seeds, tables, logits, temperature, least)
        active = active[passes[active] < 2]
    owners = np.empty((playouts, size * size), dtype=np.int8)
    count_all(states, proof, owners)
    return owners.reshape(playouts, size, size)
