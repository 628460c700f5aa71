"""Muon against numpy's singular value decomposition, and against AdamW where it is to be AdamW."""

import numpy as np
import pytest
import torch

from gopolicy.muon import Muon, orthogonalised

BF16 = pytest.param({"avx512_bf16": True}, torch.bfloat16, id="with bf16")
AVX2 = pytest.param({"avx2": True}, torch.float32, id="with AVX2 alone")


@pytest.mark.parametrize(("abilities", "number"), [BF16, AVX2])
def test_it_computes_in_bfloat16_only_where_that_is_fast(monkeypatch, abilities, number):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    assert orthogonalised(torch.randn(2, 4, 9)).dtype == number


@pytest.mark.parametrize("shape", [(3, 16, 144), (2, 64, 64), (1, 48, 20)])
def test_orthogonalised_keeps_the_directions_and_evens_the_lengths(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    matrices *= torch.logspace(-1.5, 0, shape[2])  # frequent and rare directions
    for before, after in zip(matrices, orthogonalised(matrices).float(), strict=True):
        u, lengths, vh = np.linalg.svd(before.numpy(), full_matrices=False)
        inner = u.T @ after.numpy() @ vh.T  # diagonal where the directions are kept
        assert lengths.max() / lengths.min() > 2
        assert np.abs(inner - np.diag(np.diag(inner))).max() < 0.15
        lifted = np.diag(inner)[lengths > 0.02 * np.linalg.norm(lengths)]  # five iterations do not lift all there is
        assert len(lifted) > 8
        assert lifted.min() > 0.5
        assert lifted.max() < 1.35


def test_biases_move_as_with_adamw_and_kernels_do_not():
    start = [torch.randn(8, 4, 3, 3), torch.randn(8)]
    gradients = [[torch.randn_like(tensor) for tensor in start] for _ in range(5)]

    def moved(muon: bool) -> list[torch.Tensor]:
        kernel, bias = (torch.nn.Parameter(tensor.clone()) for tensor in start)
        groups = [{"params": [kernel], "weight_decay": 0.01, "muon": muon}, {"params": [bias], "weight_decay": 0.0}]
        optimizer = (
            Muon(groups, lr=0.01, momentum=0.95, betas=(0.9, 0.999), fused=None)
            if muon
            else torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.999))
        )
        for pair in gradients:
            for parameter, gradient in zip((kernel, bias), pair, strict=True):
                parameter.grad = gradient.clone()
            optimizer.step()
        return [kernel.detach(), bias.detach()]

    with_muon, with_adamw = moved(True), moved(False)
    torch.testing.assert_close(with_muon[1], with_adamw[1])
    assert not torch.allclose(with_muon[0], with_adamw[0], atol=1e-3)


def published(kernel: torch.Tensor, gradients: list[torch.Tensor], *, lr: float, weight_decay: float) -> np.ndarray:
    """A kernel after a step of Jordan et al. for each gradient, with the scale of Liu et al.: the quintic iteration bends the singular
    values and leaves their directions, so what it comes to is told by a decomposition."""
    matrix = kernel.detach().double().flatten(1).numpy()
    momentum = np.zeros_like(matrix)
    for gradient in gradients:
        g = gradient.double().flatten(1).numpy()
        momentum = 0.95 * momentum + 0.05 * g
        u, lengths, vh = np.linalg.svd(0.05 * g + 0.95 * momentum, full_matrices=False)
        lengths /= np.sqrt((lengths**2).sum())
        for _ in range(5):
            lengths = 3.4445 * lengths - 4.7750 * lengths**3 + 2.0315 * lengths**5
        matrix = matrix - lr * weight_decay * matrix - lr * 0.2 * max(matrix.shape) ** 0.5 * (u * lengths) @ vh
    return matrix.reshape(kernel.shape)


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (48, 10, 1, 1)])
def test_steps_are_those_that_were_published(shape):
    """The second gradient points elsewhere, so that momentum counts."""
    chance = torch.Generator().manual_seed(3)
    start, *gradients = (torch.randn(shape, generator=chance) for _ in range(3))
    kernel = torch.nn.Parameter(start.clone())
    groups = [{"params": [kernel], "weight_decay": 0.1, "muon": True}]
    optimizer = Muon(groups, lr=0.1, momentum=0.95, betas=(0.9, 0.999), fused=None)
    for count, gradient in enumerate(gradients, start=1):
        kernel.grad = gradient.clone()
        optimizer.step()
        expected = published(start, gradients[:count], lr=0.1, weight_decay=0.1) - start.numpy()
        moved = kernel.detach().numpy() - start.numpy()
        assert np.linalg.norm(moved - expected) < 0.05 * np.linalg.norm(expected)  # three digits, where it is in bfloat16
        assert np.vdot(moved, expected) == pytest.approx(np.vdot(expected, expected), rel=0.01)


def test_a_step_is_a_fifth_of_the_learning_rate_long():
    for shape in ((8, 4, 3, 3), (64, 48, 5, 5), (32, 64, 1, 1)):  # the length that Liu et al. measured of AdamW's steps
        kernel = torch.nn.Parameter(torch.zeros(shape))
        optimizer = Muon([{"params": [kernel], "weight_decay": 0.0, "muon": True}], lr=0.01, momentum=0.95, betas=(0.9, 0.999), fused=None)
        kernel.grad = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 1e-4
        optimizer.step()
        assert kernel.detach().pow(2).mean().sqrt().item() == pytest.approx(0.2 * 0.01, rel=0.3)
