"""What is each part of the network worth? Configurations trained on equal budgets, then tables and pictures of them.

    python scripts/ablate.py games.gpk --out runs/ablate --set questions --positions 60000 --filters 32 --layers 6 --threads 1   # a laptop
    torchrun --nproc-per-node 4 scripts/ablate.py games.gpk --out runs/paper --set paper --positions 50000000 --seeds 3          # GPUs
    python scripts/ablate.py --out runs/ablate --report --page docs/why-this-network.md      # tables and pictures again, no training

`--list` shows the sets and what is in them. A budget is `--positions`, the same for all, or `--tera-multiply-adds`, the same arithmetic
for all: a network that multiplies half as much per position then sees twice as many. The options of `gopolicy train` are taken too, and
hold for every configuration that does not itself set them. `--file` runs configurations of your own, a JSON list:

    [{"name": "small", "filters": 32}, {"name": "strong", "what": "9 dan only", "games": "strong.gpk", "tests": ["1", "8"]}]

OUT holds a run folder for every configuration and seed, as `gopolicy train` makes it, and a line of JSON for every finished run in
runs.jsonl; all that a report needs is in those lines. The same command goes on after Ctrl-C, a kill or a power cut; what is
finished is never trained again, and a test that a line does not hold yet (`--set symmetries` after `--set bias`) is made up for.
Exit status: 0, 2 for what cannot be run, 128 + the signal's number where one stopped it.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gopolicy  # noqa: F401 - before torch: how its threads wait

# isort: split
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gopolicy import __version__, atomic, draw, evaluation, metrics, training
from gopolicy.batches import Batches, fixed, playable
from gopolicy.board import Board
from gopolicy.cli import write_any_name
from gopolicy.coords import BLACK, WHITE, colour_name, point_to_gtp
from gopolicy.errors import GoPolicyError, IllegalMoveError, explain, flag, naming
from gopolicy.games import UNKNOWN_WINNER, WHITE_BIT, PackedGames
from gopolicy.network import Layer, PolicyConfig, PolicyNetwork
from gopolicy.policy import Policy
from gopolicy.sgf import GameRecord
from gopolicy.training import MAY_CHANGE, TrainingConfig, Workers, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = "runs.jsonl"
SIZE = 19
POINTS = SIZE * SIZE
WHOSE = ("both", "winner", "stronger")
# Of the training options: those that a run's own place in the list decides.
DECIDED = {"steps", "max_minutes", "seed"}


class AblationError(GoPolicyError):
    """A list of configurations that cannot be run."""


# ---------------------------------------------------------------------------------------------------------------------
# Configurations


@dataclass(frozen=True)
class Design:
    """What a configuration may set beside the options of ``gopolicy train``."""

    first_kernel: int = 5  # width of the first layer's kernel, odd
    point_bias: bool = True  # False: one bias for all points
    padding: str = "zeros"  # beyond the edge: zeros, or circular (the board is a torus: nothing tells where the edge is)
    extra_plane: str = ""  # a constant plane more: board (1 on all points; zero padding makes it 0 beyond the edge), line (1 on the edge)
    pool_after: int = 0  # layer after which 2×2 points become their maximum; 0: nowhere. Plain networks only
    restore_after: int = 0  # layer after which they become 2×2 points again, all alike
    dense: int = 0  # hidden layers of a fully connected network, in place of the convolutional one
    dense_as: str = "weights"  # it has as many weights as the convolutional one, or as much arithmetic
    corners: bool = False  # learns in three corners alone, and is asked in the fourth (FOURTH)
    fraction: float = 1.0  # of the training games
    moves_of: str = "both"  # players of a training game: both, the winner, or the stronger one by rank
    games: str = ""  # packed games to train on, in place of those of the command; tested on the same as all others

    def __post_init__(self) -> None:
        def fits(good: bool, text: str) -> None:
            if not good:
                raise AblationError(text)

        fits(
            self.first_kernel % 2 == 1 and 1 <= self.first_kernel <= SIZE,
            f"first_kernel is {self.first_kernel}, expected an odd number to {SIZE}",
        )
        fits(self.padding in ("zeros", "circular"), f"padding is {self.padding!r}, expected zeros or circular")
        fits(self.extra_plane in ("", "board", "line"), f"extra_plane is {self.extra_plane!r}, expected board or line")
        fits(0 <= self.dense <= 64, f"dense is {self.dense}, expected 0 to 64 hidden layers")
        fits(self.dense_as in ("weights", "arithmetic"), f"dense_as is {self.dense_as!r}, expected weights or arithmetic")
        fits(0 < self.fraction <= 1, f"fraction is {self.fraction}, expected more than 0 and at most 1")
        fits(self.moves_of in WHOSE, f"moves_of is {self.moves_of!r}, expected one of {', '.join(WHOSE)}")
        fits(not (self.corners and self.moves_of != "both"), "corners are learned from the moves of both players alone")
        fits(
            0 <= self.pool_after <= self.restore_after,
            f"pool_after is {self.pool_after} and restore_after {self.restore_after}: a layer can be restored only after it was pooled",
        )
        fits(not (self.dense and self.changed()), f"a fully connected network (dense) has no {' and no '.join(self.changed())}")

    def changed(self) -> list[str]:
        """What makes this another convolutional network than the package's."""
        names = ("first_kernel", "point_bias", "padding", "extra_plane", "pool_after", "restore_after")
        return [name for name in names if getattr(self, name) != getattr(Design, name)]

    def network(self, config: TrainingConfig) -> nn.Module:
        """The network of a run; a PolicyNetwork itself where nothing is special about it. Raises AblationError where it cannot be built."""
        plain = config.network()
        built: nn.Module
        if self.dense:
            built = Dense(plain, self.dense, self.dense_as)
        elif self.changed():
            built = Convolutional(plain, self)
        else:
            built = PolicyNetwork(plain)
        return Corners(built) if self.corners else built


@dataclass(frozen=True)
class Configuration:
    name: str
    what: str  # in the tables
    options: dict[str, Any] = field(default_factory=dict)  # of TrainingConfig
    design: Design = Design()

    def settings(self) -> dict[str, Any]:
        return self.options | {key: value for key, value in dataclasses.asdict(self.design).items() if value != getattr(Design, key)}


@dataclass(frozen=True)
class Set:
    """Configurations that one table compares."""

    title: str
    configurations: tuple[Configuration, ...]
    tests: tuple[str, ...] = ("1",)  # views of the board; LEARNED and FOURTH; PAIRS


LEARNED, FOURTH, PAIRS = "learned corner", "fourth corner", "pairs"
TESTS = (*(str(number) for number in range(1, 9)), LEARNED, FOURTH, PAIRS)


def configuration(name: str, what: str = "", **settings: Any) -> Configuration:
    """Sorts settings into training options and design. Raises AblationError for what there is not, or of another type."""
    if not re.fullmatch(r"[A-Za-z0-9.+-]{1,40}", name):
        raise AblationError(f"a configuration is named {name!r}, expected 1 to 40 letters, digits, dots and dashes")
    known = {entry.name: entry.default for entry in dataclasses.fields(TrainingConfig) if entry.name not in DECIDED}
    design = {entry.name: entry.default for entry in dataclasses.fields(Design)}
    for key, value in settings.items():
        if key not in known and key not in design:
            raise AblationError(f"configuration {name}: there is no setting {key!r}; there are {', '.join([*known, *design])}")
        wanted = type((known | design)[key])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise AblationError(f"configuration {name}: {key} is {value!r}, expected {wanted.__name__}")
    try:
        chosen = Design(**{key: value for key, value in settings.items() if key in design})
    except AblationError as error:
        raise AblationError(f"configuration {name}: {error}") from None
    return Configuration(name, what or name, {key: value for key, value in settings.items() if key in known}, chosen)


def _built_in() -> dict[str, Set]:
    c = configuration
    plain = c("plain", "plain: 48 planes, 5×5 first, a bias per point", kind="alphago")

    def stones(name: str, what: str, **settings: Any) -> Configuration:
        return c(name, what, kind="alphago", planes="stones1", **settings)

    convolutional = stones("stones", "convolutional, 1 plane")
    few = stones("dense-weights", "fully connected, as many weights", dense=2)
    # AdamW whatever the others have: Muon takes the polar factor of each weight matrix at every step, which for matrices of thousands of
    # rows costs a hundred times the step.
    adamw: dict[str, Any] = {"dense": 2, "dense_as": "arithmetic", "optimizer": "adamw", "lr": 1e-3}
    much = stones("dense-arithmetic", "fully connected, as much arithmetic (AdamW)", **adamw)
    residual = c("residual", "residual, batch normalisation", kind="residual")

    def of_games(percent: int) -> list[Configuration]:
        return [
            stones(f"{one.name}-{percent}pc", f"{one.what}; {percent} % of the games", fraction=percent / 100, **settings)
            for one, settings in ((convolutional, {}), (few, {"dense": 2}), (much, adamw))
        ]

    def edge(name: str, what: str, **settings: Any) -> Configuration:
        return stones(name, what, point_bias=False, **settings)

    return {
        # The paper's table
        "planes": Set(
            "What the network is told: planes",
            (
                convolutional,
                *(c(f"planes{n}", f"{n} planes", kind="alphago", planes=f"alphago{n}") for n in (4, 12, 20)),
                plain,
            ),
        ),
        "filters": Set(
            "Filters, 12 layers", tuple(c(f"k{n}", f"{n} filters", kind="alphago", filters=n, layers=12) for n in (64, 128, 192))
        ),
        "width": Set("Filters", tuple(c(f"w{n}", f"{n} filters", kind="alphago", filters=n) for n in (16, 32, 64, 128))),
        "wide": Set("More filters, 12 layers", tuple(c(f"k{n}", f"{n} filters", kind="alphago", filters=n, layers=12) for n in (256, 384))),
        "symmetries": Set(
            "Symmetries, in training and at test time",
            (plain, c("no-augmentation", "the same, trained without symmetries", kind="alphago", augment=False)),
            ("1", "2", "4", "8"),
        ),
        # The questions
        "dense": Set("Convolutional or fully connected, told the stones alone", (convolutional, few, much)),
        "data": Set("How many games it takes, told the stones alone", (*of_games(1), *of_games(10), convolutional, few, much)),
        "kernel": Set(
            "Width of the first layer",
            (c("kernel3", "3×3 first", kind="alphago", first_kernel=3), plain, c("kernel7", "7×7 first", kind="alphago", first_kernel=7)),
        ),
        "corner": Set(
            "The same patterns in another corner",
            (
                stones("corner-stones", "convolutional, one bias", point_bias=False, corners=True),
                stones("corner-bias", "convolutional, a bias per point", corners=True),
                stones("corner-dense", "fully connected, as many weights", dense=2, corners=True),
            ),
            (LEARNED, FOURTH),
        ),
        "pooling": Set(
            "Max pooling",
            (
                plain,
                c("pool", "2×2 points pooled after layer 2, restored after layer 3", kind="alphago", pool_after=2, restore_after=3),
                c(
                    "pool-rest",
                    "2×2 points pooled after layer 2, restored before the output",
                    kind="alphago",
                    pool_after=2,
                    restore_after=1024,
                ),
            ),
            ("1", PAIRS),
        ),
        "bias": Set("One bias or a bias per point", (plain, c("one-bias", "one bias for all points", kind="alphago", point_bias=False))),
        "edge": Set(
            "How the network knows where the edge is (told the stones alone, one bias)",
            (
                edge("edge-zeros", "zero padding"),
                edge("edge-board", "zero padding, and a plane that is 1 on the board", extra_plane="board"),
                edge("edge-none", "no edge: the board as a torus", padding="circular"),
                edge("edge-line", "the torus, and a plane that is 1 on the first line", padding="circular", extra_plane="line"),
            ),
        ),
        "depth": Set(
            "Depth, plain and residual",
            tuple(
                c(f"{word}{n}", f"{word}, {n} layers", kind=kind, layers=n)
                for word, kind in (("plain", "alphago"), ("residual", "residual"))
                for n in (4, 8, 12, 20)
            ),
        ),
        "residual": Set("Plain or residual", (plain, residual)),
        # The recipe
        "optimizer": Set(
            "Optimizer and learning rate",
            (
                *(c(f"adamw-{lr:g}", f"AdamW, {lr:g}", optimizer="adamw", lr=lr) for lr in (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)),
                *(c(f"muon-{lr:g}", f"Muon, {lr:g}", optimizer="muon", lr=lr) for lr in (5e-3, 1e-2, 2e-2)),
                *(c(f"sgd-{lr:g}", f"SGD with momentum, {lr:g}", optimizer="sgd", lr=lr, weight_decay=1e-4) for lr in (0.01, 0.03, 0.1)),
            ),
        ),
        "players": Set(
            "Whose moves to learn from",
            tuple(
                c(f"moves-{whose}", f"the moves of {told}", moves_of=whose)
                for whose, told in (("both", "both players"), ("winner", "the winner"), ("stronger", "the stronger player"))
            ),
        ),
        "batch": Set(
            "Batch size (the learning rate is not changed with it)",
            tuple(c(f"batch{n}", f"{n} positions a step", batch_size=n) for n in (64, 128, 256, 512)),
        ),
        "smoothing": Set(
            "Label smoothing", tuple(c(f"smooth-{p:g}", f"{p:g} spread over all points", label_smoothing=p) for p in (0.0, 0.05, 0.1))
        ),
        "averaging": Set(
            "Averaging of weights",
            tuple(c(f"ema-{p:g}", f"{p:g} stays at each step" if p else "none", ema=p) for p in (0.0, 0.99, 0.999, 0.9999)),
        ),
        "schedule": Set(
            "How the learning rate falls", tuple(c(f"decay-{kind}", kind, decay=kind) for kind in ("cosine", "linear", "constant"))
        ),
        "shape": Set(
            "Depth against width at about equal arithmetic, and the kind",
            (
                c("wide", "residual 92 × 6", filters=92, layers=6),
                c("even", "residual 64 × 12", filters=64, layers=12),
                c("deep", "residual 46 × 23", filters=46, layers=23),
                c("even-plain", "plain 64 × 12", kind="alphago", filters=64, layers=12),
            ),
        ),
    }


SETS = _built_in()
GROUPS = {
    "paper": ("planes", "filters", "symmetries"),
    "questions": ("dense", "data", "kernel", "corner", "pooling", "bias", "edge", "depth", "width", "residual"),
    "recipe": ("shape", "optimizer", "players", "batch", "smoothing", "averaging", "schedule"),
}


def read_file(path: Path) -> Set:
    """The user's own configurations. Raises AblationError for what is none."""
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AblationError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise AblationError(f"{path} is not JSON: {error}") from None
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in listed):
        raise AblationError(f'{path} does not hold a list of configurations such as [{{"name": "small", "filters": 32}}]')
    tests: dict[str, None] = {}
    configurations = []
    for one in listed:
        one = dict(one)
        wanted = one.pop("tests", ["1"])
        if not isinstance(wanted, list) or not wanted or any(test not in TESTS for test in wanted):
            raise AblationError(f"{path}: tests of {one['name']} are {wanted!r}, expected a list of some of {', '.join(TESTS)}")
        tests |= dict.fromkeys(wanted)
        configurations.append(configuration(**one))
    names = [one.name for one in configurations]
    if len(set(names)) < len(names):
        raise AblationError(f"{path}: two configurations have one name, {next(name for name in names if names.count(name) > 1)}")
    return Set(path.stem, tuple(configurations), tuple(tests))


# ---------------------------------------------------------------------------------------------------------------------
# Networks that no user loads


class Convolutional(PolicyNetwork):
    """A PolicyNetwork as a design changes it: planes (B, P, 19, 19) → logits (B, 361)."""

    def __init__(self, config: PolicyConfig, design: Design) -> None:
        super().__init__(dataclasses.replace(config, in_planes=config.in_planes + bool(design.extra_plane)))
        self.design = design
        if design.pool_after and (config.kind != "alphago" or not 0 < design.pool_after < config.layers):
            raise AblationError(
                f"pool_after {design.pool_after} needs a plain network (alphago) of more layers, not {config.kind} with {config.layers}"
            )
        self.first = Layer(self.config.in_planes, config.filters, design.first_kernel, config.kind == "residual")
        if not design.point_bias:
            self.point_bias = nn.Parameter(torch.zeros(1, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size[0] > 1:
                module.padding_mode = "circular" if design.padding == "circular" else "zeros"
        self.reset()

    def forward(self, planes: Tensor) -> Tensor:
        if self.design.extra_plane:
            inside = 0.0 if self.design.extra_plane == "line" else 1.0
            plane = F.pad(planes.new_full((len(planes), 1, SIZE - 2, SIZE - 2), inside), (1, 1, 1, 1), value=1.0)
            planes = torch.cat([planes, plane], dim=1)
        if not self.design.pool_after:
            return super().forward(planes)
        x = planes
        for number, layer in enumerate(self.layers, start=1):
            x = F.relu(layer(x), inplace=True)
            if number == self.design.pool_after:
                x = F.max_pool2d(x, 2, ceil_mode=True)  # (B, k, 10, 10): the last row and column stand alone
            if number == min(self.design.restore_after, self.config.layers):
                x = F.interpolate(x, scale_factor=2.0)[:, :, :SIZE, :SIZE]  # nearest: all four points of a square alike
        return self.head(x)

    def _bias(self, size: int) -> Tensor:
        return super()._bias(size) if self.design.point_bias else self.point_bias


class Full(nn.Module):
    """A fully connected layer: (B, inputs) → (B, outputs). Its weights are shaped like a convolution's: optimizers treat them alike."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight[:, :, 0, 0], self.bias)


class Dense(nn.Module):
    """A fully connected network, planes (B, P, 19, 19) → logits (B, 361), with about as many weights as the PolicyNetwork that ``config``
    describes, or multiply-adds for a position: its hidden layers are as wide as that allows."""

    def __init__(self, config: PolicyConfig, hidden: int, like: str) -> None:
        super().__init__()
        with torch.device("meta"):
            other = PolicyNetwork(config)
        inputs = config.in_planes * POINTS
        if like == "weights":
            wanted = other.weight_count()
            width = widest(lambda w: (inputs + 1) * w + (hidden - 1) * (w + 1) * w + (w + 1) * POINTS, wanted)
        else:
            wanted = other.multiply_adds()
            width = widest(lambda w: inputs * w + (hidden - 1) * w * w + w * POINTS, wanted)
        if not width:
            raise AblationError(
                f"a fully connected network of {wanted:,} {like} is not wide enough for a single unit: take more filters or layers"
            )
        widths = [inputs, *[width] * hidden, POINTS]
        layers = [Full(a, b) for a, b in itertools.pairwise(widths)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.normal_(layers[-1].weight, std=0.1 / width**0.5)  # as PolicyNetwork: the first loss is about ln 361
        self.layers = nn.ModuleList(layers)

    def forward(self, planes: Tensor) -> Tensor:
        x = planes.flatten(1)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        logits: Tensor = self.layers[-1](x)
        return logits.float()


def widest(count: Callable[[int], int], wanted: int) -> int:
    """The largest width whose count is at most ``wanted``; 0 where there is none."""
    low, high = 0, 1
    while count(high) <= wanted:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= wanted else (low, middle)
    return low


def quarter(bottom: bool, right: bool) -> Tensor:
    """(361,) bool: the points of a 9×9 corner; the lines through the centre are in none."""
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    mask[slice(-9, None) if bottom else slice(9), slice(-9, None) if right else slice(9)] = True
    return mask.flatten()


CORNERS = {LEARNED: quarter(False, False), FOURTH: quarter(True, True)}


class Corners(nn.Module):
    """A network whose answers in the fourth corner training never hears of: neither that a move is there nor that none is.

    Were the points there open in training, every network would learn that nobody ever plays there. ``asked`` (361,) bool, where it is
    not None, are the points it may answer with in evaluation.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.asked: Tensor | None = None

    def forward(self, planes: Tensor) -> Tensor:
        logits: Tensor = self.network(planes)
        open_ = ~CORNERS[FOURTH] if self.training else self.asked
        return logits if open_ is None else logits.masked_fill(~open_.to(logits.device), -100.0)


class ThreeCorners(Batches):
    """Batches without a move in the fourth corner: a position whose move is there is turned by half a turn."""

    def make(self, step: int) -> tuple[Tensor, Tensor]:
        planes, targets = super().make(step)
        turned = CORNERS[FOURTH][targets]
        planes[turned] = planes[turned].flip(2, 3)
        targets[turned] = POINTS - 1 - targets[turned]
        return planes, targets


class OneSide(Batches):
    """Batches of one player's moves: of the winner's, or the stronger one's; where a game has no such player, of both players' moves."""

    def __init__(self, packed: PackedGames, split: str = "train", *, moves_of: str, **options: Any) -> None:
        super().__init__(packed, split, **options)
        winner, black, white = (packed.facts[name].astype(np.int64) for name in ("winner", "black_rank", "white_rank"))
        if moves_of == "winner":
            colours = np.where(winner == UNKNOWN_WINNER, 0, winner)
        else:
            colours = np.where((black != 0) & (white != 0), np.sign(black - white), 0)
        self._allowed: npt.NDArray[np.int64] = colours  # (games,): the player's colour, 0: both

    def draw(self, step: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        parts = [super(OneSide, self).draw(4 * step + i) for i in range(4)]  # half of their positions would do on average
        games, plies, symmetries = (np.concatenate(column) for column in zip(*parts, strict=True))
        white = self.packed.moves[self.packed.move_start[games] + plies] & WHITE_BIT
        kept = np.flatnonzero(self._allowed[games] * np.where(white, WHITE, BLACK) >= 0)
        kept = np.resize(kept, len(parts[0][0]))  # where they do not, some come twice
        return games[kept], plies[kept], symmetries[kept]


def multiply_adds(network: nn.Module, planes: int) -> int:
    """Multiply-adds of the layers for one position, counted while it goes through."""
    counts: list[int] = []

    def count(layer: nn.Module, _: Any, output: Tensor) -> None:
        assert isinstance(layer.weight, Tensor)
        counts.append(layer.weight.numel() * output[0, 0].numel())  # every weight once for each point

    counted = copy.deepcopy(network).train()  # in eval mode filters that take in their normalisation are applied by no layer of torch's
    for layer in counted.modules():
        if isinstance(layer, nn.Conv2d | Full):
            layer.register_forward_hook(count)
    with torch.no_grad():
        counted(torch.zeros(1, planes, SIZE, SIZE))
    return sum(counts)


# ---------------------------------------------------------------------------------------------------------------------
# A run: training, then tests


@dataclass(frozen=True)
class Budget:
    """What every configuration of a list may spend: exactly one of the two."""

    positions: int | None = None
    tera_multiply_adds: float | None = None  # 10^12 multiply-adds of forward passes; with the backward ones, training does three times that

    def steps(self, batch_size: int, per_position: int) -> int:
        positions = self.positions or 1e12 * (self.tera_multiply_adds or 0) / per_position
        return max(1, round(positions / batch_size))

    def told(self) -> dict[str, float]:
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    def __str__(self) -> str:
        return f"{self.positions:,} positions" if self.positions else f"{self.tera_multiply_adds:g} × 10¹² multiply-adds"


@dataclass(frozen=True)
class Run:
    configuration: Configuration
    config: TrainingConfig
    base: dict[str, Any]  # options of the command line
    budget: Budget
    tests: tuple[str, ...]
    weights: int
    multiply_adds: int
    games: str  # packed file it is trained on
    digest: str  # of those games

    @property
    def key(self) -> str:
        """Tells trainings apart, seeds too: eight hexadecimal digits of all that decides the weights."""

        def told_of(one: TrainingConfig | Design) -> dict[str, Any]:  # a list may say 1 for 1.0
            return {name: type(getattr(type(one), name))(value) for name, value in dataclasses.asdict(one).items()}

        deciding = {name: value for name, value in told_of(self.config).items() if name not in MAY_CHANGE or name == "steps"}
        design = {name: value for name, value in told_of(self.configuration.design).items() if name != "games"}
        # As it was when runs began to be told apart: what came later decides nothing in those that do not use it.
        design["augment"] = deciding.pop("augment")
        for later in ("teacher_uses", "teacher_views", "hold_statistics"):
            if getattr(self.config, later) == getattr(TrainingConfig, later):
                del deciding[later]
        if not self.config.teacher:
            del deciding["teacher"], deciding["teacher_weight"]
        told = [deciding, design, self.digest, *training.teacher_facts(self.config).values()]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]

    def folder(self, out: Path) -> Path:
        """Its run folder; one that a configuration of another name with the same settings has begun is gone on with."""
        return next(out.glob(f"*-{self.key}"), out / f"{self.configuration.name}-seed{self.config.seed}-{self.key}")


def narrowed(chosen: dict[str, Set], only: list[str]) -> dict[str, Set]:
    """The sets with these configurations alone, without those that have none of them. Raises AblationError for a name of none."""
    names = dict.fromkeys(each.name for one in chosen.values() for each in one.configurations)
    if unknown := sorted(set(only) - set(names)):
        raise AblationError(f"there is no configuration {unknown[0]} in what was chosen: there are {', '.join(names)}")
    some = {
        name: dataclasses.replace(one, configurations=tuple(each for each in one.configurations if each.name in only))
        for name, one in chosen.items()
    }
    return {name: one for name, one in some.items() if one.configurations}


def plan(chosen: Iterable[Set], base: dict[str, Any], budget: Budget, seeds: int, games: str) -> list[Run]:
    """The runs of some sets, every configuration once; the first seed of all before the second of any. Raises AblationError."""
    wanted: dict[str, tuple[Configuration, dict[str, None]]] = {}
    for one in chosen:
        for each in one.configurations:
            before = wanted.setdefault(each.name, (each, {}))
            if before[0].settings() != each.settings():
                raise AblationError(f"two different configurations are named {each.name}")
            before[1].update(dict.fromkeys(one.tests))
    files = {file: PackedGames.open(file) for file in {each.design.games or games for each, _ in wanted.values()}}
    digests = {file: packed.summary()["digest"] for file, packed in files.items()}
    runs: dict[str, Run] = {}
    for seed in range(1, seeds + 1):
        for each, tests in wanted.values():
            try:
                config = TrainingConfig(**base | each.options | {"seed": seed})
                training.check_statistics(config, None)
                with torch.random.fork_rng(devices=[]):
                    network = each.design.network(config)
            except GoPolicyError as error:
                raise AblationError(f"configuration {each.name}: {error}") from None
            bad = [test for test in tests if (test in CORNERS) != each.design.corners]
            if bad:
                raise AblationError(
                    f"configuration {each.name}: the test {bad[0]!r} {'needs' if bad[0] in CORNERS else 'makes no sense for'} corners"
                )
            arithmetic = multiply_adds(network, config.network().in_planes)
            config = dataclasses.replace(config, steps=budget.steps(config.batch_size, arithmetic))
            if "validate_every" not in base | each.options:  # a curve of eight points
                config = dataclasses.replace(config, validate_every=max(1, config.steps // 8))
            count = sum(parameter.numel() for parameter in network.parameters())
            file = each.design.games or games
            run = Run(each, config, base, budget, tuple(tests), count, arithmetic, file, digests[file])
            if run.key in runs:  # two names for one thing, in two sets
                run = dataclasses.replace(runs[run.key], tests=tuple(dict.fromkeys([*runs[run.key].tests, *tests])))
            runs[run.key] = run
    return list(runs.values())


def fewer(packed: PackedGames, fraction: float) -> PackedGames:
    """The same set with a part of its training games alone, chosen by their hashes: each part holds all smaller ones."""
    some = copy.copy(packed)
    some.facts = packed.facts.copy()
    train = some.indices("train")
    some.facts["split"][train[some.facts["hash"][train] % 10_000 >= 10_000 * fraction]] = 255  # no split
    return some


def train(run: Run, folder: Path, workers: Workers) -> int:
    """Trains, or goes on, or finds that all is done; the exit status as training.train gives it."""
    seen = training.state(folder)
    config, checkpoint = training.prepare(folder, True, dataclasses.asdict(run.config))
    workers.agree(0)  # all have read the folder before one writes
    packed = PackedGames.open(run.games)
    design = run.configuration.design
    source = functools.partial(OneSide, moves_of=design.moves_of) if design.moves_of != "both" else Batches
    batches = (ThreeCorners if design.corners else source)(
        fewer(packed, design.fraction), "train", batch_size=config.batch_size, planes=config.planes, seed=config.seed,
        augment=config.augment, rank=workers.rank, world=workers.world, threads=config.batch_threads,
        pin_memory=workers.device.type == "cuda",
    )  # fmt: skip
    try:
        facts = training.data_facts(run.games, packed, batches.positions) | {"ablation": run.configuration.settings()}
        validation = functools.partial(fixed, packed, "validation", max_positions=config.validation_positions, planes=config.planes, seed=0)
        with training.telling_of_memory(config), training.alone(folder, seen) if workers.first else contextlib.nullcontext():
            return training.train(config, folder, batches, validation, facts, workers, checkpoint=checkpoint, build=design.network)
    finally:
        batches.close()


class Asked(Policy):
    """A trained network as evaluation asks it: not folded, as no variant knows how, and in float32, as rounded logits tie."""

    def __init__(self, network: nn.Module, planes: str, device: torch.device) -> None:
        self.description = {}
        self.device, self.number, self.planes = device, torch.float32, planes
        self.logits = self.network = network.to(device).eval()


def trained(run: Run, folder: Path, device: torch.device) -> Asked:
    """The averaged weights of a run's checkpoint."""
    network = run.configuration.design.network(run.config)
    network.load_state_dict(training.load_checkpoint(folder / training.CHECKPOINT).part("average/"))
    return Asked(network, run.config.planes, device)


def test(asked: Asked, label: str, packed: PackedGames, positions: int) -> dict[str, Any]:
    """``evaluation.figures`` on the test split: of so many views, or of the moves in a corner, chosen among its points; or ``pairs``."""
    if label == PAIRS:
        return pairs(asked, moved_stones(packed))
    if label not in CORNERS:
        return evaluation.figures(evaluation.answer(asked, packed, "test", symmetries=int(label), max_positions=positions))
    assert isinstance(asked.network, Corners)
    asked.network.asked = CORNERS[label]
    answers = evaluation.answer(asked, packed, "test", max_positions=positions)
    asked.network.asked = None
    played = packed.moves[packed.move_start[answers.game] + answers.move_number - 1].astype(np.int64) & 1023
    return evaluation.figures(answers, CORNERS[label].numpy()[played])


def in_corner(label: str, packed: PackedGames, positions: int) -> bool:
    """Whether a move of the positions that ``test`` asks about is in a corner."""
    asked = fixed(packed, "test", max_positions=positions, planes="stones1")
    return any(bool(CORNERS[label][targets].any()) for _, targets, _ in asked)


Case = tuple[Board, int]  # a position, and the point of its right move


def moved(record: GameRecord, number: int) -> list[tuple[Case, Case]]:
    """Move ``number`` of a game captures stones by their last liberty. Where the capturing side has a stone on a point beside it, the same
    game with that stone on the last liberty leaves its old point as the last liberty: the same stones are captured one point further.
    The position of the game, and each such other one."""
    colour, last = record.moves[number - 1]
    board = record.position(number)
    after = record.position(number + 1)
    stones, captured = board.stones().ravel(), after.captures[colour] - board.captures[colour]
    found = []
    for step in (-SIZE, -1, 1, SIZE):
        old = last + step
        if not 0 <= old < POINTS or (abs(step) == 1 and old // SIZE != last // SIZE) or stones[old] != colour:
            continue
        played = [i for i in range(number - 1) if record.moves[i] == (colour, old)]
        if not played:
            continue
        moves = (*record.moves[: played[-1]], (colour, last), *record.moves[played[-1] + 1 :])
        try:
            other = dataclasses.replace(record, moves=moves).position(number)
            then = other.copy()
            then.play(old, colour)
        except IllegalMoveError:
            continue
        changed = np.flatnonzero(other.stones().ravel() != stones)
        gone = then.captures[colour] - other.captures[colour] == captured and np.array_equal(then.stones(), after.stones())
        if changed.tolist() == sorted((last, old)) and gone:
            found.append(((board, last), (other, old)))
    return found


@functools.cache
def moved_stones(packed: PackedGames, split: str = "test") -> list[tuple[Case, Case]]:
    """The first pairs of positions of a split that ``moved`` finds at captures of two stones and more."""
    found: list[tuple[Case, Case]] = []
    for game in packed.indices(split):
        record = packed.record(int(game))
        if record.size != SIZE:
            continue
        board = record.position(1)
        for number, (colour, point) in enumerate(record.moves, start=1):
            before = board.captures[colour]
            board.play(point, colour)
            if board.captures[colour] >= before + 2:
                found += moved(record, number)
        if len(found) >= MOST_PAIRS:
            break
    return found[:MOST_PAIRS]


MOST_PAIRS = 400


def pairs(asked: Policy, found: list[tuple[Case, Case]]) -> dict[str, Any]:
    """How often the first choice is the capture, in the game and after a stone has moved by one point; and what the picture shows."""
    cases = [case for pair in found for case in pair]
    right, probs = [], []
    for begin in range(0, len(cases), 128):
        part = cases[begin : begin + 128]
        probs += asked.probabilities_batch([board for board, _ in part])
        right += [int(p.argmax()) == point for p, (_, point) in zip(probs[begin:], part, strict=True)]
    both = [right[i] and right[i + 1] for i in range(0, len(right), 2)]
    shown = []
    first = next((i for i, ((board, a), (_, b)) in enumerate(found) if square(a) == square(b) and open_square(board, a)), 0)
    for (board, point), p in zip(found[first], probs[2 * first :], strict=False):
        stones = board.stones().ravel()
        colours = {
            name: [point_to_gtp(int(q), SIZE) for q in np.flatnonzero(stones == c)] for name, c in (("black", BLACK), ("white", WHITE))
        }
        likely = {point_to_gtp(int(q), SIZE): round(float(p.flat[q]), 4) for q in np.argsort(-p.ravel(), kind="stable")[:24]}
        shown.append({**colours, "to_play": board.to_play, "right": point_to_gtp(point, SIZE), "likely": likely})
    return {
        "game": round(float(np.mean(right[::2])), 5),
        "moved": round(float(np.mean(right[1::2])), 5),
        "both": round(float(np.mean(both)), 5),
        "pairs": len(found),
        "shown": shown,
    }


def square(point: int) -> tuple[int, int]:
    """The square of 2×2 points that pooling makes one of."""
    return point // SIZE // 2, point % SIZE // 2


def open_square(board: Board, point: int) -> bool:
    """Whether another point of its square is empty, and all is far enough from the edges to be drawn with its surroundings."""
    row, column = square(point)
    empty = int((board.stones()[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] == 0).sum())
    return empty >= 2 and 2 <= row <= 6 and 2 <= column <= 6


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    try:
        models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        name = models[0] if models else name
    except OSError:
        pass
    return f"{name}, {torch.get_num_threads()} of {os.cpu_count()} threads"


def outcome(folder: Path, workers: Workers) -> dict[str, Any]:
    """What a line tells of a finished run beside ``begun``: all that a report may want to know."""
    counters = training.load_checkpoint(folder / training.CHECKPOINT).counters
    curve = [[record["positions"], record["top1"], record["loss"]] for record in metrics.read(folder) if record["kind"] == "validation"]
    return {
        "positions": counters.positions,
        "minutes": round(counters.elapsed / 60, 1),
        "machine": machine(workers.device) + (f" × {workers.world}" if workers.world > 1 else ""),
        "version": __version__,
        "torch": torch.__version__,
        "curve": curve,
        "date": datetime.now(UTC).date().isoformat(),
    }


def begun(run: Run, games: dict[str, Any], test_positions: int, tests: dict[str, Any]) -> dict[str, Any]:
    """What a line tells of every run; ``games`` are those of the tests."""
    return {
        "key": run.key,
        "name": run.configuration.name,
        "what": run.configuration.what,
        "seed": run.config.seed,
        "base": {name: value for name, value in run.base.items() if name not in MAY_CHANGE},
        "settings": run.configuration.settings(),
        "budget": run.budget.told(),
        "weights": run.weights,
        "multiply_adds": run.multiply_adds,
        "games": games,
        "test_positions": test_positions,
        "test": tests,
    }


def read_lines(path: Path) -> dict[tuple[str, int, str], dict[str, Any]]:
    """The lines by the run's key, the number of test positions and the digest of their games; the last one of these counts. A line cut
    off by a power cut is left out."""
    lines: dict[tuple[str, int, str], dict[str, Any]] = {}
    if path.exists():
        for text in path.read_bytes().splitlines():
            try:
                line = json.loads(text)
                lines[line["key"], line["test_positions"], line["games"]["digest"]] = line
            except (ValueError, KeyError, TypeError):
                say(f"{path}: a line that is no run is left out")
    return lines


def write_line(path: Path, line: dict[str, Any]) -> None:
    text = json.dumps(line, ensure_ascii=False) + "\n"
    if path.exists() and not path.read_bytes().endswith(b"\n"):  # what a power cut left of one
        text = "\n" + text
    # What is no text, of a file's name, becomes an escape of JSON.
    with naming(path), open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def run_all(runs: list[Run], out: Path, games: str, test_positions: int, workers: Workers) -> int:
    """Trains and tests what is not done yet; 0, or the status of the signal that stopped it."""
    packed = PackedGames.open(games)
    about = {"file": Path(games).name, "games": len(packed), "digest": packed.summary()["digest"]}
    done = read_lines(out / LINES)
    failed = {key for (key, _, _), line in done.items() if "failed" in line}  # of whatever tests: it has diverged
    needed = [(games, packed, "test"), *((file, PackedGames.open(file), "validation") for file in {run.games for run in runs})]
    for file, there, split in needed:
        if not playable(there, split)[1].any():
            raise AblationError(f"no game in {file} is in the {split} split, which gets 3 % of them: take some hundreds of games")
    if any(PAIRS in run.tests for run in runs) and not moved_stones(packed):
        raise AblationError("no game of the test split has a capture with a stone to move: more games are needed for the test `pairs`")
    for label in CORNERS:
        if any(label in run.tests for run in runs) and not in_corner(label, packed, test_positions):
            raise AblationError(f"no move of the test is in the {label}: more --test-positions than {test_positions} are needed")
    workers.agree(0)  # all have read the lines before one writes
    if workers.first:
        out.mkdir(parents=True, exist_ok=True)
    for number, run in enumerate(runs, start=1):
        line = done.get((run.key, test_positions, about["digest"]), {})
        tests = line.get("test", {})
        missing = [label for label in run.tests if label not in tests]
        if not missing or run.key in failed:
            continue
        name = f"{run.configuration.name}, seed {run.config.seed}"
        if workers.first:
            size = f"{run.weights:,} weights, {run.multiply_adds:,} multiply-adds a position"
            say(f"--- {number} of {len(runs)}: {name}; {size}, {run.config.steps:,} steps")
        folder = run.folder(out)
        begun_before = (folder / training.CHECKPOINT).exists()
        try:
            status = train(run, folder, workers)
        except training.Diverged as error:
            if workers.world > 1:  # the other processes wait for this one
                raise
            write_line(out / LINES, begun(run, about, test_positions, {}) | {"failed": str(error)})
            say(f"{name}: {error}; the next one")
            continue
        if status:
            return status
        if workers.first:
            asked = trained(run, folder, workers.device)
            for label in missing:
                tests[label] = test(asked, label, packed, test_positions)
                say(f"{name}: {told(label)} {in_words(label, tests[label])}")
            became = outcome(folder, workers)
            earlier = next((line for (key, _, _), line in done.items() if key == run.key and begun_before), {})
            became |= {name: earlier[name] for name in became if name in earlier}  # where and when it was trained, not tested once more
            write_line(out / LINES, begun(run, about, test_positions, tests) | became)
        workers.agree(0)
    if workers.first:
        say(f"all {len(runs)} runs are done; python scripts/ablate.py --out {out} --report shows them")
    return 0


# ---------------------------------------------------------------------------------------------------------------------
# The report


def told(label: str) -> str:
    return {"1": "one view", PAIRS: "moved stone"}.get(label, f"{label} views" if label.isdigit() else label)


def in_words(label: str, figures: dict[str, Any]) -> str:
    if label == PAIRS:
        shares = f"{figures['game']:.1%}, with the stone moved {figures['moved']:.1%}, both {figures['both']:.1%}"
        return f"{figures['pairs']} pairs: captures {shares}"
    return f"top-1 {figures['top1']:.2%}, top-5 {figures['top5']:.2%}, cross-entropy {figures['cross_entropy']:.4f}"


def measured(lines: list[dict[str, Any]], label: str) -> list[dict[str, Any]]:
    """What a test found, of the lines that hold it."""
    return [line["test"][label] for line in lines if label in line["test"]]


def accuracy(figures: list[dict[str, Any]]) -> str:
    """top-1 with its interval by games; of several seeds the mean, and the lowest and highest."""
    if not figures:
        return "not measured"
    values = [100 * one["top1"] for one in figures]
    text = f"{np.mean(values):.1f}"
    halves = [100 * one["top1_interval"] for one in figures if one["top1_interval"] is not None]
    text += f" ± {np.mean(halves):.1f}" if halves else ""
    return text + (f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else "")


BUDGET, TESTED = "Budget of each run: ", "Tested on "


@dataclass(frozen=True)
class Part:
    """The lines of one set that may be compared: same options of the command, same budget, same games and test."""

    base: dict[str, Any]
    budget: dict[str, float]
    test: list[Any]  # the digest of the games, and the number of test positions
    rows: list[tuple[Configuration, list[dict[str, Any]]]]  # a configuration and its seeds

    def heading(self) -> str:
        lines = [line for _, row in self.rows for line in row if "failed" not in line]
        first = lines[0]
        budget = Budget(**self.budget)  # type: ignore[arg-type]
        set_by_all = set.intersection(*(set(one.settings()) for one, _ in self.rows))
        options = ", ".join(f"{name} {value}" for name, value in self.base.items() if name not in {"validation_positions", *set_by_all})
        machines = sorted({line["machine"] for line in lines})
        tested = sorted({one["positions"] for line in lines for one in line["test"].values() if "positions" in one})
        games = f"{first['games']['games']:,} games in {first['games']['file']}"
        return f"{BUDGET}{budget}{f' ({options})' if options else ''}; {games}; {'; '.join(machines)}; {first['date']}.\n" + (
            f"{TESTED}{' or '.join(f'{n:,}' for n in tested[-2:])} positions of the test split." if tested else ""
        )


def parts_of(one: Set, lines: Iterable[dict[str, Any]]) -> list[Part]:
    """The comparable groups of a set's lines, largest budget last. What a line was trained with decides, not its name."""
    groups: dict[str, Part] = {}
    defaults = {entry.name: entry.default for one_ in (TrainingConfig, Design) for entry in dataclasses.fields(one_)}
    for each in one.configurations:
        found: dict[str, list[dict[str, Any]]] = {}
        for line in lines:
            start = defaults | line["base"]
            tested = "failed" in line or set(one.tests) & set(line["test"])
            if tested and start | line["settings"] == start | each.settings():
                group = json.dumps([line["base"], line["budget"], line["games"]["digest"], line["test_positions"]], sort_keys=True)
                found.setdefault(group, []).append(line)
        for group, row in found.items():
            base, budget, *test_ = json.loads(group)
            groups.setdefault(group, Part(base, budget, test_, [])).rows.append((each, sorted(row, key=lambda line: int(line["seed"]))))
    good = [part for part in groups.values() if any("failed" not in line for _, row in part.rows for line in row)]
    return sorted(good, key=lambda part: (tuple(part.budget), *part.budget.values()))


def pair(parts: list[Part]) -> list[tuple[Part, Part | None]]:
    """Each part by positions, and beside it the one of equal arithmetic with the same options and test and no other configurations, which
    does not come by itself then. A single configuration compares nothing where a table has it already."""
    by_positions = [part for part in parts if "positions" in part.budget]
    equal = [part for part in parts if part not in by_positions and (len(part.rows) > 1 or not by_positions)]
    beside: list[Part | None] = []
    for part in by_positions:
        names = {each.name for each, _ in part.rows}
        alike = [other for other in equal if (other.base, other.test) == (part.base, part.test)]
        fits = [other for other in alike if names >= {each.name for each, _ in other.rows}]
        beside.append(fits[-1] if fits else None)
    return [*zip(by_positions, beside, strict=True), *((part, None) for part in equal if part not in beside)]


REST = (("top5", 100, 1), ("cross_entropy", 1, 3))  # figure, factor, digits


def table(one: Set, part: Part, equal: Part | None) -> str:
    """Markdown: a row a configuration; ``equal`` is the part of equal arithmetic, of which the accuracy stands in the same row."""
    labels = [label for label in one.tests if label != PAIRS]
    counted = "positions" not in part.budget  # else all have seen as many
    heads = ["configuration", "weights", "multiply-adds"] + counted * ["positions"] + ["seeds"]
    heads += [f"top-1 % ({told(label)})" if len(labels) > 1 else "top-1 %" for label in labels] + ["top-5 %", "cross-entropy"]
    heads += ["captures % (game, stone moved, both)"] if PAIRS in one.tests else []
    heads += [f"top-1 % for {Budget(**equal.budget)}"] if equal else []  # type: ignore[arg-type]
    heads += ["minutes"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for each, row in part.rows:
        fine = [line for line in row if "failed" not in line]
        cells = [each.what, f"{row[0]['weights']:,}", f"{row[0]['multiply_adds'] / 1e6:,.2f} M"]
        if fine:
            seeds = str(len(fine)) + (f" (and {len(row) - len(fine)} diverged)" if len(fine) < len(row) else "")
            cells += counted * [f"{fine[0]['positions']:,}"] + [seeds]
            cells += [accuracy(measured(fine, label)) for label in labels]
            first = measured(fine, labels[0]) if labels else []
            cells += [f"{scale * np.mean([f[name] for f in first]):.{digits}f}" if first else "" for name, scale, digits in REST]
            if PAIRS in one.tests:
                stones = measured(fine, PAIRS)
                shares = [f"{100 * np.mean([s[name] for s in stones]):.0f}" for name in ("game", "moved", "both") if stones]
                cells.append(", ".join(shares) or "not measured")
            if equal:
                same = [line for other, lines_ in equal.rows if other == each for line in lines_]
                cells.append(accuracy(measured(same, labels[0]) if labels else []))
            cells.append(f"{np.mean([line['minutes'] for line in fine]):.1f}")
        else:
            cells += counted * [""] + ["0"] + ["diverged"] * len(labels)
            cells += [""] * (len(heads) - len(cells))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


MARKS, DASHES = "osD^vPX*<>", ("-", "--", "-.", ":")


def picture(one: Set, part: Part, path: Path) -> None:
    """Left the accuracies with their intervals, right how they came about; marks and dashes tell the lines apart without colours."""
    from matplotlib.figure import Figure

    rows = [(each, [line for line in row if "failed" not in line]) for each, row in part.rows]
    rows = [(each, row) for each, row in rows if row]
    labels = [label for label in one.tests if label != PAIRS]
    figure = Figure(figsize=(11, 1.3 + 0.26 * max(4, len(rows))), dpi=75, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    for place, label in enumerate(labels):
        for i, (_, row) in enumerate(rows):
            if figures := measured(row, label):
                mean = 100 * float(np.mean([f["top1"] for f in figures]))
                half = 100 * float(np.mean([f["top1_interval"] or 0 for f in figures]))
                y = i + 0.16 * (place - (len(labels) - 1) / 2)
                name = told(label) if i == 0 and len(labels) > 1 else None
                fill = "black" if place % 2 == 0 else "white"
                left.errorbar(
                    mean, y, xerr=half, color="black", ecolor="0.45", marker=MARKS[place], mfc=fill, ms=6, capsize=3, lw=1, label=name
                )
    left.set_yticks(range(len(rows)), [each.what for each, _ in rows], fontsize=8)
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_xlabel("moves predicted (top-1, %), 95 % interval by games")
    if len(labels) > 1:
        left.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(labels), frameon=False)
    for i, (each, row) in enumerate(rows):
        curve = np.array(row[0]["curve"], dtype=np.float64).reshape(-1, 3)
        shade = ("0", "0.45")[i % 2]
        right.plot(curve[:, 0] / 1e3, 100 * curve[:, 1], color=shade, ls=DASHES[i % 4], marker=MARKS[i % 10], ms=4, lw=1.2, label=each.name)
    right.set_xlabel("positions seen (thousands)")
    right.set_ylabel("validation top-1, %" + ("\n(all corners)" if labels and labels[0] in CORNERS else ""))
    right.legend(fontsize=7, ncols=2 if len(rows) > 5 else 1)
    for axis in (left, right):
        axis.grid(alpha=0.3)
    figure.suptitle(one.title, fontsize=11)
    save_png(path, pixels(figure))


def pixels(figure: Figure) -> npt.NDArray[np.uint8]:
    """(rows, columns, 3)"""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]


def save_png(path: Path, image_: npt.NDArray[np.uint8]) -> None:
    """With 32 colours: a third of the size, for pictures that stand in a repository."""
    from PIL import Image  # matplotlib needs it too

    Image.fromarray(np.ascontiguousarray(image_)).quantize(32).save(path, optimize=True)


def pooling_picture(rows: list[tuple[Configuration, list[dict[str, Any]]]], path: Path) -> None:
    """Two boards for every network, one below the other: its answers before and after one stone has moved by one point; the right move
    is dashed."""
    tiles = []
    for each, row in rows:
        boards = []
        for told_ in row[0]["test"][PAIRS]["shown"]:
            board = Board(SIZE)
            board.setup(told_["black"], told_["white"])
            board.to_play = told_["to_play"]
            probs = np.zeros(POINTS)
            for vertex, prob in told_["likely"].items():
                probs[board.point(vertex)] = prob
            right = board.point(told_["right"])
            title = f"{each.name}: {colour_name(board.to_play)} captures at {told_['right']}"
            figure = draw.board_figure(board, probs.reshape(SIZE, SIZE), title, right)
            figure.set_size_inches(4.2, 3.6)
            figure.set_dpi(75)
            axes = figure.axes[0]
            middle_row, middle_column = (2 * line + 0.5 for line in square(right))
            axes.set_xlim(middle_column - 4.7, middle_column + 4.7)
            axes.set_ylim(middle_row + 3.7, middle_row - 3.7)
            for text in axes.texts:
                text.set_clip_on(True)
            boards.append(pixels(figure))
        tiles.append(np.concatenate(boards, axis=0))
    save_png(path, np.concatenate(tiles, axis=1))


def report(sets: dict[str, Set], out: Path, page: Path | None) -> str:
    """Draws the pictures into ``out``, renews the page between its markers, and returns all tables. Raises AblationError without lines.

    A page is renewed as a whole, with built-in sets that were not asked for: what its tables have in common stands on it once. Up to four
    figures make no picture: the table shows them as well.
    """
    lines = list(read_lines(out / LINES).values())
    if not lines:
        raise AblationError(f"{out / LINES} holds no run yet: run some configurations first")
    named = [name for name, _ in re.findall(MARKED, read_page(page))] if page is not None else []
    texts: dict[str, str] = {}
    for name, one in (sets | {name: SETS[name] for name in named if name in SETS and name not in sets}).items():
        parts = pair(parts_of(one, lines))
        if not parts:
            continue
        blocks = []
        compared = [part for part, _ in parts if len(part.rows) > 1]
        drawn = [part for part in compared if len(part.rows) * len([test for test in one.tests if test != PAIRS]) > 4]
        for part, equal in parts:
            blocks.append(f"{part.heading()}\n\n{table(one, part, equal)}")
            missing = [each.name for each in one.configurations if each not in [other for other, _ in part.rows]]
            if missing and part in compared:
                blocks.append(f"Not yet measured with this budget: {', '.join(f'`{name_}`' for name_ in missing)}.")
            if part in drawn:  # the largest budget's picture has the plain name
                path = out / (f"{name}.png" if part is drawn[-1] else f"{name}-{drawn.index(part) + 1}.png")
                picture(one, part, path)
                blocks.append(image(one.title, path, page))
            shown = [(each, row) for each, row in part.rows if PAIRS in one.tests and PAIRS in row[0]["test"]]
            if shown and part in compared[-1:]:
                path = out / f"{name}-moved-stone.png"
                pooling_picture(shown, path)
                blocks.append(image("One stone moves by one point: the answers before and after", path, page))
        texts[name] = "\n\n".join(blocks)
    if page is not None:
        renew(page, texts)
    elif not texts:
        raise AblationError(f"{out / LINES} holds no finished run of {', '.join(sets)}")
    return "\n\n".join(f"## {sets[name].title} (`--set {name}`)\n\n{text}" for name, text in texts.items() if name in sets)


def image(title: str, path: Path, page: Path | None) -> str:
    link = Path(os.path.relpath(path, page.parent if page else path.parent)).as_posix()
    return f"![{title}]({quote(link)})"


MARKED = r"<!-- ablate: ([\w.-]+) -->\n((?s:.*?))<!-- end -->"


def read_page(page: Path) -> str:
    """Raises AblationError for one that cannot be read or has no place for a table."""
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AblationError(f"{page} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not re.search(MARKED, text):
        raise AblationError(f"{page} has no place for a table: a line <!-- ablate: NAME --> and, below it, <!-- end -->")
    return text


def renew(page: Path, texts: dict[str, str]) -> None:
    """Writes each text between ``<!-- ablate: NAME -->`` and ``<!-- end -->`` of a page; sets without a line say how to measure them, and a
    file's configurations stay as they are where that file was not given.

    The budget and the test that come first stand on the page once: a table that does not tell its own has these.
    """
    usual: list[str] = []

    def replacement(match: re.Match[str]) -> str:
        name = match[1]
        given = f"--set {name}" if name in SETS else f"--file {name}.json"
        command = f"`python scripts/ablate.py games.gpk --out runs/ablate {given} --positions 60000`"
        there = "" if name in SETS else match[2].strip()
        lines = []
        for line in (texts.get(name) or there or f"Not yet measured: {command}").split("\n"):
            if line not in usual:
                lines.append(line)
                if line.startswith((BUDGET, TESTED)) and len(usual) < 2:
                    usual.append(line)
        text = "\n".join(lines).strip()
        return f"<!-- ablate: {name} -->\n\n{text}\n\n<!-- end -->"

    atomic.write(page, re.sub(MARKED, replacement, read_page(page)).encode(errors="backslashreplace"))


# ---------------------------------------------------------------------------------------------------------------------
# The command


class Parser(argparse.ArgumentParser):
    """Takes over the options of ``gopolicy train`` that do not belong to a single run."""

    def add_argument(self, *names: str, **settings: Any) -> Any:
        return None if {"--resume", "--init"} & set(names) else super().add_argument(*names, **settings)


def arguments() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_argument_group("what is run")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        choices=[*GROUPS, *SETS],
        metavar="SET",
        help=f"{', '.join(GROUPS)}, or one of their parts (--list)",
    )
    group.add_argument("--file", type=Path, action="append", default=[], metavar="JSON", help="configurations of your own")
    group.add_argument("--only", nargs="+", metavar="NAME", help="these configurations alone")
    group.add_argument("--positions", type=int, metavar="N", help="budget of every run: positions seen, to the nearest batch")
    group.add_argument("--tera-multiply-adds", type=float, metavar="T", help="or: 10^12 multiply-adds of its forward passes")
    group.add_argument("--seeds", type=int, default=1, metavar="N", help="runs of each configuration (default: 1)")
    group.add_argument("--test-positions", type=int, default=20_000, metavar="N", help="of whole games of the test split (default: 20000)")
    group.add_argument("--report", action="store_true", help="tables and pictures of the lines in OUT, without training")
    group.add_argument(
        "--page", type=Path, metavar="FILE", help="with --report: renews the tables between this page's markers, of all sets on it"
    )
    group.add_argument("--list", action="store_true", help="shows the built-in sets, and what they would run")
    training.add_arguments(parser)
    for action in parser._actions:
        if action.dest == "out":
            action.required, action.help = False, "folder of the runs"
        elif action.dest == "games":
            action.help = "packed games (gopolicy pack)"
        elif action.dest in DECIDED:
            action.help = argparse.SUPPRESS
    return parser


def chosen_sets(args: argparse.Namespace) -> dict[str, Set]:
    """The sets that the command names, with the configurations that it names; all built-in ones where it names none."""
    names = [name for given in args.set for name in GROUPS.get(given, (given,))]
    sets = {name: SETS[name] for name in names}
    for path in args.file:
        if path.stem in sets or path.stem in SETS:
            raise AblationError(f"{path}: another set is named {path.stem} too: name the file otherwise")
        sets[path.stem] = read_file(path)
    sets = sets or SETS
    return narrowed(sets, args.only) if args.only else sets


def main(arguments_: list[str] | None = None) -> int:
    write_any_name()
    args = arguments().parse_args(arguments_)
    try:
        return run_command(args)
    except (GoPolicyError, OSError) as error:
        say(f"ablate.py: {explain(error)}")
        return 2
    except KeyboardInterrupt:
        say("ablate.py: stopped; the same command goes on")
        return 130


def run_command(args: argparse.Namespace) -> int:
    sets = chosen_sets(args)
    if args.list:
        groups = {name: group for group, names in GROUPS.items() for name in names}
        for name, one in sets.items():
            print(f"{name}  ({groups.get(name, 'by itself')}): {one.title}")
            for each in one.configurations:
                print(f"    {each.name:<22} {each.what}  {json.dumps(each.settings(), ensure_ascii=False)}")
        return 0
    if args.out is None:
        raise AblationError("--out is missing: the folder of the runs")
    out = Path(args.out)
    if args.page and args.only:
        raise AblationError("--page renews whole tables: give --only without it")
    if args.report:
        print(report(sets, out, args.page))
        return 0
    if not args.games or not (args.set or args.file):
        raise AblationError("packed games and --set or --file are needed; --list shows the sets, --report needs neither")
    if given := sorted(DECIDED & set(vars(args))):
        raise AblationError(f"{flag(given[0])} is for a single run: here the budget and --seeds decide")
    if (args.positions is None) == (args.tera_multiply_adds is None):
        raise AblationError("one budget is needed: --positions, or --tera-multiply-adds")
    for name, least in (("positions", 1), ("tera_multiply_adds", 1e-9), ("seeds", 1), ("test_positions", 1)):
        value = getattr(args, name)
        if value is not None and not least <= value < 1e15:  # also true for nan
            raise AblationError(f"{flag(name)} is {value}, expected {least:g} or more")
    base = training.given_options(args)
    runs = plan(sets.values(), base, Budget(args.positions, args.tera_multiply_adds), args.seeds, args.games)
    with Workers.start(TrainingConfig(**base).device) as workers:
        return run_all(runs, out, args.games, args.test_positions, workers)


if __name__ == "__main__":
    sys.exit(main())
