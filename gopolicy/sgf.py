"""SGF: bytes → ``GameRecord``, and back.

sgfmill reads the grammar (its tokeniser); around it this room mends what real files contain: encodings, the wrong places
for setup stones, stray brackets, unclosed games, komi in hundredths … What cannot be mended with certainty is refused
with an ``SgfError`` whose ``kind`` says why, so that a batch can count:

    ========================  =========================================================================================
    kind                      what was met
    ========================  =========================================================================================
    no-file                   the path cannot be read
    not-sgf                   no SGF game in it: empty, another format, plain text
    malformed                 brackets, parentheses or nodes that can be read in more than one way (never cut)
    not-go                    ``GM`` says another game
    size                      the board is not square, not 2 to 25 lines, or plainly not the 19 that a missing SZ means
    bad-point                 a move or a setup stone outside the board
    bad-setup                 setup stones that leave a chain without liberties, or one point set twice
    late-setup                stones put on or taken off the board after the first move
    handicap-without-stones   ``HA`` of 2 or more (or in words), too few stones, and no convention that says where they stood
    illegal-move              an occupied point, a suicide, or a ko retaken at once
    too-long                  more than ``MAX_MOVES`` moves
    ========================  =========================================================================================

Glossary
    main line     the first child at every branch: all that stands before the first ``)`` outside a value
    head          the nodes before the first move
    value         the bytes between ``[`` and ``]``, escapes untouched
    fault         what is wrong from some move on; with ``illegal="cut"`` the moves before it are kept
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from sgfmill.sgf_grammar import escape_text, simpletext_value, tokenise

from gopolicy import archives
from gopolicy.board import Board, first_illegal
from gopolicy.coords import BLACK, EMPTY, MAX_SIZE, MIN_SIZE, PASS, WHITE, colour_name, point_from_sgf, point_to_gtp, point_to_sgf
from gopolicy.errors import GoPolicyError, IllegalMoveError, SgfError, UsageError, whole_number

MAX_MOVES = 10_000  # the longest real games have about 600
MAX_FACT = 500  # bytes of a name, a date …: what is longer is cut
MAX_VALUES = 200_000  # of a main line: keeps the memory of one file bounded

Illegal = Literal["refuse", "cut"]
Stone = tuple[int, int]  # colour, point
Token = tuple[str, bytes]  # sgfmill's: "I" (property), "V" (value) or "D" (one of ";()"), and the contents
Node = list[tuple[bytes, list[bytes]]]  # (property, values) in the order of the text


@dataclass(frozen=True, slots=True, eq=False)
class GameRecord:
    """One game: the facts of its head, its setup and the moves of its main line, which are legal under simple ko.

    Facts that the file does not tell, or not readably, are ``""`` (``komi``: nan). Records are equal where all of this is, also what is
    not known.
    """

    size: int = 19  # lines, 2 to 25
    komi: float = math.nan  # in points, what White gets; nan if unknown
    handicap: int = 0  # as HA says; 0 where it says nothing
    players: tuple[str, str] = ("", "")  # black, white
    ranks: tuple[str, str] = ("", "")  # black, white: "5k", "9d", "9p" (professional)
    result: str = ""  # "B+R" (resigned), "W+T" (time), "B+F" (forfeit), "W+3.5", "B+", "0" (draw), "Void", "?"
    date: str = ""  # "2001-12-20", "1998-03", "0196"
    setup: tuple[Stone, ...] = ()  # (colour, point), the stones before the first move, in the order of the points
    to_play: int = BLACK  # who plays first
    moves: tuple[Stone, ...] = ()  # (colour, point or PASS); the same colour may come twice in a row
    rules: str = ""  # as RU says: "Japanese", "Chinese", "AGA" …
    server: str = ""  # "KGS", "Fox", "Tygem", "OGS", "IGS" …; "" where the file carries no mark
    name: str = ""  # where it came from

    def _told(self) -> tuple[object, ...]:
        facts = map(self.__getattribute__, self.__slots__)
        return tuple(None if fact != fact else fact for fact in facts)  # nan is not equal to itself

    def __eq__(self, other: object) -> bool:
        return self._told() == other._told() if isinstance(other, GameRecord) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._told())

    def replay(self) -> Iterator[tuple[Board, int]]:
        """The board before each move, and the move (a point or ``PASS``); ``board.to_play`` is who plays it.

        It is one board that goes on being played: ``copy()`` it to keep a position.
        """
        board = self.position(1)
        for colour, point in self.moves:
            board.to_play = colour
            yield board, point
            board.play(point, colour)

    def position(self, number: int) -> Board:
        """The board before move ``number``, 1 being the first; one more than there are moves gives the end of the game.

        Raises GoPolicyError for other numbers.
        """
        number = whole_number(number, f"the number of a move of {self.name or 'the game'}", 1, len(self.moves) + 1)
        board = Board(self.size, superko=False)
        board.set_up(self.setup)
        board.to_play = self.to_play
        for colour, point in self.moves[: number - 1]:
            board.play(point, colour)
        if number <= len(self.moves):
            board.to_play = self.moves[number - 1][0]
        return board


# ----------------------------------------------------------------------------------------------------------- reading


def read_sgf(source: Path | str | bytes, *, name: str = "", illegal: Illegal = "refuse") -> GameRecord:
    """The first game of a file, of bytes or of text (a ``str`` with ``(`` and ``;`` in it is text, another one a path).

    ``name`` stands in messages and in the record; by default it is the path. ``illegal="cut"`` keeps the moves before an
    illegal move (or a bad point, or a late setup) where "refuse" refuses the game.

    Raises SgfError, and nothing else, whatever the bytes are.
    """
    check_illegal(illegal)
    data, name, is_text = _load(source, name)
    return _record(next(_games(data, is_text)), name, illegal)


def check_illegal(illegal: str) -> None:
    """Raises UsageError for what is no ``Illegal``."""
    if illegal not in get_args(Illegal):
        raise UsageError(f"illegal is {illegal!r}, expected one of {', '.join(get_args(Illegal))}")


def read_until(source: Path | str | bytes, move: int | None = None) -> GameRecord:
    """``read_sgf`` for whoever wants the position before that move, or with None the last one: a fault from there on does not matter."""
    try:
        return read_sgf(source)
    except SgfError:
        if move is None:
            raise
        record = read_sgf(source, illegal="cut")
        if move > len(record.moves) + 1:
            raise
        return record


def read_collection(source: Path | str | bytes, *, name: str = "", illegal: Illegal = "refuse") -> Iterator[GameRecord | SgfError]:
    """Every game of a file in turn: its record, or the SgfError that says why it was refused.

    The second game on is named ``name#2`` … Raises SgfError only where the path cannot be read.
    """
    check_illegal(illegal)
    data, name, is_text = _load(source, name)
    return _collection(data, is_text, name, illegal)


def _collection(data: bytes, is_text: bool, name: str, illegal: Illegal) -> Iterator[GameRecord | SgfError]:
    for number, game in enumerate(_games(data, is_text), start=1):
        try:
            yield _record(game, numbered(name, number), illegal)
        except SgfError as error:
            yield error


def numbered(name: str, number: int) -> str:
    """The name of a game of a file, of which 1 is the first."""
    return name if number == 1 else f"{name}#{number}"


def _load(source: Path | str | bytes, name: str) -> tuple[bytes, str, bool]:
    """Bytes, name, and whether the bytes are surely UTF-8 (they came as text)."""
    if isinstance(source, bytes):
        return source, name, False
    if isinstance(source, str) and "(" in source and ";" in source:
        return source.encode("utf-8", "replace"), name, True
    name = name or str(source)
    try:
        if source == "":
            raise ValueError("it is empty")
        data = Path(source).read_bytes()
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SgfError(f"{name or 'a game'} cannot be read: {reason}", "no-file") from error
    if archives.kind_of(data):  # games may stand in it as they are
        raise SgfError(f"{name} is an archive, no SGF file: unpack it (`gopolicy pack` reads archives as they are)", "not-sgf")
    return data, name, False


class _Fault(Exception):
    """What is wrong from some point of a game on."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class _Game(NamedTuple):
    """A main line as properties. ``moves``: those of a plain tail, already read; then ``nodes`` is the head alone."""

    nodes: list[Node]
    moves: tuple[Stone, ...] | None = None
    fault: _Fault | None = None  # met after the nodes
    end: int = 0  # of the main line


NOT_SGF = _Game([])
_ORO_START = re.compile(rb"\(\s*(?=TE\[)")  # games of CyberORO, Sina and the Nihon Ki-in begin with the event, and without ";"


def _games(data: bytes, is_text: bool = False) -> Iterator[_Game]:
    """Every game of a file; ``NOT_SGF`` where there is none."""
    empty = True
    for part in [data] if is_text else _encoded_parts(data):
        part = _ORO_START.sub(b"(;", part)
        for game in _Reader(part).games():
            empty = False
            yield game
    if empty:
        yield NOT_SGF


# --------------------------------------------------------------------------------------------------- the plain case

_FIRST_MOVE = re.compile(rb";\s*[BW]\s*\[")
_BLANKS = b" \t\r\n\v\f"
_TRIMMINGS = re.compile(rb"(?<=[;\]])(?:(?:[BW]L|O[BW])\[[0-9.]*\]|T[BW](?:\[[a-z:]*\])+)")  # time left, territory
_MOVE_NAMES = frozenset((b"B", b"W"))
_NOT_PLAIN = _MOVE_NAMES | {b"SZ", b"LN", b"", b"?"}
PLAIN = 20_000  # bytes up to the first move, and from it: what is longer is not plain, or every game could search odd files to their end


def _plain_game(data: bytes, start: int) -> _Game | None:
    """The game of a file that begins at ``start``, if its moves are nothing but moves, as servers write them; None for all others.

    sgfmill's tokeniser reads the head; the moves are looked up in a table, ten times faster than as tokens. Whatever is
    not surely plain is left to ``_Reader``, and both give the same record.
    """
    found = _FIRST_MOVE.search(data, start, start + PLAIN)
    if found is None:
        return None
    head = data[start : found.start()].strip(_BLANKS)
    end = data.find(b")", found.start(), found.start() + PLAIN)
    if end < 0 or not _START.match(head):
        return None
    tokens, consumed = tokenise(head)
    if consumed != len(head) or ("D", b")") in tokens:  # the move stood inside a value, or there is junk
        return None
    nodes = _nodes(tokens)
    size = 19
    for node in nodes:
        for ident, values in node:
            if ident == b"SZ" and node is nodes[0] and len(values) == 1 and values[0].isdigit():
                size = int(values[0][:3])
            elif ident in _NOT_PLAIN or not values or b"[" in values[0]:
                return None
    if not MIN_SIZE <= size <= MAX_SIZE or (start and _OF_A_GAME.isdisjoint(ident for node in nodes[:3] for ident, _ in node)):
        return None
    tail = data[found.start() : end]
    if len(_START.findall(tail)) < tail.count(b"("):  # one stands where no variation begins
        return None
    depth = tokens.count(("D", b"(")) + tail.count(b"(")
    if not _ends_well(data, end, depth):
        return None
    tail = tail.translate(None, _BLANKS + b"(")
    if b"BL[" in tail or b"WL[" in tail or b"TB[" in tail or b"TW[" in tail:
        tail = _TRIMMINGS.sub(b"", tail)
    first, *texts = tail.split(b";")
    if not texts[-1]:
        texts.pop()
    try:
        moves = tuple(map(_move_table(size).__getitem__, texts))
    except KeyError:
        return None
    return None if first or (depth > 1 and not _is_branched(data, start, depth)) else _Game(nodes, moves, end=end)


@lru_cache(MAX_SIZE)
def _move_table(size: int) -> dict[bytes, Stone]:
    """``b"B[pd]"`` → (BLACK, point), for every move that can be written on a board of this size."""
    points = [(point_to_sgf(point, size).encode(), point) for point in range(size * size)] + [(b"", PASS), (b"``", PASS)]  # ``: CyberORO
    if size <= 19:
        points.append((b"tt", PASS))
    return {letter + b"[" + text + b"]": (colour, point) for letter, colour in ((b"B", BLACK), (b"W", WHITE)) for text, point in points}


def _ends_well(data: bytes, end: int, depth: int) -> bool:
    """Whether what follows the main line's ``)`` fits ``depth`` opened parentheses: no further node, no stray bracket."""
    rest = data[end + 1 : end + 65].lstrip(_BLANKS)
    if depth > 1:
        return rest[:1] in (b"(", b")", b"")
    return rest[:1] not in (b";", b"]", b"[")


def _nodes(tokens: list[Token]) -> list[Node]:
    """The nodes of a main line; a value that belongs to no property gets the property ``b"?"``."""
    nodes: list[Node] = []
    values: list[bytes] = []
    new = True  # the next property opens a node, also where its ";" is missing
    after_delimiter = True
    for kind, text in tokens:
        if kind == "V":
            if after_delimiter:
                nodes[-1].append((b"?", [text]))
            else:
                values.append(text)
        elif kind == "I":
            if new:
                nodes.append([])
            values = []
            nodes[-1].append((text, values))
            new = after_delimiter = False
        else:
            if text == b";":
                nodes.append([])
            new = text != b";"
            after_delimiter = True
    return nodes


# ------------------------------------------------------------------------------------------------------- every case

_START = re.compile(rb"\(\s*;")
_LOST_START = re.compile(rb"\A\s*(?=[A-Z]{2}\[)|[;(](?=\s*[A-Za-z]{1,20}\s*\[)")
_LOST_PROPERTY = re.compile(rb"(?<![A-Za-z])[A-Z]{1,2}\[[^\[\]]*\]")
# Every byte can match in one way only. (Possessive quantifiers say the same, but Python 3.11.0 to 3.11.4 get nested ones wrong.)
_OPEN_VALUE = rb"\[[^\\\]]*(?:\\.[^\\\]]*)*"
_ANY_VALUE = _OPEN_VALUE + rb"\]"
_MAIN_LINE = re.compile(rb"[^\[\])]*(?:" + _ANY_VALUE + rb"[^\[\])]*)*", re.DOTALL)
_VALUE_OR_PAREN = re.compile(_OPEN_VALUE + rb"(?:\]|\\?\Z)|[()]", re.DOTALL)  # a value that is not closed goes on to the end
_ROOT_NODE = re.compile(rb"\(\s*;\s*(?:[A-Z]{2}\s*\[[^\[\]]*\]\s*){0,9}?(?:GM|FF|SZ)\s*\[")
_SMALL_NAME = re.compile(rb"(?<=[;\])(\s])[a-z]{1,2}(?=\s*\[)")
_SWALLOWED = re.compile(
    rb"(?:\s*;\s*(?P<colour>[BW])\s*\[[a-z]{0,2}|\s*(?<![A-Z])(?:A[BWE]\s*\[[a-z]{2}(?::[a-z]{2})?|(?:SZ|HA)\s*\[\d+))\Z"
)
_POINT_AND_MORE = re.compile(rb"\s*[a-z]{2}(?=\s*[;()])")
_JUNK = re.compile(rb"[^\[\];()]*?(?=[;()]|[A-Z]{1,2}\s*\[)")
_NODE_INSIDE = re.compile(rb";\s*[A-Z]")
_BLANK = re.compile(rb"\s*")
_LETTERS = re.compile(rb"[A-Za-z]*")
_POINTS = frozenset(b"B W AB AW AE".split())
_NO_TEXT = _POINTS | frozenset(b"PL SZ HA KM GM FF CA ST BL WL OB OW MN TM TR CR SQ MA TB TW SL VW DD".split())
_OF_A_GAME = frozenset(b"GM FF SZ CA AP PB PW BR WR KM HA RE DT EV RO PC RU AB AW AE US SO GN C".split())
MAX_MENDS = 100  # in one file


class _Trouble(NamedTuple):
    """What no grammar allows: where, and in words; ``closes``: a "]" put there mends it."""

    at: int
    reason: str
    closes: bool = False


_JUNK_REASON = "there is text outside the brackets"


class _Reader:
    """Reads the games of one file, mending on the way what can be read in one way only."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0  # where to go on; -1: nowhere
        self.start = 0  # of the game
        self.lost = False  # whether its "(;" was missing
        self.end = 0  # of its main line
        self.joined = False  # whether the next game begins there
        self.tokens: list[Token] = []
        self.mends = MAX_MENDS
        self._root: tuple[bytes, int, re.Match[bytes] | None] = (b"", 0, None)  # of ``_root_after``: in which data, from where

    def games(self) -> Iterator[_Game]:
        first = True
        while self.position >= 0:
            if plain := _plain_game(self.data, self.position):
                yield plain
                self.position = _next_start(self.data, self.position, plain.end)
                first = False
                continue
            if not self._find():
                return
            if _LOST_PROPERTY.search(self.data, self.position, self.start):
                yield _Game([], fault=_Fault("malformed", "the game begins in the middle: its root is missing"))
                root = self._root_after(self.start)
                self.position = root.start() if root else -1
                first = False
                continue
            mends = self.mends
            trouble = self._read_main_line()
            nodes = _nodes(self.tokens)
            names = {ident for node in nodes[:3] for ident, _ in node}
            other = self.lost and not names & (_OF_A_GAME | _MOVE_NAMES)
            inside_text = self.position > 0 or self.data[: self.start].strip(_BLANKS)
            if other or (not any(nodes) and (trouble or self.mends < mends or inside_text)):  # another format; a smiley; for (;;)
                self.position = max(self.end, self.start + 2)
                continue
            if not trouble and not first and not names & _OF_A_GAME:
                trouble = _Trouble(self.start, "a game begins without a root: it may be a variation of the one before it")
            if trouble:
                yield _Game(nodes, None, _Fault("malformed", trouble.reason))
                root = self._root_after(max(self.end - 1, self.start))
                self.position = root.start() if root else -1
            else:
                yield _Game(nodes)
                self.position = self.end if self.joined else _next_start(self.data, self.start, self.end)
            first = False

    def _find(self) -> bool:
        """Goes to the start of the next game; a file that lost it must not be read from its first variation on."""
        found = _START.search(self.data, self.position)
        self.start = found.start() if found else len(self.data)
        lost = _LOST_START.search(self.data, 0, self.start) if self.position == 0 else None
        if lost:
            self.start = lost.start()
            self.data = self.data[: self.start] + b"(;" + self.data[self.start + len(lost[0].strip()) :]
        self.lost = lost is not None
        return self.lost or found is not None

    def _read_main_line(self) -> _Trouble | None:
        """Sets ``end`` and ``tokens``; returns what could not be mended."""
        while (trouble := self._first_trouble()) and self.mends > 0:
            better = self._mended(trouble)
            if better is None:
                break
            self.data = better
            self.mends -= 1
        if not trouble and any(kind == "I" and not text for kind, text in self.tokens):
            root = self._root_after(self.start)
            shouted = _SMALL_NAME.sub(lambda name: name[0].upper(), self.data[self.start : self.end])
            self.data = self.data[: self.start] + shouted + self.data[self.end :]
            if not _ROOT_NODE.search(shouted, 1):  # else the first one behind is where it was: no need to search the rest of the file again
                self._root = self.data, self.start, root
            trouble = self._first_trouble()
        return trouble

    def _root_after(self, start: int) -> re.Match[bytes] | None:
        """The first root behind ``start``. It is looked for once, not again from every game before it."""
        data, since, root = self._root
        if data is not self.data or start < since or (root and root.start() <= start):
            root = _ROOT_NODE.search(self.data, start + 1)
            self._root = self.data, start, root
        return root

    def _first_trouble(self) -> _Trouble | None:
        data, start = self.data, self.start
        # A root after moves: the next game of the file, and this one was not closed.
        root = self._root_after(start)
        limit = root.start() if root else len(data)
        end = _end(_MAIN_LINE, data, start, limit)
        self.joined = bool(root and end == limit and _FIRST_MOVE.search(data, start, limit))
        if root and not self.joined and (end == limit or data[end : end + 1] == b"["):
            end = _end(_MAIN_LINE, data, start)  # that root is a part of this game, or of a text in it
        self.end = end
        if data.count(b"[", start, end) > MAX_VALUES:
            self.tokens = []
            return _Trouble(end, f"it has more than {MAX_VALUES} values")
        main = data[start:end].rstrip(_BLANKS + b"\0\x1a")  # 0x1A ends a file of DOS
        self.tokens, consumed = tokenise(main)
        if consumed < len(main):
            return _Trouble(start + consumed, _JUNK_REASON)
        stop = b"" if self.joined else data[end : end + 1]
        if stop == b"]":
            return _Trouble(end, "there is a ']' too many")
        if stop == b")":
            depth = self.tokens.count(("D", b"("))
            stray = depth == 1 and data[end + 1 : end + 2] == b"]" and self._property_of(len(self.tokens) - 1) in _NO_TEXT
            if not stray and not _ends_well(data, end, depth):
                return _Trouble(end, "the game goes on after a ')'")
            if depth > 1 and not _is_branched(data, start, depth):
                return _Trouble(end, "a ')' is missing, so that a variation could be taken for the game")
        elif self.tokens and self.tokens[-1][0] == "I":  # the file is cut off inside a property
            self.tokens.pop()
        return self._unclosed_value()

    def _unclosed_value(self) -> _Trouble | None:
        """A value whose "]" is missing, so that it swallowed the beginning of what follows."""
        ident = b""
        for index, (kind, text) in enumerate(self.tokens):
            if kind == "I":
                ident = text
            elif kind == "V" and (b"[" in text or (len(text) > 2 and ident in _POINTS)):
                found = _POINT_AND_MORE.match(text) if ident in _POINTS else _SWALLOWED.search(text, max(0, len(text) - 80))
                if found:
                    cut = found.end() if ident in _POINTS else found.start()
                    at = self._spans()[index][0] + 1 + cut
                    # A swallowed move must fit between the moves around it.
                    moves = [(i, token[1]) for i, token in enumerate(self.tokens) if token in (("I", b"B"), ("I", b"W"))]
                    around = [name for i, name in moves if i < index][-1:] + [name for i, name in moves if i > index][:1]
                    certain = found.groupdict().get("colour") not in around
                    return _Trouble(at, "a value is not closed by ']'", closes=certain)
        return None

    def _mended(self, trouble: _Trouble) -> bytes | None:
        """The data without the trouble, where there is only one way to read it; else None."""
        data, at = self.data, trouble.at
        if trouble.closes:
            return data[:at] + b"]" + data[at:]
        values = [index for index, (kind, _) in enumerate(self.tokens) if kind == "V"]
        spans = self._spans()
        for index in reversed(values):
            # An unescaped "[" in a text of this node: the text goes on to where its brackets balance.
            if ("D", b";") in self.tokens[index:]:
                break
            text, (begin, _) = self.tokens[index][1], spans[index]
            if text.count(b"[") > text.count(rb"\[") and self._property_of(index) not in _NO_TEXT:
                end = _balance(data, begin)
                inside = {name for kind, name in self.tokens[index:] if kind == "I"}
                if end >= at and not inside & (_NO_TEXT - _MOVE_NAMES):
                    return _escape(data, begin, end)
        closing, opening = data.find(b"]", at), data.find(b"[", at)
        if values and closing >= 0 and (opening < 0 or closing < opening):
            # A "]" that closes nothing, and no property before it: the text of the last value goes on up to here.
            begin, end = spans[values[-1]]
            if self._property_of(values[-1]) not in _NO_TEXT:
                return None if _NODE_INSIDE.search(data, end, closing) else _escape(data, begin, closing)
            return data[:closing] + data[closing + 1 :] if not data[end:closing].strip() else None
        junk = _JUNK.match(data, at)
        return data[:at] + data[junk.end() :] if trouble.reason == _JUNK_REASON and junk and junk.end() > at else None

    def _property_of(self, index: int) -> bytes:
        """The property of the value ``tokens[index]``."""
        return next((text for kind, text in self.tokens[index::-1] if kind == "I"), b"")

    def _spans(self) -> list[tuple[int, int]]:
        """(begin, end) of every token in the data; sgfmill's tokeniser does not tell."""
        spans = []
        end = self.start
        for kind, text in self.tokens:
            begin = _end(_BLANK, self.data, end)
            # sgfmill takes the small letters out of names, and the brackets off values.
            end = _end(_LETTERS, self.data, begin) if kind == "I" else begin + len(text) + 2 * (kind == "V")
            spans.append((begin, end))
        return spans


def _end(pattern: re.Pattern[bytes], data: bytes, position: int, limit: int | None = None) -> int:
    found = pattern.match(data, position, len(data) if limit is None else limit)
    return found.end() if found else position


def _escape(data: bytes, begin: int, end: int) -> bytes:
    """The data with the brackets between those at ``begin`` and ``end`` escaped."""
    inside = re.sub(rb"(\\.)|([\[\]])", lambda part: part[1] or b"\\" + part[2], data[begin + 1 : end], flags=re.DOTALL)
    return data[: begin + 1] + inside + data[end:]


def _balance(data: bytes, begin: int) -> int:
    """Index of the "]" that closes the "[" at ``begin`` if unescaped brackets nest, or -1."""
    depth = 0
    for bracket in re.finditer(rb"\\.|[\[\]]", data[begin : begin + 20_000], re.DOTALL):
        depth += {b"[": 1, b"]": -1}.get(bracket[0], 0)
        if depth == 0:
            return begin + bracket.start()
    return -1


def _is_branched(data: bytes, start: int, depth: int) -> bool:
    """Whether all parentheses are closed or else every branch of the main line, ``depth`` deep, has its variations.

    Where a ")" was lost inside the main line, the next variation looks like its continuation, and the branch that the
    variation belongs to has one child alone. Where the file is cut off, that is why there are too few.
    """
    if data[-64:].rstrip(_BLANKS)[-1:] != b")":
        return True
    children = [0] * (depth + 1)  # of the main line's node at each depth
    level, lowest = 0, len(data)
    for found in _VALUE_OR_PAREN.finditer(data, start):
        if found[0] == b"(":
            if level <= min(lowest, depth):
                children[level] += 1
            level += 1
        elif found[0] == b")":
            level -= 1
            lowest = min(lowest, level)
            if level <= 0:
                return True
    return min(children[1:depth]) > 1


def _next_start(data: bytes, start: int, end: int) -> int:
    """Where to look for the game after the one at ``start``, whose main line ends at ``end``; -1 for nowhere.

    That is inside it if a ")" is missing, so that the next root stands among its variations.
    """
    if not _START.search(data, end):
        return -1
    after = _game_end(data, start)
    root = _ROOT_NODE.search(data, max(end, start + 1), after if after >= 0 else len(data))
    return root.start() if root else after


def _game_end(data: bytes, start: int) -> int:
    """Index after the ``)`` that closes the game opened at or after ``start``, or -1."""
    depth = 0
    for found in _VALUE_OR_PAREN.finditer(data, start):
        if found[0] == b"(":
            depth += 1
        elif found[0] == b")":
            depth -= 1
            if depth <= 0:
                return found.end()
    return -1


# --------------------------------------------------------------------------------------------------------- encodings

_CHARSET = re.compile(rb"(?<![A-Za-z])CA\s*\[\s*([^\]]{0,40}?)\s*\]")
_CHARSET_IN_ROOT = re.compile(rb"\(\s*;[^;]{0,500}?(?<![A-Za-z])CA\s*\[")
_VALUE = re.compile(_ANY_VALUE, re.DOTALL)
_THREE_BYTES = re.compile(rb"[\xe0-\xf4][\x80-\xbf]{2}")
_SOUND = re.compile("[\u00c0-\u00ff\u0800-\ufffc]")  # letters of Western names, and what takes three bytes: rare by chance
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_NOT_ASCII_RUN = re.compile(r"([A-Za-z]?)([^\x00-\x7f]+)([A-Za-z]?)")
# Supersets where a smaller set is named: files call GBK "GB2312", and Windows' Shift-JIS "Shift_JIS".
_CODECS = {
    charset: codec
    for codec, charsets in {
        "utf-8": "utf-8 utf8 unicode",
        "gb18030": "gb2312 gb_2312-80 gbk x-gbk cp936 windows-936 euc-cn gb18030 gb chinese",
        "cp932": "shift_jis shift-jis shiftjis sjis x-sjis ms_kanji windows-31j windows-932 cp932 ms932",
        "cp949": "euc-kr euckr ks_c_5601-1987 ksc5601 ks_c_5601 cp949 uhc windows-949 x-mac-korean korean",
        "cp950": "big5 big-5 cp950 windows-950 x-big5 big5-eten",
        "big5hkscs": "big5-hkscs big5hkscs",
        "euc_jp": "euc-jp eucjp x-euc-jp",
        "iso2022_jp_ext": "iso-2022-jp jis csiso2022jp",
        "iso2022_kr": "iso-2022-kr csiso2022kr",
        "hz": "hz hz-gb-2312 hz-gb2312",
        "mac_roman": "macintosh mac x-mac-roman",
    }.items()
    for charset in charsets.split()
}
_SINGLE_BYTE = re.compile(r"(?:windows-|cp)?125\d|iso[-_]?8859[-_]\d+|latin[-_]?\d|koi8[-_][ru]|mac[-_]\w+|tis-620|us-ascii|ascii")
_WIDE: dict[tuple[bool, ...], str] = {  # by the bytes of four that are mostly 0
    (True, False, True, False): "utf-16-be",
    (False, True, False, True): "utf-16-le",
    (True, True, True, False): "utf-32-be",
    (False, True, True, True): "utf-32-le",
}
_SEVEN_BIT = ("iso2022_jp_ext", "iso2022_kr", "hz")
_MULTI_BYTE = ("gb18030", "cp932", "cp949", "cp950", "big5hkscs", "euc_jp", *_SEVEN_BIT)
# Bytes of the common characters: GB level 1, kana and JIS level 1, Hangul, Big5 level 1.
_GUESSES = {
    "gb18030": re.compile(rb"[\xb0-\xd7][\xa1-\xfe]"),
    "cp932": re.compile(rb"\x82[\x9f-\xf1]|\x83[\x40-\x96]|[\x88-\x97][\x40-\xfc]"),
    "euc_kr": re.compile(rb"[\xb0-\xc8][\xa1-\xfe]"),
    "cp950": re.compile(rb"[\xa4-\xc6][\x40-\xfe]"),
}
# What names, ranks and results of Go records are full of: it decides between encodings that can read each other's bytes.
_FREQUENT = frozenset(
    "段级級黑白胜负勝負半目子中盘李王张張刘劉陈陳杨楊赵趙黄黃周吴吳徐孙孫马馬胡朱郭何林高罗羅古力常昊聂卫平俞斌孔杰柯洁时越"
    "国國围圍棋院杯赛賽第届屆局年月日大小会會战戰本名人石田武宮加藤山下坂井上村木野川正治夫雄光一二三四五六七八九十先番"
    "のはをにとがたでるいしさんアイウエオカキクコサシスタトナニノマミラリルレロンー"
    "김이박최정강조윤장임한오서신권황안송류홍단급기원배전국제회승불계반집대결프로아마의에는은을를가다고"
)


def _encoded_parts(data: bytes) -> Iterator[bytes]:
    """The data as UTF-8 (its names perhaps broken), in one part; game by game where the games name several encodings."""
    if data.isascii() and not (b"\x1b" in data or b"\0" in data or b"~{" in data):
        yield data
        return
    if data.count(b"CA") < 2 or len({value.lower() for value in _CHARSET.findall(data)}) < 2:
        yield _as_utf8(data)
        return
    starts = [0, *(found.start() for found in _CHARSET_IN_ROOT.finditer(data))]
    for start, end in pairwise([*starts, len(data)]):
        yield _as_utf8(data[start:end])


def _as_utf8(data: bytes) -> bytes:
    """The data in UTF-8: by a byte-order mark, by CA if it fits, as UTF-8, by the best guess, as Latin-1.

    Decoding comes before the grammar because the second byte of a Big5, Shift-JIS or GBK character can be a backslash or
    a ``]``; yet a decoding that eats brackets (a lone lead byte before ``]``, as in a Latin-1 name that ends in ``é``) is
    not taken: then the plain bytes stay, and only the names are broken.
    """
    if data.startswith(codecs.BOM_UTF8):
        return data[3:]
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        wide = "utf-32" if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)) else "utf-16"
        return data.decode(wide, "replace").encode("utf-8", "replace")
    zeros = [3 * data[offset:400:4].count(0) > len(data[offset:400:4]) for offset in range(4)]
    if tuple(zeros) in _WIDE:
        return data.decode(_WIDE[tuple(zeros)], "replace").encode("utf-8", "replace")

    found = _CHARSET.search(data)
    codec = _codec(found[1].decode("latin-1").lower()) if found else ""
    if not codec and b"\x1b$" in data:
        codec = "iso2022_jp_ext"
    is_utf8 = _decodes(data, "utf-8")
    # Characters of three bytes are not valid UTF-8 by chance; and any bytes "fit" an encoding of single bytes.
    if is_utf8 and (codec not in _MULTI_BYTE or (codec not in _SEVEN_BIT and _THREE_BYTES.search(data))):
        return data
    if codec and codec != "utf-8" and _decodes(data, codec):
        decoded = data.decode(codec).encode()
        if codec not in _MULTI_BYTE or _shape(decoded) >= _shape(data):
            return decoded
    if is_utf8:
        return data
    text = data.decode("utf-8", "replace")
    lost, letters = text.count("\ufffd"), len(_NOT_ASCII.findall(text))
    # Mostly sound UTF-8: servers lose bytes of names. Two bytes of another encoding are often a character by chance.
    if len(_SOUND.findall(text)) >= lost or letters >= (2 if codec == "utf-8" else 6) * lost:
        return data

    plain = _shape(data)
    likeliest, best = data.decode("latin-1").encode(), 0.0
    for guess in _GUESSES:
        text = data.decode(guess, "replace")
        likelihood = _likelihood(text, guess)
        if likelihood > best and _shape(decoded := text.encode()) >= plain:
            likeliest, best = decoded, likelihood
    return likeliest


@lru_cache(64)
def _codec(charset: str) -> str:
    """Python's name of the encoding that CA means; "" for one that is unknown or could change what SGF's own signs are."""
    if charset in _CODECS:
        return _CODECS[charset]
    if not _SINGLE_BYTE.fullmatch(charset):
        return ""
    try:
        return codecs.lookup(charset).name
    except LookupError:
        return ""


def _decodes(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _shape(data: bytes) -> tuple[bool, int]:
    """How much SGF the first main line makes: whether it ends where a main line may, and its number of values."""
    start = _START.search(data)
    found = _MAIN_LINE.match(data, start.start()) if start else None
    if not found:
        return False, 0
    return data[found.end() : found.end() + 1] in (b")", b""), len(_VALUE.findall(found[0]))


def _likelihood(text: str, codec: str) -> float:
    """How likely the decoded text is meant so, per character; above 0 it is likelier than Latin-1."""
    total = count = 0
    for before, run, after in _NOT_ASCII_RUN.findall(text)[:500]:
        for character in run[:50]:
            count += 1
            if character == "\ufffd":
                total -= 4
            elif character in _FREQUENT:
                total += 3
            else:
                total += 1 if _GUESSES[codec].fullmatch(character.encode(codec)) else -1
        if len(run) == 1 and (before or after):  # one foreign letter inside a word: an accent
            total -= 3
    return total / max(count, 1)


# ------------------------------------------------------------------------------------------------ nodes → record

_SETUP = {b"AB": BLACK, b"AW": WHITE, b"AE": EMPTY}
_COLOURS = {b"B": BLACK, b"W": WHITE}
_STANDARD = frozenset(  # FF[1] to FF[4]
    b"AB AE AN AP AR AS AW B BL BM BR BS BT C CA CH CP CR DD DM DO DT EL EV EX FF FG GB GC GM GN GW HA HO ID IP IT IY KM KO L LB LN LT M MA"
    b" MN N OB OH ON OP OT OV OW PB PC PL PM PW RE RG RO RU SC SE SI SL SO SQ ST SU SZ TB TC TE TM TR TW UC US V VW W WL WR WS WT".split()
)
_ORO = {b"RD": b"DT", b"KO": b"KM", b"HD": b"HA"}  # what CyberORO, Sina and the Nihon Ki-in call them; LN (lines) is the size
_MARKS = (b"AP", b"PC", b"SO", b"US", b"CP", b"GN")  # where files say which server they come from
_SERVERS = {
    "Fox": rb"foxwq|fox ?(?:weiqi|go|server)|\xe9\x87\x8e\xe7\x8b\x90",
    "KGS": rb"\bkgs\b|kiseido go server|gokgs",
    "OGS": rb"\bogs\b|online-go",
    "Tygem": rb"tygem|\xe5\xbc\x88\xe5\x9f\x8e",
    "IGS": rb"panda-?net|\bigs\b|internet go server|panda-?(?:gl)?go|panda-egg",
    "Oro": rb"cyber ?oro|\boro ?(?:baduk|server)|wbaduk",
    "DGS": rb"dragon ?go ?server|\bdgs\b",
    "NNGS": rb"\bnngs\b|no name go server",
}
_SERVER = re.compile(b"|".join(b"(?P<%s>%s)" % (server.encode(), marks) for server, marks in _SERVERS.items()))
# Fox's handicap points, by the number of stones: 6,900 of its games have these stones in the file and know no exception.
# Until 2016 (files without the mark "foxwq", and all without stones) the third pair stood in the middle of the top and
# bottom sides: of 28 such games with 6 or 7 stones 20 have a move on D10 or Q10 that would else be illegal.
_CORNERS = "pd dp dd pp"
_FOX = {2: "pd dp", 3: "pd dp dd", 4: _CORNERS, 5: f"{_CORNERS} jj", 6: f"{_CORNERS} dj pj", 7: f"{_CORNERS} dj pj jj"}
_FOX |= {8: f"{_CORNERS} dj pj jd jp", 9: f"{_CORNERS} dj pj jd jp jj"}
_OLD_FOX = _FOX | {6: f"{_CORNERS} jd jp", 7: f"{_CORNERS} jd jp jj"}


class _Moves(NamedTuple):
    """What the nodes of a main line put on the board."""

    stones: dict[int, int]  # point → colour (EMPTY too), before the first move
    moves: list[Stone]
    late: list[tuple[int, dict[int, int]]]  # setup after this many moves
    fault: _Fault | None


def _record(game: _Game, name: str, illegal: Illegal) -> GameRecord:
    """The record of a main line; raises SgfError for what cannot be read or what the rules forbid."""
    label = name or "this SGF"
    facts: dict[bytes, bytes] = {}  # the first value of each property
    marks: list[bytes] = []
    sizes: set[bytes] = set()
    told = EMPTY  # the player that PL names; of several nodes the last one tells whose turn it is
    for node in game.nodes:
        for ident, values in node:
            if values:
                facts.setdefault(ident, values[0][:MAX_FACT])
                if ident in _MARKS:
                    marks += [value[:MAX_FACT] for value in values]
                elif ident == b"PL":
                    told = _COLOURS.get(values[0].strip()[:1].upper(), told)
                elif ident == b"SZ":
                    sizes.update(value[:MAX_FACT].strip() for value in values)
    if game is NOT_SGF:
        raise SgfError(f"{label}: there is no SGF game in it: a game starts with '(;'", "not-sgf")
    if facts.get(b"GM", b"1").strip() not in (b"1", b"", b"01", b"Go", b"go"):
        raise SgfError(f"{label} is not a game of Go: GM[{_text(facts[b'GM'])}], and Go is GM[1]", "not-go")
    for ident, values in game.nodes[0] if game.nodes else ():
        if values and ident in _ORO:
            facts.setdefault(_ORO[ident], values[0][:MAX_FACT])
        elif ident == b"LN" and not sizes and values and values[0].strip().isdigit():
            sizes.add(values[0].strip())
    size = _size(sizes, label)
    stones, moves, late, fault = _moves(game.nodes, size)
    if game.fault:  # what was read before it may be part of it: never cut
        raise SgfError(f"{label}: {game.fault}", game.fault.kind)
    if fault and (illegal == "refuse" or not moves or fault.kind == "malformed"):
        raise SgfError(f"{label}: {fault}", fault.kind)
    if game.moves is not None:
        moves.extend(game.moves)
    if not sizes and len(moves) >= 30 and all(max(divmod(point, size)) < 13 for _, point in moves if point != PASS):
        raise SgfError(f"{label}: SZ is missing, and all moves lie in one corner of 13x13: it is no game on 19x19", "size")
    if len(moves) > MAX_MOVES:
        raise SgfError(f"{label} has {len(moves)} moves; at most {MAX_MOVES} are read", "too-long")

    server = _server(marks, facts)
    found = _INTEGER.match(facts.get(b"HA", b""))
    handicap = int(found[1]) if found else 0
    words = _text(facts.get(b"HA", b""))
    if words and not found and not stones and moves and moves[0][0] == WHITE:
        reason = f"HA[{words}] is no number, and White begins on an empty board: nothing says where Black's stones stood"
        raise SgfError(f"{label}: {reason}", "handicap-without-stones")
    black = list(stones.values()).count(BLACK)
    if black < handicap and handicap >= 2:
        convention: dict[int, str] = {}
        if server == "Fox" and size == 19 and not stones:
            convention = _FOX if any(b"foxwq" in mark for mark in marks) else _OLD_FOX
        points = _handicap_points(handicap, black, moves, convention.get(handicap, ""), label)
        stones.update(dict.fromkeys(points, BLACK))
    setup = tuple([(colour, point) for point, colour in sorted(stones.items()) if colour != EMPTY])
    try:
        legal = first_illegal(size, setup, moves) < 0
    except GoPolicyError as error:
        raise SgfError(f"{label}: {error}", "bad-setup") from error
    if late or not legal:
        end, fault = _legal_end(size, setup, moves, late)
        if fault and (illegal == "refuse" or not end):
            raise SgfError(f"{label}: {fault}", fault.kind)
        del moves[end:]

    return GameRecord(
        size=size,
        komi=_komi(_text(facts.get(b"KM", b"")), _text(facts.get(b"RU", b"")), server),
        handicap=handicap,
        players=(_text(facts.get(b"PB", b"")), _text(facts.get(b"PW", b""))),
        ranks=(_rank(facts.get(b"BR", b"")), _rank(facts.get(b"WR", b""))),
        result=_result(facts.get(b"RE", b"")),
        date=_date(facts.get(b"DT", b"")),
        setup=setup,
        to_play=moves[0][0] if moves else told or (WHITE if handicap >= 2 else BLACK),
        moves=tuple(moves),
        rules=_text(facts.get(b"RU", b"")),
        server=server,
        name=name,
    )


def _size(sizes: set[bytes], label: str) -> int:
    """The size that SZ tells (19 if it tells none); raises SgfError unless the board is square, of 2 to 25 lines."""
    if not sizes:
        return 19
    named = {re.sub(rb"\s*[:xX*]\s*", b":", size) for size in sizes}
    shown = ", ".join(f"SZ[{_text(size)}]" for size in sorted(named))
    if not all(re.fullmatch(rb"\d{1,3}(:\d{1,3})?", size) for size in named):
        raise SgfError(f"{label}: {shown} is no board size: it is a number, as in SZ[19]", "size")
    lines = {int(number) for size in named for number in size.split(b":")}
    if len(lines) > 1:
        raise SgfError(f"{label}: {shown} is no square board; only square boards are read", "size")
    size = lines.pop()
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise SgfError(f"{label}: {shown} is not supported: sizes are {MIN_SIZE} to {MAX_SIZE}", "size")
    return size


def _moves(nodes: list[Node], size: int) -> _Moves:
    """Setup and moves in the order of the nodes, up to the first fault."""
    stones: dict[int, int] = {}
    moves: list[Stone] = []
    late: list[tuple[int, dict[int, int]]] = []
    doubtful = False
    for index, node in enumerate(nodes):
        try:
            changes, played = _changes(node, size, len(moves))
            doubtful = doubtful or (index > 0 and not played and any(_may_be_move(ident, values, size) for ident, values in node))
            if doubtful and (not moves or (played and played[0][0] == moves[-1][0])):
                raise _Fault("malformed", f"after move {len(moves)} a node may be a move, but its property is none that is known")
        except _Fault as fault:
            return _Moves(stones, moves, late, fault)
        doubtful = doubtful and not played
        if changes and moves:
            late.append((len(moves) + len(played), changes))
        else:
            stones.update(changes)
        moves += played
    return _Moves(stones, moves, late, None)


def _changes(node: Node, size: int, number: int) -> tuple[dict[int, int], list[Stone]]:
    """Setup (point → colour) and moves of a node that ``number`` moves precede; raises _Fault."""
    changes: dict[int, int] = {}
    played: list[Stone] = []
    for ident, values in node:
        if ident in _COLOURS:
            if not values and len(node) > 1:
                raise _Fault("malformed", f"after move {number} there is a move without a value")
            for value in values or [b""]:  # a node that says just "B": a pass
                move = _move_table(size).get(ident + b"[" + value.translate(None, _BLANKS) + b"]")
                if move is None:
                    shown = f"{ident.decode()}[{_text(value)[:40]}]"
                    raise _Fault("bad-point", f"move {number + len(played) + 1}, {shown}, is no point of the {size}x{size} board")
                if move not in played:
                    played.append(move)
        elif ident in _SETUP:
            for value in values:
                for point in _rectangle(ident, value, size):
                    if changes.setdefault(point, _SETUP[ident]) != _SETUP[ident]:
                        raise _Fault("bad-setup", f"one node sets {point_to_gtp(point, size)} to two colours")
        elif ident == b"RN" and (number or played):  # its moves follow as if they were played
            raise _Fault("malformed", f"after move {number} a reference diagram of CyberORO (RN) stands among the moves")
        elif ident == b"?":
            raise _Fault("malformed", f"after move {number} there is a value without a property, [{_text(values[0])[:40]}]")
    if any(colour == following for (colour, _), (following, _) in pairwise(played)):
        raise _Fault("malformed", f"after move {number} one node holds two moves of {colour_name(played[0][0])}")
    return changes, played


def _may_be_move(ident: bytes, values: list[bytes], size: int) -> bool:
    """Whether a property looks like a move whose name was damaged."""
    return ident not in _STANDARD and len(values) == 1 and len(values[0]) == 2 and b"B[" + values[0] + b"]" in _move_table(size)


def _rectangle(ident: bytes, value: bytes, size: int) -> list[int]:
    """The points of ``aa`` or of ``aa:cc`` (in any direction), none of an empty value; raises _Fault where it is no point."""
    corners = value.translate(None, _BLANKS).decode("latin-1").split(":")
    if corners == [""]:
        return []
    try:
        points = [point_from_sgf(corner, size) for corner in corners]
    except GoPolicyError:
        points = [PASS]
    if PASS in points or len(points) > 2:
        raise _Fault("bad-point", f"{ident.decode()}[{_text(value)[:40]}] is no point of the {size}x{size} board")
    (top, left), (bottom, right) = divmod(points[0], size), divmod(points[-1], size)
    rows = range(min(top, bottom), max(top, bottom) + 1)
    columns = range(min(left, right), max(left, right) + 1)
    return [row * size + column for row in rows for column in columns]


def _handicap_points(handicap: int, placed: int, moves: list[Stone], convention: str, label: str) -> list[int]:
    """Where the handicap stones stand that a file with HA leaves out: none where Black placed them as moves, else the
    server's fixed points where White begins and both then play in turn. ``placed``: those that the setup has.

    Raises SgfError where nothing says where they stood.
    """
    for colour, point in moves:
        if colour == WHITE and point != PASS:
            break
        placed += colour == BLACK and point != PASS
    if placed >= handicap:
        return []
    begun = [colour for colour, _ in moves[: 2 * handicap]]
    if convention and set(begun[::2]) == {WHITE} and WHITE not in begun[1::2]:
        return [point_from_sgf(point, 19) for point in convention.split()]
    stones = "no handicap stones" if not placed else "only 1 handicap stone" if placed == 1 else f"only {placed} handicap stones"
    reason = f"HA[{handicap}], but {stones}: nothing says where they stood"
    raise SgfError(f"{label}: {reason}", "handicap-without-stones")


def _legal_end(
    size: int, setup: tuple[Stone, ...], moves: list[Stone], late: list[tuple[int, dict[int, int]]]
) -> tuple[int, _Fault | None]:
    """How many moves stand on the board the players had, and what is wrong after them.

    Setup after the first move is harmless where it changes nothing: some programs write captured stones as AE.
    """
    board = Board(size, superko=False)
    board.set_up(setup)
    for number, (colour, point) in enumerate(moves):
        fault = _late_fault(board, late)
        if fault:
            return number, fault
        try:
            board.play(point, colour)
        except IllegalMoveError as error:
            return number, _Fault("illegal-move", str(error))
    return len(moves), _late_fault(board, late)


def _late_fault(board: Board, late: list[tuple[int, dict[int, int]]]) -> _Fault | None:
    number = board.move_number
    for index, changes in late:
        if index == number:
            stones = board.stones().ravel()
            for point, colour in changes.items():
                if stones[point] != colour:
                    where = point_to_gtp(point, board.size)
                    return _Fault("late-setup", f"after move {number} a node changes {where} without a move: such games are not replayed")
    return None


# --------------------------------------------------------------------------------------------------------- facts

_INTEGER = re.compile(rb"\s*\+?(\d{1,6})")
_KOMI = re.compile(
    r"(?!\s*[+-]?[0-9.,]+[eE][+-]?[0-9])\s*[黑黒]?[贴貼]?\s*([+-]?)([0-9]{1,6}(?![0-9]*/))?(?:[.,]([0-9]*))?\s*([目子又]?)\s*(½|1/2|半|¼|1/4|¾|3/4)?\s*(子?)"
)
_FRACTIONS = {"½": 0.5, "1/2": 0.5, "半": 0.5, "¼": 0.25, "1/4": 0.25, "¾": 0.75, "3/4": 0.75}
_DIGITS = {digit: value for value, digit in enumerate("一二三四五六七八九", start=1)} | {"初": 1}
_RANK = re.compile(
    r"(p(?:ro)?\.?\s*|(?<![a-z-])professional\s*|(?<!非)(?:职业|職業)\s*)?([0-9]{1,2}|[初一二三四五六七八九十]{1,3})\s*-?\s*"
    r"(dan|kyu|gup|pro|[dkp]\b|段|级|級|단|급)",
    re.IGNORECASE,
)
_PRO_AFTER = re.compile(r".{0,5}?(?<![a-z])pro(?!v)", re.IGNORECASE)  # and not "provisional"
_DATE = re.compile(
    r"(?<![0-9])(?!0+(?![0-9]))([0-9]{4}|[0-9]{3}(?=\s*(?:AD\s*)?$))(?:\s*[-./年]\s*([0-9]{1,2})(?![0-9])(?:\s*[-./月]\s*([0-9]{1,2})(?![0-9]))?)?"
)
_MARGIN = re.compile(r"([0-9]{1,6}(?![0-9])(?!\s*(?:¼|¾|(?!1/2)[0-9]*\s*/)))?(?:[.,]([0-9]+))?(?:\s*(½|1/2))?")
_GAVE_UP = re.compile("投了|投子|认输|認輸")
_LOST = re.compile("[负負败敗]|" + _GAVE_UP.pattern)  # the one whose colour is named
_WON = re.compile(
    r"(black|white|b|w)\s*\+\s*(.*)|(black|white|b|w)\s+(?:wins?|won)\s*(?:by)?\s*(.*)|([黑黒白])番?(.*)", re.IGNORECASE | re.DOTALL
)


def _text(value: bytes) -> str:
    if b"\\" in value or b"\n" in value or b"\r" in value:
        value = simpletext_value(value)
    return value.decode("utf-8", "replace").strip()


def _server(marks: list[bytes], facts: dict[bytes, bytes]) -> str:
    found = _SERVER.search(b"\n".join(marks).lower())
    if found and found.lastgroup:
        return found.lastgroup
    # Older files of Fox name only the library that wrote them, but keep Fox's own way to tell the time.
    return "Fox" if facts.get(b"AP", b"").startswith(b"GNU Go:3.8") and b"TC" in facts and b"TT" in facts else ""


@lru_cache(256)
def _komi(text: str, rules: str, server: str) -> float:
    """Komi in points; nan where it is missing or nonsense.

    Fox, and programs that copy from it, write hundredths as a whole number: 650 is 6.5 points; under Chinese rules they
    are hundredths of a stone (子), worth two points: 375 is 3.75 stones, so 7.5 points (KataGo and KaTrain read it so). 3.75
    under Chinese rules, and 3 3/4, are stones too: a quarter of a point does not exist. 目 are points.
    """
    found = _KOMI.match(text)
    sign, digits, decimals, unit, fraction, stones = found.groups() if found else (None,) * 6
    if not (digits or decimals or fraction):
        return math.nan
    komi, chinese = float(digits or 0), rules.lower().startswith("chinese")
    if (unit == "子" or (stones and unit != "目")) and komi < 100:
        komi = 2 * (komi + (_FRACTIONS[fraction] if fraction else float(f"0.{decimals or 0}")))
    elif decimals is None and not fraction:
        if komi % 25 == 0 and (komi > 100 or (server == "Fox" and komi >= 25)):
            komi /= 50 if komi % 50 or (200 <= komi <= 400 and chinese) else 100
    else:
        part = _FRACTIONS[fraction] if fraction else float(f"0.{decimals}")
        komi += part
        if part in (0.25, 0.75) and (fraction or (chinese and 2 < komi < 4)):
            komi *= 2
    return math.nan if komi > 400 else -komi if sign == "-" and komi else komi


@lru_cache(1024)
def _rank(value: bytes) -> str:
    """A rank as "5k", "9d" or, for professionals, "9p"."""
    text = _text(value)
    found = _RANK.search(text)
    if not found:
        return ""
    pro, number, unit = found.groups()
    if not number.isdecimal():
        tens, ten, ones = number.rpartition("十")
        number = str((_DIGITS.get(tens, 1) * 10 if ten else 0) + _DIGITS.get(ones, 0))
    if pro or unit.lower() in ("p", "pro") or _PRO_AFTER.match(text, found.end()):
        return f"{number}p"
    return number + ("d" if unit.lower() in ("d", "dan", "段", "단") else "k")


@lru_cache(4096)
def _date(value: bytes) -> str:
    """The first date of a text, as far as it is told: "2001-12-20", "1998-03", "0196"."""
    text = _text(value)
    if re.fullmatch(r"[12][0-9]{7}", text):
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    found = _DATE.search(text)
    if not found:
        return ""
    year, month, day = found[1].zfill(4), int(found[2] or 0), int(found[3] or 0)
    if not 1 <= month <= 12:
        return year
    return f"{year}-{month:02}-{day:02}" if 1 <= day <= 31 else f"{year}-{month:02}"


@lru_cache(4096)
def _result(value: bytes) -> str:
    """A result in one form (see ``GameRecord.result``); "" for what is missing or not understood."""
    text = _text(value)
    lower = text.lower()
    if lower in ("0", "tie", "和棋", "持碁") or lower.startswith(("jigo", "draw")):
        return "0"
    if lower.startswith(("void", "no result", "both lost")):
        return "Void"
    if lower.startswith(("?", "unknown", "打挂", "打掛")) or "unfinished" in lower or "suspended" in lower:
        return "?"
    found = _WON.match(text)
    if not found:
        return ""
    winner, how = next((winner, how) for winner, how in zip(found.groups()[::2], found.groups()[1::2], strict=True) if winner)
    winner = "B" if winner.lower() in ("b", "black", "黑", "黒") else "W"
    how = how.strip().lower()
    if found[5] and not set("胜勝") & set(how) and _LOST.search(how):
        winner = "W" if winner == "B" else "B"
    points = _MARGIN.match(how.lstrip("胜勝 "))
    if points and points[0] and not found[5]:
        margin = float(f"{points[1] or 0}.{5 if points[3] else points[2] or 0}")
        stones = margin % 0.5 == 0.25 and not how[points.end() :].lstrip().startswith("p")  # quarters of a stone (子), worth two points
        return f"{winner}+{2 * margin if stones else margin:g}"
    if how.startswith("r") or _GAVE_UP.search(how) or "中盘" in how or "中盤" in how or "中押" in how:
        return f"{winner}+R"
    if how.startswith("t") or "超时" in how:
        return f"{winner}+T"
    if how.startswith(("f", "offline")):
        return f"{winner}+F"
    return f"{winner}+"


# --------------------------------------------------------------------------------------------------------- writing


def write_sgf(record: GameRecord) -> str:
    """The record as SGF text (FF[4], to be stored as UTF-8), which ``read_sgf`` reads back; ``name`` is not kept."""
    size = record.size
    root = ["GM[1]FF[4]CA[UTF-8]", f"SZ[{size}]"]
    facts = {
        "PB": record.players[0],
        "PW": record.players[1],
        "BR": record.ranks[0],
        "WR": record.ranks[1],
        "KM": "" if math.isnan(record.komi) else str(float(record.komi)),  # with a point: 375 would mean 7.5
        "RU": record.rules,
        "HA": str(record.handicap) if record.handicap else "",
        "RE": record.result,
        "DT": record.date,
        "PC": f"{record.server} server" if record.server else "",
    }
    root += [f"{ident}[{escape_text(text.encode()).decode()}]" for ident, text in facts.items() if text]
    for ident, colour in (("AB", BLACK), ("AW", WHITE)):
        points = [f"[{point_to_sgf(point, size)}]" for stone, point in record.setup if stone == colour]
        if points:
            root.append(ident + "".join(points))
    if record.to_play == WHITE or (record.handicap >= 2 and not record.moves):  # else it is Black, or who moves first
        root.append(f"PL[{colour_name(record.to_play)[0].upper()}]")
    moves = [f";{colour_name(colour)[0].upper()}[{point_to_sgf(point, size)}]" for colour, point in record.moves]
    lines = ["".join(moves[first : first + 10]) for first in range(0, len(moves), 10)]
    return "\n".join(["(;" + "\n".join(root), *lines]) + ")\n"
