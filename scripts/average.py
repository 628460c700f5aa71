"""Weights between two: those that a training started from, and those that it came to.

    python scripts/average.py default runs/leg/weights.safetensors --out runs/leg/half.safetensors
    python scripts/average.py default runs/leg/weights.safetensors --share 0.75 --out runs/leg/three-quarters.safetensors
    python scripts/average.py runs/leg/weights.safetensors runs/other/weights.safetensors --out middle.safetensors   # both from default
    gopolicy evaluate runs/leg/half.safetensors kgs.gpk --split validation --max-positions 8192      # which share is best

A leg with few positions unlearns a little of everything by the noise of its steps, which grows with the square of the way, while what it
learns grows with the way: some way along the line is better than its end (RESULTS.md, 2026-11-28; Wortsman et al. 2022, "Robust
fine-tuning of zero-shot models"). Two legs from the same weights, each with a --seed of its own, have a middle that keeps what both have
learned and half of the noise (RESULTS.md, 2026-11-30; Wortsman et al. 2022, "Model soups"). Batch normalisation is folded, then every
number averaged. Weights of which neither came from the other (or both from a third) have nothing sensible between them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from gopolicy import weights
from gopolicy.errors import GoPolicyError, WeightsError, explain
from gopolicy.network import PolicyNetwork


@torch.no_grad()
def between(first: PolicyNetwork, second: PolicyNetwork, share: float) -> PolicyNetwork:
    """The folded network whose numbers are (1 - share) · first + share · second. Raises WeightsError for networks of two shapes."""
    first, second = first.folded(), second.folded()
    if first.config != second.config:
        configs = first.config, second.config
        shapes = (f"{c.kind}, {c.filters} filters, {c.layers} layers, planes {c.planes}, size {c.size}" for c in configs)
        raise WeightsError(f"weights of two shapes have no average: {' and '.join(shapes)}")
    for mine, other in zip(first.parameters(), second.parameters(), strict=True):
        mine.copy_(torch.lerp(mine.double(), other.double(), share))
    return first


def described(name: str, description: dict[str, Any], share: float) -> dict[str, Any]:
    told = {key: value for key, value in description.items() if key not in weights.RESERVED - {"saved"}}
    return {"weights": Path(name).name, "share": share, **told}


def check_out(out: Path) -> None:
    """Raises WeightsError where weights would take the place of another kind of file."""
    if out.is_file() and out.stat().st_size:
        try:
            weights.load(out)
        except WeightsError:
            raise WeightsError(f"{out} is there, and holds no weights: name another file to write, not to lose it") from None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", help=f"a file, or one of {', '.join(weights.PACKAGED)}: what a training started from")
    parser.add_argument("second", help="what it came to")
    parser.add_argument("--share", type=float, default=0.5, metavar="0-1", help="of the second (default: 0.5)")
    parser.add_argument("--out", type=Path, required=True, help="the file that is written")
    args = parser.parse_args()
    if not 0 <= args.share <= 1:
        parser.error(f"--share is {args.share:g}, expected 0 to 1")
    try:
        check_out(args.out)
        (first, of_first), (second, of_second) = weights.load(args.first), weights.load(args.second)
        averaged = [described(args.first, of_first, 1 - args.share), described(args.second, of_second, args.share)]
        weights.save(args.out, between(first, second, args.share), {"averaged": averaged})
    except (GoPolicyError, OSError) as error:
        print(f"average.py: {explain(error)}", file=sys.stderr)
        return 1
    print(f"{args.out}: {1 - args.share:g} of {args.first}, {args.share:g} of {args.second}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
