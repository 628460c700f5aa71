"""The planes: against positions worked out by hand, against the slow plain planes, and against themselves."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from gopolicy import ladders
from gopolicy.board import Board
from gopolicy.coords import BLACK, PASS, WHITE, point_from_gtp
from gopolicy.errors import GoPolicyError
from gopolicy.features import BLOCK, PLANE_SETS, Workspace, encode, expand, forget, write_codes
from gopolicy.symmetry import tables
from tests.diagrams import DIAGRAMS, EYES, LADDERS, REPEATING, RULES, Diagram, Placed
from tests.reference import (
    LONGEST_LINE,
    LONGEST_READING,
    PLANES,
    Ladders,
    ReferenceBoard,
    follow,
    own_games,
    plane_difference,
    random_game,
    reference_planes,
)
from tests.tracked import TrackedGame

SIZES = [2, 3, 5, 7, 9, 13, 19, 25]


# ---- by hand ----------------------------------------------------------------------------------------------------


def gopolicy_planes(placed: Placed) -> np.ndarray:
    board = Board(placed.size, superko=False)
    board.setup(black=placed.black, white=placed.white)
    for colour, point in placed.moves:
        board.play(point, colour)
    board.to_play = placed.to_play
    return encode(board)


def plain_planes(placed: Placed) -> np.ndarray:
    board = ReferenceBoard(placed.size)
    board.setup(placed.black, placed.white)
    for colour, point in placed.moves:
        board.play(point, colour)
    board.to_play = placed.to_play
    return reference_planes(board)


def check_facts(placed: Placed, planes: np.ndarray) -> None:
    planes = planes.reshape(48, -1)
    legal, sensible = planes[20:28].any(axis=0), planes[46] == 1

    def points(names: str | dict[str, int]) -> set[int]:
        return {placed.names[name] for name in names}

    for fact, value in placed.facts.items():
        about = f"{placed.name}: {fact} {value}"
        if isinstance(value, dict):
            first, count = PLANES[fact]
            for name, number in value.items():
                got = np.flatnonzero(planes[first : first + count, placed.names[name]])
                wanted = number if fact == "capture size" else number - 1  # plane 20 is "captures nothing"
                if fact == "capture size" and number == 0:
                    wanted = 0 if legal[placed.names[name]] else -1
                assert got.tolist() == ([min(wanted, 7)] if wanted >= 0 else []), f"{about}, {name}"
        elif fact in ("legal", "illegal"):
            assert all(legal[point] == (fact == "legal") for point in points(value)), about
        elif fact == "eyes":
            assert set(np.flatnonzero(legal & ~sensible)) == points(value), about
        elif fact in ("ladder capture", "ladder escape"):
            assert set(np.flatnonzero(planes[PLANES[fact][0]])) == points(value), about
        elif fact in ("in ladder capture", "not in ladder capture"):
            assert all(planes[44, point] == (fact == "in ladder capture") for point in points(value)), about
        else:
            raise AssertionError(f"{about}: no such fact")


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=[diagram.name for diagram in DIAGRAMS])
def test_positions_worked_out_by_hand(diagram: Diagram) -> None:
    for placed in diagram.variants():
        check_facts(placed, gopolicy_planes(placed))


PLAINLY = RULES + EYES + LADDERS[::5]  # the plain reading of long ladders takes its time


@pytest.mark.parametrize(("number", "diagram"), list(enumerate(PLAINLY)), ids=[diagram.name for diagram in PLAINLY])
def test_the_plain_planes_of_positions_worked_out_by_hand(number: int, diagram: Diagram) -> None:
    placed = diagram.placed(number % 16)
    check_facts(placed, plain_planes(placed))


@pytest.mark.parametrize("size", [5, 19, 25])
def test_a_board_full_of_eyes(size: int) -> None:
    """Stones of one colour on every second point: every empty point is an eye, held up by its diagonals; a reading of
    every way through them would never end."""
    board = Board(size)
    board.setup(black=range(1, size**2, 2))
    planes = encode(board)
    assert np.array_equal(planes[46], np.zeros((size, size)))
    assert planes[20:28].sum() == (size**2 + 1) // 2  # all of them are legal
    row, column = size // 2, size // 2 + 1
    if size == 19:  # a white stone in the middle takes four eyes away; the others have at most one bad diagonal each
        board.setup(white=[row * size + column])
        expected = {(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)}
        assert {tuple(at) for at in np.argwhere(encode(board)[46])} == expected
        board.setup(black=[row * size + column], white=[1])  # at the edge: none may be bad, so (2, 0) falls with (1, 1)
        assert {tuple(at) for at in np.argwhere(encode(board)[46])} == {(0, 0), (0, 2), (1, 1), (2, 0)}


# ---- against the plain planes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_random_games_against_the_plain_planes(size: int) -> None:
    """From the board, and by following the game: once every position is encoded, once a few of them."""
    rng = random.Random(size)
    workspace = Workspace()
    for rate in (1.0, 0.2, 0.05) if size < 19 else (0.5, 0.1):
        board, tracked = Board(size, superko=False), TrackedGame(size, workspace)
        for plain in random_game(size, rng, min(3 * size**2, 160)):
            follow(board, plain)
            follow(tracked, plain)
            if rng.random() > rate:
                continue
            expected = reference_planes(plain)
            for name, got in (("encode", encode(board)), ("followed", tracked.planes(plain.to_play))):
                assert plane_difference(got, expected) is None, f"{name}, {plane_difference(got, expected)}\n{plain.position.diagram()}"


def test_followed_games_have_the_planes_of_their_boards() -> None:
    """What a workspace remembers of a game, ladders above all, against a board of which nothing is remembered: many small, wild games."""
    rng = random.Random(0)
    workspace = Workspace()
    for number in range(60):
        size = (5, 6, 7, 9)[number % 4]
        board, tracked = Board(size, superko=False), TrackedGame(size, workspace)
        for turn in range(3 * size**2):
            moves, colour = np.flatnonzero(board.sensible_mask()).tolist(), board.to_play
            point = rng.choice(moves) if moves and rng.random() > 0.03 else PASS
            for each in (board, tracked):
                each.play(point, colour)
            if rng.random() < 0.8:
                assert np.array_equal(tracked.planes(-colour), encode(board)), f"game {number}, turn {turn}\n{board}"


def test_a_ladder_that_a_ko_decided_is_read_again() -> None:
    """White has taken a ko at E5; F5 is in atari, and Black may not take back at D5. A turn later he may, and saves F5 by it."""
    board, plain, tracked = Board(9, superko=False), ReferenceBoard(9), TrackedGame(9, Workspace())
    black, white = ("D5", "E4", "E6", "E7", "F5"), ("C5", "D4", "D6", "F4", "F6")
    moves = [(colour, vertex) for pair in zip(black, white, strict=True) for colour, vertex in zip((BLACK, WHITE), pair, strict=True)]
    escapes = []
    for colour, vertex in [*moves, (BLACK, "A1"), (WHITE, "E5"), (BLACK, "J1"), (WHITE, "J9"), (BLACK, "pass")]:
        point = point_from_gtp(vertex, 9)
        for each in (board, plain, tracked):
            each.play(point, colour)
        expected = reference_planes(plain)
        for got in (encode(board), tracked.planes(-colour)):
            assert plane_difference(got, expected) is None, f"after {vertex}: {plane_difference(got, expected)}"
        if colour == WHITE:
            escapes.append(expected[PLANES["ladder escape"][0], 4, 3] == 1)
    assert escapes[-2:] == [False, True], "the ko decides something"


def test_games_of_the_repository_against_the_plain_planes() -> None:
    rng = random.Random(1)
    workspace = Workspace()
    for moves in itertools.islice(own_games(), 12):
        board, plain, tracked = Board(19), ReferenceBoard(19), TrackedGame(19, workspace)
        wanted = set(rng.sample(range(len(moves)), 8))
        for number, (colour, point) in enumerate(moves):
            if number in wanted:
                expected = reference_planes(plain)
                for name, got in (("encode", encode(board)), ("followed", tracked.planes(colour))):
                    assert plane_difference(got, expected) is None, f"{name}, move {number + 1}: {plane_difference(got, expected)}"
            for each in (board, plain, tracked):
                each.play(point, colour)


@pytest.mark.parametrize("diagram", REPEATING, ids=[diagram.name for diagram in REPEATING])
def test_readings_that_repeat_are_given_up_at_the_same_bound(diagram: Diagram) -> None:
    bounds = 0
    for placed in diagram.variants():
        if placed.to_play == BLACK:
            plain, board = ReferenceBoard(placed.size), Board(placed.size)
            for each in (plain, board):
                each.setup(placed.black, placed.white)
            read = Ladders(plain.position, BLACK)
            bounds += read.deepest == LONGEST_LINE
            difference = plane_difference(encode(board), reference_planes(plain, read))
            assert difference is None, f"{placed.name}: {difference}"
    assert bounds, "no reading met a bound: this position shows nothing"


def test_the_bounds_are_those_of_the_page() -> None:
    assert (LONGEST_LINE, LONGEST_READING) == (ladders.LONGEST_LINE, ladders.MOST_STONES) == (400, 10_000)


# ---- the planes among themselves ------------------------------------------------------------------------------------


def test_plane_sets_have_the_sizes_of_the_paper() -> None:
    assert {name: (chosen.planes, chosen.version) for name, chosen in PLANE_SETS.items()} == {
        "stones1": (1, 1),
        "alphago4": (4, 1),
        "alphago12": (12, 1),
        "alphago20": (20, 1),
        "alphago48": (48, 1),
    }
    assert sum(count for _, count in PLANES.values()) == 48
    with pytest.raises(GoPolicyError, match=r"there is no plane set \[\]"):
        encode(Board(9), [])  # type: ignore[arg-type]
    with pytest.raises(GoPolicyError, match="alphago48"):
        encode(Board(9), "alphago49")


@pytest.mark.parametrize("size", SIZES)
def test_smaller_plane_sets_are_the_first_planes_of_the_largest(size: int) -> None:
    board = Board(size, superko=False)
    for plain in random_game(size, random.Random(size), 40):
        follow(board, plain)
        planes = encode(board)
        assert planes.shape == (48, size, size)
        assert planes.dtype == np.uint8
        for count in (4, 12, 20):
            assert np.array_equal(encode(board, f"alphago{count}"), planes[:count])
        stones = encode(board, "stones1")
        assert stones.dtype == np.int8
        assert np.array_equal(stones, board.to_play * board.stones()[None])


@pytest.mark.parametrize("size", SIZES)
def test_what_every_position_has_in_common(size: int) -> None:
    board = Board(size, superko=False)
    for plain in random_game(size, random.Random(size + 50), 50):
        follow(board, plain)
        planes = encode(board).astype(int)
        stone, legal = board.stones() != 0, board.legal_mask()
        groups = {name: planes[first : first + count].sum(axis=0) for name, (first, count) in PLANES.items()}
        assert planes.min() >= 0
        assert (groups["stone colour"] == 1).all()
        assert (groups["ones"] == 1).all()
        assert (groups["zeros"] == 0).all()
        for name in ("turns since", "liberties"):
            assert np.array_equal(groups[name], stone), name
        for name in ("capture size", "liberties after move"):
            assert np.array_equal(groups[name], legal), name
        assert np.array_equal(groups["self-atari size"], planes[36]), "a self-atari leaves one liberty"
        assert np.array_equal(planes[46], board.sensible_mask())
        assert not (planes[44] & ~legal).any()
        assert not (planes[45] & ~board.sensible_mask()).any()


@pytest.mark.parametrize("size", SIZES)
def test_planes_are_written_to_their_array_alone(size: int) -> None:
    """Planes are written whole blocks at a time; what lies behind the last one may be another position of a batch."""
    workspace, board = Workspace(), Board(size)
    forget(workspace.tracker, board.state)
    for chosen in PLANE_SETS.values():
        end = chosen.planes * size**2
        memory = np.full(end + 2 * BLOCK, 77, dtype=np.uint8)
        write_codes(board.state, board.journal, workspace.reader, workspace.tracker, BLACK, chosen.planes)
        expand(board.state, workspace.tracker, tables(size)[0], memory[:end])
        assert (memory[:end] != 77).all(), chosen.name
        assert (memory[end:] == 77).all(), chosen.name


def test_encoding_leaves_the_board_as_it_was() -> None:
    board = Board(9)
    for plain in random_game(9, random.Random(3), 80, superko=True):
        follow(board, plain)
        before = (board.stones().tolist(), board.legal_mask().tolist(), board.ko_point, board.captures, list(board.moves), board.to_play)
        first = encode(board)
        assert np.array_equal(encode(board), first)
        assert (board.stones().tolist(), board.legal_mask().tolist(), board.ko_point, board.captures, board.moves, board.to_play) == before


def test_whole_board_repetition_is_not_in_the_planes() -> None:
    """Sending two, returning one: the last capture repeats the board, so it is illegal in play, but a legal move of the planes."""
    board = Board(5)
    board.setup(black=[1, 3, 7], white=[5, 6])
    board.play("A5", BLACK)
    board.play("C5", WHITE)
    assert not board.is_legal("B5")
    assert encode(board)[21, 0, 1] == 1


def test_the_planes_after_undo_are_those_before_the_move() -> None:
    board = Board(7, superko=False)
    before = []
    for plain in random_game(7, random.Random(11), 60):
        follow(board, plain)
        before.append((encode(board, colour=BLACK), encode(board, colour=WHITE)))
    for black, white in reversed(before[:-1]):
        board.undo()
        assert np.array_equal(encode(board, colour=BLACK), black)
        assert np.array_equal(encode(board, colour=WHITE), white)
