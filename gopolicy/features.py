"""Feature planes: what a network sees of a position. ``docs/planes.md`` says what each plane means, exactly.

Source: Silver et al., Nature 529 (2016), Extended Data Table 2. Everything is relative to the player to move.

The way to the planes has two steps. A *code* is written for every point, 32 bits that hold all features of the point; the
planes are then expanded from the codes, under any symmetry. From one move of a game to the next most codes and most
ladders stay what they were, so a ``TRACKER`` follows the game and knows which have to be made again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import from_dtype, int64, uint8, uint16, uint32, uint64, void

from gopolicy import symmetry
from gopolicy.board import (
    CELLS,
    JOURNAL,
    STATE,
    WORDS,
    Board,
    Journal,
    State,
    advance,
    clear_bit,
    has_bit,
    is_legal,
    keep_true_eyes,
    neighbour,
    next_bit,
    point_of,
    set_bit,
)
from gopolicy.compiled import compiled, lowest_bit, popcount
from gopolicy.coords import BLACK, EMPTY, MAX_SIZE
from gopolicy.errors import GoPolicyError
from gopolicy.ladders import READER, Reader, is_captured, mark_around, prey_answers, suspect_around

POINTS = MAX_SIZE * MAX_SIZE

# A code, from the lowest bit: the fields of 4 bits hold 0 for "none" and 1 … 8 for the planes of a one-hot group.
COLOUR, AGE, LIBERTIES, CAPTURE, SELF_ATARI, LIBERTIES_AFTER, FLAGS = range(7)  # field numbers; a field is 4 bits
LADDER_CAPTURE, LADDER_ESCAPE, SENSIBLE, SURROUNDED = 1, 2, 4, 8  # bits of FLAGS


@dataclass(frozen=True)
class PlaneGroup:
    """Planes that belong together: a one-hot field of the codes, a flag, or a constant."""

    name: str
    planes: int
    field: int = -1  # of the code; -1: a constant
    first: int = 0  # value of the field in the first plane; for FLAGS the bit; for a constant the constant


GROUPS = (
    PlaneGroup("stone colour", 3, COLOUR, 1),
    PlaneGroup("ones", 1, -1, 1),
    PlaneGroup("turns since", 8, AGE, 1),
    PlaneGroup("liberties", 8, LIBERTIES, 1),
    PlaneGroup("capture size", 8, CAPTURE, 1),
    PlaneGroup("self-atari size", 8, SELF_ATARI, 1),
    PlaneGroup("liberties after move", 8, LIBERTIES_AFTER, 1),
    PlaneGroup("ladder capture", 1, FLAGS, LADDER_CAPTURE),
    PlaneGroup("ladder escape", 1, FLAGS, LADDER_ESCAPE),
    PlaneGroup("sensibleness", 1, FLAGS, SENSIBLE),
    PlaneGroup("zeros", 1, -1, 0),
)


@dataclass(frozen=True)
class PlaneSet:
    """A named input of a network. Weights name it and its version; loading refuses another."""

    name: str
    version: int
    groups: tuple[PlaneGroup, ...]  # empty for stones1, which is one plane of +1, -1 and 0

    @property
    def planes(self) -> int:
        return sum(group.planes for group in self.groups) or 1

    @property
    def dtype(self) -> type[np.uint8] | type[np.int8]:
        return np.uint8 if self.groups else np.int8


PLANE_SETS: dict[str, PlaneSet] = {
    plane_set.name: plane_set
    for plane_set in (
        PlaneSet("stones1", 1, ()),
        PlaneSet("alphago4", 1, GROUPS[:2]),
        PlaneSet("alphago12", 1, GROUPS[:3]),
        PlaneSet("alphago20", 1, GROUPS[:4]),
        PlaneSet("alphago48", 1, GROUPS),
    )
}


def plane_set(name: str) -> PlaneSet:
    """The plane set of that name; raises GoPolicyError where there is none."""
    try:
        return PLANE_SETS[name]
    except KeyError:
        raise GoPolicyError(f"there is no plane set {name!r}; there are {', '.join(PLANE_SETS)}") from None


# The sets by the number of their planes, as the kernels know them.
PLANES_WITH_MOVES = 20  # sets of more planes look at legal moves, ladders and eyes
# field and value of every plane, expanded from GROUPS: (48,) each
_PLANE_FIELD = np.array([group.field for group in GROUPS for _ in range(group.planes)], dtype=np.int64)
_PLANE_VALUE = np.array([group.first + (i if group.planes > 1 else 0) for group in GROUPS for i in range(group.planes)], dtype=np.int64)

MOST_ESCAPES = 8  # moves of an entry of the ladder memory; a chain with more is read anew each time

TRACKER = np.dtype(
    [
        ("serial", np.int64, (2,)),  # of the encoding, by the side to move
        ("stale", np.uint64, (2, WORDS)),  # cells whose move codes have to be made again
        ("changed", np.uint64, (2, WORDS)),  # cells and heads of chains that changed since the side was last encoded
        ("ladder_marks", np.uint64, (2, CELLS, WORDS)),  # what the ladders of a chain depend on
        ("ladder_serial", np.int64, (2, CELLS)),  # encoding for which they are known to hold
        ("ladder_moves", np.uint16, (2, CELLS, MOST_ESCAPES)),
        ("ladder_count", np.uint16, (2, CELLS)),
        ("move_codes", np.uint32, (2, CELLS)),  # of empty cells: fields CAPTURE to FLAGS without ladders, ko and eyes
        ("codes", np.uint32, (POINTS,)),
        ("turned", np.uint32, (POINTS,)),  # the codes under a symmetry
        ("fields", np.uint8, (8, 640)),  # the codes, a field a row
        ("prey", np.uint16, (CELLS,)),
    ],
    align=True,
)
Tracker = from_dtype(TRACKER)


@compiled(void(Tracker, State))
def forget(tracker: Any, state: Any) -> None:
    """Makes the tracker know nothing: for the first position of a game."""
    for side in range(2):
        tracker.serial[side] += 2
        for w in range(WORDS):
            tracker.stale[side, w] = uint64(0)
            tracker.changed[side, w] = uint64(0)
        for row in range(state.size):
            for column in range(state.size):
                set_bit(tracker.stale[side], state.stride, (row + 1) * state.stride + column)


@compiled(int64(State, Journal, Tracker, int64, int64))
def follow(state: Any, journal: Any, tracker: Any, cell: Any, colour: Any) -> Any:
    """``board.advance``, with the tracker told what changes."""
    if cell == 0:
        return advance(state, journal, 0, colour)
    stride = state.stride
    changed, other_changed = tracker.changed[0], tracker.changed[1]
    set_bit(changed, stride, cell)
    for d in range(4):
        q = neighbour(state, cell, d)
        if state.colour[q] == colour or state.colour[q] == -colour:
            set_bit(changed, stride, state.head[q])
    taken = advance(state, journal, cell, colour)
    stale, other_stale = tracker.stale[0], tracker.stale[1]
    row = state.liberties[state.head[cell]]
    for w in range(WORDS):
        stale[w] |= row[w]
    for d in range(4):
        q = neighbour(state, cell, d)
        if state.colour[q] == -colour:
            row = state.liberties[state.head[q]]
            for w in range(WORDS):
                stale[w] |= row[w]
    if taken > 0:
        for k in range(journal.captures[0]):
            first = int64(journal.captured[0, k])
            s = first
            while True:
                set_bit(stale, stride, s)
                for d in range(4):
                    q = neighbour(state, s, d)
                    if state.colour[q] == colour:
                        h = int64(state.head[q])
                        set_bit(changed, stride, h)
                        row = state.liberties[h]
                        for w in range(WORDS):
                            stale[w] |= row[w]
                s = int64(state.next[s])
                if s == first:
                    break
    # Both sides have the same to make again, each since it was last encoded.
    for w in range(WORDS):
        other_stale[w] |= stale[w]
        other_changed[w] |= changed[w]
    return taken


@compiled(int64(int64, int64))
def at_most(value: Any, limit: Any) -> Any:
    return value if value < limit else limit


@compiled(uint32(State, Reader, int64, int64))
def move_code(state: Any, reader: Any, cell: Any, colour: Any) -> Any:
    """The fields CAPTURE, SELF_ATARI, LIBERTIES_AFTER and FLAGS of a move of the colour at an empty cell.

    No ko, no ladders; SENSIBLE stands for legal, and SURROUNDED asks for a look at eyes.
    """
    stride = state.stride
    empty = 0
    chains = 0
    captured = 0
    stones = 1
    walls = 0
    own = own2 = own3 = own4 = int64(0)
    taken = taken2 = taken3 = taken4 = int64(0)
    captures = 0
    for d in range(4):
        q = neighbour(state, cell, d)
        c = state.colour[q]
        if c == EMPTY:
            empty += 1
        elif c == colour:
            walls += 1
            h = int64(state.head[q])
            if h != own and h != own2 and h != own3:
                chains += 1
                stones += state.stones[h]
                own4, own3, own2, own = own3, own2, own, h
        elif c == -colour:
            h = int64(state.head[q])
            if state.libs[h] == 1 and h != taken and h != taken2 and h != taken3:
                captures += 1
                captured += state.stones[h]
                taken4, taken3, taken2, taken = taken3, taken2, taken, h
        else:
            walls += 1
    if captures == 0 and chains == 0:
        libs = empty
    elif captures == 0 and chains == 1:
        row = state.liberties[own]
        libs = state.libs[own] - 1
        if empty > 0:
            for d in range(4):
                q = neighbour(state, cell, d)
                if state.colour[q] == EMPTY and not has_bit(row, stride, q):
                    libs += 1
    else:
        union = reader.union[:]
        first = state.liberties[own]
        for w in range(WORDS):
            union[w] = first[w] if chains > 0 else uint64(0)
        for k in range(1, chains):
            row = state.liberties[own2 if k == 1 else own3 if k == 2 else own4]
            for w in range(WORDS):
                union[w] |= row[w]
        for d in range(4):
            q = neighbour(state, cell, d)
            if state.colour[q] == EMPTY:
                set_bit(union, stride, q)
        for k in range(captures):
            start = taken if k == 0 else taken2 if k == 1 else taken3 if k == 2 else taken4
            s = start
            while True:
                for d in range(4):
                    q = neighbour(state, s, d)
                    h = int64(state.head[q])
                    if q == cell or (state.colour[q] == colour and (h == own or h == own2 or h == own3 or h == own4)):
                        set_bit(union, stride, s)
                s = int64(state.next[s])
                if s == start:
                    break
        clear_bit(union, stride, cell)
        libs = 0
        for w in range(WORDS):
            libs += popcount(union[w])
    code = 0
    if walls == 4:
        code |= SURROUNDED << (4 * FLAGS)
    if libs > 0:
        code |= (at_most(captured, 7) + 1) << (4 * CAPTURE)
        code |= at_most(libs, 8) << (4 * LIBERTIES_AFTER)
        if libs == 1:
            code |= at_most(stones, 8) << (4 * SELF_ATARI)
        code |= SENSIBLE << (4 * FLAGS)
    return uint32(code)


@compiled(void(State, Tracker, int64, int64, int64))
def set_flag(state: Any, tracker: Any, cell: Any, flag: Any, on: Any) -> None:
    point = point_of(state, cell)
    bit = uint32(flag << (4 * FLAGS))
    if on:
        tracker.codes[point] |= bit
    else:
        tracker.codes[point] &= ~bit


@compiled(void(State, Journal, Reader, Tracker, int64, int64))
def write_ladders(state: Any, journal: Any, reader: Any, tracker: Any, prey: Any, colour: Any) -> None:
    """Sets the ladder flags for one chain: an opponent's with two liberties, or an own one in atari."""
    side = 0 if colour == BLACK else 1
    hunters = state.colour[prey] != colour
    flag = LADDER_CAPTURE if hunters else LADDER_ESCAPE
    marks = tracker.ladder_marks[side, prey]
    ko_is_in_it = state.ko != 0 and state.ko_colour == colour and has_bit(marks, state.stride, state.ko)
    holds = tracker.ladder_serial[side, prey] == tracker.serial[side] - 1 and not ko_is_in_it
    if holds:
        for w in range(WORDS):
            holds = holds and (marks[w] & tracker.changed[side, w]) == uint64(0)
    if holds:
        tracker.ladder_serial[side, prey] = tracker.serial[side]
        for k in range(tracker.ladder_count[side, prey]):
            set_flag(state, tracker, tracker.ladder_moves[side, prey, k], flag, 1)
        return
    for w in range(WORDS):
        reader.marks[w] = uint64(0)
    set_bit(reader.marks[:], state.stride, prey)
    reader.suspects = 0
    suspect_around(state, reader, prey)
    count = 0
    first = next_bit(state.liberties[prey], state.stride, 0)
    mark_around(state, reader, first)
    if hunters:
        second = next_bit(state.liberties[prey], state.stride, first)
        mark_around(state, reader, second)
        for move, other in ((first, second), (second, first)):
            if is_legal(state, move, colour) and is_captured(state, journal, reader, prey, move, other):
                set_flag(state, tracker, move, flag, 1)
                tracker.ladder_moves[side, prey, count] = move
                count += 1
    else:
        stop = prey_answers(state, journal, reader, prey, 0)
        # The readings below use the same pool; the candidates wait in tracker.prey behind the preys.
        for k in range(stop):
            tracker.prey[CELLS - 1 - k] = reader.pool[k]
        for k in range(stop):
            move = int64(tracker.prey[CELLS - 1 - k])
            if not is_captured(state, journal, reader, prey, move, 0):
                set_flag(state, tracker, move, flag, 1)
                if count < MOST_ESCAPES:
                    tracker.ladder_moves[side, prey, count] = move
                count += 1
    if state.ko != 0 and state.ko_colour == colour and has_bit(reader.marks[:], state.stride, state.ko):
        count = MOST_ESCAPES + 1  # holds for this turn only
    if count <= MOST_ESCAPES:
        tracker.ladder_serial[side, prey] = tracker.serial[side]
        tracker.ladder_count[side, prey] = count
        for w in range(WORDS):
            marks[w] = reader.marks[w]


@compiled(void(State, Journal, Reader, Tracker, int64, int64))
def write_codes(state: Any, journal: Any, reader: Any, tracker: Any, colour: Any, planes: Any) -> None:
    """Writes ``tracker.codes`` of the position with ``colour`` to move; ``planes`` says how much is wanted."""
    side = 0 if colour == BLACK else 1
    size, stride = state.size, state.stride
    tracker.serial[side] += 1
    moves = planes > PLANES_WITH_MOVES
    move_codes = tracker.move_codes[side]
    if moves:
        stale = tracker.stale[side]
        for w in range(WORDS):
            word = stale[w]
            stale[w] = uint64(0)
            while word != uint64(0):
                cell = w * 64 + lowest_bit(word) + stride
                word &= word - uint64(1)
                if state.colour[cell] == EMPTY:
                    move_codes[cell] = move_code(state, reader, cell, colour)
    eyes = 0
    preys = 0
    point = 0
    surrounded = uint32(SURROUNDED << (4 * FLAGS))
    for row in range(size):
        start = (row + 1) * stride
        for cell in range(start, start + size):
            c = state.colour[cell]
            if c == EMPTY:
                code = uint32(3)
                if moves:
                    code |= move_codes[cell]
                    if code & surrounded:
                        journal.eyes[eyes] = cell
                        eyes += 1
            else:
                head = int64(state.head[cell])
                libs = int64(state.libs[head])
                age = at_most(state.turn - state.played[cell], 8)
                code = uint32((1 if c == colour else 2) | age << (4 * AGE) | at_most(libs, 8) << (4 * LIBERTIES))
                if head == cell and libs == (1 if c == colour else 2):
                    tracker.prey[preys] = cell
                    preys += 1
            tracker.codes[point] = code
            point += 1
    if not moves:
        return
    eyes = keep_true_eyes(state, journal, colour, eyes)
    for i in range(eyes):
        set_flag(state, tracker, journal.eyes[i], SENSIBLE, 0)
    if state.ko != 0 and state.ko_colour == colour:
        tracker.codes[point_of(state, state.ko)] = uint32(3)
    for i in range(preys):
        write_ladders(state, journal, reader, tracker, tracker.prey[i], colour)
    for w in range(WORDS):
        tracker.changed[side, w] = uint64(0)


@compiled(void(Tracker, int64, uint16[::1], uint8[:, ::1]))
def expand(tracker: Any, points: Any, table: Any, planes: Any) -> None:
    """Writes the planes (P, N*N) uint8 of the codes under a symmetry; P is 4, 12, 20 or 48, or 1 for stones1 (as int8 bytes)."""
    fields, turned = tracker.fields, tracker.turned
    for i in range(points):
        turned[i] = tracker.codes[table[i]]
    for f in range(7):
        field_row = fields[f]
        shift = uint32(4 * f)
        for i in range(points):
            field_row[i] = (turned[i] >> shift) & uint32(15)
    if planes.shape[0] == 1:
        for i in range(points):
            planes[0, i] = 1 if fields[0, i] == 1 else 255 if fields[0, i] == 2 else 0
        return
    for p in range(planes.shape[0]):
        out = planes[p]
        field = _PLANE_FIELD[p]
        value = uint8(_PLANE_VALUE[p])
        if field < 0:
            for i in range(points):
                out[i] = value
        elif field == FLAGS:
            source = fields[FLAGS]
            for i in range(points):
                out[i] = uint8(1) if source[i] & value else uint8(0)
        else:
            source = fields[field]
            for i in range(points):
                out[i] = uint8(1) if source[i] == value else uint8(0)


class Workspace:
    """What a thread needs to follow a game and encode it; not to be shared between threads."""

    def __init__(self) -> None:
        self.state = np.zeros(1, dtype=STATE)[0]
        self.journal = np.zeros(1, dtype=JOURNAL)[0]
        self.reader = np.zeros(1, dtype=READER)[0]
        self.tracker = np.zeros(1, dtype=TRACKER)[0]


_workspaces = threading.local()


def workspace() -> Workspace:
    """The workspace of this thread."""
    if not hasattr(_workspaces, "mine"):
        _workspaces.mine = Workspace()
    mine: Workspace = _workspaces.mine
    return mine


def encode(board: Board, planes: str = "alphago48", *, colour: int | None = None) -> npt.NDArray[Any]:
    """The planes of a position, for the player to move or for ``colour``: (P, N, N) uint8 (int8 for ``stones1``).

    Raises GoPolicyError for a plane set that does not exist.
    """
    chosen = plane_set(planes)
    size = board.size
    out = np.empty((chosen.planes, size, size), dtype=np.uint8)
    space = workspace()
    colour = board.to_play if colour is None else colour
    forget(space.tracker, board.state)
    write_codes(board.state, board.journal, space.reader, space.tracker, colour, chosen.planes)
    expand(space.tracker, size * size, symmetry.tables(size)[0], out.reshape(chosen.planes, size * size))
    return out.view(chosen.dtype)
