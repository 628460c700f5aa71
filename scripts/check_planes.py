"""Compare the planes and the board with slow, plain ones on real games.

    python scripts/check_planes.py data/gnugo-selfplay.tar.gz --positions 1000
    python scripts/check_planes.py kgs/ pro.tar.xz Pro.7z --every 70 --positions 100000 --jobs 2 --log check.jsonl
    python scripts/check_planes.py kgs/ --every 500 --per-game 0          # every position of the chosen games

Of the chosen games every position is compared with sgfmill's board (stones and simple ko), and some positions of each,
drawn by the game's name, with the planes of tests/reference.py: as ``encode`` gives them, and as training makes them, which
follows the game and turns the planes. A log is appended game by game; with the same log a stopped check goes on.
Exit status: 0 if nothing differs, 1 if anything does, 2 if nothing was compared.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt
from sgfmill.boards import Board as SgfmillBoard
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from gopolicy import archives, symmetry
from gopolicy.cli import write_any_name
from gopolicy.coords import BLACK, EMPTY, PASS, WHITE
from gopolicy.errors import GoPolicyError, SgfError, explain
from gopolicy.features import Workspace, encode
from gopolicy.process import checked
from gopolicy.sgf import GameRecord, read_sgf
from tests.reference import LONGEST_LINE, LONGEST_READING, Ladders, ReferenceBoard, plane_difference, reference_planes
from tests.tracked import TrackedGame

WORKSPACE = Workspace()  # one for all games of a process, as in training
SHOWN = 5  # differing games described at the end


@dataclass
class Checked:
    """What was compared of one game, and its first difference."""

    game: str
    boards: int = 0  # positions compared with sgfmill's board
    positions: int = 0  # positions whose planes were compared
    deepest: int = 0  # stones in the longest line of a ladder
    bounds: list[int] = field(default_factory=list)  # moves (from 1) before which a ladder's reading met a bound
    difference: str = ""
    refused: str = ""  # why the game could not be read


def number_of(name: str) -> int:
    """A number that depends on the game's name alone."""
    return crc32(name.encode("utf-8", "surrogateescape"))


def sgfmill_stones(board: SgfmillBoard) -> npt.NDArray[np.int8]:
    return np.array([[{None: EMPTY, "b": BLACK, "w": WHITE}[stone] for stone in row] for row in board.board], np.int8)


def check(name: str, data: bytes, per_game: int) -> Checked:
    """Reads and compares one game."""
    try:
        record = read_sgf(data, name=name, illegal="cut")
    except SgfError as error:
        return Checked(name, refused=error.kind)
    checked = Checked(name)
    rng = random.Random(number_of(name))
    numbers = range(len(record.moves))
    wanted = set(numbers if not per_game else rng.sample(numbers, min(per_game, len(numbers))))
    for where, difference in compared(record, wanted, rng, checked):
        if difference:
            checked.difference = f"{name}, before move {where + 1}: {difference}"
            break
    return checked


def compared(record: GameRecord, wanted: set[int], rng: random.Random, checked: Checked) -> Iterator[tuple[int, str | None]]:
    """The comparisons of a game one by one: the index of the next move, and the difference or None."""
    size = record.size
    sgfmill, ko = SgfmillBoard(size), None
    plain, tracked = ReferenceBoard(size), TrackedGame(size, WORKSPACE)
    black, white = ([point for stone, point in record.setup if stone == colour] for colour in (BLACK, WHITE))
    sgfmill.apply_setup([divmod(point, size) for point in black], [divmod(point, size) for point in white], [])
    plain.setup(black, white)
    tracked.setup(black, white)
    for number, ((board, point), (colour, _)) in enumerate(zip(record.replay(), record.moves, strict=True)):
        checked.boards += 1
        if not np.array_equal(board.stones(), sgfmill_stones(sgfmill)):
            yield number, f"sgfmill's board has other stones\n{board}\n{sgfmill_stones(sgfmill)}"
        if (None if board.ko_point is None else divmod(board.ko_point, size)) != ko:
            yield number, f"sgfmill's board has the ko {ko}, this one {board.ko_point}\n{board}"
        if board.to_play != colour:
            yield number, f"{colour} is to play, the board says {board.to_play}"
        if number in wanted:
            checked.positions += 1
            plain.to_play = colour
            ladders = Ladders(plain.position, colour)
            expected = reference_planes(plain, ladders)
            checked.deepest = max(checked.deepest, ladders.deepest)
            if ladders.deepest >= LONGEST_LINE or ladders.most_played >= LONGEST_READING:
                checked.bounds.append(number + 1)
            k = rng.randrange(8)
            turned = symmetry.apply(tracked.planes(colour, k=k), int(symmetry.INVERSE[k]))
            for way, planes in (("encode", encode(board)), (f"followed, symmetry {k}", turned)):
                difference = plane_difference(planes, expected)
                if difference:
                    to_play = "X" if colour == BLACK else "O"
                    yield number, f"{way}: {difference}; {to_play} to play, ko {plain.position.ko}\n{plain.position.diagram()}"
        yield number, None
        ko = None
        if point != PASS:
            ko = sgfmill.play(*divmod(point, size), "b" if colour == BLACK else "w")
        plain.play(point, colour)
        tracked.play(point, colour)


def chosen_games(paths: list[Path], every: int, done: set[str]) -> Iterator[tuple[str, bytes]]:
    """One game in ``every``, chosen by its name, so that the same games are chosen again; without those done before."""
    for item in archives.members(paths):
        if isinstance(item, archives.Refused):
            print(f"{item.name} is left out: {item.reason}", file=sys.stderr)
        elif number_of(item.name) % every == 0 and item.name not in done:
            yield item.name, item.data


def checks(games: Iterable[tuple[str, bytes]], per_game: int, jobs: int) -> Iterator[Checked]:
    """The games checked by ``jobs`` processes, a few games ahead."""
    if jobs == 1:
        yield from (check(name, data, per_game) for name, data in games)
        return
    with ProcessPoolExecutor(jobs) as pool:
        waiting: set[Future[Checked]] = set()
        try:
            for name, data in games:
                waiting.add(pool.submit(check, name, data, per_game))
                if len(waiting) >= 4 * jobs:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in finished)
            yield from (future.result() for future in waiting)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def main() -> int:
    write_any_name()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", type=Path, nargs="+", metavar="ARCHIVE", help="folders, archives or SGF files")
    parser.add_argument("--positions", type=int, default=100_000, help="stop after so many positions whose planes were compared")
    some = checked(int, lambda n: n >= 1, "1 or more")
    positions_of_a_game = checked(int, lambda n: n >= 0, "0 or more")
    parser.add_argument("--per-game", type=positions_of_a_game, default=50, help="positions of a game whose planes are compared; 0: all")
    parser.add_argument("--every", type=some, default=1, metavar="N", help="take one game in N, chosen by its name")
    parser.add_argument("--jobs", type=some, default=1, help="processes")
    parser.add_argument("--log", type=Path, help="append a line of JSON for every game, and go on where it ends")
    args = parser.parse_args()

    results: list[Checked] = []
    if args.log and args.log.exists():
        whole = args.log.read_bytes().rpartition(b"\n")[0]  # a kill may have cut the last line
        try:
            results = [Checked(**json.loads(line)) for line in whole.splitlines()]
        except (ValueError, TypeError):
            raise GoPolicyError(f"{args.log} holds lines that are no checked games: take them out, or name another --log") from None
        os.truncate(args.log, len(whole) + bool(whole))  # nothing is written anew: a full disk, or a kill here, would lose it all
    positions = sum(result.positions for result in results)
    games = chosen_games(args.archives, args.every, {result.game for result in results})
    log = args.log.open("a", encoding="utf-8") if args.log else None
    try:
        with tqdm(total=args.positions, initial=positions, unit="position", mininterval=5) as progress:
            if positions < args.positions:
                for result in checks(games, args.per_game, args.jobs):
                    results.append(result)
                    positions += result.positions
                    if log:
                        log.write(json.dumps(asdict(result)) + "\n")
                        log.flush()
                    if result.difference:
                        progress.write(result.difference, file=sys.stderr)
                    progress.update(result.positions)
                    if positions >= args.positions:
                        break
    except KeyboardInterrupt:
        print("stopped" + (f"; the same command goes on from {args.log}" if log else ""), file=sys.stderr)
    finally:
        if log:
            log.close()

    differing = [result.difference for result in results if result.difference]
    refused = sum(bool(result.refused) for result in results)
    met = [f"{result.game} before move {number}" for result in results for number in result.bounds]
    deepest = max((result.deepest for result in results), default=0)
    print(f"{sum(result.boards for result in results):,} boards compared with sgfmill's; {refused} games could not be read")
    print(f"the deepest ladder was {deepest} stones; in {len(met)} positions the reading met a bound")
    print("".join(f"  {where}\n" for where in met), end="")
    print("".join(f"{difference}\n" for difference in differing[:SHOWN]), end="")
    count = f"{len(differing)} games differ" if differing else "0 differences"
    print(f"{positions:,} positions, {len(results) - refused:,} games: {count}")
    return 1 if differing else 0 if positions else 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (GoPolicyError, OSError) as error:
        print(f"check_planes.py: {explain(error)}", file=sys.stderr)
        sys.exit(2)
