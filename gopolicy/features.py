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
from numba import from_dtype, int8, int64, uint8, uint16, uint32, uint64, void

from gopolicy import symmetry
from gopolicy.board import (
    BORDER,
    CELLS,
    JOURNAL,
    STATE,
    WORDS,
    Board,
    Journal,
    State,
    advance,
    check_board,
    clear_bit,
    has_bit,
    is_legal,
    keep_true_eyes,
    neighbour,
    next_bit,
    set_bit,
)
from gopolicy.compiled import compiled, lowest_bit, popcount
from gopolicy.coords import BLACK, EMPTY, check_colour
from gopolicy.errors import GoPolicyError
from gopolicy.ladders import READER, Reader, begin, is_captured, mark_around, prey_answers, suspect_around

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
    except (KeyError, TypeError):
        raise GoPolicyError(f"there is no plane set {name!r}; there are {', '.join(PLANE_SETS)}") from None


# The sets by the number of their planes, as the kernels know them.
PLANES_WITH_MOVES = sum(group.planes for group in GROUPS[:4])  # sets of more planes look at legal moves, ladders and eyes
# field and value of every plane, expanded from GROUPS: (48,) each
_PLANE_FIELD = np.array([group.field for group in GROUPS for _ in range(group.planes)], dtype=np.int64)
_PLANE_VALUE = np.array([group.first + (i if group.planes > 1 else 0) for group in GROUPS for i in range(group.planes)], dtype=np.int64)

# What lies at a cell, for the player to move: bits, so that neighbours can be looked at together.
OPEN, OWN, OTHER, CAPTURABLE, OFF = (np.uint8(1 << i) for i in range(5))
NOT_SIMPLE = np.uint8(255)
# Parts of codes, as uint32: mixed with other integers they would all be widened.
_NOTHING, _EMPTY, _LONGEST, _SURROUNDED = np.uint32(0), np.uint32(3), np.uint32(8), np.uint32(SURROUNDED << (4 * FLAGS))
_LEGAL = np.uint32(SENSIBLE << (4 * FLAGS) | 1 << (4 * CAPTURE))  # a move that captures nothing
_LAST_LIBERTY = np.uint32(_LEGAL | 1 << (4 * SELF_ATARI))  # one that leaves its one stone in atari
_AGE, _LIBERTIES, _LIBERTIES_AFTER = np.uint32(4 * AGE), np.uint32(4 * LIBERTIES), np.uint32(4 * LIBERTIES_AFTER)
BLOCK = 64  # bytes: planes are expanded by registers of the widest processors
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
        ("codes", np.uint32, (CELLS + BLOCK,)),
        ("kinds", np.uint8, (CELLS,)),  # OPEN, OWN, OTHER …
        ("chain_libs", np.uint8, (CELLS,)),  # liberties of the chain there, at most 8
        ("simple", np.uint8, (CELLS,)),  # liberties of a move there that joins and captures nothing, else NOT_SIMPLE
        ("by_point", np.uint32, (640,)),
        ("turned", np.uint32, (640,)),  # under a symmetry
        ("fields", np.uint8, (8, 640)),  # the codes, a field a row
        ("prey", np.uint16, (CELLS,)),
    ],
    align=True,
)
Tracker = from_dtype(TRACKER)


@compiled(void(Tracker, State), apart=True)
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


@compiled(int64(State, Journal, Tracker, int64, int64), apart=True)
def follow(state: Any, journal: Any, tracker: Any, cell: Any, colour: Any) -> Any:
    """``board.advance``, with the tracker told what changes."""
    if cell == 0:
        return advance(state, journal, 0, colour)
    stride = state.stride
    side = 0 if colour == BLACK else 1
    changed, other_changed = tracker.changed[0], tracker.changed[1]
    set_bit(changed, stride, cell)
    for d in range(4):
        q = neighbour(state, cell, d)
        if state.colour[q] == colour or state.colour[q] == -colour:
            set_bit(changed, stride, state.head[q])
    taken = advance(state, journal, cell, colour)
    # A chain's liberties and stones concern the moves of its own side, and those of the other side only if it can be captured.
    mine, theirs = tracker.stale[side], tracker.stale[1 - side]
    row = state.liberties[state.head[cell]]
    for w in range(WORDS):
        mine[w] |= row[w]
    if state.libs[state.head[cell]] == 1:
        for w in range(WORDS):
            theirs[w] |= row[w]
    for d in range(4):
        q = neighbour(state, cell, d)
        c = state.colour[q]
        if c == EMPTY:
            set_bit(theirs, stride, q)
        elif c == -colour:
            row = state.liberties[state.head[q]]
            for w in range(WORDS):
                theirs[w] |= row[w]
            if state.libs[state.head[q]] == 1:
                for w in range(WORDS):
                    mine[w] |= row[w]
    if taken > 0:
        for k in range(journal.captures[0]):
            first = int64(journal.captured[0, k])
            s = first
            while True:
                set_bit(mine, stride, s)
                set_bit(theirs, stride, s)
                for d in range(4):
                    q = neighbour(state, s, d)
                    if state.colour[q] == colour:
                        h = int64(state.head[q])
                        set_bit(changed, stride, h)
                        row = state.liberties[h]
                        for w in range(WORDS):
                            mine[w] |= row[w]
                            theirs[w] |= row[w]
                s = int64(state.next[s])
                if s == first:
                    break
    for w in range(WORDS):
        other_changed[w] |= changed[w]
    return taken


@compiled(int64(int64, int64), inner=True)
def at_most(value: Any, limit: Any) -> Any:
    return value if value < limit else limit


@compiled(uint32(int64, int64, int64, int64), inner=True)
def packed_move_code(captured: Any, stones: Any, libs: Any, walls: Any) -> Any:
    """The code of a move that captures so many stones and makes a chain of so many stones with so many liberties."""
    code = SURROUNDED << (4 * FLAGS) if walls == 4 else 0
    if libs > 0:
        code |= (at_most(captured, 7) + 1) << (4 * CAPTURE)
        code |= at_most(libs, 8) << (4 * LIBERTIES_AFTER)
        code |= SENSIBLE << (4 * FLAGS)
        if libs == 1:
            code |= at_most(stones, 8) << (4 * SELF_ATARI)
    return uint32(code)


@compiled(uint32(State, Reader, int64, int64), inner=True, apart=True)
def move_code_by_union(state: Any, reader: Any, cell: Any, colour: Any) -> Any:
    """``move_code`` of any move, its liberties counted as the union of those of the chains it joins and captures."""
    stride = state.stride
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
        if c == colour:
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
        elif c == BORDER:
            walls += 1
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
                if q == uint64(cell) or (state.colour[q] == colour and (h == own or h == own2 or h == own3 or h == own4)):
                    set_bit(union, stride, s)
            s = int64(state.next[s])
            if s == start:
                break
    clear_bit(union, stride, cell)
    libs = 0
    for w in range(WORDS):
        libs += popcount(union[w])
    return packed_move_code(captured, stones, libs, walls)


@compiled(uint32(State, Reader, int64, int64), inner=True, apart=True)
def move_code(state: Any, reader: Any, cell: Any, colour: Any) -> Any:
    """The fields CAPTURE, SELF_ATARI, LIBERTIES_AFTER and FLAGS of a move of the colour at an empty cell.

    No ko, no ladders; SENSIBLE stands for legal, and SURROUNDED asks for a look at eyes.
    """
    # What most cells need, with as few branches as can be: no capture, at most one own chain to join.
    own = neighbour(state, cell, 0)
    empty = walls = joins = captures = 0
    for d in range(4):
        q = neighbour(state, cell, d)
        c = state.colour[q]
        joins += c == colour
        empty += c == EMPTY
        walls += c == BORDER
        captures += (c == -colour) & (state.libs[state.head[q]] == 1)
        own = q if c == colour else own
    if captures == 0:
        if joins == 0:
            return packed_move_code(0, 1, empty, walls)
        h = state.head[own]
        row = state.liberties[h]
        libs = int64(state.libs[h]) - 1
        others = 0
        for d in range(4):
            q = neighbour(state, cell, d)
            c = state.colour[q]
            others += (c == colour) & (state.head[q] != h)
            libs += not has_bit(row, state.stride, q if c == EMPTY else uint64(cell))  # the cell itself is in the row
        if others == 0:
            return packed_move_code(0, 1 + int64(state.stones[h]), libs, walls + joins)
    return move_code_by_union(state, reader, cell, colour)


@compiled(void(Tracker, int64, int64, int64), inner=True)
def set_flag(tracker: Any, cell: Any, flag: Any, on: Any) -> None:
    bit = uint32(flag << (4 * FLAGS))
    if on:
        tracker.codes[cell] |= bit
    else:
        tracker.codes[cell] &= ~bit


@compiled(void(State, Journal, Reader, Tracker, int64, int64), inner=True, apart=True)
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
            set_flag(tracker, tracker.ladder_moves[side, prey, k], flag, 1)
        return
    begin(reader)
    set_bit(reader.marks[:], state.stride, prey)
    suspect_around(state, reader, prey)
    count = 0
    first = next_bit(state.liberties[prey], state.stride, 0)
    mark_around(state, reader, first)
    if hunters:
        second = next_bit(state.liberties[prey], state.stride, first)
        mark_around(state, reader, second)
        for move, other in ((first, second), (second, first)):
            if is_legal(state, move, colour) and is_captured(state, journal, reader, prey, move, other):
                set_flag(tracker, move, flag, 1)
                tracker.ladder_moves[side, prey, count] = move
                count += 1
    else:
        stop = prey_answers(state, reader, prey, 0)
        # The readings below use the same pool; the candidates wait in tracker.prey behind the preys.
        for k in range(stop):
            tracker.prey[CELLS - 1 - k] = reader.pool[k]
        for k in range(stop):
            move = int64(tracker.prey[CELLS - 1 - k])
            if not is_captured(state, journal, reader, prey, move, 0):
                set_flag(tracker, move, flag, 1)
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


@compiled(void(State, Journal, Reader, Tracker, int64, int64), apart=True)
def write_codes(state: Any, journal: Any, reader: Any, tracker: Any, colour: Any, planes: Any) -> None:
    """Writes ``tracker.codes`` of the position with ``colour`` to move; ``planes`` says how much is wanted."""
    side = 0 if colour == BLACK else 1
    stride = uint64(state.stride)
    tracker.serial[side] += 1
    moves = planes > PLANES_WITH_MOVES
    colours, codes, kinds, simple = state.colour, tracker.codes, tracker.kinds, tracker.simple
    move_codes, stale = tracker.move_codes[side], tracker.stale[side]
    turn, own = np.int32(state.turn), int8(colour)
    # What all cells need is done without branches, many cells at a time: the colours of neighbouring points cannot be foretold.
    # Cells are counted as uint64 here: a signed index would be looked at each time.
    first, end = stride, (uint64(state.size) + uint64(1)) * stride
    preys = 0
    chain_libs = tracker.chain_libs
    for k in range(first, end):
        head = state.head[k]
        libs = state.libs[head]
        chain_libs[k] = at_most(libs, 8)  # of no meaning where no stone lies
        if (head == k) & (libs <= 2) and libs == (1 if colours[k] == own else 2) and colours[k] & 1:
            tracker.prey[preys] = k
            preys += 1
    for k in range(uint64(0), end + stride):
        c = colours[k]
        kind = CAPTURABLE if chain_libs[k] == 1 else OTHER
        kind = OFF if c == BORDER else kind
        kind = OWN if c == own else kind
        kinds[k] = OPEN if c == EMPTY else kind
    for k in range(first, end):
        age = uint32(turn - state.played[k])
        age = age if age < _LONGEST else _LONGEST
        code = uint32(uint32(1 if colours[k] == own else 2) | uint32(age << _AGE) | uint32(uint32(chain_libs[k]) << _LIBERTIES))
        codes[k] = _EMPTY if colours[k] == EMPTY else code
    if not moves:
        return
    # A move that joins and captures nothing has the liberties of its own stone.
    for k in range(first, end):
        up, left, right, down = kinds[k - stride], kinds[k - uint64(1)], kinds[k + uint64(1)], kinds[k + stride]
        empty = uint8(up == OPEN) + uint8(left == OPEN) + uint8(right == OPEN) + uint8(down == OPEN)
        joins = ((up | left | right | down) & (OWN | CAPTURABLE)) != 0
        simple[k] = NOT_SIMPLE if joins & (kinds[k] == OPEN) else uint8(empty)
    for w in range(WORDS):
        word = stale[w]
        stale[w] = uint64(0)
        while word != uint64(0):
            cell = w * 64 + lowest_bit(word) + state.stride
            word &= word - uint64(1)
            if simple[cell] == NOT_SIMPLE:
                move_codes[cell] = move_code(state, reader, cell, colour)
    for k in range(first, end):
        libs_after = uint32(simple[k])
        code = uint32(uint32(libs_after << _LIBERTIES_AFTER) | (_LAST_LIBERTY if libs_after == 1 else _LEGAL))
        code = code if libs_after != 0 else _NOTHING
        code = move_codes[k] if libs_after == NOT_SIMPLE else code
        codes[k] |= code if colours[k] == EMPTY else _NOTHING
    eyes = 0
    for block in range(first, end, uint64(BLOCK)):
        seen = _NOTHING
        for i in range(uint64(BLOCK)):
            seen = uint32(seen | codes[block + i])
        if seen & _SURROUNDED:
            for k in range(block, block + uint64(BLOCK)):
                if k < end and codes[k] & _SURROUNDED:
                    journal.eyes[eyes] = k
                    eyes += 1
    eyes = keep_true_eyes(state, journal, colour, eyes)
    for i in range(eyes):
        set_flag(tracker, journal.eyes[i], SENSIBLE, 0)
    if state.ko != 0 and state.ko_colour == colour:
        codes[state.ko] = _EMPTY
    for i in range(preys):
        write_ladders(state, journal, reader, tracker, tracker.prey[i], colour)
    for w in range(WORDS):
        tracker.changed[side, w] = uint64(0)


@compiled(void(State, Tracker, uint16[::1], uint8[::1]), apart=True)
def expand(state: Any, tracker: Any, table: Any, out: Any) -> None:
    """Writes the planes (P*N*N,) uint8 of the codes under a symmetry; P is 4, 12, 20 or 48, or 1 for stones1 (as int8 bytes)."""
    size, stride = uint64(state.size), uint64(state.stride)
    points = size * size
    fields, turned, codes = tracker.fields, tracker.turned, tracker.by_point
    for row in range(size):
        for column in range(size):
            codes[row * size + column] = tracker.codes[(row + uint64(1)) * stride + column]
    for i in range(points):
        turned[i] = codes[table[i]]
    padded = (points + uint64(BLOCK - 1)) // uint64(BLOCK) * uint64(BLOCK)
    for f in range(7):
        shift = uint32(4 * f)
        row_of_field = fields[f]
        for i in range(padded):
            row_of_field[i] = (turned[i] >> shift) & uint32(15)
    if uint64(len(out)) == points:
        for i in range(points):
            out[i] = 1 if fields[0, i] == 1 else 255 if fields[0, i] == 2 else 0
        return
    # Whole blocks at a time: what a plane writes beyond its end, the next plane overwrites. The last one ends where it ends.
    for p in range(len(out) // int64(points)):
        field = _PLANE_FIELD[p]
        value = uint8(_PLANE_VALUE[p])
        start = uint64(p) * points
        count = padded if start + padded <= uint64(len(out)) else points
        if field < 0:
            for i in range(points):
                out[start + i] = value
        elif field == FLAGS:
            source = fields[FLAGS]
            for i in range(count):
                out[start + i] = uint8(1) if source[i] & value else uint8(0)
        else:
            source = fields[field]
            for i in range(count):
                out[start + i] = uint8(1) if source[i] == value else uint8(0)


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

    Raises GoPolicyError for a plane set, or a colour, that does not exist.
    """
    chosen = plane_set(planes)
    size = check_board(board).size
    out = np.empty((chosen.planes, size, size), dtype=np.uint8)
    space = workspace()
    colour = check_colour(board.to_play if colour is None else colour)
    forget(space.tracker, board.state)
    write_codes(board.state, board.journal, space.reader, space.tracker, colour, chosen.planes)
    expand(board.state, space.tracker, symmetry.tables(size)[0], out.reshape(-1))
    return out.view(chosen.dtype)
