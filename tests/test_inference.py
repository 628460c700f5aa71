"""The prepared network against the plain modules."""

import pytest
import torch
import torch.nn.functional as F

from gopolicy import inference
from gopolicy.errors import DeviceError
from gopolicy.network import PolicyConfig, PolicyNetwork, resolve_precision

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
@pytest.mark.parametrize(("size", "count"), [(19, 1), (19, 9), (14, 8), (13, 17), (9, 3), (8, 1), (2, 2)])
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
    folded = network.folded()
    folded.point_bias.data.zero_()
    with torch.inference_mode():
        logits = inference.prepare(folded, CPU, torch.bfloat16)(planes.bfloat16())
    assert (logits != logits.bfloat16().float()).float().mean() > 0.9, "the last layer computes in float32"


def test_on_a_cpu_with_onednn_it_is_packed(monkeypatch):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch was built without oneDNN")
    network = trained(kind="residual", layers=4, filters=8)
    assert type(inference.prepare(network.folded(), CPU, torch.float32)) is inference._Packed
    wide = trained(kind="residual", layers=4, filters=inference.WIDE)
    assert type(inference.prepare(wide.folded(), CPU, torch.float32)) is inference._Winograd
    if resolve_precision("auto", CPU) == torch.bfloat16:
        assert type(inference.prepare(wide.folded(), CPU, torch.bfloat16)) is inference._Packed

    def gone(*_: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(inference._Packed, "__call__", gone)
    plain = inference.prepare(network.folded(), CPU, torch.float32)
    assert isinstance(plain, PolicyNetwork)  # where the operators are not to be had, the modules do it


with_int8 = pytest.mark.skipif(not inference.has_int8(CPU), reason="no convolutions of 8-bit integers here")


def positions(count, size=19):
    return (torch.rand(count, 48, size, size) < 0.3).to(torch.uint8)


def in_integers_slowly(prepared, planes):
    """What ``_Quantised`` means, by exact sums of whole numbers in float64."""
    network, steps = prepared.network, prepared.steps

    def layer(i, x, added=0.0):
        conv = [network.first, *network.tower][i].conv
        unit = conv.weight.double().abs().amax((1, 2, 3), keepdim=True) / 127
        total = F.conv2d(x, (conv.weight.double() / unit).round(), padding=conv.padding) * unit.flatten()[:, None, None] * steps[i]
        total = total + conv.bias.double()[:, None, None] + added
        return (total / steps[i + 1]).round().clamp(0, 255)

    x = layer(0, planes.double())
    for i in range(1, prepared.paired, 2):
        x = layer(i + 1, layer(i, x), added=x * steps[i])
    for i in range(prepared.paired + 1, len(network.tower) + 1):
        x = layer(i, x)
    return network.head((x * steps[-1]).float())


@with_int8
@pytest.mark.parametrize("kind", ["alphago", "residual"])
@pytest.mark.parametrize("layers", [1, 2, 5, 6])
@pytest.mark.parametrize(("size", "count"), [(19, 1), (19, 9), (9, 3), (2, 2)])
def test_in_integers_it_computes_what_whole_numbers_say(kind, layers, size, count):
    network, examples = trained(kind=kind, layers=layers, filters=24), positions(8)
    chance = torch.get_rng_state()
    prepared = inference.quantised(network.folded(), CPU, examples)
    assert torch.equal(chance, torch.get_rng_state())
    planes = positions(count, size)
    with torch.inference_mode():
        for given in (planes, planes.to(memory_format=torch.channels_last)):
            logits = prepared(given)
            exact, slow = network(planes.float()), in_integers_slowly(prepared, planes)
            # Where a sum stands between two steps, float32 may round it the other way, and layers after it follow.
            assert (logits - slow).abs().max() < 0.01 * exact.abs().max()
            if size > 2:  # the examples had 19 lines: activations of the smallest boards are far below theirs
                assert (logits - exact).abs().max() < 0.02 * exact.abs().max()


def prepared_in(precision, network, planes):
    """The network prepared to compute in that precision, and the planes as it wants them."""
    if precision == "int8":
        return inference.quantised(network, CPU, positions(4)), planes
    number = torch.bfloat16 if precision == "bf16" else torch.float32
    prepared = inference.prepare(network, CPU, number)
    if isinstance(prepared, PolicyNetwork):
        pytest.skip("torch was built without oneDNN, or for a CPU without these numbers")
    return prepared, planes.to(number)


@pytest.mark.parametrize("precision", ["float32", "winograd", "bf16", pytest.param("int8", marks=with_int8)])
def test_many_boards_go_through_in_parts_that_fit_into_the_cache(monkeypatch, precision):
    network = trained(kind="residual", layers=4, filters=inference.WIDE if precision == "winograd" else 24).folded()
    prepared, planes = prepared_in(precision, network, positions(11))
    size = {"int8": 1, "bf16": 2}.get(precision, 4)
    with torch.inference_mode():
        one_by_one = torch.cat([prepared(planes[i : i + 1]) for i in range(len(planes))])
        monkeypatch.setattr(inference, "CACHED", 24 * 19 * 19 * size * 4 + 1)  # four boards at once
        monkeypatch.setattr(inference._Winograd, "BOARDS", 4)
        parts = []
        name = "_in_tiles" if precision == "winograd" else "_some"
        some = getattr(prepared, name)
        monkeypatch.setattr(prepared, name, lambda part: parts.append(len(part)) or some(part))
        together = prepared(planes)
        assert prepared(planes[:0]).shape == (0, 361)
        monkeypatch.setattr(inference, "CACHED", 1)
        monkeypatch.setattr(inference._Winograd, "BOARDS", 1)
        prepared(planes[:2])
    assert parts == [4, 4, 3, 0, 1, 1]
    assert (together - one_by_one).abs().max() < 1e-3 * one_by_one.abs().max()


@pytest.mark.skipif(not torch.cpu.get_capabilities().get("avx2", False), reason="which layouts oneDNN wants is known for x86 alone")
@pytest.mark.parametrize("precision", ["float32", "bf16", pytest.param("int8", marks=with_int8)])
@pytest.mark.parametrize("filters", [96, 192])  # in blocks of 32, 48 or 64, as boards and threads divide
def test_no_call_lays_weights_out_anew(capfd, precision, filters):
    limited = precision == "int8" and torch.cpu.get_capabilities().get("amx_int8", False)
    if limited and filters == 96:
        pytest.skip("matrix registers want these weights otherwise for outputs of 8 bits than of 32, for which torch lays them out")
    network = trained(kind="residual", layers=2, filters=filters).folded()
    prepared, planes = prepared_in(precision, network, positions(17))
    weights = (f"{filters}x48x5x5", f"{filters}x{filters}x3x3", f"36x{filters}x{filters}x1x1")  # the last: as Winograd has them
    threads = torch.get_num_threads()
    try:
        with torch.inference_mode():
            for count, most in ((1, 4), (2, 9), (3, 9), (4, 9), (12, 17)):  # threads, boards
                if limited and count == 12:  # the same, in the first layer
                    continue
                torch.set_num_threads(count)
                for boards, size in ((1, 19), (2, 19), (3, 19), (5, 19), (9, 19), (17, 19), (1, 7), (1, 9), (9, 9), (1, 13), (3, 13)):
                    if boards > most:
                        continue
                    given = planes[:boards, :, :size, :size].contiguous(memory_format=torch.channels_last)
                    prepared(given)
                    capfd.readouterr()
                    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
                        prepared(given)
                    said = [line.split(",") for line in capfd.readouterr().out.splitlines() if ",exec," in line]
                    assert any(row[5] == "convolution" for row in said)  # it says what it does
                    assert [row for row in said if row[5] == "reorder" and row[-2] in weights] == []
    finally:
        torch.set_num_threads(threads)


def test_layouts_of_many_numbers_of_boards_are_not_all_kept():
    network = trained(kind="alphago", layers=2, filters=8).folded()
    prepared, planes = prepared_in("float32", network, positions(2))
    with torch.inference_mode():
        for size in range(5, 5 + inference._Operands.KEPT):
            for count in (1, 2):
                prepared(planes[:count, :, :size, :size])
    assert [layer.laid_out.cache_info().currsize for layer in prepared.layers] == [inference._Operands.KEPT] * 2


def test_large_layouts_are_kept_for_two_sizes_of_board():
    """In the basis the weights of ``default`` take 60 MiB: on all sizes from 14 lines they had grown to 0.9 GiB."""
    prepared, planes = prepared_in("winograd", trained(kind="alphago", layers=3, filters=inference.WIDE).folded(), positions(2))
    seen = []
    with torch.inference_mode():
        for size in (19, 14, 15, 19):
            for count in (1, 2):
                prepared(planes[:count, :, :size, :size])
            seen.append([layer.laid_out.cache_info()[1::2] for layer in prepared.of_one])  # misses, kept
    assert seen == [[(1, 1)] * 2, [(2, 2)] * 2, [(3, 2)] * 2, [(4, 2)] * 2]


@with_int8
@pytest.mark.parametrize("kind", ["alphago", "residual"])
def test_to_balance_channels_changes_nothing(kind):
    network = trained(kind=kind, layers=7, filters=16)
    with torch.no_grad():
        network.tower[2].conv.weight[3] *= 50  # one channel far above the others, one silent
        network.tower[3].conv.weight[5] = 0
        if network.tower[3].norm is not None:
            network.tower[3].norm.bias[5] = -1
    folded = network.folded()
    prepared = inference._Quantised(folded.requires_grad_(False), positions(8).float())
    planes = positions(3).float()
    with torch.inference_mode():
        exact = network(planes)
        assert (prepared.network(planes) - exact).abs().max() < 1e-4 * exact.abs().max()


def test_integers_are_refused_where_they_are_not_to_be_had(monkeypatch):
    network = trained(kind="residual", layers=3, filters=8)
    assert not inference.has_int8(torch.device("meta"))

    def gone() -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(inference, "_quantised_convolution", gone)
    assert not inference.has_int8(CPU)
    with pytest.raises(DeviceError, match="the precision int8 needs a CPU with AVX2"):
        inference.quantised(network.folded(), CPU, positions(2))
