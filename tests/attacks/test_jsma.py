"""JSMA: the pixels it chooses on linear models, its budget, and its aims."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from attacks.jsma import JSMA
from bench.errors import RequestError
from bench.geometry import distances
from bench.plugins.configured import configure
from bench.registry import ATTACKS

pytest.importorskip("attacks._art")


class Weighted(nn.Module):
    """Two classes: the second one's logit is the weighted sum of the pixels."""

    def __init__(self, weight: Tensor, bias: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.bias = bias

    def forward(self, images: Tensor) -> Tensor:
        score = images.flatten(1) @ self.weight - self.bias
        return torch.stack([-score, score], dim=1)


def pixels_needed(weight: Tensor, image: Tensor, bias: float) -> int:
    """The fewest pixels that reach the second class when the steepest saturate, in pairs."""
    score = float(image.flatten() @ weight) - bias
    for count, index in enumerate(weight.argsort(descending=True).tolist(), start=1):
        score += float((1 - image.flatten()[index]) * weight[index])
        if score > 0 and count % 2 == 0:
            return count
    raise AssertionError("no number of pixels is enough")


@pytest.mark.parametrize("bias", [2.0, 5.0, 9.0])
def test_the_steepest_pixels_saturate_until_the_class_changes(bias: float) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = 0.5 + torch.rand(64, generator=generator)
    images = 0.01 * torch.rand(5, 1, 8, 8, generator=generator)
    model = Weighted(weight, bias).eval()
    adversarial = JSMA().perturb(model, images, torch.zeros(5, dtype=torch.int64), 64.0)

    assert bool((model(adversarial).argmax(1) == 1).all())
    for image, changed in zip(images, adversarial, strict=True):
        count = pixels_needed(weight, image, bias)
        steepest = set(weight.argsort(descending=True)[:count].tolist())
        assert set((changed != image).flatten().nonzero().flatten().tolist()) == steepest
        assert bool((changed[changed != image] == 1).all())


def test_a_negative_theta_darkens_the_pixels_that_speak_against_the_class() -> None:
    weight = torch.linspace(-1, -0.1, 64)
    images = torch.full((1, 1, 8, 8), 0.9)
    model = Weighted(weight, -28.5).eval()
    adversarial = JSMA(theta=-1.0).perturb(model, images, torch.zeros(1, dtype=torch.int64), 20.0)
    changed = (adversarial != images).flatten().nonzero().flatten().tolist()
    assert changed == list(range(len(changed)))
    assert len(changed) == 4
    assert bool((adversarial.flatten()[changed] == 0).all())


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 70), st.sampled_from([1.0, -1.0, 0.3]), st.sampled_from([(1, 8, 8), (3, 5, 5)]))
def test_no_more_pixels_change_than_the_budget_says(
    eps: float, theta: float, shape: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, *shape, generator=generator)
    weight = torch.randn(images[0].numel(), generator=generator)
    model = Weighted(weight, 1e6).eval()  # out of reach, so that the whole budget is used
    adversarial = JSMA(theta=theta).perturb(model, images, torch.zeros(3, dtype=torch.int64), eps)
    changed = distances(images, adversarial, "l0")
    assert float(changed.max()) <= eps
    if 1 <= eps < 2:
        assert changed.tolist() == [1, 1, 1]
    if theta == 1.0 and shape[0] == 1 and eps <= 40:
        assert bool((changed >= int(eps) - 1).all())


def test_an_untargeted_attack_aims_at_the_likeliest_wrong_class() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5)).eval().requires_grad_(False)
    images = torch.rand(20, 1, 8, 8)
    logits = model(images)
    labels, runner_up = logits.topk(2, dim=1).indices.T
    adversarial = JSMA().perturb(model, images, labels, 64.0)
    assert bool((model(adversarial).argmax(1) == runner_up).all())


@pytest.mark.parametrize("target", ["next", "leastlikely", "each"])
def test_a_targeted_attack_reaches_its_class(target: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4)).eval().requires_grad_(False)
    images = torch.rand(10, 1, 8, 8)
    labels = model(images).argmax(1)
    plugin = JSMA(targeted=True, target=target)  # type: ignore[arg-type]
    predicted = model(plugin.perturb(model, images, labels, 64.0)).argmax(1)
    aims = plugin.targets(model(images), labels)
    assert bool((predicted != labels if aims is None else predicted == aims).all())


def test_a_step_of_zero_is_refused() -> None:
    with pytest.raises(RequestError, match=r"'jsma': parameter theta=0"):
        configure(ATTACKS, "jsma:theta=0")
