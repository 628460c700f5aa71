"""Compare final scores and dead stones with GNU Go's, on finished games.

    python scripts/check_scoring.py data/gnugo-selfplay.tar.gz                       # 200 games: about a quarter of an hour on one core
    python scripts/check_scoring.py data/gnugo-selfplay.tar.gz --games 20 --playouts 8 --json
    python scripts/check_scoring.py kgs/ --recorded --every 20 --games 100           # against the results that people counted

Of games that ended by two passes GNU Go is asked for ``final_score`` and ``final_status_list dead``, by Chinese rules, and its
answers are compared with those of gopolicy. With ``--recorded`` the result in the game's file is what counts, in games whose result
is a number of points, by the game's rules, with what they give White for handicap stones; where the file tells no rules that are
known, area or territory, whichever is nearer.
Exit status: 0 where the scores of 90 % of the games are within 2 points and 95 % of the stones have the status that GNU Go gives them,
1 where not, 2 where nothing could be compared.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from gopolicy import archives, client, scoring
from gopolicy.analysis import Rules, rules_from
from gopolicy.board import Board
from gopolicy.client import Engine, EngineError, find_gnugo
from gopolicy.coords import EMPTY, PASS, point_from_gtp, point_to_gtp
from gopolicy.errors import GoPolicyError, SgfError, explain
from gopolicy.games import UNKNOWN_WINNER, parse_result
from gopolicy.policy import Policy, load, quickest
from gopolicy.process import checked
from gopolicy.sgf import GameRecord, read_sgf

NEAR = 2.0  # points
LONGEST = 300  # seconds for an answer of GNU Go's
MOST_REFUSALS = 5  # games at the beginning that it may not count
WANTED_SCORES, WANTED_STONES = 0.9, 0.95


@dataclass
class Compared:
    """One game: leads of Black with komi, and the stones whose status differs."""

    game: str
    referee: float  # Black's lead as GNU Go or the record has it
    here: float
    rules: str  # by which ``here`` is counted: area or territory
    stones: int = 0
    differing: list[str] = field(default_factory=list)  # vertices of stones
    seconds: float = 0.0  # of the judgement

    def near(self) -> bool:
        return abs(self.here - self.referee) <= NEAR


def lead_of(result: str) -> float | None:
    """``B+3.5`` → 3.5, ``W+2`` → -2, ``0`` → 0; None for a result without points."""
    winner, margin = parse_result(result)
    return None if winner == UNKNOWN_WINNER or math.isnan(margin) else winner * margin


def ask_gnugo(program: str, record: GameRecord) -> tuple[float, set[int]]:
    """Black's lead and the points of the dead stones, as GNU Go has them for the end of a game. Raises EngineError."""
    gnugo = Engine(client.gnugo(program))
    try:
        for command in client.setting_up(record.size, record.komi, [*record.setup, *record.moves]):
            gnugo.ask(command, LONGEST)
        lead = lead_of(gnugo.final_score(LONGEST))
        assert lead is not None
        return lead, {point_from_gtp(vertex, record.size) for vertex in gnugo.ask("final_status_list dead", LONGEST).split()}
    finally:
        gnugo.close()


def compare(policy: Policy, record: GameRecord, playouts: int, gnugo: str | None) -> Compared:
    board = record.position(len(record.moves) + 1)
    began = time.perf_counter()
    judgement = scoring.judge(policy, board, playouts=playouts)
    seconds = time.perf_counter() - began
    if gnugo is None:
        recorded = lead_of(record.result)
        assert recorded is not None
        counted: float = recorded
        scores = {rules.scoring.lower(): score_by(judgement, board, record.komi, rules) for rules in rules_of(record)}
        name, here = min(scores.items(), key=lambda told: abs(told[1] - counted))
        return Compared(record.name, counted, here, name, seconds=seconds)
    lead, dead = ask_gnugo(gnugo, record)
    stones = np.flatnonzero(board.stones().ravel() != EMPTY).tolist()
    differing = [point_to_gtp(point, record.size) for point in stones if (point in dead) != bool(judgement.dead.ravel()[point])]
    return Compared(record.name, lead, judgement.lead(record.komi), "area", len(stones), differing, seconds)


def rules_of(record: GameRecord) -> list[Rules]:
    """The game's rules, or where they are not known those that might be."""
    with suppress(GoPolicyError):
        return [rules_from(record.rules)]
    return [Rules("AREA"), Rules("TERRITORY")]


def score_by(judgement: scoring.Judgement, board: Board, komi: float, rules: Rules) -> float:
    return judgement.lead(rules.komi(board, komi), rules="area" if rules.scoring == "AREA" else "territory")


def finished_games(paths: list[Path], every: int, recorded: bool) -> Iterator[GameRecord]:
    """The games that ended by two passes on a board that GNU Go has, or with ``recorded`` with a counted result; one file in ``every``,
    chosen by its name."""
    for item in archives.members(paths):
        if isinstance(item, archives.Refused):
            print(f"{item.name} is left out: {item.reason}", file=sys.stderr)
            continue
        if crc32(item.name.encode("utf-8", "surrogateescape")) % every:
            continue
        try:
            record = read_sgf(item.data, name=item.name)
        except SgfError:
            continue
        passed = [point for _, point in record.moves[-2:]] == [PASS, PASS]
        counted = lead_of(record.result) is not None and len(record.moves) >= 100
        if (counted if recorded else passed and record.size <= client.GNUGO_LINES) and not np.isnan(record.komi):
            yield record


def figures(games: list[Compared]) -> dict[str, Any]:
    stones, differing = sum(game.stones for game in games), sum(len(game.differing) for game in games)
    seconds = [game.seconds for game in games]
    told: dict[str, Any] = {
        "games": len(games),
        "near": sum(game.near() for game in games),
        "same": sum(abs(game.here - game.referee) < 0.01 for game in games),
        "same_winner": sum(bool(np.sign(game.here) == np.sign(game.referee)) for game in games),
        "seconds_median": round(statistics.median(seconds), 2),
        "seconds_longest": round(max(seconds), 2),
    }
    return told | ({"stones": stones, "stones_same": stones - differing} if stones else {})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", type=Path, nargs="+", metavar="ARCHIVE", help="folders, archives or SGF files")
    some = checked(int, lambda n: n >= 1, "1 or more")
    parser.add_argument("--games", type=some, default=200, help="stop after so many games")
    parser.add_argument("--every", type=some, default=1, metavar="N", help="take one file in N, chosen by its name")
    parser.add_argument("--recorded", action="store_true", help="compare with the recorded results of counted games, not with GNU Go")
    parser.add_argument("--playouts", type=some, default=scoring.PLAYOUTS)
    parser.add_argument("--weights", default="playouts", metavar="FILE", help="(default: playouts, as in the engine)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the network")
    parser.add_argument("--gnugo", default="gnugo", metavar="PROGRAM", help="GNU Go (Debian: apt-get install gnugo)")
    parser.add_argument("--log", type=Path, help="write a line of JSON for every game")
    parser.add_argument("--json", action="store_true", help="the figures as one line of JSON")
    args = parser.parse_args()
    gnugo = None
    if not args.recorded:
        gnugo = find_gnugo(args.gnugo)
        if gnugo is None:
            print(f"there is no program {args.gnugo!r}: install GNU Go, name it with --gnugo, or compare with --recorded", file=sys.stderr)
            return 2

    compared: list[Compared] = []
    left_out = 0
    log = args.log.open("w", encoding="utf-8") if args.log else None
    try:
        policy = load(args.weights, threads=args.threads, precision=quickest())
        with tqdm(total=args.games, unit="game", mininterval=5) as progress:
            for record in finished_games(args.archives, args.every, args.recorded):
                if len(compared) >= args.games:
                    break
                try:
                    game = compare(policy, record, args.playouts, gnugo)
                except EngineError as error:
                    left_out += 1
                    if left_out >= MOST_REFUSALS and not compared:
                        raise GoPolicyError(f"{args.gnugo} seems to be no GNU Go: {error}") from None
                    progress.write(f"{record.name} is left out: {error}", sys.stderr)
                    continue
                compared.append(game)
                if log:
                    log.write(json.dumps(asdict(game)) + "\n")
                    log.flush()
                if not game.near():
                    progress.write(f"{game.game}: {game.referee:+g}, here {game.here:+g} by {game.rules}", sys.stderr)
                progress.update()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    finally:
        if log:
            log.close()
    if not compared:
        print(f"none of {left_out} games could be compared" if left_out else "no finished game was found", file=sys.stderr)
        return 2

    told = figures(compared) | ({"left_out": left_out} if left_out else {})
    count = len(compared)
    names = {"near": f"score within {NEAR:g} points", "same": "the same score", "same_winner": "the same winner"}
    stones, same = told.get("stones", 0), told.get("stones_same", 0)
    if args.json:
        print(json.dumps(told))
    else:
        referee = "the recorded result" if args.recorded else "GNU Go"
        print(f"{count} finished games against {referee}; a judgement of {args.playouts} playouts took {told['seconds_median']} s (median)")
        for name, text in names.items():
            print(f"  {text:<32} {told[name]:>6,} of {count:,}  {told[name] / count:7.1%}")
        if stones:
            print(f"  {'dead or alive as it says, stones':<32} {same:>6,} of {stones:,}  {same / stones:7.2%}")
    return 0 if told["near"] >= WANTED_SCORES * count and same >= WANTED_STONES * stones else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: no engine is left behind
    try:
        sys.exit(main())
    except (GoPolicyError, OSError) as error:
        print(f"check_scoring.py: {explain(error)}", file=sys.stderr)
        sys.exit(2)
