"""A folded network as it runs fastest on the device it is for.

On CPUs where torch has oneDNN, weights are laid out beforehand as its convolutions want them, and bias, shortcut and ReLU are
part of the convolution: a position through 192 filters takes a quarter less time (float32) or a sixth less (bf16) than
through the modules, which lay the weights out anew each time. On large boards wide networks in float32 multiply less besides
(``_Winograd``): two thirds of that time at 192 filters. ``quantised`` makes it compute in 8-bit integers instead, twice as fast
as bf16 and a little less exact. Many boards go through it some at a time (``in_parts``), so that what a layer writes is still in
the cache when the next reads it.
``scripts/bench.py --only network batch`` measures it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gopolicy.errors import DeviceError
from gopolicy.network import Layer, PolicyNetwork

Forward = Callable[[Tensor], Tensor]  # planes (B, P, N, N) → logits (B, N*N) float32

CACHED = 3 << 20  # bytes that one layer writes at a time: best for 64 and 192 filters, bf16 and int8 (RESULTS.md, 2026-11-29)
WIDE = 128  # filters from which multiplying less pays for the way there and back: at 64 it costs a third more time


def prepare(network: PolicyNetwork, device: torch.device, number: torch.dtype) -> Forward:
    """The function of a network from ``folded()``, on the device; the layers but the last compute in ``number``, and planes come in it."""
    network = network.requires_grad_(False).to(device)
    for part in (network.first, network.tower):
        part.to(number)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        wide = number == torch.float32 and network.config.filters >= WIDE
        try:
            packed = (_Winograd if wide else _Packed)(network, number)
            size = network.config.size
            packed(torch.zeros(1, network.config.in_planes, size, size, dtype=number))
        except (AttributeError, RuntimeError, TypeError):
            pass  # these operators are torch's own affair: another version may have them otherwise
        else:
            return packed
    return network


def has_int8(device: torch.device) -> bool:
    """Whether ``quantised`` works on the device and is faster there: on x86 CPUs with AVX2, and a torch whose oneDNN has it."""
    if device.type != "cpu" or not torch.cpu.get_capabilities().get("avx2", False):
        return False
    with torch.random.fork_rng(devices=[]):  # a layer draws its first weights: nobody else's random numbers may change
        some = nn.Conv2d(4, 4, 3, padding=1)
    try:
        planes = torch.zeros(1, 4, 5, 5, dtype=torch.uint8)
        operands = _integers(some, 1.0)(planes)
        _quantised_convolution()(planes, 1.0, 0, *operands, 1.0, 0, torch.uint8, "relu", [], "")
    except (AttributeError, RuntimeError, TypeError):  # as in ``prepare``
        return False
    return True


def quantised(network: PolicyNetwork, device: torch.device, planes: Tensor) -> Forward:
    """The function of a network from ``folded()`` with its convolutions in 8-bit integers; planes come as uint8, zeros and ones.

    ``planes`` (B, P, N, N) are positions like those it will be asked about: the ranges of the activations are theirs. Raises
    DeviceError where the device cannot do it (``has_int8``).
    """
    if not has_int8(device):
        raise DeviceError("the precision int8 needs a CPU with AVX2, and torch with oneDNN: take auto")
    return _Quantised(network.requires_grad_(False).to(device), planes.to(device).float())


def in_parts(forward: Forward, planes: Tensor, boards: int) -> Tensor:
    """``forward`` of planes (B, P, N, N), at most ``boards`` at a time, in parts that differ by one at most."""
    if len(planes) <= boards:
        return forward(planes)
    return torch.cat([forward(part) for part in planes.tensor_split(-(-len(planes) // boards))])


def boards_at_once(network: PolicyNetwork, number: torch.dtype, size: int) -> int:
    """How many boards of ``size`` lines fit into ``CACHED``, when each layer writes ``number``s."""
    return max(1, CACHED // (network.config.filters * size**2 * number.itemsize))


class _Operands:
    """What oneDNN's operators want after the input of a convolution: its weights, as ``lay_out`` lays them out for so many boards of
    so many lines, and what follows them.

    Which layout it wants depends on how boards, lines and blocks of filters divide among torch's threads: on two of them 192 filters go
    in blocks of 48 for one board and of 64 for more. Weights in another one are laid out anew at every call, which can take longer
    than the convolution. With ``EVEN`` boards a thread they divide well however many more there are, and the layout stays.
    """

    EVEN = 4
    KEPT = 16  # layouts, the latest: one of all layers of ``default`` takes 10 MiB, and on 16 threads a size of board has up to 64

    def __init__(self, lay_out: Callable[[int, int], Any], *rest: Any, kept: int = KEPT) -> None:
        self.laid_out = functools.lru_cache(kept)(lambda boards, size, threads: lay_out(boards, size))
        self.rest = rest

    def __call__(self, planes: Tensor) -> tuple[Any, ...]:
        """For boards as many and as large as those of planes (B, P, N, N), which need not be the convolution's own input."""
        threads = torch.get_num_threads()
        boards = max(1, min(len(planes), self.EVEN * threads))
        return self.laid_out(boards, planes.shape[-1], threads), *self.rest


def _reordered(weight: Tensor, padding: Any, groups: int, like: list[int]) -> Any:
    """Weights as oneDNN's convolution wants them for an input of the shape ``like``."""
    reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight  # torch has no name of its own for this in Python
    return reorder(weight.contiguous().to_mkldnn(), padding, (1, 1), (1, 1), groups, like)


def _convolution() -> Any:
    """oneDNN's convolution with what follows it, looked up late: not every torch has it."""
    return torch.ops.mkldnn._convolution_pointwise


class _Packed:
    """``PolicyNetwork.forward`` of a folded or plain network by the operators that torch's own compiler uses on CPUs."""

    def __init__(self, network: PolicyNetwork, number: torch.dtype) -> None:
        self.network, self.number = network, number
        self.layers = [self._pack(layer) for layer in network.layers]
        self.paired = network.paired

    def _pack(self, layer: Layer) -> _Operands:
        """The operands of a layer: weights, bias, padding, stride, dilation, groups."""
        conv = layer.conv

        def lay_out(boards: int, size: int) -> Any:
            return _reordered(conv.weight, conv.padding, 1, [boards, conv.in_channels, size, size])

        return _Operands(lay_out, conv.bias, conv.padding, (1, 1), (1, 1), 1)

    def __call__(self, planes: Tensor) -> Tensor:
        return in_parts(self._some, planes, boards_at_once(self.network, self.number, planes.shape[-1]))

    def _some(self, planes: Tensor) -> Tensor:
        convolution = _convolution()
        first, *tower = (layer(planes) for layer in self.layers)
        x: Tensor = convolution(planes, *first, "relu", [], "")
        for i in range(0, self.paired, 2):
            y = convolution(x, *tower[i], "relu", [], "")
            x = convolution.binary(y, x, *tower[i + 1], "add", 1.0, "relu", [], "")
        for layer in tower[self.paired :]:
            x = convolution(x, *layer, "relu", [], "")
        return self.network.head(x)


def _quantised_convolution() -> Any:
    """oneDNN's convolution of uint8 activations and int8 weights."""
    return torch.ops.onednn.qconv2d_pointwise


def _integers(conv: nn.Conv2d, step: float) -> _Operands:
    """Its operands, for an input that counts in ``step``: weights, their steps and zeros, bias, stride, padding, dilation, groups."""
    assert conv.bias is not None
    weight = conv.weight.detach().double()
    steps = weight.abs().amax((1, 2, 3)).clamp_min(1e-12) / 127  # a filter its own
    integers = (weight / steps[:, None, None, None]).round().to(torch.int8)
    around = ([1, 1], list(conv.padding), [1, 1], 1)

    def lay_out(boards: int, size: int) -> Any:  # torch knows outputs of 32 bits alone; for those of 8 AMX may want others
        return torch.ops.onednn.qconv_prepack(integers, steps.float(), step, 0, *around, [boards, conv.in_channels, size, size])

    return _Operands(lay_out, steps.float(), torch.zeros(len(steps), dtype=torch.int64), conv.bias.detach(), *around)


class _Quantised:
    """``PolicyNetwork.forward`` of a folded or plain network in 8-bit integers (Jacob et al. 2018, section 2).

    Activations, none of which is negative, count in steps of 1/255 of the largest of their layer, weights in steps of 1/127 of the
    largest of their filter; planes are zeros and ones, sums have 32 bits, and the output layer computes in float32. (CPUs without VNNI
    add pairs of products in 16 bits, too few where weights and activations are at their largest together: no loss was seen.)
    """

    MARGIN = 1.4  # above the largest activation of the examples: what is larger is cut off, and that costs more than coarse steps
    BALANCE = 0.7  # how much of it is for the activations' sake; the rest is for the weights'

    def __init__(self, network: PolicyNetwork, planes: Tensor) -> None:
        self.network = network
        self.paired = network.paired
        layers = network.layers
        peaks = self._balance(layers, self._peaks(planes))
        self.steps = [1.0, *(max(self.MARGIN * float(peak.max()) / 255, 1e-12) for peak in peaks)]  # of the planes, of each layer's output
        self.layers = [_integers(layer.conv, step) for layer, step in zip(layers, self.steps, strict=False)]

    def _readers(self) -> list[nn.Conv2d]:
        """The convolution that reads each layer's output."""
        return [*(layer.conv for layer in self.network.layers[1:]), self.network.output]

    def _peaks(self, planes: Tensor) -> list[Tensor]:
        """The largest activation of every channel of each layer's output, after shortcut and ReLU: (k,) each."""
        peaks: list[Tensor] = []
        hooks = [reader.register_forward_pre_hook(lambda _, given: peaks.append(given[0].amax((0, 2, 3)))) for reader in self._readers()]
        try:
            with torch.no_grad():
                self.network(planes)
        finally:
            for hook in hooks:
                hook.remove()
        return peaks

    @torch.no_grad()
    def _balance(self, layers: list[Layer], peaks: list[Tensor]) -> list[Tensor]:
        """Divides every channel by a factor and multiplies the weights that read it by the same, so that channels of one layer use its
        steps alike (Xiao et al. 2023, section 4; through a ReLU it is exact). Returns the peaks that follow; writes into the network."""
        readers = self._readers()
        shortcut = range(0, self.paired + 1, 2)  # the layers whose outputs are added have one factor
        for together in (shortcut, *([i] for i in range(len(layers)) if i not in shortcut)):
            peak = torch.stack([peaks[i] / peaks[i].mean().clamp_min(1e-12) for i in together]).amax(0)
            weights = [readers[i].weight.abs() for i in together]
            reach = torch.stack([(w / w.amax((1, 2, 3), keepdim=True).clamp_min(1e-12)).amax((0, 2, 3)) for w in weights]).amax(0)
            factor = peak.clamp_min(1e-3) ** self.BALANCE / reach.clamp_min(1e-3) ** (1 - self.BALANCE)
            for i in together:
                conv = layers[i].conv
                assert conv.bias is not None
                conv.weight /= factor[:, None, None, None]
                conv.bias /= factor
                readers[i].weight *= factor[:, None, None]
                peaks[i] = peaks[i] / factor
        return peaks

    def __call__(self, planes: Tensor) -> Tensor:
        return in_parts(self._some, planes, boards_at_once(self.network, torch.uint8, planes.shape[-1]))

    def _some(self, planes: Tensor) -> Tensor:
        convolution, steps = _quantised_convolution(), self.steps
        operands = [layer(planes) for layer in self.layers]

        def layer(i: int, x: Tensor) -> Tensor:
            return convolution(x, steps[i], 0, *operands[i], steps[i + 1], 0, torch.uint8, "relu", [], "")  # type: ignore[no-any-return]

        x = layer(0, planes)
        for i in range(1, self.paired, 2):
            y = layer(i, x)
            second = operands[i + 1]
            x = convolution.binary(  # x, the shortcut, becomes the sum
                y, steps[i + 1], 0, *second[:3], x, *second[3:], steps[i + 2], 0, torch.uint8, steps[i], 0, "sum", 1.0, "relu", [], ""
            )
        for i in range(self.paired + 1, len(self.layers)):
            x = layer(i, x)
        return self.network.head(x.float() * steps[-1])


class _Winograd(_Packed):
    """The same with a quarter of the multiplications in the 3×3 layers: Winograd's F(4×4, 3×3) (Lavin and Gray 2016, section 4).

    A tile of 4×4 points follows from the 6×6 points around it. In the basis ``INPUT`` a convolution multiplies these 36 one by one,
    each with the weights of all pairs of filters; ``OUTPUT`` leads back. These are 36 products of matrices, which for one board a 1×1
    convolution in 36 groups does fastest. The results differ from ``_Packed``'s by a few units in the last places of float32.
    """

    TILE = 4
    AROUND = TILE + 2
    # For the points 0, 1, −1, 2, −2 and infinity.
    INPUT = torch.tensor(
        [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
    )
    KERNEL = torch.tensor([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float64) / 24
    OUTPUT = torch.tensor([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
    BOARDS = 8  # at once: the tiles of more do not stay in the cache
    LINES = 14  # from which it pays: weights in the basis are four times as large, and with few tiles to read them takes too long
    KEPT = 2  # layouts, of the latest sizes of one board: one of all layers of ``default`` takes 60 MiB

    def __init__(self, network: PolicyNetwork, number: torch.dtype) -> None:
        super().__init__(network, number)
        self.to_basis = torch.kron(self.INPUT, self.INPUT).to(number)  # (36, 36)
        self.from_basis = torch.kron(self.OUTPUT, self.OUTPUT).to(number)  # (16, 36)
        self.of_one = [self._operands_of_one(layer.conv) for layer in network.layers[1:]]

    def _in_basis(self, conv: nn.Conv2d) -> Tensor:
        """The weights of a 3×3 layer: (36, outputs, inputs)."""
        weight = torch.einsum("ai,bj,koij->abko", self.KERNEL, self.KERNEL, conv.weight.double())
        return weight.flatten(0, 1).to(conv.weight.dtype)

    @functools.cached_property
    def weights(self) -> list[Tensor]:
        """Of every 3×3 layer, for several boards: (36, inputs, outputs)."""
        return [self._in_basis(layer.conv).mT.contiguous() for layer in self.network.layers[1:]]

    def _operands_of_one(self, conv: nn.Conv2d) -> _Operands:
        """Those of a 3×3 layer for one board."""
        k, groups = conv.out_channels, self.AROUND**2

        def lay_out(boards: int, size: int) -> Any:
            weight = self._in_basis(conv).reshape(groups * k, k, 1, 1)
            return _reordered(weight, (0, 0), groups, [boards, groups * k, (-(-size // self.TILE)) ** 2, 1])

        return _Operands(lay_out, None, (0, 0), (1, 1), (1, 1), groups, kept=self.KEPT)

    def __call__(self, planes: Tensor) -> Tensor:
        if planes.shape[-1] < self.LINES:
            return super().__call__(planes)
        return in_parts(self._in_tiles, planes, self.BOARDS)

    def _in_tiles(self, planes: Tensor) -> Tensor:
        size, side = planes.shape[-1], -(-planes.shape[-1] // self.TILE) * self.TILE
        board = slice(1, 1 + size)
        # Boards with what the tiles need around them, which stays zero: (B, side + 2, side + 2, k)
        x, y = torch.zeros(2, len(planes), side + 2, side + 2, self.network.config.filters, dtype=planes.dtype)
        x[:, board, board] = _convolution()(planes, *self.layers[0](planes), "relu", [], "").permute(0, 2, 3, 1)
        for i, layer in enumerate(self.network.layers[1:]):
            basis = torch.matmul(self.to_basis, self._tiles(x, self.AROUND, 0).reshape(-1, self.AROUND**2, x.shape[-1]))  # (B·T·T, 36, k)
            if len(planes) == 1:
                products = self._products_of_one(basis, *self.of_one[i](planes))
            else:
                products = torch.bmm(basis.transpose(0, 1), self.weights[i]).transpose(0, 1)
            out = self._tiles(y, self.TILE, 1)
            tiles = torch.matmul(self.from_basis, products).view(out.shape).add_(layer.conv.bias)  # type: ignore[arg-type]
            shortcut = i < self.paired and i % 2 == 1
            torch.add(tiles, out, out=out) if shortcut else out.copy_(tiles)
            out.relu_()
            y[:, 1 + size :] = 0
            y[:, :, 1 + size :] = 0
            x, y = y, x  # after the first layer of a pair, y is what its second adds
        return self.network.head(x[:, board, board].permute(0, 3, 1, 2))

    def _tiles(self, boards: Tensor, width: int, margin: int) -> Tensor:
        """A view of the tiles of boards (B, side + 2, side + 2, k), and so many points around them: (B, T, T, width, width, k)."""
        count, side = boards.shape[0], (boards.shape[1] - 2) // self.TILE
        board, row, column, _ = boards.stride()
        shape = (count, side, side, width, width, boards.shape[-1])
        return boards.as_strided(
            shape, (board, self.TILE * row, self.TILE * column, row, column, 1), boards.storage_offset() + margin * (row + column)
        )

    def _products_of_one(self, basis: Tensor, *operands: Any) -> Tensor:
        """(T·T, 36, k) → the same shape."""
        groups = basis.view(1, len(basis), 1, -1).permute(0, 3, 1, 2)  # (1, 36·k, T·T, 1)
        products: Tensor = _convolution()(groups, *operands, "none", [], "")
        return products.permute(0, 2, 3, 1).reshape(basis.shape)
