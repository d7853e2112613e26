"""MagNet's reformer: the published networks, and what they learn in seconds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, relu

from bench.conformance import Subject
from bench.contracts import DataInfo
from bench.plugins.configured import configure
from bench.progress import Silent
from bench.registry import DEFENSES
from bench.stages.pixels import Split
from bench.stages.seeding import seeded
from bench.stages.train import fitted
from bench.stages.training import TrainingContext
from defenses.reformer import Reformer

CPU = torch.device("cpu")


def shapes(module: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(weight.shape[:2]) for weight in module.parameters() if weight.dim() == 4]


def test_the_networks_are_the_published_ones() -> None:
    """The number of channels into and out of each 3x3 convolution (train_defense.py)."""
    mnist, cifar = DataInfo((1, 28, 28), 10), DataInfo((3, 32, 32), 10)
    assert shapes(Reformer().build(mnist)) == [(3, 1), (3, 3), (3, 3), (3, 3), (1, 3)]
    assert shapes(Reformer(pooling=False).build(mnist)) == [(3, 1), (3, 3), (1, 3)]
    third = Reformer(width=32, pooling=False, activation="relu")
    assert shapes(third.build(cifar)) == [(32, 3), (32, 32), (3, 32)]


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("pooling", [True, False])
def test_it_is_the_chain_of_layers(activation: str, pooling: bool) -> None:
    settings = Reformer(pooling=pooling, activation=activation)  # type: ignore[arg-type]
    module, images = settings.build(DataInfo((1, 12, 10), 10)), torch.rand(4, 1, 12, 10)
    weights = list(module.parameters())
    bend = {"sigmoid": torch.sigmoid, "relu": relu}[activation]

    def layer(number: int, maps: Tensor) -> Tensor:
        return conv2d(maps, weights[2 * number], weights[2 * number + 1], padding=1)

    hidden = bend(layer(0, images))
    if pooling:
        hidden = bend(layer(2, bend(layer(1, avg_pool2d(hidden, 2)))))
        hidden = hidden.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    last = len(weights) // 2 - 1
    expected = torch.sigmoid(layer(last, bend(layer(last - 1, hidden))))
    torch.testing.assert_close(module(images), expected)


@pytest.mark.parametrize("pooling", [True, False])
def test_it_learns_to_remove_noise(pooling: bool) -> None:
    images, labels = Subject("defense", configure(DEFENSES, "reformer")).split
    images, labels = avg_pool2d(images[:256], 2), labels[:256]
    context = TrainingContext(
        title="test",
        data=DataInfo((1, 14, 14), 10),
        split=Split.of(images, labels),
        seed="order",
        progress=Silent(),
    )
    plugin = Reformer(pooling=pooling, epochs=20, batch_size=16, learning_rate=0.03)
    with seeded(CPU, "fit"):
        module = fitted(plugin, "test", context, CPU)
        noisy = (images + 0.1 * torch.randn_like(images)).clamp(0, 1)

    error = float((module(noisy) - images).square().mean())
    of_the_mean = float((images.mean(dim=0) - images).square().mean())
    assert error < 0.25 * of_the_mean
