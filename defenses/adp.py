"""ADP: Yoon, Hwang, Lee, ICML 2021 (arXiv:2106.06041).

The paper is "Adversarial Purification with Score-based Generative Models"; the official code is
jmyoon1/adp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.contracts import (
    Accelerator,
    DataInfo,
    Defense,
    Eager,
    FitContext,
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    State,
)
from bench.registry import register_defense
from defenses._checkpointed import Checkpointed
from defenses._draws import copies_of
from defenses._schedule import linear_decay
from defenses._score_network import ScoreNetwork, noise_levels, score_matching_loss

_PROBE = 1e-3
"""Length of the step along the score at whose end the score is compared with itself."""

_LEAST, _MOST = 1e-5, 0.1
"""Bounds of the step size."""

_TINY = 1e-12
"""Least squared norm of a score that is divided by."""


@register_defense("adp")
@dataclass(frozen=True)
class ADP(Defense):
    """ADP: Gaussian noise, then a few steps along a learned score (arXiv:2106.06041).

    An image is noised, then moved along the score of the data by at most ten steps, whose size
    follows from how fast the score changes on the way. The classifier's logits are averaged over
    ten draws of the noise. The numbers are those of the official code (jmyoon1/adp): like it, the
    steps follow the score times the noise level, as the network gives it.

    The official code also puts an image back into [0, 1] after the noise and after each step; here
    that is done at the end. Noise that is cut off at black is unlike any that the network has seen:
    on MNIST it takes most such images for clean and stops at once.

    The network differs: residual convolutions at half resolution with group normalization, in place
    of a RefineNet of 128 channels. Levels of the noise, batches and learning rate are those of NCSN
    (Song, Ermon, NeurIPS 2019, arXiv:1907.05600); the moving average of the weights is NCSNv2's,
    and `decay` is ours, for short trainings.

    Attributes:
        width: number of channels of the score network's maps, at least 1.
        blocks: number of its residual blocks, at least 1.
        largest_level: largest noise level of the training, above 0.
        smallest_level: smallest noise level of the training, above 0.
        levels: number of noise levels, in a geometric sequence, at least 1.
        iterations: number of training batches, at least 1.
        batch_size: number of images in a training batch, at least 1.
        learning_rate: learning rate of Adam, above 0.
        decay: last part of the training over which the learning rate falls linearly to zero, in
            [0, 1].
        ema: decay of the moving average of the weights, in [0, 1]; 0 for no average.
        noise: standard deviation of the noise that is added to an image, at least 0. The defense is
            randomized unless it is 0.
        steps: largest number of steps along the score, at least 1.
        step_share: step size as a share of the squared noise level of an image whose score is known
            exactly, above 0 (the paper's lambda).
        stop: step size at or below which an image stays where it is, at least 0.
        draws: number of draws of the noise over which logits are averaged, at least 1.
    """

    independent_draws: ClassVar[bool] = True
    inference_parameters: ClassVar[frozenset[str]] = frozenset(
        {"noise", "steps", "step_share", "stop", "draws"}
    )

    width: PositiveInt = 32
    blocks: PositiveInt = 4
    largest_level: PositiveFloat = 1.0
    smallest_level: PositiveFloat = 0.01
    levels: PositiveInt = 10
    iterations: PositiveInt = 200_000
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3
    decay: Fraction = 0.0
    ema: Fraction = 0.999
    noise: NonNegativeFloat = 0.25
    steps: PositiveInt = 10
    step_share: PositiveFloat = 0.05
    stop: NonNegativeFloat = 1e-3
    draws: PositiveInt = 10

    def __post_init__(self) -> None:
        if self.smallest_level > self.largest_level:
            raise ValueError(
                f"parameter smallest_level={self.smallest_level}: must not exceed "
                f"largest_level={self.largest_level}"
            )

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether noise is added."""
        return self.noise > 0

    def build(self, data: DataInfo) -> nn.Module:
        """The purification with an untrained score network; images to images of the same shape."""
        return ScoreSteps(ScoreNetwork(data.shape[0], self.width, self.blocks), self)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Train the score network by denoising score matching on clean images."""
        network = module.get_submodule("score")
        device = next(network.parameters()).device
        levels = noise_levels(self.largest_level, self.smallest_level, self.levels, device)
        average = AveragedModel(network, device, multi_avg_fn=get_ema_multi_avg_fn(self.ema))
        optimizer = Adam(network.parameters(), lr=self.learning_rate)
        schedule = linear_decay(optimizer, self.iterations, self.decay)

        for images, _ in context.batches(self.batch_size, steps=self.iterations):
            loss = score_matching_loss(network, images, levels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
            context.report(score_matching=loss)

        network.load_state_dict(average.module.state_dict())


class ScoreSteps(nn.Module):
    """Noise on an image, and adaptive steps along the score.

    An attacker may differentiate the steps, sizes included, in the memory of one step. Where a step
    size is at a bound and where an image has stopped, its size has no gradient.

    Attributes:
        score: score network.
        settings: settings of the steps.
    """

    def __init__(self, score: nn.Module, settings: ADP) -> None:
        super().__init__()
        self.score = score
        self.settings = settings

    def forward(self, images: Tensor) -> Tensor:
        """The images (n, channels, height, width) purified by a single draw, same shape."""
        is_attacked = torch.is_grad_enabled() and images.requires_grad
        return self.accelerated(Checkpointed() if is_attacked else Eager())(images)

    def classify(self, images: Tensor, classifier: Callable[[Tensor], Tensor]) -> Tensor:
        """The mean logits (n, classes) over all draws; without noise, those of one.

        Args:
            images: images before purification, (n, channels, height, width).
            classifier: function from images to logits (n, classes).
        """
        draws = self.settings.draws if self.settings.noise > 0 else 1
        batches = copies_of(images, draws, in_one_call=True)
        logits = torch.cat([classifier(self(copies)) for copies in batches])
        of_draws: Tensor = logits.unflatten(0, (draws, len(images)))
        return of_draws.mean(dim=0)

    def accelerated(self, by: Accelerator) -> Callable[[Tensor], Tensor]:
        """The purification whose steps an engine runs; the noise is drawn at each call."""
        move = by.loop(self.step, self.settings.steps)

        def purify(images: Tensor) -> Tensor:
            noisy = images + self.settings.noise * torch.randn_like(images)
            (purified,) = move((noisy,), ())
            return purified.clamp(0, 1)

        return purify

    def step(self, state: State, constants: State) -> State:  # noqa: ARG002 - there are none
        """One step along the score, of the images (n, channels, height, width) that still move.

        An image that stays where it is has the same step size again, and so has stopped for good.
        """
        (images,) = state
        scores = self.score(images)
        sizes = self.step_sizes(images, scores)
        moves = sizes > self.settings.stop
        return (images + (sizes * moves).view(-1, 1, 1, 1) * scores,)

    def step_sizes(self, images: Tensor, scores: Tensor) -> Tensor:
        """Step sizes (n,): a share of how far the score leads, within bounds.

        With z, the part of the score that is left after a small step along it, this is
        `step_share * 1e-3 / (1 - z)`. Where the score grows on the way, the size is the least.
        """
        ahead = self.score(images + _PROBE * scores)
        squared = _inner(scores, scores).clamp(min=_TINY)
        lost = _inner(scores, scores - ahead) / squared  # 1 - z, less rounding

        numerator = self.settings.step_share * _PROBE
        # Bounded before the division, whose gradient would be NaN at the infinite size of zero.
        sizes = numerator / lost.clamp(min=numerator / _MOST)
        return torch.where(lost < 0, _LEAST, sizes.clamp(min=_LEAST))


def _inner(one: Tensor, other: Tensor) -> Tensor:
    """Inner products (n,) of images (n, ...)."""
    return (one * other).flatten(1).sum(dim=1)
