"""Points and their names.

Glossary
    size      N, lines of the board in each direction, 2 to 25
    row       0 is the top line of a diagram: line N of GTP
    column    0 is the left-most: A of GTP, ``a`` of SGF
    point     an ``int``, ``row * N + column``; ``PASS`` (-1) is no point
    vertex    GTP text: a letter (``I`` is left out) and a line number counted from the bottom, or ``pass``
    SGF point two small letters, column first and row second, both counted from the top left; a pass is empty
              (and ``tt`` up to 19×19)

The same corners of a 19×19 board in every form:

    ============  =====  ===========  ======  ===
    corner        point  row, column  vertex  SGF
    ============  =====  ===========  ======  ===
    top left          0  0, 0         A19     aa
    top right        18  0, 18        T19     sa
    bottom left     342  18, 0        A1      as
    bottom right    360  18, 18       T1      ss
    pass             -1  none         pass
    ============  =====  ===========  ======  ===
"""

from __future__ import annotations

from typing import Any

from gopolicy.errors import GoPolicyError, as_index, whole_number

EMPTY, BLACK, WHITE = 0, 1, -1
PASS = -1
MIN_SIZE, MAX_SIZE = 2, 25

VERTEX_LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
_SGF_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def check_size(size: int) -> int:
    """Returns ``size``; raises GoPolicyError unless it is 2 to 25."""
    return whole_number(size, "the size of a board", MIN_SIZE, MAX_SIZE)


def check_colour(colour: Any) -> int:
    """Returns ``BLACK`` or ``WHITE``, as a plain int; raises GoPolicyError for anything else, so that no kernel meets another number."""
    number = as_index(colour)
    if number not in (BLACK, WHITE):
        raise GoPolicyError(f"{colour!r} is no colour: BLACK is {BLACK} and WHITE is {WHITE}")
    return number


def colour_name(colour: int) -> str:
    return {BLACK: "black", WHITE: "white"}[check_colour(colour)]


def point_from_gtp(vertex: str, size: int) -> int:
    """The point of a GTP vertex, in either case; ``PASS`` for ``pass``. Raises GoPolicyError for anything else."""
    text = vertex.strip().upper()
    if text == "PASS":
        return PASS
    column = VERTEX_LETTERS.find(text[:1]) if text else -1
    digits = text[1:].lstrip("0")
    line = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 2 else 0
    if not 0 <= column < size or not 1 <= line <= size:
        last = VERTEX_LETTERS[size - 1]
        raise GoPolicyError(f"{vertex!r} is no point of a {size}x{size} board: A1 to {last}{size} (without I), or pass")
    size = int(size)  # of numpy's narrow types, here and below: their products overflow
    return (size - line) * size + column


def point_to_gtp(point: int, size: int) -> str:
    """The GTP vertex of a point, ``pass`` for ``PASS``."""
    if point == PASS:
        return "pass"
    size = int(size)
    row, column = divmod(int(point), size)
    return f"{VERTEX_LETTERS[column]}{size - row}"


def point_from_sgf(text: str, size: int) -> int:
    """The point of an SGF point; ``PASS`` for the empty text, and for ``tt`` up to 19×19 (FF[3]).

    Raises GoPolicyError for anything else.
    """
    if text == "" or (text == "tt" and size <= 19):
        return PASS
    if len(text) == 2:
        column, row = _SGF_LETTERS.find(text[0]), _SGF_LETTERS.find(text[1])
        if 0 <= column < size and 0 <= row < size:
            return row * int(size) + column
    last = _SGF_LETTERS[size - 1]
    raise GoPolicyError(f"{text!r} is no SGF point of a {size}x{size} board: aa to {last}{last}, or nothing for a pass")


def point_to_sgf(point: int, size: int) -> str:
    """The SGF point of a point, the empty text for ``PASS``."""
    if point == PASS:
        return ""
    row, column = divmod(int(point), int(size))
    return _SGF_LETTERS[column] + _SGF_LETTERS[row]
