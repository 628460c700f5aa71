"""Weights on disk: what goes in comes out, and whatever is damaged or foreign is refused with a WeightsError, never otherwise."""

from __future__ import annotations

import errno
import json
import os
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from gopolicy import weights
from gopolicy.errors import WeightsError
from gopolicy.network import PolicyConfig, PolicyNetwork


def make(kind: str = "residual") -> PolicyNetwork:
    torch.manual_seed(1)
    network = PolicyNetwork(PolicyConfig(planes="alphago4", in_planes=4, filters=6, layers=4, kind=kind))
    network.train()
    network((torch.rand(16, 4, 19, 19) < 0.3).float())  # running statistics that are not those of the start
    return network.eval()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "w.safetensors"
    weights.save(path, make(), {"steps": 7, "data": {"games": 3, "name": "碁"}})
    return path


def rewrite(path, *, tensors=None, **changes):
    """The file again with changed tensors or a changed description."""
    with safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()["gopolicy"])
    tensors = safetensors.torch.load_file(path) | (tensors or {})
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    safetensors.torch.save_file(tensors, path, metadata={"gopolicy": json.dumps(description | changes)})


@pytest.mark.parametrize("kind", ["alphago", "residual"])
@pytest.mark.parametrize("folded", [False, True])
def test_what_goes_in_comes_out(tmp_path, kind, folded):
    network = make(kind).folded() if folded else make(kind)
    told = weights.save(tmp_path / "w.safetensors", network, {"steps": 7, "accuracy": {"top1": 0.5}})
    back, description = weights.load(tmp_path / "w.safetensors")
    assert back.config == network.config
    assert not back.training
    assert back.state_dict().keys() == network.state_dict().keys()
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in back.state_dict().items())
    assert description == told
    assert description["plane_set"] == {"name": "alphago4", "version": 1, "planes": 4}
    assert (description["format"], description["steps"], description["accuracy"]) == (1, 7, {"top1": 0.5})
    assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(description["saved"]) < timedelta(minutes=5)
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_float16_takes_half_the_room_and_rounds_once(tmp_path):
    network = make()
    for name, half in (("full", False), ("half", True)):
        weights.save(tmp_path / name, network, {}, half=half)
    data = [(tmp_path / name).stat().st_size for name in ("full", "half")]
    numbers = sum(tensor.numel() for tensor in network.state_dict().values() if tensor.is_floating_point())
    assert data[0] - data[1] == pytest.approx(2 * numbers, abs=64)
    back, _ = weights.load(tmp_path / "half")
    for name, tensor in network.state_dict().items():
        assert back.state_dict()[name].dtype == tensor.dtype
        assert torch.equal(back.state_dict()[name], tensor.half().to(tensor.dtype))


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    (tmp_path / "w").write_bytes(b"before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as told:
        weights.save(tmp_path / "w", make(), {})
    assert told.value.filename == str(tmp_path / "w")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("w", b"before")]


def test_values_that_do_not_fit_are_not_saved(tmp_path):
    network = make()
    network.point_bias.data[3, 3] = 1e6
    weights.save(tmp_path / "w", network, {})
    with pytest.raises(WeightsError, match=r"point_bias.*float16"):
        weights.save(tmp_path / "w", network, {}, half=True)
    network.point_bias.data[3, 3] = torch.nan
    with pytest.raises(WeightsError, match="point_bias"):
        weights.save(tmp_path / "w", network, {})
    assert weights.load(tmp_path / "w")[0].point_bias[3, 3] == 1e6  # the first file is untouched


def test_the_description_cannot_lie_about_the_network(tmp_path):
    with pytest.raises(WeightsError, match="plane_set"):
        weights.save(tmp_path / "w", make(), {"plane_set": "alphago48"})


def test_an_interrupted_writer_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def refuse(*_):
        raise OSError("disk gone")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk gone"):
        weights.save(saved, make("alphago"), {})
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_no_damage_passes_unnoticed_as_another_error(saved):
    """Cut off anywhere, or a byte of the header altered: WeightsError, or (where the byte meant nothing) the same tensors."""
    data = saved.read_bytes()
    expected = weights.load(saved)[0].state_dict()
    header = 8 + int.from_bytes(data[:8], "little")
    chance = random.Random(3)
    cuts = [0, 1, 7, 8, 9, header - 1, header, header + 1, len(data) - 1, *chance.sample(range(len(data)), 20)]
    for cut in cuts:
        saved.write_bytes(data[:cut])
        with pytest.raises(WeightsError, match=r"w\.safetensors"):
            weights.load(saved)
    refused = 0
    for at in chance.sample(range(header), 250):
        saved.write_bytes(data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :])
        try:
            network, _ = weights.load(saved)
        except WeightsError:
            refused += 1
        else:
            assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())
    assert refused > 100


class Trap:
    def __reduce__(self):
        return (print, ("executed",))


def test_files_of_other_kinds_are_refused_and_not_executed(tmp_path, capsys):
    path = tmp_path / "w.safetensors"
    torch.save({"state": Trap()}, path)
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        weights.load(path)
    safetensors.torch.save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="no description"):
        weights.load(path)
    safetensors.torch.save_file({"a": torch.zeros(2)}, path, metadata={"gopolicy": "[" * 100_000})
    with pytest.raises(WeightsError, match="not JSON"):
        weights.load(path)
    safetensors.torch.save_file({"a": torch.zeros(2)}, path, metadata={"gopolicy": "[1]"})
    with pytest.raises(WeightsError, match="does not tell the network"):
        weights.load(path)
    assert "executed" not in capsys.readouterr().out


NETWORK = {"planes": "alphago4", "in_planes": 4, "filters": 6, "layers": 4, "kind": "residual", "size": 19, "folded": False}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": 2}, "layout version 2"),
        ({"format": None}, "layout version None"),
        ({"network": NETWORK | {"planes": "alphago49"}}, "'alphago49' is unknown.*alphago48"),
        ({"network": NETWORK | {"planes": "alphago12"}}, "reads 4 planes, plane set alphago12 has 12"),
        ({"plane_set": {"name": "alphago4", "version": 2, "planes": 4}}, "'version': 2.*'version': 1"),
        ({"plane_set": None}, "trained on plane set None"),
        ({"network": NETWORK | {"filters": 7}}, "has shape"),
        ({"network": NETWORK | {"layers": 5}}, "tensors differ.*tower.3"),
        ({"network": NETWORK | {"folded": True}}, "tensors differ"),
        ({"network": NETWORK | {"kind": "dense"}}, "'dense' is unknown"),
        ({"network": NETWORK | {"filters": "many"}}, "filters is 'many'"),
        ({"network": NETWORK | {"filters": 4096, "layers": 1024}}, "tensors differ"),  # 600 GB: refused before they are taken
        ({"network": NETWORK | {"heads": 8}}, "heads"),
        ({"network": None}, "does not tell the network"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(saved, changes, sentence):
    rewrite(saved, **changes)
    with pytest.raises(WeightsError, match=sentence):
        weights.load(saved)


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"point_bias": torch.full((19, 19), torch.inf)}, "point_bias holds values that are no finite"),
        ({"point_bias": torch.zeros(361)}, r"point_bias has shape \(361,\)"),
        ({"point_bias": torch.zeros(19, 19, dtype=torch.int64)}, "point_bias has type torch.int64"),
        ({"point_bias": None}, "first 'point_bias'"),
        ({"extra": torch.zeros(1)}, "first 'extra'"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(saved, tensors, sentence):
    rewrite(saved, tensors=tensors)
    with pytest.raises(WeightsError, match=sentence):
        weights.load(saved)


def test_names_of_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "NETWORKS", tmp_path)
    with pytest.raises(WeightsError, match=r"'fast' come with this installation \(there: none\)"):
        weights.load("fast")
    weights.save(tmp_path / "default.safetensors", make(), {"steps": 3})
    with pytest.raises(WeightsError, match=r"\(there: default\)"):
        weights.load("fast")
    assert weights.load("default")[1]["steps"] == 3
    assert weights.packaged() == ["default"]
    monkeypatch.chdir(tmp_path)
    weights.save(tmp_path / "default", make(), {"steps": 4})
    assert weights.load("default")[1]["steps"] == 3, "a file of that name at hand is not meant"
    assert weights.load("./default")[1]["steps"] == 4


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(WeightsError, match=r"does not exist; expected a \.safetensors file, or one of default, fast, playouts"):
        weights.load(tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="is a folder"):
        weights.load(tmp_path)
    with pytest.raises(WeightsError, match="'' does not exist"):
        weights.load("")


def test_the_package_has_its_networks():
    assert weights.packaged() == sorted(weights.PACKAGED)
    sizes = {}
    for name in weights.PACKAGED:
        network, description = weights.load(name)
        sizes[name] = sum(parameter.numel() for parameter in network.parameters())
        assert description["network"]["folded"]
        assert 0.4 < description["measured"]["top1"] < 0.7
        assert description["measured"]["split"] == "test"
    assert sizes["playouts"] < sizes["fast"] < sizes["default"]


@pytest.mark.skipif(sys.platform != "linux", reason="tells what it has mapped")
def test_a_file_that_was_read_may_be_replaced(saved):
    """Windows replaces no file that is part of a process's memory, and where one is overwritten in its place, the memory changes."""
    network, _ = weights.load(saved)
    assert str(saved) not in Path("/proc/self/maps").read_text()
    del network
