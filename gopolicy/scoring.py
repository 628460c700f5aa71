"""Who owns what at the end of a game: what the rules prove, what playouts say, dead stones, score, and when to pass.

``proven`` is exact and costs microseconds: chains that cannot be captured though their owner passes for ever (Benson), and the regions
around which only such chains lie and in which the other side has no room for two eyes.

``judge`` plays the rest out with the policy and gives a ``Judgement``: ``lead``, dead, living and seki ``chains``, ``ownership``. The
policy never passes and plays like people do, so that a playout is no reading: a chain is dead where it does not live in a clear
majority of them. ``worth_playing`` says which moves may still gain something; where there is none, an engine passes. ``is_lost`` is for
resigning. At the end of a game on 19×19 a playout costs the network 50 to 150 positions.

Sources: D. B. Benson, Life in the game of Go, Information Sciences 10 (1976); ownership by playouts: B. Brügmann, Monte Carlo Go (1993).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

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
    check_board,
    masks,
    neighbour,
    play,
    point_of,
    take_back,
)
from gopolicy.compiled import compiled
from gopolicy.coords import BLACK, EMPTY, PASS, WHITE, check_colour
from gopolicy.errors import Interrupted, UsageError, whole_number
from gopolicy.features import Tracker, encode, expand, forget, plane_set, workspace, write_codes
from gopolicy.ladders import Reader

PLAYOUTS = 32  # for a judgement, at most: what is unsettled after 8 gets more
ROUND = 8  # of them at a time
GLANCE = 16  # the same for a move: doubt is enough to play on
LIVES = 0.1  # ownership from which a chain lives: groups that are dead resist more often, by mistakes, than living ones die
FEW = 10  # unsettled points: with more of them, a round of playouts tells enough
MANY = 30  # unsettled points after two playouts: with more of them the end is not near
DAME = 5  # points of an open region up to which none of them is territory
CLEAR = 0.5  # ownership from which an empty point that living stones of both sides look at is somebody's
SETTLED = 0.4  # ownership from which nothing is left to be done about a chain or a point
SETTLED_BORDER = 0.8  # the same for empty points that living stones of both sides look at
NEAR_END = 0.08  # share of the board that is unsettled, below which the end is near
LATE = 0.42  # share of the board with stones on it from which the end is looked for
CERTAIN = 0.5  # probability of a move that makes that unnecessary while there is a choice of ``MANY``; of all answers to the last move
REACH = 4  # lines away that an answer is at most, along the lines
LIKELY = 0.3  # probability from which a move is worth playing while anything is: it may be the answer to a threat
CHANCE = 0.1  # share of the playouts from which a player who is behind may still win
HOPELESS = 0.05  # lead as a share of the board's points: 18 points on 19×19

Rules = Literal["area", "territory"]
Status = Literal["alive", "dead", "seki"]

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


@compiled(int64(State, Proof, int64), inner=True, apart=True)
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


@compiled(void(State, Proof, int64), inner=True, apart=True)
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

    So it might on a board without stones of the colour: the smallest has four points.
    """
    inner = 0
    last = int64(0)
    for i in range(proof.first[region], proof.first[region + 1]):
        cell = int64(proof.cells[i])
        free = True
        for d in range(4):
            if state.colour[neighbour(state, cell, d)] == colour:
                free = False
        if free:
            inner += 1
            if inner > 2 or (inner == 2 and abs(cell - last) != 1 and abs(cell - last) != state.stride):
                return True
            last = cell
    return False


@compiled(void(State, Proof, int64), inner=True, apart=True)
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


@compiled(void(State, Proof), apart=True)
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


@compiled(types.boolean(State, int64), inner=True)
def has_eye(state: Any, stone: Any) -> Any:
    """Whether the chain of a stone has a liberty with nothing but stones of its colour and the border around."""
    colour = state.colour[stone]
    s = int64(stone)
    while True:
        for d in range(4):
            q = neighbour(state, s, d)
            if state.colour[q] == EMPTY:
                walls = 0
                for e in range(4):
                    c = state.colour[neighbour(state, q, e)]
                    walls += c == colour or c == BORDER
                if walls == 4:
                    return True
        s = int64(state.next[s])
        if s == stone:
            return False


@compiled(types.boolean(State, Journal, int64, int64), inner=True, apart=True)
def throws_away(state: Any, journal: Any, cell: Any, colour: Any) -> Any:
    """Whether a legal move gives away its chain for nothing: in atari without a capture, where that leaves the other side two eyes or
    ends a seki.

    What is left, a throw-in or a nakade, may be good: up to three stones, four around a square, in a T or bent around a corner, the
    bulky five and the cross, the rabbity six. But four stones and more are left out while a chain of the other side beside them has
    another liberty, two or three while one has an eye: a seki would be given away. Two or three may add to a chain of theirs that was in
    atari already, as in the middle of three points.
    """
    was_in_atari = False  # a chain that the move adds to
    for d in range(4):
        q = neighbour(state, cell, d)
        was_in_atari = was_in_atari or (state.colour[q] == colour and state.libs[state.head[q]] == 1)
    journal.top = 0
    taken = play(state, journal, cell, colour)
    head = state.head[cell]
    stones = int64(state.stones[head])
    away = taken == 0 and state.libs[head] == 1 and stones > 1
    if away and stones <= 6:
        pairs = 0  # of neighbouring stones
        most = 0  # neighbours of one stone
        bent = False  # around a corner
        breathes = False  # a chain beside it has another liberty, or, where it is of two or three stones, an eye
        s = int64(cell)
        while True:
            degree = 0
            edges = 0
            for d in range(4):
                q = neighbour(state, s, d)
                c = state.colour[q]
                degree += c == colour
                edges += c == BORDER
                if c == -colour and not breathes:
                    breathes = has_eye(state, q) if stones <= 3 else state.libs[state.head[q]] > 1
            pairs += degree
            most = max(most, degree)
            bent = bent or (degree == 2 and edges == 2)
            s = int64(state.next[s])
            if s == cell:
                break
        pairs //= 2
        if stones <= 3:
            away = breathes and not was_in_atari
        elif stones == 4:
            away = breathes or (pairs != 4 and most != 3 and not bent)
        elif stones == 5:
            away = breathes or (pairs != 5 and most != 4)
        else:
            away = breathes or pairs != 6 or most != 4
    take_back(state, journal)
    return away


@compiled(void(State[::1], Journal, Reader, Tracker, int64[::1], int8[::1], int64[::1], uint16[:, ::1], uint8[:, ::1]))
def encode_all(
    states: Any, journal: Any, reader: Any, tracker: Any, active: Any, to_play: Any, symmetries: Any, tables: Any, planes: Any
) -> None:
    """Writes the planes of the boards ``active`` (A,), each under its symmetry: (A, P*N*N)."""
    for a in range(len(active)):
        k = active[a]
        forget(tracker, states[k])
        write_codes(states[k], journal, reader, tracker, to_play[k], planes.shape[1] // tables.shape[1])
        expand(states[k], tracker, tables[symmetries[k]], planes[a])


@compiled(float64(uint64[::1], int64), inner=True)
def draw_number(seeds: Any, k: Any) -> Any:
    """A number in [0, 1) from the k-th row of numbers (splitmix64; Steele, Lea and Flood 2014)."""
    seeds[k] += uint64(0x9E3779B97F4A7C15)
    z = seeds[k]
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    z ^= z >> uint64(31)
    return float64(z >> uint64(11)) * 2.0**-53


@compiled(void(State[::1], Journal, Proof, int64[::1], int8[::1], int8[::1], uint64[::1], int64[::1], uint16[:, ::1], float32[:, ::1]))
def turn_all(
    states: Any,
    journal: Any,
    proof: Any,
    active: Any,
    to_play: Any,
    passes: Any,
    seeds: Any,
    symmetries: Any,
    tables: Any,
    logits: Any,
) -> None:
    """One turn on each of the boards ``active``: a move drawn by its probability, or a pass where none is left.

    ``logits`` (A, N*N) are under the symmetries of ``encode_all``.
    """
    points = logits.shape[1]
    legal, sensible, weight = np.empty(points, np.int8), np.empty(points, np.int8), np.empty(points, np.float64)
    for a in range(len(active)):
        k = active[a]
        state, colour, table = states[k], int64(to_play[k]), tables[symmetries[k]]
        prove(state, proof)
        masks(state, journal, colour, legal, sensible)
        best = -1e30
        for i in range(points):
            if sensible[table[i]]:
                best = max(best, float64(logits[a, i]))
        for i in range(points):
            point = table[i]
            weight[point] = 0.0
            if sensible[point] and proof.proven[cell_of(state, point)] == EMPTY:
                weight[point] = math.exp(max(float64(logits[a, i]) - best, -500.0))
        move = int64(0)
        while True:
            total = 0.0
            for point in range(points):
                total += weight[point]
            if total == 0.0:
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
        first, end = state.stride, (state.size + 1) * state.stride
        for cell in range(first, end):
            proof.region[cell] = -1
            if state.colour[cell] == BLACK or state.colour[cell] == WHITE:
                owners[k, point_of(state, cell)] = state.colour[cell]
        # Regions of empty points.
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


def play_out(policy: Thinker, board: Board, *, playouts: int = GLANCE, start: int = 0, limit: int | None = None) -> npt.NDArray[np.int8]:
    """Plays the board out: (K, N, N) int8, whose each point is at the end of each playout, 0 where it is nobody's.

    Moves are drawn by the policy's probabilities, each playout under one of the eight symmetries, out of those that are legal, fill no
    own true eye, are in nobody's proven territory, and give no chain away; where there is none the side passes, and two passes end the
    playout, or ``limit`` turns (2·N·N). Black and White begin in turn, whoever is to play. What is drawn follows from the position and
    the number of the playout, which counts from ``start``.
    """
    size, playouts = board.size, whole_number(playouts, "the number of playouts", 1)
    chosen, space, proof = plane_set(policy.planes), workspace(), new_proof()
    states = np.empty(playouts, dtype=STATE)
    states[:] = board.state
    numbers = np.arange(start, start + playouts)
    tables = symmetry.tables(size)
    to_play = np.where(numbers % 2 == 0, BLACK, WHITE).astype(np.int8)
    position = int(board.state["zobrist"])
    seeds = np.array([np.random.SeedSequence((position, int(k))).generate_state(1, np.uint64)[0] for k in numbers], dtype=np.uint64)
    symmetries = numbers % symmetry.COUNT
    active, passes = np.arange(playouts), np.zeros(playouts, dtype=np.int8)
    for _ in range(2 * size * size if limit is None else limit):
        if not len(active):
            break
        planes = np.empty((len(active), chosen.planes * size * size), dtype=np.uint8)
        encode_all(states, space.journal, space.reader, space.tracker, active, to_play, symmetries, tables, planes)
        views = torch.from_numpy(planes.view(chosen.dtype).reshape(len(active), chosen.planes, size, size))
        logits = policy.log_probabilities(views).float().cpu().numpy()  # (A, N*N)
        turn_all(states, space.journal, proof, active, to_play, passes, seeds, symmetries, tables, logits)
        active = active[passes[active] < 2]
    owners = np.empty((playouts, size * size), dtype=np.int8)
    count_all(states, proof, owners)
    return owners.reshape(playouts, size, size)


Ends = list[npt.NDArray[np.int8]]  # (N, N) each: of a position's playouts, from the first on


def _around(size: int) -> list[list[int]]:
    """The neighbours of each point."""
    grid = np.pad(np.arange(size * size).reshape(size, size), 1, constant_values=-1)
    sides = np.stack([grid[:-2, 1:-1], grid[1:-1, :-2], grid[1:-1, 2:], grid[2:, 1:-1]], axis=-1).reshape(-1, 4)
    return [[q for q in four if q >= 0] for four in sides.tolist()]


def _spread(points: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(N, N): the points beside the given ones, and these."""
    wide = points.copy()
    wide[1:] |= points[:-1]
    wide[:-1] |= points[1:]
    wide[:, 1:] |= points[:, :-1]
    wide[:, :-1] |= points[:, 1:]
    return wide


def _connected(chosen: npt.NDArray[np.bool_], around: list[list[int]]) -> list[list[int]]:
    """The connected sets of the chosen points (N*N,)."""
    left = set(np.flatnonzero(chosen).tolist())
    found = []
    for start in sorted(left):
        if start not in left:
            continue
        left.discard(start)
        points = [start]
        for point in points:
            for q in around[point]:
                if q in left:
                    left.discard(q)
                    points.append(q)
        found.append(points)
    return found


@dataclass(frozen=True)
class Judgement:
    """A position judged by what the rules prove and by how its playouts ended (``judge``). All arrays are (N, N)."""

    stones: npt.NDArray[np.int8]
    captures: dict[int, int]  # stones captured so far, by the colour that captured them
    ownership: npt.NDArray[np.float32]  # -1 to 1, what is proven being -1 or 1; for stones the mean of their chain
    dead: npt.NDArray[np.bool_]  # stones of dead chains
    seki: npt.NDArray[np.bool_]  # stones alive in seki
    owner: npt.NDArray[np.int8]  # whose each point is by area; 0: nobody's
    open: npt.NDArray[np.bool_]  # empty points of regions with living stones of both colours around, without the liberties of a seki
    no_territory: npt.NDArray[np.bool_]  # points that count for nobody where only territory counts: those of sekis
    ends: npt.NDArray[np.int8]  # (K, N, N): whose each point is at the end of each playout

    def lead(self, komi: float = 0.0, *, rules: Rules = "area") -> float:
        """Black's points less White's and komi.

        ``area`` counts living stones and the points they surround (Chinese rules); ``territory`` counts the empty points and dead stones
        surrounded by one side, but none of a seki and no dame, and the prisoners: captured stones and dead ones (Japanese rules).
        """
        if _known(rules) == "area":
            return float(self.owner.sum(dtype=np.int64) - komi)
        territory = self.territory.sum(dtype=np.int64)
        dead = -self.stones[self.dead].sum(dtype=np.int64)
        return float(territory + dead + self.captures[BLACK] - self.captures[WHITE] - komi)

    def expected_lead(self, komi: float = 0.0, *, rules: Rules = "area") -> float:
        """By how many points Black will win, as far as that can be told before the end; near it, ``lead``.

        In an opening ``lead`` would give whole sides of the board to whoever has them in five playouts of eight: it is off by 100 points.
        """
        return self.lead(komi, rules=rules) if self.near_end else float(np.mean(self.margins(komi, rules=rules)))

    def chains(self, status: Status) -> list[list[int]]:
        """The chains that are ``alive`` (those in seki left out), ``dead``, or alive in ``seki``: the points of each."""
        named = {"alive": ~self.dead & ~self.seki, "dead": self.dead, "seki": self.seki}
        if status not in named:
            raise UsageError(f"the status is {status!r}, expected alive, dead or seki")
        chosen = named[status] & (self.stones != EMPTY)
        around = _around(len(self.stones))
        found = [chain for colour in (BLACK, WHITE) for chain in _connected((chosen & (self.stones == colour)).ravel(), around)]
        return sorted(found)

    @property
    def territory(self) -> npt.NDArray[np.int8]:
        """(N, N): whose each point is where only territory counts: those that are empty or bear dead stones; 0: nobody's."""
        counted = ((self.stones == EMPTY) | self.dead) & ~self.no_territory & ~self.dame
        return np.where(counted, self.owner, np.int8(0))

    @property
    def dame(self) -> npt.NDArray[np.bool_]:
        """(N, N) bool: the points of small open regions, and those of larger ones that lie between living stones of both colours.

        By area somebody gets them, and playouts show who; they are nobody's territory.
        """
        living = np.where(self.dead, EMPTY, self.stones)
        found = (self.open & _spread(living == BLACK) & _spread(living == WHITE)).ravel()
        for region in _connected(self.open.ravel(), _around(len(self.open))):
            if len(region) <= DAME:
                found[region] = True
        return found.reshape(self.open.shape)

    @property
    def near_end(self) -> bool:
        """Whether little is ``unsettled``."""
        return bool(np.count_nonzero(self.unsettled) <= NEAR_END * self.unsettled.size)

    @property
    def unsettled(self) -> npt.NDArray[np.bool_]:
        """(N, N) bool: the empty points where something may still be won or lost.

        These are points whose owner the playouts do not agree on, points of open borders where they do not agree quite, and the points
        around chains that are neither surely alive nor surely dead. The liberties and eyes of a seki, and what is proven, are settled.
        """
        return self.doubtful(SETTLED)

    def doubtful(self, settled: float) -> npt.NDArray[np.bool_]:
        """``unsettled``, for who calls a chain or a point settled from that ownership."""
        free = (self.stones == EMPTY) & ~self.no_territory
        found: npt.NDArray[np.bool_] = free & (np.abs(self.ownership) < np.where(self.open, SETTLED_BORDER, settled))
        weak = self._weak(settled)
        if weak.any():
            near = _spread(weak) & free  # liberties
            found |= near | (_spread(near) & free)
        return found

    def _weak(self, settled: float) -> npt.NDArray[np.bool_]:
        """(N, N): the stones of chains that are neither surely alive nor surely dead."""
        weak: npt.NDArray[np.bool_] = (self.stones != EMPTY) & (np.abs(self.ownership) < settled) & ~self.seki
        return weak

    def margins(self, komi: float, *, rules: Rules = "area") -> npt.NDArray[np.float64]:
        """(K,): by how many points Black wins each playout."""
        scores = self.ends.sum(axis=(1, 2), dtype=np.int64)
        return np.asarray(scores - komi - _more_by_area(self.stones, self.captures, rules), dtype=np.float64)

    def win_share(self, komi: float, *, rules: Rules = "area") -> float:
        """The share of the playouts that Black wins, a draw being half a win."""
        return _share(self.margins(komi, rules=rules))

    def expected_win_share(self, komi: float, *, rules: Rules = "area") -> float:
        """The same as far as it goes together with ``expected_lead``: near the end by ``lead``, and by the playouts for what is unsettled.

        A playout makes mistakes all over the board, which in the mean change nothing and in a close game its winner.
        """
        if not self.near_end:
            return self.win_share(komi, rules=rules)
        turning = self.unsettled | self._weak(SETTLED)
        if _known(rules) == "territory":
            turning &= ~self.dame
        return _share(self.lead(komi, rules=rules) + (self.ends - self.owner)[:, turning].sum(axis=1, dtype=np.int64))


def _share(margins: npt.NDArray[np.float64]) -> float:
    return float(np.mean((np.sign(margins) + 1) / 2))


def _more_by_area(stones: npt.NDArray[np.int8], captures: dict[int, int], rules: Rules) -> int:
    """What Black gets by area more than by ``rules``, if both lay as many stones from now on: the stones that Black has laid more."""
    return int(stones.sum(dtype=np.int64)) + captures[WHITE] - captures[BLACK] if _known(rules) == "territory" else 0


def judge(policy: Thinker, board: Board, *, playouts: int = PLAYOUTS, known: Ends | None = None) -> Judgement:
    """Judges a position, best a finished one, by at most so many playouts; fewer where nothing is ``unsettled`` after a round of them.

    Whose turn it is makes no difference; the same position always gets the same judgement. ``known`` holds the ends of the first playouts
    of this position, as far as they have been played; those that are played here are added.
    """
    for judgement in _judgements(policy, check_board(board), playouts, known=known):
        if not judgement.unsettled.any():
            break
    return judgement


def _judgements(policy: Thinker, board: Board, playouts: int, first: int = ROUND, known: Ends | None = None) -> Iterator[Judgement]:
    """The judgement after the ``first`` playouts, and after each full ``ROUND``."""
    playouts = whole_number(playouts, "the number of playouts", 1)
    ends: Ends = [] if known is None else known
    count = 0
    while count < playouts:
        count = min(first if count < first else count + ROUND - count % ROUND, playouts)
        yield judge_playouts(board, _first_ends(policy, board, count, ends))


def _first_ends(policy: Thinker, board: Board, count: int, known: Ends) -> npt.NDArray[np.int8]:
    """(count, N, N): of the first playouts; what is not known is played and added."""
    if len(known) < count:
        known.extend(play_out(policy, board, playouts=count - len(known), start=len(known)))
    return np.array(known[:count])


def judge_playouts(board: Board, owners: npt.NDArray[np.int8]) -> Judgement:
    """``judge``, with the ends (K, N, N) that the playouts came to (``play_out``)."""
    size = board.size
    around = _around(size)
    stones = board.stones().ravel()
    ends = owners.reshape(len(owners), size * size)
    known, safe = (array.ravel() for array in proven(board))
    own = np.where(known != EMPTY, known, ends.mean(axis=0, dtype=np.float32)).astype(np.float32)

    chains = [(colour, chain) for colour in (BLACK, WHITE) for chain in _connected(stones == colour, around)]
    chain_at = np.full(size * size, -1)
    for number, (_, chain) in enumerate(chains):
        chain_at[chain] = number
        own[chain] = own[chain].mean()
    lives = [float(colour * own[chain[0]]) for colour, chain in chains]  # -1 dead to 1 alive
    is_dead = [life < LIVES for life in lives]
    empty = stones == EMPTY
    unfilled = empty & ((ends == EMPTY).mean(axis=0) >= 0.5)
    while True:
        # Dead stones lie in a region with living ones of the other side around: where there are none, the one least sure to be dead lives.
        dead = np.array([chain >= 0 and is_dead[chain] for chain in chain_at])
        regions = []  # points, and the chains around
        for region in _connected(empty | dead, around):
            regions.append((region, {int(chain_at[q]) for p in region for q in around[p] if not (empty[q] or dead[q])}))
        wrong = set()
        for region, walls in regions:
            killers = {chains[k][0] for k in walls}
            wrong |= {int(chain_at[p]) for p in region if dead[p] and -stones[p] not in killers}
        if not wrong:
            break
        is_dead[max(wrong, key=lambda k: lives[k])] = False
    owner = np.where(dead, -stones, stones)
    mixed = np.zeros(size * size, dtype=np.bool_)
    walled = []  # regions with one colour around
    for region, walls in regions:
        colours = {chains[k][0] for k in walls}
        if len(colours) == 1:
            owner[region] = colours.pop()
            walled.append((region, walls))
        elif colours:  # an empty board is nobody's
            mixed[region] = empty[region]
    owner[mixed] = np.where(np.abs(own[mixed]) >= CLEAR, np.sign(own[mixed]), 0)

    # Seki: living chains of both colours at liberties that neither side fills; and the eyes of these chains.
    in_seki: set[int] = set()
    liberties = np.zeros(size * size, dtype=np.bool_)
    for region in _connected(mixed & unfilled, around):
        walls = {int(chain_at[q]) for p in region for q in around[p] if not empty[q] and not dead[q] and not safe[q]}
        if {chains[k][0] for k in walls} == {BLACK, WHITE}:
            in_seki |= walls
            liberties[region] = True
    no_territory = liberties.copy()
    changed = True
    while changed:
        changed = False
        for region, walls in walled:
            if walls & in_seki and not no_territory[region[0]]:
                no_territory[region] = True
                in_seki |= {k for k in walls if not safe[chains[k][1][0]]}
                changed = True
    seki = np.array([int(chain) in in_seki for chain in chain_at])
    owner[liberties] = EMPTY
    grid = (size, size)
    return Judgement(
        stones=stones.reshape(grid),
        captures=board.captures,
        ownership=own.reshape(grid),
        dead=dead.reshape(grid),
        seki=seki.reshape(grid),
        owner=owner.astype(np.int8).reshape(grid),
        open=(mixed & ~liberties).reshape(grid),
        no_territory=no_territory.reshape(grid),
        ends=owners,
    )


def _open_moves(board: Board) -> npt.NDArray[np.bool_]:
    """(N, N): the moves that fill no own true eye and are in nobody's proven territory."""
    owned, _ = proven(board)
    moves: npt.NDArray[np.bool_] = board.sensible_mask() & (owned == EMPTY)
    return moves


def worth_playing(
    policy: Thinker,
    board: Board,
    *,
    probs: npt.NDArray[np.float32] | None = None,
    komi: float | None = None,
    rules: Rules = "area",
    playouts: int = GLANCE,
    known: Ends | None = None,
) -> npt.NDArray[np.bool_]:
    """(N, N) bool: the moves of the player to move that may still gain something; where there is none, pass.

    ``probs`` (N, N) are those of the player's moves, by default the policy's. As long as the end is not near all legal moves count that
    fill no own true eye and are in nobody's proven territory. The end is near when the board is full enough or the opponent has just
    passed, the player is not certain of one of many moves, and not ``MANY`` points are unsettled after two playouts; then those count
    that are on ``Judgement.unsettled`` points, which costs more playouts, and where there are such, likely moves elsewhere too, which may
    answer a threat, but after a pass there is none. Where nothing is unsettled, a last move of the opponent that the player would answer,
    and that the playouts are not quite sure about, is answered.
    Who is behind, by ``komi`` and ``rules`` too, and yet wins a ``CHANCE`` of the playouts, has nothing to lose: what they are not
    quite sure about is worth playing then. ``known`` as in ``judge``.
    """
    colour, rules = check_colour(board.to_play), _known(rules)
    moves, stones = _open_moves(board), board.stones()
    full = np.count_nonzero(stones) >= LATE * stones.size
    passed = board.moves[-1:] == [(-colour, PASS)]
    if not moves.any() or not (full or passed):
        return moves
    if probs is None:
        logs = policy.log_probabilities(torch.from_numpy(encode(board, policy.planes)[None])).float().cpu().numpy()
        probs = np.exp(logs).reshape(stones.shape)

    near = bool(np.count_nonzero(moves) <= MANY or (passed and full))
    if not near and not passed and probs[moves].max() >= CERTAIN:
        return moves
    first_choice = np.where(moves, probs, -1).argmax()
    for judgement in _judgements(policy, board, playouts, ROUND if near else 2, known):
        unsettled = moves & judgement.unsettled
        left = np.count_nonzero(unsettled)
        if not near and left > MANY:
            return moves
        # More playouts where the player would pass, or play something else than they want to: of a group that dies in a third of them,
        # eight show too often what looks settled.
        if unsettled.flat[first_choice] or (near and left > FEW):
            break
        near = True
    if unsettled.any():
        return unsettled if passed else unsettled | (moves & (probs >= LIKELY))
    # Playouts are no reading: a group that dies in most of them may live where its moves are not answered.
    if board.moves and board.moves[-1][0] == -colour and not passed:
        row, column = np.indices(stones.shape)
        last_row, last_column = divmod(board.moves[-1][1], board.size)
        around = abs(row - last_row) + abs(column - last_column) <= REACH
        if probs[moves & around].sum() >= CERTAIN and (np.abs(judgement.ownership[around]) < SETTLED_BORDER).any():
            return moves & around
    if komi is not None and colour * judgement.lead(komi, rules=rules) < 0:
        black = judgement.win_share(komi, rules=rules)
        if (black if colour == BLACK else 1 - black) >= CHANCE:
            return moves & judgement.doubtful(SETTLED_BORDER)
    return unsettled  # none


def is_lost(policy: Thinker, board: Board, komi: float, *, rules: Rules = "area", known: Ends | None = None) -> bool:
    """Whether the player to move has lost beyond doubt: all ``GLANCE`` playouts, and by ``HOPELESS`` of the board on average.

    Never before there are as many moves, or stones set up, as a quarter of the board has points. ``known`` as in ``judge``.
    """
    colour, rules = check_colour(board.to_play), _known(rules)
    points = board.size**2
    if max(board.move_number, int(np.count_nonzero(board.stones()))) < points // 4:
        return False
    needed = komi + _more_by_area(board.stones(), board.captures, rules)
    played: Ends = [] if known is None else known
    for count in range(4, GLANCE + 1, 4):  # most positions are not lost: a few playouts show it
        ends = _first_ends(policy, board, count, played)
        lost = colour * (needed - ends.sum(axis=(1, 2), dtype=np.int64))
        if lost.min() <= 0:
            return False
    return float(lost.mean()) >= HOPELESS * points


@dataclass
class _Played:
    """What is known of a position: how its playouts ended so far, and what was judged of it."""

    ends: Ends = field(default_factory=list)
    judgement: Judgement | None = None


class PlayoutScorer:
    """What the engines ask about the end of a game (``analysis.Scorer``), by playouts of a policy, and remembers ``KEPT`` positions.

    ``policy`` is best a small network: a judgement of an opening costs a game's moves, eight times.
    """

    KEPT = 400  # those of a game, in which one goes back and forth: some 5 MB

    def __init__(self, policy: Thinker) -> None:
        self.policy, self.planes = policy, policy.planes
        self._stop: Callable[[], bool] | None = None
        self._known: dict[tuple[Any, ...], _Played] = {}  # the one that was asked about last stands last

    def _played(self, board: Board) -> _Played:
        state = board.state
        # All that the playouts depend on; of the past the planes show the last eight moves.
        position = (board.size, int(state["zobrist"]), int(state["ko"]), *board.captures.values(), *board.moves[-8:])
        known = self._known[position] = self._known.pop(position, _Played())
        if len(self._known) > self.KEPT:
            del self._known[next(iter(self._known))]
        return known

    def judgement(self, board: Board) -> Judgement:
        """Of an opening by ``ROUND`` playouts, which give a winrate; later by as many as settle it."""
        known = self._played(board)
        if known.judgement is None:
            late = np.count_nonzero(board.stones()) >= LATE * board.size**2 or [point for _, point in board.moves[-2:]] == [PASS, PASS]
            known.judgement = judge(self, board, playouts=PLAYOUTS if late else ROUND, known=known.ends)
        return known.judgement

    def log_probabilities(self, planes: Tensor, symmetries: int = 1) -> Tensor:
        """The policy's, for a playout's next move. Raises Interrupted where the playouts are to stop."""
        if self._stop is not None and self._stop():
            raise Interrupted
        return self.policy.log_probabilities(planes, symmetries)

    def final_score(self, board: Board, komi: float, rules: str) -> float:
        """By how many points Black leads, komi counted; ``rules`` is ``"area"`` or ``"territory"``."""
        return self.judgement(board).lead(komi, rules=_known(rules))

    def expected_lead(self, board: Board, komi: float, rules: str) -> float:
        """The same as far as it can be told before the end."""
        return self.judgement(board).expected_lead(komi, rules=_known(rules))

    def status(self, board: Board, stop: Callable[[], bool] | None = None) -> dict[str, list[int]]:
        """The points of the stones that are ``"alive"``, ``"dead"`` and in ``"seki"``, and the empty ones that are ``"black_territory"``,
        ``"white_territory"`` and nobody's, ``"dame"``. Raises Interrupted soon after ``stop()`` says so."""
        names: tuple[Status, ...] = ("alive", "dead", "seki")
        with self._until(stop):
            judgement = self.judgement(board)
        stones = {name: sorted(point for chain in judgement.chains(name) for point in chain) for name in names}
        empty, territory = (judgement.stones == EMPTY).ravel(), judgement.territory.ravel()
        owners = {"black_territory": BLACK, "white_territory": WHITE, "dame": EMPTY}
        return stones | {name: np.flatnonzero(empty & (territory == owner)).tolist() for name, owner in owners.items()}

    def ownership(self, board: Board) -> npt.NDArray[np.float32]:
        """(N, N): 1 surely Black's, -1 surely White's."""
        return self.judgement(board).ownership

    def worth_playing(
        self, board: Board, probs: npt.NDArray[np.float32], komi: float, rules: str, stop: Callable[[], bool] | None = None
    ) -> npt.NDArray[np.bool_]:
        """(N, N): the moves that may still gain something; none: pass. ``probs`` (N, N) are the player's. Where ``stop()`` ends the
        search, all moves that the rules do not prove to be worth nothing."""
        try:
            with self._until(stop):
                return worth_playing(self, board, probs=probs, komi=komi, rules=_known(rules), known=self._played(board).ends)
        except Interrupted:
            return _open_moves(board)

    def is_lost(self, board: Board, komi: float, rules: str, stop: Callable[[], bool] | None = None) -> bool:
        """Whether the player to move has lost beyond doubt, as far as it is known when ``stop()`` says so."""
        try:
            with self._until(stop):
                return is_lost(self, board, komi, rules=_known(rules), known=self._played(board).ends)
        except Interrupted:
            return False

    @contextmanager
    def _until(self, stop: Callable[[], bool] | None) -> Iterator[None]:
        """Playouts end with Interrupted as soon as ``stop()`` says so."""
        self._stop = stop
        try:
            yield
        finally:
            self._stop = None

    def winrate(self, board: Board, komi: float, rules: str, stop: Callable[[], bool] | None = None) -> float:
        """How likely Black wins, by the playouts: (wins + 1) / (playouts + 2), as a few of them are never certain (Laplace's rule).

        Raises Interrupted as soon as ``stop()`` says so while they are played.
        """
        with self._until(stop):
            judgement = self.judgement(board)
        count = len(judgement.ends)
        return (judgement.expected_win_share(komi, rules=_known(rules)) * count + 1) / (count + 2)


def _known(rules: str) -> Rules:
    if rules == "territory":
        return "territory"
    if rules == "area":
        return "area"
    raise UsageError(f"the rules are {rules!r}, expected area (as Chinese ones) or territory (as Japanese ones)")
