"""ConvAE: shape, noise in training only, training on adversarial and clean pairs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.contracts import DataInfo
from bench.progress import Silent
from bench.training import TrainingContext
from defenses.convae import ConvAE


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 15, 17)])
def test_images_keep_their_shape(shape: tuple[int, int, int]) -> None:
    module = ConvAE(width=4).build(DataInfo(shape, 10)).eval()
    images = torch.rand(2, *shape)
    output = module(images)
    assert output.shape == images.shape
    assert 0 <= float(output.min().detach()) <= float(output.max().detach()) <= 1


def test_noise_and_no_clamp_in_training_only() -> None:
    module = ConvAE(width=4, noise=5.0).build(DataInfo((1, 28, 28), 10))
    images = torch.rand(2, 1, 28, 28)
    assert not torch.equal(module.train()(images), module(images))
    assert torch.equal(module.eval()(images), module(images))
    assert float(module.train()(images).detach().min()) < 0


def test_it_learns_to_undo_the_attack_it_is_trained_on() -> None:
    """A linear classifier whose FGSM perturbation is the same for all images of a class can be undone almost fully."""
    torch.manual_seed(0)
    images = torch.rand(64, 1, 8, 8).mul_(0.5).add_(0.25)
    labels = torch.arange(64) % 2
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).requires_grad_(False).eval()
    context = TrainingContext(
        title="x",
        data=DataInfo((1, 8, 8), 2),
        images=images,
        labels=labels,
        seed="s",
        progress=Silent(),
        classifier=classifier,
    )
    settings = ConvAE(width=8, steps=120, batch_size=64, eps=0.2, learning_rate=3e-3)
    module = settings.build(context.data).train()
    settings.fit(module, context)
    losses = [value for _, value in context.history["mse"]]
    assert losses[-1] < 0.3 * losses[0]
    attacked = context.adversarial(settings.attack, images, labels, 0.2)
    with torch.no_grad():
        recovered = module.eval()(attacked)
    assert float(((recovered - images) ** 2).mean()) < 0.5 * float(((attacked - images) ** 2).mean())
