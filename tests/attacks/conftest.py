"""A trained classifier and images to attack."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.plugins.configured import configure
from bench.registry import CLASSIFIERS
from bench.run.config import RunConfig
from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.stages.references import NetworkRef
from bench.stages.train import Train


@pytest.fixture
def trained_cnn(context: TaskContext, tiny_config: RunConfig) -> nn.Module:
    """The tiny CNN on the digits, frozen."""
    split = context.split("digits", None)
    task = Train(configure(CLASSIFIERS, "cnn", tiny_config.parameters), split, 0)
    return context.network(
        NetworkRef(task.plugin, split.info, task.key, LocalExecutor(context).get(task).digest)
    )


@pytest.fixture
def digits(context: TaskContext, trained_cnn: nn.Module) -> tuple[Tensor, Tensor]:
    """Test images the CNN gets right, and their labels."""
    test = context.dataset("digits").test_images(100)
    with torch.no_grad():
        right = trained_cnn(test.images).argmax(1) == test.labels
    assert int(right.sum()) > 60
    return test.images[right], test.labels[right]


class Linear(nn.Module):
    """Three classes, a hyperplane between each two; at a grey image all logits are zero."""

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
def greys(linear: nn.Module) -> tuple[Tensor, Tensor]:
    """Images so far from black and white that the nearest boundary is in [0, 1], and the classes they have."""
    images = 0.5 + 0.05 * torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return images, linear(images).argmax(1)
