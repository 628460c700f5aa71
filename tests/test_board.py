"""The rules: against sgfmill's boards, a slow plain board, published counts and positions worked out by hand."""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any

import numpy as np
import pytest
from sgfmill.boards import Board as SgfmillBoard

from gopolicy import draw
from gopolicy.board import Board, first_illegal
from gopolicy.coords import BLACK, EMPTY, PASS, WHITE, point_from_gtp, point_from_sgf, point_to_gtp, point_to_sgf
from gopolicy.errors import GoPolicyError, IllegalMoveError
from gopolicy.features import encode
from gopolicy.sgf import GameRecord, write_sgf
from gopolicy.symmetry import tables
from tests.diagrams import RULES, Diagram
from tests.reference import Position, ReferenceBoard, follow, own_games, random_game

SIZES = [2, 3, 5, 7, 9, 13, 19, 25]


def state(board: Board) -> tuple[object, ...]:
    """All that a refused move must leave alone."""
    return (
        board.stones().tolist(),
        board.to_play,
        board.move_number,
        list(board.moves),
        dict(board.captures),
        board.last_move,
        board.ko_point,
    )


def same_as_plain(board: Board, plain: ReferenceBoard) -> None:
    where = f"turn {len(plain.turns)}, {plain.size}x{plain.size}\n{plain.position.diagram()}"
    assert np.array_equal(board.stones(), plain.stones()), where
    assert board.captures == plain.captured, where
    assert (board.to_play, board.moves, board.move_number) == (plain.to_play, plain.turns, len(plain.turns)), where
    for colour in (BLACK, WHITE):
        assert np.array_equal(board.legal_mask(colour), plain.legal_mask(colour)), where


class Sgfmill:
    """sgfmill's board, with its simple ko, behind the same words."""

    def __init__(self, size: int) -> None:
        self.board, self.ko = SgfmillBoard(size), None
        self.size = size

    def play(self, point: int, colour: int) -> None:
        self.ko = None
        if point != PASS:
            self.ko = self.board.play(*divmod(point, self.size), "b" if colour == BLACK else "w")

    def setup(self, black: list[int], white: list[int]) -> None:
        assert self.board.apply_setup([divmod(p, self.size) for p in black], [divmod(p, self.size) for p in white], [])

    def stones(self) -> np.ndarray:
        return np.array([[{None: EMPTY, "b": BLACK, "w": WHITE}[stone] for stone in row] for row in self.board.board], np.int8)


# ---- the rules ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "published"), [(2, 57), (3, 12675)])
def test_the_number_of_legal_positions(size: int, published: int) -> None:
    """Tromp and Farnebäck, Combinatorics of Go: the fillings in which every chain has a liberty."""
    count = 0
    for colouring in itertools.product((EMPTY, BLACK, WHITE), repeat=size**2):
        board = Board(size)
        try:
            board.setup(*([point for point, stone in enumerate(colouring) if stone == colour] for colour in (BLACK, WHITE)))
        except GoPolicyError:
            assert not board.stones().any()
        else:
            assert board.stones().ravel().tolist() == list(colouring)
            count += 1
    assert count == published


@pytest.mark.parametrize(("size", "published"), [(1, 1), (2, 57), (3, 12675)])
def test_the_number_of_legal_positions_of_the_plain_board(size: int, published: int) -> None:
    positions = (Position(size, list(stones)) for stones in itertools.product((EMPTY, BLACK, WHITE), repeat=size**2))
    assert published == sum(all(chain.liberties for colour in (BLACK, WHITE) for chain in p.chains(colour)) for p in positions)


@pytest.mark.parametrize("diagram", RULES, ids=[diagram.name for diagram in RULES])
def test_captures_and_refusals_worked_out_by_hand(diagram: Diagram) -> None:
    for placed in diagram.variants():
        board = Board(placed.size, superko=False)  # retaking a ko after two passes repeats a board
        board.setup(black=placed.black, white=placed.white)
        for colour, point in placed.moves:
            board.play(point, colour)
        board.to_play = placed.to_play
        before = state(board)
        for name in placed.facts.get("illegal", ""):
            assert not board.is_legal(placed.names[name])
            with pytest.raises(IllegalMoveError):
                board.play(placed.names[name])
            assert state(board) == before
        for name in placed.facts.get("legal", ""):
            assert board.is_legal(placed.names[name])
        for name, number in dict(placed.facts.get("capture size", {})).items():
            if board.is_legal(placed.names[name]) and number < 7:  # 7 is "or more"
                after = board.copy()
                after.play(placed.names[name])
                assert after.captures[placed.to_play] == board.captures[placed.to_play] + number
                assert state(board) == before


@pytest.mark.parametrize("size", range(2, 26))
def test_random_games_against_sgfmill(size: int) -> None:
    rng = random.Random(size)
    board, sgfmill = Board(size, superko=False), Sgfmill(size)
    for plain in random_game(size, rng, min(2 * size**2, 100)):
        follow(board, plain)
        follow(sgfmill, plain)
        assert np.array_equal(board.stones(), sgfmill.stones()), plain.position.diagram()
        ko = None if sgfmill.ko is None else sgfmill.ko[0] * size + sgfmill.ko[1]
        assert board.ko_point == ko, plain.position.diagram()


@pytest.mark.parametrize("size", SIZES)
def test_random_games_against_the_plain_board(size: int) -> None:
    rng = random.Random(100 + size)
    for _ in range(max(1, 200 // size**2)):
        board = Board(size, superko=False)
        for plain in random_game(size, rng, min(3 * size**2, 120)):
            follow(board, plain)
            same_as_plain(board, plain)


def test_games_of_the_repository_against_sgfmill() -> None:
    for moves in itertools.islice(own_games(), 10):
        board, sgfmill = Board(19), Sgfmill(19)
        assert first_illegal(19, [], moves) == -1
        for colour, point in moves:
            board.play(point, colour)
            sgfmill.play(point, colour)
            assert np.array_equal(board.stones(), sgfmill.stones())


# ---- whole-board repetition ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "games"), [(2, 5), (3, 20)])
def test_no_board_is_repeated(size: int, games: int) -> None:
    """On the smallest boards a game soon comes to points where a move would repeat a board."""
    rng = random.Random(size)
    refused = 0
    for _ in range(games):
        board = Board(size)
        for plain in random_game(size, rng, 100, superko=True):
            follow(board, plain)
            same_as_plain(board, plain)
            simple = [move.point for move in plain.position.legal(plain.to_play)]
            for point in [point for point in simple if not board.is_legal(point)]:
                refused += 1
                before = state(board)
                with pytest.raises(IllegalMoveError, match="repeat"):
                    board.play(point)
                assert state(board) == before
    assert refused > 10


def test_sending_two_returning_one() -> None:
    for superko in (True, False):
        board = Board(5, superko=superko)
        board.setup(black=[(0 * 5 + 1), (0 * 5 + 3), (1 * 5 + 2)], white=[5, 6])
        start = board.stones()
        board.play("A5", BLACK)  # a second stone
        board.play("C5", WHITE)  # takes both
        assert board.ko_point is None
        assert board.is_legal("B5", BLACK) == (not superko)
        if superko:
            with pytest.raises(IllegalMoveError, match="repeat"):
                board.play("B5", BLACK)
            board.undo()
            board.play("PASS", WHITE)
            assert board.is_legal("B4", BLACK) is False  # white's stone
        else:
            board.play("B5", BLACK)  # takes one: the board of the start
            assert np.array_equal(board.stones(), start)


def test_triple_ko() -> None:
    """Three kos, each taken in turn: the sixth capture would bring the first board back."""
    for superko in (True, False):
        board = Board(9, superko=superko)
        black = ["B9", "A8", "B7", "A6", "B5", "A4", "B3", "C6"]
        white = ["C9", "D8", "C7", "D6", "C5", "D4", "C3", "B8", "B4"]
        for vertices, colour in ((black, "black"), (white, "white")):
            board.setup(**{colour: [(9 - int(v[1])) * 9 + "ABCD".index(v[0]) for v in vertices]})
        start = board.stones()
        for colour, vertex in [(BLACK, "C8"), (WHITE, "B6"), (BLACK, "C4"), (WHITE, "B8"), (BLACK, "C6")]:
            board.play(vertex, colour)
        assert (board.captures[BLACK], board.captures[WHITE]) == (3, 2)
        assert board.is_legal("B4", WHITE) == (not superko)
        assert board.legal_mask(WHITE)[5, 1] == (not superko)
        if superko:
            board.play("J1", WHITE)  # a threat changes the board for good
            board.play("J9", BLACK)
            board.play("B4", WHITE)
        else:
            board.play("B4", WHITE)
            assert np.array_equal(board.stones(), start)


# ---- the game around the rules -------------------------------------------------------------------------------------


def position(board: Board) -> tuple[object, ...]:
    """Like ``state``, with what is legal and without whose turn it is."""
    masks = [mask(colour).tolist() for mask in (board.legal_mask, board.sensible_mask) for colour in (BLACK, WHITE)]
    return (masks, *(part for number, part in enumerate(state(board)) if number != 1))


@pytest.mark.parametrize("size", [2, 3, 5, 9, 19])
@pytest.mark.parametrize("superko", [True, False])
def test_undo_goes_back_through_every_position(size: int, superko: bool) -> None:
    rng = random.Random(size)
    board = Board(size, superko=superko)
    before = []
    for plain in random_game(size, rng, min(2 * size**2, 60), superko=superko):
        follow(board, plain)
        before.append(position(board))
    for expected in reversed(before[:-1]):
        colour, _ = board.moves[-1]
        board.undo()
        assert position(board) == expected
        assert board.to_play == colour  # who took a move back may play another, also after a turn out of order
    with pytest.raises(GoPolicyError):
        board.undo()
    assert position(board) == before[0]


def test_a_copy_is_a_game_of_its_own() -> None:
    rng = random.Random(1)
    board = Board(5)
    for plain in random_game(5, rng, 60, superko=True):
        follow(board, plain)
        copied, before = board.copy(), (state(board), board.legal_mask().tolist())
        assert (state(copied), copied.legal_mask().tolist()) == before
        for point in rng.sample(range(25), 25):
            if copied.is_legal(point):
                copied.play(point)
        while copied.move_number:
            copied.undo()
        assert (state(board), board.legal_mask().tolist()) == before


def test_stones_given_out_are_not_the_board() -> None:
    board = Board(3)
    board.stones()[0, 0] = BLACK
    board.legal_mask()[0, 1] = False
    assert board.legal_mask().all()
    assert not board.stones().any()


def test_sensible_moves_are_legal_and_fill_no_eye() -> None:
    for size in (3, 5, 9):
        board = Board(size, superko=False)
        for plain in random_game(size, random.Random(size), 100):
            follow(board, plain)
            for colour in (BLACK, WHITE):
                eyes = np.array([plain.position.is_true_eye(point, colour) for point in range(size**2)]).reshape(size, size)
                assert np.array_equal(board.sensible_mask(colour), board.legal_mask(colour) & ~eyes), plain.position.diagram()


def test_setup() -> None:
    board = Board(5)
    board.setup(black=[0, 1, 5, 0], white=[12])
    board.setup(white=[1], empty=[0])
    assert np.flatnonzero(board.stones() == BLACK).tolist() == [5]
    assert np.flatnonzero(board.stones() == WHITE).tolist() == [1, 12]
    assert (board.to_play, board.move_number, board.last_move, board.ko_point, board.moves) == (BLACK, 0, None, None, [])
    before = state(board)
    with pytest.raises(GoPolicyError, match="libert"):
        board.setup(black=[0], white=[5])  # the corner stone has no liberty
    assert state(board) == before
    board.play("A1")
    with pytest.raises(GoPolicyError):
        board.setup(black=[24])
    board.undo()
    board.setup(black=[24])
    with pytest.raises(GoPolicyError):
        board.setup(black=[25])


def test_the_same_move_in_every_form() -> None:
    for move in ("B4", "b4", 6, (1, 1)):
        board = Board(5)
        board.play(move)
        assert board.stones()[1, 1] == BLACK
        assert board.last_move == 6
        assert board.moves == [(BLACK, 6)]
        assert board.to_play == WHITE
    for move in ("pass", "PASS", PASS):
        board = Board(5)
        assert board.is_legal(move)
        board.play(move)
        assert (board.last_move, board.to_play, board.move_number, board.moves) == (PASS, WHITE, 1, [(BLACK, PASS)])


@pytest.mark.parametrize("move", ["A6", "F1", "I3", "", "A", "33", 25, -2, (0, 5), (-1, 0), (5, 0)])
def test_what_is_no_point_is_refused(move: object) -> None:
    board = Board(5)
    with pytest.raises(GoPolicyError):
        board.play(move)
    assert board.move_number == 0


@pytest.mark.parametrize("size", [-1, 0, 1, 26, 1000])
def test_sizes_that_are_not_played(size: int) -> None:
    with pytest.raises(GoPolicyError, match="2 to 25"):
        Board(size)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64])
def test_a_size_may_be_any_whole_number(kind: Any) -> None:
    """Packed games tell theirs in 8 bits, in which 19 times 19 is 105."""
    for size in (5, 13, 19, 25):
        board, plain = Board(kind(size)), Board(size)
        for one in (board, plain):
            one.setup(black=["A1", (size - 1, size - 1)], white=[size - 1])
            one.play("C3")
        assert np.array_equal(board.stones(), plain.stones())
        assert board.state == plain.state
        record = GameRecord(size=kind(size), setup=((BLACK, size * size - 1),))
        assert int(record.position(1).stones()[-1, -1]) == BLACK
        for vertex, text in (("B1", "b" + chr(96 + size)), ("pass", "")):
            point = point_from_gtp(vertex, size)
            assert point_from_gtp(vertex, kind(size)) == point_from_sgf(text, kind(size)) == point
            assert (point_to_gtp(point, kind(size)), point_to_sgf(point, kind(size))) == (vertex, text)
        assert np.array_equal(tables(kind(size)), tables(size))


def test_stones_that_cannot_be_set_up() -> None:
    board = Board(19)
    for stones, said in [
        ({"black": 5}, "lists of points"),
        ({"white": "D4"}, "lists of points"),
        ({"black": ["D4"], "white": ["pass"]}, "a pass cannot be set up"),
        ({"black": ["U4"]}, "no point of a 19x19 board"),
        ({"black": ["Q16", "D4"], "white": [(15, 3)]}, "D4 is to be set up in two ways"),
        ({"white": ["D4"], "empty": ["d4"]}, "D4 is to be set up in two ways"),
    ]:
        with pytest.raises(GoPolicyError, match=said):
            board.setup(**stones)  # type: ignore[arg-type]
    for wrong in (None, [3], [(1,)], [(BLACK, 3, 4)]):
        with pytest.raises(GoPolicyError, match="pairs"):
            board.set_up(wrong)  # type: ignore[arg-type]
    with pytest.raises(GoPolicyError, match="'Z99' is no point"):
        board.set_up((BLACK, board.point(vertex)) for vertex in ("D4", "Z99"))
    for point in (3.0, "D4", 361, -2, True):
        with pytest.raises(GoPolicyError, match="is no point of a 19x19 board"):
            board.set_up([(BLACK, point)])  # type: ignore[list-item]
    assert not board.stones().any()


def test_a_colour_may_be_any_whole_number() -> None:
    board = Board(5)
    board.play("C3", np.uint8(1))  # type: ignore[arg-type]
    assert (board.to_play, board.moves) == (WHITE, [(BLACK, 12)])
    assert type(board.moves[0][0]) is int


@pytest.mark.parametrize("colour", [0, 2, 255, "W", 1.0, np.uint8(255)])
def test_what_is_no_colour_is_refused(colour: Any) -> None:
    board = Board(5)
    for ask in (board.legal_mask, board.sensible_mask, lambda it: board.play("D4", it), lambda it: board.is_legal("D4", it)):
        with pytest.raises(GoPolicyError, match="is no colour"):
            ask(colour)
    with pytest.raises(GoPolicyError, match="is no colour"):
        encode(board, colour=colour)
    board.to_play = colour
    with pytest.raises(GoPolicyError, match="is no colour"):
        encode(board)
    for tell in (lambda: draw.board_text(board), lambda: write_sgf(GameRecord(size=5, moves=((colour, 3),)))):
        with pytest.raises(GoPolicyError, match="is no colour"):
            tell()
    if colour != EMPTY:  # which takes a stone off
        with pytest.raises(GoPolicyError, match="is no colour"):
            board.set_up([(colour, 3)])
    assert not board.stones().any()


def test_a_copy_is_a_board_of_its_own() -> None:
    board = Board(9)
    board.play("E5")
    for other in (copy.copy(board), copy.deepcopy(board), board.copy()):
        other.play("C3")
        assert (len(board.moves), int((board.stones() != EMPTY).sum()), board.to_play) == (1, 1, WHITE)
        assert (len(other.moves), int((other.stones() != EMPTY).sum()), other.to_play) == (2, 2, BLACK)


def test_first_illegal_names_the_first_bad_move() -> None:
    rng = random.Random(5)
    found = 0
    for game in range(200):
        size = rng.choice([2, 3, 5, 9, 19])
        setup: list[tuple[int, int]] = []
        plain = ReferenceBoard(size)
        if game % 2:
            for plain in random_game(size, rng, 0):
                setup = [(colour, int(p)) for colour in (BLACK, WHITE) for p in np.flatnonzero(plain.stones() == colour)]
        moves, expected, colour = [], -1, BLACK
        for number in range(min(60, size**2)):
            point = rng.randrange(-1, size**2)
            if plain.stones().flat[point] != EMPTY and rng.random() < 0.97:
                point = PASS
            colour = -colour if rng.random() < 0.9 else colour
            moves.append((colour, point))
            if expected < 0:
                if plain.is_legal(point, colour):
                    plain.play(point, colour)
                else:
                    expected = number
        found += expected >= 0
        assert first_illegal(size, setup, moves) == expected
    assert 20 < found < 180


def test_first_illegal_refuses_a_ko_retaken_at_once() -> None:
    setup = [(BLACK, 1), (BLACK, 5), (BLACK, 11), (WHITE, 2), (WHITE, 6), (WHITE, 8), (WHITE, 12), (EMPTY, 12), (WHITE, 12)]
    assert first_illegal(5, setup, [(BLACK, 7), (WHITE, 6)]) == 1
    assert first_illegal(5, setup, [(BLACK, 7), (WHITE, PASS), (WHITE, 6)]) == -1
    assert first_illegal(5, setup, [(BLACK, 7), (BLACK, 6)]) == -1
    assert first_illegal(5, setup, [(BLACK, 7), (WHITE, 24), (BLACK, 23), (WHITE, 6), (BLACK, 7)]) == 4
    assert first_illegal(5, setup, [(BLACK, 7), (WHITE, 7)]) == 1
    assert first_illegal(5, setup, [(WHITE, 25)]) == 0
