"""A trained classifier and images to attack."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.plugins.configured import configure
from bench.registry import CLASSIFIERS
from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.stages.references import NetworkRef
from bench.stages.train import Train
from bench.sweep.config import RunConfig


@pytest.fixture
def trained_cnn(context: TaskContext, tiny_config: RunConfig) -> nn.Module:
    """The tiny CNN on the digits, frozen."""
    split = context.split("digits", None)
    task = Train(configure(CLASSIFIERS, "cnn", tiny_config.parameters), split, 0)
    digest = LocalExecutor(context).digest(task)
    return context.network(NetworkRef(task.plugin, split.info, task.key, digest))


@pytest.fixture
def digits(context: TaskContext, trained_cnn: nn.Module) -> tuple[Tensor, Tensor]:
    """Test images that the CNN classifies correctly, and their labels."""
    test = context.dataset("digits").test_images(100)
    with torch.no_grad():
        is_correct = trained_cnn(test.images).argmax(1) == test.labels
    assert int(is_correct.sum()) > 60
    return test.images[is_correct], test.labels[is_correct]


class Linear(nn.Module):
    """Three classes with a hyperplane between each two; at a gray image all logits are zero."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
        self.register_buffer("weight", weight)

    def forward(self, images: Tensor) -> Tensor:
        return (images.flatten(1) - 0.5) @ self.weight.T


@pytest.fixture
def linear() -> nn.Module:
    """A linear classifier of 8x8 images, whose distances to the boundary have a closed form."""
    return Linear().eval()


@pytest.fixture
def gray_images(linear: nn.Module) -> tuple[Tensor, Tensor]:
    """Images far from black and white, whose nearest boundary is in [0, 1], and their classes."""
    images = 0.5 + 0.05 * torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return images, linear(images).argmax(1)
