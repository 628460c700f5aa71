"""Boards as text, character by character, and as pictures, by the colours found where stones and heat must be."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from gopolicy import draw
from gopolicy.board import Board
from gopolicy.coords import point_to_gtp
from gopolicy.errors import GoPolicyError
from gopolicy.policy import Candidate

ANSI = re.compile(r"\033\[[0-9;]*m")


def board_of(size: int, *moves: str) -> Board:
    board = Board(size)
    for move in moves:
        board.play(move)
    return board


CANDIDATES = [Candidate("G3", 0.912), Candidate("A1", 0.05), Candidate("J9", 0.0034)]


def test_a_board_with_candidates():
    assert draw.board_text(board_of(9, "E5", "C3", "D3"), CANDIDATES, colour=False, unicode=False).split("\n") == [
        "   A B C D E F G H J",
        " 9 . . . . . . . . c 9   White (O) to play move 4",
        " 8 . . . . . . . . . 8   last move: black D3",
        " 7 . . + . . . + . . 7   captured: 0 by black, 0 by white",
        " 6 . . . . . . . . . 6   a  G3    91.2 %",
        " 5 . . . . X . . . . 5   b  A1     5.0 %",
        " 4 . . . . . . . . . 4   c  J9     0.3 %",
        " 3 . . O(X). . a . . 3",
        " 2 . . . . . . . . . 2",
        " 1 b . . . . . . . . 1",
        "   A B C D E F G H J",
    ]


def test_a_small_board_with_more_to_say_than_lines():
    board = board_of(2, "A1", "B2", "A2", "B1")
    assert draw.board_text(board, [Candidate("A1", 1.0)], colour=False, unicode=False).split("\n") == [
        "   A B",
        " 2 . O 2   Black (X) to play move 5",
        " 1 a(O)1   last move: white B1",
        "   A B",
        "   captured: 0 by black, 2 by white",
        "   a  A1   100.0 %",
    ]


def test_the_last_move_in_every_place():
    for vertex, row in (("A1", " 1(X). . 1"), ("B1", " 1 .(X). 1"), ("C1", " 1 . .(X)1")):
        assert draw.board_text(board_of(3, vertex), colour=False, unicode=False).split("\n")[3].startswith(row)
    text = draw.board_text(board_of(3, "A1", "pass"), colour=False, unicode=False)
    assert "(X). ." not in text
    assert "last move: white pass" in text


@pytest.mark.parametrize(
    ("size", "vertices"),
    [
        (2, ""),
        (5, "C3"),
        (7, "C3 C5 E3 E5"),
        (9, "C3 C7 E5 G3 G7"),
        (11, "C3 C9 F6 J3 J9"),
        (13, "D4 D10 G7 K4 K10"),
        (15, "D4 D8 D12 H4 H8 H12 M4 M8 M12"),
        (19, "D4 D10 D16 K4 K10 K16 Q4 Q10 Q16"),
    ],
)
def test_star_points(size, vertices):
    assert {point_to_gtp(point, size) for point in draw.star_points(size)} == set(vertices.split())


@pytest.mark.parametrize("size", [2, 9, 10, 19, 25])
def test_every_style_shows_the_same(size):
    board = board_of(size, "A1", "B2")
    candidates = [Candidate(f"B{size}", 0.5), Candidate("A2", 0.25)]
    plain = draw.board_text(board, candidates, colour=False, unicode=False)
    assert plain.isascii()
    assert "\033" not in plain
    assert all(line == line.rstrip() != "" for line in plain.split("\n"))
    discs = draw.board_text(board, candidates, colour=False, unicode=True)
    assert discs.translate(str.maketrans("●○·", "XO.")) == plain
    assert "·" in discs
    for unicode, text in ((False, plain), (True, discs.replace("○", "●"))):  # the colour says which stone it is
        painted = draw.board_text(board, candidates, colour=True, unicode=unicode).split("\n")[: size + 2]
        assert ANSI.sub("", painted[1]).endswith("   Black to play move 3")
        boards = [ANSI.sub("", line.split("\033[0m")[0]) for line in painted]
        assert {len(line) for line in boards} == {2 * size + 6}
        for line, expected in zip(boards, text.split("\n")[: size + 2], strict=True):
            assert expected.startswith(line.rstrip())
            assert line.rstrip()


def test_stones_in_colour_have_their_own():
    row = draw.board_text(board_of(3, "A1", "C1"), colour=True, unicode=True).split("\n")[3]
    assert re.findall(r"\033\[38;5;(\d+)m●", row) == ["16", "231"]


def test_more_candidates_than_letters():
    candidates = [Candidate(point_to_gtp(point, 9), 0.01) for point in range(30)]
    text = draw.board_text(Board(9), candidates, colour=False, unicode=False)
    assert sum(line.count("1.0 %") for line in text.split("\n")) == 30
    assert [len(re.findall(rf"\b{letter}  [A-Z]\d", text)) for letter in "az"] == [1, 1]
    assert " 9 a b c d e f g h i 9" in text
    assert " 7 s t u v w x y z . 7" in text


class Stream(io.StringIO):
    def __init__(self, encoding: str, terminal: bool = True) -> None:
        super().__init__()
        self._encoding, self._terminal = encoding, terminal

    @property
    def encoding(self):
        return self._encoding

    def isatty(self):
        return self._terminal


@pytest.mark.parametrize(
    ("stream", "surroundings", "shown"),
    [
        (Stream("utf-8"), {}, (True, True)),
        (Stream("utf-8-sig"), {}, (True, True)),
        (None, {}, (False, False)),  # standard output of pythonw.exe
        (Stream("UTF-8"), {"LANG": "de_DE.UTF-8"}, (True, True)),
        (Stream("utf-8", terminal=False), {}, (False, False)),
        (Stream("cp1252"), {}, (True, False)),
        (Stream("utf-8"), {"LANG": "ja_JP.UTF-8"}, (True, False)),
        (Stream("utf-8"), {"LANG": "en_US.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, (True, False)),
        (Stream("utf-8"), {"LANG": "en_US.UTF-8", "LC_CTYPE": "ja_JP.UTF-8"}, (True, False)),
        (Stream("utf-8"), {"LC_CTYPE": "en_US.UTF-8", "LC_ALL": "ko_KR.UTF-8"}, (True, False)),  # POSIX: LC_ALL, LC_CTYPE, LANG
        (Stream("utf-8"), {"NO_COLOR": "1"}, (False, True)),
        (Stream("utf-8"), {"TERM": "dumb"}, (False, True)),
    ],
)
def test_what_a_stream_shows(stream, surroundings, shown, monkeypatch):
    for name in ("LC_ALL", "LC_CTYPE", "LANG", "NO_COLOR", "TERM", "WT_SESSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    assert draw.shows(stream) == shown


def test_what_the_terminals_of_windows_show(monkeypatch):
    """The old console, which sets neither variable, knows neither colours nor discs."""
    shown = []
    for surroundings in ({}, {"WT_SESSION": "1"}, {"TERM": "xterm"}, {"TERM": "dumb"}):
        with monkeypatch.context() as windows:
            for name in ("LC_ALL", "LC_CTYPE", "LANG", "NO_COLOR", "TERM", "WT_SESSION"):
                windows.delenv(name, raising=False)
            for name, value in surroundings.items():
                windows.setenv(name, value)
            windows.setattr("os.name", "nt")
            shown.append(draw.shows(Stream("utf-8")))
    assert shown == [(False, False), (True, True), (True, True), (False, True)]


def test_what_is_piped_is_plain(capsys):
    print(draw.board_text(board_of(9, "E5")))
    assert capsys.readouterr().out.rstrip("\n") == draw.board_text(board_of(9, "E5"), colour=False, unicode=False)


@pytest.mark.parametrize("shown", [(False, True), (True, False)])
def test_a_board_is_shown_as_the_terminal_can(shown, monkeypatch):
    monkeypatch.setattr(draw, "shows", lambda stream: shown)
    colour, unicode = shown
    assert draw.board_text(board_of(9, "E5")) == draw.board_text(board_of(9, "E5"), colour=colour, unicode=unicode)


# ---- pictures


def colours_at(figure, size: int) -> np.ndarray:
    """(N, N, 3) colours of a drawn figure beside the middle of each point, where neither number nor ring is."""
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(float)
    axes = figure.axes[0]
    found = np.empty((size, size, 3))
    for row in range(size):
        for column in range(size):
            x, y = axes.transData.transform((column + 0.28, row - 0.28))
            found[row, column] = pixels[int(pixels.shape[0] - y), int(x)]
    return found


def drawn(board: Board, probabilities=None) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = draw.board_figure(board, probabilities)
    FigureCanvasAgg(figure)
    return colours_at(figure, board.size)


@pytest.mark.parametrize("size", [2, 9, 19])
def test_stones_of_a_picture(size):
    board = board_of(size, "A1", f"B{size}")
    colours = drawn(board)
    stones = board.stones()
    assert (colours[stones == 1].max(axis=-1) < 60).all()
    assert (colours[stones == -1].min(axis=-1) > 230).all()
    wood = colours[stones == 0]
    assert (wood == wood[0]).all()
    assert wood[0][0] > wood[0][1] > wood[0][2]


def test_a_picture_lies_as_the_board_is_looked_at():
    axes = draw.board_figure(Board(9)).axes[0]
    (left, top), (right, bottom) = axes.transData.transform([(0, 0), (8, 8)])
    assert left < right
    assert top > bottom, "from below, as matplotlib counts"
    assert [label.get_text() for label in axes.get_yticklabels()] == list("987654321") * 2, "on both sides"
    assert [label.get_text() for label in axes.get_xticklabels()] == list("ABCDEFGHJ") * 2
    assert list(axes.get_yticks()) == list(axes.get_xticks()) == list(range(9))


def test_heat_of_a_picture():
    board = board_of(9, "E5", "C3")
    probs = np.zeros((9, 9), dtype=np.float32)
    probs[0, 1], probs[8, 0], probs[2, 6], probs[4, 4] = 0.6, 0.3, 0.004, 0.09
    colours = drawn(board, probs)
    green = colours[..., 1]  # red takes it away
    assert green[0, 1] < green[8, 0] < green[2, 6] < green[5, 5] - 5.0, "four of a thousand can be seen"
    untouched = (probs == 0) & (board.stones() == 0)
    assert (colours[untouched] == colours[5, 5]).all()
    assert (colours[4, 4] == drawn(board)[4, 4]).all()  # a stone stays a stone


def test_numbers_of_a_picture():
    probs = np.zeros((9, 9))
    probs[0, 1], probs[8, 0], probs[2, 6], probs[4, 4] = 0.617, 0.012, 0.009, 0.3
    texts = draw.board_figure(board_of(9, "E5"), probs).axes[0].texts
    assert sorted((text.get_text(), text.get_position()) for text in texts) == [("1", (0, 8)), ("62", (1, 0))], "none on a stone"
    light = {text.get_text(): sum(matplotlib.colors.to_rgb(text.get_color())) for text in texts}
    assert light["1"] < 0.6, "dark on the pale"
    assert light["62"] > 2.4, "light on the red"


def test_heat_of_other_numbers_than_probabilities():
    """Playouts, for example."""
    counts = np.zeros((9, 9))
    counts[0, 0] = 40
    (text,) = draw.board_figure(Board(9), counts).axes[0].texts
    assert text.get_text() == "4000"


def test_the_last_move_carries_a_ring_and_the_next_a_square():
    from matplotlib.patches import Circle, Rectangle

    def marks(*moves: str, played: int | None = None) -> dict[type, list]:
        patches = draw.board_figure(board_of(9, *moves), played=played).axes[0].patches
        hollow = [patch for patch in patches if not patch.get_fill()]
        return {kind: [tuple(np.round(p.get_center(), 6)) for p in hollow if isinstance(p, kind)] for kind in (Circle, Rectangle)}

    for moves, stone_is_dark in (("E5",), True), (("E5", "C4"), False):
        (ring,) = (p for p in draw.board_figure(board_of(9, *moves)).axes[0].patches if isinstance(p, Circle) and not p.get_fill())
        assert (sum(ring.get_edgecolor()[:3]) > 2) == stone_is_dark, "it is seen on its stone"
    # Column and row from the top left corner: C4 and G8.
    assert marks("E5", "C4", played=15) == {Circle: [(2, 5)], Rectangle: [(6, 1)]}
    assert marks("A9", played=1) == {Circle: [(0, 0)], Rectangle: [(1, 0)]}
    assert marks(played=0) == {Circle: [], Rectangle: [(0, 0)]}, "point 0 is one as any other"
    assert marks("E5", "pass", played=-1) == marks() == {Circle: [], Rectangle: []}


def test_a_picture_on_disk(tmp_path, monkeypatch):
    for name in ("a.png", "no ending"):
        draw.board_picture(board_of(9, "E5"), tmp_path / name, np.full((9, 9), 1 / 81), title="move 2 × 1")
    pixels = matplotlib.image.imread(tmp_path / "a.png")
    assert pixels.shape[0] > 300
    assert pixels.std() > 0.05
    assert (tmp_path / "no ending").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    for name in ("a.svg", "b.SVG"):
        draw.board_picture(Board(9), tmp_path / name)
        assert b"<svg" in (tmp_path / name).read_bytes()
    for name in ("Lee vs. Wang", "move57.v2", "a.PNG"):
        draw.board_picture(Board(9), tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    figure, told = draw.board_figure(Board(2)), []
    monkeypatch.setattr(draw, "board_figure", lambda _, probs=None, title=None, played=None: told.append((probs, title, played)) or figure)
    draw.board_picture(Board(2), tmp_path / "a.png", [[0.5, 0.5], [0, 0]], "move 1", 3)
    assert told == [([[0.5, 0.5], [0, 0]], "move 1", 3)]


def test_a_title_is_shown_as_it_is_written(tmp_path, monkeypatch):
    """A name of a player is no formula, and letters that no font here has are no fault."""
    for title in ("$_$", "cash$ – no$", "a$$", "张栩 – 박정환 – 𐎀"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            draw.board_picture(Board(9), tmp_path / "a.png", title=title)
        assert draw.board_figure(Board(9), title=title).axes[0].get_title() == title
    monkeypatch.setattr("matplotlib.font_manager.get_font_names", lambda: ["DejaVu Sans", "Noto Sans CJK JP"])
    assert draw.board_figure(Board(9), title="张栩").axes[0].title.get_fontfamily() == ["sans-serif", "Noto Sans CJK JP"]


def test_probabilities_of_another_board():
    with pytest.raises(GoPolicyError, match=r"shape \(9, 9\), expected \(19, 19\)"):
        draw.board_figure(Board(19), np.zeros((9, 9)))
    with pytest.raises(GoPolicyError, match=r"shape \(81,\), expected \(9, 9\)"):
        draw.board_figure(Board(9), np.zeros(81))
    with pytest.raises(GoPolicyError, match="probabilities are no numbers"):
        draw.board_figure(Board(19), "abc")
    with pytest.raises(GoPolicyError, match="999 is no point"):
        draw.board_figure(Board(19), played=999)


def test_matplotlib_is_not_loaded_for_text():
    root = Path(__file__).resolve().parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r}); import gopolicy.draw; print('matplotlib' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout == "False False\n"
