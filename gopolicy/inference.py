"""A folded network as it runs fastest on the device it is for.

On CPUs where torch has oneDNN, weights are laid out beforehand as its convolutions want them, and bias, shortcut and ReLU are
part of the convolution: a position through 192 filters takes a quarter less time (float32) or a sixth less (bf16) than
through the modules, which lay the weights out anew each time. ``scripts/bench.py --only network`` measures it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gopolicy.network import Layer, PolicyNetwork

Forward = Callable[[Tensor], Tensor]  # planes (B, P, N, N) → logits (B, N*N) float32


def prepare(network: PolicyNetwork, device: torch.device, number: torch.dtype) -> Forward:
    """The function of a network from ``folded()``, on the device; the layers but the last compute in ``number``, and planes come in it."""
    network = network.requires_grad_(False).to(device)
    for part in (network.first, network.tower):
        part.to(number)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        try:
            packed = _Packed(network, number)
            size = network.config.size
            packed(torch.zeros(1, network.config.in_planes, size, size, dtype=number))
        except (AttributeError, RuntimeError, NotImplementedError, TypeError):
            pass  # these operators are torch's own affair: another version may have them otherwise
        else:
            return packed
    return network


class _Packed:
    """``PolicyNetwork.forward`` of a folded or plain network by the operators that torch's own compiler uses on CPUs."""

    def __init__(self, network: PolicyNetwork, number: torch.dtype) -> None:
        self.network = network
        self.layers = [self._pack(layer, network.config.size, number) for layer in (network.first, *network.tower)]
        self.paired = (len(self.layers) - 1) // 2 * 2 if network.config.kind == "residual" else 0

    @staticmethod
    def _pack(layer: nn.Module, size: int, number: torch.dtype) -> tuple[Any, ...]:
        assert isinstance(layer, Layer)
        conv = layer.conv
        like = [1, conv.in_channels, size, size]
        # torch has no name of its own for this in Python
        reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
        weight = reorder(conv.weight.contiguous().to_mkldnn(), conv.padding, conv.stride, conv.dilation, 1, like)
        return weight, conv.bias, conv.padding, conv.stride, conv.dilation, 1

    def __call__(self, planes: Tensor) -> Tensor:
        convolution = torch.ops.mkldnn._convolution_pointwise
        first, *tower = self.layers
        x: Tensor = convolution(planes, *first, "relu", [], "")
        for i in range(0, self.paired, 2):
            y = convolution(x, *tower[i], "relu", [], "")
            x = convolution.binary(y, x, *tower[i + 1], "add", 1.0, "relu", [], "")
        for layer in tower[self.paired :]:
            x = convolution(x, *layer, "relu", [], "")
        return self.network.head(x)
