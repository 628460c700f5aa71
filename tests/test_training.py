"""The training loop: that it learns, that it can be stopped anywhere and goes on to the bit, alone and in two processes, and its pieces."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import hashlib
import json
import math
import os
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.overrides import TorchFunctionMode

from gopolicy import batches, games, metrics, policy, symmetry, training, weights
from gopolicy.board import Board
from gopolicy.coords import point_to_sgf
from gopolicy.errors import DeviceError, WeightsError
from gopolicy.features import PLANE_SETS, encode
from gopolicy.network import PolicyConfig, PolicyNetwork
from gopolicy.training import TrainingConfig, TrainingError, Workers, learning_rate
from tests.synthetic import Synthetic, validation
from tests.test_muon import published

ROOT = Path(__file__).resolve().parent.parent
SMALL = {"planes": "alphago4", "filters": 8, "layers": 3, "batch_size": 16, "log_every": 5, "validate_every": 10, "threads": 1, "lr": 5e-3}
SMALL["seed"] = 3
CPU = Workers(torch.device("cpu"))
DRAW = metrics.draw


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Drawing takes longer than these runs."""
    monkeypatch.setattr(metrics, "draw", lambda folder: False)


@pytest.fixture
def pictures(no_pictures, monkeypatch):
    monkeypatch.setattr(metrics, "draw", DRAW)


def train(out: Path, *, events: dict | None = None, resume: bool = False, initial: PolicyNetwork | None = None, **options) -> int:
    config, checkpoint = training.prepare(out, resume, options)
    out.mkdir(exist_ok=True)
    batches = Synthetic(config.batch_size, config.seed, events=events)
    facts = {"file": "/somewhere/games.gpk"}
    return training.train(config, out, batches, validation, facts, CPU, checkpoint=checkpoint, initial=initial, command="gopolicy train")


def tensors(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / training.CHECKPOINT)


def lines(out: Path) -> list[dict]:
    """The metrics without what depends on the clock."""
    return [{k: v for k, v in line.items() if k not in ("positions_per_second", "waited", "elapsed")} for line in metrics.read(out)]


def assert_same_run(first: Path, second: Path) -> None:
    one, two = tensors(first), tensors(second)
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    assert lines(first) == lines(second)
    one, two = load_file(first / training.WEIGHTS), load_file(second / training.WEIGHTS)
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


# ---------------------------------------------------------------------------------------------------------------------
# Whole runs


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "residual", "optimizer": "adamw", "precision": "float32"},
        {"kind": "residual", "optimizer": "adamw", "precision": "bf16", "label_smoothing": 0.05},
        {"kind": "residual", "optimizer": "muon", "lr": 1e-2, "precision": "bf16"},
        {"kind": "alphago", "optimizer": "sgd", "lr": 0.1, "weight_decay": 1e-4, "precision": "float32", "decay": "linear"},
    ],
)
def test_it_learns_what_can_be_learned(tmp_path, options):
    steps = 200 if options["kind"] == "alphago" else 120
    assert train(tmp_path / "run", **SMALL | {"batch_size": 64, "steps": steps, "validate_every": 1000, "ema": 0.9} | options) == 0
    network, description = weights.load(tmp_path / "run" / training.WEIGHTS)
    planes, targets = Synthetic(200, seed=7).batch(0)
    with torch.no_grad():
        right = (network(planes.float()).argmax(1) == targets).float().mean().item()
    assert right > 0.6  # a guess is right once in 361 times
    assert description["accuracy"]["top1"] == pytest.approx(right, abs=0.12)
    assert description["accuracy"]["positions"] == 128
    assert description["accuracy"]["step"] == description["steps"] == steps
    assert description["positions"] == 64 * steps
    assert description["data"] == {"file": "games.gpk"}  # the file's name, not where it lay
    assert description["training"]["seed"] == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "auto"])
def test_a_gpu_is_taken_by_each_of_its_names(device):
    with Workers.start(device) as workers:
        assert workers.device.type == "cuda"
        assert (torch.ones(3, device=workers.device) + 1).tolist() == [2, 2, 2]


def test_cuda_without_a_number_is_the_gpu_that_torch_has_chosen(monkeypatch):
    """``torch.cuda.set_device`` refuses a device without a number."""
    chosen = []
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *size, device: ones(*size))
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: chosen.append(device.index))
    for device in ("cuda", "cuda:1"):
        with Workers.start(device) as workers:
            assert workers.device == torch.device(device)
    assert chosen == [1]


def test_a_run_leaves_what_the_docstring_lists(tmp_path, pictures):
    train(tmp_path / "run", **SMALL, steps=12)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    events = {name for name in names if name.startswith("events.out.tfevents.")}
    assert names - events == {training.CHECKPOINT, training.WEIGHTS, "metrics.jsonl", "curves.png"}
    assert len(events) == 1
    assert [(line["kind"], line["step"]) for line in lines(tmp_path / "run")] == [
        ("train", 5), ("train", 10), ("validation", 10), ("validation", 12),
    ]  # fmt: skip
    picture = (tmp_path / "run" / "curves.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", picture[16:24])[0] > 800
    average = {name: tensor for name, tensor in tensors(tmp_path / "run").items() if name.startswith("average/")}
    saved = load_file(tmp_path / "run" / training.WEIGHTS)
    assert {name.removeprefix("average/") for name in average} == set(saved)
    assert all(torch.equal(tensor, saved[name.removeprefix("average/")]) for name, tensor in average.items())
    assert saved["first.norm.num_batches_tracked"] == 12, "also after a measurement the network is one that trains"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(
    "options", [{}, {"optimizer": "adamw"}, {"kind": "alphago", "optimizer": "sgd", "precision": "float32", "ema": 0.0}]
)
@pytest.mark.parametrize("stop", [1, 8, 10])
def test_stopped_by_a_signal_and_resumed_it_is_the_same_run(tmp_path, options, stop, capsys):
    options = SMALL | {"steps": 17} | options
    number = signal.SIGTERM if stop == 8 else signal.SIGINT
    before = signal.getsignal(number)
    assert train(tmp_path / "straight", **options) == 0
    events = {stop: lambda: os.kill(os.getpid(), number)}
    assert train(tmp_path / "broken", events=events, **options) == 128 + number
    assert signal.getsignal(number) is before
    state = training.load_checkpoint(tmp_path / "broken" / training.CHECKPOINT)
    assert state.counters.step == stop + 1  # the step in hand was finished
    assert f"to go on: gopolicy train --out {tmp_path / 'broken'} --resume" in capsys.readouterr().err
    assert train(tmp_path / "broken", resume=True) == 0
    assert_same_run(tmp_path / "straight", tmp_path / "broken")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_second_signal_ends_at_once(tmp_path):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", events={3: twice}, **SMALL, steps=10)
    assert train(tmp_path / "run", resume=True) == 0  # from the checkpoint of the start
    train(tmp_path / "straight", **SMALL, steps=10)
    assert_same_run(tmp_path / "straight", tmp_path / "run")


def command(out: Path, *more: str, processes: int = 1) -> list[str]:
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    return [sys.executable, *start, "-m", "tests.synthetic", "--out", str(out), *options, *more]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_killed_without_warning_it_goes_on_as_if_nothing_had_happened(tmp_path):
    """SIGKILL at step 13, after a checkpoint at every step but the last; a checkpoint half written lies about as well."""
    killed = subprocess.run(command(tmp_path / "killed", "--steps=17", "--save-every=0", "--kill-at=13"), cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert training.load_checkpoint(tmp_path / "killed" / training.CHECKPOINT).counters.step == 13
    (tmp_path / "killed" / f".{training.CHECKPOINT}.0000.part").write_bytes(b"half")
    with open(tmp_path / "killed" / "metrics.jsonl", "ab") as file:  # written after the checkpoint
        file.write(b'{"kind": "train", "step": 15, "positions": 240}\n{"kind": "tr')
    assert train(tmp_path / "killed", resume=True) == 0
    train(tmp_path / "straight", **SMALL, steps=17)
    assert_same_run(tmp_path / "straight", tmp_path / "killed")


@pytest.mark.parametrize("cut", ["weights", "checkpoint"])
def test_a_run_that_ends_between_its_last_two_files_gets_both(tmp_path, monkeypatch, cut):
    def full(path, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    def after_the_first(path, *arguments):
        monkeypatch.setattr(training, "save_checkpoint", full)
        save_checkpoint(path, *arguments)

    save_checkpoint = training.save_checkpoint
    if cut == "weights":
        monkeypatch.setattr(weights, "save", full)
    else:
        monkeypatch.setattr(training, "save_checkpoint", after_the_first)
    with pytest.raises(OSError, match="No space left"):
        train(tmp_path / "cut", **SMALL, steps=12)
    monkeypatch.undo()
    monkeypatch.setattr(metrics, "draw", lambda out: None)
    assert train(tmp_path / "cut", resume=True) == 0
    train(tmp_path / "straight", **SMALL, steps=12)
    assert_same_run(tmp_path / "straight", tmp_path / "cut")


def test_a_disk_that_becomes_full_says_what_is_kept(tmp_path, monkeypatch, capsys):
    write = metrics.Metrics.write

    def full(log, kind, step, **values):
        if step == 15:
            raise OSError(errno.ENOSPC, "No space left on device", "metrics.jsonl")
        write(log, kind, step, **values)

    monkeypatch.setattr(metrics.Metrics, "write", full)
    run, on = tmp_path / "run", f"to go on: gopolicy train --out {tmp_path / 'run'} --resume"
    with pytest.raises(OSError, match="No space left"):
        train(run, **SMALL, steps=17)
    assert capsys.readouterr().err.endswith(f"ended at step 15; kept is the run up to step 0, its last checkpoint\n{on}\n")
    with pytest.raises(OSError, match="No space left"):
        train(run, resume=True, save_every=0)
    assert capsys.readouterr().err.endswith(f"ended at step 15; kept is the run up to step 14, its last checkpoint\n{on}\n")
    monkeypatch.setattr(metrics.Metrics, "write", write)
    assert train(run, resume=True) == 0
    train(tmp_path / "straight", **SMALL, steps=17)
    assert_same_run(tmp_path / "straight", run)


def test_without_a_compiler_no_run_is_begun(tmp_path, monkeypatch):
    def none(_):
        raise RuntimeError("\nNo working C++ compiler found\nmore")

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(torch, "compile", none)
    with pytest.raises(training.OptionError, match=r"torch cannot compile here \(No working C\+\+ compiler found\): leave it out"):
        train(tmp_path / "run", **SMALL, steps=2, compile=True)
    assert not list((tmp_path / "run").iterdir())
    train(tmp_path / "run", **SMALL, steps=2)
    checkpoint = training.load_checkpoint(tmp_path / "run" / training.CHECKPOINT)
    training.save_checkpoint(  # as begun on another machine
        tmp_path / "run" / training.CHECKPOINT, dataclasses.replace(checkpoint, config=dataclasses.replace(checkpoint.config, compile=True))
    )
    with pytest.raises(training.OptionError, match="--no-compile"):
        train(tmp_path / "run", resume=True, steps=4)
    assert train(tmp_path / "run", resume=True, steps=4, compile=False) == 0


# Muon takes polar factors in bf16, where the last bits of two sums that should be the same show.
@pytest.mark.parametrize(("optimizer", "near", "top1"), [("adamw", 1e-5, 1e-6), ("muon", 1e-3, 0.05)])
def test_two_processes_make_the_same_network_as_one(tmp_path, optimizer, near, top1):
    more = ["--kinds", "alphago", "residual", "--steps=10", "--precision=float32", "--save-every=0", f"--optimizer={optimizer}"]
    done = subprocess.run(command(tmp_path / "two", *more, processes=2), cwd=ROOT, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    for kind in ("alphago", "residual"):
        train(tmp_path / f"one-{kind}", **SMALL, kind=kind, steps=10, precision="float32", optimizer=optimizer)
        steps = [(line["kind"], line["step"]) for line in lines(tmp_path / f"two-{kind}")]
        assert steps == [("train", 5), ("train", 10), ("validation", 10)]
    # On CPUs batch normalisation sees its own part of the batch only: near, but not the same.
    losses = [lines(tmp_path / f"{count}-residual")[-1]["loss"] for count in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    one, two = tensors(tmp_path / "one-alphago"), tensors(tmp_path / "two-alphago")
    for name, tensor in one.items():
        np.testing.assert_allclose(two[name], tensor, rtol=1e-3, atol=near, err_msg=name)
    for mine, theirs in zip(lines(tmp_path / "one-alphago"), lines(tmp_path / "two-alphago"), strict=True):
        assert (mine["kind"], mine["step"], mine["positions"]) == (theirs["kind"], theirs["step"], theirs["positions"])
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=10 * near)
        assert mine["top1"] == pytest.approx(theirs["top1"], abs=top1)


class Clock:
    """Stands still but for the second of each step."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, 0.0
        self.steps = dict.fromkeys(range(100), self.tick)

    def tick(self) -> None:
        self.now += 1


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(training.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(training.time, "process_time", lambda: clock.now - clock.slept)
    return clock


def test_a_budget_of_time_ends_the_run_and_the_learning_rate_with_it(tmp_path, clock):
    """A run that is made longer after a break has what is left of the time, and goes on where the learning rate was."""
    options = SMALL | {"warmup_steps": 0, "log_every": 1, "final_lr": 0.0, "validate_every": 1000}
    assert train(tmp_path / "run", events=clock.steps, **options, max_minutes=0.5) == 0
    assert train(tmp_path / "parts", events=clock.steps, **options, max_minutes=1 / 6) == 0
    clock.now += 1e6
    assert train(tmp_path / "parts", events=clock.steps, resume=True, max_minutes=0.5) == 0
    # a step starts after 0, 1 … 29 of 30 seconds
    expected = [SMALL["lr"] * (1 + math.cos(math.pi * s / 30)) / 2 for s in range(30)]
    for name, first in (("run", 0), ("parts", 10)):
        rates = [line["lr"] for line in metrics.read(tmp_path / name) if line["kind"] == "train"]
        assert len(rates) == 30
        assert rates[first:] == pytest.approx(expected[first:])
        assert weights.load(tmp_path / name / training.WEIGHTS)[1]["minutes"] == 0.5


def test_a_machine_that_sleeps_does_not_use_up_the_time(tmp_path, clock):
    """Nor does Ctrl-Z: Windows' clock counts on while a laptop is closed, and every clock does for a process that is stopped."""

    def sleep():
        clock.now += 3601
        clock.slept += 3600

    assert train(tmp_path / "run", events=clock.steps | {7: sleep}, **SMALL, max_minutes=0.5) == 0
    assert weights.load(tmp_path / "run" / training.WEIGHTS)[1]["steps"] == 30
    assert weights.load(tmp_path / "run" / training.WEIGHTS)[1]["minutes"] == 0.5


def test_a_busy_machine_is_not_asleep(tmp_path, clock):
    """A process that gets half of a CPU, or a quarter, waits for minutes while it validates; the run has the time that was asked for."""

    def wait():
        clock.now += 400
        clock.slept += 300

    assert train(tmp_path / "run", events=clock.steps | {7: wait}, **SMALL, steps=99, max_minutes=8) == 0
    assert weights.load(tmp_path / "run" / training.WEIGHTS)[1]["steps"] == 81


@pytest.mark.parametrize("asleep", [False, True])
def test_between_two_checkpoints_lies_the_time_that_was_asked_for(tmp_path, monkeypatch, clock, asleep):
    """And the speed is told without the time that a checkpoint takes, or in which the machine sleeps meanwhile."""
    saved = []

    def save(_, state):
        saved.append(state.counters.step)
        clock.now += 100
        clock.slept += 100 * asleep

    monkeypatch.setattr(training, "save_checkpoint", save)
    train(tmp_path / "run", events=clock.steps, **SMALL, steps=20, save_every=0.1)
    assert saved == [0, 6, 12, 18, 20]
    told = [line for line in metrics.read(tmp_path / "run") if line["kind"] == "train"]
    elapsed = [5, 10, 15, 20] if asleep else [5, 110, 215, 320]
    assert [(line["step"], line["elapsed"]) for line in told] == list(zip([5, 10, 15, 20], elapsed, strict=True))
    assert {line["positions_per_second"] for line in told} == {SMALL["batch_size"]}


def test_the_time_that_is_left():
    """Until the steps are done or the time is up, whichever comes first; with neither given a run takes an hour."""
    assert [training._clock(seconds) for seconds in (0, 59.6, 3725.4)] == ["0:00:00", "0:01:00", "1:02:05"]
    for options, seconds, left in (({}, 3600, 3543), ({"steps": 100}, math.inf, 10), ({"steps": 100, "max_minutes": 1}, 60, 3)):
        config = TrainingConfig(**options)
        assert config.seconds == seconds
        assert training._seconds_left(config, 60, 57.0, 4.0) == left
    assert training._seconds_left(TrainingConfig(max_minutes=1), 60, 61.0, 4.0) == 0


def test_it_says_so_when_the_loss_is_lost_and_keeps_what_was_good(tmp_path):
    options = SMALL | {"optimizer": "sgd", "lr": 100.0, "warmup_steps": 0, "grad_clip": 0.0, "kind": "alphago", "precision": "float32"}
    with pytest.raises(TrainingError, match="smaller --lr"):
        train(tmp_path / "run", **options, steps=500, save_every=0)
    assert all(torch.isfinite(tensor).all() for name, tensor in tensors(tmp_path / "run").items() if name.startswith("network/"))


# ---------------------------------------------------------------------------------------------------------------------
# Starting, resuming, refusing


def test_a_folder_in_use_is_not_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for resume, sentence in ((False, "is not empty; --resume"), (True, "holds no run to resume")):
        with pytest.raises(TrainingError, match=sentence):
            train(tmp_path, resume=resume, **SMALL, steps=5)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_weights_without_a_checkpoint_are_not_lost(tmp_path):
    run = tmp_path / "run"
    assert train(run, **SMALL, steps=2) == 0
    (run / training.CHECKPOINT).unlink()
    before = (run / training.WEIGHTS).read_bytes()
    with pytest.raises(TrainingError, match=r"--init .*weights.safetensors"):
        train(run, resume=True, **SMALL, steps=3)
    assert (run / training.WEIGHTS).read_bytes() == before
    with pytest.raises(TrainingError, match="is a file"):
        train(run / training.WEIGHTS, resume=True, **SMALL, steps=3)


def test_resume_of_nothing_starts(tmp_path):
    assert train(tmp_path / "run", resume=True, **SMALL, steps=2) == 0
    assert training.load_checkpoint(tmp_path / "run" / training.CHECKPOINT).counters.step == 2


def test_a_finished_run_can_be_prolonged_but_not_changed(tmp_path, capsys):
    run = tmp_path / "run"
    train(run, **SMALL, steps=6)
    before = (run / training.CHECKPOINT).read_bytes()
    assert train(run, resume=True, **SMALL) == 0
    assert "already finished, at step 6; more --steps go on" in capsys.readouterr().err
    assert (run / training.CHECKPOINT).read_bytes() == before
    for changes in ({"filters": 16}, {"seed": 4}, {"lr": 1e-3}, {"batch_size": 32}, {"kind": "alphago"}):
        (name,) = changes
        with pytest.raises(TrainingError, match=f"started with --{name.replace('_', '-')} .*--init"):
            train(run, resume=True, **SMALL | changes)
    assert train(run, resume=True, steps=8, validate_every=7) == 0
    assert training.load_checkpoint(run / training.CHECKPOINT).counters.step == 8
    assert [line["step"] for line in lines(run) if line["kind"] == "validation"] == [6, 7, 8]


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data.replace(b"counters", b"countess")]
)
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    train(tmp_path / "run", **SMALL, steps=2)
    path = tmp_path / "run" / training.CHECKPOINT
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TrainingError, match="cannot be read as a checkpoint"):
        train(tmp_path / "run", resume=True)


def test_starting_from_given_weights(tmp_path):
    train(tmp_path / "first", **SMALL, steps=4)
    source = str(tmp_path / "first" / training.WEIGHTS)
    network, config = training.initial_network(source, TrainingConfig(steps=1, ema=0.0), {"filters": 8})
    assert config.lr == training.INIT_LR < TrainingConfig().lr
    assert training.initial_network(source, TrainingConfig(lr=0.01), {"lr": 0.01})[1].lr == 0.01
    assert (config.planes, config.filters, config.layers, config.kind) == ("alphago4", 8, 3, "residual")
    train(tmp_path / "second", initial=network, **SMALL | {"lr": 0.0, "steps": 1})
    for name, parameter in network.named_parameters():
        assert torch.equal(tensors(tmp_path / "second")[f"network/{name}"], parameter)
    with pytest.raises(TrainingError, match="has --layers 3, the options ask for 5"):
        training.initial_network(source, TrainingConfig(), {"layers": 5})
    weights.save(tmp_path / "13", PolicyNetwork(dataclasses.replace(network.config, size=13)), {})
    with pytest.raises(TrainingError, match="is for 13 lines, training is for 19"):
        training.initial_network(str(tmp_path / "13"), TrainingConfig(), {})


def test_from_a_teacher_alone_what_was_played_is_not_learned(tmp_path, monkeypatch):
    """The same run whatever was played, near the teacher at its end; it goes on from another folder, to the bit."""
    options = SMALL | {"batch_size": 64, "steps": 120, "lr": 2e-2, "validate_every": 1000, "ema": 0.9}
    train(tmp_path / "teacher", **options)
    monkeypatch.chdir(tmp_path)
    options["teacher"] = f"teacher/{training.WEIGHTS}"
    train(tmp_path / "taught", **options)
    stop = {20: lambda: os.kill(os.getpid(), signal.SIGINT)} if os.name != "nt" else {}
    batch = Synthetic.batch
    monkeypatch.setattr(Synthetic, "batch", lambda self, step: (batch(self, step)[0], torch.zeros(64, dtype=torch.int64)))
    assert train(tmp_path / "other", events=stop, **options) == (130 if stop else 0)
    monkeypatch.chdir("/")
    train(tmp_path / "other", resume=True, **options | {"teacher": str(tmp_path / "teacher" / training.WEIGHTS)})
    one, two = (load_file(tmp_path / name / training.WEIGHTS) for name in ("taught", "other"))
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    monkeypatch.undo()
    planes, targets = Synthetic(200, seed=7).batch(0)
    with torch.no_grad():
        right = [(weights.load(tmp_path / name / training.WEIGHTS)[0](planes.float()).argmax(1) == targets).float().mean()
                 for name in ("teacher", "taught")]  # fmt: skip
    assert min(right) > 0.6
    description = weights.load(tmp_path / "taught" / training.WEIGHTS)[1]
    assert description["training"]["teacher"] == training.WEIGHTS  # the file's name, not where it lay


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_the_target_is_the_teachers_probabilities_and_the_played_move(weight):
    config = TrainingConfig(teacher="playouts", teacher_weight=weight)
    board, played = Board(19), torch.tensor([60, 300])
    first = encode(board)
    board.play("Q16")
    planes = torch.from_numpy(np.stack([first, encode(board)]))
    network, _ = weights.load("playouts")
    with torch.no_grad():
        expected = weight * network.eval()(planes.float()).softmax(1)
    for i in range(2):
        expected[i, played[i]] += 1 - weight
    target = training.Teacher(config, CPU)(planes.to(torch.bfloat16), played, 0)
    assert target.sum(1).tolist() == pytest.approx([1, 1], abs=1e-5)
    np.testing.assert_allclose(target, expected, atol=0.03)  # the teacher computes in 8-bit integers or bf16


def test_a_teacher_is_asked_about_views_of_a_settled_board():
    """Of all eight the mean, of one the answer about one of them; a board with few stones is not turned."""
    board, boards = Board(19), []
    rng = np.random.default_rng(7)
    for stones in range(training.SETTLED + 12):
        boards.append(encode(board))
        board.play(int(rng.choice(np.flatnonzero(board.stones().ravel() == 0))))
        assert np.count_nonzero(board.stones()) == stones + 1, "nothing was captured"
    planes = torch.from_numpy(np.stack(boards)).float()
    network, _ = weights.load("playouts")
    views = np.stack([symmetry.apply(planes.numpy(), k) for k in range(symmetry.COUNT)], axis=1)
    with torch.no_grad():
        turned = network.eval()(torch.from_numpy(views).flatten(0, 1)).softmax(1).view(len(boards), symmetry.COUNT, 19, 19).numpy()
    expected = np.stack([symmetry.apply(turned[:, k], int(symmetry.INVERSE[k])) for k in range(symmetry.COUNT)], axis=1).reshape(-1, 8, 361)

    def target(views: int, step: int = 0, seed: int = 1, rank: int = 0, world: int = 1) -> np.ndarray:
        workers = Workers(CPU.device, rank, world)
        teacher = training.Teacher(TrainingConfig(teacher="playouts", teacher_views=views, seed=seed), workers)
        teacher.policy = policy.Policy(weights.load("playouts")[0], {}, CPU.device, "float32")
        part = planes.tensor_split(world)[rank]
        return teacher(part, torch.zeros(len(part), dtype=torch.int64), step).numpy()

    few, settled = slice(training.SETTLED), slice(training.SETTLED, None)
    np.testing.assert_allclose(target(8)[settled], expected[settled].mean(1), atol=1e-5)
    for views in (1, 8):
        np.testing.assert_allclose(target(views)[few], expected[few, 0], atol=1e-5)
    one = target(1)
    near = np.abs(one[settled, None] - expected[settled]).max(2)  # (boards, views)
    assert near.min(1).max() < 1e-5
    assert len(np.unique(near.argmin(1))) > 1, "boards of one batch are turned each in its way"
    two = target(2)[settled]
    pairs = (expected[settled, :, None] + expected[settled, None]) / 2
    pairs[:, np.arange(8), np.arange(8)] = np.inf  # no view twice
    assert np.abs(two[:, None, None] - pairs).max(3).min((1, 2)).max() < 1e-5
    assert np.array_equal(one, target(1)), "a run that goes on draws the same views"
    assert not np.array_equal(one, target(1, step=1))
    assert not np.array_equal(one, target(1, seed=2))
    np.testing.assert_allclose(np.concatenate([target(1, rank=rank, world=2) for rank in (0, 1)]), one, atol=1e-5)


def test_a_teacher_is_asked_once_about_a_batch_that_comes_again(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "APART", 3)
    made: list[Synthetic] = []
    asked: list[torch.Tensor] = []
    teachers: list[training.Teacher] = []

    class Kept(training.Teacher):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            teachers.append(self)

    monkeypatch.setattr(training, "Teacher", Kept)
    init, ask = Synthetic.__init__, training.policy.Policy.log_probabilities

    def seen(self, *arguments, **options):
        init(self, *arguments, **options)
        made.append(self)

    def told(self, planes):
        asked.append(planes.clone())
        return ask(self, planes)

    monkeypatch.setattr(training.policy.Policy, "log_probabilities", told)
    torch.manual_seed(1)
    weights.save(tmp_path / "teacher.safetensors", PolicyNetwork(PolicyConfig("alphago4", 4, 8, 3)), {})
    options = SMALL | {"steps": 14, "teacher": str(tmp_path / "teacher.safetensors"), "teacher_uses": 2, "teacher_weight": 0.75}
    monkeypatch.setattr(Synthetic, "__init__", seen)
    train(tmp_path / "whole", **options)
    assert made[0].asked[:14] == [0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7]
    monkeypatch.setattr(Synthetic, "__init__", init)
    batches_ = Synthetic(SMALL["batch_size"], SMALL["seed"])
    assert len(asked) == 8
    assert len(teachers[0]._answers) == 3, "no more are kept than come again"
    assert all(torch.equal(planes, batches_.batch(number)[0].float()) for number, planes in enumerate(asked))

    # Stopped between the two uses of a batch, it asks again and comes to the same weights.
    stop = {1: lambda: os.kill(os.getpid(), signal.SIGINT)} if os.name != "nt" else {}
    assert train(tmp_path / "parts", events=stop, **options) == (130 if stop else 0)
    train(tmp_path / "parts", resume=True, **options)
    one, two = (load_file(tmp_path / name / training.WEIGHTS) for name in ("whole", "parts"))
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    with pytest.raises(TrainingError, match="was started with --teacher-uses 2, and cannot go on with 3"):
        train(tmp_path / "parts", resume=True, **options | {"teacher_uses": 3})


def test_teachers_that_cannot_teach(tmp_path):
    with pytest.raises(WeightsError, match=r"nobody\.safetensors' does not exist"):
        train(tmp_path / "run", **SMALL, steps=1, teacher="nobody.safetensors")
    with pytest.raises(TrainingError, match="--teacher fast reads the planes alphago48, the options ask for alphago4"):
        train(tmp_path / "run", **SMALL, steps=1, teacher="fast")
    with pytest.raises(TrainingError, match="--teacher-weight is given and no --teacher"):
        TrainingConfig(teacher_weight=0.5)
    with pytest.raises(TrainingError, match="--teacher-uses is given and no --teacher"):
        TrainingConfig(teacher_uses=3)
    with pytest.raises(TrainingError, match="--teacher-views is given and no --teacher"):
        TrainingConfig(teacher_views=1)
    with pytest.raises(TrainingError, match="--teacher-views is 9, expected 0 to 8"):
        TrainingConfig(teacher="fast", teacher_views=9)
    with pytest.raises(TrainingError, match="--teacher-uses is 0, expected 1 to 1000"):
        TrainingConfig(teacher="fast", teacher_uses=0)
    with pytest.raises(TrainingError, match=r"--teacher-weight is 1\.5, expected 0 to 1"):
        TrainingConfig(teacher="fast", teacher_weight=1.5)


def pack_random_games(folder: Path, out: Path, seed: int, games_: int = 60) -> None:
    """Packs a few games of stones put anywhere; 60 are enough games that each split has some."""
    chance = np.random.default_rng(seed)
    folder.mkdir()
    for number in range(games_):
        points = chance.permutation(361)[:30]  # too few for a capture, so all of them are legal
        moves = "".join(f";{'BW'[i % 2]}[{point_to_sgf(int(point), 19)}]" for i, point in enumerate(points))
        (folder / f"{number:03}.sgf").write_text(f"(;FF[4]GM[1]SZ[19]KM[6.5]{moves})")
    games.pack([folder], out)


def run_command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    training.add_arguments(parser)
    return training.run(parser.parse_args(list(arguments)))


def test_too_few_games_to_measure_on_train_all_the_same(tmp_path, capsys):
    pack_random_games(tmp_path / "sgf", tmp_path / "games.gpk", 3, games_=5)
    assert games.PackedGames.open(tmp_path / "games.gpk").summary()["splits"] == {"train": 5, "validation": 0, "test": 0}
    source, run = str(tmp_path / "games.gpk"), tmp_path / "run"
    options = ["--planes=alphago4", "--filters=4", "--layers=2", "--batch-size=16", "--threads=1", "--batch-threads=1"]
    assert run_command(source, "--out", str(run), *options, "--steps=3", "--validate-every=1", "--log-every=1") == 0
    assert "none of the 5 games in" in capsys.readouterr().err
    assert run_command("--out", str(run), "--resume", "--steps=5") == 0
    assert [(line["kind"], line["step"]) for line in metrics.read(run)] == [("train", step) for step in (1, 2, 3, 4, 5)]
    description = weights.load(run / training.WEIGHTS)[1]
    assert description["accuracy"] == {}
    assert description["steps"] == 5


def test_a_run_goes_on_with_the_same_teacher(tmp_path):
    pack_random_games(tmp_path / "sgf", tmp_path / "games.gpk", 1)
    source, run, teacher = (str(tmp_path / name) for name in ("games.gpk", "run", "teacher.safetensors"))
    options = ["--filters=4", "--layers=2", "--batch-size=16", "--threads=1", "--batch-threads=1", "--validation-positions=16"]
    for seed in (1, 2):
        torch.manual_seed(seed)
        weights.save(tmp_path / f"{seed}.safetensors", PolicyNetwork(PolicyConfig(filters=4, layers=2)), {})
    shutil.copy(tmp_path / "1.safetensors", teacher)
    assert run_command(source, "--out", run, "--teacher", teacher, *options, "--steps=1") == 0
    digest = hashlib.sha256((tmp_path / "1.safetensors").read_bytes()).hexdigest()[:16]
    assert weights.load(tmp_path / "run" / training.WEIGHTS)[1]["data"]["teacher_digest"] == digest
    shutil.copy(tmp_path / "2.safetensors", teacher)
    before = (tmp_path / "run" / training.CHECKPOINT).read_bytes()
    with pytest.raises(TrainingError, match=r"teacher\.safetensors is not the network that has taught the run in .* so far: name that one"):
        run_command("--out", run, "--resume", "--steps=2")
    assert (tmp_path / "run" / training.CHECKPOINT).read_bytes() == before
    Path(teacher).unlink()
    with pytest.raises(WeightsError, match=r"teacher\.safetensors' does not exist"):
        run_command("--out", run, "--resume", "--steps=2")
    with pytest.raises(TrainingError, match=f"was started with --teacher {teacher}, and cannot go on with ''"):
        training.prepare(Path(run), True, {"teacher": ""})
    assert run_command("--out", run, "--resume", "--teacher", str(tmp_path / "1.safetensors"), "--steps=2") == 0  # it has moved
    assert run_command("--out", run, "--resume", "--steps=3") == 0
    older = tmp_path / "older"  # of a version that did not note the digest: a name is all there is to compare
    shutil.copytree(run, older)
    checkpoint = training.load_checkpoint(older / training.CHECKPOINT)
    del checkpoint.facts["teacher_digest"]
    training.save_checkpoint(older / training.CHECKPOINT, checkpoint)
    with pytest.raises(TrainingError, match=r"was started with --teacher .*1\.safetensors, and cannot go on with playouts"):
        run_command("--out", str(older), "--resume", "--teacher", "playouts", "--steps=4")
    untaught = str(tmp_path / "untaught")
    assert run_command(source, "--out", untaught, *options, "--steps=1") == 0
    with pytest.raises(TrainingError, match="was started with --teacher '', and cannot go on with playouts"):
        run_command("--out", untaught, "--resume", "--teacher", "playouts", "--steps=2")


@pytest.mark.parametrize("turned", [True, False])
def test_positions_are_of_their_split_and_turned_or_stay_as_they_lie(tmp_path, monkeypatch, turned):
    pack_random_games(tmp_path / "sgf", tmp_path / "games.gpk", 1)
    packed = games.PackedGames.open(tmp_path / "games.gpk")
    made: list[batches.Batches] = []
    measured: set[int] = set()

    class Seen(batches.Batches):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(self)

    def fixed(*arguments, **options):
        for planes, targets, info in batches.fixed(*arguments, **options):
            measured.update(info["game"].tolist())
            yield planes, targets, info

    monkeypatch.setattr(training, "Batches", Seen)
    monkeypatch.setattr(training, "fixed", fixed)
    options = ["--filters=4", "--layers=2", "--batch-size=16", "--threads=1", "--batch-threads=1", "--validation-positions=16", "--steps=1"]
    run = str(tmp_path / "run")
    assert run_command(str(tmp_path / "games.gpk"), "--out", run, "--seed=7", *options, *([] if turned else ["--no-augment"])) == 0
    (training_batches,) = made
    assert (training_batches.augment, training_batches.seed) == (turned, 7)
    assert training_batches.games.tolist() == packed.indices("train").tolist()
    assert measured
    assert measured <= set(packed.indices("validation").tolist())
    assert weights.load(tmp_path / "run" / training.WEIGHTS)[1]["training"]["augment"] == turned
    with pytest.raises(TrainingError, match=f"was started with --augment {turned}, and cannot go on with {not turned}"):
        run_command("--out", run, "--resume", "--no-augment" if turned else "--augment")


def test_one_process_trains_in_a_folder(tmp_path):
    pack_random_games(tmp_path / "sgf", tmp_path / "games.gpk", 1)
    source, run = str(tmp_path / "games.gpk"), tmp_path / "run"
    options = ["--filters=4", "--layers=2", "--batch-size=16", "--threads=1", "--batch-threads=1", "--validation-positions=16", "--steps=1"]
    run.mkdir()
    with training.alone(run, None):
        with pytest.raises(TrainingError, match="another process trains in"):
            run_command(source, "--out", str(run), *options)
        assert [path.name for path in run.iterdir()] == [training.LOCK]
    assert run_command(source, "--out", str(run), *options) == 0
    with training.alone(run, training.state(run)), pytest.raises(TrainingError, match="another process trains in"):
        run_command("--out", str(run), "--resume", "--steps=2")
    assert run_command("--out", str(run), "--resume", "--steps=2") == 0


def test_too_little_memory_is_told(tmp_path, monkeypatch):
    pack_random_games(tmp_path / "sgf", tmp_path / "games.gpk", 1)
    said = ["[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to …"]
    errors = [RuntimeError(*said), torch.OutOfMemoryError("CUDA out of memory."), MemoryError()]
    errors.append(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    errors.append(torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be …"))
    for number, error in enumerate(errors):

        def full(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(training.F, "cross_entropy", full)
        options = ["--filters=4", "--layers=2", "--batch-size=16", "--threads=1", "--steps=1"]
        with pytest.raises(TrainingError, match=r"not the memory for steps of 16 positions: take a smaller --batch-size"):
            run_command(str(tmp_path / "games.gpk"), "--out", str(tmp_path / f"run{number}"), *options)


def test_a_gpu_that_is_lost_says_what_is_kept(tmp_path, monkeypatch, capsys):
    pack_random_games(tmp_path / "sgf", tmp_path / "games.gpk", 1)
    run, calls = tmp_path / "run", []
    cross_entropy = training.F.cross_entropy

    def lost(*arguments, **options):
        calls.append(1)
        if len(calls) > 5:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be …")
        return cross_entropy(*arguments, **options)

    monkeypatch.setattr(training.F, "cross_entropy", lost)
    options = ["--filters=4", "--layers=2", "--batch-size=16", "--threads=1", "--save-every=0"]
    with pytest.raises(TrainingError, match=r"^the device failed: CUDA error: unspecified launch failure$"):
        run_command(str(tmp_path / "games.gpk"), "--out", str(run), *options, "--steps=10")
    said = capsys.readouterr().err
    assert "kept is the run up to step 5" in said
    assert f"to go on: gopolicy train --out {run} --resume" in said
    monkeypatch.undo()
    assert run_command("--out", str(run), "--resume") == 0


def test_the_same_weights_by_another_path(tmp_path, monkeypatch):
    pack_random_games(tmp_path / "sgf", tmp_path / "games.gpk", 1)
    torch.manual_seed(1)
    weights.save(tmp_path / "w", PolicyNetwork(TrainingConfig(filters=4, layers=2).network()), {})
    monkeypatch.chdir(tmp_path)
    options = ["--batch-size=16", "--threads=1", "--batch-threads=1", "--validation-positions=16"]
    assert run_command("games.gpk", "--out", "run", "--init", "w", *options, "--steps=1") == 0
    assert weights.load("run/weights.safetensors")[1]["data"]["init"] == "w"
    assert run_command("--out", "run", "--resume", "--init", str(tmp_path / "w"), "--steps=2") == 0
    assert run_command("--out", "run", "--resume", "--init", "./w", "--steps=3") == 0
    with pytest.raises(TrainingError, match="was started from w, and cannot go on from"):
        run_command("--out", "run", "--resume", "--init", "run/weights.safetensors", "--steps=3")


def test_what_another_process_has_trained_meanwhile_is_not_lost(tmp_path, monkeypatch):
    """It ends after this one has read the checkpoint, and before this one holds the folder."""
    pack_random_games(tmp_path / "sgf", tmp_path / "games.gpk", 1)
    source, run = str(tmp_path / "games.gpk"), tmp_path / "run"
    options = ["--filters=4", "--layers=2", "--batch-size=16", "--threads=1", "--batch-threads=1", "--validation-positions=16"]
    assert run_command(source, "--out", str(run), *options, "--steps=1") == 0
    load, waiting = training.load_checkpoint, [True]

    def slow(path):
        read = load(path)
        if waiting:
            waiting.clear()
            assert run_command("--out", str(run), "--resume", "--steps=3") == 0
        return read

    monkeypatch.setattr(training, "load_checkpoint", slow)
    with pytest.raises(TrainingError, match="another process has trained in"):
        run_command("--out", str(run), "--resume", "--steps=2")
    assert load(run / training.CHECKPOINT).counters.step == 3
    assert run_command("--out", str(run), "--resume", "--steps=4") == 0


def test_the_command_on_packed_games(tmp_path, capsys):
    """Start, go on, start from the weights: with real batches, and the facts of the games in the weights' description."""
    pack_random_games(tmp_path / "sgf", tmp_path / "games.gpk", 1)
    pack_random_games(tmp_path / "other", tmp_path / "other.gpk", 2)
    source, run = str(tmp_path / "games.gpk"), str(tmp_path / "run")
    options = ["--planes=alphago12", "--filters=4", "--layers=2", "--batch-size=16", "--threads=1", "--batch-threads=1"]
    assert run_command(source, "--out", run, *options, "--steps=3", "--validation-positions=40") == 0
    description = weights.load(tmp_path / "run" / training.WEIGHTS)[1]
    assert description["data"]["file"] == "games.gpk"
    assert description["data"]["games"] == 60
    assert description["data"]["splits"]["validation"] * 30 >= description["accuracy"]["positions"]
    assert str(tmp_path) not in json.dumps(description)
    with pytest.raises(TrainingError, match=r"other\.gpk holds other games"):
        run_command(str(tmp_path / "other.gpk"), "--out", run, "--resume")
    assert run_command("--out", run, "--resume", "--steps=5") == 0  # the games are where they were
    assert training.load_checkpoint(tmp_path / "run" / training.CHECKPOINT).counters.step == 5
    source = shutil.move(source, str(tmp_path / "moved.gpk"))
    assert run_command(source, "--out", run, "--resume", "--steps=6") == 0
    assert run_command("--out", run, "--resume", "--steps=7") == 0  # where they were last
    leg = str(tmp_path / "leg")
    assert run_command(str(tmp_path / "other.gpk"), "--out", leg, "--init", f"{run}/{training.WEIGHTS}", *options[3:], "--steps=1") == 0
    description = weights.load(tmp_path / "leg" / training.WEIGHTS)[1]
    assert description["data"]["init"] == training.WEIGHTS
    assert description["network"]["planes"] == "alphago12"
    with pytest.raises(TrainingError, match=r"was started from weights\.safetensors, and cannot go on from default"):
        run_command("--out", leg, "--resume", "--init", "default")
    fresh = str(tmp_path / "fresh")
    with pytest.raises(training.OptionError, match="--hold-statistics is given and no --init"):
        run_command(source, "--out", fresh, *options, "--hold-statistics", "--steps=1")
    plain = PolicyNetwork(PolicyConfig(planes="alphago12", in_planes=PLANE_SETS["alphago12"].planes, filters=4, layers=2, kind="alphago"))
    weights.save(tmp_path / "plain.safetensors", plain, {})
    with pytest.raises(training.OptionError, match="networks of the kind alphago have no batch normalisation"):
        run_command(source, "--out", fresh, "--init", str(tmp_path / "plain.safetensors"), "--hold-statistics", "--steps=1")
    assert not Path(fresh).exists()
    network, told = weights.load(f"{run}/{training.WEIGHTS}")
    weights.save(tmp_path / "folded.safetensors", network.folded(), {"data": told["data"]})
    folded = str(tmp_path / "folded.safetensors")
    still = ["--lr=0", "--ema=0", "--weight-decay=0"]
    assert run_command(source, "--out", str(tmp_path / "third"), "--init", folded, *options[3:], *still, "--steps=1") == 0
    assert f"of {folded} is measured again, on 4,096 positions" in capsys.readouterr().err
    trained, _ = weights.load(tmp_path / "third" / training.WEIGHTS)
    assert not trained.config.folded
    planes = next(batches.fixed(games.PackedGames.open(source), "train", planes="alphago12", max_positions=50))[0]
    with torch.no_grad():  # but for the running statistics, which a step has moved a little
        np.testing.assert_allclose(trained(planes.float()), network(planes.float()), atol=0.05)
    with pytest.raises(TrainingError, match="no packed games given"):
        run_command("--out", str(tmp_path / "new"), *options)
    with pytest.raises(DeviceError, match=r"device 'abacus' is not to be had here \(torch knows none"):
        run_command(source, "--out", str(tmp_path / "new"), "--device=abacus", *options)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lr": -1.0}, "--lr is -1.0, expected 0 to 100"),
        ({"lr": math.nan}, "--lr is nan"),
        ({"lr": "1e-3"}, "--lr is '1e-3', expected a number"),
        ({"lr": np.complex64(1)}, r"--lr is \(1\+0j\), expected a number"),
        ({"steps": 2.5}, "--steps is 2.5, expected a whole number"),
        ({"augment": "no"}, "--augment is 'no', expected True or False"),
        ({"planes": ["alphago48"]}, "--planes is .*, expected text"),
        ({"teacher": Path("fast")}, "--teacher is .*, expected text"),
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"decay": "step"}, "--decay is 'step', expected one of cosine"),
        ({"planes": "alphago49"}, "--planes is 'alphago49', expected one of .*alphago48"),
        ({"filters": 0}, "filters is 0"),
        ({"layers": 5000}, "layers is 5000"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, sentence):
    with pytest.raises(TrainingError, match=sentence):
        TrainingConfig(**options).network()


def test_options_that_are_numbers_of_numpys_are_kept_in_checkpoints():
    """Which are JSON, and know none of these."""
    config = TrainingConfig(batch_size=np.int64(256), lr=np.float32(0.5), augment=np.False_)
    assert json.loads(json.dumps(dataclasses.asdict(config))) == dataclasses.asdict(TrainingConfig(batch_size=256, lr=0.5, augment=False))


def test_folded_weights_are_trained_with_the_statistics_of_many_batches():
    """In training every batch has its own: were those of the start of one small batch, the first steps would see another function."""
    config = TrainingConfig(**SMALL | {"precision": "float32"})
    network = PolicyNetwork(config.network())
    source = Synthetic(config.batch_size, config.seed)
    unfolded = training.unfolded(network.folded(), config, source, CPU)
    assert len(source.asked) * config.batch_size == training.UNFOLD_POSITIONS
    seen: dict[torch.nn.Module, torch.Tensor] = {}
    for layer in unfolded.layers:
        layer.register_forward_pre_hook(lambda layer, given: seen.update({layer.norm: layer.conv(given[0]).double()}))
    with torch.no_grad():
        unfolded(torch.cat([Synthetic(config.batch_size, config.seed).batch(step)[0] for step in source.asked]).float())
    for norm, inputs in seen.items():
        variance, mean = torch.var_mean(inputs, dim=(0, 2, 3), correction=0)
        np.testing.assert_allclose(norm.running_mean, mean, atol=1e-4)
        np.testing.assert_allclose(norm.running_var, variance, rtol=1e-4)
    assert len(seen) == config.layers


def test_statistics_that_are_held_stay(tmp_path):
    config = TrainingConfig(**SMALL)
    source = Synthetic(config.batch_size, config.seed)
    with torch.no_grad():
        network = PolicyNetwork(config.network())
        for parameter in network.parameters():
            parameter.normal_(std=0.2)
    initial = training.unfolded(network.folded(), config, source, CPU)
    options = SMALL | {"steps": 12, "validate_every": 5}
    straight, broken, free = (tmp_path / name for name in ("straight", "broken", "free"))
    assert train(straight, initial=initial, hold_statistics=True, **options) == 0
    assert train(broken, initial=initial, hold_statistics=True, **options | {"steps": 7}) == 0
    assert train(broken, resume=True, steps=12) == 0
    assert train(free, initial=initial, **options) == 0
    before, moved = initial.state_dict(), load_file(free / training.WEIGHTS)
    for run in (straight, broken):
        held = load_file(run / training.WEIGHTS)
        for name, tensor in held.items():
            statistic = name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked")
            assert torch.equal(tensor, before[name]) == statistic, name
            assert not torch.equal(moved[name], before[name])
        assert weights.load(run / training.WEIGHTS)[1]["training"]["hold_statistics"] is True


def test_folded_weights_are_measured_with_the_threads_of_the_run():
    """Else they take all cores, and the statistics, to the bit, are those of this machine alone."""
    config = TrainingConfig(**SMALL | {"threads": torch.get_num_threads() + 1})
    seen: list[int] = []
    source = Synthetic(config.batch_size, events={0: lambda: seen.append(torch.get_num_threads())})
    training.unfolded(PolicyNetwork(config.network()).folded(), config, source, CPU)
    assert seen == [config.threads]


def test_a_batch_is_made_of_whole_shares_of_games(tmp_path):
    with pytest.raises(training.OptionError, match=f"--batch-size is 17, expected a multiple of {batches.PER_GAME}"):
        training.prepare(tmp_path / "run", False, {"batch_size": 17})


def test_the_command_line_has_every_option():
    parser = argparse.ArgumentParser()
    training.add_arguments(parser)
    args = parser.parse_args(["g.gpk", "--out", "run", "--batch-size", "64", "--decay", "half-every", "--max-minutes", "1.5", "--compile"])
    assert (args.games, args.out, args.resume, args.init) == ("g.gpk", Path("run"), False, None)
    assert {name: value for name, value in vars(args).items() if name not in ("games", "out", "resume", "init")} == {
        "batch_size": 64, "decay": "half-every", "max_minutes": 1.5, "compile": True,
    }  # fmt: skip
    assert parser.parse_args(["--out", "run", "--resume", "--no-compile"]).compile is False
    for field in dataclasses.fields(TrainingConfig):
        assert f"--{field.name.replace('_', '-')}" in parser.format_help()
    for wrong in (["--out", "run", "--kind", "dense"], *(["--out", "run", option, ""] for option in ("--out", "--init", "--teacher"))):
        with pytest.raises(SystemExit):
            parser.parse_args(["g.gpk", *wrong])


# ---------------------------------------------------------------------------------------------------------------------
# The pieces


def test_learning_rates_by_steps_do_not_see_the_clock():
    config = TrainingConfig(steps=1000, max_minutes=5, lr=1.0, warmup_steps=9, final_lr=0.1)
    assert learning_rate(config, 500, 1e9) == learning_rate(config, 500, 0.0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"decay": "constant"}, {0: 0.1, 4: 0.5, 9: 1, 500: 1, 1000: 1}),
        ({"decay": "linear"}, {500: 0.55, 1000: 0.1, 2000: 0.1}),
        ({"decay": "cosine"}, {0: 0.1, 250: 0.1 + 0.9 * (1 + 0.5**0.5) / 2, 500: 0.55, 1000: 0.1}),
        ({"decay": "half-every", "half_every": 300}, {299: 1, 300: 0.5, 899: 0.25, 900: 0.125}),
        ({"decay": "constant", "warmup_steps": 999}, {0: 0.001, 25: 0.5, 50: 1}),  # at most a twentieth of the run
    ],
)
def test_learning_rates(options, expected):
    config = TrainingConfig(**{"steps": 1000, "lr": 1.0, "warmup_steps": 9, "final_lr": 0.1} | options)
    assert {step: learning_rate(config, step, 0.0) for step in expected} == pytest.approx(expected)


def test_only_convolutions_are_decayed():
    network = PolicyNetwork(TrainingConfig(**SMALL).network())
    optimizer = training.make_optimizer(TrainingConfig(**SMALL, weight_decay=0.5), network, torch.device("cpu"))
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    decayed = {name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])}
    assert decayed == {"first.conv.weight", "tower.0.conv.weight", "tower.1.conv.weight", "output.weight"}


def adam(value: np.ndarray, gradients: list[np.ndarray], lr: float, decay: float) -> np.ndarray:
    """Kingma & Ba 2015, algorithm 1, with the decay beside the gradient of Loshchilov & Hutter 2019."""
    mean = square = 0.0
    for t, gradient in enumerate(gradients, start=1):
        mean, square = 0.8 * mean + 0.2 * gradient, 0.999 * square + 0.001 * gradient**2
        value = value - lr * decay * value - lr * (mean / (1 - 0.8**t)) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
    return value


def nesterov(value: np.ndarray, gradients: list[np.ndarray], lr: float, decay: float) -> np.ndarray:
    """Sutskever et al. 2013: the gradient is that of the point to which the velocity leads, here ``value``."""
    position, velocity = value, 0.0
    for gradient in gradients:
        velocity = 0.8 * velocity - lr * (gradient + decay * value)
        position = position + velocity
        value = position + 0.8 * velocity
    return value


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "sgd"])
def test_optimizers_step_as_published(optimizer):
    config = TrainingConfig(**SMALL | {"optimizer": optimizer, "lr": 0.1, "momentum": 0.8, "weight_decay": 0.5})
    network = PolicyNetwork(config.network())
    stepping = training.make_optimizer(config, network, torch.device("cpu"))
    start = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    chance = torch.Generator().manual_seed(5)
    gradients = {name: [size * torch.randn(value.shape, generator=chance) for size in (1, 3)] for name, value in start.items()}
    for step in range(2):
        for name, parameter in network.named_parameters():
            parameter.grad = gradients[name][step].clone()
        stepping.step()
    for name, parameter in network.named_parameters():
        kernel, moved = parameter.dim() == 4, parameter.detach().numpy()
        if kernel and optimizer == "muon":
            expected = published(start[name], gradients[name], lr=0.1, weight_decay=0.5)
            assert np.linalg.norm(moved - expected) < 0.03 * np.linalg.norm(expected - start[name].numpy()), name
        else:
            rule = nesterov if optimizer == "sgd" else adam
            expected = rule(start[name].double().numpy(), [one.double().numpy() for one in gradients[name]], 0.1, 0.5 * kernel)
            np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_average_is_the_moving_average():
    network = PolicyNetwork(TrainingConfig(**SMALL).network())
    average = training.Average(network, 0.4)
    expected = 0.0
    for step, value in enumerate([1.0, 5.0, -2.0, 3.0, 3.5, 9.0, 1.0, 2.0]):
        with torch.no_grad():
            network.point_bias.fill_(value)
            network.first.norm.running_mean.fill_(value)
            network.first.norm.num_batches_tracked.fill_(step)
        decay = min(0.4, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        average.update(step)
        torch.testing.assert_close(average.network.point_bias, torch.full((19, 19), expected))
        torch.testing.assert_close(average.network.first.norm.running_mean, torch.full((8,), expected))
        assert average.network.first.norm.num_batches_tracked == step
        assert (network.point_bias == value).all()


def test_long_gradients_are_cut(tmp_path):
    """By the length of all of them together; the step is the tenth of it that the first of nine steps of warm-up makes."""
    options = SMALL | {
        "optimizer": "sgd",
        "momentum": 0.0,
        "lr": 1.0,
        "warmup_steps": 9,
        "weight_decay": 0.0,
        "precision": "float32",
        "steps": 1,
    }
    moved = {}
    for clip in (0.0, 0.01):
        train(tmp_path / str(clip), **options, grad_clip=clip)
        torch.manual_seed(SMALL["seed"])
        start = {name: value.detach() for name, value in PolicyNetwork(TrainingConfig(**SMALL).network()).named_parameters()}
        end = tensors(tmp_path / str(clip))
        moved[clip] = math.sqrt(sum(float((end[f"network/{name}"] - value).square().sum()) for name, value in start.items()))
    assert moved[0.01] == pytest.approx(0.001, rel=1e-3)
    assert moved[0.0] > 0.005


def test_a_run_is_the_plain_loop(tmp_path):
    """Every step goes down the gradient of its own batch, every line of the metrics is the mean since the line before, and what is measured
    are the weights that are left."""
    options = SMALL | {"kind": "alphago", "optimizer": "sgd", "momentum": 0.0, "lr": 1.0, "decay": "constant", "warmup_steps": 0}
    options |= {"weight_decay": 0.0, "grad_clip": 0.0, "precision": "float32", "steps": 6, "log_every": 2}
    train(tmp_path / "run", **options)
    torch.manual_seed(SMALL["seed"])
    network = PolicyNetwork(TrainingConfig(**options).network())
    parameters = list(network.parameters())
    told = []
    for step in range(6):
        planes, targets = Synthetic(SMALL["batch_size"], SMALL["seed"]).batch(step)
        logits = network(planes.float())
        loss = torch.nn.functional.cross_entropy(logits, targets)
        told.append((loss.item(), (logits.argmax(1) == targets).float().mean().item()))
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.data -= gradient
    end = tensors(tmp_path / "run")
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(end[f"network/{name}"], parameter.detach(), rtol=1e-3, atol=1e-5)
    *found, last = [(line["loss"], line["top1"]) for line in lines(tmp_path / "run")]
    np.testing.assert_allclose(found, np.array(told).reshape(3, 2, 2).mean(axis=1), atol=5e-5)
    measured = training.measure(weights.load(tmp_path / "run" / training.WEIGHTS)[0], validation(), CPU.device, torch.float32)
    assert last == pytest.approx((measured["loss"], measured["top1"]), abs=2e-5)
    assert abs(last[0] - training.measure(network, validation(), CPU.device, torch.float32)["loss"]) > 1e-3


def test_the_averaged_weights_follow_the_option(tmp_path):
    """Each step leaves a twentieth of the average before it."""
    run = tmp_path / "run"
    train(run, **SMALL, steps=3, ema=0.05)
    before = tensors(run)
    train(run, resume=True, steps=4)
    after = tensors(run)
    names = [name.removeprefix("network/") for name in after if name.startswith("network/") and after[name].is_floating_point()]
    assert len(names) > 10
    for name in names:
        expected = torch.lerp(before[f"average/{name}"], after[f"network/{name}"], 0.95)
        torch.testing.assert_close(after[f"average/{name}"], expected)
        assert torch.equal(after[f"average/{name}"], load_file(run / training.WEIGHTS)[name])


def test_label_smoothing_spreads_a_part_of_the_target(tmp_path):
    options = SMALL | {"precision": "float32", "steps": 1, "log_every": 1}
    torch.manual_seed(SMALL["seed"])
    planes, targets = Synthetic(SMALL["batch_size"], SMALL["seed"]).batch(0)
    with torch.no_grad():
        told = PolicyNetwork(TrainingConfig(**SMALL).network()).train()(planes.float()).log_softmax(1)
    right, all_points = -told[torch.arange(len(targets)), targets].mean().item(), -told.mean().item()
    assert abs(right - all_points) > 1e-3
    for part in (0.0, 0.3):
        train(tmp_path / str(part), **options, label_smoothing=part)
        loss = next(line["loss"] for line in lines(tmp_path / str(part)) if line["kind"] == "train")
        assert loss == pytest.approx((1 - part) * right + part * all_points, abs=5e-5)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_what_ends_without_a_measurement_is_measured_by_the_next_command(tmp_path, capsys):
    """Stopped in its last step, or long enough for whoever makes it shorter."""
    for name, steps in (("last", 6), ("shorter", 20)):
        run = tmp_path / name
        assert train(run, events={5: lambda: os.kill(os.getpid(), signal.SIGINT)}, **SMALL | {"steps": steps}) == 130
        assert weights.load(run / training.WEIGHTS)[1]["accuracy"] == {}
        assert train(run, resume=True, steps=6) == 0
        assert "finished at step 6" in capsys.readouterr().err
        assert weights.load(run / training.WEIGHTS)[1]["accuracy"]["step"] == 6
        assert train(run, resume=True, steps=6) == 0
        assert "already finished, at step 6" in capsys.readouterr().err
    assert train(tmp_path / "straight", **SMALL, steps=6) == 0
    assert_same_run(tmp_path / "straight", tmp_path / "last")


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_on_a_terminal_the_progress_stays_on_one_line(tmp_path, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    train(tmp_path / "run", **SMALL, steps=10)
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("step 5 ", "step 10 ", "step 10:"))]
    assert len(shown) == 3
    assert max(map(len, shown)) < columns
    assert all(" left" in line for line in shown[:2])
    assert all(("waited" in line) == (columns == 200) for line in shown[:2])


def test_curves_that_cannot_be_drawn_stop_nothing(tmp_path, pictures, capsys):
    run = tmp_path / "run"
    (run / "curves.png").mkdir(parents=True)
    config = TrainingConfig(**SMALL, steps=6)
    assert training.train(config, run, Synthetic(16, 3), validation, {}, CPU) == 0
    assert "the curves could not be drawn: " in capsys.readouterr().err
    assert training.load_checkpoint(run / training.CHECKPOINT).counters.step == 6
    assert not list(run.glob(".curves*"))


@pytest.mark.parametrize(("whole", "damaged"), [(b"{", b"\xff"), (b'"loss"', b'"lost"')])
def test_metrics_that_were_altered_stop_nothing(tmp_path, pictures, whole, damaged, capsys):
    run = tmp_path / "run"
    train(run, **SMALL, steps=2)
    path = run / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(whole, damaged, 1))
    assert train(run, resume=True, steps=4) == 0
    assert f"the curves could not be drawn: line 1 of {path} is damaged: take it out" in capsys.readouterr().err
    assert training.load_checkpoint(run / training.CHECKPOINT).counters.step == 4


def test_without_what_draws_a_run_goes_on(tmp_path, pictures, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # as where it is not installed, or does not fit the numpy that is
    run = tmp_path / "run"
    assert train(run, **SMALL, steps=6) == 0
    assert "the curves could not be drawn: " in capsys.readouterr().err
    assert training.load_checkpoint(run / training.CHECKPOINT).counters.step == 6


@pytest.mark.parametrize("backend", ["module://no_such_package.backend_inline", "no such backend"])
def test_a_notebook_has_its_own_way_to_draw(tmp_path, backend):
    """It tells it to all programs that it starts, also to those whose environment lacks it; a name that is none stops nothing."""
    done = subprocess.run(
        command(tmp_path / "run", "--steps=10"), cwd=ROOT, env=os.environ | {"MPLBACKEND": backend}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    drawn = (tmp_path / "run" / "curves.png").exists()
    assert drawn == ("the curves could not be drawn: " not in done.stderr) == backend.startswith("module://")


@pytest.mark.skipif(os.name == "nt", reason="terminals as on POSIX")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_when_the_terminal_goes_the_run_goes_on(tmp_path, unbuffered):
    """As of a run in the background whose terminal is closed, and of one whose output a program read that has ended."""
    read, written = os.pipe()
    os.close(read)
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command(tmp_path / "run", "--steps=12"), cwd=ROOT, stderr=written, env=environment) as process:
        os.close(written)
        assert process.wait() == 0
    assert training.load_checkpoint(tmp_path / "run" / training.CHECKPOINT).counters.step == 12


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("ignored", [False, True])
def test_a_terminal_that_is_closed_ends_the_run_unless_that_is_ignored(tmp_path, ignored):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        ended = train(tmp_path / "run", events={3: lambda: os.kill(os.getpid(), signal.SIGHUP)}, **SMALL, steps=10)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert ended == (0 if ignored else 128 + signal.SIGHUP)
    assert training.load_checkpoint(tmp_path / "run" / training.CHECKPOINT).counters.step == (10 if ignored else 4)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("first", ["SIGHUP", "SIGTERM"])
def test_a_terminal_that_is_closed_ends_nothing_at_once(tmp_path, first):
    """bash tells it its programs, and the system once more when bash has ended; systemd sends both signals when a session is closed."""
    heard = []
    before = signal.signal(signal.SIGHUP, lambda *_: heard.append("at once"))

    def close():
        for number in (signal.Signals[first], signal.SIGHUP):
            os.kill(os.getpid(), number)

    try:
        ended = train(tmp_path / "run", events={3: close}, **SMALL, steps=10)
        assert ended == 128 + signal.Signals[first]
        assert heard == []
        os.kill(os.getpid(), signal.SIGHUP)
        assert heard, "as it was before the run"
    finally:
        signal.signal(signal.SIGHUP, before)
    assert training.load_checkpoint(tmp_path / "run" / training.CHECKPOINT).counters.step == 4


@pytest.mark.skipif(sys.platform != "linux", reason="tells what it has mapped")
def test_a_checkpoint_that_was_read_may_be_replaced(tmp_path):
    """As every run does that is resumed; Windows replaces no file that is part of a process's memory."""
    train(tmp_path / "run", **SMALL, steps=1)
    checkpoint = training.load_checkpoint(tmp_path / "run" / training.CHECKPOINT)
    assert checkpoint.tensors
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_only_a_gpu_of_nvidia_is_not_waited_for():
    """A copy to Apple's that is not waited for reads the planes when they are gone (pytorch issue 189690)."""
    waits = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, function, types, arguments=(), options=None):
            if function is torch.Tensor.to:
                waits.append((options or {}).get("non_blocking", False))
            return function(*arguments, **(options or {}))

    with Watch():
        training.to_device(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), torch.zeros(1), torch.device("meta"), torch.float32)
    assert waits == [False] * 3


def test_measuring_against_a_count_by_hand():
    torch.manual_seed(2)
    network = PolicyNetwork(PolicyConfig(planes="alphago4", in_planes=4, filters=5, layers=2))
    batches = [Synthetic(7, seed=4).batch(0), Synthetic(3, seed=4).batch(1)]
    result = training.measure(network, [(*batch, None) for batch in batches], torch.device("cpu"), torch.float32)
    loss, top1, top5 = [], [], []
    for planes, targets in batches:
        for position, target in zip(planes, targets.tolist(), strict=True):
            scores = network(position[None].float())[0].detach().double().numpy()
            loss.append(np.log(np.exp(scores).sum()) - scores[target])
            better = (scores > scores[target]).sum()
            top1.append(better < 1)
            top5.append(better < 5)
    assert result == pytest.approx({"loss": np.mean(loss), "top1": np.mean(top1), "top5": np.mean(top5), "positions": 10}, abs=1e-4)
    with pytest.raises(TrainingError, match="validation split holds no position"):
        training.measure(network, [], torch.device("cpu"), torch.float32)


def test_bytes_become_numbers_of_the_same_value():
    planes = torch.tensor([0, 1, 255, -1], dtype=torch.int16)
    for kind in (torch.uint8, torch.int8):
        moved, _ = training.to_device(planes.to(kind).reshape(1, 1, 2, 2), torch.zeros(1), torch.device("cpu"), torch.bfloat16)
        assert moved.dtype == torch.bfloat16
        assert moved.flatten().tolist() == [float(value) for value in planes.to(kind).tolist()]


# ---------------------------------------------------------------------------------------------------------------------
# Metrics


@pytest.mark.parametrize(("values", "file"), [({"note": 50 * "x"}, "metrics.jsonl"), (dict.fromkeys("abcdef", 1.0), "tfevents")])
def test_metrics_that_the_disk_does_not_take_name_the_file(tmp_path, values, file):
    resource = pytest.importorskip("resource")  # not on Windows
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        with metrics.Metrics(tmp_path) as written:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
            try:
                for step in range(100):
                    written.write("train", step, **values)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    with pytest.raises(OSError, match=file):
        fill()


def test_metrics_that_do_not_reach_the_disk_name_the_file(tmp_path, monkeypatch):
    """A file system over a network may say only then that it is full."""

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with metrics.Metrics(tmp_path) as log:
        monkeypatch.setattr(metrics.os, "fsync", full)
        with pytest.raises(OSError, match=r"metrics\.jsonl"):
            log.position()


def test_records_for_tensorboard_byte_by_byte(monkeypatch, tmp_path):
    """Two records as tensorboard 2.21's own writer made them."""
    assert metrics._crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    assert [metrics._varint(number).hex() for number in (127, 128, 150)] == ["7f", "8001", "9601"]  # 150 as the format's page has it
    monkeypatch.setattr(metrics.time, "time", lambda: 1.5)
    records = metrics._record(metrics._event(file_version="brain.Event:2"))
    records += metrics._record(metrics._event(step=300, tag="train/loss", value=2.5))
    assert records.hex() == (
        "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c"
        "2100000000000000017becf609000000000000f83f10ac022a130a110a0a747261696e2f6c6f73731500002040b4ca3a3b"
    )


def test_metrics_of_a_run_that_goes_on(tmp_path, pictures):
    with metrics.Metrics(tmp_path) as log:
        log.write("train", 5, positions=10, loss=1.25, top1=0.5, note="text is for people")
        kept = log.position()
        log.write("train", 10, positions=20, loss=1.0, top1=0.5)
    earlier = set(tmp_path.glob("events.*"))
    with metrics.Metrics(tmp_path, keep=kept, step=5) as log:
        assert log.position() == kept, "or who goes on from here keeps too much"
        log.write("train", 10, positions=20, loss=0.5, top1=0.75)
        told = [
            b"".join(path.read_bytes() for path in tmp_path.glob("events.*")).count(b"train/" + name)
            for name in (b"positions", b"loss", b"top1")
        ]
        assert told == [3, 3, 3], "at once"
    (events,) = set(tmp_path.glob("events.*")) - earlier
    # step = 6, session_log = {status = START}: TensorBoard drops what has this step or a later one, and keeps the fifth.
    assert b"\x10\x06\x3a\x02\x08\x01" in events.read_bytes()
    records = metrics.read(tmp_path)
    assert [(record["step"], record["loss"]) for record in records] == [(5, 1.25), (10, 0.5)]
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"kind": "tra')
    assert metrics.read(tmp_path) == records
    metrics.draw(tmp_path)
    assert (tmp_path / "curves.png").exists()


def test_what_the_curves_show(tmp_path, pictures, monkeypatch):
    from matplotlib.figure import Figure

    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    for unit, word in ((1000, "thousands"), (1_000_000, "millions")):
        (tmp_path / word).mkdir()
        with metrics.Metrics(tmp_path / word) as log:
            log.write("train", 1, positions=unit / 2, loss=3.0, top1=0.25)
            log.write("validation", 1, positions=unit, loss=2.75, top1=0.375)
            log.write("validation", 2, positions=2 * unit, loss=2.5, top1=0.5)
        metrics.draw(tmp_path / word)
        expected = (("cross-entropy (nats)", 3.0, 2.75, 2.5, "last 2.500"), ("moves predicted (%)", 25.0, 37.5, 50.0, "last 50.0 %"))
        for axes, (name, train_, first, second, last) in zip(figures[-1].axes, expected, strict=True):
            shown = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
            averaged = f"validation (averaged weights), {last}"
            assert shown == {"training (not averaged)": [[0.5, train_]], averaged: [[1, first], [2, second]]}
            assert (axes.get_xlabel(), axes.get_ylabel()) == (f"positions seen ({word})", name)
            assert [text.get_text() for text in axes.get_legend().get_texts()] == list(shown)


def test_metrics_that_are_gone_begin_anew(tmp_path):
    """A checkpoint remembers a file that somebody has taken away."""
    with metrics.Metrics(tmp_path, keep=100, step=5) as log:
        log.write("train", 6, positions=96, loss=1.0, top1=0.5)
    assert metrics.read(tmp_path) == [{"kind": "train", "step": 6, "positions": 96, "loss": 1.0, "top1": 0.5}]


def test_nothing_to_draw_yet(tmp_path, pictures):
    with metrics.Metrics(tmp_path):
        pass
    metrics.draw(tmp_path)
    assert not (tmp_path / "curves.png").exists()


def test_metrics_are_json(tmp_path):
    train(tmp_path / "run", **SMALL, steps=5)
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        assert {"kind", "step", "positions", "loss", "top1", "elapsed"} <= json.loads(line).keys()


def test_a_damaged_checkpoint_says_where_a_new_run_can_start(tmp_path, monkeypatch):
    out = tmp_path / "my run"
    train(out, steps=2, **SMALL)
    monkeypatch.setattr(training, "CHECKPOINT_FORMAT", 2)
    with pytest.raises(TrainingError, match="checkpoint format 1, this version reads 2; a new run can start from its weights"):
        train(out, resume=True)
    monkeypatch.setattr(training, "CHECKPOINT_FORMAT", 1)
    (out / training.CHECKPOINT).write_bytes((out / training.CHECKPOINT).read_bytes()[:4000])
    with pytest.raises(TrainingError, match=r"--init '.*my run/weights.safetensors'"):
        train(out, resume=True)
