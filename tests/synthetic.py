"""Batches with something to learn, made without games: the move is right of the only stone of plane 0.

``python -m tests.synthetic --out RUN …`` trains on them with the options of ``gopolicy train``, for tests that need a process of
their own; it runs where neither sgfmill nor anything that reads SGF can be imported.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch


class Synthetic:
    def __init__(self, batch_size: int, seed: int = 1, rank: int = 0, world: int = 1, events: dict | None = None) -> None:
        self.batch_size, self.seed, self.part = batch_size, seed, slice(rank * batch_size // world, (rank + 1) * batch_size // world)
        self.waited_seconds, self.positions = 0.0, 1_000_000
        self.events = events or {}  # step → what happens before its batch comes
        self.asked: list[int] = []

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        chance = torch.Generator().manual_seed(1_000_003 * self.seed + step)
        planes = (torch.rand(self.batch_size, 4, 19, 19, generator=chance) < 0.2).to(torch.uint8)
        points = torch.randint(0, 360, (self.batch_size,), generator=chance)
        planes[:, 0] = 0
        planes[:, 0].flatten(1)[torch.arange(self.batch_size), points] = 1
        return planes[self.part], (points + 1)[self.part]

    def stream(self, steps: Iterable[int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for step in steps:
            if step in self.events:
                self.events[step]()
            self.asked.append(step)
            yield self.batch(step)

    def close(self) -> None:
        pass


def validation() -> Iterator[tuple[torch.Tensor, torch.Tensor, dict]]:
    for step in range(2):
        yield (*Synthetic(64, seed=99).batch(step), {})


def main() -> int:
    sys.modules["sgfmill"] = sys.modules["gopolicy.sgf"] = sys.modules["py7zr"] = None  # type: ignore[assignment]
    from gopolicy import training

    parser = argparse.ArgumentParser()
    training.add_arguments(parser)
    parser.add_argument("--kill-at", type=int, default=-1)
    parser.add_argument("--kinds", nargs="*", default=[], help="trains these kinds of networks one after another, into OUT-KIND")
    args = parser.parse_args()
    given = training.given_options(args)
    runs = [(f"{args.out}-{kind}", given | {"kind": kind}) for kind in args.kinds] or [(args.out, given)]
    with training.Workers.start("cpu") as workers:
        for name, options in runs:
            out = Path(name)
            config, checkpoint = training.prepare(out, args.resume, options)
            workers.agree(0)
            out.mkdir(exist_ok=True)
            events = {args.kill_at: lambda: os.kill(os.getpid(), signal.SIGKILL)}
            batches = Synthetic(config.batch_size, config.seed, workers.rank, workers.world, events)
            status = training.train(config, out, batches, validation, {"name": "synthetic"}, workers, checkpoint=checkpoint)
    return status


if __name__ == "__main__":
    sys.exit(main())
