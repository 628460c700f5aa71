"""Let one GTP engine play game after game against itself, and watch its moves, how games end, and its memory.

    python scripts/selfplay.py --games 100                              # gopolicy with the weights `playouts`, sampled, on 19x19
    python scripts/selfplay.py --games 1000 --size 9 --log games.jsonl  # an hour or two on one core
    python scripts/selfplay.py --games 20 --engine "gnugo --mode gtp"   # any engine

sgfmill's board judges every move: on an occupied point, suicide and the retaking of a ko are illegal. Memory is what the engine's
process holds (Linux alone tells). With --log a line of JSON is kept for every game.
Exit status: 0 where no move was illegal, no engine stopped, 99 % of the games ended by two passes within 420 moves (19x19; as many
for each point on other boards) and memory did not grow; 1 where not; 2 where no game was played.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from sgfmill import boards, common
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from gopolicy.client import Engine, EngineError, words_of  # noqa: E402
from gopolicy.coords import MAX_SIZE, MIN_SIZE  # noqa: E402
from gopolicy.errors import GoPolicyError, explain  # noqa: E402
from gopolicy.process import checked  # noqa: E402

GROWTH = 1.05  # times: more than that between the first tenth of the games and the last is growth


def memory(engine: Engine) -> float:
    """MiB that the engine's process holds; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{engine.process.pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass
class Game:
    moves: int
    end: str  # two passes, resignation, limit, illegal: …
    memory: float  # MiB at its end


def play(engine: Engine, size: int, limit: int) -> Game:
    for command in (f"boardsize {size}", "clear_board"):
        engine.ask(command)
    board, ko, passes = boards.Board(size), None, 0
    for number in range(limit):
        colour = "bw"[number % 2]
        move = engine.ask(f"genmove {colour}").lower()
        if move == "resign":
            return Game(number, "resignation", memory(engine))
        try:
            point = common.move_from_vertex(move, size)
        except ValueError:
            return Game(number + 1, f"illegal: {colour} {move}, no point of the board", memory(engine))
        passes = passes + 1 if point is None else 0
        if passes == 2:
            return Game(number + 1, "two passes", memory(engine))
        if point is None:
            ko = None
            continue
        if point == ko or board.get(*point) is not None:
            return Game(number + 1, f"illegal: {colour} {move}, {'ko' if point == ko else 'occupied'}", memory(engine))
        ko = board.play(*point, colour)
        if board.get(*point) is None:
            return Game(number + 1, f"illegal: {colour} {move}, suicide", memory(engine))
    return Game(limit, "limit", memory(engine))


def report(games: list[Game], wanted: int) -> bool:
    """Prints the figures of the games; whether all is as it should be."""
    ends = Counter(game.end for game in games)
    moves = sorted(game.moves for game in games)
    print(f"{len(games)} games, {sum(moves):,} moves; {moves[len(moves) // 2]} in the median game, {moves[-1]} in the longest")
    for end, count in ends.most_common():
        print(f"  {100 * count / len(games):5.1f} %  {count:5}  {end}")
    tenth = -(-len(games) // 10)
    first, last = (max(game.memory for game in part) for part in (games[:tenth], games[-tenth:]))
    told = f"{first:.0f} MiB at most in the first {tenth} games, {last:.0f} MiB in the last" if first else "this system does not tell"
    print(f"memory: {told}")
    ended = ends["two passes"] >= 0.99 * len(games)
    return ended and len(games) == wanted and last <= GROWTH * first and not any(end.startswith("illegal") for end in ends)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    some = checked(int, lambda n: n >= 1, "1 or more")
    sizes = checked(int, lambda n: MIN_SIZE <= n <= MAX_SIZE, f"{MIN_SIZE} to {MAX_SIZE}")
    parser.add_argument("--games", type=some, default=100, metavar="N")
    parser.add_argument("--size", type=sizes, default=19, help="lines of the board (default: 19)")
    parser.add_argument("--engine", help="its command line (default: gtp_engine.py --weights playouts --temperature 1 --seed 1)")
    parser.add_argument("--limit", type=some, metavar="M", help="moves of a game at most (default: 420 on 19x19, in proportion elsewhere)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="a line of JSON for every game")
    args = parser.parse_args()
    default = [sys.executable, str(ROOT / "gtp_engine.py"), "--weights", "playouts", "--temperature", "1", "--seed", "1", "--threads", "1"]
    try:
        command = words_of(args.engine) if args.engine is not None else default
    except ValueError as error:
        parser.error(f"{args.engine!r} is no command line: {error}")
    if not command:
        parser.error("the command line of the engine is empty")
    limit = round(420 * args.size**2 / 361) if args.limit is None else args.limit
    games: list[Game] = []
    said = ""
    with (
        closing(Engine(command)) as engine,
        # After the engine: another run's may lie there. Not buffered: what a full disk refuses is not tried again when it is closed.
        args.log.open("wb", buffering=0) if args.log else nullcontext() as log,
    ):
        try:
            for _ in tqdm(range(args.games), unit="game"):
                games.append(play(engine, args.size, limit))
                if log:
                    log.write(json.dumps(asdict(games[-1])).encode() + b"\n")
        except EngineError as stopped:
            said = str(stopped)
        except OSError as error:
            said = f"{args.log}: {error.strerror}"
        except KeyboardInterrupt:
            said = "stopped"
    fine = bool(games) and report(games, args.games)
    if said:
        print(f"selfplay: {said}", file=sys.stderr)
    return 2 if not games else int(not fine or bool(said))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: no engine is left behind
    try:
        sys.exit(main())
    except (GoPolicyError, OSError) as error:
        print(f"selfplay.py: {explain(error)}", file=sys.stderr)
        sys.exit(2)
