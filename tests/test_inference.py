"""The prepared network against the plain modules."""

import pytest
import torch

from gopolicy import inference
from gopolicy.network import PolicyConfig, PolicyNetwork

CPU = torch.device("cpu")


def trained(**options) -> PolicyNetwork:
    """A network none of whose numbers is at its start: also the running statistics and the second layers of the shortcuts."""
    torch.manual_seed(11)
    network = PolicyNetwork(PolicyConfig(**options))
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * (0.5 if "var" in name or "norm" in name else 0.05))
    return network.eval()


@pytest.mark.parametrize("kind", ["alphago", "residual"])
@pytest.mark.parametrize("layers", [1, 2, 5, 6])
@pytest.mark.parametrize(("size", "count"), [(19, 1), (19, 9), (13, 17), (9, 3), (8, 1), (2, 2)])
@pytest.mark.parametrize("filters", [24, inference.WIDE])
def test_it_computes_what_the_modules_compute(kind, layers, size, count, filters):
    network = trained(kind=kind, layers=layers, filters=filters)
    prepared = inference.prepare(network.folded(), CPU, torch.float32)
    planes = (torch.rand(count, 48, size, size) < 0.3).float()
    with torch.inference_mode():
        exact = network.double()(planes.double())
        for given in (planes, planes.to(memory_format=torch.channels_last)):  # as Policy gives them
            assert (prepared(given) - exact).abs().max() < 1e-5 * exact.abs().max()


@pytest.mark.parametrize("kind", ["alphago", "residual"])
def test_in_bf16_it_differs_by_the_rounding_alone(kind):
    network = trained(kind=kind, layers=6, filters=24)
    prepared = inference.prepare(network.folded(), CPU, torch.bfloat16)
    planes = (torch.rand(5, 48, 19, 19) < 0.3).float()
    with torch.inference_mode():
        exact = network(planes)
        rounded = prepared(planes.bfloat16())
    assert rounded.dtype == torch.float32
    assert (rounded - exact).std() < 0.03 * exact.std()


def test_on_a_cpu_with_onednn_it_is_packed(monkeypatch):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch was built without oneDNN")
    network = trained(kind="residual", layers=4, filters=8)
    assert type(inference.prepare(network.folded(), CPU, torch.float32)) is inference._Packed
    wide = trained(kind="residual", layers=4, filters=inference.WIDE)
    assert type(inference.prepare(wide.folded(), CPU, torch.float32)) is inference._Winograd
    assert type(inference.prepare(wide.folded(), CPU, torch.bfloat16)) is inference._Packed

    def gone(*_: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(inference._Packed, "__call__", gone)
    plain = inference.prepare(network.folded(), CPU, torch.float32)
    assert isinstance(plain, PolicyNetwork)  # where the operators are not to be had, the modules do it
