"""The rules of Go: compiled kernels on a plain record, and ``Board``, a thin Python face of them.

Glossary
    cell      where a point lies in the padded arrays of ``STATE``: ``(row + 1) * (N + 1) + column``; the cells around
              the board hold ``BORDER``, so that the four neighbours of any cell can be read without a check
    chain     stones of one colour joined along lines; named by one of its cells, its *head*
    liberties of a chain: a set of cells as a row of bits, bit ``cell - (N + 1)``

One stone played costs a few dozen nanoseconds; what it changed is written to a ``JOURNAL``, so that reading ahead
takes moves back instead of copying boards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt
from numba import from_dtype, int8, int16, int64, types, uint64, void

from gopolicy.compiled import compiled, lowest_bit, popcount
from gopolicy.coords import BLACK, EMPTY, MAX_SIZE, PASS, WHITE, check_colour, check_size, colour_name, point_from_gtp, point_to_gtp
from gopolicy.errors import GoPolicyError, IllegalMoveError, UsageError, as_index, whole_number

BORDER = 2
CELLS = (MAX_SIZE + 2) * (MAX_SIZE + 1) + 2  # 704
WORDS = 12  # 768 bits: one AVX-512 register and a half
PLIES = 404  # journal frames: the longest ladder line, and a little
LONG_AGO = -10_000  # "last played" of setup stones

STATE = np.dtype(
    [
        ("zobrist", np.uint64),  # of the stones on the board
        ("size", np.int64),
        ("stride", np.int64),  # N + 1, the step from one row to the next
        ("turn", np.int64),  # turns taken, passes too
        ("ko", np.int64),  # the cell that ko_colour may not play at, or 0
        ("ko_colour", np.int64),
        ("prisoners", np.int64, (2,)),  # stones captured by black, by white
        ("liberties", np.uint64, (CELLS, WORDS)),  # of the chain whose head it is
        ("colour", np.int8, (CELLS,)),
        ("head", np.uint16, (CELLS,)),
        ("next", np.uint16, (CELLS,)),  # ring of the stones of a chain
        ("stones", np.uint16, (CELLS,)),  # number of stones of the chain whose head it is
        ("libs", np.uint16, (CELLS,)),  # number of its liberties
        ("played", np.int16, (CELLS,)),  # turn in which the stone there was played
    ],
    align=True,
)
JOURNAL = np.dtype(
    [
        ("top", np.int64),
        ("liberties", np.uint64, (PLIES, WORDS)),
        ("merge_liberties", np.uint64, (PLIES, 4, WORDS)),
        ("ko", np.int64, (PLIES,)),
        ("ko_colour", np.int64, (PLIES,)),
        ("cell", np.uint16, (PLIES,)),
        ("head", np.uint16, (PLIES,)),
        ("next", np.uint16, (PLIES,)),
        ("stones", np.uint16, (PLIES,)),
        ("libs", np.uint16, (PLIES,)),
        ("merges", np.uint16, (PLIES,)),
        ("merge_into", np.uint16, (PLIES, 4)),
        ("merge_from", np.uint16, (PLIES, 4)),
        ("merge_stones", np.uint16, (PLIES, 4)),
        ("merge_libs", np.uint16, (PLIES, 4)),
        ("captures", np.uint16, (PLIES,)),
        ("captured", np.uint16, (PLIES, 4)),
        ("eyes", np.uint16, (CELLS,)),  # scratch of keep_true_eyes
        ("is_eye", np.int8, (CELLS,)),
    ],
    align=True,
)

State = from_dtype(STATE)
Journal = from_dtype(JOURNAL)
ZOBRIST = np.random.default_rng(20160127).integers(1, 2**63, size=(2, CELLS), dtype=np.uint64)


# Cells read from a board are unsigned: a signed index costs numba a look whether it counts from the end.


@compiled(uint64(State, int64, int64), inner=True)
def neighbour(state: Any, cell: Any, direction: Any) -> Any:
    if direction == 0:
        return uint64(cell - state.stride)
    if direction == 1:
        return uint64(cell - 1)
    if direction == 2:
        return uint64(cell + 1)
    return uint64(cell + state.stride)


@compiled(int64(State, int64))
def cell_of(state: Any, point: Any) -> Any:
    return (point // state.size + 1) * state.stride + point % state.size


@compiled(int64(State, int64))
def point_of(state: Any, cell: Any) -> Any:
    return (cell // state.stride - 1) * state.size + cell % state.stride


@compiled(types.boolean(uint64[::1], int64, int64), inner=True, inline=True)
def has_bit(bits: Any, stride: Any, cell: Any) -> Any:
    bit = cell - stride
    return (bits[uint64(bit) >> uint64(6)] >> uint64(bit & 63)) & uint64(1) != uint64(0)


@compiled(void(uint64[::1], int64, int64), inner=True, inline=True)
def set_bit(bits: Any, stride: Any, cell: Any) -> None:
    bit = cell - stride
    bits[uint64(bit) >> uint64(6)] |= uint64(1) << uint64(bit & 63)


@compiled(void(uint64[::1], int64, int64), inner=True)
def clear_bit(bits: Any, stride: Any, cell: Any) -> None:
    bit = cell - stride
    bits[uint64(bit) >> uint64(6)] &= ~(uint64(1) << uint64(bit & 63))


@compiled(int64(uint64[::1], int64, int64), inner=True, inline=True)
def next_bit(bits: Any, stride: Any, after: Any) -> Any:
    """The first cell of the set behind ``after`` (0: from the start), or 0."""
    bit = after - stride + 1 if after > 0 else 0
    w = bit >> 6
    if w >= WORDS:
        return 0
    word = bits[w] & (~uint64(0) << uint64(bit & 63))
    while word == uint64(0):
        w += 1
        if w >= WORDS:
            return 0
        word = bits[w]
    return w * 64 + lowest_bit(word) + stride


@compiled(void(State, int64), apart=True)
def clear(state: Any, size: Any) -> None:
    """Makes it the empty board of that size."""
    stride = size + 1
    state.zobrist = uint64(0)
    state.size, state.stride, state.turn, state.ko, state.ko_colour = size, stride, 0, 0, 0
    state.prisoners[0] = 0
    state.prisoners[1] = 0
    for cell in range(CELLS):
        state.colour[cell] = BORDER
        state.played[cell] = LONG_AGO
    for row in range(size):
        for column in range(size):
            state.colour[(row + 1) * stride + column] = EMPTY


@compiled(types.boolean(State, int64, int64), inline=True)
def is_legal(state: Any, cell: Any, colour: Any) -> Any:
    """Empty, no suicide, no retaking of a simple ko."""
    if state.colour[cell] != EMPTY or (cell == state.ko and colour == state.ko_colour):
        return False
    for d in range(4):
        q = neighbour(state, cell, d)
        c = state.colour[q]
        if c == EMPTY:
            return True
        if c == colour:
            if state.libs[state.head[q]] > 1:
                return True
        elif c == -colour and state.libs[state.head[q]] == 1:
            return True
    return False


@compiled(int64(State, Journal, int64, int64), inner=True, apart=True)
def play(state: Any, journal: Any, cell: Any, colour: Any) -> Any:
    """Plays a stone at a legal cell; returns the number of stones it captures. ``take_back`` undoes it.

    Turn, ages and the Zobrist key are left to ``advance``: reading ahead has no use for them.
    """
    f = uint64(journal.top)
    journal.top += 1
    stride = state.stride
    journal.cell[f] = cell
    journal.ko[f] = state.ko
    journal.ko_colour[f] = state.ko_colour
    # The cell may name a chain captured earlier in this line, which will come back.
    journal.head[f] = state.head[cell]
    journal.next[f] = state.next[cell]
    journal.stones[f] = state.stones[cell]
    journal.libs[f] = state.libs[cell]
    mine = state.liberties[cell]
    saved = journal.liberties[f]
    for w in range(WORDS):
        saved[w] = mine[w]
        mine[w] = uint64(0)
    state.colour[cell] = colour
    state.head[cell] = cell
    state.next[cell] = cell
    state.stones[cell] = 1
    head = cell
    libs = 0
    captures = 0
    merges = 0
    for d in range(4):
        q = neighbour(state, cell, d)
        if state.colour[q] == EMPTY:
            set_bit(mine, stride, q)
            libs += 1
    state.libs[cell] = libs
    for d in range(4):
        q = neighbour(state, cell, d)
        c = state.colour[q]
        if c == -colour:
            h = state.head[q]
            row = state.liberties[h]
            if has_bit(row, stride, cell):
                clear_bit(row, stride, cell)
                state.libs[h] -= 1
                if state.libs[h] == 0:
                    journal.captured[f, captures] = h
                    captures += 1
        elif c == colour:
            h = int64(state.head[q])
            if h != head:
                into, gone = (h, head) if state.stones[h] >= state.stones[head] else (head, h)
                journal.merge_into[f, merges] = into
                journal.merge_from[f, merges] = gone
                journal.merge_stones[f, merges] = state.stones[into]
                journal.merge_libs[f, merges] = state.libs[into]
                kept, added, before = state.liberties[into], state.liberties[gone], journal.merge_liberties[f, merges]
                total = 0
                for w in range(WORDS):
                    before[w] = kept[w]
                    kept[w] |= added[w]
                clear_bit(kept, stride, cell)
                for w in range(WORDS):
                    total += popcount(kept[w])
                state.libs[into] = total
                state.stones[into] += state.stones[gone]
                s = gone
                while True:
                    state.head[s] = into
                    s = state.next[s]
                    if s == gone:
                        break
                state.next[into], state.next[gone] = state.next[gone], state.next[into]
                merges += 1
                head = into
    journal.merges[f] = merges
    journal.captures[f] = captures
    taken = 0
    state.ko = 0
    if captures > 0:
        for k in range(captures):
            first = int64(journal.captured[f, k])
            s = first
            while True:
                state.colour[s] = EMPTY
                taken += 1
                for d in range(4):
                    q = neighbour(state, s, d)
                    if state.colour[q] == colour:
                        h = state.head[q]
                        row = state.liberties[h]
                        if not has_bit(row, stride, s):
                            set_bit(row, stride, s)
                            state.libs[h] += 1
                s = int64(state.next[s])
                if s == first:
                    break
        if taken == 1 and state.stones[head] == 1 and state.libs[head] == 1:
            state.ko = journal.captured[f, 0]
            state.ko_colour = -colour
    return taken


@compiled(void(State, Journal), inner=True, apart=True)
def take_back(state: Any, journal: Any) -> None:
    """Undoes the last ``play`` of the journal."""
    journal.top -= 1
    f = uint64(journal.top)
    stride = state.stride
    cell = int64(journal.cell[f])
    colour = state.colour[cell]
    for k in range(journal.captures[f]):
        first = int64(journal.captured[f, k])
        s = first
        while True:
            state.colour[s] = -colour
            for d in range(4):
                q = neighbour(state, s, d)
                if state.colour[q] == colour:
                    h = state.head[q]
                    row = state.liberties[h]
                    if has_bit(row, stride, s):
                        clear_bit(row, stride, s)
                        state.libs[h] -= 1
            s = int64(state.next[s])
            if s == first:
                break
    for k in range(journal.merges[f] - 1, -1, -1):
        into, gone = int64(journal.merge_into[f, k]), int64(journal.merge_from[f, k])
        state.next[into], state.next[gone] = state.next[gone], state.next[into]
        state.stones[into] = journal.merge_stones[f, k]
        state.libs[into] = journal.merge_libs[f, k]
        row, before = state.liberties[into], journal.merge_liberties[f, k]
        for w in range(WORDS):
            row[w] = before[w]
        s = gone
        while True:
            state.head[s] = gone
            s = int64(state.next[s])
            if s == gone:
                break
    state.colour[cell] = EMPTY
    for d in range(4):
        q = neighbour(state, cell, d)
        if state.colour[q] == -colour:
            h = state.head[q]
            row = state.liberties[h]
            if not has_bit(row, stride, cell):
                set_bit(row, stride, cell)
                state.libs[h] += 1
    state.ko = journal.ko[f]
    state.ko_colour = journal.ko_colour[f]
    state.head[cell] = journal.head[f]
    state.next[cell] = journal.next[f]
    state.stones[cell] = journal.stones[f]
    state.libs[cell] = journal.libs[f]
    row, before = state.liberties[cell], journal.liberties[f]
    for w in range(WORDS):
        row[w] = before[w]


@compiled(int64(State, Journal, int64, int64), apart=True)
def advance(state: Any, journal: Any, cell: Any, colour: Any) -> Any:
    """A turn of the game: a stone at a legal cell, or a pass (cell 0). Returns the number of stones captured."""
    taken = 0
    if cell == 0:
        state.ko = 0
    else:
        journal.top = 0
        taken = play(state, journal, cell, colour)
        side = 0 if colour == BLACK else 1
        state.zobrist ^= ZOBRIST[side, cell]
        state.played[cell] = state.turn
        if taken > 0:
            state.prisoners[side] += taken
            for k in range(journal.captures[0]):
                first = int64(journal.captured[0, k])
                s = first
                while True:
                    state.zobrist ^= ZOBRIST[1 - side, s]
                    s = int64(state.next[s])
                    if s == first:
                        break
    state.turn += 1
    return taken


@compiled(uint64(State, int64, int64))
def zobrist_after(state: Any, cell: Any, colour: Any) -> Any:
    """The Zobrist key of the stones after a legal move."""
    side = 0 if colour == BLACK else 1
    key = state.zobrist ^ ZOBRIST[side, cell]
    for d in range(4):
        q = neighbour(state, cell, d)
        if state.colour[q] == -colour and state.libs[state.head[q]] == 1:
            h = state.head[q]
            seen = False
            for e in range(d):
                r = neighbour(state, cell, e)
                seen = seen or (state.colour[r] == -colour and state.head[r] == h)
            if not seen:
                s = int64(q)
                while True:
                    key ^= ZOBRIST[1 - side, s]
                    s = int64(state.next[s])
                    if s == q:
                        break
    return key


@compiled(void(State, int64, int8[::1], uint64[::1]))
def zobrist_after_all(state: Any, colour: Any, legal: Any, keys: Any) -> None:
    """Writes ``zobrist_after`` of the legal points: (N*N,) each; 0 at the others."""
    for point in range(len(legal)):
        keys[point] = zobrist_after(state, cell_of(state, point), colour) if legal[point] else uint64(0)


@compiled(int64(State, Journal, int8[::1]), apart=True)
def set_stones(state: Any, journal: Any, colours: Any) -> Any:
    """Sets up the stones of a position, (N*N,) int8; everything else as on a new board of that size.

    Returns -1, or a point of a chain that has no liberty (the state is then of no use).
    """
    clear(state, state.size)
    for point in range(state.size * state.size):
        colour = int64(colours[point])
        if colour != EMPTY:
            # Stones only take liberties away: where one of them captures, its victims would have none in the end either.
            cell = cell_of(state, point)
            journal.top = 0
            taken = play(state, journal, cell, colour)
            state.zobrist ^= ZOBRIST[0 if colour == BLACK else 1, cell]
            if taken > 0:
                return point_of(state, journal.captured[0, 0])
            if state.libs[state.head[cell]] == 0:
                return point
    return -1


@compiled(types.boolean(State, int64, int64), inner=True, inline=True)
def is_surrounded(state: Any, cell: Any, colour: Any) -> Any:
    """All neighbours on the board are stones of that colour."""
    for d in range(4):
        c = state.colour[neighbour(state, cell, d)]
        if c != colour and c != BORDER:
            return False
    return True


@compiled(uint64(State, int64, int64), inner=True)
def diagonal(state: Any, cell: Any, direction: Any) -> Any:
    if direction == 0:
        return uint64(cell - state.stride - 1 if cell > state.stride else 0)  # the first cell has none; cell 0 is border
    if direction == 1:
        return uint64(cell - state.stride + 1)
    if direction == 2:
        return uint64(cell + state.stride - 1)
    return uint64(cell + state.stride + 1)


@compiled(int64(State, Journal, int64, int64), inner=True, apart=True)
def keep_true_eyes(state: Any, journal: Any, colour: Any, count: Any) -> Any:
    """Of the first ``count`` cells of ``journal.eyes``, empty and surrounded by the colour, keeps the true eyes.

    PLANES: one bad diagonal is allowed in the middle and none at the edge; an empty diagonal is bad unless it is a true
    eye itself, read recursively, where a point already being read counts as fine. That recursion finds the greatest
    set of points that hold each other up, which is made here by striking off points that fail until none does.
    The list has to hold every such cell that can be reached from the others over diagonals. Returns the number kept.
    """
    for i in range(count):
        journal.is_eye[journal.eyes[i]] = 1
    changed = True
    while changed:
        changed = False
        i = 0
        while i < count:
            cell = int64(journal.eyes[i])
            allowed = 1
            bad = 0
            for d in range(4):
                if state.colour[neighbour(state, cell, d)] == BORDER:
                    allowed = 0
                q = diagonal(state, cell, d)
                c = state.colour[q]
                if c == -colour or (c == EMPTY and journal.is_eye[q] == 0):
                    bad += 1
            if bad > allowed:
                journal.is_eye[cell] = 0
                count -= 1
                journal.eyes[i] = journal.eyes[count]
                changed = True
            else:
                i += 1
    for i in range(count):
        journal.is_eye[journal.eyes[i]] = 0
    return count


@compiled(void(State, Journal, int64, int8[::1], int8[::1]), apart=True)
def masks(state: Any, journal: Any, colour: Any, legal: Any, sensible: Any) -> None:
    """Writes the legal moves of a colour, and those that fill no own true eye: (N*N,) int8 each."""
    count = 0
    for point in range(state.size * state.size):
        cell = cell_of(state, point)
        legal[point] = sensible[point] = is_legal(state, cell, colour)
        if state.colour[cell] == EMPTY and is_surrounded(state, cell, colour):
            journal.eyes[count] = cell
            count += 1
    count = keep_true_eyes(state, journal, colour, count)
    for i in range(count):
        sensible[point_of(state, journal.eyes[i])] = 0


@compiled(int64(State, Journal, int64, int16[::1], int8[::1]), apart=True)
def replay(state: Any, journal: Any, size: Any, points: Any, colours: Any) -> Any:
    """Plays turns on the empty board of that size, or with size 0 on the state as it is.

    Returns the index of the first illegal one, with all before it played, or how many there are.
    """
    if size > 0:
        clear(state, size)
    for i in range(len(points)):
        point = int64(points[i])
        cell = 0
        if point != PASS:
            if point < 0 or point >= state.size * state.size:
                return i
            cell = cell_of(state, point)
            if not is_legal(state, cell, colours[i]):
                return i
        advance(state, journal, cell, colours[i])
    return len(points)


def new_journal() -> Any:
    return np.zeros(1, dtype=JOURNAL)[0]


def new_state(size: int) -> Any:
    state = np.zeros(1, dtype=STATE)[0]
    clear(state, size)
    return state


def first_illegal(size: int, setup: Sequence[tuple[int, int]], moves: Sequence[tuple[int, int]]) -> int:
    """Index of the first of the moves that the rules forbid (an occupied point, a suicide, a simple ko), or -1.

    ``setup`` and ``moves`` are (colour, point) pairs, ``PASS`` being a point. Raises GoPolicyError where the setup
    leaves a chain without liberties.
    """
    board = Board(size, superko=False)
    if setup:
        board.set_up(setup)
    pairs = np.array(moves, dtype=np.int16).reshape(-1, 2)
    end = int(replay(board.state, board.journal, 0, np.ascontiguousarray(pairs[:, 1]), pairs[:, 0].astype(np.int8)))
    return -1 if end == len(moves) else end


Move = str | SupportsIndex | tuple[SupportsIndex, SupportsIndex]


class Board:
    """A Go board and the game played on it.

    Rules: captures, no suicide, simple ko and, with ``superko``, no repetition of a whole-board position (positional
    superko); passes are always legal. Black moves first, then in turn; ``colour=`` plays out of turn, and ``to_play``, ``BLACK`` (1)
    or ``WHITE`` (-1), may be set.

    A move is a GTP vertex (``"Q16"``, ``"pass"``), a point (``row * N + column``, ``PASS``) or a pair (row, column), row 0
    being the top line.

    For one thread at a time, which is not checked: also what only asks about a board, as ``legal_mask`` and ``encode``, reads ahead on it.
    Threads that ask about one position take a ``copy`` each.

    >>> board = Board(9)
    >>> board.play("C3"); board.play("G7")
    >>> board.move_number, int(board.stones().sum())
    (2, 0)
    """

    def __init__(self, size: int = 19, *, superko: bool = True) -> None:
        size = check_size(size)  # also of numpy's narrow types, in which size * size overflows
        self.superko = superko
        self.to_play = BLACK
        self.moves: list[tuple[int, int]] = []  # (colour, point)
        self.state = new_state(size)  # for kernels: STATE
        self.journal = new_journal()
        self._start = np.zeros(size * size, dtype=np.int8)  # stones before the first move
        self._seen = [int(self.state["zobrist"])]  # keys of all positions so far

    @property
    def size(self) -> int:
        return int(self.state["size"])

    @property
    def move_number(self) -> int:
        """Turns taken, passes too."""
        return len(self.moves)

    @property
    def last_move(self) -> int | None:
        return self.moves[-1][1] if self.moves else None

    @property
    def captures(self) -> dict[int, int]:
        """Stones captured so far, by the colour that captured them."""
        return {BLACK: int(self.state["prisoners"][0]), WHITE: int(self.state["prisoners"][1])}

    @property
    def ko_point(self) -> int | None:
        """The point where a simple ko may not be retaken now, or None."""
        cell = int(self.state["ko"])
        return int(point_of(self.state, cell)) if cell else None

    def point(self, move: Move) -> int:
        """The point of a move in any of its forms; raises GoPolicyError for what is none."""
        size = self.size
        if isinstance(move, str):
            return point_from_gtp(move, size)
        if isinstance(move, tuple):
            if len(move) != 2:
                raise GoPolicyError(f"{move!r} is no point: expected (row, column)")
            row, column = (whole_number(line, f"a line of {move!r}", 0, size - 1) for line in move)
            return row * size + column
        number = as_index(move)
        if number is None:
            raise GoPolicyError(f"{move!r} is no move: expected a vertex as 'D4', a pair (row, column), a point from 0, or PASS")
        if number != PASS and not 0 <= number < size * size:
            raise GoPolicyError(f"{number} is no point of a {size}x{size} board: points are 0 to {size * size - 1}, {PASS} is a pass")
        return number

    def _why_illegal(self, point: int, colour: int) -> str | None:
        if point == PASS:
            return None
        state = self.state
        cell = cell_of(state, point)
        if state["colour"][cell] != EMPTY:
            return "the point is occupied"
        if not is_legal(state, cell, colour):
            return "it retakes a ko at once" if cell == state["ko"] and colour == state["ko_colour"] else "it is suicide"
        if self.superko and int(zobrist_after(state, cell, colour)) in self._seen:
            return "it repeats an earlier position of the whole board"
        return None

    def is_legal(self, move: Move, colour: int | None = None) -> bool:
        """Whether the move is legal for ``colour`` (by default the player to move); False for a point off the board."""
        try:
            point = self.point(move)
        except GoPolicyError:
            return False
        return self._why_illegal(point, check_colour(self.to_play if colour is None else colour)) is None

    def play(self, move: Move, colour: int | None = None) -> None:
        """Plays a move or a pass; raises IllegalMoveError, and changes nothing, where the rules forbid it."""
        colour = check_colour(self.to_play if colour is None else colour)
        point = self.point(move)
        reason = self._why_illegal(point, colour)
        if reason:
            name = point_to_gtp(point, self.size)
            raise IllegalMoveError(f"{colour_name(colour)} {name} is illegal at move {self.move_number + 1}: {reason}")
        advance(self.state, self.journal, 0 if point == PASS else cell_of(self.state, point), colour)
        self.moves.append((colour, point))
        self._seen.append(int(self.state["zobrist"]))
        self.to_play = -colour

    def undo(self) -> None:
        """Takes back the last move or pass; raises GoPolicyError where there is none."""
        if not self.moves:
            raise GoPolicyError("there is no move to take back")
        colour, _ = self.moves.pop()
        self._seen.pop()
        self._set_start()
        for c, point in self.moves:
            advance(self.state, self.journal, 0 if point == PASS else cell_of(self.state, point), c)
        self.to_play = colour

    def _set_start(self) -> None:
        clear(self.state, self.size)
        if self._start.any():
            set_stones(self.state, self.journal, self._start)

    def setup(self, black: Iterable[Move] = (), white: Iterable[Move] = (), empty: Iterable[Move] = ()) -> None:
        """Puts stones on the board (or takes them off) before the first move; whose turn it is stays.

        Raises GoPolicyError, and changes nothing, after the first move, where a chain would have no liberty, or for a point that is to be
        set up in two ways.
        """
        stones = ((BLACK, black), (WHITE, white), (EMPTY, empty))
        if any(isinstance(moves, str) or not isinstance(moves, Iterable) for _, moves in stones):
            raise UsageError("stones to set up are lists of points, as black=['D4', 'Q16']")
        colours: dict[int, int] = {}
        for colour, moves in stones:
            for point in map(self.point, moves):
                if colours.setdefault(point, colour) != colour:
                    raise GoPolicyError(f"{point_to_gtp(point, self.size)} is to be set up in two ways: expected black, white or empty")
        self.set_up((colour, point) for point, colour in colours.items())

    def set_up(self, stones: Iterable[tuple[int, int]]) -> None:
        """``setup`` with (colour, point) pairs, in their order."""
        if self.moves:
            raise GoPolicyError(f"stones can be set up before the first move only; {self.move_number} have been played")
        position = self._start.copy()
        try:
            pairs = [(colour, point) for colour, point in stones]
        except GoPolicyError:  # of what yields them
            raise
        except (TypeError, ValueError):
            raise UsageError(f"stones to set up are pairs (colour, point), not {stones!r}") from None
        for colour, point in pairs:
            index = as_index(point)
            if index == PASS:
                raise GoPolicyError("a pass cannot be set up")
            if index is None or not 0 <= index < position.size:
                raise GoPolicyError(f"{point!r} is no point of a {self.size}x{self.size} board")
            position[index] = colour if colour == EMPTY else check_colour(colour)
        dead = int(set_stones(self.state, self.journal, position))
        if dead >= 0:
            self._set_start()
            where = point_to_gtp(dead, self.size)
            raise GoPolicyError(f"the set-up chain at {where} would have no liberty")
        self._start = position
        self._seen = [int(self.state["zobrist"])]

    def first_stones(self) -> list[tuple[int, int]]:
        """The stones set up before the first move, as ``set_up`` takes them: (colour, point) pairs in the order of the points."""
        return [(int(self._start[point]), int(point)) for point in np.flatnonzero(self._start)]

    def legal_mask(self, colour: int | None = None) -> npt.NDArray[np.bool_]:
        """(N, N) bool: the legal moves of the player to move, or of ``colour``; passes left out."""
        return self._mask(colour, 0)

    def sensible_mask(self, colour: int | None = None) -> npt.NDArray[np.bool_]:
        """(N, N) bool: the legal moves that do not fill an own true eye."""
        return self._mask(colour, 1)

    def _mask(self, colour: int | None, which: int) -> npt.NDArray[np.bool_]:
        colour = check_colour(self.to_play if colour is None else colour)
        size = self.size
        both = np.empty((2, size * size), dtype=np.int8)
        masks(self.state, self.journal, colour, both[0], both[1])
        mask: npt.NDArray[np.bool_] = both[which].astype(np.bool_)
        if self.superko:
            keys = np.empty(size * size, dtype=np.uint64)
            zobrist_after_all(self.state, colour, both[0], keys)
            mask &= ~np.isin(keys, np.array(self._seen, dtype=np.uint64))
        return mask.reshape(size, size)

    def stones(self) -> npt.NDArray[np.int8]:
        """(N, N) int8: 1 black, -1 white, 0 empty; row 0 is the top line, column 0 is A."""
        size = self.size
        cells: npt.NDArray[np.int8] = self.state["colour"][size + 1 : (size + 1) * (size + 1)]
        return cells.reshape(size, size + 1)[:, :size].copy()

    def copy(self) -> Board:
        other = object.__new__(type(self))
        other.superko, other.to_play, other.moves = self.superko, self.to_play, list(self.moves)
        other.state, other.journal = self.state.copy(), new_journal()
        other._start, other._seen = self._start.copy(), list(self._seen)
        return other

    __copy__ = copy

    def __str__(self) -> str:
        size = self.size
        letters = "   " + " ".join(point_to_gtp(column, size)[0] for column in range(size))
        lines = [letters]
        for row, stones in enumerate(self.stones()):
            lines.append(
                f"{size - row:2d} " + " ".join({BLACK: "X", WHITE: "O", EMPTY: "."}[int(stone)] for stone in stones) + f" {size - row}"
            )
        return "\n".join([*lines, letters])


def check_board(board: Any) -> Board:
    """Returns ``board``; raises GoPolicyError for what is no Board."""
    if not isinstance(board, Board):
        raise UsageError(f"a Board is wanted, not a {type(board).__name__}")
    return board
