"""From archives of games to a trained network, in one go.

    python scripts/train.py data/gnugo-selfplay.tar.gz --out runs/first --max-minutes 2 --filters 32 --layers 6     # a try
    python scripts/train.py ~/kgs pro.7z --out runs/laptop --max-minutes 480 --exclude-player '^(Zen|petgo)'        # a night
    python scripts/train.py --out runs/laptop --resume                                                              # goes on

An archive is a folder, .sgf, .gz, .bz2, .xz, .zip, .tar (also packed) or .7z. The games are packed once, into RUN/games.gpk; all
else in RUN is as `gopolicy train` leaves it, first of all weights.safetensors. Works from a checkout: where Python lacks torch, it
goes on in the environment of scripts/demo.py. On several GPUs: gopolicy pack, then torchrun -m gopolicy train.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this file is kept simple enough for old ones to come this far
    sys.exit("gopolicy needs Python 3.11 or newer, and this is Python " + sys.version.split()[0] + ": try `python3.11 scripts/train.py`.")

import argparse
import dataclasses
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from environment import ROOT, enter


def content(archives: list[Path], run: Path) -> list[str]:
    """Tells archives apart: path, size and time of every file, or of a link that leads nowhere: that is told of when games are read.
    What lies in the run folder is none of them, nor are the folders around it, whose times it changes."""
    files = [file for archive in archives for file in (sorted(archive.rglob("*")) if archive.is_dir() else [archive])]
    inside = os.path.abspath(run) + os.sep
    paths = [(file, os.path.abspath(file) + os.sep) for file in files]
    files = [file for file, path in paths if not path.startswith(inside) and not inside.startswith(path)]
    stats = [file.stat() if file.exists() else file.lstat() for file in files]
    return [repr((os.path.realpath(file), stat.st_size, stat.st_mtime_ns)) for file, stat in zip(files, stats, strict=True)]


class Parser(argparse.ArgumentParser):
    """Takes over the options of ``gopolicy train``, but not its GAMES: here archives stand in that place."""

    def add_argument(self, *names: str, **settings: Any) -> Any:
        return None if names == ("games",) else super().add_argument(*names, **settings)


def main() -> int:
    try:  # around the imports too: they take seconds
        return pack_and_train()
    except KeyboardInterrupt:
        print("train.py: stopped", file=sys.stderr)
        return 1


def pack_and_train() -> int:
    from gopolicy import cli, games, training
    from gopolicy.errors import GoPolicyError, UsageError, explain, quoted

    cli.write_any_name()  # signs in texts of help that the terminal lacks
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", nargs="*", type=games.named_path, metavar="ARCHIVE", help="archives of games; none with --resume")
    games.add_filter_arguments(parser.add_argument_group("which games are packed"))
    training.add_arguments(parser)
    args = parser.parse_args()
    run = Path(args.out)
    packed, origin, metrics = run / "games.gpk", run / ".games-origin", run / "metrics.jsonl"
    given = training.given_options(args)
    try:
        begun = (run / training.CHECKPOINT).exists() or metrics.exists()
        if begun or not packed.exists():
            training.prepare(run, args.resume, given)  # what is wrong with the options is said before an hour of packing
        if args.archives:
            missing = [str(archive) for archive in args.archives if not archive.exists()]
            if missing:
                raise GoPolicyError(f"there is no archive {missing[0]}")
            chosen = dataclasses.asdict(games.filter_from(args)) | {"illegal": args.illegal}
            wanted = hashlib.sha256(json.dumps([content(args.archives, run), chosen]).encode()).hexdigest()
            if not packed.exists():
                run.mkdir(parents=True, exist_ok=True)
                origin.write_text(wanted, encoding="ascii")  # first: games without it would be called another archive's
                games.run(argparse.Namespace(**vars(args) | {"out": packed}))
            elif not origin.exists() or origin.read_text(encoding="ascii") != wanted:
                raise GoPolicyError(f"{packed} was made from other archives or with other filters: take another --out, or delete it")
        elif not packed.exists():
            raise GoPolicyError(f"no archive given, and there is no {packed} to go on with")
        if not begun:
            metrics.touch()  # marks a run that has not come to its first checkpoint: RUN is not empty, the games lie in it
        args.games, args.resume = packed, True
        try:
            return training.run(args, f"python {quoted(sys.argv[0])}")
        finally:
            if not begun:
                with suppress(GoPolicyError, OSError), training.alone(run, training.state(run)):  # else another process has begun it
                    if metrics.stat().st_size == 0:  # it has not begun: the corrected command begins it
                        metrics.unlink()
    except (GoPolicyError, OSError) as error:
        print(f"train.py: {explain(error)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


if __name__ == "__main__":
    enter(__file__, "torch", "numba", "safetensors", "sgfmill", "py7zr", "tqdm", "matplotlib")
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
