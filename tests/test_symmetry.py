"""The eight symmetries: against numpy's turns and mirrors, and the planes of positions that are turned, mirrored or recoloured."""

from __future__ import annotations

import random

import numpy as np
import pytest

from gopolicy import symmetry
from gopolicy.board import Board
from gopolicy.coords import BLACK, PASS, WHITE
from gopolicy.features import Workspace, encode
from tests.reference import follow, plane_difference, random_game
from tests.tracked import TrackedGame

SIZES = [2, 3, 5, 9, 13, 19, 25]


@pytest.mark.parametrize("size", range(2, 26))
def test_the_eight_are_the_turns_and_mirrors(size: int) -> None:
    points = np.arange(size**2).reshape(size, size)
    truth = {np.rot90(sheet, turns).tobytes() for sheet in (points, points.T) for turns in range(4)}
    applied = [symmetry.apply(points, k) for k in range(8)]
    assert {board.tobytes() for board in applied} == truth
    assert len(truth) == 8
    assert np.array_equal(applied[0], points), "0 leaves everything in place"
    assert symmetry.tables(size).shape == (8, size**2)
    for k in range(8):
        assert np.array_equal(applied[k].ravel(), points.ravel()[symmetry.tables(size)[k]])


def test_the_bits_of_a_symmetry() -> None:
    """1 mirrors left and right, 2 top and bottom, 4 swaps rows and columns before that: packed sets and batches count on it."""
    points = np.arange(25).reshape(5, 5)
    for k, expected in ((1, np.fliplr(points)), (2, np.flipud(points)), (4, points.T), (5, np.fliplr(points.T)), (6, np.flipud(points.T))):
        assert np.array_equal(symmetry.apply(points, k), expected), k


@pytest.mark.parametrize("size", SIZES)
def test_the_inverse_leads_back(size: int) -> None:
    planes = np.random.default_rng(size).integers(0, 9, (3, 4, size, size))
    for k in range(8):
        turned = symmetry.apply(planes, k)
        assert turned.shape == planes.shape
        assert np.array_equal(symmetry.apply(turned, symmetry.INVERSE[k]), planes)
        for one, whole in zip(planes.reshape(-1, size, size), turned.reshape(-1, size, size), strict=True):
            assert np.array_equal(symmetry.apply(one, k), whole)


@pytest.mark.parametrize("size", SIZES)
def test_a_point_goes_where_its_stone_goes(size: int) -> None:
    for k in range(8):
        for point in range(size**2):
            board = np.zeros((size, size), int)
            board.flat[point] = 1
            assert symmetry.apply(board, k).ravel().nonzero()[0].tolist() == [symmetry.point(point, k, size)]
        assert symmetry.point(PASS, k, size) == PASS


@pytest.mark.parametrize("size", [2, 3, 5, 9, 13, 19])
def test_a_turned_game_has_the_turned_planes(size: int) -> None:
    """The game is played eight times, every move where the symmetry puts it; and once followed, with the planes turned at the end."""
    rng = random.Random(size)
    boards = [Board(size, superko=False) for _ in range(8)]
    tracked = TrackedGame(size, Workspace())
    for plain in random_game(size, rng, 60):
        follow(tracked, plain)
        if plain.turns:
            colour, point = plain.turns[-1]
            for k in range(8):
                boards[k].play(symmetry.point(point, k, size), colour)
        else:
            stones = plain.stones().ravel()
            for k in range(8):
                points = [[symmetry.point(int(p), k, size) for p in np.flatnonzero(stones == colour)] for colour in (BLACK, WHITE)]
                boards[k].setup(*points)
        planes = encode(boards[0])
        for k in range(8):
            expected = symmetry.apply(planes, k)
            for name, got in (("turned game", encode(boards[k])), ("turned planes", tracked.planes(plain.to_play, k=k))):
                assert plane_difference(got, expected) is None, f"symmetry {k}, {name}: {plane_difference(got, expected)}"


@pytest.mark.parametrize("size", [2, 5, 9, 19])
def test_colours_exchanged_give_the_same_planes(size: int) -> None:
    board, exchanged = Board(size, superko=False), Board(size, superko=False)
    for plain in random_game(size, random.Random(size + 7), 100):
        follow(board, plain)
        if plain.turns:
            colour, point = plain.turns[-1]
            exchanged.play(point, -colour)
        else:
            stones = plain.stones().ravel()
            exchanged.setup(np.flatnonzero(stones == WHITE).tolist(), np.flatnonzero(stones == BLACK).tolist())
            exchanged.to_play = WHITE
        planes = encode(board)
        assert exchanged.to_play == -board.to_play
        assert plane_difference(encode(exchanged), planes) is None
        assert np.array_equal(encode(exchanged, colour=-board.to_play), planes)
        assert np.array_equal(encode(exchanged, "stones1"), encode(board, "stones1"))
