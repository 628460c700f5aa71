"""Two GTP engines play a match: games on the same openings with colours changed, a referee, and the result with its interval.

    python scripts/match.py "python gtp_engine.py --threads 1" "gnugo --mode gtp --level 1 --chinese-rules" --games 100
    python scripts/match.py "gopolicy gtp --symmetries 8" "gopolicy gtp" --names eight one --games 200 --jobs 4 --out runs/eight-one
    python scripts/match.py "gnugo --mode gtp --level 10" "gnugo --mode gtp --level 1" --size 9 --games 20 --json

An engine is a command line, split into words as a shell would. A match can be stopped at any time, by Ctrl-C or by force: the same command
goes on. Its folder holds the games as SGF, ``games.jsonl`` (the match, then a line for each game) and what the engines wrote on
standard error.

Openings: one stone in each corner, two of each colour, on the 3rd to 5th lines; no two are the same position, not even turned or
mirrored. Each is played twice with colours changed: what it is worth to Black falls out, and engines without chance do not play one game
again and again.

Rules: captures, no suicide, simple ko. Whoever plays an illegal move, gives a wrong answer or none, or ends, loses that game and is
started again for the next. A move that repeats an earlier position of the whole board is allowed, since GNU Go plays by simple ko;
where the other engine refuses it, the two do not play by the same rules, and the game has no result ("Void"). Endless repetition ends
at the length limit. A game ends by two passes, by resignation or at that limit; if not resigned, the referee counts it. As referee GNU
Go plays out, for itself, what is not finished.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import itertools
import json
import math
import queue
import random
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tqdm import tqdm

from gopolicy import atomic, symmetry
from gopolicy.board import Board
from gopolicy.cli import write_any_name
from gopolicy.client import Engine, EngineError, find_gnugo, play, setting_up, words_of
from gopolicy.coords import BLACK, MAX_SIZE, MIN_SIZE, PASS, WHITE
from gopolicy.errors import GoPolicyError, IllegalMoveError, Interrupted, cores, explain, naming, quoted
from gopolicy.games import named_path
from gopolicy.sgf import GameRecord, write_sgf

LETTERS = "AB"  # the engines
COLOUR = {BLACK: "B", WHITE: "W"}
ENDS = ("two passes", "resignation", "the length limit", "a fault", "a refused repetition")
Z95 = statistics.NormalDist().inv_cdf(0.975)
REFEREE_SECONDS = 600.0  # to count a game


# ---------------------------------------------------------------------------------------------------------- the match


@dataclass(frozen=True)
class Settings:
    """What makes a match: a folder holds games of one match only."""

    engines: tuple[str, str]  # command lines
    names: tuple[str, str]
    size: int  # lines of the board
    komi: float
    openings: int | None  # how many different ones; None: one for each pair of games, 0: the empty board
    seed: int  # of the openings
    max_moves: int
    move_time: float  # seconds for any answer
    referee: str  # command line, or "none"


@dataclass(frozen=True)
class Game:
    """What the log keeps of a game."""

    number: int  # from 1
    black: int  # 0: engine A has Black, 1: engine B
    result: str  # as GameRecord.result; "?": not counted
    end: str  # one of ENDS
    fault: str  # one of client.Fault, or ""
    by: int | None  # the engine at fault
    reason: str  # a sentence on what went wrong, or ""
    moves: int  # with those of the opening
    digest: str  # of the moves: equal where these are
    seconds: float

    def share(self) -> float | None:
        """What engine A got: 1, 0.5 or 0, or None without a result."""
        if self.result == "0":
            return 0.5
        if self.result[:2] not in ("B+", "W+"):
            return None
        return float((self.result[0] == "B") == (self.black == 0))


Referee = Callable[[GameRecord], str]  # a game → "B+3.5", "W+0.5", "0" (draw), or "?" without a count; raises EngineError


class Match:
    """The settings and the running programs of a match, shared by its tables."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.openings = openings(settings.size, settings.seed)[: settings.openings] or [()]
        self.referee: Referee = (lambda _: "?") if settings.referee == "none" else self._count
        self.stopping = False
        self._programs: set[Engine] = set()

    def start(self, command: str, log: str) -> Engine:
        program = Engine(words_of(command), self.folder / log)
        self._programs.add(program)
        if self.stopping:  # stop() may have looked just before
            program.kill()
        return program

    def end(self, program: Engine) -> None:
        program.close()
        self._programs.discard(program)

    def stop(self) -> None:
        """Kills every program: all games come to an end."""
        self.stopping = True
        for program in list(self._programs):
            program.kill()

    def close(self) -> None:
        for program in list(self._programs):
            self.end(program)

    def _count(self, record: GameRecord) -> str:
        """The referee, started anew for each game so that its count depends on nothing but the game."""
        program = self.start(self.settings.referee, "referee.log")
        try:
            for command in setting_up(record.size, record.komi, record.moves):
                program.ask(command, REFEREE_SECONDS)
            return program.final_score(REFEREE_SECONDS)
        except EngineError:
            program.kill()
            raise
        finally:
            self.end(program)


def openings(size: int, seed: int) -> list[tuple[int, ...]]:
    """Four points each, for Black, White, Black, White: all openings of the board in the order that the seed gives.

    Black has the upper right corner and one of the lower ones. Without those that are the same after a turn, a mirroring or a change of
    order; 3,136 on 13 lines and more, 212 on 8 to 12, none below, where the corners meet.
    """
    if size < 8:
        return []
    lines = (3, 4, 5) if size >= 13 else (3, 4)
    near = [(i, j) for i, j in itertools.product(lines, repeat=2) if i + j < 10]  # 5-5 is left out
    upper_right, upper_left, lower_left, lower_right = (
        [(size - i if lower else i - 1) * size + (j - 1 if left else size - j) for i, j in near]
        for lower, left in ((False, False), (False, True), (True, True), (True, False))
    )
    found: dict[tuple[int, ...], tuple[int, ...]] = {}
    for corners in ((upper_right, upper_left, lower_right, lower_left), (upper_right, upper_left, lower_left, lower_right)):
        for opening in itertools.product(*corners):
            views = symmetry.tables(size)[:, opening].tolist()  # (8, 4)
            found.setdefault(min((*sorted(view[::2]), *sorted(view[1::2])) for view in views), opening)
    chosen = list(found.values())
    random.Random(seed).shuffle(chosen)
    return chosen


class Table:
    """Where games are played one after the other; the two engines keep running between them."""

    def __init__(self, match: Match) -> None:
        self.match = match
        self.programs: list[Engine | None] = [None, None]
        self._asked = 0  # the engine that spoke last

    def ask(self, engine: int, command: str) -> str:
        self._asked = engine
        program = self.programs[engine]
        if program is None:
            settings = self.match.settings
            program = self.programs[engine] = self.match.start(settings.engines[engine], f"engine-{LETTERS[engine]}.log")
        return program.ask(command, self.match.settings.move_time)

    def play(self, number: int) -> tuple[Game, GameRecord]:
        """Plays the game of that number, from 1. Raises Interrupted where the match is stopped."""
        match, settings = self.match, self.match.settings
        black = (number - 1) % 2
        opening = match.openings[(number - 1) // 2 % len(match.openings)]
        board = Board(settings.size, superko=False)
        began = time.monotonic()
        fault, reason, by = "", "", None
        try:
            end, result = self._moves(board, black, opening)
        except EngineError as caught:
            if match.stopping:
                raise Interrupted from None
            end, fault, reason, by = "a fault", caught.kind, str(caught), self._asked
            result = f"{COLOUR[WHITE if by == black else BLACK]}+{'T' if fault == 'time-out' else 'F'}"
            program, self.programs[by] = self.programs[by], None
            if program:
                program.kill()
                match.end(program)
        players = settings.names if black == 0 else (settings.names[1], settings.names[0])
        date = datetime.date.today().isoformat()
        record = GameRecord(settings.size, settings.komi, players=players, result=result, date=date, moves=tuple(board.moves))
        if not result:
            try:
                result = match.referee(record)
            except EngineError as caught:
                if match.stopping:
                    raise Interrupted from None
                result, reason = "?", f"the referee: {caught}"
            record = replace(record, result=result)
        digest = hashlib.sha256(repr(record.moves).encode()).hexdigest()[:16]
        seconds = round(time.monotonic() - began, 2)
        return Game(number, black, result, end, fault, by, reason, len(record.moves), digest, seconds), record

    def _moves(self, board: Board, black: int, opening: Sequence[int]) -> tuple[str, str]:
        """Plays on the board to the end; returns how it ended, and the result where it needs no counting."""
        settings = self.match.settings
        for point in opening:
            board.play(point)
        for engine in (black, 1 - black):
            for command in setting_up(settings.size, settings.komi, board.moves):
                self.ask(engine, command)
        while len(board.moves) < settings.max_moves:
            engine = black if board.to_play == BLACK else 1 - black
            answer = self.ask(engine, f"genmove {COLOUR[board.to_play].lower()}")
            if answer.lower() == "resign":
                return "resignation", f"{COLOUR[-board.to_play]}+R"
            try:
                board.play(answer)
            except IllegalMoveError as error:
                raise EngineError("illegal", str(error)) from None
            except GoPolicyError as error:
                raise EngineError("garbage", f"to genmove: {error}") from None
            if [point for _, point in board.moves[-2:]] == [PASS, PASS]:
                return "two passes", ""
            try:
                self.ask(1 - engine, play(*board.moves[-1], board.size))
            except EngineError as fault:
                if fault.kind == "refused" and repeats(board):
                    return "a refused repetition", "Void"
                raise
        return "the length limit", ""


def repeats(board: Board) -> bool:
    """Whether the last move made an earlier position of the whole board again."""
    before, move = board.copy(), board.last_move
    before.undo()
    before.superko = True
    return move is not None and not before.is_legal(move)


# ---------------------------------------------------------------------------------------------------------- its folder


class Log:
    """``games.jsonl``: the settings on the first line, a game on each other. Every line is whole, or was not written."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        """Goes on with the games that are there. Raises GoPolicyError where the folder is another match's, or in use."""
        self.games: dict[int, Game] = {}
        self.path = folder / "games.jsonl"
        if not self.path.exists() and any(folder.glob("*.sgf")):
            raise GoPolicyError(f"{folder} holds games but no match (there is no games.jsonl): give --out another folder")
        self._file = self.path.open("a+b")
        try:
            self._claim()
            self._read(settings)
        except BaseException:
            self._file.close()
            raise

    def _claim(self) -> None:
        """Keeps a second process out, until this one ends in whatever way; not on Windows."""
        with contextlib.suppress(ImportError, OSError):  # a file system without locks
            import fcntl

            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise GoPolicyError(f"{self.path.parent} is in use: another process plays this match") from None

    def _read(self, settings: Settings) -> None:
        self._file.seek(0)
        lines = self._file.read().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):  # cut off by force
            lines.pop()
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
                if number == 1:
                    self._compare(entry["match"], settings)
                else:
                    game = Game(**entry)
                    self.games[game.number] = game
            except (ValueError, KeyError, TypeError) as error:
                if isinstance(error, GoPolicyError):
                    raise
                if number == 1:
                    raise GoPolicyError(f"line 1 of {self.path}, which tells the match, is damaged: give --out another folder") from None
                raise GoPolicyError(f"line {number} of {self.path} is damaged: take it out, and the same command goes on") from None
        self._file.truncate(sum(map(len, lines)))
        if not lines:
            self._write({"match": asdict(settings)})

    def _compare(self, there: dict[str, Any], settings: Settings) -> None:
        for name, here in json.loads(json.dumps(asdict(settings))).items():
            if there[name] != here:
                raise GoPolicyError(
                    f"{self.path.parent} holds another match ({name} {there[name]!r} there, {here!r} here): give --out another folder"
                )

    def add(self, game: Game, record: GameRecord) -> None:
        atomic.write(self.path.with_name(f"{game.number:04d}.sgf"), write_sgf(record).encode())
        self._write(asdict(game))
        self.games[game.number] = game

    def _write(self, entry: dict[str, Any]) -> None:
        with naming(self.path):
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of a full disk, which has been told of
            self._file.close()


# ---------------------------------------------------------------------------------------------------------- its result


def wilson(wins: float, games: int) -> tuple[float, float]:
    """The 95 % interval of a share (E. B. Wilson, Probable inference, JASA 22, 1927).

    A draw counts as half a win, which makes the interval a little too wide.
    """
    share, z2n = wins / games, Z95**2 / games
    middle = (share + z2n / 2) / (1 + z2n)
    half = Z95 * math.sqrt(share * (1 - share) / games + z2n / games / 4) / (1 + z2n)
    return (middle - half if wins > 0 else 0.0), (middle + half if wins < games else 1.0)


def elo(share: float) -> float:
    """The Elo difference at which that share of the points is expected (logistic, 400 points for 10 to 1); ±inf for all or nothing."""
    if share in (0, 1):
        return math.inf if share else -math.inf
    return 400 * math.log10(share / (1 - share))


def summary(settings: Settings, games: Sequence[Game]) -> dict[str, Any]:
    """The result as JSON takes it, seen from engine A; None where there is no game with a result, or an Elo difference is infinite."""
    shares = [(game, share) for game in games if (share := game.share()) is not None]
    wins, count = sum(share for _, share in shares), len(shares)
    interval = wilson(wins, count) if count else None
    whole = [game for game in games if not game.fault]

    def with_colour(black: int) -> list[int]:
        """Wins, games with a result."""
        mine = [share for game, share in shares if game.black == black]
        return [mine.count(1.0), len(mine)]

    def difference(share: float) -> float | None:
        value = elo(share)
        return round(value, 1) if math.isfinite(value) else None

    return {
        "players": list(settings.names),
        "size": settings.size,
        "komi": settings.komi,
        "games": len(games),
        "wins": sum(share == 1 for _, share in shares),
        "losses": sum(share == 0 for _, share in shares),
        "draws": sum(share == 0.5 for _, share in shares),
        "no_result": len(games) - count,
        "with_black": with_colour(0),
        "with_white": with_colour(1),
        "share": round(wins / count, 4) if count else None,
        "interval": [round(bound, 4) for bound in interval] if interval else None,
        "elo": difference(wins / count) if count else None,
        "elo_interval": [difference(bound) for bound in interval] if interval else None,
        "average_length": round(statistics.mean(game.moves for game in whole), 1) if whole else None,  # of games without a fault
        "ends": {end: sum(game.end == end for game in games) for end in ENDS},
        "faults": [dict(Counter(game.fault for game in games if game.by == engine)) for engine in (0, 1)],
        "repeated": len(whole) - len({game.digest for game in whole}),
    }


def report(result: dict[str, Any]) -> str:
    """The summary as a table."""

    def percent(share: float) -> str:
        return f"{100 * share:.1f} %"

    def points(difference: float | None) -> str:
        return f"{difference:+.0f}" if difference is not None else "-inf" if result["share"] == 0 else "+inf"

    black, white = result["with_black"], result["with_white"]
    rows = [("wins", f"{result['wins']} ({black[0]} of {black[1]} with Black, {white[0]} of {white[1]} with White)")]
    rows += [(name.replace("_", " "), str(result[name])) for name in ("losses", "draws", "no_result") if result[name] or name == "losses"]
    if result["share"] is not None:
        low, high = map(percent, result["interval"])
        rows.append(("share of the points", f"{percent(result['share'])}, 95 % interval {low} to {high} (Wilson)"))
        low, high = map(points, result["elo_interval"])
        rows.append(("Elo difference", f"{points(result['elo'])}, 95 % interval {low} to {high}"))
    if result["average_length"] is not None:
        rows.append(("average length", f"{result['average_length']:g} moves"))
    rows += [(f"ended by {end}", f"{count} ({percent(count / result['games'])})") for end, count in result["ends"].items() if count]
    for name, kinds in zip(result["players"], result["faults"], strict=True):
        if kinds:
            rows.append((f"faults of {name}", ", ".join(f"{kind} {count}" for kind, count in kinds.items())))
    if result["repeated"]:
        rows.append(("repeated games", f"{result['repeated']}, move by move: the intervals are too narrow"))
    width = max(len(name) for name, _ in rows)
    a, b = result["players"]
    title = f"{a} against {b}: {result['games']} games, {result['size']}x{result['size']}, komi {result['komi']:g}"
    return "\n".join([title, *(f"{name:<{width}}  {text}" for name, text in rows)])


# -------------------------------------------------------------------------------------------------------- the command


def introduce(command: str, settings: Settings, folder: Path, log: str) -> str:
    """Starts a program once to see that it can play this match; returns its name and version. Raises GoPolicyError."""
    try:
        program = Engine(words_of(command), folder / log)
        try:
            name = " ".join(program.ask(question, settings.move_time) for question in ("name", "version"))
            for preparation in setting_up(settings.size, settings.komi):
                program.ask(preparation, settings.move_time)
        finally:
            program.close()
    except EngineError as fault:
        raise GoPolicyError(f"`{command}` cannot play: {fault}; what it wrote on standard error is in {folder / log}") from None
    return " ".join(name.split())


def play_missing(match: Match, log: Log, games: int, jobs: int) -> None:
    """Plays the games that the log does not have yet, each logged when it ends."""
    missing = [number for number in range(1, games + 1) if number not in log.games]
    tables: queue.SimpleQueue[Table] = queue.SimpleQueue()
    for _ in range(min(jobs, len(missing))):
        tables.put(Table(match))

    def play(number: int) -> tuple[Game, GameRecord]:
        table = tables.get()
        try:
            return table.play(number)
        finally:
            tables.put(table)

    names = match.settings.names
    points = [share for game in log.games.values() if game.number <= games and (share := game.share()) is not None]
    with (
        contextlib.closing(match),
        ThreadPoolExecutor(max(1, min(jobs, len(missing)))) as pool,
        tqdm(total=games, initial=games - len(missing), unit="game", disable=not missing) as progress,
    ):
        try:
            futures = {pool.submit(play, number) for number in missing}
            while futures:
                # Not for ever: a Ctrl-C that comes while the wait begins would be seen at its end only.
                done, futures = wait(futures, timeout=1, return_when=FIRST_COMPLETED)
                for game, record in (future.result() for future in done):
                    log.add(game, record)
                    if game.reason:
                        who = f"{names[game.by]}: {game.fault}, " if game.by is not None else ""
                        progress.write(f"game {game.number}: {who}{game.reason}", file=sys.stderr)
                    points += [share] if (share := game.share()) is not None else []
                    progress.set_postfix_str(f"{names[0]} {sum(points):g} : {len(points) - sum(points):g} {names[1]}")
                    progress.update()
        except BaseException:
            match.stop()
            pool.shutdown(cancel_futures=True)
            raise


def default_referee() -> str:
    """GNU Go's command line, if it is installed."""
    program = find_gnugo()
    return f"{quoted(program)} --mode gtp --chinese-rules --seed 1" if program else "none"


def arguments_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="match.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs=2, metavar="ENGINE", help='the command line of a GTP engine, in quotes: "gnugo --mode gtp"')
    parser.add_argument("--games", type=int, default=100, metavar="N", help="games in all; can be raised later (default: 100)")
    parser.add_argument("--names", nargs=2, metavar=("A", "B"), help="of the engines (default: what they say themselves)")
    parser.add_argument("--size", type=int, default=19, help="lines of the board (default: 19)")
    parser.add_argument("--komi", type=float, default=7.5, help="(default: 7.5)")
    parser.add_argument(
        "--openings", type=int, metavar="K", help="different openings; 0: the empty board (default: one for every two games)"
    )
    parser.add_argument("--seed", type=int, default=1, help="chooses the openings (default: 1)")
    parser.add_argument("--jobs", type=int, default=max(1, cores() // 2), metavar="J", help="games at once (default: half the cores)")
    parser.add_argument("--move-time", type=float, default=120.0, metavar="SECONDS", help="for any answer, the first too (default: 120)")
    parser.add_argument("--max-moves", type=int, metavar="M", help="length limit (default: two for each point and 100: 822 on 19x19)")
    parser.add_argument("--referee", metavar="ENGINE", help="counts by final_score, or `none` (default: GNU Go by Chinese rules, if found)")
    parser.add_argument("--out", type=named_path, metavar="DIR", help="the match's folder (default: in runs/, named after the settings)")
    parser.add_argument("--json", action="store_true", help="prints one JSON object")
    args = parser.parse_args(arguments)
    args.max_moves = 2 * args.size**2 + 100 if args.max_moves is None else args.max_moves
    if args.referee is None:
        args.referee = default_referee()
        if args.referee == "none":
            print("match: GNU Go was not found, so nobody counts: only games that are not played to the end get a result", file=sys.stderr)
    checks = {
        "--games is 1 or more": args.games >= 1,
        "--names are two different ones": not args.names or (all(args.names) and args.names[0] != args.names[1]),
        "--names are text": not args.names or all(name == name.encode("utf-8", "replace").decode() for name in args.names),
        f"--size is {MIN_SIZE} to {MAX_SIZE}": MIN_SIZE <= args.size <= MAX_SIZE,
        "--komi is a finite number": math.isfinite(args.komi),
        "--jobs is 1 or more": args.jobs >= 1,
        "--move-time is more than 0 and at most a day": 0 < args.move_time <= 86_400,
        "--max-moves is 1 or more": args.max_moves >= 1,
    }
    for what, holds in checks.items():
        if not holds:
            parser.error(what)
    if args.openings is not None:
        most = len(openings(args.size, args.seed))
        if not 0 <= args.openings <= most:
            parser.error(f"--openings is 0 to {most} on {args.size} lines")
    for command in (*args.engines, args.referee):
        try:
            words = words_of(command)
        except ValueError as error:
            parser.error(f"{command!r} is no command line: {error}")
        if not words:
            parser.error("the command line of an engine is empty")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    args = arguments_of(arguments)
    write_any_name()
    given = {field.name: getattr(args, field.name) for field in fields(Settings)}
    settings = Settings(**given | {"engines": tuple(args.engines), "names": tuple(args.names or ("", ""))})
    digest = hashlib.sha256(json.dumps(asdict(settings)).encode()).hexdigest()[:8]
    folder: Path = args.out or Path("runs") / f"match-{digest}"
    log = None
    try:
        if folder.exists() and not folder.is_dir():
            raise GoPolicyError(f"{folder} is a file, and a match needs a folder: give --out another one")
        folder.mkdir(parents=True, exist_ok=True)
        said = [introduce(command, settings, folder, f"engine-{LETTERS[i]}.log") for i, command in enumerate(settings.engines)]
        if settings.referee != "none":
            introduce(settings.referee, settings, folder, "referee.log")
        if not args.names:
            same = said[0] == said[1]
            settings = replace(settings, names=(f"{said[0]} (A)", f"{said[1]} (B)") if same else (said[0], said[1]))
        log = Log(folder, settings)
        before = sum(number <= args.games for number in log.games)
        if before:
            print(f"match: {before} of {args.games} games are in {folder} already", file=sys.stderr)
        play_missing(Match(settings, folder), log, args.games, args.jobs)
    except (GoPolicyError, OSError) as error:
        print(f"match: {explain(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        kept = f"{len(log.games)} of {args.games} games are" if log else "what had been played before is"
        print(f"match: stopped; {kept} kept in {folder}, the same command goes on", file=sys.stderr)
        return 1
    finally:
        if log:
            log.close()
    result = summary(settings, [log.games[number] for number in range(1, args.games + 1)])
    print(json.dumps({**result, "folder": str(folder)}) if args.json else report(result))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: no engine is left behind
    sys.exit(main())
