"""Releasing weights: only what is better in both figures on the test split takes the place of what is there."""

from __future__ import annotations

import math
import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gopolicy import evaluation, weights
from gopolicy.coords import BLACK, WHITE
from gopolicy.games import PackedGames, pack
from gopolicy.network import PolicyConfig, PolicyNetwork
from tests.test_games import record, write

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import release

PLAYED = [2 * row * 19 + 2 * column for row, column in ((1, 1), (1, 4), (1, 8), (2, 6), (3, 2), (4, 4), (5, 7), (6, 1), (7, 3), (8, 8))]
NEVER = 19 * 19 - 1
UNSURE, GOOD, SHARP, LUCKY = (2.0, NEVER, 2.5), (5.0, PLAYED[3], 5.5), (8.0, NEVER, 8.5), (0.0, PLAYED[3], 9.0)


@pytest.fixture(scope="module")
def games_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Games of the same ten points, each in an order of its own: what an answer that is always the same is worth can be told by hand."""
    folder, chance = tmp_path_factory.mktemp("release"), random.Random(4)
    orders = (chance.sample(PLAYED, len(PLAYED)) for _ in range(150))
    records = [replace(record(), moves=tuple(((BLACK, WHITE)[i % 2], point) for i, point in enumerate(order))) for order in orders]
    pack([write(folder / "sgf", records)], folder / "games.gpk")
    return folder / "games.gpk"


@pytest.fixture(autouse=True)
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(weights, "NETWORKS", tmp_path / "networks")
    weights.NETWORKS.mkdir()
    return weights.NETWORKS


def logits(likely: float, first: int, lead: float) -> torch.Tensor:
    """The points that are played, and the first choice."""
    told = torch.zeros(19 * 19)
    told[PLAYED] = likely
    told[first] = lead
    return told


def saved(path: Path, *answer: float) -> Path:
    torch.manual_seed(1)
    network = PolicyNetwork(PolicyConfig(planes="alphago4", in_planes=4, filters=4, layers=2, kind="residual")).eval()
    with torch.no_grad():
        network.output.weight.zero_()
        network.point_bias.copy_(logits(*answer).reshape(19, 19))
    weights.save(path, network, {"steps": 5, "data": {"file": "games.gpk"}})
    return path


def main(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["release.py", *map(str, words)])
    return release.main()


@pytest.mark.parametrize(
    ("here", "new", "more"),
    [
        (GOOD, GOOD, []),
        (GOOD, UNSURE, []),
        (GOOD, SHARP, []),  # the better cross-entropy, and never right
        (UNSURE, SHARP, []),  # both never right
        (UNSURE, LUCKY, []),  # more often right, and the worse cross-entropy
        (UNSURE, GOOD, ["--dry-run", "--max-positions", "12"]),
    ],
)
def test_what_is_not_better_in_both_figures_changes_nothing(
    here: tuple[float, int, float], new: tuple[float, int, float], more: list[str], games_file: Path, networks: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before = saved(networks / "default.safetensors", *here).read_bytes()
    assert main(monkeypatch, saved(tmp_path / "new", *new), games_file, *more) == 0
    out = capsys.readouterr().out
    assert ("is at least as good, and stays" in out) == (not more)
    assert out.count("'positions': 12") == (2 if more else 0), "both by the same ones"
    assert ("new less here: top-1 +0.00 ± 0.00 points, cross-entropy +0.0000 ± 0.0000\n" in out) == (here == new)
    assert [(path.name, path.read_bytes()) for path in networks.iterdir()] == [("default.safetensors", before)]


def test_what_is_better_is_written_with_what_it_was_measured_by(
    games_file: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = PackedGames.open(games_file)
    count = len(packed.indices("test"))
    assert 1 < count < len(packed.indices("train"))
    assert count != len(packed.indices("validation"))
    saved(networks / "default.safetensors", *UNSURE)
    fast = saved(networks / "fast.safetensors", *GOOD).read_bytes()
    assert main(monkeypatch, saved(tmp_path / "new", *GOOD), games_file, "--data", "games of ten points") == 0
    assert sorted(path.name for path in networks.iterdir()) == ["default.safetensors", "fast.safetensors"]
    assert (networks / "fast.safetensors").read_bytes() == fast
    network, description = weights.load("default")
    assert network.config.folded
    assert {tensor.dtype for tensor in load_file(networks / "default.safetensors").values()} == {torch.float16}
    planes = (torch.rand(2, 4, 19, 19) < 0.3).float()
    torch.testing.assert_close(network(planes), logits(*GOOD).expand(2, -1))
    assert (description["steps"], description["data"]) == (5, "games of ten points")
    measured = description["measured"]
    assert measured["servers"] == packed.summary()["servers"] != {}
    assert (measured["split"], measured["games"], measured["positions"]) == ("test", count, count * len(PLAYED))
    assert measured["top1"] == pytest.approx(1 / len(PLAYED), abs=1e-5)
    right = logits(*GOOD).double()[PLAYED].mean().item()
    assert measured["cross_entropy"] == pytest.approx(math.log(logits(*GOOD).double().exp().sum().item()) - right, abs=0.01)


def test_the_difference_is_told_with_the_interval_of_whole_games() -> None:
    """Worked out by hand: two games of two positions, in the first of which the new weights are right once more."""
    columns = [0, 0, 1, 1], [1, 2, 1, 2], [0, 1, 2, 3], [1.0, 2, 3, 4], [0.5] * 4, [1, -1, 1, -1]
    here = evaluation.Answers(*map(np.array, columns))
    new = replace(here, rank=np.array([0, 0, 2, 3]), cross_entropy=np.array([1.0, 1.9, 3, 4.3]))
    # right: 1 in 4, games 1 and 0 with 0.5 expected of each: 12.706 · √(2 · (0.5² + 0.5²)) / 4; nats: -0.1 and 0.3 with 0.1 of each
    assert release.difference(new, here) == "top-1 +25.00 ± 317.65 points, cross-entropy +0.0500 ± 1.2706"


def test_a_release_that_is_stopped_changes_nothing(
    games_file: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    new = saved(tmp_path / "new", *GOOD)
    monkeypatch.setattr(release.evaluation, "answer", stop)
    assert main(monkeypatch, new, games_file) == 1
    assert capsys.readouterr().err == "release.py: stopped\n"
    assert list(networks.iterdir()) == []


def test_the_first_of_a_name_needs_no_better_figures_but_a_size_that_fits(
    games_file: Path, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new = saved(tmp_path / "new", *UNSURE)
    monkeypatch.setattr(release, "LARGEST", 1000)
    assert main(monkeypatch, new, games_file, "--name", "fast") == 1
    assert "more than 1,000: release a smaller network" in capsys.readouterr().err
    assert list(networks.iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setattr(weights, "NETWORKS", networks)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))  # often on another disk, from where no file can be moved
    assert main(monkeypatch, new, games_file, "--name", "fast", "--max-positions", "12", "--dry-run") == 0
    assert list(networks.iterdir()) == []
    assert main(monkeypatch, new, games_file, "--name", "fast", "--max-positions", "12") == 0
    assert [path.name for path in networks.iterdir()] == ["fast.safetensors"]
    description = weights.load("fast")[1]
    assert (description["measured"]["positions"], description["data"]) == (12, {"file": "games.gpk"})
