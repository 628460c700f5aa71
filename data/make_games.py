"""Make the games of this folder: GNU Go 3.8 against itself, each game from its own seed.

    python data/make_games.py                                  # the archive that lies here, again (an hour on two cores)
    python data/make_games.py --games 20 --out mine.tar.gz     # a small one
    python data/make_games.py --level 10 --games 500 --jobs 8 --out better.tar.gz

Needs the program ``gnugo`` (Debian: ``apt-get install gnugo``). Finished games are kept beside the archive while it is
made, so that a stopped run goes on where it was; the same options give the same archive.
"""

from __future__ import annotations

import argparse
import gzip
import io
import signal
import sys
import tarfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from threading import Event

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from gopolicy import atomic
from gopolicy.client import Engine, find_gnugo, gnugo
from gopolicy.coords import point_from_gtp, point_to_sgf
from gopolicy.errors import GoPolicyError, cores
from gopolicy.process import checked

SIZE = 19
KOMI = 7.5
LONGEST = 600  # plies; GNU Go ends its games well before


def play_game(engine: Engine, level: int, seed: int) -> str:
    """One game, as SGF."""
    engine.ask(f"boardsize {SIZE}")
    engine.ask(f"komi {KOMI}")
    moves: list[tuple[str, str]] = []
    while len(moves) < LONGEST and [move for _, move in moves[-2:]] != ["PASS", "PASS"]:
        colour = "BW"[len(moves) % 2]
        moves.append((colour, engine.ask(f"genmove {colour.lower()}")))
    score = engine.final_score()
    name = f"GNU Go {engine.ask('version')} level {level}"
    head = f"(;FF[4]GM[1]CA[UTF-8]SZ[{SIZE}]KM[{KOMI}]RU[Chinese]PB[{name}]PW[{name}]RE[{score}]GC[seed {seed}]\n"
    body = "".join(f";{colour}[{point_to_sgf(point_from_gtp(vertex, SIZE), SIZE)}]" for colour, vertex in moves)
    return head + body + ")\n"


def write_archive(games: Iterable[Path], out: Path) -> None:
    """A tar.gz of the games whose bytes depend on the games alone."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, compresslevel=9) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for path in games:
            member = tarfile.TarInfo(f"gnugo-selfplay/{path.name}")
            member.size = path.stat().st_size
            member.mode = 0o644
            with path.open("rb") as file:
                tar.addfile(member, file)
    atomic.write(out, packed.getvalue())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=checked(int, lambda n: n >= 1, "1 or more"), default=200)
    parser.add_argument("--level", type=checked(int, lambda n: 1 <= n <= 10, "1 to 10"), default=1, help="GNU Go's level, 1 to 10")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--jobs", type=checked(int, lambda n: n >= 1, "1 or more"), default=cores())
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("gnugo-selfplay.tar.gz"))
    parser.add_argument("--gnugo", default="gnugo", metavar="PROGRAM", help="GNU Go (Debian: apt-get install gnugo)")
    args = parser.parse_args()
    program = find_gnugo(args.gnugo)
    if program is None:
        print(f"there is no program {args.gnugo!r}: install GNU Go, or name it with --gnugo", file=sys.stderr)
        return 1
    if args.out.is_dir():
        print(f"--out {args.out} is a folder, expected the archive's file", file=sys.stderr)
        return 1
    work = args.out.with_name(f"{args.out.name}.level{args.level}.games")
    work.mkdir(parents=True, exist_ok=True)
    wanted = {seed: work / f"{seed:04d}.sgf" for seed in range(args.first_seed, args.first_seed + args.games)}
    engines: list[Engine] = []
    stopped = Event()

    def make(seed: int) -> None:
        engine = Engine(gnugo(program, "--never-resign", level=args.level, seed=seed))
        engines.append(engine)
        try:
            if not stopped.is_set():  # else it came too late to be killed
                atomic.write(wanted[seed], play_game(engine, args.level, seed).encode())
        finally:
            engine.close()

    missing = [seed for seed, path in wanted.items() if not path.exists()]
    with ThreadPoolExecutor(args.jobs) as pool:
        try:
            for done in tqdm(as_completed([pool.submit(make, seed) for seed in missing]), total=len(missing), unit="game"):
                done.result()
        except (KeyboardInterrupt, GoPolicyError, OSError) as stop:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for engine in list(engines):  # which Ctrl-C does not reach: their games may last for minutes
                engine.kill()
            print(f"{str(stop) or 'stopped'}; finished games are kept in {work}, the same command goes on", file=sys.stderr)
            return 1
    write_archive(wanted.values(), args.out)
    for path in wanted.values():
        path.unlink()
    with suppress(OSError):  # games of other seeds are in it
        work.rmdir()
    print(f"{args.out}: {args.games} games, {args.out.stat().st_size} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: no engine is left behind
    try:
        sys.exit(main())
    except OSError as error:  # the folder of the games, or the archive
        print(f"make_games.py: {error}", file=sys.stderr)
        sys.exit(1)
