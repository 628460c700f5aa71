"""Muon: AdamW whose convolution kernels move by orthogonalised momentum.

The momentum of a kernel, seen as a matrix (outputs × inputs·k·k), is replaced by the nearest matrix with singular values near
one: rare directions learn as fast as frequent ones. Source: K. Jordan et al., "Muon: an optimizer for hidden layers" (2024),
with the scale of J. Liu et al., "Muon is scalable for LLM training" (arXiv 2502.16982): the numbers of a kernel move by 0.2 times
the learning rate in the root mean square, about as far as under AdamW.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gopolicy.network import resolve_precision

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, Jordan et al.
ITERATIONS = 5


def orthogonalised(matrices: Tensor) -> Tensor:
    """(n, rows, columns) → the same shape, every matrix with singular values of about 0.7 to 1.2; in bfloat16, which is enough for it,
    where that is fast: on CPUs without instructions for it products of matrices take seven to fourteen times as long as in float32."""
    x: Tensor = matrices.to(resolve_precision("auto", matrices.device))
    wide = x.shape[1] <= x.shape[2]
    x = x if wide else x.mT
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * (square @ square)) @ x
    return x if wide else x.mT


class Muon(torch.optim.AdamW):
    """AdamW for all parameters but those of groups with ``muon``: 4-d kernels, which get orthogonalised Nesterov momentum."""

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, momentum: float, betas: tuple[float, float], fused: bool | None) -> None:
        super().__init__(groups, lr=lr, betas=betas, fused=fused)
        self.kernel_momentum = momentum

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            if group.get("muon"):
                by_shape: dict[tuple[int, ...], list[nn.Parameter]] = {}
                for kernel in group["params"]:
                    if kernel.grad is not None:
                        by_shape.setdefault(tuple(kernel.shape), []).append(kernel)
                for kernels in by_shape.values():
                    self._move(kernels, group["lr"], group["weight_decay"])
        super().step(closure)

    def _move(self, kernels: list[nn.Parameter], lr: float, weight_decay: float) -> None:
        """One step of kernels of one shape, orthogonalised together; their gradients are used up."""
        rows, columns = kernels[0].shape[0], kernels[0][0].numel()
        directions = []
        for kernel in kernels:
            gradient, state = kernel.grad, self.state[kernel]
            assert gradient is not None
            if not state:
                state["momentum"] = torch.zeros_like(kernel)
            momentum: Tensor = state["momentum"].lerp_(gradient, 1 - self.kernel_momentum)
            directions.append(gradient.lerp(momentum, self.kernel_momentum).reshape(rows, columns))
        steps = orthogonalised(torch.stack(directions)).to(kernels[0].dtype)
        scale = 0.2 * max(rows, columns) ** 0.5
        for kernel, step in zip(kernels, steps, strict=True):
            kernel.mul_(1 - lr * weight_decay).add_(step.view_as(kernel), alpha=-lr * scale)
            kernel.grad = None
