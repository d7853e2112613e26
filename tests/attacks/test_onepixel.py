"""The one-pixel attack on models whose decisive pixels are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks.onepixel import OnePixel
from bench.geometry import distances

pytest.importorskip("attacks._art")


class Decisive(nn.Module):
    """Three classes, which a few pixels decide.

    The first class's logit is 0.5 times `needed`; that of the second rises with the brightness of
    the pixels in the first row, up to their number, and the third one's falls.
    """

    def __init__(self, needed: int, channels: int = 1) -> None:
        super().__init__()
        self.needed = needed
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        light = images[:, :, 0, :3].mean(dim=1).sum(dim=1)
        first = torch.full_like(light, self.needed - 0.5)
        return torch.stack([first, light, -light], dim=1)


def attacked(plugin: OnePixel, model: nn.Module, images: Tensor, eps: float) -> Tensor:
    np.random.seed(0)
    return plugin.perturb(model, images, torch.zeros(len(images), dtype=torch.int64), eps)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("needed", [1, 2])
def test_the_decisive_pixels_are_found_within_the_budget(needed: int, channels: int) -> None:
    images = torch.zeros(3, channels, 5, 5)
    model = Decisive(needed, channels).eval()
    adversarial = attacked(OnePixel(steps=60), model, images, float(needed))
    assert bool((model(adversarial).argmax(1) == 1).all())
    assert float(distances(images, adversarial, "l0").max()) <= needed
    assert bool((distances(images[:, :, :1], adversarial[:, :, :1], "l0") == needed).all())


@pytest.mark.parametrize("eps", [0.0, 0.5, 1.0, 1.9])
def test_an_image_that_needs_more_pixels_comes_back_unchanged(eps: float) -> None:
    images = torch.full((2, 1, 5, 5), 0.1234567)  # no gray level of eight bits
    adversarial = attacked(OnePixel(steps=5), Decisive(2).eval(), images, eps)
    assert torch.equal(adversarial, images)


def test_only_chosen_pixels_differ_from_images_between_gray_levels() -> None:
    images = 0.3 * torch.rand(4, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    adversarial = attacked(OnePixel(steps=40), Decisive(1).eval(), images, 1.0)
    assert distances(images, adversarial, "l0").tolist() == [1, 1, 1, 1]


def test_a_targeted_attack_reaches_no_other_class() -> None:
    images = torch.zeros(2, 1, 5, 5)
    model = Decisive(1).eval()
    aimed = attacked(OnePixel(steps=40, targeted=True), model, images, 1.0)
    assert bool((model(aimed).argmax(1) == 1).all())

    # The third class is out of reach, although the second is not.
    far = OnePixel(steps=5, targeted=True, target="leastlikely")
    assert (
        far.targets(model(images) - images.new_tensor([0, 0, 1]), torch.tensor([0, 0])) is not None
    )
    model.forward = lambda images: Decisive.forward(model, images) - images.new_tensor([0, 0, 9.0])  # type: ignore[method-assign]
    assert torch.equal(attacked(far, model, images, 1.0), images)


@pytest.mark.parametrize("channels", [1, 3])
def test_candidates_are_arts_own(channels: int) -> None:
    from art.attacks.evasion import PixelAttack as Original

    from attacks._art import Estimator, PixelAttack

    images = torch.rand(1, channels, 4, 6)
    model = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 3)).eval()
    estimator = Estimator(model, images, probabilities=True)
    ours, theirs = (cls(estimator, th=3, es=1) for cls in (PixelAttack, Original))

    scale = np.tile([4, 6, *[255] * channels], 3)
    for candidates in (np.random.rand(7, len(scale)) * scale, np.random.rand(len(scale)) * scale):
        expected = theirs._perturb_image(candidates, 255 * images[0].numpy())
        np.testing.assert_array_equal(
            ours._perturb_image(candidates, 255 * images[0].numpy()), expected
        )
