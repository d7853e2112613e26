"""A trained classifier and images to attack."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.config import RunConfig
from bench.configure import configure
from bench.registry import CLASSIFIERS
from bench.stages.base import Lab, Trained
from bench.stages.executor import LocalExecutor
from bench.stages.train import Train


@pytest.fixture
def trained_cnn(lab: Lab, tiny_config: RunConfig) -> nn.Module:
    """The tiny CNN on the digits, frozen."""
    split = lab.split("digits", None)
    task = Train(configure(CLASSIFIERS, "cnn", tiny_config.parameters), split, 0)
    return lab.network(Trained(task.plugin, split.info, task.key, LocalExecutor(lab).get(task).digest))


@pytest.fixture
def digits(lab: Lab, trained_cnn: nn.Module) -> tuple[Tensor, Tensor]:
    """Test images the CNN gets right, and their labels."""
    test = lab.dataset("digits").test_images(100)
    with torch.no_grad():
        right = trained_cnn(test.images).argmax(1) == test.labels
    assert int(right.sum()) > 60
    return test.images[right], test.labels[right]
