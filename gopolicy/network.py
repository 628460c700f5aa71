"""The policy networks: planes in, one logit per point out.

Two kinds of one shape: a 5×5 layer, 3×3 layers, a 1×1 layer to one channel, and a bias per point. Padding is zero everywhere
and nothing is pooled, so every layer keeps the board's size.

``alphago``
    As published (Silver et al., Nature 529, 2016, "Extended Data Table 4" and Methods): convolution, bias, ReLU.

``residual``
    The same layers with batch normalisation before each ReLU, and an identity shortcut around each pair of 3×3 layers:
    ``x + BN(conv(ReLU(BN(conv(x)))))``, then ReLU. Layers are paired from the second on; with an odd number of 3×3 layers the
    last one stands alone, without a shortcut. ``folded()`` gives the same function without batch normalisation, for inference.

Nothing here knows Go but the number of planes and the board's size. A network of one size answers on others: convolutions do
not care, and the bias of a point is taken from the point as far from the nearest edges (``bias_rows``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gopolicy.errors import DeviceError, UsageError

KINDS = ("alphago", "residual")
MAX_FILTERS, MAX_LAYERS, MAX_PLANES = 4096, 1024, 1024  # far beyond use: they stop a damaged description from taking all memory


@dataclass(frozen=True)
class PolicyConfig:
    """What a network is made of. Raises UsageError for what cannot be built."""

    planes: str = "alphago48"  # name of the plane set it reads, a key of features.PLANE_SETS
    in_planes: int = 48  # number of planes in that set
    filters: int = 192  # channels of every layer but the last ("k" in the paper)
    layers: int = 12  # the 5×5 layer and the 3×3 layers after it; the 1×1 output is not counted
    kind: str = "alphago"  # "alphago" (plain) or "residual" (shortcuts, batch normalisation)
    size: int = 19  # lines of the board it is trained on, so also of the bias per point
    folded: bool = False  # residual only: batch normalisation is already folded into the convolutions

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            kind = {"str": str, "int": int, "bool": bool}[str(field.type)]
            if type(value) is not kind:
                raise UsageError(f"network: {field.name} is {value!r}, expected {field.type}")
        if self.kind not in KINDS:
            raise UsageError(f"network: kind {self.kind!r} is unknown, known are {' and '.join(KINDS)}")
        for name, low, high in (("in_planes", 1, MAX_PLANES), ("filters", 1, MAX_FILTERS), ("layers", 1, MAX_LAYERS), ("size", 2, 25)):
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"network: {name} is {getattr(self, name)}, expected {low} to {high}")
        if self.folded and self.kind != "residual":
            raise UsageError("network: only a residual network can be folded, an alphago network has nothing to fold")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PolicyConfig:
        """From the JSON of a description. Raises UsageError for unknown names: they belong to a newer version."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise UsageError(f"network: unknown settings {', '.join(unknown)}; they may belong to a newer gopolicy")
        return cls(**values)


PRECISIONS = {"bf16": torch.bfloat16, "float32": torch.float32}


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """bf16 for ``auto`` where it is fast: on GPUs that have it, and on CPUs with instructions for it. Raises DeviceError for another."""
    if precision == "auto":
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        elif device.type == "cpu":
            abilities = torch.cpu.get_capabilities()
            native = any(abilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
        else:
            native = False
        precision = "bf16" if native else "float32"
    if precision not in PRECISIONS:
        raise DeviceError(f"the precision {precision!r} is not known: take auto, bf16, float32, or int8 where nothing is trained")
    return PRECISIONS[precision]


def bias_rows(size: int, trained: int) -> list[int]:
    """Which row of a ``trained``-line bias each row of a ``size``-line board uses (columns alike).

    A row of the first half counts from the first edge, one of the second half from the other, so that corners and edges meet
    corners and edges; the rows that a larger board has too many in the middle use the middle row.
    """
    middle = (trained - 1) // 2
    return [min(row, middle) if row <= size - 1 - row else trained - 1 - min(size - 1 - row, middle) for row in range(size)]


class Layer(nn.Module):
    """A convolution that keeps the board's size, with its bias or its batch normalisation; no activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, normalised: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=not normalised)
        self.norm = nn.BatchNorm2d(outputs) if normalised else None

    def forward(self, x: Tensor) -> Tensor:
        if self.norm is not None and not self.norm.training:  # a pass over the filters in place of one over all points
            return F.conv2d(x, *self.folded(self.conv.weight.dtype), padding=self.conv.padding)
        x = self.conv(x)
        return x if self.norm is None else self.norm(x)

    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Filters and biases of this layer as it acts in eval mode, where its normalisation is a scale and a bias for every output;
        computed in ``dtype``."""
        norm = self.norm
        assert norm is not None
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.to(dtype) / torch.sqrt(norm.running_var.to(dtype) + norm.eps)
        weight = self.conv.weight.to(dtype) * scale[:, None, None, None]
        return weight, norm.bias.to(dtype) - norm.running_mean.to(dtype) * scale

    @torch.no_grad()
    def fold_into(self, plain: Layer) -> None:
        """Writes this layer as it acts in eval mode into ``plain``, a layer of the same shape without normalisation."""
        assert plain.conv.bias is not None
        weight, bias = self.folded(torch.float64)  # so that folding costs no more than the rounding of the result
        plain.conv.weight.copy_(weight)
        plain.conv.bias.copy_(bias)

    @torch.no_grad()
    def unfold_into(self, normalised: Layer, mean: Tensor, variance: Tensor) -> None:
        """The other way round: writes this layer, which has none, into one of the same shape with batch normalisation, so that both are
        the same function in eval mode. Mean and variance (outputs,) float64 are those of this layer's outputs; the running statistics
        come from them."""
        norm, weight = normalised.norm, self.conv.weight.double()
        assert norm is not None
        assert self.conv.bias is not None
        assert norm.running_mean is not None
        assert norm.running_var is not None
        # Normalised, a filter of any length is the same function, but a long one learns slowly: it gets the length of a fresh one.
        length = weight.flatten(1).norm(dim=1)
        scale = torch.where(length > 1e-12, length / 2**0.5, 1.0)
        normalised.conv.weight.copy_(weight / scale[:, None, None, None])
        norm.running_mean.copy_((mean - self.conv.bias.double()) / scale)
        norm.running_var.copy_(variance / scale**2)
        norm.weight.copy_(scale * torch.sqrt(norm.running_var.double() + norm.eps))
        norm.bias.copy_(self.conv.bias.double() + scale * norm.running_mean.double())


class PolicyNetwork(nn.Module):
    """Planes (B, P, N, N) float → logits (B, N·N) float32; no softmax inside, and occupied points have logits too.

    N need not be ``config.size``. Raises UsageError for another number of planes or a board that is not square.
    """

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        normalised = config.kind == "residual" and not config.folded
        self.first = Layer(config.in_planes, config.filters, 5, normalised)
        self.tower = nn.ModuleList(Layer(config.filters, config.filters, 3, normalised) for _ in range(config.layers - 1))
        self.output = nn.Conv2d(config.filters, 1, 1, bias=False)
        self.point_bias = nn.Parameter(torch.zeros(config.size, config.size))
        self.float()  # whatever torch makes by default
        if not self.point_bias.is_meta:  # shapes only: drawing numbers there makes torch load its compiler
            self.reset()

    @property
    def layers(self) -> list[Layer]:
        """All but the output, in their order."""
        return [self.first, *(layer for layer in self.tower if isinstance(layer, Layer))]

    @property
    def paired(self) -> int:
        """How many layers of the tower, from its first on, lie in pairs with a shortcut around each."""
        return len(self.tower) // 2 * 2 if self.config.kind == "residual" else 0

    @torch.no_grad()
    def reset(self) -> None:
        """Fresh weights from torch's random generator: He initialisation, and an output small enough that the first loss is
        about ln(N·N)."""
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.conv.weight, nonlinearity="relu")
            if layer.conv.bias is not None:
                nn.init.zeros_(layer.conv.bias)
            if layer.norm is not None:
                layer.norm.reset_running_stats()
                nn.init.ones_(layer.norm.weight)
                nn.init.zeros_(layer.norm.bias)
        if self.config.kind == "residual" and not self.config.folded:
            # Each shortcut starts as the identity (Goyal et al. 2017): deep towers then learn as soon as shallow ones.
            for second in range(1, len(self.tower), 2):
                norm = self.tower[second].norm
                assert isinstance(norm, nn.BatchNorm2d)
                nn.init.zeros_(norm.weight)
        nn.init.normal_(self.output.weight, std=0.1 / self.config.filters**0.5)
        nn.init.zeros_(self.point_bias)

    def forward(self, planes: Tensor) -> Tensor:
        if planes.dim() != 4 or planes.shape[1] != self.config.in_planes or planes.shape[2] != planes.shape[3]:
            raise UsageError(f"network: planes have shape {tuple(planes.shape)}, expected (B, {self.config.in_planes}, N, N)")
        x = F.relu(self.first(planes), inplace=True)  # (B, k, N, N)
        paired = self.paired
        for i in range(0, paired, 2):
            y = F.relu(self.tower[i](x), inplace=True)
            x = F.relu(self.tower[i + 1](y) + x, inplace=True)
        for layer in self.tower[paired:]:
            x = F.relu(layer(x), inplace=True)
        return self.head(x)

    def head(self, x: Tensor) -> Tensor:
        """What the last layer (B, k, N, N) comes to: logits (B, N·N)."""
        # The output keeps its own precision, also in training under autocast: 8 bits of a logit would tie moves that are not.
        with torch.autocast(x.device.type, enabled=False):
            logits: Tensor = self.output(x.to(self.output.weight.dtype)).float() + self._bias(x.shape[-1])  # (B, 1, N, N)
        return logits.flatten(1)

    def _bias(self, size: int) -> Tensor:
        if size == self.config.size:
            return self.point_bias
        rows = torch.tensor(bias_rows(size, self.config.size), device=self.point_bias.device)
        return self.point_bias[rows][:, rows]

    def folded(self) -> PolicyNetwork:
        """The same function as this network in eval mode, without batch normalisation: a new network in eval mode, in float32 on the
        same device. Networks that have nothing to fold are copied."""
        config = replace(self.config, folded=True) if self.config.kind == "residual" else self.config
        with torch.random.fork_rng(devices=[]):  # building draws random numbers: nobody else's may change
            plain = PolicyNetwork(config).to(self.point_bias.device)
        if config == self.config:
            plain.load_state_dict(self.state_dict())
        else:
            for old, new in zip(self.layers, plain.layers, strict=True):
                old.fold_into(new)
            plain.output.load_state_dict(self.output.state_dict())
            plain.point_bias.data.copy_(self.point_bias.data)
        return plain.eval()

    @torch.no_grad()
    def unfolded(self, positions: Iterable[Tensor]) -> PolicyNetwork:
        """The same function as this folded network, with batch normalisation again, so that it can be trained: a new network in eval
        mode. ``positions`` are planes like those it is to be trained on, in parts (B, P, N, N) float: the running statistics are theirs.

        While it is trained, each batch's own statistics take the place of these: the more these are those of all positions, the less
        the network is changed by that alone. Raises UsageError for a network that is not folded, and where there are no positions.
        """
        if not self.config.folded:
            raise UsageError("network: only a folded network can be unfolded")
        with torch.random.fork_rng(devices=[]):
            network = PolicyNetwork(replace(self.config, folded=False)).to(self.point_bias.device).eval()
        moments: dict[nn.Module, Any] = dict.fromkeys(self.layers, 0)  # (3, k) float64: numbers, their sum, the sum of their squares

        def add(layer: nn.Module, _: Any, out: Tensor) -> None:
            exact = out.double()
            channels = [torch.ones_like(exact[:, :1]).expand_as(exact), exact, exact.square()]
            moments[layer] = moments[layer] + torch.stack([channel.sum((0, 2, 3)) for channel in channels])

        hooks = [layer.register_forward_hook(add) for layer in self.layers]
        try:
            for part in positions:
                self(part)
        finally:
            for hook in hooks:
                hook.remove()
        if not torch.is_tensor(moments[self.first]):
            raise UsageError("network: there are no positions to unfold it with")
        for old, new in zip(self.layers, network.layers, strict=True):
            numbers, total, squares = moments[old]
            mean = total / numbers
            old.unfold_into(new, mean, (squares / numbers - mean.square()).clamp_min(0))
        network.output.load_state_dict(self.output.state_dict())
        network.point_bias.data.copy_(self.point_bias.data)
        return network

    def weight_count(self) -> int:
        """Trained numbers: all parameters; the running statistics of batch normalisation are not counted."""
        return sum(parameter.numel() for parameter in self.parameters())

    def multiply_adds(self) -> int:
        """Multiply-adds of the convolutions for one position."""
        return self.config.size**2 * sum(module.weight.numel() for module in self.modules() if isinstance(module, nn.Conv2d))

    def __str__(self) -> str:
        """A table of the layers: output shape, weights, multiply-adds per position."""
        config, n = self.config, self.config.size
        rows: list[tuple[str, str, str, int, int]] = [("", f"{config.planes} planes", f"{config.in_planes}×{n}×{n}", 0, 0)]
        for number, layer in enumerate(self.layers, start=1):
            kernel = layer.conv.kernel_size[0]
            what = f"{kernel}×{kernel}, {'batch norm' if layer.norm is not None else 'bias'}"
            if config.kind == "residual" and number > 1 and number % 2 == 1:
                what += f", + layer {number - 2}"
            weights = sum(parameter.numel() for parameter in layer.parameters())
            rows.append((str(number), f"{what}, ReLU", f"{config.filters}×{n}×{n}", weights, layer.conv.weight.numel() * n * n))
        output = self.output.weight.numel()
        rows.append((str(config.layers + 1), "1×1, a bias per point", f"1×{n}×{n}", output + n * n, output * n * n))
        rows.append(("", "total", "", self.weight_count(), self.multiply_adds()))
        cells = [("layer", "convolution", "output", "weights", "multiply-adds")]
        cells += [(a, b, c, f"{d:,}" if d else "", f"{e:,}" if e else "") for a, b, c, d, e in rows]
        widths = [max(len(row[column]) for row in cells) for column in range(5)]
        lines = [
            f"{a:>{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}  {e:>{widths[4]}}".rstrip() for a, b, c, d, e in cells
        ]
        rule = "  ".join("-" * width for width in widths)
        folded = ", batch normalisation folded" if config.folded else ""
        title = f"{config.kind}: {config.filters} filters, {config.layers} layers, board {n}×{n}{folded}"
        return "\n".join([title, lines[0], rule, *lines[1:-1], rule, lines[-1]])
