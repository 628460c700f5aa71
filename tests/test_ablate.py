"""Ablations: that budgets are equal, that nothing is trained twice, that the networks compute what their rows say, and the report."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from gopolicy import cli, evaluation, games, metrics, symmetry, training, weights
from gopolicy.batches import Batches, fixed
from gopolicy.board import Board
from gopolicy.coords import BLACK, WHITE
from gopolicy.evaluation import figures
from gopolicy.features import encode
from gopolicy.games import PackedGames
from gopolicy.network import PolicyNetwork
from gopolicy.sgf import GameRecord
from gopolicy.training import TrainingConfig

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import ablate  # noqa: E402

TINY = "--filters 6 --layers 3 --batch-size 16 --validation-positions 32 --test-positions 48 --threads 1 --batch-threads 1 --device cpu"
CONFIG = TrainingConfig(filters=6, layers=4, kind="alphago", planes="alphago4")


@pytest.fixture(autouse=True)
def one_thread_no_pictures(monkeypatch: pytest.MonkeyPatch) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(metrics, "draw", lambda folder: False)
    yield
    torch.set_num_threads(before)


def run(*arguments: str | Path) -> int:
    return ablate.main([*map(str, arguments), *TINY.split()])


def lines(out: Path) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in ablate.read_lines(out / ablate.LINES).values()}


def own(path: Path, *listed: dict[str, Any]) -> Path:
    path.write_text(json.dumps(listed))
    return path


def network(**design: Any) -> torch.nn.Module:
    torch.manual_seed(5)
    return ablate.Design(**design).network(CONFIG).eval()


def some_planes(count: int = 2, planes: int = 4) -> torch.Tensor:
    return (torch.rand(count, planes, 19, 19, generator=torch.Generator().manual_seed(3)) < 0.3).float()


# ---------------------------------------------------------------------------------------------------------------------
# Runs


def test_equal_positions_and_nothing_twice(
    packed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    chosen = own(
        tmp_path / "own.json",
        {"name": "plain", "kind": "alphago", "planes": "alphago4"},
        {"name": "torus", "kind": "alphago", "planes": "alphago4", "padding": "circular"},
        {"name": "small-batch", "batch_size": 8, "planes": "alphago4"},
        {"name": "dense", "kind": "alphago", "planes": "stones1", "dense": 1, "augment": False, "fraction": 0.5},
    )
    command = (packed_file, "--out", out, "--file", chosen, "--positions", "96")
    assert run(*command) == 0
    written = (out / ablate.LINES).read_bytes()
    assert list(lines(out)) == ["plain", "torus", "small-batch", "dense"]
    said = capsys.readouterr().err
    assert re.search(r"^--- 3 of 4: small-batch, seed 1; [\d,]+ weights, [\d,]+ multiply-adds a position, 12 steps$", said, re.MULTILINE)
    assert said.endswith(f"all 4 runs are done; python scripts/ablate.py --out {out} --report shows them\n")
    digest = PackedGames.open(packed_file).summary()["digest"]
    for line in lines(out).values():
        (folder,) = out.glob(f"{line['name']}-seed1-*")
        assert metrics.read(folder)[-1]["positions"] == line["positions"] == 96
        assert line["test"]["1"]["positions"] == 48
        measured = [record for record in metrics.read(folder) if record["kind"] == "validation"]
        assert line["curve"] == [[record["positions"], record["top1"], record["loss"]] for record in measured]
        assert line["curve"][-1][0] == 96
        assert line["base"] == {"filters": 6, "layers": 3, "batch_size": 16, "validation_positions": 32}
        assert line["games"] == {"file": packed_file.name, "games": len(PackedGames.open(packed_file)), "digest": digest}
        assert line["minutes"] == round(training.load_checkpoint(folder / training.CHECKPOINT).counters.elapsed / 60, 1)
        # A subclass computes something else than weights can describe: only the network that they describe is saved as weights.
        assert (folder / training.WEIGHTS).exists() == (line["name"] in ("plain", "small-batch"))
    assert weights.load(next(out.glob("plain-*")) / training.WEIGHTS)[1]["positions"] == 96

    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("a finished run was trained again"))
    assert run(*command) == 0
    assert (out / ablate.LINES).read_bytes() == written


def test_what_is_planned(packed_file: Path) -> None:
    """The first seed of all before the second of any; a configuration's own options before the command's; a curve of eight points where
    neither tells; and two names for one thing are one run with the tests of both."""
    c = ablate.configuration
    one = ablate.Set("one", (c("a", filters=4), c("b", batch_size=64, validate_every=3)))
    two = ablate.Set("two", (c("a", filters=4), c("c", filters=4)), ("8",))
    base = {"filters": 8, "layers": 2, "planes": "alphago4"}
    found = [
        (run.configuration.name, run.config.seed, run.config.filters, run.config.steps, run.config.validate_every, run.tests)
        for run in ablate.plan([one, two], base, ablate.Budget(positions=160 * 128), 2, str(packed_file))
    ]
    assert found == [
        (name, seed, *rest)
        for seed in (1, 2)
        for name, *rest in (("a", 4, 160, 20, ("1", "8")), ("b", 8, 320, 3, ("1",)))
    ]  # fmt: skip
    (run,) = ablate.plan([ablate.Set("d", (c("d"),))], base | {"validate_every": 7}, ablate.Budget(positions=20480), 1, str(packed_file))
    assert run.config.validate_every == 7
    with pytest.raises(ablate.AblationError, match=r"two different configurations are named a$"):
        ablate.plan([one, ablate.Set("other", (c("a", filters=6),))], base, ablate.Budget(positions=512), 1, str(packed_file))
    with pytest.raises(ablate.AblationError, match=r"configuration held: --hold-statistics .* random weights have no statistics"):
        ablate.plan([ablate.Set("e", (c("held", hold_statistics=True),))], base, ablate.Budget(positions=512), 1, str(packed_file))


def test_a_number_without_a_point_is_the_same_setting(packed_file: Path) -> None:
    """In a JSON list 1 and 1.0 are one number: what one of them has trained is not trained again for the other."""
    c = ablate.configuration
    ways = ({}, {"grad_clip": 1}, {"grad_clip": 1.0}, {"fraction": 1}, {"weight_decay": 0}, {"weight_decay": 0.0})
    one = ablate.Set("one", tuple(c(f"way{i}", filters=4, layers=2, **way) for i, way in enumerate(ways)))
    assert [run.configuration.name for run in ablate.plan([one], {}, ablate.Budget(positions=512), 1, str(packed_file))] == ["way0", "way4"]


@pytest.mark.parametrize("key", ["878b0566", "8d06fe10", "1572c354"])  # filters, layers, a part of the games
def test_published_runs_are_known_whatever_options_came_later(packed_file: Path, key: str) -> None:
    published = (ROOT / "docs" / "ablations" / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in map(json.loads, published) if line["key"] == key]
    chosen = ablate.narrowed(ablate.SETS, [line["name"]]).values()
    (one,) = ablate.plan(chosen, line["base"], ablate.Budget(**line["budget"]), 1, str(packed_file))
    assert replace(one, digest=line["games"]["digest"]).key == key


def test_runs_with_a_teacher_are_known_whatever_options_came_later(packed_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the key that they had when there was no --teacher-uses yet."""
    monkeypatch.setattr(training, "teacher_facts", lambda config: {"teacher_digest": "of that file"})
    chosen = ablate.narrowed(ablate.SETS, ["w32"]).values()
    (one,) = ablate.plan(chosen, {"teacher": "fast"}, ablate.Budget(positions=10**6), 1, str(packed_file))
    one = replace(one, digest="of those games")
    assert one.key == "1d3a51f4"
    for later in ({"teacher_uses": 2}, {"teacher_views": 1}, {"hold_statistics": True}):
        assert replace(one, config=replace(one.config, **later)).key != one.key


def test_what_a_run_learns_from_and_what_is_tested(packed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the training games and the moves of one player, or three corners; then the averaged weights, on games of the test split."""
    packed = PackedGames.open(packed_file)
    splits = {name: set(packed.indices(name).tolist()) for name in ("train", "validation", "test")}
    learn, ask = training.train, ablate.evaluation.answer
    learned: list[str] = []
    tested: list[dict[str, torch.Tensor]] = []

    def look(config: TrainingConfig, folder: Path, batches: Batches, validation: Any, *rest: Any, **options: Any) -> int:
        name = folder.name.partition("-")[0]
        learned.append(name)
        games, plies, symmetries = (np.concatenate(column).tolist() for column in zip(*map(batches.draw, range(10)), strict=True))
        assert set(games) <= splits["train"]
        assert set(symmetries) == ({0} if name == "half" else set(range(8)))
        if name == "half":
            assert 0.35 < len(batches.games) / len(splits["train"]) < 0.65
            records = {game: packed.record(game) for game in games}
            assert {records[game].result[0] for game in games} == {"B", "W"}
            assert all("?BW"[records[game].moves[ply][0]] == records[game].result[0] for game, ply in zip(games, plies, strict=True))
        else:
            assert set(batches.games.tolist()) == splits["train"]
            rows, columns = np.divmod(np.concatenate([batches.make(step)[1].numpy() for step in range(10)]), 19)
            assert not ((rows > 9) & (columns > 9)).any()
        measured = {game for _, _, info in validation() for game in info["game"].tolist()}
        assert measured
        assert measured <= splits["validation"]
        return learn(config, folder, batches, validation, *rest, **options)

    def answer(asked: Any, *rest: Any, **options: Any) -> Any:
        answers = ask(asked, *rest, **options)
        assert set(answers.game.tolist()) <= splits["test"]
        tested.append({name: tensor.clone() for name, tensor in asked.network.state_dict().items()})
        return answers

    monkeypatch.setattr(training, "train", look)
    monkeypatch.setattr(ablate.evaluation, "answer", answer)
    half = {"name": "half", "planes": "alphago4", "fraction": 0.5, "moves_of": "winner", "augment": False, "ema": 0.5}
    corner = {"name": "corner", "planes": "alphago4", "corners": True, "tests": [ablate.LEARNED]}
    files = [word for one in (half, corner) for word in ("--file", own(tmp_path / f"own-{one['name']}.json", one))]
    assert run(packed_file, "--out", tmp_path / "out", *files, "--positions", "64") == 0
    assert learned == ["half", "corner"]
    (folder,) = (tmp_path / "out").glob("half-*")
    average, raw = load_file(folder / training.WEIGHTS), load_file(folder / training.CHECKPOINT)
    assert len(tested) == 2
    assert [name for name, tensor in tested[0].items() if not torch.equal(tensor, average[name])] == []
    assert not torch.equal(raw["network/output.weight"], average["output.weight"])


def test_a_run_folder_is_for_one_process_and_for_this_script(packed_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its network may be none that the options of ``gopolicy train`` can tell, its games fewer than those in the file."""
    out = tmp_path / "out"
    command = (packed_file, "--out", out, "--file", own(tmp_path / "own.json", {"name": "torus", "kind": "alphago", "padding": "circular"}))
    assert run(*command, "--positions", "32") == 0
    (folder,) = out.glob("torus-*")
    before = (folder / training.CHECKPOINT).read_bytes()
    assert cli.main(["train", "--out", str(folder), "--resume", "--steps", "3"]) == 1
    assert "is one of scripts/ablate.py" in capsys.readouterr().err
    assert (folder / training.CHECKPOINT).read_bytes() == before
    (out / ablate.LINES).unlink()
    with training.alone(folder, training.state(folder)):
        assert run(*command, "--positions", "32") == 2
    assert "another process trains in" in capsys.readouterr().err


def test_tests_on_other_positions_stand_beside_those_before(packed_file: Path, tmp_path: Path) -> None:
    """Other games, or another number of positions: what was measured before is not lost, and each table compares like with like."""
    other, out = tmp_path / "other.gpk", tmp_path / "out"
    games.pack([ROOT / "data" / "gnugo-selfplay.tar.gz"], other, chosen=games.Filter(max_moves=250))
    chosen = own(
        tmp_path / "own.json", {"name": "own", "planes": "alphago4", "games": str(packed_file)}, {"name": "cmd", "planes": "alphago4"}
    )
    command = ("--out", out, "--file", chosen, "--positions", "32")
    for source, positions in ((packed_file, 48), (packed_file, 20), (other, 48)):
        assert ablate.main([str(word) for word in (source, *command, *TINY.split(), "--test-positions", positions)]) == 0
    found = sorted((line["name"], line["test_positions"], line["games"]["file"]) for line in ablate.read_lines(out / ablate.LINES).values())
    assert ("own", 48, "other.gpk") in found
    assert found.count(("own", 48, packed_file.name)) == 1


def test_games_that_cannot_be_tested_on_are_told_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = tmp_path / "few.gpk"
    games.pack([ROOT / "data" / "gnugo-selfplay.tar.gz"], few, chosen=games.Filter(min_moves=230))
    assert run(few, "--out", tmp_path / "out", "--set", "pooling", "--positions", "32") == 2
    assert "no game in" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_corner_without_a_move_is_told_before_training(packed_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = (packed_file, "--out", tmp_path / "out", "--set", "corner", "--positions", "32", *TINY.split(), "--test-positions", "1")
    assert ablate.main([*map(str, command)]) == 2
    assert "no move of the test is in the learned corner: more --test-positions than 1 are needed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_too_little_memory_is_told(packed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(F, "cross_entropy", full)
    assert run(packed_file, "--out", tmp_path / "out", "--file", own(tmp_path / "own.json", {"name": "wide"}), "--positions", "32") == 2
    assert "not the memory for steps of 16 positions: take a smaller --batch-size" in capsys.readouterr().err


def test_a_stop_before_training_is_said(packed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ablate, "run_all", stop)
    assert run(packed_file, "--out", tmp_path / "out", "--set", "bias", "--positions", "32") == 128 + signal.SIGINT
    assert "stopped; the same command goes on" in capsys.readouterr().err


def test_another_teacher_is_another_run(packed_file: Path, tmp_path: Path) -> None:
    """Under the same name: what the first taught is not taken for what the second teaches."""
    out, teacher = tmp_path / "out", tmp_path / "teacher.safetensors"
    chosen = own(tmp_path / "own.json", {"name": "taught", "planes": "alphago4", "teacher": str(teacher)})
    for seed in (1, 2):
        torch.manual_seed(seed)
        weights.save(teacher, PolicyNetwork(TrainingConfig(planes="alphago4", filters=4, layers=2).network()), {})
        assert run(packed_file, "--out", out, "--file", chosen, "--positions", "32") == 0
    assert len(list(out.glob("taught-seed1-*"))) == 2


@pytest.mark.parametrize("script", ["train.py", "ablate.py"])
def test_help_where_signs_are_missing(script: str) -> None:
    command = [sys.executable, str(ROOT / "scripts" / script), "--help"]
    done = subprocess.run(command, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xd7" in done.stdout


def test_equal_arithmetic(packed_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    chosen = own(
        tmp_path / "own.json", {"name": "deep", "planes": "alphago4", "layers": 6}, {"name": "flat", "planes": "alphago4", "layers": 1}
    )
    assert run(packed_file, "--out", out, "--file", chosen, "--tera-multiply-adds", "1e-4") == 0
    deep, flat = lines(out)["deep"], lines(out)["flat"]
    for line in (deep, flat):
        assert abs(line["positions"] * line["multiply_adds"] - 1e8) <= 8 * line["multiply_adds"]  # to the nearest batch of 16
    assert flat["positions"] > 2 * deep["positions"]


def test_a_run_cut_off_goes_on(packed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = own(tmp_path / "own.json", {"name": "one-bias", "kind": "alphago", "planes": "alphago4", "point_bias": False})
    command = (packed_file, "--file", chosen, "--positions", "160")
    assert run(*command, "--out", tmp_path / "whole") == 0
    make = Batches.make

    def cut(self: Batches, step: int) -> Any:
        if step == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return make(self, step)

    monkeypatch.setattr(Batches, "make", cut)
    assert run(*command, "--out", tmp_path / "cut") == 128 + signal.SIGINT
    assert not (tmp_path / "cut" / ablate.LINES).exists()
    (folder,) = (tmp_path / "cut").glob("one-bias-*")
    reached = training.load_checkpoint(folder / training.CHECKPOINT).counters.step
    assert 0 < reached < 10
    monkeypatch.setattr(Batches, "make", make)
    assert run(*command, "--out", tmp_path / "cut") == 0
    whole, gone_on = (load_file(tmp_path / name / folder.name / training.CHECKPOINT) for name in ("whole", "cut"))
    assert [name for name in whole if not torch.equal(whole[name], gone_on[name])] == []
    assert lines(tmp_path / "whole")["one-bias"]["test"] == lines(tmp_path / "cut")["one-bias"]["test"]


def test_a_missing_test_is_made_up_for(
    packed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a name for settings that have been trained under another name trains nothing."""
    one = own(tmp_path / "one.json", {"name": "one", "planes": "alphago4"})
    two = own(tmp_path / "two.json", {"name": "two", "planes": "alphago4", "lr": TrainingConfig.lr, "tests": ["1", "8"]})
    assert run(packed_file, "--out", tmp_path / "out", "--file", one, "--positions", "32") == 0
    capsys.readouterr()
    (before,) = lines(tmp_path / "out").values()
    with monkeypatch.context() as patch:
        patch.setattr(ablate, "machine", lambda _: "one that only tests")
        assert run(packed_file, "--out", tmp_path / "out", "--file", two, "--positions", "32") == 0
    assert "already finished" in capsys.readouterr().err
    (line,) = lines(tmp_path / "out").values()
    assert set(line["test"]) == {"1", "8"}
    assert line["machine"] == before["machine"]
    assert ablate.main(["--out", str(tmp_path / "out"), "--report", "--file", str(one), "--file", str(two)]) == 0
    report = capsys.readouterr().out
    assert "| one | " in report
    assert "| two | " in report


def test_pairs_alone_can_be_tested(packed_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = own(
        tmp_path / "own.json", *({"name": name, "planes": "alphago4", "filters": 2 + (name == "b"), "tests": ["pairs"]} for name in "ab")
    )
    assert run(packed_file, "--out", tmp_path / "out", "--file", chosen, "--positions", "32") == 0
    capsys.readouterr()
    assert ablate.main(["--out", str(tmp_path / "out"), "--report", "--file", str(chosen)]) == 0
    assert "captures %" in capsys.readouterr().out


def test_a_run_that_diverges_is_a_line_too(packed_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wild = {"name": "wild", "kind": "alphago", "planes": "alphago4", "optimizer": "sgd", "lr": 100.0, "grad_clip": 0, "log_every": 1}
    chosen = own(tmp_path / "own.json", wild, {"name": "tame", "planes": "alphago4"})
    for _ in range(2):
        assert run(packed_file, "--out", tmp_path / "out", "--file", chosen, "--positions", "320") == 0
    assert capsys.readouterr().err.count("start again with a smaller --lr") == 1
    assert lines(tmp_path / "out")["tame"]["positions"] == 320
    assert ablate.main(["--out", str(tmp_path / "out"), "--report", "--file", str(chosen)]) == 0
    assert "diverged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "does not hold a list"),
        ('[{"name": "a b"}]', "'a b'"),
        ('[{"name": "a", "filtres": 3}]', "no setting 'filtres'"),
        ('[{"name": "a", "steps": 30}]', "no setting 'steps'"),
        ('[{"name": "a", "seed": 3}]', "no setting 'seed'"),
        ('[{"name": "a", "max_minutes": 3}]', "no setting 'max_minutes'"),
        ('[{"name": "a", "filters": "many"}]', "filters is 'many', expected int"),
        ('[{"name": "a", "filters": 0}]', "filters is 0"),
        ('[{"name": "a", "first_kernel": 4}]', "first_kernel is 4"),
        ('[{"name": "a", "pool_after": 1, "restore_after": 2}]', "plain network"),
        ('[{"name": "a", "dense": 1, "first_kernel": 3, "extra_plane": "line"}]', "has no first_kernel and no extra_plane"),
        ('[{"name": "a", "corners": true}]', "makes no sense for corners"),
        ('[{"name": "a", "tests": ["fourth corner"]}]', "the test 'fourth corner' needs corners"),
        ('[{"name": "a", "tests": ["9"]}]', "['9']"),
        ('[{"name": "a"}, {"name": "a"}]', "one name, a"),
        ('[{"name": "a", "games": "nowhere.gpk"}]', "nowhere.gpk cannot be read"),
    ],
)
def test_bad_configurations(text: str | None, said: str, packed_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.json"
    if text is not None:
        path.write_text(text)
    assert run(packed_file, "--out", tmp_path / "out", "--file", path, "--positions", "32") == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "bias"], "one budget"),
        (["--set", "bias", "--positions", "5", "--tera-multiply-adds", "1"], "one budget"),
        (["--set", "bias", "--positions", "5", "--max-minutes", "1"], "--max-minutes is for a single run"),
        (["--set", "bias", "--positions", "5", "--seed", "2"], "--seed is for a single run"),
        (["--set", "bias", "--positions", "0"], "--positions is 0"),
        (["--set", "bias", "--positions", "1000000000000000"], "--positions is 1000000000000000"),
        (["--set", "bias", "--tera-multiply-adds", "nan"], "--tera-multiply-adds is nan"),
        (["--positions", "5"], "--set or --file"),
        (["--set", "bias", "--positions", "5", "--only", "residual"], "no configuration residual"),
        (["--out", "x", "--report", "--page", "y", "--only", "one-bias"], "--page renews whole tables: give --only without it"),
        (["--report"], "holds no run"),
    ],
)
def test_bad_commands(options: list[str], said: str, packed_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(packed_file, "--out", tmp_path / "out", *options) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_which_sets_are_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All built-in ones where none is named; of two files of one name neither is taken for the other."""

    def chosen(*words: str | Path) -> dict[str, list[str]]:
        sets = ablate.chosen_sets(ablate.arguments().parse_args([*map(str, words)]))
        return {name: [each.name for each in one.configurations] for name, one in sets.items()}

    first, second = (own(tmp_path / folder / "mine.json", {"name": folder}) for folder in ("a", "b") if not (tmp_path / folder).mkdir())
    assert list(chosen()) == list(ablate.SETS)
    assert chosen("--set", "paper", "--file", first) == chosen("--set", "paper") | {"mine": ["a"]}
    assert list(chosen("--set", "paper")) == list(ablate.GROUPS["paper"])
    assert chosen("--set", "paper", "--set", "bias", "--only", "one-bias", "k64") == {"filters": ["k64"], "bias": ["one-bias"]}
    assert ablate.main(["--file", str(second), "--file", str(first), "--list"]) == 2
    assert f"{first}: another set is named mine too" in capsys.readouterr().err
    built_in = own(tmp_path / "kernel.json", {"name": "a"})  # whether it is asked for or not: a page has a place for one
    assert ablate.main(["--file", str(built_in), "--list"]) == 2
    assert f"{built_in}: another set is named kernel too" in capsys.readouterr().err
    assert ablate.arguments().parse_args([]).test_positions == 20_000


# ---------------------------------------------------------------------------------------------------------------------
# Networks


def test_every_built_in_configuration_can_be_built(packed_file: Path) -> None:
    base = {"filters": 4, "layers": 6}
    runs = ablate.plan(ablate.SETS.values(), base, ablate.Budget(positions=512), 1, str(packed_file))
    assert {run.config.steps * run.config.batch_size for run in runs} == {512}
    assert {name for names in ablate.GROUPS.values() for name in names} <= set(ablate.SETS)


def test_nothing_special_is_the_network_of_the_package() -> None:
    built = network()
    torch.manual_seed(5)
    plain = PolicyNetwork(CONFIG.network())
    assert type(built) is PolicyNetwork
    assert all(torch.equal(a, b) for a, b in zip(built.state_dict().values(), plain.state_dict().values(), strict=True))
    assert ablate.multiply_adds(built, 4) == plain.multiply_adds()


@pytest.mark.parametrize("like", ["weights", "arithmetic"])
@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_a_fully_connected_network_is_as_large_as_it_says(like: str, hidden: int) -> None:
    config = dataclasses.replace(CONFIG, filters=32)
    plain = PolicyNetwork(config.network())
    dense = ablate.Design(dense=hidden, dense_as=like).network(config)
    widths = [layer.weight.shape[0] for layer in dense.layers]
    assert len(set(widths[:-1])) == 1
    assert len(widths) == hidden + 1

    def size(width: int) -> int:
        shapes = [(4 * 361, width), *[(width, width)] * (hidden - 1), (width, 361)]
        return sum(a * b + (b if like == "weights" else 0) for a, b in shapes)

    counted = sum(p.numel() for p in dense.parameters()) if like == "weights" else ablate.multiply_adds(dense, 4)
    assert counted == size(widths[0])
    assert counted <= (plain.weight_count() if like == "weights" else plain.multiply_adds()) < size(widths[0] + 1)


def test_a_fully_connected_network_knows_no_neighbours() -> None:
    """The same points in another order, and the weights of the first layer with them, give the same answer."""
    dense, planes = network(dense=2, dense_as="arithmetic"), some_planes()
    before = dense(planes)
    order = torch.randperm(361, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        first = dense.layers[0].weight
        first.copy_(first.reshape(-1, 4, 361)[:, :, order].reshape(first.shape))
    torch.testing.assert_close(dense(planes.flatten(2)[:, :, order].reshape(planes.shape)), before, atol=1e-4, rtol=1e-4)


def test_a_fully_connected_network_begins_without_a_preference() -> None:
    """So that its first loss is about ln 361, as that of the others."""
    config = replace(CONFIG, filters=32)
    for built in (ablate.Design(dense=2).network(config), ablate.Design(dense=1, dense_as="arithmetic").network(config)):
        assert F.cross_entropy(built(some_planes(64)), torch.arange(64)).item() == pytest.approx(np.log(361), abs=0.1)


def test_what_was_pooled_cannot_be_told_apart() -> None:
    pooled, planes = network(pool_after=2, restore_after=1024), some_planes()
    logits = pooled(planes)
    assert logits.shape == (2, 361)
    board = F.pad(logits.reshape(2, 1, 19, 19), (0, 1, 0, 1), mode="replicate")  # the last row and column are pooled alone
    squares = F.unfold(board, 2, stride=2)  # (B, 4, 100)
    assert torch.equal(squares[:, :1].expand_as(squares), squares)
    assert logits.std() > 0.001
    plain = F.unfold(F.pad(network(pool_after=0)(planes).reshape(2, 1, 19, 19), (0, 1, 0, 1)), 2, stride=2)
    assert (plain[:, 0] != plain[:, 1]).float().mean() > 0.9
    # Two layers on 361 points, two and the output on 100 and 361.
    assert ablate.multiply_adds(pooled, 4) == 361 * (25 * 4 * 6 + 9 * 36) + 100 * 2 * 9 * 36 + 361 * 6
    between = network(pool_after=2, restore_after=3)(planes).reshape(2, 19, 19)
    assert (between[:, :18:2] != between[:, 1:18:2]).float().mean() > 0.9  # a layer after it sees where the squares meet


def test_the_torus_has_no_edge() -> None:
    planes = some_planes()
    turned = planes.roll((5, 7), (2, 3))
    for design, same in (({"padding": "circular"}, True), ({}, False), ({"padding": "circular", "extra_plane": "line"}, False)):
        built = network(**design)
        board = built(planes).reshape(2, 19, 19).roll((5, 7), (1, 2))
        assert torch.allclose(built(turned).reshape(2, 19, 19), board, atol=1e-5) is same


@pytest.mark.parametrize(("kernel", "reach"), [(3, 1), (5, 2), (7, 3)])
def test_how_far_the_first_layer_sees(kernel: int, reach: int) -> None:
    torch.manual_seed(1)
    built = ablate.Design(first_kernel=kernel).network(TrainingConfig(filters=64, layers=1, kind="alphago", planes="alphago4"))
    planes = torch.zeros(1, 4, 19, 19)
    planes[0, :, 9, 9] = 1
    changed = (built(planes) != built(torch.zeros(1, 4, 19, 19))).reshape(19, 19).nonzero()
    assert [changed.min(), changed.max()] == [9 - reach, 9 + reach]


def test_one_bias_is_one_number() -> None:
    one, each = network(point_bias=False), network()
    assert sum(p.numel() for p in each.parameters()) - sum(p.numel() for p in one.parameters()) == 360
    before = one(some_planes())
    with torch.no_grad():
        one.point_bias += 2
    torch.testing.assert_close(one(some_planes()), before + 2)


def test_the_plane_that_is_added() -> None:
    """The same as a plane more in the input."""
    for kind, rows in (("board", range(19)), ("line", (0, 18))):
        built = network(extra_plane=kind)
        plane = torch.zeros(2, 1, 19, 19)
        plane[:, :, rows] = plane[:, :, :, rows] = 1
        expected = PolicyNetwork.forward(built, torch.cat([some_planes(), plane], 1))
        assert torch.equal(built(some_planes()), expected)


# ---------------------------------------------------------------------------------------------------------------------
# Corners, games, and the stone that moves


def test_three_corners(packed_file: Path) -> None:
    packed = PackedGames.open(packed_file)
    learned, fourth = (mask.reshape(19, 19).nonzero() for mask in (ablate.CORNERS[ablate.LEARNED], ablate.CORNERS[ablate.FOURTH]))
    assert (len(learned), learned.min(), learned.max()) == (81, 0, 8)
    assert (len(fourth), fourth.min(), fourth.max()) == (81, 10, 18)
    before = Batches(packed, batch_size=256, planes="alphago12", threads=1)
    after = ablate.ThreeCorners(packed, batch_size=256, planes="alphago12", threads=1)
    try:
        (planes, targets), (turned, new) = before.make(3), after.make(3)
    finally:
        before.close()
        after.close()
    moved = 0
    for i, target in enumerate(targets.tolist()):
        if target // 19 >= 10 and target % 19 >= 10:
            moved += 1
            assert new[i] == symmetry.point(target, 3, 19)  # both mirrored: half a turn
            assert np.array_equal(turned[i].numpy(), symmetry.apply(planes[i].numpy(), 3))
        else:
            assert new[i] == target
            assert torch.equal(turned[i], planes[i])
    assert 30 < moved < 100
    assert not ablate.CORNERS[ablate.FOURTH][new].any()


@pytest.mark.parametrize("whose", ["winner", "stronger"])
def test_the_moves_of_one_player(packed_file: Path, whose: str) -> None:
    """Against the records: no move of the other player, each position in its place, and of games without such a player both colours."""
    packed = PackedGames.open(packed_file)
    packed.facts, some = packed.facts.copy(), np.arange(len(packed)) % 3
    packed.facts["black_rank"], packed.facts["white_rank"] = np.choose(some, [25, 20, 0]), np.choose(some, [20, 25, 22])
    packed.facts["winner"][some == 2] = games.UNKNOWN_WINNER
    source = ablate.OneSide(packed, batch_size=512, threads=1, moves_of=whose)
    try:
        planes, targets = source.make(1)
        drawn, plies, symmetries = source.draw(1)
    finally:
        source.close()
    assert len(targets) == len(drawn) == 512
    seen = set()
    for i in range(512):
        record, ply = packed.record(int(drawn[i])), int(plies[i])
        colour, point = record.moves[ply]
        winner, stronger = {"B": 1, "W": -1}.get(record.result[:1], 0), (1, -1, 0)[int(drawn[i]) % 3]
        wanted = winner if whose == "winner" else stronger
        assert wanted in (0, colour)
        seen.add((wanted, colour))
        assert targets[i] == symmetry.point(point, int(symmetries[i]), 19)
        if i % 32 == 0:
            turned = symmetry.apply(encode(record.position(ply + 1)), int(symmetries[i]))
            assert np.array_equal(planes[i].numpy(), turned)
    assert seen == {(1, 1), (-1, -1), (0, 1), (0, -1)}


def test_positions_of_one_player_come_once_where_they_suffice(packed_file: Path) -> None:
    """Of a player with a quarter of the moves some come twice in a batch, but none at two steps."""
    packed = PackedGames.open(packed_file)
    packed.facts["winner"], rare = BLACK, np.arange(len(packed.moves)) % 4 == 0
    packed.moves = np.where(rare, packed.moves & 1023, packed.moves | games.WHITE_BIT)
    source = ablate.OneSide(packed, batch_size=8, threads=1, moves_of="winner")
    try:
        steps = [list(zip(*(column.tolist() for column in source.draw(step)[:2]), strict=True)) for step in range(8)]
    finally:
        source.close()
    assert {len(step) for step in steps} == {8}
    assert all(rare[packed.move_start[game] + ply] for step in steps for game, ply in step)
    assert min(len(set(step)) for step in steps) < 8
    assert sum(len(set(step)) for step in steps) == len({position for step in steps for position in step})


def test_nothing_is_learned_of_the_fourth_corner() -> None:
    built = network(corners=True)
    built.train()
    F.cross_entropy(built(some_planes()), torch.tensor([3, 77])).backward()
    learned = (built.network.point_bias.grad != 0).flatten()
    assert torch.equal(learned, ~ablate.CORNERS[ablate.FOURTH])
    built.eval()
    assert torch.equal(built(some_planes()), built.network(some_planes()))
    built.asked = ablate.CORNERS[ablate.FOURTH]
    assert ablate.CORNERS[ablate.FOURTH][built(some_planes()).argmax(1)].all()


def test_a_test_asks_what_it_says(packed_file: Path) -> None:
    """So many views of the board; or the moves in a corner alone, among its points alone."""
    packed = PackedGames.open(packed_file)
    plain, corners = (ablate.Asked(network(corners=corner), "alphago4", torch.device("cpu")) for corner in (False, True))
    eight = ablate.test(plain, "8", packed, 100)
    assert eight == figures(evaluation.answer(plain, packed, "test", symmetries=8, max_positions=100))
    assert eight["cross_entropy"] != ablate.test(plain, "1", packed, 100)["cross_entropy"]
    asked = list(fixed(packed, "test", max_positions=300, planes="alphago4"))
    planes, targets = (torch.cat([part[i] for part in asked]) for i in (0, 1))
    for label in (ablate.LEARNED, ablate.FOURTH):
        found, mask = ablate.test(corners, label, packed, 300), ablate.CORNERS[label]
        keep = mask[targets]
        with torch.inference_mode():
            logits = plain.network(planes[keep].float())[:, mask]
        place = mask.cumsum(0)[targets[keep]] - 1
        assert 20 < found["positions"] == keep.sum()
        assert found["cross_entropy"] == pytest.approx(F.cross_entropy(logits, place).item(), abs=1e-4)
        assert found["top1"] == pytest.approx((logits.argmax(1) == place).float().mean().item(), abs=1e-4)
        assert corners.network.asked is None
    assert ablate.in_corner(ablate.FOURTH, packed, 300)


def test_fewer_games(packed_file: Path) -> None:
    packed = PackedGames.open(packed_file)
    parts = [set(ablate.fewer(packed, fraction).indices("train").tolist()) for fraction in (0.1, 0.5, 1)]
    assert parts[0] < parts[1] < parts[2] == set(packed.indices("train").tolist())
    assert 0.35 < len(parts[1]) / len(parts[2]) < 0.65
    few = ablate.fewer(packed, 0.1)
    assert all(np.array_equal(few.indices(split), packed.indices(split)) for split in ("validation", "test"))


class Greedy:
    """Captures as much as it can."""

    def probabilities_batch(self, boards: list[Board]) -> list[Any]:
        result = []
        for board in boards:
            probs = np.zeros((19, 19), dtype=np.float32)
            for point in np.flatnonzero(board.legal_mask()):
                after = board.copy()
                after.play(int(point))
                probs.flat[point] = 0.01 + after.captures[board.to_play] - board.captures[board.to_play]
            result.append(probs / probs.sum())
        return result


class Stubborn(Greedy):
    """Answers after the stone has moved as before."""

    def probabilities_batch(self, boards: list[Board]) -> list[Any]:
        return [answer for answer in super().probabilities_batch(boards[::2]) for _ in (0, 1)]


def test_the_stone_that_moves(packed_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablate, "MOST_PAIRS", 10)  # the last game has two
    found = ablate.moved_stones(PackedGames.open(packed_file), "train")
    assert len(found) == 10
    for (board, last), (other, old) in found:
        assert board.to_play == other.to_play
        assert abs(last - old) in (1, 19)
        ours = board.to_play
        assert (board.stones().flat[old], board.stones().flat[last]) == (ours, 0)
        assert (other.stones().flat[old], other.stones().flat[last]) == (0, ours)
        assert (board.stones() != other.stones()).sum() == 2  # one stone, one point
        taken = []
        for position, point in ((board, last), (other, old)):
            before = position.stones().copy()
            after = position.copy()
            after.play(point)
            taken.append(np.flatnonzero((before == -ours) & (after.stones() == 0)).tolist())
        assert taken[0] == taken[1]
        assert len(taken[0]) >= 2
    greedy, stubborn = (ablate.pairs(one, found) for one in (Greedy(), Stubborn()))
    assert greedy["pairs"] == 10
    assert greedy["game"] == stubborn["game"] > 0.6  # elsewhere there may be more to take
    assert greedy["both"] > 0.6
    assert (stubborn["moved"], stubborn["both"]) == (0, 0)  # its first choice is occupied now
    assert [len(one["likely"]) for one in greedy["shown"]] == [24, 24]


def test_a_stone_does_not_move_around_the_board() -> None:
    """From the end of a row to the start of the next, the last two liberties of a chain between them."""
    chain = [(WHITE, 9 * 19 + column) for column in range(1, 19)]
    around = [(BLACK, 8 * 19 + column) for column in range(1, 18)] + [(BLACK, 10 * 19 + column) for column in range(1, 19)]
    one = GameRecord(size=19, setup=(*chain, *around), to_play=BLACK, moves=((BLACK, 9 * 19), (BLACK, 8 * 19 + 18)))
    assert one.position(3).captures[BLACK] == 18
    assert ablate.moved(one, 2) == []


class Known:
    """Answers as told: of each board the probabilities of its points."""

    def __init__(self, told: list[tuple[Board, dict[int, float]]]) -> None:
        self.told = {id(board): probs for board, probs in told}

    def probabilities_batch(self, boards: list[Board]) -> list[Any]:
        answers = np.full((len(boards), 19, 19), 1e-5)
        for answer, board in zip(answers, boards, strict=True):
            answer.flat[[*self.told[id(board)]]] = [*self.told[id(board)].values()]
        return list(answers)


def test_the_shares_of_many_pairs_and_the_pair_that_is_shown() -> None:
    """The first whose stone moves within a square that pooling makes one point of, with another point empty there, not near the edge."""

    def point(row: int, column: int) -> int:
        return 19 * row + column

    places = [((8, 9), (8, 10)), ((2, 10), (2, 11)), ((10, 10), (10, 11)), *[((12, 7), (13, 7))] * 67]
    found, told = [], []
    for i, places_ in enumerate(places):
        a, b = (point(*place) for place in places_)
        boards = []
        for right, other, fine in ((a, b, i % 2 == 0), (b, a, i % 5 == 0)):
            board = Board(19)
            board.setup([other, point(3, 3), *([point(11, 10), point(11, 11)] if i == 2 else [])], [point(0, 18), point(12, 6)])
            board.to_play = BLACK if right == a else WHITE
            told.append((board, {right: 0.4 if fine else 0.2, 0: 0.3, 360: 0.1}))
            boards.append((board, right))
        found.append((boards[0], boards[1]))
    told_ = ablate.pairs(Known(told), found)
    assert {name: value for name, value in told_.items() if name != "shown"} == {"game": 0.5, "moved": 0.2, "both": 0.1, "pairs": 70}
    for shown, right, other, colour in zip(told_["shown"], ("H7", "H6"), ("H6", "H7"), (BLACK, WHITE), strict=True):
        assert list(shown["likely"].items())[:3] == [("A19", 0.3), (right, 0.2), ("T1", 0.1)]
        assert shown | {"likely": len(shown["likely"])} == {
            "black": ["D16", other], "white": ["T19", "G7"], "to_play": colour, "right": right, "likely": 24,
        }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# The report


def line(name: str, seed: int, top1: float, half: float, **more: Any) -> dict[str, Any]:
    one = {"top1": top1, "top1_interval": half, "top5": 0.7, "cross_entropy": 2.5, "positions": 5000, "games": 40}
    settings = {"kind": "alphago"} | ({"first_kernel": int(name[-1])} if name.startswith("kernel") else {})
    return {
        "key": f"{name}{seed}{more}", "name": name, "what": name, "seed": seed, "base": {"filters": 32}, "settings": settings,
        "budget": {"positions": 60000}, "weights": 1234, "multiply_adds": 5_600_000, "positions": 59904, "minutes": 2.0,
        "machine": "a machine", "games": {"file": "g.gpk", "games": 99, "digest": "d"}, "test_positions": 5000, "test": {"1": one},
        "curve": [[30000, 0.2, 3.0], [59904, 0.3, 2.6]], "date": "2026-01-02",
    } | more  # fmt: skip


def test_a_line_that_does_not_reach_the_disk_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=f"No space left on device: .*{ablate.LINES}"):
        ablate.write_line(tmp_path / ablate.LINES, line("kernel3", 1, 0.40, 0.03))


def test_a_line_is_read_as_it_was_written_and_not_at_all_where_it_was_cut(tmp_path: Path) -> None:
    """A power cut may leave half a sign; a line of JSON may hold other ends of lines, and a file's name need not be text."""
    path = tmp_path / ablate.LINES
    listed = [line(name, 1, 0.4, 0.01, what=what) for name, what in (("kernel3", "3×3\u2028first\x85"), ("kernel5", "kn\udcf6del.gpk"))]
    for one in listed:
        ablate.write_line(path, one)
    whole = path.read_bytes()
    assert list(ablate.read_lines(path).values()) == listed
    for cut in range(whole.index(b"\n")):
        path.write_bytes(whole + whole[:cut])
        assert list(ablate.read_lines(path).values()) == listed


def test_games_whose_name_is_no_text_are_told_on_the_page(tmp_path: Path) -> None:
    for name in ("kernel3", "kernel5"):
        ablate.write_line(tmp_path / ablate.LINES, line(name, 1, 0.4, 0.01, games={"file": "kn\udcf6del.gpk", "games": 99, "digest": "d"}))
    page = tmp_path / "page.md"
    page.write_text("<!-- ablate: kernel -->\n<!-- end -->\n")
    ablate.report({"kernel": ablate.SETS["kernel"]}, tmp_path, page)
    assert "99 games in kn\\udcf6del.gpk; " in page.read_text(encoding="utf-8")


def test_the_table_from_lines(tmp_path: Path) -> None:
    listed = [
        line("kernel3", 2, 0.42, 0.01), line("kernel3", 1, 0.40, 0.03), line("kernel5", 1, 0.445, 0.012),
        line("plain", 1, 0.5, 0.01, budget={"positions": 10**6}),
    ]  # fmt: skip
    for one in listed:
        ablate.write_line(tmp_path / ablate.LINES, one)
    with open(tmp_path / ablate.LINES, "a") as file:
        file.write('{"key": "cut o')
    ablate.write_line(tmp_path / ablate.LINES, line("kernel7", 1, 0.43, 0.012))
    page = tmp_path / "page.md"
    page.write_text("# A page\n<!-- ablate: kernel -->\nold\n<!-- end -->\nbetween\n<!-- ablate: edge -->\nold\n<!-- end -->\n")
    text = ablate.report({"kernel": ablate.SETS["kernel"]}, tmp_path, page)
    first, second = text.split("Budget of each run: ")[1:]
    assert first.startswith(
        "60,000 positions (filters 32); 99 games in g.gpk; a machine; 2026-01-02.\nTested on 5,000 positions of the test split.\n"
    )
    assert "| 3×3 first | 1,234 | 5.60 M | 2 | 41.0 ± 2.0 (40.0 to 42.0) | 70.0 | 2.500 | 2.0 |" in first
    assert "| 44.5 ± 1.2 | 70.0 | 2.500 | 2.0 |" in first  # the row `plain`: settings decide, not names
    assert first.index("3×3 first") < first.index("5×5 first") < first.index("7×7 first")
    assert second.startswith("1,000,000 positions")
    assert "3×3 first" not in second
    written = page.read_text()
    assert "old" not in written
    assert written.startswith("# A page\n<!-- ablate: kernel -->\n\nBudget of each run: 60,000")
    assert written.count("Budget of each run: 60,000") == written.count("Budget of each run: 1,000,000") == written.count("Tested on") == 1
    assert "\nbetween\n<!-- ablate: edge -->\n\nNot yet measured: `python scripts/ablate.py" in written
    assert "--set edge" in written
    assert "Not yet measured with this budget" not in text
    assert not list(tmp_path.glob("*.png")), "so few figures make no picture"
    ablate.report({"kernel": replace(ablate.SETS["kernel"], tests=("1", "8"))}, tmp_path, None)
    assert [path.name for path in tmp_path.glob("*.png")] == ["kernel.png"], "the row of the larger budget makes none"
    again = page.read_bytes()
    ablate.report({"kernel": ablate.SETS["kernel"]}, tmp_path, page)
    assert page.read_bytes() == again
    for content, said in ((b"no place", "has no place for a table"), (b"no t\xe4xt", "page.md cannot be read: .*utf-8")):
        page.write_bytes(content)
        with pytest.raises(ablate.AblationError, match=said):
            ablate.report({"kernel": ablate.SETS["kernel"]}, tmp_path, page)


def test_equal_arithmetic_stands_beside_equal_positions(tmp_path: Path) -> None:
    tera = {"budget": {"tera_multiply_adds": 0.5}}
    for one in (
        line("kernel3", 1, 0.40, 0.03),
        line("kernel5", 1, 0.445, 0.012),
        line("kernel5", 1, 0.47, 0.02, positions=90048, **tera),
        line("kernel3", 1, 0.41, 0.02, **tera),
        line("kernel3", 1, 0.31, 0.02, base={"filters": 64}, **tera),
        line("kernel7", 1, 0.32, 0.02, base={"filters": 64}, **tera),
        line("kernel5", 1, 0.33, 0.02, base={"filters": 8}, **tera),
        line("kernel7", 1, 0.34, 0.02),
    ):
        ablate.write_line(tmp_path / ablate.LINES, one)
    text = ablate.report({"kernel": ablate.SETS["kernel"]}, tmp_path, None)
    assert "| cross-entropy | top-1 % for 0.5 × 10¹² multiply-adds | minutes |" in text
    assert "| 1 | 40.0 ± 3.0 | 70.0 | 2.500 | 41.0 ± 2.0 | 2.0 |" in text
    assert "| 1 | 34.0 ± 2.0 | 70.0 | 2.500 | not measured | 2.0 |" in text
    assert "| 1 | 44.5 ± 1.2 | 70.0 | 2.500 | 47.0 ± 2.0 | 2.0 |" in text
    assert text.count("Budget of each run: ") == 2, "what has no table of equal positions has one of its own"
    assert "Budget of each run: 0.5 × 10¹² multiply-adds (filters 64)" in text
    assert "33.0" not in text, "one configuration compares nothing"
    assert text.count("Not yet measured with this budget: `plain`.") == 1


def test_the_columns_of_a_table() -> None:
    """Of seeds of which one diverged, and of a configuration of which all did."""
    one = replace(ablate.SETS["kernel"], tests=("1", "8", ablate.PAIRS))
    tera: dict[str, Any] = {"budget": {"tera_multiply_adds": 0.5}}
    listed = []
    for seed, top1, stones in ((1, 0.40, (0.7, 0.4, 0.2)), (2, 0.42, (0.8, 0.6, 0.4))):
        fine = line("kernel3", seed, top1, 0.01, **tera)
        eight = fine["test"]["1"] | {"top1": top1 + 0.1, "top5": 0.8, "cross_entropy": 1.5}
        fine["test"] |= {"8": eight, ablate.PAIRS: dict(zip(("game", "moved", "both"), stones, strict=True))}
        listed.append(fine)
    failed = {"failed": "it diverged", "test": {}} | tera
    listed += [line("kernel3", 3, 0, 0, **failed), line("kernel5", 1, 0, 0, **failed)]
    (part,) = ablate.parts_of(one, listed)
    heads, _, *rows = ([cell.strip() for cell in row.split("|")[1:-1]] for row in ablate.table(one, part, None).split("\n"))
    told = [dict(zip(heads, row, strict=True)) for row in rows]
    assert told[0] == {
        "configuration": "3×3 first", "weights": "1,234", "multiply-adds": "5.60 M", "positions": "59,904", "seeds": "2 (and 1 diverged)",
        "top-1 % (one view)": "41.0 ± 1.0 (40.0 to 42.0)", "top-1 % (8 views)": "51.0 ± 1.0 (50.0 to 52.0)", "top-5 %": "70.0",
        "cross-entropy": "2.500", "captures % (game, stone moved, both)": "75, 50, 30", "minutes": "2.0",
    }  # fmt: skip
    assert [value for value in told[1].values() if value] == [part.rows[1][0].what, "1,234", "5.60 M", "0", "diverged", "diverged"]
    assert ablate.parts_of(one, [line("kernel5", 1, 0, 0, **failed)]) == [], "nothing to show"


def test_what_the_picture_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of the seeds with the mean of their intervals, the first configuration on top, and the first seed's curve."""
    drawn: list[Any] = []
    monkeypatch.setattr(ablate, "pixels", drawn.append)
    monkeypatch.setattr(ablate, "save_png", lambda *_: None)
    one = replace(ablate.SETS["kernel"], tests=("1", "8"))
    listed = [line("kernel3", 2, 0.44, 0.03, curve=[]), line("kernel3", 1, 0.40, 0.01), line("kernel7", 1, 0.5, 0.02)]
    listed[0]["test"]["8"] = listed[0]["test"]["1"] | {"top1": 0.6}
    (part,) = ablate.parts_of(one, listed)
    ablate.picture(one, part, tmp_path / "kernel.png")
    left, right = drawn[0].axes
    bars = [bar for container in left.containers for bar in container.lines[2][0].get_segments()]
    np.testing.assert_allclose(bars, [[[40, -0.08], [44, -0.08]], [[48, 0.92], [52, 0.92]], [[57, 0.08], [63, 0.08]]])
    np.testing.assert_allclose([container.lines[0].get_xdata()[0] for container in left.containers], [42, 50, 60])
    assert [text.get_text() for text in left.get_yticklabels()] == ["3×3 first", "7×7 first"]
    assert left.get_ylim() == (1.5, -0.5)
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["one view", "8 views"]
    for curve, name in zip(right.get_lines(), ("kernel3", "kernel7"), strict=True):
        np.testing.assert_allclose(curve.get_xydata(), [[30, 20], [59.904, 30]])
        assert curve.get_label() == name


def test_the_picture_of_the_stone_that_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[Any, ...]] = []
    board_figure = ablate.draw.board_figure
    monkeypatch.setattr(ablate.draw, "board_figure", lambda *shown: drawn.append((*shown, board_figure(*shown))) or drawn[-1][-1])
    told = {"black": ["D4"], "white": ["E5", "Q16"], "to_play": -1, "right": "E3", "likely": {"E3": 0.5, "A1": 0.25}}
    (each, *_) = ablate.SETS["pooling"].configurations
    ablate.pooling_picture([(each, [{"test": {ablate.PAIRS: {"shown": [told]}}}])], tmp_path / "moved-stone.png")
    ((board, probs, title, right, figure),) = drawn
    assert board.stones()[15, 3] == 1
    assert (board.stones()[14, 4], board.stones()[3, 15], board.to_play) == (-1, -1, -1)
    assert (probs[16, 4], probs[18, 0], probs.sum(), right) == (0.5, 0.25, 0.75, 16 * 19 + 4)
    assert title == "plain: white captures at E3"
    # The middle of the square that pooling makes one point of, the first row above.
    np.testing.assert_allclose([figure.axes[0].get_xlim(), figure.axes[0].get_ylim()], [(-0.2, 9.2), (20.2, 12.8)])
    assert (tmp_path / "moved-stone.png").exists()


def test_which_budget_stands_beside_which(tmp_path: Path) -> None:
    """The largest of equal arithmetic; what no table of equal positions could show has its own, were it a single row."""
    one, budgets = ablate.SETS["kernel"], ({"tera_multiply_adds": 3.0}, {"positions": 60000}, {"tera_multiply_adds": 20.0})
    listed = [line(name, 1, 0.4, 0.01, budget=budget) for name in ("kernel3", "kernel5") for budget in budgets]
    found = ablate.pair(ablate.parts_of(one, listed))
    assert [(part.budget, beside and beside.budget) for part, beside in found] == [(budgets[1], budgets[2]), (budgets[0], None)]
    assert [part.budget for part, _ in ablate.pair(ablate.parts_of(one, listed[:1]))] == [budgets[0]]


def test_only_what_was_measured_alike_is_compared(tmp_path: Path) -> None:
    """Other games or other positions of the test make another table, and equal arithmetic stands beside its like alone."""
    tera, games_ = {"budget": {"tera_multiply_adds": 0.5}}, {"games": {"file": "h.gpk", "games": 7, "digest": "e"}}
    kinds: tuple[dict[str, Any], ...] = ({}, games_, {"test_positions": 900}, games_ | tera)
    for i, more in enumerate(kinds):
        ablate.write_line(tmp_path / ablate.LINES, line("kernel3", 1, 0.40 + i / 50, 0.01, **more))
        ablate.write_line(tmp_path / ablate.LINES, line("kernel5", 1, 0.41 + i / 50, 0.01, **more))
    text = ablate.report({"kernel": ablate.SETS["kernel"]}, tmp_path, None)
    tables = [re.findall(r"(\d\d)\.0 ± ", part) for part in text.split("Budget of each run: ")[1:]]
    assert tables == [["40", "41"], ["42", "46", "43", "47"], ["44", "45"]]


def test_a_test_that_equal_arithmetic_lacks(tmp_path: Path) -> None:
    for name in ("kernel3", "kernel5"):
        one = line(name, 1, 0.4, 0.01)
        ablate.write_line(tmp_path / ablate.LINES, one)
        ablate.write_line(
            tmp_path / ablate.LINES, one | {"key": name, "budget": {"tera_multiply_adds": 0.5}, "test": {"8": one["test"]["1"]}}
        )
    text = ablate.report({"kernel": replace(ablate.SETS["kernel"], tests=("1", "8"))}, tmp_path, None)
    assert "| 40.0 ± 1.0 | not measured | 70.0 | 2.500 | not measured | 2.0 |" in text
    with pytest.raises(ablate.AblationError, match=r"runs.jsonl holds no finished run of edge$"):
        ablate.report({"edge": ablate.SETS["edge"]}, tmp_path, None)


def test_what_a_finished_test_says() -> None:
    stones = {"game": 0.75, "moved": 0.5, "both": 0.25, "pairs": 300, "shown": []}
    assert ablate.in_words(ablate.PAIRS, stones) == "300 pairs: captures 75.0%, with the stone moved 50.0%, both 25.0%"
    assert ablate.in_words("1", {"top1": 0.25, "top5": 0.5, "cross_entropy": 2.5}) == "top-1 25.00%, top-5 50.00%, cross-entropy 2.5000"


def test_which_pictures_are_drawn_and_where_the_page_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest budget's has the plain name; the stone that moves is that of the largest budget alone, a picture for each set."""
    drawn: list[tuple[str, int]] = []
    stones: list[tuple[str, int]] = []
    monkeypatch.setattr(ablate, "picture", lambda _, part, path: drawn.append((path.name, part.budget["positions"])))
    monkeypatch.setattr(ablate, "pooling_picture", lambda rows, path: stones.append((path.name, rows[0][1][0]["budget"]["positions"])))
    out, page = tmp_path / "my runs", tmp_path / "docs" / "page.md"
    out.mkdir()
    page.parent.mkdir()
    page.write_text("<!-- ablate: kernel -->\n<!-- end -->\n<!-- ablate: other -->\n<!-- end -->\n")
    for positions in (10**6, 60000, 2 * 10**6):
        for name in ("kernel3", "kernel5", "kernel7")[: 1 if positions > 10**6 else 3]:
            one = line(name, 1, 0.4, 0.01, budget={"positions": positions})
            one["test"] |= {"8": one["test"]["1"], ablate.PAIRS: {"game": 0.5, "moved": 0.4, "both": 0.3}}
            ablate.write_line(out / ablate.LINES, one)
    kernel = replace(ablate.SETS["kernel"], tests=("1", "8", ablate.PAIRS))
    text = ablate.report({"kernel": kernel, "other": kernel}, out, page)
    assert drawn == [(f"{name}{end}.png", positions) for name in ("kernel", "other") for end, positions in (("-1", 60000), ("", 10**6))]
    assert stones == [("kernel-moved-stone.png", 10**6), ("other-moved-stone.png", 10**6)]
    links = ["kernel-1", "kernel", "kernel-moved-stone", "other-1", "other", "other-moved-stone"]
    assert re.findall(r"\]\((.*)\)", page.read_text()) == [f"../my%20runs/{name}.png" for name in links]
    parts = text.split("Budget of each run: ")[1:4]
    assert [re.findall(r"([\w-]+)\.png", part) for part in parts] == [["kernel-1"], ["kernel", "kernel-moved-stone"], []]
    assert re.findall(r"\]\((.*)\)", ablate.report({"kernel": kernel}, out, None)) == [f"{name}.png" for name in links[:3]]


def test_a_report_of_some_sets_leaves_the_others_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the configurations of a file that was not given; ``--only`` shows these configurations alone."""
    for name in ("kernel3", "kernel5", "kernel7"):
        ablate.write_line(tmp_path / ablate.LINES, line(name, 1, 0.4, 0.01))
    page = tmp_path / "page.md"
    file = own(tmp_path / "mine.json", *({"name": f"own{n}", "kind": "alphago", "first_kernel": n} for n in (3, 7)))
    page.write_text("".join(f"<!-- ablate: {name} -->\n<!-- end -->\n" for name in ("mine", "kernel", "edge", "theirs")))
    command = ["--out", str(tmp_path), "--report"]
    assert ablate.main([*command, "--page", str(page), "--file", str(file)]) == 0
    written, printed = page.read_text(), capsys.readouterr().out
    assert "| own3 | " in written
    assert "| 3×3 first | " in written
    assert written.count("Budget of each run") == 1
    assert re.findall(r"Not yet measured: .* (--\w+ \S+) ", written) == ["--set edge", "--file theirs.json"]
    assert "| own3 | " in printed
    assert "3×3 first" not in printed
    for more in ([], ["--set", "kernel"], ["--set", "edge"]):
        assert ablate.main([*command, "--page", str(page), *more]) == 0
        assert page.read_text() == written
    capsys.readouterr()
    assert ablate.main([*command, "--set", "kernel", "--only", "kernel3", "kernel7"]) == 0
    assert re.findall(r"^\| (\d×\d)", capsys.readouterr().out, re.MULTILINE) == ["3×3", "7×7"]
    assert ablate.main([*command, "--only", "kernel8"]) == 2
    assert "there is no configuration kernel8" in capsys.readouterr().err


def test_the_heading_names_the_options_that_a_table_has_in_common(tmp_path: Path) -> None:
    """Not those that every configuration sets itself. And what a line was trained with decides, whether the command or the list set it."""
    base = {"kind": "residual", "filters": 32, "batch_size": 64, "validation_positions": 99}
    wide, plain = {"filters": 92, "layers": 6}, {"kind": "alphago", "filters": 64, "layers": 12}
    for seed, settings in ((1, wide), (2, wide), (1, plain)):
        ablate.write_line(tmp_path / ablate.LINES, line("own", seed, 0.4, 0.01, base=base, settings=settings, machine=f"machine {seed}"))
    text = ablate.report({"shape": ablate.SETS["shape"]}, tmp_path, None)
    assert "60,000 positions (batch_size 64, kind residual); 99 games in g.gpk; machine 1; machine 2; 2026-01-02.\n" in text
    (part,) = ablate.parts_of(ablate.SETS["width"], [line("plain", 1, 0.5, 0.01, base={"filters": 16})])
    assert [each.name for each, _ in part.rows] == ["w16"]
    assert ablate.parts_of(replace(ablate.SETS["width"], tests=("8",)), [line("w32", 1, 0.5, 0.01)]) == []


def test_the_page_of_the_project_names_sets_that_there_are() -> None:
    text = (ROOT / "docs" / "why-this-network.md").read_text(encoding="utf-8")
    named = re.findall(r"<!-- ablate: (.*?) -->", text)
    assert named
    assert set(named) <= set(ablate.SETS)
    assert len(named) == len(set(named)) == text.count("<!-- end -->")
