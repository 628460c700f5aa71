"""Positions as pictures, with facts worked out by hand from the rules and from the definition of the planes.

``X`` is black, ``O`` white, ``.`` empty. A small letter is an empty point with a name, 1 to 4 are black stones with a name,
6 to 9 white ones. The stones are set up; then ``moves`` are played, each a colour and a named point (``Xa Ob``, ``X-`` passes),
and the facts hold for ``to_play``. Facts, by the name of the plane group:

    legal, illegal          named points
    capture size, self-atari size, liberties after move, liberties, turns since
                            named point -> number (0: no plane is set; 8, or 7 stones captured, means "or more")
    ladder capture, ladder escape
                            the named points where the plane is set: there, and nowhere else on the board
    in ladder capture, not in ladder capture
                            named points where the plane is set, or is not; nothing is said of others
    eyes                    the legal moves without plane 46 "sensibleness": these, and no others

What is true of a position is true of it turned, mirrored and with the colours exchanged: ``variants`` gives all sixteen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BLACK, WHITE = 1, -1
PASS = -1
STONES = {"X": BLACK, "O": WHITE} | dict.fromkeys("1234", BLACK) | dict.fromkeys("6789", WHITE)

Facts = dict[str, "str | dict[str, int]"]


@dataclass(frozen=True)
class Placed:
    """A diagram as points and colours. ``names``: of points; ``moves``: (colour, point) in order."""

    name: str
    size: int
    black: list[int]
    white: list[int]
    names: dict[str, int]
    moves: list[tuple[int, int]]
    to_play: int
    facts: Facts


@dataclass(frozen=True)
class Diagram:
    name: str
    to_play: str
    picture: str
    facts: Facts
    moves: str = ""

    def placed(self, variant: int = 0) -> Placed:
        """Variant 0 to 15: 1 turns the picture upside down, 2 mirrors it, 4 exchanges rows and columns, 8 exchanges the colours."""
        rows = [line.split() for line in self.picture.strip().splitlines()]
        assert all(len(row) == len(rows) for row in rows), f"{self.name}: the picture is not square"
        if variant & 1:
            rows = rows[::-1]
        if variant & 2:
            rows = [row[::-1] for row in rows]
        if variant & 4:
            rows = [list(column) for column in zip(*rows, strict=True)]
        sign = -1 if variant & 8 else 1
        letters = dict(enumerate(letter for row in rows for letter in row))
        stones = {point: sign * STONES[letter] for point, letter in letters.items() if letter in STONES}
        names = {letter: point for point, letter in letters.items() if letter not in ".XO"}
        return Placed(
            name=f"{self.name}, variant {variant}",
            size=len(rows),
            black=[point for point, colour in stones.items() if colour == BLACK],
            white=[point for point, colour in stones.items() if colour == WHITE],
            names=names,
            moves=[(sign * STONES[move[0]], PASS if move[1] == "-" else names[move[1]]) for move in self.moves.split()],
            to_play=sign * STONES[self.to_play],
            facts=self.facts,
        )

    def variants(self) -> Iterator[Placed]:
        return (self.placed(variant) for variant in range(16))


# ---- ko, captures, suicide -----------------------------------------------------------------------------------------

KO = """
. X O . .
X 6 a O .
. X O . .
. . . . .
. . . . .
"""
TWO_KOS = """
. X O . . . .
X p q O . . .
. X O . . . .
X b 1 O . . .
. X O . . . .
. . . . . . .
. . . . . . .
"""
SEND_TWO = """
a 1 c X .
O O X . .
. . . . .
. . . . .
. . . . .
"""
SNAPBACK = """
. X O a b X .
. X O O O X .
. . X X X . .
. . . . . . .
. . . . . . .
. . . . . . .
. . . . . . .
"""
UNDER_THE_STONES = """
1 2 O . . . .
3 4 O X . . .
a O X . . . .
X X . . . . .
. . . . . . .
. . . . . . .
. . . . . . .
"""
SUICIDE = """
1 a O .
O O O .
. . . .
. . . .
"""

RULES = [
    Diagram(
        "a ko can be taken",
        "X",
        KO,
        {
            "legal": "a",
            "capture size": {"a": 1},
            "self-atari size": {"a": 1},
            "liberties after move": {"a": 1},
            "liberties": {"6": 1, "a": 0},
            "eyes": "",
        },
    ),
    Diagram("a ko may not be retaken at once", "O", KO, {"illegal": "6", "capture size": {"6": 0}, "turns since": {"a": 1, "6": 0}}, "Xa"),
    Diagram("a ko does not bind who took it", "X", KO, {"legal": "6", "capture size": {"6": 0}, "liberties after move": {"6": 3}}, "Xa"),
    Diagram("who took a ko may fill it", "X", KO, {"legal": "6", "capture size": {"6": 0}}, "Xa O-"),
    Diagram("a ko may be retaken after two passes", "O", KO, {"legal": "6", "capture size": {"6": 1}}, "Xa O- X-"),
    Diagram(
        "two kos: the one just taken is forbidden, the other is not",
        "O",
        TWO_KOS,
        {
            "illegal": "p",
            "legal": "b",
            "capture size": {"p": 0, "b": 1},
            "self-atari size": {"p": 0, "b": 1},
            "liberties after move": {"p": 0, "b": 1},
            "turns since": {"q": 1, "p": 0, "1": 8},
        },
        "Op Xq",
    ),
    Diagram(
        "two kos: white took the second, black may fill the first",
        "X",
        TWO_KOS,
        {"illegal": "1", "legal": "p", "capture size": {"p": 0, "1": 0}, "turns since": {"b": 1, "q": 2, "p": 0, "1": 0}, "eyes": ""},
        "Op Xq Ob",
    ),
    Diagram(
        "the first of two stones to be sent",
        "X",
        SEND_TWO,
        {"capture size": {"a": 0, "c": 0}, "self-atari size": {"a": 2, "c": 0}, "liberties after move": {"a": 1}},
    ),
    Diagram(
        "capturing two stones is no ko, though the stone is alone and has one liberty",
        "O",
        SEND_TWO,
        {"capture size": {"c": 2}, "self-atari size": {"c": 1}, "liberties after move": {"c": 1}},
        "Xa",
    ),
    Diagram(
        "sending two, returning one: no ko on the way",
        "X",
        SEND_TWO,
        {"legal": "1", "capture size": {"1": 1}, "self-atari size": {"1": 0}, "liberties after move": {"1": 2}},
        "Xa Oc",
    ),
    Diagram(
        "a snapback: the throw-in is a self-atari of one stone and captures in a ladder",
        "X",
        SNAPBACK,
        {
            "capture size": {"a": 0, "b": 0},
            "self-atari size": {"a": 1, "b": 0},
            "liberties after move": {"a": 1, "b": 4},
            "ladder capture": "ab",
            "ladder escape": "",
        },
    ),
    Diagram(
        "a snapback: taking the stone is a self-atari of five, and no escape",
        "O",
        SNAPBACK,
        {"capture size": {"b": 1}, "self-atari size": {"b": 5}, "liberties after move": {"b": 1}, "ladder escape": ""},
        "Xa",
    ),
    Diagram(
        "a snapback: capturing one stone with a larger chain is no ko",
        "X",
        SNAPBACK,
        {"legal": "a", "capture size": {"a": 5}, "self-atari size": {"a": 0}, "liberties after move": {"a": 3}},
        "Xa Ob",
    ),
    Diagram(
        "under the stones: four are taken",
        "O",
        UNDER_THE_STONES,
        {"capture size": {"a": 4}, "self-atari size": {"a": 0}, "liberties after move": {"a": 2}},
    ),
    Diagram(
        "under the stones: black comes back inside",
        "X",
        UNDER_THE_STONES,
        {
            "legal": "1234",
            "capture size": {"4": 0},
            "liberties after move": {"4": 2},
            "turns since": {"a": 1, "1": 0, "4": 0},
            "ladder capture": "4",
        },
        "Oa",
    ),
    Diagram(
        "under the stones: and takes three",
        "X",
        UNDER_THE_STONES,
        {"capture size": {"1": 3, "2": 0}, "turns since": {"3": 1, "4": 2, "a": 3}},
        "Oa X4 O3",
    ),
    Diagram(
        "four chains captured by one stone",
        "X",
        """
        . . X . . . .
        . X O X . . .
        X O a O X . .
        . X O X . . .
        . . X . . . .
        . . . . . . .
        . . . . . . .
        """,
        {"capture size": {"a": 4}, "self-atari size": {"a": 0}, "liberties after move": {"a": 4}},
    ),
    Diagram(
        "a chain that lies on two sides of the stone, another between them, is captured once",
        "X",
        """
        O . X O O
        O X O a O
        O X X . X
        X X . . O
        . . . . X
        """,
        {"capture size": {"a": 4}, "self-atari size": {"a": 0}, "liberties after move": {"a": 4}},
    ),
    Diagram("suicide of two stones", "X", SUICIDE, {"illegal": "a", "capture size": {"a": 0}, "liberties after move": {"a": 0}}),
    Diagram(
        "no suicide for the other colour",
        "O",
        SUICIDE,
        {"legal": "a", "capture size": {"a": 1}, "self-atari size": {"a": 0}, "liberties after move": {"a": 6}},
    ),
    Diagram(
        "seven stones captured",
        "X",
        """
        O O O O O O O a .
        X X X X X X X . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        """,
        {"capture size": {"a": 7}, "self-atari size": {"a": 0}, "liberties after move": {"a": 3}},
    ),
    Diagram(
        "eight stones captured, in two chains",
        "X",
        """
        O O O O a O O O O
        X X X X X X X X X
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        """,
        {"capture size": {"a": 7}, "liberties after move": {"a": 8}},
    ),
    Diagram(
        "six stones captured, in two chains",
        "X",
        """
        . X O O O a O O O
        . X X X X X X X X
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        """,
        {"capture size": {"a": 6}},
    ),
    Diagram(
        "self-atari of eight stones",
        "X",
        """
        1 X X X X X X a O
        O O O O O O O b O
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        """,
        {
            "capture size": {"a": 0, "b": 0},
            "self-atari size": {"a": 8, "b": 0},
            "liberties after move": {"a": 1, "b": 2},
            "liberties": {"1": 1},
            "ladder escape": "",
        },
    ),
    Diagram(
        "self-atari of nine stones, and of none",
        "X",
        """
        1 X X X X X X X a O
        O O O O O O O O b O
        . . . . . . . . . .
        . . . . . . . . . .
        . . . . . . . . . .
        . . . . . . . . . .
        . . . . . . . . . .
        . . . . . . . . . .
        . . . . . . . . . .
        . . . . . . . . . .
        """,
        {"self-atari size": {"a": 8, "b": 0}},
    ),
    Diagram(
        "self-atari of seven stones",
        "X",
        """
        1 X X X X X a O .
        O O O O O O b O .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        . . . . . . . . .
        """,
        {"self-atari size": {"a": 7}},
    ),
    Diagram(
        "liberties of chains",
        "O",
        """
        . . . . . . . . .
        . X 1 X . . . 6 .
        . . . . . . . O .
        . . . . . . . . .
        . . 2 X . . 7 O .
        . . X . . . O a .
        . . . . . . . . .
        . 3 X X X . . . 8
        9 . . . . . . . .
        """,
        # 1: 3 above, 3 below, 2 beside. 3: ten, of which white's 9 holds none. 7: an L has 7
        {"liberties": {"1": 8, "2": 7, "3": 8, "6": 6, "7": 7, "8": 3, "9": 2, "a": 0}, "liberties after move": {"a": 8}},
    ),
    Diagram(
        "turns since",
        "O",
        """
        1 . . . 6
        a b c d e
        . . . . .
        f g . h .
        . . . . .
        """,
        {"turns since": {"g": 1, "f": 2, "e": 4, "d": 5, "c": 7, "b": 8, "a": 8, "1": 8, "6": 8, "h": 0}},
        "Xa Ob Xc O- Xd Oe X- Of Xg",
    ),
    # ---- the smallest board ----
    Diagram(
        "2x2, one stone",
        "O",
        """
        1 a
        b c
        """,
        {
            "legal": "abc",
            "self-atari size": {"a": 1, "b": 1, "c": 0},
            "liberties after move": {"a": 1, "b": 1, "c": 2},
            "ladder capture": "",
        },
    ),
    Diagram("2x2, two stones across: every move is suicide", "O", "1 a\nb 2", {"illegal": "ab", "liberties": {"1": 2, "2": 2}, "eyes": ""}),
    Diagram(
        "2x2, two stones across: every move fills an eye",
        "X",
        "1 a\nb 2",
        {"legal": "ab", "self-atari size": {"a": 3, "b": 3}, "liberties after move": {"a": 1, "b": 1}, "eyes": "ab"},
    ),
    Diagram("2x2, three stones: filling the board is suicide", "X", "1 X\nX a", {"illegal": "a", "liberties": {"1": 1}}),
    Diagram(
        "2x2, three stones: all are captured",
        "O",
        "1 X\nX a",
        {"legal": "a", "capture size": {"a": 3}, "liberties after move": {"a": 2}},
    ),
]

# ---- eyes ----------------------------------------------------------------------------------------------------------


def eyes(name: str, picture: str, expected: str) -> Diagram:
    return Diagram(name, "X", picture, {"eyes": expected})


EYES = [
    eyes("true eye in the corner", "a X . .\nX X . .\n. . . .\n. . . .", "a"),
    eyes("false eye in the corner: the diagonal is empty", "a X . .\nX . . .\n. . . .\n. . . .", ""),
    eyes("false eye in the corner: the diagonal is white", "a X . .\nX O . .\n. . . .\n. . . .", ""),
    eyes("true eye in the corner, on an eye", "a X X . .\nX b X . .\nX X X . .\n. . . . .\n. . . . .", "ab"),
    eyes("true eye in the corner, on an eye with one bad diagonal", "a X O . .\nX b X . .\nX X X . .\n. . . . .\n. . . . .", "ab"),
    eyes("false eye in the corner, on a false eye", "a X O . .\nX b X . .\nO X X . .\n. . . . .\n. . . . .", ""),
    eyes("true eye on the edge", ". X a X .\n. X X X .\n. . . . .\n. . . . .\n. . . . .", "a"),
    eyes("false eye on the edge: a diagonal is white", ". X a X .\n. X X O .\n. . . . .\n. . . . .\n. . . . .", ""),
    eyes("false eye on the edge: a diagonal is empty", ". X a X .\n. . X X .\n. . . . .\n. . . . .\n. . . . .", ""),
    eyes("true eye in the middle", ". . . . .\n. X X X .\n. X a X .\n. X X X .\n. . . . .", "a"),
    eyes("true eye in the middle, one diagonal white", ". . . . .\n. O X X .\n. X a X .\n. X X X .\n. . . . .", "a"),
    eyes("true eye in the middle, one diagonal empty", ". . . . .\n. . X X .\n. X a X .\n. X X X .\n. . . . .", "a"),
    eyes("false eye in the middle, two diagonals white", ". . . . .\n. O X X .\n. X a X .\n. X X O .\n. . . . .", ""),
    eyes("false eye in the middle, a diagonal white and one empty", ". . . . .\n. O X X .\n. X a X .\n. X X . .\n. . . . .", ""),
    eyes("false eye in the middle, two diagonals empty", ". . . . .\n. . X . .\n. X a X .\n. X X X .\n. . . . .", ""),
    eyes("no eye: a neighbour is white", ". . . . .\n. X O X .\n. X a X .\n. X X X .\n. . . . .", ""),
    eyes(
        "two-headed dragon: each eye makes the other true",
        ". . . . . . .\n. O X X . . .\n. X a X X . .\n. X X b X . .\n. . X X O . .\n. . . . . . .\n. . . . . . .",
        "ab",
    ),
    eyes(
        "two heads, one cut off: both eyes are false",
        ". . . . . . .\n. O X X . . .\n. X a X X . .\n. X X b X . .\n. . O X O . .\n. . . . . . .\n. . . . . . .",
        "",
    ),
    eyes(  # the ring of four stands or falls together: each has one bad diagonal at the outside and two eyes beside it
        "four eyes in a ring around a stone",
        """
        . . . . . . .
        . . O X X . .
        . X X a X O .
        . X b X c X .
        . O X d X X .
        . . X X O . .
        . . . . . . .
        """,
        "abcd",
    ),
    eyes(
        "four eyes in a ring, one with a second bad diagonal",
        """
        . . . . . . .
        . . O X O . .
        . X X a X O .
        . X b X c X .
        . O X d X X .
        . . X X O . .
        . . . . . . .
        """,
        "",
    ),
    Diagram(
        "no move into the eyes of the other",
        "O",
        ". . . . . . .\n. O X X . . .\n. X a X X . .\n. X X b X . .\n. . X X O . .\n. . . . . . .\n. . . . . . .",
        {"illegal": "ab", "eyes": ""},
    ),
]

# ---- ladders -------------------------------------------------------------------------------------------------------

TWO_EYES = """
a X b X O
X 1 X X O
O O O O O
. . . . .
. . . . .
"""
ATARI = """
. . . .
. X . .
X 6 a .
. X . .
"""
HUNTER_IN_ATARI = """
. . O . . . . . .
. O X c . . . . .
. X 6 a . . . . .
. X b . . . . . .
. . . . . . . . .
. . . . . . . . .
. . . . . . . . .
. . . . . . . . .
. . . . . . . . .
"""
FIRST_LINE = """
a 6 b . .
X X X . .
. . . . .
. . . . .
. . . . .
"""
KO_FORBIDS = """
. X O b X . .
X O a O X . .
. X O O X . .
. . X X . . .
. . . . . . .
. . . . . . .
. . . . . . .
"""

LADDERS = [
    Diagram("two eyes: neither liberty can be played", "O", TWO_EYES, {"illegal": "ab", "ladder capture": "", "liberties": {"1": 2}}),
    Diagram("two eyes: filling one is a self-atari", "X", TWO_EYES, {"self-atari size": {"a": 7, "b": 7}, "eyes": "ab"}),
    Diagram("a chain in atari is no ladder", "X", ATARI, {"capture size": {"a": 1}, "liberties": {"6": 1}, "ladder capture": ""}),
    Diagram("three liberties are an escape", "O", ATARI, {"liberties after move": {"a": 3}, "ladder escape": "a"}),
    Diagram(
        "a hunter's stone in atari breaks the ladder",
        "X",
        HUNTER_IN_ATARI,
        {"not in ladder capture": "abc", "ladder escape": "c"},
    ),
    Diagram("the prey escapes by running and by capturing", "O", HUNTER_IN_ATARI, {"ladder escape": "bc"}, "Xa"),
    Diagram("one stone on the first line", "X", FIRST_LINE, {"ladder capture": "ab", "liberties": {"6": 2}}),
    Diagram(  # white's b takes three stones, which it touches twice; only the one beside 6 becomes a liberty, and d takes 6
        "the answer's capture opens one liberty, not two",
        "X",
        """
        . . . O .
        X X . . .
        O . . X .
        X b a X X
        X X 6 d X
        """,
        {"liberties": {"6": 2}, "ladder capture": "a"},
    ),
    Diagram("a ko forbids the prey's answer", "X", KO_FORBIDS, {"in ladder capture": "ab", "self-atari size": {"a": 1}}),
]

# The straight ladder. The prey stands on (row, column), hunters above it, left of it, and left of the point below it:
#
#       . X .        a, the point right of the prey, drives it: it answers below (b), has two liberties, is driven from below,
#       X 6 a        answers to the right, and so on, to the lower right, until an edge leaves it one liberty: captured.
#       X b .        At every step the hunter's other move gives the prey three liberties; so b captures nothing, and only
#                    stones that the prey joins (on the line of its own or of the hunter's stones), or that touch a hunter's
#                    stone from outside and so put it in atari, can break it: the "six diagonals". A stone one further out
#                    touches nothing.
BREAKERS = [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (3, 0)]  # the prey stands on the diagonal (0, 0)
NO_BREAKERS = [(0, 3), (4, 0)]


def ladder(size: int, row: int, column: int, *, breaker: tuple[int, int] | None = None, works: bool) -> list[Diagram]:
    """A straight ladder from (row, column), with a friend of the prey on ``breaker``, before and after the first move."""
    grid = [["." for _ in range(size)] for _ in range(size)]
    grid[row - 1][column] = grid[row][column - 1] = grid[row + 1][column - 1] = "X"
    grid[row][column], grid[row][column + 1], grid[row + 1][column] = "6", "a", "b"
    if breaker is not None:
        assert grid[breaker[0]][breaker[1]] == "."
        grid[breaker[0]][breaker[1]] = "O"
    picture = "\n".join(" ".join(line) for line in grid)
    name = f"{size}x{size}, ladder from {row}, {column}" + (f", a stone on {breaker[0]}, {breaker[1]}" if breaker else "")
    return [
        Diagram(name, "X", picture, {"ladder capture": "a" if works else "", "ladder escape": "", "liberties": {"6": 2}}),
        Diagram(name + ", first move played", "O", picture, {"ladder escape": "" if works else "b"}, "Xa"),
    ]


_STARTS = [(5, 1, 1), (9, 1, 1), (9, 3, 2), (9, 2, 5), (13, 4, 2), (19, 1, 1), (19, 2, 9), (19, 12, 3), (19, 8, 8), (25, 1, 1)]
for _size, _row, _column in _STARTS:
    LADDERS += ladder(_size, _row, _column, works=True)
_STEPS = [(9, 1, 1, 3), (13, 2, 3, 5), (19, 1, 1, 2), (19, 1, 1, 8), (19, 1, 1, 13), (25, 1, 1, 18)]
for _size, _row, _column, _steps in _STEPS:  # the steps the ladder takes to the breaker
    for _down, _right in BREAKERS + NO_BREAKERS:
        _stone = (_row + _steps + _down, _column + _steps + _right)
        LADDERS += ladder(_size, _row, _column, breaker=_stone, works=(_down, _right) in NO_BREAKERS)
# The ladder from (2, 9) ends at the right edge, on row 11 or 12; where its line would go on, reflected or not, a stone comes too late.
for _stone in [(16, 16), (14, 14), (11, 4), (16, 3), (3, 16)]:
    LADDERS += ladder(19, 2, 9, breaker=_stone, works=True)

# Positions of random games in which the reading of a ladder comes back to the same boards, until it is given up at its bound.
REPEATING = [
    Diagram("repeating, 6x6", "X", ". . X . . O\n. . . . . X\n. . . . . O\n. . . . . O\n. . . . . X\nX . . O O X", {}),
    Diagram("repeating, 6x6, nothing comes of it", "O", ". O X X O .\nO X . X . .\nX . . . . .\n. . O . . .\n. . . O O .\n. . O X . .", {}),
    Diagram(
        "repeating, 7x7, more than 4000 stones",
        "X",
        """
        O X . X X . .
        . O . . X X X
        O . . . O X .
        X . . O O O O
        O X . X X X .
        . . X . . X X
        . . X . . . .
        """,
        {},
    ),
    Diagram(
        "repeating, 9x9",
        "O",
        """
        . . X O X O . . .
        O X O . . . . . .
        X . . . X O . X X
        . . . X . . . X .
        . . X . O . O O X
        O . . . O X O . X
        . . O O . X . X X
        O O O O O X . O O
        . O . O O X . X O
        """,
        {},
    ),
]

DIAGRAMS = RULES + EYES + LADDERS
