"""The norm of a gradient that float32 can hold, although not its square."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.stages.crafting import gradient_norms

IMAGES = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 0])


class Scaled(nn.Module):
    """Two logits whose gradient has the entries 0 and a given number."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        total = self.scale * images.flatten(1).sum(dim=1)
        return torch.stack([total - total.detach(), torch.zeros(len(images))], dim=1)


@pytest.mark.parametrize("scale", [1.0, 1e-10, 1e-20, 1e-30, 1e-36, 1e15, 1e25, 1e36])
def test_the_norm_neither_vanishes_nor_overflows(scale: float) -> None:
    norms = gradient_norms("model", Scaled(scale), IMAGES, LABELS)
    expected = torch.full((3,), 0.5 * 4 * scale)  # of 16 entries, at the probability one half
    torch.testing.assert_close(norms, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("scale", [0.0, float("nan"), float("inf")])
def test_what_is_no_gradient_stays_one(scale: float) -> None:
    norms = gradient_norms("model", Scaled(scale), IMAGES, LABELS)
    assert not bool((norms.isfinite() & (norms > 0)).any())
