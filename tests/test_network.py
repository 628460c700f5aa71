"""The networks against a slow plain version in NumPy, and folding, other boards, first loss and the table of layers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gopolicy.network import KINDS, PolicyConfig, PolicyNetwork, bias_rows, resolve_precision


def small(kind: str = "alphago", **changes) -> PolicyNetwork:
    torch.manual_seed(5)
    network = PolicyNetwork(
        PolicyConfig(**{"planes": "test", "in_planes": 3, "filters": 4, "layers": 4, "kind": kind, "size": 7, **changes})
    )
    with torch.no_grad():  # nothing may stay at the values that hide mistakes: zero, or one for a scale
        for tensor in network.state_dict().values():
            if tensor.is_floating_point() and tensor.dim() < 4:
                tensor.uniform_(0.2, 1.5)
        network.output.weight.normal_()
    return network.eval()


def random_planes(size: int = 7, count: int = 3) -> torch.Tensor:
    return (torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(size)) < 0.4).float()


def convolve(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Zero padded, point by point: x (C, N, N), weight (K, C, k, k) → (K, N, N)."""
    n, k = x.shape[1], weight.shape[2]
    padded = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    out = np.zeros((len(weight), n, n))
    for row in range(n):
        for column in range(n):
            out[:, row, column] = (weight * padded[None, :, row : row + k, column : column + k]).sum(axis=(1, 2, 3))
    return out


def plain_forward(network: PolicyNetwork, planes: np.ndarray) -> np.ndarray:
    """One position (P, N, N) → logits (N·N,), written from the published description, from the tensors alone."""
    w = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}

    def layer(name: str, x: np.ndarray) -> np.ndarray:
        x = convolve(x, w[f"{name}.conv.weight"])
        if f"{name}.norm.weight" in w:
            mean, var = w[f"{name}.norm.running_mean"][:, None, None], w[f"{name}.norm.running_var"][:, None, None]
            return (x - mean) / np.sqrt(var + 1e-5) * w[f"{name}.norm.weight"][:, None, None] + w[f"{name}.norm.bias"][:, None, None]
        return x + w[f"{name}.conv.bias"][:, None, None]

    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    x = relu(layer("first", planes))
    i, last = 0, network.config.layers - 1
    while i < last:
        if network.config.kind == "residual" and i + 1 < last:
            x, i = relu(layer(f"tower.{i + 1}", relu(layer(f"tower.{i}", x))) + x), i + 2
        else:
            x, i = relu(layer(f"tower.{i}", x)), i + 1
    return (convolve(x, w["output.weight"])[0] + w["point_bias"]).ravel()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
def test_forward_equals_the_plain_version(kind, layers):
    network, planes = small(kind, layers=layers), random_planes()
    with torch.no_grad():
        logits = network(planes)
    assert logits.shape == (3, 49)
    for mine, position in zip(logits.numpy(), planes.double().numpy(), strict=True):
        np.testing.assert_allclose(mine, plain_forward(network, position), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layers", [1, 4])
def test_by_held_statistics_it_learns_as_by_torchs_own_normalisation(layers):
    """Which is a pass over all points: here the filters take it in."""
    network, planes = small("residual", layers=layers), random_planes()

    def loss() -> torch.Tensor:
        network.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(planes), torch.tensor([3, 5, 7]))
        loss.backward()
        return loss.detach()

    mine, gradients = loss(), {}
    for name, parameter in network.named_parameters():
        gradients[name] = parameter.grad.clone()
    for layer in network.layers:
        layer.forward = lambda x, layer=layer: layer.norm(layer.conv(x))
    np.testing.assert_allclose(loss(), mine, rtol=1e-5)
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name
        np.testing.assert_allclose(gradients[name], parameter.grad, rtol=1e-3, atol=1e-4 * parameter.grad.abs().max(), err_msg=name)


def test_autocast_leaves_the_logits_their_precision():
    """The layers compute in bf16, the sum over the filters and the bias do not: no logit is one of the few that bf16 can tell."""
    network, planes = small("residual", size=19), random_planes(19)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network.train()(planes)
    assert logits.dtype == torch.float32
    assert (logits != logits.bfloat16().float()).float().mean() > 0.9
    with torch.no_grad():
        network.point_bias.zero_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(planes)
    assert (logits != logits.bfloat16().float()).float().mean() > 0.9


def test_bf16_is_taken_where_there_are_instructions_for_it(monkeypatch):
    for ability, number in (("avx2", torch.float32), *((name, torch.bfloat16) for name in ("avx512_bf16", "amx_bf16", "bf16"))):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda ability=ability: {"avx512_bf16": False, ability: True})
        assert resolve_precision("auto", torch.device("cpu")) == number
    for native, number in ((False, torch.float32), (True, torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, native=native: native or including_emulation)
        assert resolve_precision("auto", torch.device("cuda")) == number
    assert resolve_precision("auto", torch.device("mps")) == torch.float32


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
def test_folded_is_the_same_function_without_normalisation(layers):
    network, planes = small("residual", layers=layers), random_planes()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    chance = torch.get_rng_state()
    folded = network.folded()
    assert torch.equal(chance, torch.get_rng_state())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert folded.config.folded
    with torch.no_grad():
        np.testing.assert_allclose(folded(planes), network(planes), rtol=1e-5, atol=1e-5)
        again = folded.folded()
        assert torch.equal(again(planes), folded(planes))


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
def test_unfolded_is_the_same_function_with_normalisation(layers):
    folded = small("residual", layers=layers).folded()
    with torch.no_grad():
        folded.first.conv.weight[0] = 0  # a filter that says the same of every position
    seen, others = random_planes(count=64), 2 * random_planes(count=5)
    chance = torch.get_rng_state()
    network = folded.unfolded(seen.split(24))  # the last part has fewer
    assert torch.equal(chance, torch.get_rng_state())
    assert not network.training
    assert not network.config.folded
    with torch.no_grad():
        for planes in (seen, others):
            np.testing.assert_allclose(network(planes), folded(planes), rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(network.folded()(planes), folded(planes), rtol=1e-4, atol=1e-4)
        # In training the statistics are those of the batch: of this one, the same.
        np.testing.assert_allclose(network.train()(seen), folded(seen), rtol=1e-3, atol=1e-3)
    lengths = torch.cat([layer.conv.weight.detach().flatten(1).norm(dim=1) for layer in (network.first, *network.tower)])
    np.testing.assert_allclose(lengths[1:], 2**0.5, rtol=1e-5)
    with pytest.raises(ValueError, match="only a folded network"):
        network.unfolded([seen])
    with pytest.raises(ValueError, match="no positions"):
        folded.unfolded([])


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_float32_whatever_torch_makes_by_default(kind):
    torch.set_default_dtype(torch.float64)
    try:
        network = small(kind)
        assert {tensor.dtype for tensor in (*network.parameters(), *network.folded().parameters())} == {torch.float32}
    finally:
        torch.set_default_dtype(torch.float32)


def test_folding_a_plain_network_copies_it():
    network, planes = small("alphago"), random_planes()
    copy = network.folded()
    with torch.no_grad():
        assert torch.equal(copy(planes), network(planes))
        copy.point_bias.zero_()
    assert network.point_bias.min() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_loss_is_that_of_a_guess_among_all_points(kind):
    torch.manual_seed(0)
    network = PolicyNetwork(PolicyConfig(filters=32, layers=8, kind=kind))
    planes = (torch.rand(8, 48, 19, 19) < 0.2).float()
    loss = torch.nn.functional.cross_entropy(network(planes), torch.arange(0, 361, 46))
    assert abs(loss.item() - math.log(361)) < 0.1


def test_fresh_weights_are_hes_and_shortcuts_begin_as_the_identity():
    """He et al. 2015: a variance of 2 / inputs. Goyal et al. 2017: what is beside the shortcut begins at nothing."""
    torch.manual_seed(3)
    for kind in KINDS:
        network = PolicyNetwork(PolicyConfig(filters=64, layers=6, kind=kind)).eval()
        for layer in (network.first, *network.tower):
            assert layer.conv.weight.std().item() == pytest.approx((2 / layer.conv.weight[0].numel()) ** 0.5, rel=0.03)
    planes = (torch.rand(2, 48, 19, 19) < 0.2).float()
    with torch.no_grad():
        x = torch.relu(network.first(planes))
        alone = torch.relu(network.tower[4](x))  # the fifth has no partner
        assert torch.equal(network(planes), network.head(alone))
    assert alone.max() > 0.1
    network(planes).sum().backward()
    assert all(network.tower[i].norm.weight.grad.abs().max() > 0 for i in (1, 3)), "what is nothing now learns"


def test_rows_of_the_bias_on_other_boards():
    assert bias_rows(19, 19) == list(range(19))
    assert bias_rows(18, 18) == list(range(18))
    assert bias_rows(9, 19) == [0, 1, 2, 3, 4, 15, 16, 17, 18]
    assert bias_rows(2, 19) == [0, 18]
    assert bias_rows(25, 19) == [*range(9), *[9] * 7, *range(10, 19)]
    for size in range(2, 19, 2):
        rows = bias_rows(size, 19)
        assert [18 - row for row in reversed(rows)] == rows  # the two halves mirror each other


@pytest.mark.parametrize(
    ("size", "point", "trained_point"), [(5, (0, 4), (0, 6)), (5, (3, 1), (5, 1)), (9, (8, 8), (6, 6)), (9, (0, 0), (0, 0))]
)
def test_the_bias_of_a_point_comes_from_the_point_as_far_from_the_edges(size, point, trained_point):
    network = small()
    with torch.no_grad():
        network.point_bias.zero_()
        network.output.weight.zero_()
        network.point_bias[trained_point] = 3.0
        logits = network(random_planes(size))
    assert logits.shape == (3, size * size)
    assert (logits.reshape(3, size, size)[:, point[0], point[1]] == 3.0).all()


def test_counts_and_table_of_the_published_network():
    network = PolicyNetwork(PolicyConfig())
    weights = (5 * 5 * 48 * 192 + 192) + 11 * (3 * 3 * 192 * 192 + 192) + 192 + 361
    assert network.weight_count() == weights == 3_882_793
    assert network.multiply_adds() == 361 * (5 * 5 * 48 * 192 + 11 * 3 * 3 * 192 * 192 + 192)
    assert PolicyNetwork(PolicyConfig(size=9)).multiply_adds() * 361 == network.multiply_adds() * 81
    lines = str(network).splitlines()
    rows = [line.split() for line in lines if line.split()[0].isdigit()]
    assert [row[0] for row in rows] == [str(number) for number in range(1, 14)]
    assert sum(int(row[-2].replace(",", "")) for row in rows) == weights
    assert sum(int(row[-1].replace(",", "")) for row in rows) == network.multiply_adds()
    assert lines[-1].split()[-2:] == [f"{weights:,}", f"{network.multiply_adds():,}"]


def test_the_table_of_a_residual_network_tells_its_shortcuts():
    rows = str(small("residual", layers=6)).splitlines()
    sources = {row.split()[0]: row.split("+ layer ")[1].split(",")[0] for row in rows if "+ layer" in row}
    assert sources == {"3": "1", "5": "3"}
    assert max(map(len, str(PolicyNetwork(PolicyConfig(kind="residual"))).splitlines())) < 80


@pytest.mark.parametrize(
    "changes",
    [{"kind": "dense"}, {"filters": 0}, {"layers": 0}, {"in_planes": -1}, {"size": 26}, {"size": 1}, {"filters": 10**9}, {"filters": "64"},
     {"filters": True}, {"layers": 2.0}, {"planes": 3}, {"folded": True}, {"folded": 1, "kind": "residual"}],
)  # fmt: skip
def test_what_cannot_be_built_is_refused(changes):
    with pytest.raises(ValueError, match="network: "):
        PolicyConfig(**changes)


def test_settings_of_a_newer_version_are_refused():
    with pytest.raises(ValueError, match="attention"):
        PolicyConfig.from_dict({"filters": 8, "attention": 3})
    assert PolicyConfig.from_dict({"filters": 8}) == PolicyConfig(filters=8)


@pytest.mark.parametrize("shape", [(3, 7, 7), (1, 4, 7, 7), (1, 3, 7, 8)])
def test_planes_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        small()(torch.zeros(shape))
