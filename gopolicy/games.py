"""The packed set of games: one ``.gpk`` file with the moves and the facts of many games, and nothing else.

A file is a line of magic, the length of a JSON header, the header, its SHA-256, and sections: plain little-endian arrays, each
with its SHA-256 in the header. What was cut off or altered is noticed when the file is opened. Nothing in it depends on
the time, the machine or the number of processes that packed it: the same input gives the same bytes.

A move is 16 bits: the point in the lower ten (1023: a pass), bit 15 for White. Two hashes are the same for all eight
symmetries of a game: ``hash`` of the whole game finds duplicates, ``opening`` of its first 40 stones decides its *split*, so
that a game met twice, mirrored, or cut short after those stones never stands on both sides.
"""

from __future__ import annotations

import argparse
import calendar
import datetime
import hashlib
import json
import math
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
import numpy.typing as npt
from numba import int64, types, uint16, uint64

from gopolicy import atomic, symmetry
from gopolicy.compiled import compiled
from gopolicy.coords import BLACK, MAX_SIZE, MIN_SIZE, PASS, WHITE
from gopolicy.errors import GamesError, UsageError, cores, flag, quoted, whole_number

if TYPE_CHECKING:
    from gopolicy.sgf import GameRecord, Illegal

KIND = b"gopolicy games "  # and the version
MAGIC = KIND + b"1\n"
PASS_CODE = 1023
WHITE_BIT = 0x8000

SPLITS = ("train", "validation", "test")
SPLIT_PER_MILLE = {"test": 30, "validation": 30}  # the rest trains
OPENING_STONES = 40

UNKNOWN_WINNER = 2
REFUSED_SHOWN = 10  # games and archives whose names are said without being asked

FACTS = np.dtype(
    [
        ("hash", "<u8"),
        ("opening", "<u8"),
        ("black", "<u4"),  # index of the player
        ("white", "<u4"),
        ("source", "<u4"),  # index of the archive
        ("date", "<i4"),  # year * 10000 + month * 100 + day; 0 where not known
        ("komi", "<f4"),  # NaN where not known
        ("margin", "<f4"),  # points the game was won by; NaN where not counted
        ("size", "u1"),
        ("handicap", "u1"),
        ("server", "u1"),  # index of the server
        ("split", "u1"),  # index into SPLITS
        ("black_rank", "i1"),  # rank_number
        ("white_rank", "i1"),
        ("winner", "i1"),  # BLACK, WHITE, 0 a draw, UNKNOWN_WINNER
        ("to_play", "i1"),
    ]
)


class FilterError(GamesError, UsageError):
    """Conditions that mean nothing, or that no game can meet."""


def is_date(text: str) -> bool:
    """Whether this is YYYY, YYYY-MM or YYYY-MM-DD, and in the calendar."""
    if not re.fullmatch(r"[0-9]{4}(-[0-9]{2}){0,2}", text):
        return False
    try:
        datetime.date.fromisoformat(text + "-01-01"[len(text) - 4 :])
    except ValueError:
        return False
    return True


def rank_number(rank: str) -> int:
    """-30 … -1 for 30k … 1k, 1 … 10 for dan, 11 … 19 for 1p … 9p, 0 where not known."""
    match = re.fullmatch(r"(\d{1,2})([kdp])", rank)
    if not match:
        return 0
    number = int(match[1])
    if number == 0:
        return 0
    return {"k": -min(number, 30), "d": min(number, 10), "p": 10 + min(number, 9)}[match[2]]


def rank_text(number: int) -> str:
    if number == 0:
        return ""
    return f"{-number}k" if number < 0 else f"{number}d" if number <= 10 else f"{number - 10}p"


@compiled(uint64(uint64), inner=True)
def mixed(x: Any) -> Any:
    """The finalizer of splitmix64 (Steele et al. 2014): every bit of the input moves every bit of the output."""
    x = (x ^ (x >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> uint64(27))) * uint64(0x94D049BB133111EB)
    return x ^ (x >> uint64(31))


@compiled(uint64(int64, uint16[::1], uint16[::1], int64, types.Array(types.uint16, 2, "C")))
def canonical_hash(size: Any, setup: Any, moves: Any, stones: Any, tables: Any) -> Any:
    """The smallest hash under the eight symmetries of the setup and the first ``stones`` moves; passes are left out."""
    best = ~uint64(0)
    points = size * size
    for k in range(8):
        key = mixed(uint64(size))
        for i in range(len(setup)):
            point = int64(setup[i] & uint16(1023))
            if point < points:
                # A sum: the order in which stones were set up means nothing.
                key += mixed(uint64(int64(tables[k, point]) + 1024 + int64(setup[i] & uint16(0x8000))))
        count = 0
        for i in range(len(moves)):
            if count == stones:
                break
            point = int64(moves[i] & uint16(1023))
            if point < points:
                key = mixed(key ^ uint64(int64(tables[k, point]) + 1 + int64(moves[i] & uint16(0x8000))))
                count += 1
        if key < best:
            best = key
    return best


def split_of(opening: int) -> int:
    """The split of an opening hash, as an index into SPLITS."""
    place = opening % 1000
    if place < SPLIT_PER_MILLE["test"]:
        return SPLITS.index("test")
    if place < SPLIT_PER_MILLE["test"] + SPLIT_PER_MILLE["validation"]:
        return SPLITS.index("validation")
    return SPLITS.index("train")


def encode_moves(pairs: Iterable[tuple[int, int]]) -> npt.NDArray[np.uint16]:
    """(colour, point) pairs as 16-bit moves."""
    return np.array([(PASS_CODE if p == PASS else p) | (WHITE_BIT if c == WHITE else 0) for c, p in pairs], dtype="<u2")


def decode_moves(codes: npt.NDArray[np.uint16]) -> list[tuple[int, int]]:
    """16-bit moves as (colour, point) pairs."""
    points = (codes & 1023).astype(np.int64)
    points[points == PASS_CODE] = PASS
    return list(zip(np.where(codes & WHITE_BIT, WHITE, BLACK).tolist(), points.tolist(), strict=True))


@dataclass(frozen=True)
class Filter:
    """Which games are kept. Every field is a condition; the default keeps all games of 19×19 with a move."""

    sizes: tuple[int, ...] = (19,)
    min_moves: int = 1  # stones, passes left out
    max_moves: int | None = None
    min_rank: str | None = None  # both players
    max_handicap: int | None = None
    since: str | None = None  # dates as YYYY, YYYY-MM or YYYY-MM-DD, both ends included; all days that a game may be of count
    until: str | None = None
    exclude_players: tuple[str, ...] = ()  # regular expressions, found anywhere in the name, in either case
    only_players: tuple[str, ...] = ()
    keep_duplicates: bool = False

    def __post_init__(self) -> None:
        for name in ("sizes", "exclude_players", "only_players"):
            several = getattr(self, name)
            if isinstance(several, str) or not isinstance(several, Iterable):  # the letters of a name are expressions too
                raise FilterError(f"{name} is {several!r}, expected a tuple, as ({several!r},)")
        for size in self.sizes:
            whole_number(size, "--size", MIN_SIZE, MAX_SIZE)
        whole_number(self.min_moves, "--min-moves", 0)
        for name, least in (("max_moves", max(self.min_moves, 1)), ("max_handicap", 0)):
            if getattr(self, name) is not None:
                whole_number(getattr(self, name), flag(name), least)
        if self.min_rank is not None and not (isinstance(self.min_rank, str) and rank_number(self.min_rank)):
            raise FilterError(f"{self.min_rank!r} is no rank: ranks are like 5k, 6d or 1p")
        for date in (self.since, self.until):
            if date is not None and not (isinstance(date, str) and is_date(date)):
                raise FilterError(f"{date!r} is no date: dates are like '2016', '2016-07' or '2016-07-31'")
        if self.since is not None and self.until is not None and self.since[: len(self.until)] > self.until:
            raise FilterError(f"no date is since {self.since} and until {self.until}")
        for pattern in (*self.exclude_players, *self.only_players):
            if not isinstance(pattern, str):
                raise FilterError(f"{pattern!r} is no regular expression: those are text")
            try:
                re.compile(pattern)
            except re.error as error:
                raise FilterError(f"{pattern!r} is no regular expression: {error}") from None

    def reason_against(self, record: GameRecord) -> str:
        """Why a game is left out, as a short fixed name; empty where it is kept."""
        stones = sum(point != PASS for _, point in record.moves)
        if record.size not in self.sizes:
            return "another board size"
        if stones < self.min_moves:
            return "too few moves"
        if self.max_moves is not None and stones > self.max_moves:
            return "too many moves"
        if self.min_rank is not None:
            ranks = [rank_number(rank) for rank in record.ranks]
            if 0 in ranks or min(ranks) < rank_number(self.min_rank):
                return "rank too low or not known"
        if self.max_handicap is not None and max(record.handicap, len(record.setup)) > self.max_handicap:
            return "handicap"
        if self.since is not None and (not record.date or _days(record.date)[0] < _days(self.since)[0]):
            return "date"
        if self.until is not None and (not record.date or _days(record.date)[1] > _days(self.until)[1]):
            return "date"
        if any(re.search(pattern, name, re.IGNORECASE) for pattern in self.exclude_players for name in record.players):
            return "player excluded"
        if self.only_players and not any(re.search(p, name, re.IGNORECASE) for p in self.only_players for name in record.players):
            return "player not asked for"
        return ""


_MONTHS = [f"{month:02}" for month in range(1, 13)]


def _days(date: str) -> tuple[str, str]:
    """The first and the last day of a date: of a year, a month, or the day itself."""
    year, month, day = [*date.split("-"), "", ""][:3]
    last = month or "12"
    end = f"{calendar.monthrange(int(year), int(last))[1]}" if last in _MONTHS else "31"
    return f"{year}-{month or '01'}-{day or '01'}", f"{year}-{last}-{min(day or end, end)}"  # records have days that no calendar has


def date_number(date: str) -> int:
    parts = [int(part) for part in date.split("-")] if date else [0]
    parts += [0] * (3 - len(parts))
    return parts[0] * 10000 + parts[1] * 100 + parts[2]


def parse_result(result: str) -> tuple[int, float]:
    """(winner, margin) of a normal result text: ``B+R``, ``W+3.5``, ``0``, ``Void``, ``?``."""
    match = re.match(r"([BW])\+(\d+(?:\.\d+)?)?", result)
    if match:
        return (BLACK if match[1] == "B" else WHITE), float(match[2]) if match[2] else math.nan
    return (0, 0.0) if result == "0" else (UNKNOWN_WINNER, math.nan)


@dataclass
class Report:
    """What became of the games of a packing."""

    read: int = 0
    kept: int = 0
    moves: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str, str]] = field(default_factory=list)  # (name, kind, sentence), which is empty where the kind says it

    def __str__(self) -> str:
        lines = [f"{self.read} games read, {self.kept} kept ({self.moves} moves), {self.read - self.kept} left out"]
        lines += [f"  {count:8d}  {reason}" for reason, count in sorted(self.left_out.items(), key=lambda item: (-item[1], item[0]))]
        return "\n".join(lines)


# ---------------------------------------------------------------- packing

Kept = tuple[str, str, str, str, int, bytes, bytes, tuple[Any, ...]]  # name, black, white, server, source, setup, moves, facts
Outcome = Kept | tuple[str, str, str]  # or (name, reason, sentence)
Chunk = list[tuple[int, str, bytes | str]]  # members: source, name, and the data, or in words why the archive could not give them out


def pack_record(record: GameRecord, source: int) -> Kept:
    """A game as it is packed."""
    setup, moves = encode_moves(record.setup), encode_moves(record.moves)
    tables = symmetry.tables(record.size)
    whole = int(canonical_hash(record.size, setup, moves, 10**9, tables))
    opening = int(canonical_hash(record.size, setup, moves, OPENING_STONES, tables))
    winner, margin = parse_result(record.result)
    ranks = [rank_number(rank) for rank in record.ranks]
    facts = (date_number(record.date), record.komi, margin, record.size, min(record.handicap, 255), *ranks, winner, record.to_play)
    return (record.name, *record.players, record.server, source, setup.tobytes(), moves.tobytes(), (whole, opening, *facts))


def _read_chunk(chunk: Chunk, chosen: Filter, illegal: Illegal) -> list[Outcome]:
    from gopolicy import sgf
    from gopolicy.errors import SgfError

    outcomes: list[Outcome] = []
    for source, name, data in chunk:
        if isinstance(data, str):
            outcomes.append((name, "unreadable member", data))
            continue
        for number, record in enumerate(sgf.read_collection(data, name=name, illegal=illegal), start=1):
            if isinstance(record, SgfError):
                outcomes.append((sgf.numbered(name, number), record.kind, str(record)))
                continue
            reason = chosen.reason_against(record)
            outcomes.append((record.name, reason, "") if reason else pack_record(record, source))
    return outcomes


def _chunks(paths: list[Path], sources: list[str]) -> Iterator[Chunk]:
    """Members of the archives in lists of about a megabyte."""
    from gopolicy import archives

    chunk: Chunk = []
    held = 0
    for path in paths:
        sources.append(archives.shown(Path(os.path.abspath(path)).name))  # "." has none
        for member in archives.members([path]):
            data = member.data if isinstance(member, archives.Member) else member.reason
            chunk.append((len(sources) - 1, member.name, data))
            held += len(data)
            if held >= 1 << 20 or len(chunk) >= 500:
                yield chunk
                chunk, held = [], 0
    if chunk:
        yield chunk


def _begin_reading() -> None:
    """In a process that reads: the one that started it decides when it ends, and it ends with it, however that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _ordered(chunks: Iterable[Chunk], chosen: Filter, illegal: Illegal, processes: int) -> Iterator[list[Outcome]]:
    """Reads chunks in processes, a few ahead, and gives the results in order."""
    if processes <= 1:
        for chunk in chunks:
            yield _read_chunk(chunk, chosen, illegal)
        return
    processes = min(processes, 61)  # Windows can wait for no more
    # Ctrl-C reaches all processes: this one tells the others.
    with ProcessPoolExecutor(processes, initializer=_begin_reading) as pool:
        ahead: list[Future[list[Outcome]]] = []
        try:
            for chunk in chunks:
                ahead.append(pool.submit(_read_chunk, chunk, chosen, illegal))
                if len(ahead) > 3 * processes:
                    yield ahead.pop(0).result()
            while ahead:
                yield ahead.pop(0).result()
        except BrokenProcessPool:
            raise GamesError(
                "a process that read games has ended before its time; if memory was short, --processes 1 needs least, and a script of your "
                'own that packs with several processes has to do so below `if __name__ == "__main__":`'
            ) from None
        finally:
            for future in ahead:
                future.cancel()


def pack(
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    chosen: Filter | None = None,
    illegal: Illegal = "refuse",
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Packs the games of archives into ``out``.

    ``illegal`` is ``"refuse"`` or ``"cut"``: what becomes of a game with an illegal move. ``progress`` is called with the
    number of games read and kept. The file is written whole or not at all. Raises GamesError.
    """
    from gopolicy import archives, sgf

    chosen = chosen or Filter()
    sgf.check_illegal(illegal)
    out = Path(out)
    whole_number(processes, "the number of processes", 1)
    roots = archives.check(paths)
    for root in roots:
        with suppress(OSError):  # what cannot be read is told of when it is read
            if root.is_file() and is_packed(root):
                raise GamesError(f"{root} is a packed set of games already: name it alone where it is wanted, and archives to be packed")
    if (out.exists() and not out.is_file()) or not out.parent.is_dir():
        why = "it is a folder" if out.is_dir() else "it is no ordinary file" if out.exists() else f"there is no folder {out.parent}"
        raise GamesError(f"{out} cannot be written: {why}")
    if out.exists() and out.stat().st_size and not is_packed(out):
        raise GamesError(f"{out} is there, and no packed set of games: name another file to write, not to lose it")
    with _disk(out), atomic.beside(out):  # now: not to read for nothing
        pass
    sources: list[str] = []
    servers: dict[str, int] = {}
    players: dict[str, int] = {}
    seen: set[int] = set()
    report = Report()
    facts: list[tuple[Any, ...]] = []
    moves, setups = bytearray(), bytearray()
    move_start, setup_start = [0], [0]
    for outcomes in _ordered(_chunks(roots, sources), chosen, illegal, processes):
        for outcome in outcomes:
            report.read += 1
            if len(outcome) == 3:
                name, reason, sentence = outcome
                sentence = sentence.removeprefix(f"{name}: ")
                report.left_out[reason] += 1
                report.refused.append((name, reason, sentence))
                continue
            name, black, white, server, source, setup, played, rest = outcome
            whole, opening, date, komi, margin, size, handicap, black_rank, white_rank, winner, to_play = rest
            if whole in seen and not chosen.keep_duplicates:
                report.left_out["duplicate"] += 1
                report.refused.append((name, "duplicate", ""))
                continue
            seen.add(whole)
            names = [players.setdefault(player, len(players)) for player in (black, white)]
            place = servers.setdefault(server, len(servers))
            split = split_of(opening)
            ranks = (black_rank, white_rank)
            facts.append((whole, opening, *names, source, date, komi, margin, size, handicap, place, split, *ranks, winner, to_play))
            moves += played
            setups += setup
            move_start.append(len(moves) // 2)
            setup_start.append(len(setups) // 2)
            report.kept += 1
            report.moves += len(played) // 2
        if progress:
            progress(report.read, report.kept)
    if not report.kept:
        if not report.read:
            raise GamesError(f"there is no SGF game in {', '.join(map(str, roots))}")
        counts = ", ".join(f"{count} {reason}" for reason, count in report.left_out.most_common())
        first = next((f"; the first that was refused: {name}: {sentence}" for name, _, sentence in report.refused if sentence), "")
        raise GamesError(f"no game was kept of {report.read} read: {counts}{first}")
    text = [name.encode() for name in players]
    sections: dict[str, npt.NDArray[Any]] = {
        "facts": np.array(facts, dtype=FACTS),
        "move_start": np.array(move_start, dtype="<i8"),
        "setup_start": np.array(setup_start, dtype="<i8"),
        "moves": np.frombuffer(bytes(moves), dtype="<u2"),
        "setup": np.frombuffer(bytes(setups), dtype="<u2"),
        "players": np.frombuffer(b"".join(text), dtype="u1"),
        "player_start": np.array([0, *np.cumsum([len(name) for name in text])], dtype="<i8"),
    }
    write_sections(
        out,
        sections,
        {"sources": sources, "servers": list(servers), "read": report.read, "left_out": dict(sorted(report.left_out.items()))},
    )
    return report


def write_sections(out: Path, sections: dict[str, npt.NDArray[Any]], about: dict[str, Any]) -> None:
    """Writes a packed file, whole or not at all."""
    listed = [
        {
            "name": name,
            "dtype": array.dtype.descr if array.dtype.names else array.dtype.str,
            "count": len(array),
            "sha256": hashlib.sha256(_bytes(array)).hexdigest(),
        }
        for name, array in sections.items()
    ]
    header = json.dumps({**about, "sections": listed}, ensure_ascii=False, sort_keys=True).encode()
    with _disk(out):
        atomic.write(
            out, MAGIC, len(header).to_bytes(8, "little"), header, hashlib.sha256(header).digest(), *map(_bytes, sections.values())
        )


def _bytes(array: npt.NDArray[Any]) -> memoryview:
    """Those of an array, which are not copied."""
    return np.ascontiguousarray(array).view(np.uint8).data


@contextmanager
def _disk(out: Path) -> Iterator[None]:
    """Raises GamesError for what the disk refuses meanwhile."""
    try:
        yield
    except OSError as error:
        raise GamesError(f"{out} cannot be written: {error.strerror}") from None


# ---------------------------------------------------------------- reading


class PackedGames:
    """A packed set of games in memory.

    ``facts`` is (G,) FACTS; game ``i`` has the moves ``moves[move_start[i]:move_start[i + 1]]`` and likewise its setup stones.
    """

    def __init__(self, sections: dict[str, npt.NDArray[Any]], about: dict[str, Any]) -> None:
        self.facts = sections["facts"]
        self.moves: npt.NDArray[np.uint16] = sections["moves"]
        self.move_start: npt.NDArray[np.int64] = sections["move_start"]
        self.setup: npt.NDArray[np.uint16] = sections["setup"]
        self.setup_start: npt.NDArray[np.int64] = sections["setup_start"]
        self._players = sections["players"].tobytes()
        self._player_start: npt.NDArray[np.int64] = sections["player_start"]
        self.sources: list[str] = about["sources"]
        self.servers: list[str] = about["servers"]
        self.about = about

    def __len__(self) -> int:
        return len(self.facts)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> PackedGames:
        """Reads and checks a packed file; raises GamesError where it is none, is cut off or was altered."""
        try:
            path = os.fspath(path)
        except TypeError:
            raise GamesError(f"a packed set of games is named by its path, not by {path!r}") from None
        try:
            with open(path, "rb") as file:
                data = bytearray(os.fstat(file.fileno()).st_size)  # not bytes: kernels take no read-only arrays
                file.readinto(data)
        except OSError as error:
            hint = f": pack the games in it with `gopolicy pack {quoted(path)} --out games.gpk`" if Path(path).is_dir() else ""
            raise GamesError(f"{path} cannot be read: {error.strerror}{hint}") from None
        another = f"{path} was packed by another version of this program: pack the games again"
        if not data.startswith(MAGIC):
            if data.startswith(KIND):
                raise GamesError(another)
            raise GamesError(f"{path} is no packed set of games: make one with `gopolicy pack ARCHIVE --out games.gpk`")
        at = len(MAGIC) + 8
        length = int.from_bytes(data[at - 8 : at], "little")
        header = data[at : at + length]
        at += length + 32
        if hashlib.sha256(header).digest() != data[at - 32 : at]:
            raise GamesError(f"{path} is cut off or was altered in its header: pack the games again")
        about = json.loads(header)
        sections = {}
        for listed in about.pop("sections"):
            kind = listed["dtype"]
            dtype = np.dtype([tuple(item) for item in kind]) if isinstance(kind, list) else np.dtype(kind)
            size = dtype.itemsize * listed["count"]
            part = memoryview(data)[at : at + size]
            if hashlib.sha256(part).hexdigest() != listed["sha256"]:
                raise GamesError(f"{path} is cut off or was altered in its section {listed['name']!r}: pack the games again")
            sections[listed["name"]] = np.frombuffer(part, dtype=dtype)
            at += size
        if at != len(data):
            raise GamesError(f"{path} has {len(data) - at} bytes behind its end: pack the games again")
        if sections["facts"].dtype != FACTS:
            raise GamesError(another)
        return cls(sections, about)

    def player(self, index: int) -> str:
        return self._players[self._player_start[index] : self._player_start[index + 1]].decode()

    def indices(self, split: str = "all") -> npt.NDArray[np.int64]:
        """The games of a split: ``train``, ``validation``, ``test`` or ``all``."""
        if split == "all":
            return np.arange(len(self))
        if split not in SPLITS:
            raise GamesError(f"{split!r} is no split: there are {', '.join(SPLITS)} and all")
        return np.flatnonzero(self.facts["split"] == SPLITS.index(split))

    def record(self, index: SupportsIndex) -> GameRecord:
        """A game, from 0, as a GameRecord."""
        from gopolicy.sgf import GameRecord

        index = whole_number(index, "the number of a game", 0, len(self) - 1)
        fact = self.facts[index]
        date = int(fact["date"])
        parts = [f"{date // 10000:04d}", f"{date // 100 % 100:02d}", f"{date % 100:02d}"]
        winner, margin = int(fact["winner"]), float(fact["margin"])
        result = {BLACK: "B+", WHITE: "W+", 0: "0"}.get(winner, "")
        if winner in (BLACK, WHITE) and not math.isnan(margin):
            result += f"{margin:g}"
        return GameRecord(
            size=int(fact["size"]),
            komi=float(str(fact["komi"])),  # as short as it was: 6.3 is not 6.300000190734863
            handicap=int(fact["handicap"]),
            players=(self.player(fact["black"]), self.player(fact["white"])),
            ranks=(rank_text(int(fact["black_rank"])), rank_text(int(fact["white_rank"]))),
            result=result,
            date="-".join(part for part in parts if int(part)),
            setup=tuple(decode_moves(self.setup[self.setup_start[index] : self.setup_start[index + 1]])),
            to_play=int(fact["to_play"]),
            moves=tuple(decode_moves(self.moves[self.move_start[index] : self.move_start[index + 1]])),
            server=self.servers[fact["server"]],
            name=f"{self.sources[fact['source']]} #{index}",
        )

    def summary(self) -> dict[str, Any]:
        """Facts about the set for a description or a report; the digest tells sets of games apart."""
        splits = {name: int(np.sum(self.facts["split"] == i)) for i, name in enumerate(SPLITS)}
        servers = Counter(self.servers[i] or "unknown" for i in self.facts["server"])
        return {
            "digest": hashlib.sha256(self.facts["hash"].tobytes()).hexdigest()[:16],
            "games": len(self),
            "moves": len(self.moves),
            "splits": splits,
            "servers": dict(sorted(servers.items())),
            "sources": self.sources,
        }


# ---------------------------------------------------------------- the command


def add_arguments(parser: Any) -> None:
    """Arguments of ``gopolicy pack``."""
    parser.add_argument(
        "archives", nargs="+", type=named_path, metavar="ARCHIVE", help="folders, .sgf, .gz, .bz2, .xz, .zip, .tar (also packed), .7z"
    )
    parser.add_argument("--out", type=named_path, required=True, help="the packed file to write, for example games.gpk")
    add_filter_arguments(parser)


def named_path(text: str) -> Path:
    """For argparse: an empty name, as of a variable that is not set, would be the folder at hand."""
    if not text:
        raise argparse.ArgumentTypeError("'': expected the name of a file or folder")
    return Path(text)


def is_packed(path: Path) -> bool:
    """Whether a file begins as a packed set of games, of any version. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(KIND)) == KIND


def add_filter_arguments(parser: Any) -> None:
    parser.add_argument("--size", type=int, action="append", help="board size to keep, may be repeated (default: 19)")
    parser.add_argument("--min-moves", type=int, default=1, help="fewest stones played (default: 1)")
    parser.add_argument("--max-moves", type=int, help="most stones played")
    parser.add_argument("--min-rank", help="lowest rank of both players, as 6d")
    parser.add_argument("--max-handicap", type=int, help="0 keeps even games only")
    parser.add_argument("--since", help="first date, as 2016 or 2016-07-31")
    parser.add_argument("--until", help="last date")
    parser.add_argument(
        "--exclude-player", action="append", default=[], metavar="REGEX", help="leaves out games of such a player, as '^(petgo3|Zen)'"
    )
    parser.add_argument(
        "--only-player", action="append", default=[], metavar="REGEX", help="keeps only games of such a player, the moves of both sides"
    )
    parser.add_argument("--keep-duplicates", action="store_true", help="keeps games met before, also mirrored")
    parser.add_argument(
        "--illegal",
        choices=("refuse", "cut"),
        default="refuse",
        help="a game with an illegal move: none of it, or what stands before (default: refuse)",
    )
    parser.add_argument("--processes", type=int, default=cores(), help="that read games (default: one a core)")
    parser.add_argument("--list-refused", action="store_true", help="names every refused game and the reason on standard output")


def filter_from(args: Any) -> Filter:
    return Filter(
        sizes=tuple(args.size or (19,)),
        min_moves=args.min_moves,
        max_moves=args.max_moves,
        min_rank=args.min_rank,
        max_handicap=args.max_handicap,
        since=args.since,
        until=args.until,
        exclude_players=tuple(args.exclude_player),
        only_players=tuple(args.only_player),
        keep_duplicates=args.keep_duplicates,
    )


def bar(**options: Any) -> Any:
    """A progress bar of tqdm's; where it goes into a file, which keeps every state of it, with a new state every ten seconds."""
    from tqdm import tqdm

    return tqdm(file=sys.stderr, mininterval=0.5 if sys.stderr.isatty() else 10, **options)


def pack_with_bar(paths: Iterable[Path], out: Path, *, name_unreadable: bool = True, **options: Any) -> Report:
    """``pack``, with its progress, its report and the archives that it could not read on standard error."""
    with bar(unit=" games", desc="packing") as shown:

        def progress(read: int, kept: int) -> None:
            shown.set_postfix_str(f"{kept} kept", refresh=False)
            shown.update(read - shown.n)

        report = pack(paths, out, progress=progress, **options)
    print(report, file=sys.stderr)
    if name_unreadable:
        unreadable = [f"{name}: {sentence}" for name, kind, sentence in report.refused if kind == "unreadable member"]
        print("".join(f"{line}\n" for line in unreadable[:REFUSED_SHOWN]), end="", file=sys.stderr)
    return report


def run(args: Any) -> int:
    """``gopolicy pack``."""
    listed = args.list_refused
    options = {"chosen": filter_from(args), "illegal": args.illegal, "processes": args.processes, "name_unreadable": not listed}
    report = pack_with_bar(args.archives, args.out, **options)
    if listed:
        for name, kind, sentence in report.refused:
            print(f"{kind}\t{name}\t{sentence}".rstrip("\t"))
    packed = PackedGames.open(args.out)
    splits = ", ".join(f"{count} {name}" for name, count in packed.summary()["splits"].items())
    print(f"{args.out}: {len(packed)} games ({splits}), {args.out.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
    return 0
