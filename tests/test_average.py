"""Weights between two, against the two networks' own numbers and what they answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gopolicy import weights
from gopolicy.network import PolicyConfig, PolicyNetwork

SCRIPT = Path(__file__).parents[1] / "scripts" / "average.py"
sys.path.insert(0, str(SCRIPT.parent))

import average  # noqa: E402


def shape(**settings: Any) -> PolicyConfig:
    return PolicyConfig(**({"planes": "alphago4", "in_planes": 4, "filters": 6, "layers": 4, "kind": "residual"} | settings))


def saved(path: Path, seed: int) -> PolicyNetwork:
    torch.manual_seed(seed)
    network = PolicyNetwork(shape()).train()
    for _ in range(20):
        network((torch.rand(16, 4, 19, 19) < 0.3).float() * seed)  # running statistics of its own
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.rand_like(parameter)
    weights.save(path, network.eval(), {"data": path.stem, "steps": seed})
    return network


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """The command in this process: its exit status, and what it says on standard error."""

    def run_(*words: object) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["average.py", *map(str, words)])
        try:
            status: Any = average.main()
        except SystemExit as stop:
            status = stop.code
        return status, capsys.readouterr().err

    return run_


def test_both_ends_are_the_networks_themselves_and_between_them_is_the_mean(tmp_path: Path, run: Callable[..., tuple[int, str]]) -> None:
    names = [tmp_path / "start.safetensors", tmp_path / "end.safetensors"]
    first, second = (saved(name, seed) for seed, name in enumerate(names, start=1))
    planes = (torch.rand(5, 4, 19, 19) < 0.3).float()
    with torch.no_grad():
        own = [first(planes), second(planes)]
    assert not torch.allclose(own[0], own[1], atol=0.1)
    made = []
    for share in (0, 1, 0.25):
        out = tmp_path / f"{share}.safetensors"
        assert run(*names, "--share", share, "--out", out) == (0, "")
        made.append(weights.load(out))
    with torch.no_grad():
        for (network, _), expected in zip(made[:2], own, strict=True):
            torch.testing.assert_close(network(planes), expected, atol=1e-4, rtol=1e-4)
    network, description = made[2]
    for mine, one, other in zip(network.parameters(), first.folded().parameters(), second.folded().parameters(), strict=True):
        torch.testing.assert_close(mine, 0.75 * one + 0.25 * other)
    command = [sys.executable, str(SCRIPT), *map(str, names), "--out", str(tmp_path / "half")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'half'}: 0.5 of {names[0]}, 0.5 of {names[1]}\n")
    halves = weights.load(tmp_path / "half")[0].parameters()
    for mine, one, other in zip(halves, first.folded().parameters(), second.folded().parameters(), strict=True):
        torch.testing.assert_close(mine, (one + other) / 2)
    told = [(part["weights"], part["share"], part["data"], part["steps"]) for part in description["averaged"]]
    assert told == [("start.safetensors", 0.75, "start", 1), ("end.safetensors", 0.25, "end", 2)]


@pytest.mark.parametrize(
    "settings", [{"filters": 8}, {"layers": 3}, {"kind": "alphago"}, {"planes": "alphago12", "in_planes": 12}, {"size": 9}]
)
def test_networks_of_two_shapes_are_refused(tmp_path: Path, settings: dict[str, Any], run: Callable[..., tuple[int, str]]) -> None:
    saved(tmp_path / "a", 1)
    weights.save(tmp_path / "b", PolicyNetwork(shape(**settings)), {})
    status, said = run(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c")
    assert status == 1
    assert said.startswith("average.py: weights of two shapes have no average: residual, ")
    one, other = said.removeprefix("average.py: weights of two shapes have no average: ").split(" and ")
    assert one.strip() != other.strip(), "what differs is said"
    assert said.count("\n") == 1
    assert not (tmp_path / "c").exists()


def test_wrong_use_is_told(tmp_path: Path, run: Callable[..., tuple[int, str]]) -> None:
    saved(tmp_path / "a", 1)
    for words, status, sentence in [
        ((tmp_path / "a", tmp_path / "a", "--share", "1.5", "--out", tmp_path / "c"), 2, "--share is 1.5, expected 0 to 1"),
        ((tmp_path / "a", tmp_path / "a", "--share", "nan", "--out", tmp_path / "c"), 2, "--share is nan, expected 0 to 1"),
        ((tmp_path / "a", tmp_path / "none", "--out", tmp_path / "c"), 1, "does not exist"),
        ((tmp_path / "a", tmp_path / "a", "--out", tmp_path / "no" / "c"), 1, "No such file"),
    ]:
        found, said = run(*words)
        assert (found, sentence in said) == (status, True), said
    assert not (tmp_path / "c").exists()


def test_a_file_of_another_kind_is_not_written_over(tmp_path: Path, run: Callable[..., tuple[int, str]]) -> None:
    saved(tmp_path / "a", 1)
    games = tmp_path / "games.gpk"
    games.write_bytes(b"games that took an hour to pack")
    found, said = run(tmp_path / "a", tmp_path / "a", "--out", games)
    assert (found, said) == (1, f"average.py: {games} is there, and holds no weights: name another file to write, not to lose it\n")
    assert games.read_bytes() == b"games that took an hour to pack"
    for out in ("a", "empty"):  # weights may be written over, and a file that holds nothing
        (tmp_path / "empty").touch()
        assert run(tmp_path / "a", tmp_path / "a", "--out", tmp_path / out) == (0, "")
