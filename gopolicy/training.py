"""The training loop: packed games in, a run folder with weights out.

    gopolicy train games.gpk --out runs/small --filters 64 --max-minutes 20     # a laptop
    gopolicy train --out runs/small --resume                                    # goes on after a stop, a kill or a power cut
    torchrun --nproc-per-node 4 -m gopolicy train games.gpk --out runs/large --filters 192 --steps 400000 --batch-size 2048

A run folder holds

    ======================  ================================================================================
    checkpoint.safetensors  all that the run goes on from: weights, their average, optimizer, counters, options
    weights.safetensors     the averaged weights with their description: the result so far, and at the end
    metrics.jsonl           a JSON object a line (``metrics``); the same for TensorBoard in events.out.tfevents.*
    curves.png              loss and accuracy
    ======================  ================================================================================

The same options, seed and number of threads give the same run, on a CPU to the bit, however often it is stopped and resumed:
batches follow from (seed, step), and a checkpoint holds everything else. One exception: when only a time is given
(``--max-minutes`` without ``--steps``) the learning rate follows the clock. Time counts from the first step, without the breaks, as
are those in which the machine sleeps, or the process after Ctrl-Z.

Ctrl-C (or SIGTERM, or a terminal that is closed) ends after the step in hand, saves, and exits with 128 + the signal's number; a
second Ctrl-C (or SIGTERM) ends at once, and what the last checkpoint holds is kept. Under ``nohup`` it goes on without its terminal.

Under ``torchrun`` every process takes its part of the one global batch; gradients are averaged, the first process alone measures
and writes. Batch normalisation looks at the whole global batch on GPUs; on CPUs, where torch cannot do that, each process
normalises over its own part and the first one's running statistics are kept. The run folder must be one that all processes see.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import errno
import functools
import hashlib
import itertools
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import safetensors.torch
import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from gopolicy import atomic, metrics, policy, symmetry, weights
from gopolicy.batches import PER_GAME, Batches, fixed, other_boards, playable
from gopolicy.errors import MAX_THREADS, GoPolicyError, UsageError, flag, lacks_memory, quoted
from gopolicy.features import PLANE_SETS
from gopolicy.games import PackedGames, named_path
from gopolicy.muon import Muon
from gopolicy.network import KINDS, PolicyConfig, PolicyNetwork, resolve_precision

CHECKPOINT, WEIGHTS, LOCK = "checkpoint.safetensors", "weights.safetensors", ".lock"
CHECKPOINT_FORMAT = 1
UNFOLD_POSITIONS = 4096  # that tell the running statistics of --init weights which have none; those of 128 cost 0.04 nats (RESULTS.md)
INIT_LR = 1e-4  # where --init is given and no --lr: at that of fresh weights what was learned is soon lost (RESULTS.md, 2026-11-26)
APART = 1024  # batches that come again together: what comes again sooner is learned by heart; 95 MB of answers for 128 positions each
SETTLED = 20  # stones from which on a board is turned for the teacher: which way round people begin, only the board as it lies tells
ASLEEP = 60.0  # seconds from which on it is a break that a process computes nothing: no step waits so long for a GPU or a disk
KINDS_OF_OPTIONS = {int: "a whole number", float: "a number", bool: "True or False", str: "text"}
DEFAULT_MINUTES = 60.0  # where neither --steps nor --max-minutes is given


class TrainingError(GoPolicyError):
    """A run that cannot start or go on."""


class OptionError(TrainingError, UsageError):
    """Options that no run can have, or not together."""


class Diverged(TrainingError):
    """A run whose loss or weights are no numbers any more."""


def _option(default: Any, text: str, *choices: str) -> Any:
    """A field of TrainingConfig and the command-line option of the same name in one."""
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices or None})


@dataclass(frozen=True)
class TrainingConfig:
    """The options of a run. The command line has the same, ``batch_size`` as ``--batch-size``."""

    planes: str = _option("alphago48", "plane set the network reads")
    filters: int = _option(64, "channels of every layer")
    layers: int = _option(12, "layers: one 5×5, the others 3×3; the 1×1 output is not counted")
    kind: str = _option("residual", "plain as published, or with shortcuts and batch normalisation", *KINDS)
    batch_size: int = _option(128, "positions a step, over all processes together")
    optimizer: str = _option("muon", "Muon, AdamW, or stochastic gradient descent with Nesterov momentum", "muon", "adamw", "sgd")
    lr: float = _option(1e-2, f"highest learning rate; if not given, {INIT_LR:g} with --init")
    momentum: float = _option(0.9, "momentum of sgd; first beta of adamw, which under muon moves all but the kernels")
    weight_decay: float = _option(1e-2, "weight decay of convolution weights; biases and normalisation have none (sgd: try 1e-4)")
    warmup_steps: int = _option(200, "steps over which the learning rate rises from zero, at most a twentieth of the run")
    decay: str = _option("cosine", "how the learning rate falls to --final-lr by the end", "cosine", "linear", "constant", "half-every")
    final_lr: float = _option(0.01, "learning rate at the end, as a part of --lr (cosine, linear)")
    half_every: int = _option(100_000, "steps after which the learning rate is halved (half-every)")
    steps: int = _option(0, "steps of the whole run; the learning rate then follows steps, never the clock; 0: --max-minutes alone")
    max_minutes: float = _option(0.0, f"stops after this time; 0: never, if --steps is given, else after {DEFAULT_MINUTES:.0f}")
    grad_clip: float = _option(1.0, "longest gradient; 0 never clips")
    ema: float = _option(0.999, "how much of the averaged weights stays at each step; 0 does not average")
    label_smoothing: float = _option(0.0, "part of the target that is spread over all points; counts in the training loss shown")
    hold_statistics: bool = _option(
        False, "with --init: batch normalisation keeps to its running statistics, as in play, and costs no time; else to each batch's"
    )
    augment: bool = _option(True, "turns and mirrors positions at random; a last phase without teaches which way round people begin")
    teacher: str = _option("", "weights, a file or those of the package by name, whose probabilities are the target, not the played move")
    teacher_uses: int = _option(1, f"times that a batch is used, {APART} steps apart, for which the teacher is asked once")
    teacher_views: int = _option(
        0, f"random views of boards of {SETTLED} stones and more that the teacher is asked about, in the mean; 0: as they lie"
    )
    teacher_weight: float = _option(1.0, "the teacher's part of the target; what is left of 1 is the played move's")
    precision: str = _option("auto", "number format of the convolutions; auto: bf16 where the processor has it", "auto", "bf16", "float32")
    seed: int = _option(1, "of the first weights, the order of positions, their symmetries, and the teacher's views")
    threads: int = _option(0, "threads of torch on a CPU; 0 leaves that to torch")
    batch_threads: int = _option(2, "threads that make batches")
    device: str = _option("auto", "cpu, cuda, mps …; auto: cuda if there is one, else cpu")
    validate_every: int = _option(1000, "steps between two measurements; there is always one at the end")
    validation_positions: int = _option(8192, "positions of the validation split measured on the way, the same each time")
    log_every: int = _option(50, "steps between two lines of metrics.jsonl")
    save_every: float = _option(10.0, "minutes between two checkpoints")
    compile: bool = _option(False, "torch.compile; needs a C++ compiler")

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "batch_size": (1, 2**20), "lr": (0, 100), "momentum": (0, 0.9999), "weight_decay": (0, 10), "warmup_steps": (0, 2**40),
            "final_lr": (0, 1), "half_every": (1, 2**40), "steps": (0, 2**40), "max_minutes": (0, 1e7), "grad_clip": (0, 1e9),
            "ema": (0, 0.999999), "label_smoothing": (0, 0.9), "teacher_uses": (1, 1000), "teacher_views": (0, symmetry.COUNT),
            "teacher_weight": (0, 1), "seed": (0, 2**31 - 1), "threads": (0, MAX_THREADS), "batch_threads": (1, MAX_THREADS),
            "validate_every": (1, 2**40), "validation_positions": (1, 2**40), "log_every": (1, 2**40), "save_every": (0, 1e7),
        }  # fmt: skip
        for field in dataclasses.fields(self):
            name, choices = field.name, field.metadata["choices"]
            value: Any = getattr(self, name)
            kind: Any = type(field.default)
            if isinstance(value, np.generic):  # checkpoints are JSON, which has none of numpy's
                value = value.item()
                object.__setattr__(self, name, value)
            if not isinstance(value, (int, kind) if kind is float else kind):
                raise OptionError(f"{flag(name)} is {value!r}, expected {KINDS_OF_OPTIONS[kind]}")
            low, high = limits.get(name, (-math.inf, math.inf))
            if kind in (int, float) and not low <= value <= high:  # also true for nan
                raise OptionError(f"{flag(name)} is {value}, expected {low} to {high}")
            if choices and value not in choices:
                raise OptionError(f"{flag(name)} is {value!r}, expected one of {', '.join(choices)}")
        if self.planes not in PLANE_SETS:
            raise OptionError(f"--planes is {self.planes!r}, expected one of {', '.join(PLANE_SETS)}")
        for name, without in {"teacher_uses": 1, "teacher_views": 0, "teacher_weight": 1}.items():
            if getattr(self, name) != without and not self.teacher:
                raise OptionError(f"{flag(name)} is given and no --teacher")

    @property
    def seconds(self) -> float:
        """When the run stops by the clock; infinite if only steps count."""
        if self.max_minutes:
            return 60 * self.max_minutes
        return math.inf if self.steps else 60 * DEFAULT_MINUTES

    def network(self) -> PolicyConfig:
        try:
            planes = PLANE_SETS[self.planes].planes
            return PolicyConfig(planes=self.planes, in_planes=planes, filters=self.filters, layers=self.layers, kind=self.kind)
        except ValueError as error:
            raise OptionError(str(error)) from error


# What may change when a run is resumed: the rest decides which weights come out.
MAY_CHANGE = frozenset(
    {"steps", "max_minutes", "threads", "batch_threads", "device", "log_every", "save_every", "validate_every", "compile"}
)  # fmt: skip


class BatchSource(Protocol):
    """What the loop needs of ``batches.Batches``: this process's part of any batch."""

    waited_seconds: float  # how long the reader has waited so far

    @property
    def positions(self) -> int: ...  # in the split

    def stream(self, steps: Iterable[int]) -> Iterator[tuple[Tensor, Tensor]]: ...  # (B, P, N, N) uint8 or int8, (B,) int64


# ---------------------------------------------------------------------------------------------------------------------
# One process or many


@dataclass(frozen=True)
class Workers:
    """This process among those of the run."""

    device: torch.device
    rank: int = 0
    world: int = 1
    control: Any = None  # process group for numbers on the CPU, so that agreeing never waits for a GPU

    @classmethod
    @contextmanager
    def start(cls, device: str) -> Iterator[Workers]:
        """Joins the processes that ``torchrun`` started, if it did."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world > 1 and (device == "cuda" or (device == "auto" and torch.cuda.is_available())):
            device = f"cuda:{os.environ['LOCAL_RANK']}"
        chosen = policy.choose_device(device)
        if chosen.index is not None and chosen.type == "cuda":  # else it is the one that torch has chosen
            torch.cuda.set_device(chosen)
        if world == 1:
            yield cls(chosen)
            return
        if chosen.type == "cuda":
            dist.init_process_group("nccl", device_id=chosen)
        else:
            dist.init_process_group("gloo")
        try:
            control = dist.new_group(backend="gloo")
            yield cls(chosen, dist.get_rank(), world, control)
        finally:
            dist.destroy_process_group()

    @property
    def first(self) -> bool:
        return self.rank == 0

    def agree(self, *values: float) -> list[float]:
        """The first process's values, in every process."""
        if self.world == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(shared, 0, group=self.control)
        return list(shared.tolist())

    def gather(self, sums: Tensor) -> None:
        """Adds all processes' ``sums`` into the first one's and clears the others, in place."""
        if self.world > 1:
            dist.all_reduce(sums)
            if not self.first:
                sums.zero_()


# ---------------------------------------------------------------------------------------------------------------------
# The pieces of a step


def learning_rate(config: TrainingConfig, step: int, elapsed: float) -> float:
    """The learning rate of a step (counted from 0), ``elapsed`` seconds after the first. With ``steps`` set the clock plays no part."""
    progress = step / config.steps if config.steps else elapsed / config.seconds
    progress = min(progress, 1.0)
    if config.decay == "cosine":
        factor = config.final_lr + (1 - config.final_lr) * (1 + math.cos(math.pi * progress)) / 2
    elif config.decay == "linear":
        factor = config.final_lr + (1 - config.final_lr) * (1 - progress)
    elif config.decay == "half-every":
        factor = 0.5 ** (step // config.half_every)
    else:
        factor = 1.0
    # A run of a minute has not the steps for the usual warm-up: it never takes more than a twentieth of the run.
    warm = max((step + 1) / (config.warmup_steps + 1), 20 * progress)
    return config.lr * factor * min(1.0, warm)


def make_optimizer(config: TrainingConfig, network: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    """Decays the weights of convolutions only: to pull a bias or a normalisation to zero has no use."""
    kernels = [parameter for parameter in network.parameters() if parameter.dim() == 4]
    others = [parameter for parameter in network.parameters() if parameter.dim() != 4]
    groups = [{"params": kernels, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    fused = True if device.type in ("cpu", "cuda") else None
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=fused)
    if config.optimizer == "muon":
        groups[0]["muon"] = True
        return Muon(groups, lr=config.lr, momentum=0.95, betas=(config.momentum, 0.999), fused=fused)
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.momentum, 0.999), fused=fused)


class Average:
    """The moving average of a network's weights, running statistics included: a network of its own."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        pairs = list(zip(self.network.state_dict().values(), network.state_dict().values(), strict=True))
        # state_dict's tensors share memory with the networks: collected once, they stay right
        self._numbers = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After step ``step`` (from 0). The average is short at first, so that the random weights of the start are soon forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.decay else 0.0
        torch._foreach_lerp_([mine for mine, _ in self._numbers], [now for _, now in self._numbers], 1 - decay)
        for mine, now in self._counts:
            mine.copy_(now)


def autocast(device: torch.device, number: torch.dtype) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, dtype=number) if number != torch.float32 else nullcontext()


class Teacher:
    """Trained weights that a network learns from: not what was played, but how likely they hold each point (distillation).

    A played move is one draw from all that are good, the teacher's probabilities tell them all. Hinton, Vinyals & Dean 2015, "Distilling
    the Knowledge in a Neural Network", at a temperature of 1. With ``teacher_views`` it is asked about the board turned and mirrored: the
    mean over many views is better than one answer, and weights can learn it from themselves. Raises WeightsError for weights that cannot
    be used, OptionError for those that read other planes.
    """

    def __init__(self, config: TrainingConfig, workers: Workers) -> None:
        device, self.workers = workers.device, workers
        network, description = weights.load(config.teacher)
        if network.config.planes != config.planes:
            raise OptionError(f"--teacher {config.teacher} reads the planes {network.config.planes}, the options ask for {config.planes}")
        self.policy = policy.Policy(network, description, device, policy.quickest(str(device), config.planes))
        self.uses, self.views, self.weight, self.seed = config.teacher_uses, config.teacher_views, config.teacher_weight, config.seed
        self._answers: dict[int, Tensor] = {}  # by the number of the batch, for the last ``APART`` of them: (B, N*N) float16

    def batch(self, step: int) -> int:
        """The number of the batch of a step: ``APART`` different ones, all of them ``uses`` times over, and then the next."""
        block, place = divmod(step, APART * self.uses)
        return APART * block + place % APART

    def __call__(self, planes: Tensor, played: Tensor, step: int) -> Tensor:
        """The target of a step's batch: planes (B, P, N, N), played points (B,) int64 → (B, N*N) float32, 1 in sum.

        Asks once about each batch, and keeps the answers until its last use.
        """
        number = self.batch(step)
        answer = self._answers.get(number)
        if answer is None:
            answer = self._ask(planes, number) if self.views else self.policy.log_probabilities(planes).exp()
            if self.uses > 1:
                answer = self._answers[number] = answer.half()  # at its first use too: a run that is resumed between two uses asks again
                self._answers.pop(number - APART, None)
        target = self.weight * answer.float()
        return target.scatter_add_(1, played[:, None], torch.full_like(played, 1 - self.weight, dtype=target.dtype)[:, None])

    def _ask(self, planes: Tensor, number: int) -> Tensor:
        """The mean of the answers about random views of each board of a batch, no view twice: planes (B, P, N, N) → (B, N*N)."""
        # For the batch of all processes, so that the views do not depend on their number; nor on where a run was stopped.
        every = np.tile(np.arange(symmetry.COUNT), (len(planes) * self.workers.world, 1))
        drawn = np.random.default_rng((self.seed, number)).permuted(every, axis=1)
        mine = slice(self.workers.rank * len(planes), (self.workers.rank + 1) * len(planes))
        views = torch.from_numpy(drawn[mine, : self.views]).to(planes.device)
        views[(planes[:, :2] != 0).sum((1, 2, 3)) < SETTLED] = 0  # in all plane sets the stones come first
        return torch.stack([self.policy.probabilities_by_view(planes, view) for view in views.T]).mean(dim=0)


def to_device(planes: Tensor, targets: Tensor, device: torch.device, number: torch.dtype) -> tuple[Tensor, Tensor]:
    """Planes travel as bytes, without waiting, and become ``number``s, channels last, where they are used."""
    if device.type == "cuda":
        planes, targets = planes.pin_memory(), targets.pin_memory()
    no_wait = device.type == "cuda"  # Apple's GPUs would read memory that is gone by then (pytorch issue 189690)
    planes = planes.to(device, non_blocking=no_wait)
    return planes.to(number, memory_format=torch.channels_last), targets.to(device, non_blocking=no_wait)


@torch.inference_mode()
def measure(network: nn.Module, positions: Iterable[tuple[Any, ...]], device: torch.device, number: torch.dtype) -> dict[str, float | int]:
    """``loss`` (cross-entropy), ``top1``, ``top5`` and ``positions`` over batches that start with (planes, targets)."""
    network.eval()
    sums, count = torch.zeros(3, dtype=torch.float64, device="cpu" if device.type == "mps" else device), 0  # mps has no float64
    for planes, targets, *_ in positions:
        x, y = to_device(planes, targets, device, number)
        with autocast(device, number):
            logits = network(x)
        best = logits.topk(min(5, logits.shape[1])).indices == y[:, None]  # (B, 5)
        loss = F.cross_entropy(logits, y, reduction="sum")
        sums += torch.stack([loss, best[:, 0].sum(), best.sum()]).to(sums.device)
        count += len(y)
    if not count:
        raise TrainingError("the validation split holds no position: pack more games")
    loss_, top1, top5 = (sums / count).tolist()
    return {"loss": round(loss_, 5), "top1": round(top1, 5), "top5": round(top5, 5), "positions": count}


# ---------------------------------------------------------------------------------------------------------------------
# Checkpoints


@dataclass
class Counters:
    """Where a run stands: with the tensors, all that a checkpoint holds."""

    step: int = 0  # steps done
    positions: int = 0  # positions seen, over all processes
    elapsed: float = 0.0  # seconds since the first step, breaks left out
    metrics_bytes: int = 0  # of metrics.jsonl that belong to this state
    interval: tuple[float, float, int] = (0.0, 0.0, 0)  # loss and hits summed since the last line of metrics, and steps
    validation: dict[str, Any] = dataclasses.field(default_factory=dict)  # the last measurement, with its step


@dataclass
class Checkpoint:
    config: TrainingConfig
    facts: dict[str, Any]
    counters: Counters
    tensors: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin so, under the rest of their names."""
        return {name.removeprefix(prefix): tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}


def save_checkpoint(path: Path, state: Checkpoint) -> None:
    told = {
        "format": CHECKPOINT_FORMAT,
        "config": dataclasses.asdict(state.config),
        "facts": state.facts,
        "counters": dataclasses.asdict(state.counters),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    atomic.write(path, safetensors.torch.save(tensors, metadata={"gopolicy-run": json.dumps(told)}))


def load_checkpoint(path: Path) -> Checkpoint:
    """Raises TrainingError for what is no checkpoint of this version."""
    start = path.with_name(WEIGHTS)
    other = f"; a new run can start from its weights, with --init {quoted(str(start))}" if start.is_file() else ""
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads((file.metadata() or {})["gopolicy-run"])
            # Copies: the run will replace the file, which Windows refuses while tensors are of its memory.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a dict
        if told["format"] != CHECKPOINT_FORMAT:
            raise TrainingError(f"{path}: checkpoint format {told['format']}, this version reads {CHECKPOINT_FORMAT}{other}")
        counters = Counters(**told["counters"])
        counters.interval = tuple(told["counters"]["interval"])
        return Checkpoint(TrainingConfig(**told["config"]), told["facts"], counters, tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, TrainingError):
            raise
        raise TrainingError(f"{path}: cannot be read as a checkpoint of this version ({type(error).__name__}: {error}){other}") from error


def _collect(network: nn.Module, average: Average, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"average/{name}": tensor for name, tensor in average.network.state_dict().items()}
    for name, parameter in network.named_parameters():
        tensors |= {f"optimizer/{name}/{key}": value for key, value in optimizer.state.get(parameter, {}).items() if value is not None}
    return tensors


def _restore(checkpoint: Checkpoint, network: nn.Module, average: Average, optimizer: torch.optim.Optimizer) -> None:
    try:
        network.load_state_dict(checkpoint.part("network/"))
        average.network.load_state_dict(checkpoint.part("average/"))
    except RuntimeError as error:
        raise TrainingError(f"the checkpoint does not fit its own options: {error}") from error
    for name, parameter in network.named_parameters():
        for key, value in checkpoint.part(f"optimizer/{name}/").items():
            if value.shape == parameter.shape:  # laid out in memory like its weight, or every step would pay for it
                value = torch.empty_like(parameter, requires_grad=False).copy_(value)
            elif parameter.device.type == "cuda":
                value = value.to(parameter.device)
            optimizer.state[parameter][key] = value


# ---------------------------------------------------------------------------------------------------------------------
# The run


def _check_compiler(device: torch.device) -> None:
    """Raises OptionError where torch cannot compile: before a run is begun that could not take a step."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(2, device=device))
    except Exception as error:  # torch has many for it, and promises none
        why = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise OptionError(f"--compile: torch cannot compile here ({why.strip()}): leave it out, or --no-compile with --resume") from None


class _Signals:
    """Remembers Ctrl-C, SIGTERM, and that the terminal was closed, until the step is done; a second of the first two ends all at once."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        closed = [] if sys.platform == "win32" or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]  # nohup ignores it
        for number in (signal.SIGINT, signal.SIGTERM, *closed):
            try:
                self._before[number] = signal.signal(number, self._receive)
            except ValueError:  # not the main thread: whoever owns that one decides
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        for other, handler in self._before.items():
            # A terminal that is closed may tell it twice, as bash and the system do; systemd does beside SIGTERM.
            signal.signal(other, handler if other in (signal.SIGINT, signal.SIGTERM) else signal.SIG_IGN)


def say(text: str, end: str = "\n") -> None:
    try:
        print(text, end=end, file=sys.stderr, flush=True)
    except OSError as error:  # no reason to stop
        if error.errno in (errno.EPIPE, errno.EIO):  # what read it has ended, the terminal was closed: else Python tries again at its end
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def train(
    config: TrainingConfig,
    out: Path,
    batches: BatchSource,
    validation: Callable[[], Iterable[tuple[Any, ...]]] | None,
    facts: dict[str, Any],
    workers: Workers,
    *,
    checkpoint: Checkpoint | None = None,
    initial: PolicyNetwork | None = None,
    build: Callable[[TrainingConfig], nn.Module] | None = None,
    command: str = "",
) -> int:
    """Trains until the budget is used up or a signal comes; returns the exit status (0, or 128 + the signal).

    ``validation()`` gives the positions to measure, the same each time, as batches (planes, targets, …); None measures nothing.
    ``facts`` describes the data, for the weights' description. ``checkpoint`` is what to go on from; ``initial`` are weights to
    start from instead of random ones. ``build`` makes another network of the same inputs and outputs than the options describe; what
    is no PolicyNetwork is kept in the checkpoint alone, since no description of weights can tell it. ``command`` is what goes on with the
    run, for whoever stops it. Raises Diverged if the loss is no number any more.
    """
    device, number = workers.device, resolve_precision(config.precision, workers.device)
    if config.threads and device.type == "cpu":
        torch.set_num_threads(config.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = device.type == "cuda"

    torch.manual_seed(config.seed)
    network = build(config) if build else PolicyNetwork(config.network())
    if initial is not None:
        network.load_state_dict(initial.state_dict())
    network = network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = Average(network, config.ema)
    optimizer = make_optimizer(config, network, device)
    teacher = Teacher(config, workers) if config.teacher else None
    counters = Counters()
    if checkpoint is not None:
        counters = checkpoint.counters
        _restore(checkpoint, network, average, optimizer)

    model: Any = network
    if workers.world > 1:
        if device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        # Running statistics are the same everywhere on GPUs; on CPUs the first process's are sent to the others.
        options: dict[str, Any] = {"device_ids": [device], "broadcast_buffers": False} if device.type == "cuda" else {}
        model = nn.parallel.DistributedDataParallel(model, **options)
    if config.compile:
        _check_compiler(device)
        model = torch.compile(model)
    parameters = list(network.parameters())

    line = _Line()
    kept = None if checkpoint is None else counters.step
    go_on = f"to go on: {command} --out {quoted(str(out))} --resume"

    @contextmanager
    def telling_what_is_kept() -> Iterator[None]:
        """Of a run that a full disk ends, or a GPU that is lost."""
        try:
            yield
        except (OSError, torch.AcceleratorError):
            if workers.first and kept is not None:
                line.end(f"ended at step {counters.step:,}; kept is the run up to step {kept:,}, its last checkpoint")
                if command:
                    say(go_on)
            raise

    def finished(elapsed: float) -> bool:
        return 0 < config.steps <= counters.step or elapsed >= config.seconds

    def save(log: metrics.Metrics) -> None:
        nonlocal kept
        if not all(torch.isfinite(parameter).all() for parameter in parameters):
            raise Diverged(f"the weights are no numbers any more at step {counters.step}: start again with a smaller --lr")
        counters.metrics_bytes = log.position()
        # The weights first: after a kill in between, the run goes on from the checkpoint before and writes both again.
        if counters.step and type(average.network) is PolicyNetwork:  # no subclass: it computes something else than it describes
            weights.save(out / WEIGHTS, average.network, describe(config, facts, counters))
        save_checkpoint(out / CHECKPOINT, Checkpoint(config, facts, counters, _collect(network, average, optimizer)))
        kept = counters.step

    def validate(log: metrics.Metrics) -> None:
        if validation is None:
            return
        counters.validation = {**measure(average.network, validation(), device, number), "step": counters.step}
        seen = counters.validation
        scores = {name: seen[name] for name in ("loss", "top1", "top5")}
        log.write(
            "validation",
            counters.step,
            **scores,
            measured=seen["positions"],
            positions=counters.positions,
            elapsed=round(counters.elapsed, 1),
        )
        draw()
        line.end(f"step {counters.step:,}: validation top-1 {seen['top1']:.2%}, top-5 {seen['top5']:.2%}, loss {seen['loss']:.4f}")

    def draw() -> None:
        try:
            metrics.draw(out)
        except Exception as error:  # a full disk, no matplotlib or one set up badly, damaged metrics: no reason to stop
            line.end(f"the curves could not be drawn: {getattr(error, 'strerror', None) or error}")

    say_first = say if workers.first else (lambda text: None)
    if finished(counters.elapsed) and (validation is None or counters.validation.get("step") == counters.step):
        limit = "--steps" if 0 < config.steps <= counters.step else "--max-minutes"
        say_first(f"{out}: already finished, at step {counters.step:,}; more {limit} go on")
        return 0
    if checkpoint is None:
        say_first(str(network))
    say_first(
        f"{'resumes at' if checkpoint else 'starts at'} step {counters.step:,} on {device}"
        f"{f' × {workers.world}' if workers.world > 1 else ''}, {'bf16' if number == torch.bfloat16 else 'float32'}, "
        f"{batches.positions:,} positions in the training split"
    )

    sums = torch.zeros(2, device=device)  # loss and hits since the last line of metrics: read only there, a GPU never waits for it
    if workers.first:
        sums += torch.tensor(counters.interval[:2], device=device)
    interval_steps = counters.interval[2]
    status = 0
    with (
        telling_what_is_kept(),
        _Signals() as signals,
        metrics.Metrics(out, keep=counters.metrics_bytes, step=counters.step) if workers.first else nullcontext() as log,
    ):
        if checkpoint is None and log is not None:
            save(log)  # from here on there is always something to go on from
        network.train()
        if config.hold_statistics:
            for norm in network.modules():
                if isinstance(norm, nn.modules.batchnorm._BatchNorm):  # torch's own name for all of them, those over processes too
                    norm.eval()
        steps = itertools.count(counters.step)
        feed = batches.stream(map(teacher.batch, steps) if teacher else steps)
        clock = _Clock()
        began = clock() - counters.elapsed
        saved = line_began = clock()
        line_waited, line_steps, paused = batches.waited_seconds, 0, 0.0
        while True:
            counters.elapsed, stop, save_now = workers.agree(clock() - began, signals.received, clock() - saved >= 60 * config.save_every)
            if stop or finished(counters.elapsed):
                status = 128 + int(stop) if stop else 0
                break
            if save_now and counters.step:
                workers.gather(sums)
                if log is not None:
                    pause = clock()
                    counters.interval = (*sums.tolist(), interval_steps)
                    save(log)
                    paused += clock() - pause
                saved = clock()

            lr = learning_rate(config, counters.step, counters.elapsed)
            for group in optimizer.param_groups:
                group["lr"] = lr
            planes, targets = next(feed)
            x, y = to_device(planes, targets, device, number)
            with autocast(device, number):
                logits = model(x)
            loss = F.cross_entropy(logits, y if teacher is None else teacher(x, y, counters.step), label_smoothing=config.label_smoothing)
            loss.backward()  # type: ignore[no-untyped-call]
            if config.grad_clip:
                nn.utils.clip_grad_norm_(parameters, config.grad_clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            average.update(counters.step)
            with torch.no_grad():
                sums += torch.stack([loss.detach(), (logits.argmax(1) == y).float().mean()])
            counters.step += 1
            counters.positions += config.batch_size
            interval_steps += 1
            line_steps += 1

            if counters.step % config.log_every == 0:
                workers.gather(sums)
                if log is not None:
                    mean_loss, top1 = (sums / (interval_steps * workers.world)).tolist()
                    if not math.isfinite(mean_loss):
                        raise Diverged(f"the loss is {mean_loss} at step {counters.step}: start again with a smaller --lr")
                    now = clock()
                    spent = max(now - line_began - paused, 1e-9)
                    speed = line_steps * config.batch_size / spent
                    waited = (batches.waited_seconds - line_waited) / spent
                    log.write(
                        "train", counters.step, positions=counters.positions, loss=round(mean_loss, 5), top1=round(top1, 5), lr=lr,
                        positions_per_second=round(speed, 1), waited=round(waited, 4), elapsed=round(now - began, 1),
                    )  # fmt: skip
                    left = _seconds_left(config, counters.step, now - began, speed / config.batch_size)
                    line.show(
                        f"step {counters.step:,}  loss {mean_loss:.3f}  top-1 {top1:.1%}  {_clock(left)} left  {speed:,.0f} positions/s  "
                        f"lr {lr:.2g}  waited {waited:.1%}"
                    )
                    line_began, line_waited, line_steps, paused = now, batches.waited_seconds, 0, 0.0
                sums.zero_()
                interval_steps = 0
            if counters.step % config.validate_every == 0 and log is not None:
                pause = clock()
                counters.elapsed = pause - began
                validate(log)
                paused += clock() - pause

        workers.gather(sums)
        if log is not None:
            counters.interval = (*sums.tolist(), interval_steps)
            if not stop and counters.validation.get("step") != counters.step:
                validate(log)
            save(log)
            draw()
            line.end(f"{'stopped' if stop else 'finished'} at step {counters.step:,} after {_clock(counters.elapsed)}: {out}")
            if stop and command:
                say(go_on)
    return status


def describe(config: TrainingConfig, facts: dict[str, Any], counters: Counters) -> dict[str, Any]:
    """The description that goes with the weights of a run."""
    measured = {name: value for name, value in counters.validation.items() if name != "loss"}
    if measured:
        measured = {"split": "validation", "symmetries": 1, "cross_entropy": counters.validation["loss"], **measured}
    return {
        "data": {name: Path(value).name if name in ("file", "init") else value for name, value in facts.items()},
        "steps": counters.step,
        "positions": counters.positions,
        "minutes": round(counters.elapsed / 60, 1),
        "accuracy": measured,
        "training": dataclasses.asdict(config) | {"teacher": Path(config.teacher).name},
    }


class _Clock:
    """Seconds, without those in which the machine slept, or the process after Ctrl-Z: that stops no clock of Python's, nor does a laptop
    that is closed with Windows. Has to be asked now and then, as once a step."""

    def __init__(self) -> None:
        self._seen, self._worked, self._slept = time.monotonic(), time.process_time(), 0.0

    def __call__(self) -> float:
        seen, worked = time.monotonic(), time.process_time()
        busy = worked - self._worked
        idle = seen - self._seen - busy
        if idle > max(ASLEEP, 4 * busy):  # whoever shares a CPU with others waits too, and works in between
            self._slept += idle
        self._seen, self._worked = seen, worked
        return seen - self._slept


class _Line:
    """The progress line: in place on a terminal, as much of it as fits; elsewhere a line every half minute."""

    def __init__(self) -> None:
        self._terminal, self._shown, self._length = sys.stderr.isatty(), -math.inf, 0

    def show(self, text: str) -> None:
        if self._terminal:
            while len(text) >= shutil.get_terminal_size().columns and "  " in text:  # what goes over two lines cannot be written over
                text = text.rpartition("  ")[0]
            say("\r" + text.ljust(self._length), end="")
            self._length = len(text)
        elif time.monotonic() - self._shown >= 30:
            say(text)
            self._shown = time.monotonic()

    def end(self, text: str) -> None:
        """A line that stays."""
        say(("\r" if self._length else "") + text.ljust(self._length))
        self._length = 0


def _seconds_left(config: TrainingConfig, step: int, elapsed: float, steps_per_second: float) -> float:
    by_steps = (config.steps - step) / steps_per_second if config.steps else math.inf
    return max(0.0, min(by_steps, config.seconds - elapsed))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


# ---------------------------------------------------------------------------------------------------------------------
# The command


def weights_name(text: str) -> str:
    """For argparse: an empty name, as of a variable that is not set, would mean to start from random weights, or to have no teacher."""
    if not text:
        raise argparse.ArgumentTypeError("'': expected the name of weights")
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``gopolicy train``; ``run`` takes what they give."""
    parser.add_argument("games", nargs="?", metavar="GAMES", help="packed games (gopolicy pack); may be left out with --resume")
    parser.add_argument("--out", required=True, type=named_path, metavar="RUN", help="run folder; new or empty, unless --resume")
    parser.add_argument("--resume", action="store_true", help="go on from RUN's checkpoint; starts anew if RUN is empty")
    parser.add_argument(
        "--init",
        type=weights_name,
        metavar="WEIGHTS",
        help="start from these weights, a file or those of the package by name, instead of random ones",
    )
    group = parser.add_argument_group("options of the run", "kept in the checkpoint: --resume needs none of them")
    for field in dataclasses.fields(TrainingConfig):
        text = field.metadata["help"] + (f" (default {field.default})" if field.default else "")
        text = text.replace("%", "%%")
        if isinstance(field.default, bool):
            group.add_argument(flag(field.name), action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
        else:
            group.add_argument(
                flag(field.name),
                type=weights_name if field.name == "teacher" else type(field.default),
                default=argparse.SUPPRESS,
                choices=field.metadata["choices"],
                metavar=None if field.metadata["choices"] else type(field.default).__name__.upper()[:5],
                help=text,
            )


def given_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of a run that the command line names: what ``add_arguments`` took in of them."""
    return {field.name: getattr(args, field.name) for field in dataclasses.fields(TrainingConfig) if hasattr(args, field.name)}


def prepare(out: Path, resume: bool, given: dict[str, Any]) -> tuple[TrainingConfig, Checkpoint | None]:
    """The options of the run and what it goes on from, if anything. Only reads: every process calls it before one writes.

    Raises TrainingError for a folder that is in use without ``resume``, and for options that contradict the checkpoint's.
    """
    if given.get("teacher") and given["teacher"] not in weights.PACKAGED:
        given = given | {"teacher": str(Path(given["teacher"]).resolve())}  # a run may go on from another folder
    if out.exists() and not out.is_dir():
        raise TrainingError(f"{out} is a file; a run needs a folder of its own")
    used = out.exists() and any(not name.name.startswith(".") for name in out.iterdir())
    if used and not resume:
        raise TrainingError(f"{out} is not empty; --resume goes on with the run in it, a new run needs another --out")
    if not used:
        return _checked(TrainingConfig(**given)), None
    if not (out / CHECKPOINT).is_file():
        if (out / WEIGHTS).is_file():
            raise TrainingError(
                f"{out} has weights, but no {CHECKPOINT} to go on from: start a new run, with another --out, from these weights "
                f"with --init {quoted(str(out / WEIGHTS))}"
            )
        if (out / "metrics.jsonl").is_file():  # killed before the first checkpoint
            return _checked(TrainingConfig(**given)), None
        raise TrainingError(f"{out} holds no run to resume: {CHECKPOINT} is missing")
    checkpoint = load_checkpoint(out / CHECKPOINT)
    old = checkpoint.config
    for name, value in given.items():
        before = getattr(old, name)
        # Another file of a teacher: whether it holds the same weights is for ``run`` to see, where the checkpoint has the digest.
        moved = name == "teacher" and value and before and "teacher_digest" in checkpoint.facts
        if name not in MAY_CHANGE and value != before and not moved:
            raise TrainingError(
                f"{out} was started with {flag(name)} {before if before != '' else repr('')}, and cannot go on with "
                f"{value if value != '' else repr('')}; leave the option out, or start a new run from these weights with "
                f"--init {quoted(str(out / WEIGHTS))}"
            )
    checkpoint.config = dataclasses.replace(old, **given)
    return checkpoint.config, checkpoint


def _checked(config: TrainingConfig) -> TrainingConfig:
    """The options, of which a network and batches can be made, with a teacher that exists. Raises TrainingError or WeightsError."""
    config.network()
    if config.teacher:
        weights.resolve(config.teacher)
    if config.batch_size % PER_GAME:
        raise OptionError(f"--batch-size is {config.batch_size}, expected a multiple of {PER_GAME}, the positions of a game")
    return config


def initial_network(source: str, config: TrainingConfig, given: dict[str, Any]) -> tuple[PolicyNetwork, TrainingConfig]:
    """The weights to start from, and the options with that network's shape and, where none is given, a learning rate for trained weights.

    Raises TrainingError where options ask for another shape.
    """
    network, _ = weights.load(source)
    shape = {name: getattr(network.config, name) for name in ("planes", "filters", "layers", "kind")}
    if network.config.size != config.network().size:
        raise OptionError(f"--init {source} is for {network.config.size} lines, training is for {config.network().size}")
    for name, value in shape.items():
        if given.get(name, value) != value:
            raise OptionError(f"--init {source} has {flag(name)} {value}, the options ask for {given[name]}")
    return network, dataclasses.replace(config, **shape, lr=given.get("lr", INIT_LR))


def check_statistics(config: TrainingConfig, initial: PolicyNetwork | None) -> None:
    """Raises OptionError where the statistics of ``initial`` are to be held, and it has none; None stands for random weights."""
    if config.hold_statistics and initial is None:
        raise OptionError("--hold-statistics is given and no --init: random weights have no statistics that could be held")
    if config.hold_statistics and config.kind != "residual":
        raise OptionError(f"--hold-statistics is given, and networks of the kind {config.kind} have no batch normalisation: leave it out")


def unfolded(network: PolicyNetwork, config: TrainingConfig, batches: BatchSource, workers: Workers) -> PolicyNetwork:
    """A folded network as it can be trained: its running statistics are those of the first ``UNFOLD_POSITIONS`` of the run."""
    device = workers.device if workers.device.type == "cuda" else torch.device("cpu")  # Apple's GPUs have no float64
    number = resolve_precision(config.precision, device)
    if config.threads and device.type == "cpu":
        torch.set_num_threads(config.threads)
    first = batches.stream(range(-(-UNFOLD_POSITIONS * workers.world // config.batch_size)))
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with autocast(device, number):
        return network.unfolded(to_device(planes, targets, device, number)[0] for planes, targets in first)


def state(out: Path) -> tuple[int, int] | None:
    """Tells whether a run has gone on: time and size of its checkpoint, or None."""
    with suppress(OSError):
        found = (out / CHECKPOINT).stat()
        return found.st_mtime_ns, found.st_size
    return None


@contextmanager
def alone(out: Path, seen: tuple[int, int] | None) -> Iterator[None]:
    """Makes the run folder if there is none, and holds it against other processes for as long as this one lives. Raises TrainingError
    where another has it, or has gone on with the run since its ``state`` was ``seen``. What a kill has left half written is deleted."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("ab") as file:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise TrainingError(f"another process trains in {out}: wait for its end, or take another --out") from None
        except OSError:  # a file system without locks
            pass
        if state(out) != seen:
            raise TrainingError(f"another process has trained in {out} meanwhile: see how far it has come, and go on from there")
        for leftover in out.glob(".*.part*"):
            leftover.unlink(missing_ok=True)
        yield


@contextmanager
def telling_of_memory(config: TrainingConfig) -> Iterator[None]:
    """Raises TrainingError where there is not the memory for a step, or where the device fails."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own kinds of the first are of the second
        if not lacks_memory(error):
            if isinstance(error, torch.AcceleratorError):
                raise TrainingError(f"the device failed: {str(error).splitlines()[0]}") from error
            raise
        raise TrainingError(
            f"there is not the memory for steps of {config.batch_size:,} positions: take a smaller --batch-size, or a smaller network"
        ) from error


def data_facts(source: str | os.PathLike[str], games: PackedGames, positions: int) -> dict[str, Any]:
    """What a run tells of its games: the file, the positions it trains on, a summary."""
    return {"file": str(Path(source).resolve()), "positions": positions, **games.summary()}


def teacher_facts(config: TrainingConfig) -> dict[str, str]:
    """A digest of the teacher's file, where there is one: a name like ``default`` may stand for other weights in another version."""
    return {"teacher_digest": hashlib.sha256(weights.resolve(config.teacher).read_bytes()).hexdigest()[:16]} if config.teacher else {}


def run(args: argparse.Namespace, command: str = "gopolicy train") -> int:
    """``gopolicy train``, or what ``command`` says: returns the exit status, raises GoPolicyError for what cannot be done."""
    given = given_options(args)
    out = Path(args.out)
    seen = state(out)
    config, checkpoint = prepare(out, args.resume, given)
    if checkpoint is not None and "ablation" in checkpoint.facts:  # perhaps another network or fewer games than options can tell
        raise TrainingError(f"the run in {out} is one of scripts/ablate.py: the same command of it goes on with it")
    if args.init and args.init not in weights.PACKAGED:
        args.init = str(Path(args.init).resolve())  # a run may go on from another folder
    initial = None
    if checkpoint is None and args.init:
        initial, config = initial_network(args.init, config, given)
    if checkpoint is None:
        check_statistics(config, initial)
    source = args.games or (checkpoint.facts["file"] if checkpoint else None)
    if source is None:
        if args.resume:
            raise OptionError(f"there is no checkpoint in {out} to go on from, and no packed games are given to start anew")
        raise OptionError("no packed games given; make some with: gopolicy pack ARCHIVE… --out games.gpk")
    games = PackedGames.open(Path(source))
    with ExitStack() as held, Workers.start(config.device) as workers, telling_of_memory(config):
        batches = Batches(
            games, "train", batch_size=config.batch_size, planes=config.planes, seed=config.seed, augment=config.augment,
            rank=workers.rank, world=workers.world, threads=config.batch_threads, pin_memory=workers.device.type == "cuda",
        )  # fmt: skip
        try:
            facts = data_facts(source, games, batches.positions) | teacher_facts(config)
            if checkpoint is not None:
                if checkpoint.facts["digest"] != facts["digest"]:
                    raise TrainingError(
                        f"{source} holds other games than the run in {out} was started with; a run goes on with the same games"
                    )
                if "teacher_digest" in checkpoint.facts and checkpoint.facts["teacher_digest"] != facts["teacher_digest"]:
                    raise TrainingError(
                        f"--teacher {config.teacher} is not the network that has taught the run in {out} so far: name that one, or start "
                        f"a new run from these weights with --init {quoted(str(out / WEIGHTS))}"
                    )
                started = checkpoint.facts.get("init", "random weights")
                if args.init and args.init not in (started, str(Path(started).resolve())):
                    raise TrainingError(f"{out} was started from {Path(started).name}, and cannot go on from {args.init}: leave --init out")
                facts = checkpoint.facts | facts
            elif initial is not None:
                facts["init"] = args.init
            if workers.first:  # the others have read the folder: no process comes here before all have
                held.enter_context(alone(out, seen))
            if initial is not None and initial.config.folded:  # as those of the package are
                if workers.first:
                    say(f"batch normalisation of {args.init} is measured again, on {UNFOLD_POSITIONS:,} positions")
                initial = unfolded(initial, config, batches, workers)

            validation = functools.partial(
                fixed, games, "validation", max_positions=config.validation_positions, planes=config.planes, seed=0
            )
            if workers.first and (others := other_boards(games, "all")):
                say(others)
            measured = bool(playable(games, "validation")[1].any())
            if not measured and workers.first:
                say(
                    f"none of the {len(games):,} games in {source} is in the validation split, which gets 3 % of them: "
                    "what this run learns is not measured on games that it does not train on; some hundreds of games make that possible"
                )

            return train(
                config, out, batches, validation if measured else None, facts, workers,
                checkpoint=checkpoint, initial=initial, command=command,
            )  # fmt: skip
        finally:
            batches.close()
