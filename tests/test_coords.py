"""Points and their names: against sgfmill's reading of vertices and SGF points on every size."""

from __future__ import annotations

import numpy as np
import pytest
from sgfmill import common, sgf_properties

from gopolicy.coords import (
    BLACK,
    PASS,
    WHITE,
    check_colour,
    check_size,
    colour_name,
    point_from_gtp,
    point_from_sgf,
    point_to_gtp,
    point_to_sgf,
)
from gopolicy.errors import GoPolicyError

SIZES = range(2, 26)


@pytest.mark.parametrize("size", SIZES)
def test_every_vertex_against_sgfmill(size: int) -> None:
    for point in range(size**2):
        row_from_below, column = size - 1 - point // size, point % size
        vertex = common.format_vertex((row_from_below, column))
        assert point_to_gtp(point, size) == vertex
        assert point_from_gtp(vertex, size) == point_from_gtp(vertex.lower(), size) == point
        assert common.move_from_vertex(vertex, size) == (row_from_below, column)
    assert point_to_gtp(PASS, size) == "pass"
    for text in ("pass", "PASS", "Pass"):
        assert point_from_gtp(text, size) == PASS


@pytest.mark.parametrize("size", SIZES)
def test_every_sgf_point_against_sgfmill(size: int) -> None:
    for point in range(size**2):
        at = (size - 1 - point // size, point % size)
        text = sgf_properties.serialise_go_point(at, size).decode("ascii")
        assert point_to_sgf(point, size) == text
        assert point_from_sgf(text, size) == point
        assert sgf_properties.interpret_go_point(text.encode("ascii"), size) == at
    assert point_from_sgf("", size) == PASS
    assert point_to_sgf(PASS, size) == ""


def test_the_corners_of_a_large_board() -> None:
    """The table of the module's head."""
    for point, vertex, text in [(0, "A19", "aa"), (18, "T19", "sa"), (342, "A1", "as"), (360, "T1", "ss"), (PASS, "pass", "")]:
        assert (point_to_gtp(point, 19), point_to_sgf(point, 19)) == (vertex, text)
        assert (point_from_gtp(vertex, 19), point_from_sgf(text, 19)) == (point, point)


def test_tt_is_a_pass_up_to_nineteen_lines_and_a_point_above() -> None:
    assert all(point_from_sgf("tt", size) == PASS for size in range(2, 20))
    assert [point_from_sgf("tt", size) for size in (20, 25)] == [19 * 20 + 19, 19 * 25 + 19]


NO_VERTICES = ["I5", "i5", "A0", "A20", "U1", "A", "5", "", " ", "A1B", "AA1", "A-1", "A+1", "A 1", "A1.0", "A1_0", "Ａ1", "A１", "A²"]


@pytest.mark.parametrize("vertex", [*NO_VERTICES, "passs", "resign", "A00020", "A10001"])
def test_what_is_no_vertex_is_refused_in_a_sentence(vertex: str) -> None:
    with pytest.raises(GoPolicyError, match="19x19 board"):
        point_from_gtp(vertex, 19)


@pytest.mark.parametrize("vertex", ["A01", "A019", "A00019", "A000000019"])
def test_a_vertex_with_leading_zeros_is_never_another_point(vertex: str) -> None:
    try:
        point = point_from_gtp(vertex, 19)
    except GoPolicyError:
        return
    assert point == (19 - int(vertex[1:])) * 19


@pytest.mark.parametrize("text", ["a", "aaa", "AA", "a1", "ta", "at", "  ", "[]", "ａａ", "t t"])
def test_what_is_no_sgf_point_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(GoPolicyError, match="19x19 board"):
        point_from_sgf(text, 19)


def test_numbers_of_numpy_count_as_they_should() -> None:
    """Their narrow types overflow where points are computed."""
    size = np.int8(19)
    assert [point_from_gtp("A1", size), point_from_sgf("ss", size)] == [342, 360]
    assert [point_to_gtp(np.uint16(342), size), point_to_sgf(np.uint16(360), size)] == ["A1", "ss"]


def test_colours() -> None:
    assert [colour_name(colour) for colour in (BLACK, WHITE, np.int8(1), np.int8(-1))] == ["black", "white"] * 2
    for wrong in (0, 2, -2, 1.0, True, "black", None):
        with pytest.raises(GoPolicyError, match="is no colour: BLACK is 1 and WHITE is -1"):
            check_colour(wrong)


def test_sizes() -> None:
    assert [check_size(size) for size in SIZES] == list(SIZES)
    for size in (-19, 0, 1, 26):
        with pytest.raises(GoPolicyError, match="2 to 25"):
            check_size(size)
