"""The search in a generator's latent space, where the answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import NotApplicable
from bench.plugins.configured import configure
from bench.registry import ATTACKS
from bench.stages.crafting import perturb
from bench.stages.seeding import seeded
from bench.stages.surrogates import BackwardThrough, DefendedClassifier

LATENT = configure(ATTACKS, "latent")


class Bright(nn.Module):
    """A purifier onto the images of one brightness: G(z) is sigmoid(z) everywhere."""

    latent = 1

    def generate(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)[:, :, None, None].expand(-1, 1, 4, 4)

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(1, 2, 3), keepdim=True).expand_as(images)


class Threshold(nn.Module):
    """Class 1 where the mean is above a half."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.flatten(1).mean(dim=1)
        return 20 * torch.stack([0.5 - mean, mean - 0.5], dim=1)


def attacked(brightness: float, eps: float, model: DefendedClassifier) -> Tensor:
    images = torch.full((3, 1, 4, 4), brightness)
    labels = torch.full((3,), int(brightness > 0.5))
    with seeded(torch.device("cpu"), "latent"):
        return perturb(LATENT, model.eval(), images, labels, eps)


@pytest.mark.parametrize("brightness", [0.4, 0.6])
def test_it_crosses_the_boundary_where_the_budget_reaches_it(brightness: float) -> None:
    model = DefendedClassifier(Bright(), Threshold())
    images = attacked(brightness, 0.15, model)
    assert (model(images).argmax(1) == int(brightness < 0.5)).all()
    assert float((images - brightness).abs().max()) <= 0.15 + 1e-6


def test_it_does_not_where_the_budget_falls_short() -> None:
    model = DefendedClassifier(Bright(), Threshold())
    images = attacked(0.4, 0.05, model)
    assert (model(images).argmax(1) == 0).all()
    assert float(images.min()) > 0.4  # Images move towards the boundary.


def test_it_sees_the_generator_through_bpda_and_no_other_purifier() -> None:
    assert not torch.equal(
        attacked(0.4, 0.15, DefendedClassifier(BackwardThrough(Bright()), Threshold())),
        torch.full((3, 1, 4, 4), 0.4),
    )
    for purifier in (None, nn.Identity()):
        with pytest.raises(NotApplicable, match="generator"):
            attacked(0.4, 0.15, DefendedClassifier(purifier, Threshold()))


def test_the_margin_and_the_excess_are_those_of_the_definition() -> None:
    from attacks._losses import margin
    from attacks.latent import _excess

    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]])
    assert margin(logits, torch.tensor([0, 2])).tolist() == [-1.0, 4.0]
    excess = _excess(torch.tensor([[[[0.5, 0.1]]]]), torch.zeros(1, 1, 1, 2), 0.2)
    torch.testing.assert_close(excess, torch.tensor([0.3**2 / 2]))
