"""Put trained weights into the package, if both their top-1 and their cross-entropy are better than those of what is there.

    python scripts/release.py runs/long/weights.safetensors games.gpk
    python scripts/release.py runs/small/weights.safetensors games.gpk --name fast
    python scripts/release.py runs/long/weights.safetensors games.gpk --max-positions 20000 --dry-run

Both are asked about the same positions of the test split. The better ones are written with batch normalisation folded, as
float16, with what was measured in their description. The difference is told with its 95 % interval, made from whole games: of weights
that are nearly alike it is far narrower than those of their figures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gopolicy import evaluation, games, policy, weights
from gopolicy.errors import GoPolicyError, WeightsError, explain

LARGEST = 16 * 2**20  # bytes of a file


def difference(new: evaluation.Answers, here: evaluation.Answers) -> str:
    """New less here, of the same positions: 100 times as often right, and cross-entropy."""
    right = (new.rank == 0).astype(float) - (here.rank == 0)
    nats = new.cross_entropy - here.cross_entropy
    half = [evaluation.half_interval(values, new.game) for values in (right, nats)]
    return f"top-1 {100 * right.mean():+.2f} ± {100 * half[0]:.2f} points, cross-entropy {nats.mean():+.4f} ± {half[1]:.4f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("games", type=Path, help="the packed set of games whose training split the weights were trained on")
    parser.add_argument("--name", choices=weights.PACKAGED, default="default")
    parser.add_argument("--max-positions", type=int, help="of the test split (default: all)")
    parser.add_argument("--data", default="", help="the training data in words, for the description")
    parser.add_argument("--dry-run", action="store_true", help="measures and writes nothing")
    args = parser.parse_args()
    try:
        packed = games.PackedGames.open(args.games)
        answers = evaluation.answer(policy.load(args.weights), packed, max_positions=args.max_positions)
        new = evaluation.figures(answers)
        print(f"new:  {new}")
        if args.name in weights.packaged():
            others = evaluation.answer(policy.load(args.name), packed, max_positions=args.max_positions)
            here = evaluation.figures(others)
            print(f"here: {here}\nnew less here: {difference(answers, others)}")
            if new["cross_entropy"] >= here["cross_entropy"] or new["top1"] <= here["top1"]:
                print("what is here is at least as good, and stays")
                return 0
        if args.dry_run:
            return 0
        network, description = weights.load(args.weights)
        told = {key: value for key, value in description.items() if key not in weights.RESERVED}
        told["measured"] = {"servers": packed.summary()["servers"], "split": "test", "symmetries": 1, **new}
        if args.data:
            told["data"] = args.data
        target = weights.NETWORKS / f"{args.name}.safetensors"
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / target.name
            weights.save(made, network.folded(), told, half=True)
            if made.stat().st_size > LARGEST:
                raise WeightsError(f"{args.weights} makes {made.stat().st_size:,} bytes, more than {LARGEST:,}: release a smaller network")
            made.replace(target)
        print(f"{target}: {target.stat().st_size:,} bytes")
    except (GoPolicyError, OSError) as error:
        print(f"release.py: {explain(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("release.py: stopped", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
