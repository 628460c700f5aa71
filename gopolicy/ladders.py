"""Reading ladders, exactly as PLANES reads them (docs/planes.md, "Ladder").

Glossary
    prey      the chain that is attacked, named by one of its stones; its side answers
    hunter    the other side
    captured  what a line comes to; a line that does not come to it has *escaped*

The reading is iterative: a line is the journal of the board, and each ply keeps its untried candidates in a pool. Most
candidates are settled by counting liberties before a stone is played; such a stone counts as played all the same, so
that the two bounds fall where a reader that plays everything would meet them.

Every cell and chain that a reading looks at is marked. As long as none of them changes, the answer stands: that is
what lets ``features`` keep it from one move of a game to the next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import from_dtype, int64, types, uint64, void

from gopolicy.board import (
    BORDER,
    CELLS,
    PLIES,
    WORDS,
    Journal,
    State,
    clear_bit,
    has_bit,
    is_legal,
    neighbour,
    next_bit,
    play,
    set_bit,
    take_back,
)
from gopolicy.compiled import compiled, popcount
from gopolicy.coords import EMPTY

LONGEST_LINE = 400  # plies; a longer line has escaped
MOST_STONES = 10_000  # played in the reading of one candidate; with more the prey is not captured
POOL = 32_768

READER = np.dtype(
    [
        ("marks", np.uint64, (WORDS,)),  # cells looked at, and heads of chains looked at
        ("around", np.uint64, (WORDS,)),  # cells whose neighbours are marked too
        ("suspected", np.uint64, (WORDS,)),  # the suspects, as a set
        ("union", np.uint64, (WORDS,)),
        ("stones", np.int64),  # played in this reading
        ("next", np.int32, (PLIES,)),  # of each ply: its next candidate in the pool, and the end of them
        ("stop", np.int32, (PLIES,)),
        ("suspects_before", np.int32, (PLIES,)),  # of each ply, what to go back to
        ("suspects", np.int64),
        ("suspect", np.uint16, (CELLS,)),  # stones next to the prey whose chain was seen in atari
        ("pool", np.uint16, (POOL,)),
    ],
    align=True,
)
Reader = from_dtype(READER)

UNKNOWN, ESCAPED, CAPTURED = -1, 0, 1


@compiled(void(State, Reader, int64), inner=True, inline=True)
def mark(state: Any, reader: Any, cell: Any) -> None:
    c = state.colour[cell]
    if c == EMPTY:
        set_bit(reader.marks[:], state.stride, cell)
    elif c != BORDER:
        set_bit(reader.marks[:], state.stride, state.head[cell])


@compiled(void(State, Reader, int64), inner=True)
def mark_around(state: Any, reader: Any, cell: Any) -> None:
    """Marks a cell and its neighbours. Once in a reading is enough: what changes there later is a stone of the reading, whose
    own surroundings were marked before it was played."""
    if not has_bit(reader.around[:], state.stride, cell):
        set_bit(reader.around[:], state.stride, cell)
        mark(state, reader, cell)
        for d in range(4):
            mark(state, reader, neighbour(state, cell, d))


@compiled(void(Reader), inner=True)
def begin(reader: Any) -> None:
    """Forgets marks and suspects: for the first candidate around a prey."""
    reader.suspects = 0
    for w in range(WORDS):
        reader.marks[w] = uint64(0)
        reader.around[w] = uint64(0)
        reader.suspected[w] = uint64(0)


@compiled(types.boolean(State, int64, int64), inner=True, inline=True)
def would_capture(state: Any, cell: Any, colour: Any) -> Any:
    for d in range(4):
        q = neighbour(state, cell, d)
        if state.colour[q] == -colour and state.libs[state.head[q]] == 1:
            return True
    return False


@compiled(int64(State, Reader, int64, int64, int64), inner=True, inline=True)
def freedom(state: Any, reader: Any, prey: Any, at: Any, without: Any) -> Any:
    """Liberties of the prey after it extends to ``at``, where its only liberties are ``at`` and ``without`` (or 0).

    ``without`` does not count. Nothing is captured. Counts to 3 at least, if there are as many.
    """
    colour = state.colour[prey]
    head = state.head[prey]
    count = 0
    others = 0
    for d in range(4):
        q = neighbour(state, at, d)
        c = state.colour[q]
        if c == EMPTY:
            if q != uint64(without):
                count += 1
        elif c == colour:
            h = state.head[q]
            if h != head:
                if state.libs[h] >= 5:  # less ``at`` and ``without``
                    return 3
                others += 1
    if others == 0 or count >= 3:
        return count
    union = reader.union[:]
    for w in range(WORDS):
        union[w] = uint64(0)
    for d in range(4):
        q = neighbour(state, at, d)
        c = state.colour[q]
        if c == EMPTY:
            set_bit(union, state.stride, q)
        elif c == colour and state.head[q] != head:
            row = state.liberties[state.head[q]]
            for w in range(WORDS):
                union[w] |= row[w]
    clear_bit(union, state.stride, at)
    if without:
        clear_bit(union, state.stride, without)
    count = 0
    for w in range(WORDS):
        count += popcount(union[w])
    return count


@compiled(types.boolean(State, Reader, int64, int64, int64), inner=True, inline=True)
def hunt_fails_at_once(state: Any, reader: Any, prey: Any, move: Any, other: Any) -> Any:
    """Whether the prey, with liberties ``move`` and ``other``, answers the hunter's ``move`` by three liberties at ``other``.

    False also means "to be read".
    """
    colour = state.colour[prey]
    if would_capture(state, move, -colour):
        return False
    return freedom(state, reader, prey, other, move) >= 3


@compiled(void(State, Reader, int64, int64), inner=True, inline=True)
def suspect(state: Any, reader: Any, cell: Any, colour: Any) -> None:
    """Notes the chain at ``cell``, next to the prey, if it is the hunter's and in atari; marks it in any case."""
    if state.colour[cell] == -colour:
        h = state.head[cell]
        set_bit(reader.marks[:], state.stride, h)
        if state.libs[h] == 1 and not has_bit(reader.suspected[:], state.stride, cell):
            set_bit(reader.suspected[:], state.stride, cell)
            reader.suspect[reader.suspects] = cell
            reader.suspects += 1


@compiled(void(State, Reader, int64), inner=True)
def clear_suspects(state: Any, reader: Any, count: Any) -> None:
    """Forgets all suspects but the first ``count``."""
    for i in range(count, reader.suspects):
        clear_bit(reader.suspected[:], state.stride, reader.suspect[i])
    reader.suspects = count


@compiled(void(State, Reader, int64), inner=True)
def suspect_around(state: Any, reader: Any, chain: Any) -> None:
    """Notes the hunter's chains in atari around a whole chain of the prey's colour."""
    colour = state.colour[chain]
    s = int64(chain)
    while True:
        for d in range(4):
            suspect(state, reader, neighbour(state, s, d), colour)
        s = int64(state.next[s])
        if s == chain:
            break


@compiled(int64(State, Reader, int64, int64), inner=True, apart=True)
def prey_answers(state: Any, reader: Any, prey: Any, start: Any) -> Any:
    """Writes the legal candidates of a prey in atari to the pool from ``start``; returns where they end.

    Captures of adjacent chains in atari come first, in the order of their points, then its liberty: a capture is what most often
    saves the prey where the ladder does not, and tried first it saves reading the ladder (half of all stones played in real games,
    and nearly all long readings). Those chains are among the suspects: a chain comes to be in atari, or next to the prey,
    only by a stone that is played beside it.
    """
    colour = state.colour[prey]
    stop = start
    liberty = next_bit(state.liberties[state.head[prey]], state.stride, 0)  # its surroundings were marked when it was one of two
    for i in range(reader.suspects):
        cell = reader.suspect[i]
        if state.colour[cell] == -colour and state.libs[state.head[cell]] == 1:
            move = next_bit(state.liberties[state.head[cell]], state.stride, 0)
            mark_around(state, reader, move)  # also where a ko forbids it for now
            if move != liberty and not (move == state.ko and colour == state.ko_colour):
                at = start
                while at < stop and reader.pool[at] < move:
                    at += 1
                if at == stop or reader.pool[at] != move:
                    k = stop
                    while k > at:
                        reader.pool[k] = reader.pool[k - 1]
                        k -= 1
                    reader.pool[at] = move
                    stop += 1
    # It cannot fill a true eye: stones around one, of which one is the prey's, lie beside its diagonal points too. Of these an empty one
    # would be a second liberty, and with one opponent's stone at most the others join all four into one chain: suicide.
    if is_legal(state, liberty, colour):
        reader.pool[stop] = liberty
        stop += 1
    return stop


@compiled(int64(State, int64, int64), inner=True)
def opened_by_capture(state: Any, prey: Any, move: Any) -> Any:
    """Liberties the prey gains by the captures of its side's ``move``, which does not touch it: captured stones beside it."""
    colour = state.colour[prey]
    head = state.head[prey]
    count = 0
    for d in range(4):
        q = neighbour(state, move, d)
        if state.colour[q] == -colour and state.libs[state.head[q]] == 1:
            known = False
            for e in range(d):
                r = neighbour(state, move, e)
                known = known or (state.colour[r] == -colour and state.head[r] == state.head[q])
            s = int64(q)
            while not known:
                beside = False
                for e in range(4):
                    r = neighbour(state, s, e)
                    beside = beside or (state.colour[r] == colour and state.head[r] == head)
                count += beside
                s = int64(state.next[s])
                known = s == int64(q)
    return count


@compiled(int64(State, Journal, Reader, int64, int64, int64), inner=True, inline=True)
def settle(state: Any, journal: Any, reader: Any, prey: Any, move: Any, other: Any) -> Any:
    """What a legal candidate comes to, if that can be told by counting: ESCAPED, CAPTURED, else UNKNOWN.

    ``other`` is the prey's other liberty where the hunter moves, and 0 where the prey moves itself. Counts the stones that
    a reader would have played.
    """
    if journal.top > LONGEST_LINE - 2 or reader.stones > MOST_STONES - 2:
        return UNKNOWN
    if other != 0:
        if hunt_fails_at_once(state, reader, prey, move, other):
            reader.stones += 2
            return ESCAPED
        return UNKNOWN
    colour = state.colour[prey]
    if not has_bit(state.liberties[state.head[prey]], state.stride, move):
        if opened_by_capture(state, prey, move) >= 2:
            reader.stones += 1
            return ESCAPED
        return UNKNOWN
    if would_capture(state, move, colour):
        return UNKNOWN
    count = freedom(state, reader, prey, move, 0)
    if count == 2:
        return UNKNOWN
    reader.stones += 1
    return ESCAPED if count >= 3 else CAPTURED


@compiled(types.boolean(State, Journal, Reader, int64, int64, int64), inner=True, apart=True)
def is_captured(state: Any, journal: Any, reader: Any, prey: Any, move: Any, other: Any) -> Any:
    """Whether the prey is captured after one legal candidate ``move``.

    ``other`` is the prey's other liberty where the hunter moves, and 0 where the prey, with one liberty, moves itself. The
    caller has marked around both and has noted the chains around the prey (``suspect_around``). The board comes back as it was.
    """
    colour = int64(state.colour[prey])
    hunters = other != 0
    journal.top = 0
    reader.stones = 0
    value = settle(state, journal, reader, prey, move, other)
    if value != UNKNOWN:
        return value == CAPTURED
    reader.next[0] = 0
    reader.stop[0] = 0
    while True:
        # A stone is played; ``hunters`` says whose. What lies around it is marked.
        suspects_before = reader.suspects
        if hunters:
            play(state, journal, move, -colour)
            suspect(state, reader, move, colour)
        else:
            extends = has_bit(state.liberties[state.head[prey]], state.stride, move)
            for d in range(4):
                q = neighbour(state, move, d)
                if state.colour[q] == colour and state.head[q] != state.head[prey]:
                    suspect_around(state, reader, q)  # a chain that joins the prey
            play(state, journal, move, colour)
            if extends:
                for d in range(4):
                    suspect(state, reader, neighbour(state, move, d), colour)
            elif would_capture(state, move, colour):  # a chain next to the captured one came to be in atari
                suspect_around(state, reader, prey)
        reader.stones += 1
        ply = int64(journal.top)
        reader.suspects_before[ply] = suspects_before
        start = int64(reader.stop[ply - 1])
        stop = start
        value = UNKNOWN
        if hunters:
            stop = prey_answers(state, reader, prey, start)
        else:
            head = state.head[prey]
            set_bit(reader.marks[:], state.stride, head)
            if state.libs[head] >= 3 or start > POOL - 1024:
                value = ESCAPED
            elif state.libs[head] == 1:
                value = CAPTURED
            else:
                first = next_bit(state.liberties[head], state.stride, 0)
                second = next_bit(state.liberties[head], state.stride, first)
                mark_around(state, reader, first)
                mark_around(state, reader, second)
                reader.pool[start] = first
                reader.pool[start + 1] = second
                stop = start + 2
        reader.next[ply] = start
        reader.stop[ply] = stop
        hunters = not hunters  # who moves now
        # Back along the line to a ply with a candidate left to play.
        while True:
            while value == UNKNOWN:
                k = int64(reader.next[ply])
                stop = int64(reader.stop[ply])
                if k == stop:
                    value = ESCAPED if hunters else CAPTURED
                    break
                move = int64(reader.pool[k])
                reader.next[ply] = k + 1
                other = 0
                if hunters:
                    if not is_legal(state, move, -colour):
                        continue
                    other = int64(reader.pool[stop - 1 if k == stop - 2 else stop - 2])
                if ply >= LONGEST_LINE:
                    value = ESCAPED
                    break
                if reader.stones >= MOST_STONES:
                    clear_suspects(state, reader, reader.suspects_before[1])
                    while journal.top > 0:
                        take_back(state, journal)
                    return False
                settled = settle(state, journal, reader, prey, move, other)
                if settled == UNKNOWN:
                    break
                if settled == (CAPTURED if hunters else ESCAPED):
                    value = settled
            if value == UNKNOWN:
                break
            take_back(state, journal)
            clear_suspects(state, reader, reader.suspects_before[ply])
            ply = int64(journal.top)
            hunters = not hunters
            if ply == 0:
                return value == CAPTURED
            # ``hunters`` moved to get here from ply; a value that suits the mover settles that ply as well.
            if value != (CAPTURED if hunters else ESCAPED):
                value = UNKNOWN
    return False
