"""A slow, plain board and all 48 planes: the other witness of gopolicy's compiled ones.

It shares no code and no idea with the package: a position is a list that is never changed, a move gives a new list, chains
are found by walking, ladders and eyes by recursion, each sentence of the definition of the planes one function. A position
remembers its chains, its legal moves and its eyes; that is enough for 100,000 positions in a few hours.

Points are ``row * size + column``, row 0 on top; colours are 1 (black) and -1 (white), 0 is empty; a pass is the point -1.
"""

from __future__ import annotations

import random
import sys
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sgfmill import sgf

BLACK, WHITE, EMPTY = 1, -1, 0
PASS = -1

LONGEST_LINE = 400  # stones played in one line of a ladder
LONGEST_READING = 10_000  # stones played in the whole reading of one candidate

sys.setrecursionlimit(max(sys.getrecursionlimit(), 10 * LONGEST_LINE))  # a few calls for every stone of the longest line

PLANES = {  # name -> first plane, number of planes
    "stone colour": (0, 3),
    "ones": (3, 1),
    "turns since": (4, 8),
    "liberties": (12, 8),
    "capture size": (20, 8),
    "self-atari size": (28, 8),
    "liberties after move": (36, 8),
    "ladder capture": (44, 1),
    "ladder escape": (45, 1),
    "sensibleness": (46, 1),
    "zeros": (47, 1),
}


@cache
def around(size: int, steps: tuple[tuple[int, int], ...]) -> tuple[tuple[int, ...], ...]:
    """For every point, the points one of ``steps`` away that are on the board."""
    return tuple(
        tuple((row + down) * size + column + right for down, right in steps if 0 <= row + down < size and 0 <= column + right < size)
        for row in range(size)
        for column in range(size)
    )


def neighbours(size: int) -> tuple[tuple[int, ...], ...]:
    return around(size, ((-1, 0), (0, -1), (0, 1), (1, 0)))


def diagonals(size: int) -> tuple[tuple[int, ...], ...]:
    return around(size, ((-1, -1), (-1, 1), (1, -1), (1, 1)))


class Chain:
    def __init__(self, stones: set[int], liberties: set[int]) -> None:
        self.stones, self.liberties = stones, liberties


class Position:
    """Stones, and the ko that stands: the point and the colour that may not play there. Never changed once made."""

    def __init__(self, size: int, stones: list[int], ko: tuple[int, int] | None = None) -> None:
        self.size, self.stones, self.ko = size, stones, ko
        self.neighbours, self.diagonals = neighbours(size), diagonals(size)
        self._chains: dict[int, Chain] = {}
        self._moves: dict[tuple[int, int], Move | None] = {}
        self._eyes: dict[tuple[int, int], bool] = {}

    def chain(self, point: int) -> Chain:
        """The chain of the stone on ``point``."""
        if point not in self._chains:
            colour = self.stones[point]
            assert colour != EMPTY
            found, liberties = [point], set()
            stones = {point}
            for stone in found:  # grows while we walk it
                for neighbour in self.neighbours[stone]:
                    if self.stones[neighbour] == EMPTY:
                        liberties.add(neighbour)
                    elif self.stones[neighbour] == colour and neighbour not in stones:
                        stones.add(neighbour)
                        found.append(neighbour)
            chain = Chain(stones, liberties)
            for stone in stones:
                self._chains[stone] = chain
        return self._chains[point]

    def chains(self, colour: int) -> list[Chain]:
        """Every chain of a colour, once."""
        found: list[Chain] = []
        seen: set[int] = set()
        for point, stone in enumerate(self.stones):
            if stone == colour and point not in seen:
                found.append(self.chain(point))
                seen |= found[-1].stones
        return found

    def move(self, point: int, colour: int) -> Move | None:
        """What playing there gives; None if it is not legal: not empty, retakes a simple ko, or a suicide."""
        if (point, colour) not in self._moves:
            self._moves[point, colour] = self._try(point, colour)
        return self._moves[point, colour]

    def _try(self, point: int, colour: int) -> Move | None:
        if self.stones[point] != EMPTY or (point, colour) == self.ko:
            return None
        captured: set[int] = set()
        for neighbour in self.neighbours[point]:
            if self.stones[neighbour] == -colour and self.chain(neighbour).liberties == {point}:
                captured |= self.chain(neighbour).stones
        stones = list(self.stones)
        stones[point] = colour
        for stone in captured:
            stones[stone] = EMPTY
        after = Position(self.size, stones)
        chain = after.chain(point)
        if not chain.liberties:
            return None
        if len(captured) == 1 and len(chain.stones) == 1 and len(chain.liberties) == 1:
            after.ko = (*captured, -colour)  # type: ignore[assignment]  # one point and one colour
        return Move(point, after, chain, len(captured))

    def legal(self, colour: int) -> list[Move]:
        moves = (self.move(point, colour) for point in range(self.size**2))
        return [move for move in moves if move is not None]

    def is_true_eye(self, point: int, colour: int) -> bool:
        if (point, colour) not in self._eyes:
            self._eyes[point, colour] = self._read_eye(point, colour, frozenset())
        return self._eyes[point, colour]

    def _read_eye(self, point: int, colour: int, being_read: frozenset[int]) -> bool:
        if self.stones[point] != EMPTY or any(self.stones[neighbour] != colour for neighbour in self.neighbours[point]):
            return False
        being_read |= {point}

        def is_bad(diagonal: int) -> bool:
            if self.stones[diagonal] == -colour:
                return True
            if self.stones[diagonal] == colour or diagonal in being_read:
                return False
            return not self._read_eye(diagonal, colour, being_read)

        in_the_middle = len(self.neighbours[point]) == 4
        return sum(map(is_bad, self.diagonals[point])) <= (1 if in_the_middle else 0)

    def diagram(self) -> str:
        letters = {BLACK: "X", WHITE: "O", EMPTY: "."}
        rows = [self.stones[start : start + self.size] for start in range(0, self.size**2, self.size)]
        return "\n".join(" ".join(letters[stone] for stone in row) for row in rows)


class Move:
    """A legal move: where, the position after it, the new stone's chain in that position, and the number of stones captured."""

    def __init__(self, point: int, after: Position, chain: Chain, captured: int) -> None:
        self.point, self.after, self.chain, self.captured = point, after, chain, captured


class ReadingGivenUp(Exception):
    """One candidate took more stones than the bound allows."""


class LadderReading:
    """The reading of one candidate against, or of, the chain of the stone ``prey``; ``played`` and ``deepest`` count stones."""

    def __init__(self, position: Position, prey: int) -> None:
        self.position, self.prey = position, prey
        self.prey_colour, self.hunter_colour = position.stones[prey], -position.stones[prey]
        self.played = self.deepest = 0

    def hunter_candidates(self, position: Position) -> Iterator[Move]:
        """The prey's two liberties, where legal."""
        for point in sorted(position.chain(self.prey).liberties):
            move = position.move(point, self.hunter_colour)
            if move is not None:
                yield move

    def prey_candidates(self, position: Position) -> Iterator[Move]:
        """Its one liberty, and the moves that capture an adjacent hunter chain in atari; where legal, and no own true eye."""
        prey = position.chain(self.prey)
        (liberty,) = prey.liberties
        captures: set[int] = set()
        for stone in prey.stones:
            for neighbour in position.neighbours[stone]:
                if position.stones[neighbour] == self.hunter_colour and len(position.chain(neighbour).liberties) == 1:
                    captures |= position.chain(neighbour).liberties
        for point in [liberty, *sorted(captures - {liberty})]:
            move = position.move(point, self.prey_colour)
            if move is not None and not position.is_true_eye(point, self.prey_colour):
                yield move

    def captures(self, move: Move, line: int) -> bool:
        """Whether the hunter's move captures; ``line`` stones were played before it in this line."""
        if line == LONGEST_LINE:
            return False
        self._count(line)
        if len(move.after.chain(self.prey).liberties) != 1:
            return False
        return not any(self.escapes(answer, line + 1) for answer in self.prey_candidates(move.after))

    def escapes(self, move: Move, line: int) -> bool:
        """Whether the prey's move escapes; ``line`` stones were played before it in this line."""
        if line == LONGEST_LINE:
            return True
        self._count(line)
        liberties = len(move.after.chain(self.prey).liberties)
        if liberties != 2:
            return liberties >= 3
        return not any(self.captures(answer, line + 1) for answer in self.hunter_candidates(move.after))

    def _count(self, line: int) -> None:
        if self.played == LONGEST_READING:
            raise ReadingGivenUp
        self.played += 1
        self.deepest = max(self.deepest, line + 1)


class Ladders:
    """Planes 44 and 45 of a player, as sets of points, and how much was read for them (for whoever wants to know)."""

    def __init__(self, position: Position, player: int) -> None:
        self.captures: set[int] = set()
        self.escapes: set[int] = set()
        self.deepest = self.most_played = 0
        for chain in position.chains(-player):
            if len(chain.liberties) == 2:
                for move in LadderReading(position, min(chain.stones)).hunter_candidates(position):
                    reading = LadderReading(position, min(chain.stones))
                    try:
                        if reading.captures(move, 0):
                            self.captures.add(move.point)
                    except ReadingGivenUp:
                        pass  # the prey is not captured
                    self._note(reading)
        for chain in position.chains(player):
            if len(chain.liberties) == 1:
                for move in LadderReading(position, min(chain.stones)).prey_candidates(position):
                    reading = LadderReading(position, min(chain.stones))
                    try:
                        if reading.escapes(move, 0):
                            self.escapes.add(move.point)
                    except ReadingGivenUp:
                        self.escapes.add(move.point)
                    self._note(reading)

    def _note(self, reading: LadderReading) -> None:
        self.deepest = max(self.deepest, reading.deepest)
        self.most_played = max(self.most_played, reading.played)


class ReferenceBoard:
    """A game: setup stones, then turns by either colour. ``superko`` forbids to repeat any earlier board."""

    def __init__(self, size: int, *, superko: bool = False) -> None:
        self.size, self.superko = size, superko
        self.position = Position(size, [EMPTY] * size**2)
        self.to_play = BLACK
        self.turns: list[tuple[int, int]] = []  # colour and point of every turn
        self.captured = {BLACK: 0, WHITE: 0}
        self._seen = {tuple(self.position.stones)}

    def setup(self, black: Iterable[int] = (), white: Iterable[int] = (), empty: Iterable[int] = ()) -> None:
        """Raises ValueError, and changes nothing, if a chain would have no liberty."""
        assert not self.turns
        stones = list(self.position.stones)
        for points, colour in ((black, BLACK), (white, WHITE), (empty, EMPTY)):
            for point in points:
                stones[point] = colour
        position = Position(self.size, stones)
        if not all(chain.liberties for colour in (BLACK, WHITE) for chain in position.chains(colour)):
            raise ValueError("a chain without liberties")
        self.position, self._seen = position, {tuple(stones)}

    def is_legal(self, point: int, colour: int | None = None) -> bool:
        if point == PASS:
            return True
        move = self.position.move(point, self.to_play if colour is None else colour)
        return move is not None and not (self.superko and tuple(move.after.stones) in self._seen)

    def legal_mask(self, colour: int | None = None) -> npt.NDArray[np.bool_]:
        return np.array([self.is_legal(point, colour) for point in range(self.size**2)]).reshape(self.size, self.size)

    def play(self, point: int, colour: int | None = None) -> None:
        """Raises ValueError, and changes nothing, if the move is not legal."""
        colour = self.to_play if colour is None else colour
        if not self.is_legal(point, colour):
            raise ValueError(f"{point} is not legal")
        if point == PASS:
            self.position = Position(self.size, self.position.stones)  # no ko stands after a pass
        else:
            move = self.position.move(point, colour)
            assert move is not None
            self.position = move.after
            self.captured[colour] += move.captured
            self._seen.add(tuple(self.position.stones))
        self.turns.append((colour, point))
        self.to_play = -colour

    def stones(self) -> npt.NDArray[np.int8]:
        return np.array(self.position.stones, np.int8).reshape(self.size, self.size)


def reference_planes(board: ReferenceBoard, ladders: Ladders | None = None) -> npt.NDArray[np.uint8]:
    """The 48 planes of the player to move, (48, N, N); ``ladders``, if they have been read already."""
    position, player = board.position, board.to_play
    planes = np.zeros((48, board.size**2), np.uint8)

    def one_of_eight(first: int, point: int, number: int) -> None:
        planes[first + min(number, 8) - 1, point] = 1

    last_played = {point: turn for turn, (_, point) in enumerate(board.turns, start=1)}
    for point, stone in enumerate(position.stones):
        planes[{player: 0, -player: 1, EMPTY: 2}[stone], point] = 1
        if stone != EMPTY:
            one_of_eight(4, point, len(board.turns) - last_played[point] + 1 if point in last_played else 8)
            one_of_eight(12, point, len(position.chain(point).liberties))
    planes[3] = 1
    for move in position.legal(player):
        one_of_eight(20, move.point, move.captured + 1)
        if len(move.chain.liberties) == 1:
            one_of_eight(28, move.point, len(move.chain.stones))
        one_of_eight(36, move.point, len(move.chain.liberties))
        planes[46, move.point] = not position.is_true_eye(move.point, player)
    ladders = ladders or Ladders(position, player)
    planes[44, list(ladders.captures)] = 1
    planes[45, list(ladders.escapes)] = 1
    return planes.reshape(48, board.size, board.size)


def plane_difference(got: npt.NDArray[np.uint8], expected: npt.NDArray[np.uint8]) -> str | None:
    """One sentence that names the first plane group that differs and where; None if none does."""
    for name, (first, count) in PLANES.items():
        differing = np.argwhere(got[first : first + count] != expected[first : first + count])
        if len(differing):
            where = [
                f"plane {first + plane} at row {row}, column {column} is {got[first + plane, row, column]}"
                for plane, row, column in differing
            ]
            return f"{name}: {len(where)} values differ from the plain planes: {'; '.join(where[:4])}"
    return None


def own_games() -> Iterator[list[tuple[int, int]]]:
    """The 19x19 games of the repository as lists of (colour, point), read by sgfmill."""
    with tarfile.open(Path(__file__).parents[1] / "data" / "gnugo-selfplay.tar.gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                game = sgf.Sgf_game.from_bytes(file.read())
                played = [node.get_move() for node in game.get_main_sequence()[1:]]
                yield [({"b": BLACK, "w": WHITE}[colour], PASS if at is None else (18 - at[0]) * 19 + at[1]) for colour, at in played]


def follow(board: Any, plain: ReferenceBoard) -> None:
    """Takes another board, one that has ``setup`` and ``play``, where ``plain`` is now and it was one turn ago."""
    if plain.turns:
        colour, point = plain.turns[-1]
        board.play(point, colour)
    else:
        board.setup(black=np.flatnonzero(plain.stones() == BLACK).tolist(), white=np.flatnonzero(plain.stones() == WHITE).tolist())


def random_game(size: int, rng: random.Random, turns: int, *, superko: bool = False) -> Iterator[ReferenceBoard]:
    """A game of random moves, every second one from setup stones: yields the board, the same object, before every turn and after the last.

    Most moves are played beside the last ones, and most of those at a liberty of a weak chain, so that chains are hunted, run
    and are captured; a few moves are passes, played out of turn, or fill an eye.
    """
    board = ReferenceBoard(size, superko=superko)
    if rng.random() < 0.5:
        stones = rng.sample(range(size**2), rng.randrange(size**2 // 3))
        with suppress(ValueError):  # a chain without liberties: then the board stays empty
            board.setup(stones[::2], stones[1::2])
    for _ in range(turns):
        yield board
        colour = board.to_play if rng.random() < 0.97 else -board.to_play
        moves = [point for point in range(size**2) if board.is_legal(point, colour)]
        if rng.random() < 0.98:
            moves = [point for point in moves if not board.position.is_true_eye(point, colour)]
        if not moves or rng.random() < 0.01:
            board.play(PASS, colour)
            continue
        recent = [point for _, point in board.turns[-4:] if point != PASS]
        near = {q for p in recent for n in board.position.neighbours[p] for q in (n, *board.position.neighbours[n])}
        chains = [board.position.chain(point) for point in near if board.position.stones[point] != EMPTY]
        weak = {point for chain in chains if len(chain.liberties) <= 2 for point in chain.liberties}
        chance = rng.random()
        wanted = weak if chance < 0.6 else near if chance < 0.85 else set(moves)
        board.play(rng.choice([point for point in moves if point in wanted] or moves), colour)
    yield board
