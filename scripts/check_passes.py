"""Whether an engine passes too early: GNU Go plays the game out from the engine's first pass, and the scores are compared.

    python scripts/match.py "python gtp_engine.py" "gnugo --mode gtp --level 1 --chinese-rules" --games 100 --out runs/level1
    python scripts/check_passes.py runs/level1 --player gopolicy
    python scripts/check_passes.py games/ --player gopolicy --level 1 --json

For every game in which the player passed, GNU Go takes both sides over at the first of these passes, the player to move, and plays
until it passes twice itself; what that gains the player over the game as it ended is what the pass gave away. Both ends are counted
by GNU Go (area, Chinese rules). A game that ended by resignation after the pass counts as lost or won as it was.
Exit status: 0 where no game was lost that GNU Go wins from the pass, 1 where one was, 2 where there was no pass to look at.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from gopolicy import archives, client, games
from gopolicy.cli import write_any_name
from gopolicy.client import Engine, EngineError, find_gnugo, setting_up
from gopolicy.coords import BLACK, PASS, WHITE, colour_name
from gopolicy.errors import GoPolicyError, SgfError, explain
from gopolicy.sgf import GameRecord, read_sgf


@dataclass
class Pass:
    """The first pass of the player in a game; leads are the player's, komi counted."""

    game: str
    move: int  # number of the pass
    ended: float  # lead at the end of the game
    played_out: float  # lead when GNU Go plays on from the pass
    moves: int  # that GNU Go played

    @property
    def lost_by_it(self) -> bool:
        return self.ended < 0 < self.played_out


def set_up(gnugo: Engine, record: GameRecord, count: int) -> None:
    """The position after so many moves."""
    for command in setting_up(record.size, record.komi, [*record.setup, *record.moves[:count]]):
        gnugo.ask(command)


def lead(gnugo: Engine, colour: int) -> float:
    """The lead of a colour as GNU Go counts the position."""
    winner, margin = games.parse_result(gnugo.final_score())
    return colour * winner * margin


def play_out(gnugo: Engine, colour: int, size: int) -> int:
    """GNU Go plays both sides until two passes; how many moves that were."""
    passes = count = 0
    while passes < 2 and count < 2 * size * size:
        move = gnugo.ask(f"genmove {colour_name(colour)}").lower()
        passes = passes + 1 if move in ("pass", "resign") else 0
        count += 1
        colour = -colour
    return count


def player_of(record: GameRecord, name: str) -> int | None:
    """The colour of the player of that name, or part of a name; None where neither or both are called so."""
    found = [colour for colour, player in zip((BLACK, WHITE), record.players, strict=True) if name.lower() in player.lower()]
    return found[0] if len(found) == 1 else None


def look_at(record: GameRecord, colour: int, gnugo: Engine) -> Pass | None:
    """The player's first pass; None where there is none, and where nobody has won."""
    passes = [number for number, move in enumerate(record.moves) if move == (colour, PASS)]
    if not passes:
        return None
    if [point for _, point in record.moves[-2:]] == [PASS, PASS]:
        set_up(gnugo, record, len(record.moves))
        ended = lead(gnugo, colour)
    else:
        winner, margin = games.parse_result(record.result)
        if winner not in (BLACK, WHITE):
            return None
        ended = colour * winner * (999.0 if math.isnan(margin) else margin)
    set_up(gnugo, record, passes[0])
    moves = play_out(gnugo, colour, record.size)
    return Pass(record.name, passes[0] + 1, ended, lead(gnugo, colour), moves)


def main() -> int:
    write_any_name()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", type=Path, nargs="+", metavar="ARCHIVE", help="folders, archives or SGF files: a match's folder")
    parser.add_argument("--player", required=True, metavar="NAME", help="name, or part of the name, of the player whose passes these are")
    parser.add_argument("--level", type=int, default=10, help="of GNU Go (default: 10)")
    parser.add_argument("--gnugo", default="gnugo", metavar="PROGRAM", help="GNU Go (Debian: apt-get install gnugo)")
    parser.add_argument("--json", action="store_true", help="a line of JSON for every pass, and nothing else")
    args = parser.parse_args()
    program = find_gnugo(args.gnugo)
    if program is None:
        print(f"there is no program {args.gnugo!r}: install GNU Go, or name it with --gnugo", file=sys.stderr)
        return 2
    found: list[Pass] = []
    seen = 0
    gnugo = Engine(client.gnugo(program, level=args.level))
    try:
        for item in tqdm(archives.members(args.archives), unit="game"):
            if isinstance(item, archives.Refused):
                print(f"{item.name} is left out: {item.reason}", file=sys.stderr)
                continue
            try:
                record = read_sgf(item.data, name=item.name)
            except SgfError as error:
                print(error, file=sys.stderr)
                continue
            colour = player_of(record, args.player)
            if colour is None:
                continue
            if math.isnan(record.komi) or record.size > client.GNUGO_LINES:
                why = "its komi is not known" if math.isnan(record.komi) else f"GNU Go plays on {client.GNUGO_LINES} lines at most"
                print(f"{item.name} is left out: {why}", file=sys.stderr)
                continue
            try:
                one = look_at(record, colour, gnugo)
            except EngineError as error:
                if not found:  # more likely it is no GNU Go
                    raise
                print(f"{item.name} is left out: {error}", file=sys.stderr)
                gnugo.close()
                gnugo = Engine(client.gnugo(program, level=args.level))
                continue
            seen += 1
            if one is not None:
                found.append(one)
                if args.json:
                    print(json.dumps(asdict(one)), flush=True)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    finally:
        gnugo.close()
    if not found:
        print(f"none of {seen} games of a player {args.player!r} has a pass of this player", file=sys.stderr)
        return 2
    lost = [one for one in found if one.lost_by_it]
    if not args.json:
        counted = [one.played_out - one.ended for one in found if abs(one.ended) < 999]
        print(f"{seen} games, {len(found)} with a pass of {args.player}; GNU Go, level {args.level}, plays on from the first")
        if counted:
            dear = sum(gain > 2 for gain in counted)
            print(
                f"  playing on gains {statistics.median(counted):+g} points in the median, {max(counted):+g} at most; "
                f"over 2 points in {dear} games"
            )
        print(f"  games lost that GNU Go wins from the pass: {len(lost)}")
        for one in lost:
            print(f"    {one.game}: move {one.move}, {one.ended:+g} at the end, {one.played_out:+g} played out")
    return int(bool(lost))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: no engine is left behind
    try:
        sys.exit(main())
    except (GoPolicyError, OSError) as error:
        print(f"check_passes.py: {explain(error)}", file=sys.stderr)
        sys.exit(2)
