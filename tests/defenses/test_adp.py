"""ADP: steps against closed forms and a plain loop, the gradient, the draws and the training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.contracts import DataInfo
from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.progress import Silent
from bench.registry import DEFENSES
from bench.stages.pixels import Split
from bench.stages.training import TrainingContext
from defenses._score_network import ScoreNetwork, noise_levels, score_matching_loss
from defenses.adp import ADP, ScoreSteps
from tests.plugins.kinds import assert_clean

SMALL = ADP(width=4, blocks=1, noise=0.1, steps=6, stop=0.0)


class Score(nn.Module):
    """A score that is a function of the images."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.function(images)
        return result


def steps_of(function: Any, **settings: Any) -> ScoreSteps:
    """Steps without noise along a score that is a function."""
    return ScoreSteps(Score(function), replace(ADP(noise=0.0), **settings))


def pixels(*values: float) -> Tensor:
    """Images of two pixels of one value each."""
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1).repeat(1, 1, 1, 2)


class Pull(nn.Module):
    """A score network with random weights, and a pull towards gray, as to the mean of the data."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.network(images) + 8 * (0.5 - images)
        return result


def scrambled(settings: ADP) -> ScoreSteps:
    """The purifier in float64 with weights so large that the steps depend on the image."""
    torch.manual_seed(0)
    module = ScoreSteps(Pull(ScoreNetwork(1, settings.width, settings.blocks)), settings)
    module.double().eval().requires_grad_(False)
    for weight in module.parameters():
        weight.add_(0.2 * torch.randn_like(weight))
    return module


def plain(score: nn.Module, settings: ADP, images: Tensor, noise: Tensor) -> Tensor:
    """Image by image, at most so many steps of the adaptive size (arXiv:2106.06041)."""
    purified = []
    for image, drawn in zip(images, noise, strict=True):
        x = (image + settings.noise * drawn)[None]
        for _ in range(settings.steps):
            here = score(x)
            there = score(x + 1e-3 * here)
            one, other = here.double(), there.double()
            z = float((one * other).sum() / (one * one).sum())
            alpha = min(max(settings.step_share * 1e-3 / (1 - z), 1e-5), 0.1)
            if not alpha > settings.stop:
                break
            x = x + alpha * here
        purified.append(x.clamp(0, 1))
    return torch.cat(purified)


@pytest.mark.parametrize("level", [0.1, 0.2, 0.4])
@pytest.mark.parametrize("share", [0.05, 0.2])
def test_of_a_gaussian_each_step_removes_the_share_of_the_distance(
    level: float, share: float
) -> None:
    """The score is (mean - x) / level^2, so 1 - z is 1e-3 / level^2, the size share * level^2."""
    module = steps_of(lambda x: (0.5 - x) / level**2, step_share=share, stop=0.0)
    purified = module(pixels(0.2, 0.7, 0.9))
    expected = 0.5 + (1 - share) ** 10 * (pixels(0.2, 0.7, 0.9) - 0.5)
    torch.testing.assert_close(purified, expected, rtol=0, atol=1e-9)


def test_an_image_stops_at_the_size_that_is_small() -> None:
    """The size is 0.05 level^2; the level is that of the first pixel's sign, image by image."""

    def score(x: Tensor) -> Tensor:
        near = (x.amax(dim=(1, 2, 3), keepdim=True) < 0.5).to(x)
        return (0.5 - x) / (0.1 * near + 0.3 * (1 - near)) ** 2

    module = steps_of(score, stop=1e-3)
    near, far = module(pixels(0.4, 0.9)).mean(dim=(1, 2, 3)).tolist()
    assert near == pytest.approx(0.4)
    assert far == pytest.approx(0.5 + 0.95**10 * 0.4)


@pytest.mark.parametrize(
    ("function", "moved"),
    [
        (torch.ones_like, 0.3),  # constant: the largest size, 0.1 in each of three steps
        (lambda x: 2 * x, 0.0),  # grows on the way: the least size, at which it stops
        (torch.zeros_like, 0.0),
    ],
)
def test_sizes_have_bounds_and_gradients_no_nan(function: Any, moved: float) -> None:
    images = pixels(0.2, 0.4).requires_grad_()
    purified = steps_of(function, steps=3)(images)
    torch.testing.assert_close(purified.detach() - images.detach(), torch.full_like(images, moved))
    (gradient,) = torch.autograd.grad(purified.sum(), images)
    assert torch.equal(gradient, torch.ones_like(images))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("stop", [0.0, 6.2e-3])
def test_the_steps_are_the_plain_loop(stop: float, dtype: torch.dtype) -> None:
    settings = replace(SMALL, stop=stop, noise=0.25)
    module = scrambled(settings).to(dtype)
    images = torch.rand(6, 1, 7, 7, dtype=dtype)
    torch.manual_seed(3)
    purified = module(images)
    torch.manual_seed(3)
    noise = torch.randn_like(images)
    expected = plain(module.score, settings, images, noise)
    tolerance = 1e-9 if dtype is torch.float64 else 1e-4
    torch.testing.assert_close(purified, expected, rtol=0, atol=tolerance)
    assert float((expected - (images + 0.25 * noise).clamp(0, 1)).abs().max()) > 10 * tolerance


def direction_and_images() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    weights, direction = torch.randn(2, 2, 1, 7, 7, dtype=torch.float64, generator=generator)
    images = torch.rand(2, 1, 7, 7, dtype=torch.float64, generator=generator)
    return 0.3 + 0.4 * images, weights, direction


@pytest.mark.parametrize("steps", [1, 6])
def test_the_gradient_is_that_of_finite_differences(steps: int) -> None:
    module = scrambled(replace(SMALL, steps=steps, noise=0.02, step_share=0.02))
    images, weights, direction = direction_and_images()

    def value(at: Tensor) -> Tensor:
        torch.manual_seed(1)  # the draw is the same at every call
        result: Tensor = (module(at) * weights).sum()
        return result

    inputs = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(inputs), inputs)
    with torch.no_grad():
        up, down = (float(value(images + sign * 1e-6 * direction)) for sign in (1, -1))
    assert float((gradient - weights).norm()) > 1e-2  # it is not the identity's
    assert float((gradient * direction).sum()) == pytest.approx((up - down) / 2e-6, rel=1e-4)


def test_the_gradient_keeps_the_graph_of_no_step() -> None:
    def kept(module: ScoreSteps, steps: int) -> int:
        """Bytes that autograd keeps for the gradient through so many steps."""
        sizes = []

        def pack(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel() * tensor.element_size())
            return tensor

        module.settings = replace(SMALL, steps=steps)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            module(torch.rand(2, 1, 7, 7, dtype=torch.float64, requires_grad=True))
        return sum(sizes)

    module = scrambled(SMALL)
    assert kept(module, 12) == kept(module, 2)


def test_without_an_attacker_there_is_no_graph() -> None:
    purified = scrambled(SMALL)(torch.rand(2, 1, 7, 7, dtype=torch.float64))
    assert not purified.requires_grad


@pytest.mark.parametrize(("n", "draws"), [(3, 1), (3, 5), (300, 3)])
def test_a_decision_is_the_mean_of_the_logits_of_the_draws(n: int, draws: int) -> None:
    module = scrambled(replace(SMALL, draws=draws, steps=1))
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(49, 10)).double().requires_grad_(False)
    images = torch.rand(n, 1, 7, 7, dtype=torch.float64)
    purified = []
    handle = module.register_forward_hook(lambda *call: purified.append(call[-1]))
    decided = module.classify(images, classifier)
    handle.remove()

    versions = torch.cat(purified).unflatten(0, (draws, n))
    expected = sum(classifier(version) for version in versions) / draws
    torch.testing.assert_close(decided, expected)
    assert draws == 1 or not torch.equal(versions[0], versions[1])


def test_without_noise_one_draw_is_enough() -> None:
    settings = replace(SMALL, noise=0.0, draws=7)
    module = scrambled(settings)
    calls = []
    module.register_forward_hook(lambda *call: calls.append(call))
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(49, 10)).double()
    module.classify(torch.rand(2, 1, 7, 7, dtype=torch.float64), classifier)
    assert len(calls) == 1
    assert not settings.stochastic
    assert SMALL.stochastic


@pytest.mark.parametrize(("largest", "smallest", "number"), [(1.0, 0.01, 10), (0.5, 0.5, 3)])
def test_noise_levels_are_a_geometric_sequence(
    largest: float, smallest: float, number: int
) -> None:
    levels = noise_levels(largest, smallest, number, torch.device("cpu"))
    np.testing.assert_allclose(levels, np.geomspace(largest, smallest, number), rtol=1e-5)


def test_score_matching_is_least_at_the_score_times_the_level() -> None:
    """All images are the same, so the score at noise level 0.2 is (image - x) / 0.2^2."""
    image, levels = torch.rand(1, 1, 6, 6), torch.tensor([0.2])
    images = image.repeat(500, 1, 1, 1)
    exact = score_matching_loss(Score(lambda x: (image - x) / 0.2), images, levels)
    none = score_matching_loss(Score(torch.zeros_like), images, levels)
    assert float(exact) < 1e-10
    assert float(none) == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 5, 4), (1, 17, 23), (2, 1, 1)])
def test_scores_have_the_shape_of_the_images(shape: tuple[int, int, int]) -> None:
    network = ScoreNetwork(shape[0], width=6, blocks=1)
    assert network(torch.rand(2, *shape)).shape == (2, *shape)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_it_learns_which_way_the_noise_lies(ema: float) -> None:
    torch.manual_seed(0)
    context = TrainingContext(
        title="x",
        data=DataInfo((1, 8, 8), 2),
        split=Split.of(torch.rand(2, 1, 8, 8).round().repeat(16, 1, 1, 1), torch.arange(32) % 2),
        seed="s",
        progress=Silent(),
    )
    settings = ADP(
        width=16, blocks=1, iterations=150, batch_size=32, learning_rate=3e-3,
        smallest_level=0.1, decay=0.5, ema=ema,
    )  # fmt: skip
    module = settings.build(context.data).train()
    settings.fit(module, context)
    losses = [value for _, value in context.history["score_matching"]]
    assert losses[0] > 0.9
    assert np.mean(losses[-3:]) < 0.5 * losses[0]

    module.eval().requires_grad_(False)
    images = context.split.images[:2]
    with torch.no_grad():
        noisy = (images + 0.25 * torch.randn_like(images)).clamp(0, 1)
        error = float((module(images) - images).square().mean())
    assert error < 0.5 * float((noisy - images).square().mean())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("adp:smallest_level=2", r"smallest_level=2.0: must not exceed largest_level=1.0"),
        ("adp:noise=-1", "parameter noise=-1: "),
        ("adp:steps=0", "parameter steps=0: "),
        ("adp:draw=3", "did you mean 'draws'"),
    ],
)
def test_a_wrong_parameter_is_one_clear_line(spec: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        configure(DEFENSES, spec)
    assert_clean(str(caught.value))
