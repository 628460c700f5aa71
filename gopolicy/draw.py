"""Boards as text for a terminal, and as pictures.

    print(draw.board_text(board, policy.top_k(board)))
    draw.board_picture(board, "board.png", policy.probabilities(board), title="move 57")

matplotlib is imported where a picture is made, not before.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

import numpy as np
import numpy.typing as npt

from gopolicy.board import Board, check_board
from gopolicy.coords import BLACK, EMPTY, PASS, VERTEX_LETTERS, WHITE, colour_name, point_from_gtp, point_to_gtp
from gopolicy.errors import GoPolicyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LETTERS = "abcdefghijklmnopqrstuvwxyz"  # of the candidates, best first

_ASCII = {BLACK: "X", WHITE: "O"}
_DISCS = {BLACK: "●", WHITE: "○"}
# ANSI colours of 256: on wood, a disc in the stone's own colour cannot be taken for the other on a dark terminal.
_WOOD, _RESET = "\033[48;5;179m", "\033[0m"
_BLACK_STONE, _WHITE_STONE, _LINES, _LETTER, _COORDINATES = (f"\033[38;5;{n}m" for n in (16, 231, 94, 20, 58))
_BOARD, _GRID, _HEAT = "#e8c080", "#604020", "#c01818"  # of pictures
# Where a picture finds the letters of names that its usual font lacks, on Linux, Windows and Apple's systems.
_EAST_ASIAN = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Source Han Sans", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS",
)  # fmt: skip
_LABELS = 0.01  # probability from which a picture writes the number on the point


class Candidate(Protocol):
    """A move and its probability: ``policy.Candidate`` is one."""

    @property
    def move(self) -> str: ...

    @property
    def prob(self) -> float: ...


def star_points(size: int) -> list[int]:
    """The points drawn as dots (hoshi): corners from 7 lines on, the centre of odd boards, the sides from 15 lines on."""
    if size < 7:
        return [size // 2 * size + size // 2] if size == 5 else []
    line = 2 if size < 13 else 3
    rows = {line, size - 1 - line}
    points = {r * size + c for r in rows for c in rows}
    if size % 2 and size >= 9:
        middle = size // 2
        points.add(middle * size + middle)
        if size >= 15:
            points |= {r * size + middle for r in rows} | {middle * size + c for c in rows}
    return sorted(points)


def shows(stream: TextIO) -> tuple[bool, bool]:
    """What a stream can show: (ANSI colours, discs for stones).

    Discs take two columns in East Asian terminals, so not there; and only where a person looks on.
    """
    if not (hasattr(stream, "isatty") and stream.isatty()):
        return False, False
    encoding = (stream.encoding or "").lower().replace("-", "")
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or ""
    discs = encoding in ("utf8", "utf8sig") and locale[:2] not in ("zh", "ja", "ko")
    colours = "NO_COLOR" not in os.environ and os.environ.get("TERM", "") != "dumb"
    if os.name == "nt":  # the old console knows neither without being asked
        modern = "WT_SESSION" in os.environ or "TERM" in os.environ
        return colours and modern, discs and modern
    return colours, discs


def board_text(board: Board, candidates: Sequence[Candidate] = (), colour: bool | None = None, unicode: bool | None = None) -> str:
    """The board as lines of text, with coordinates on all sides and what is worth knowing beside it.

    Black is ``X`` and White ``O`` (discs with ``unicode``), hoshi are ``+``, the last move stands in parentheses. The candidates are
    letters on their points, ``a`` the first, explained beside the board as ``a  Q16  31.2 %``. ``colour`` adds ANSI colours. Both are by
    default what standard output can show. No line is empty or ends in a blank, and without ``unicode`` all is ASCII.
    """
    size = check_board(board).size
    can_colour, can_discs = shows(sys.stdout)
    colour = can_colour if colour is None else colour
    unicode = can_discs if unicode is None else unicode
    letters = {point_from_gtp(candidate.move, size): letter for letter, candidate in zip(LETTERS, candidates, strict=False)}
    lines = _grid(board, letters, colour, unicode)
    for i, text in enumerate(_side(board, candidates, colour, unicode)):
        if i < size:
            # Lines in colour are of one width; escape sequences would spoil the counting.
            lines[i + 1] = (lines[i + 1] if colour else lines[i + 1].ljust(2 * size + 5)) + f"  {text}"
        else:
            lines.append(f"   {text}")
    return "\n".join(lines)


def _grid(board: Board, letters: dict[int, str], colour: bool, unicode: bool) -> list[str]:
    size, last = board.size, board.last_move
    # In colour both are the full disc: the ring is drawn for terminals that have no colours.
    stones = (_DISCS | ({WHITE: "●"} if colour else {})) if unicode else _ASCII
    stars = set(star_points(size))
    inks = {BLACK: _BLACK_STONE, WHITE: _WHITE_STONE}

    def paint(ink: str, text: str) -> str:
        return ink + text if colour else text

    def row(name: str, cells: str) -> str:
        # Two columns a point: its sign, and before it a blank or the parenthesis of the last move.
        return f"{_WOOD}{_COORDINATES}{name:>2}{cells}{_COORDINATES}{name:<2} {_RESET}" if colour else f"{name:>2}{cells}{name}".rstrip()

    head = row("", "".join(f" {VERTEX_LETTERS[column]}" for column in range(size)) + " ")
    lines = [head]
    for r, values in enumerate(board.stones()):
        cells = []
        marked = False
        for c, value in enumerate(values):
            point = r * size + c
            before = "(" if point == last else ")" if marked else " "
            marked = point == last
            if point in letters:
                sign = paint(_LETTER, letters[point])
            elif value == EMPTY:
                sign = paint(_LINES, "+" if point in stars else ("·" if unicode else "."))
            else:
                sign = paint(inks[int(value)], stones[int(value)])
            cells.append((" " if before == " " else paint(_LETTER, before)) + sign)
        cells.append(paint(_LETTER, ")") if marked else " ")
        lines.append(row(str(size - r), "".join(cells)))
    return [*lines, head]


def _side(board: Board, candidates: Sequence[Candidate], colour: bool, unicode: bool) -> list[str]:
    mover = colour_name(board.to_play).capitalize()
    sign = "" if colour else f" ({(_DISCS if unicode else _ASCII)[board.to_play]})"
    lines = [f"{mover}{sign} to play move {board.move_number + 1}"]
    if board.last_move is not None:
        lines.append(f"last move: {colour_name(board.moves[-1][0])} {point_to_gtp(board.last_move, board.size)}")
    captures = board.captures
    lines.append(f"captured: {captures[BLACK]} by black, {captures[WHITE]} by white")
    for i, candidate in enumerate(candidates):
        letter = LETTERS[i] if i < len(LETTERS) else " "
        lines.append(f"{letter}  {candidate.move:<4} {100 * candidate.prob:5.1f} %")
    return lines


def board_picture(
    board: Board,
    path: str | os.PathLike[str],
    probabilities: npt.ArrayLike | None = None,
    title: str | None = None,
    played: int | None = None,
) -> None:
    """Writes ``board_figure`` to a file: a PNG, unless its name ends otherwise (``.svg``, ``.pdf``). Raises OSError where it cannot be
    written."""
    figure = board_figure(board, probabilities, title, played)
    kind = Path(path).suffix[1:].lower()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box in its place is all that can be done
        figure.savefig(path, format=kind if kind in figure.canvas.get_supported_filetypes() else "png")


def board_figure(board: Board, probabilities: npt.ArrayLike | None = None, title: str | None = None, played: int | None = None) -> Figure:
    """The board as a matplotlib figure; a column and a row are one unit, and the origin is the point at the top left.

    ``probabilities`` (N, N) make a heat map of the empty points: the redder, the likelier, and from 1 % on the number stands on the
    point. The last move carries a ring, and the point ``played`` next a dashed square. Raises GoPolicyError for probabilities of
    another shape, and for a ``played`` that is no point of the board.
    """
    from matplotlib.figure import Figure
    from matplotlib.font_manager import get_font_names
    from matplotlib.patches import Circle, Rectangle

    size = check_board(board).size
    stones = board.stones()
    try:
        probs = None if probabilities is None else np.asarray(probabilities, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise GoPolicyError(f"probabilities are no numbers of the shape {(size, size)}, but a {type(probabilities).__name__}") from None
    if probs is not None and probs.shape != (size, size):
        raise GoPolicyError(f"probabilities have shape {probs.shape}, expected {(size, size)}, the board's")
    inches = 2.0 + 0.36 * size
    figure = Figure(figsize=(inches, inches + (0.3 if title else 0)), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.set_aspect("equal")
    axes.set_xlim(-0.8, size - 0.2)
    axes.set_ylim(size - 0.2, -0.8)  # row 0 on top
    axes.set_facecolor(_BOARD)
    axes.hlines(range(size), 0, size - 1, color=_GRID, linewidth=0.7, zorder=1)
    axes.vlines(range(size), 0, size - 1, color=_GRID, linewidth=0.7, zorder=1)
    for point in star_points(size):
        axes.add_patch(Circle((point % size, point // size), 0.1, color=_GRID, zorder=1))
    for row in range(size):
        for column in range(size):
            stone = int(stones[row, column])
            if stone != EMPTY:
                face = "#111111" if stone == BLACK else "#fafafa"
                axes.add_patch(Circle((column, row), 0.46, facecolor=face, edgecolor="#111111", linewidth=0.8, zorder=3))
            elif probs is not None and probs[row, column] > 0:
                prob = float(probs[row, column])
                # The root, so that the second and third choice can be seen beside a first of 90 %.
                depth = 0.85 * min(prob, 1.0) ** 0.5
                if prob >= _LABELS:  # lines would cross the number out
                    axes.add_patch(Rectangle((column - 0.35, row - 0.35), 0.7, 0.7, color=_BOARD, linewidth=0, zorder=1.5))
                axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=_HEAT, alpha=depth, linewidth=0, zorder=2))
                if prob >= _LABELS:
                    number = f"{100 * prob:.0f}"
                    ink = "white" if depth > 0.4 else "#501010"
                    axes.text(column, row, number, ha="center", va="center", fontsize=9, color=ink, weight="bold", zorder=4)
    if board.last_move is not None and board.last_move != PASS:
        row, column = divmod(board.last_move, size)
        ring = "#fafafa" if stones[row, column] == BLACK else "#111111"
        axes.add_patch(Circle((column, row), 0.24, fill=False, edgecolor=ring, linewidth=1.5, zorder=4))
    if played is not None and (point := board.point(played)) != PASS:
        row, column = divmod(point, size)
        axes.add_patch(
            Rectangle(
                (column - 0.44, row - 0.44), 0.88, 0.88, fill=False, edgecolor="black", linewidth=2.2, linestyle=(0, (2, 1)), zorder=5
            )
        )
    axes.set_xticks(range(size), list(VERTEX_LETTERS[:size]))
    axes.set_yticks(range(size), [str(size - row) for row in range(size)])
    axes.tick_params(length=0, labeltop=True, labelright=True, labelsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if title:
        installed = set(get_font_names())
        axes.set_title(title, parse_math=False, family=["sans-serif", *(name for name in _EAST_ASIAN if name in installed)])
    return figure
