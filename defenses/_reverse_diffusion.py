"""Purification by diffusion: noise is added to an image and removed step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bench.contracts import Accelerator, Eager, State
from defenses._denoising_unet import DenoisingUNet
from defenses._noise_schedule import signal_and_noise


@dataclass(frozen=True)
class Purification:
    """Settings of the purification: parameters of `Diffusion`, which describes them."""

    t: int
    steps: int
    eta: float
    repeats: int
    guide_weight: float

    @property
    def times(self) -> list[int]:
        """The numbers of steps of noise that are passed, from t to 0: as many as `steps`, and 0."""
        return [step * self.t // self.steps for step in range(self.steps, -1, -1)]


class DiffusionPurifier(nn.Module):
    """The image that is left when noise is added to the input and removed by a diffusion model.

    An attacker may differentiate it: the gradient goes through all steps. The network is computed
    again for each step on the way back, so that the memory is that of one step and of the path, an
    image for each step.

    Attributes:
        network: network that predicts the noise, which is trained and stored.
        settings: settings of the purification.
        times: time of each step for the network, int64 (steps,).
        factors: numbers of each step that `step` describes, (steps, 6).
    """

    times: Tensor
    factors: Tensor

    def __init__(
        self, network: DenoisingUNet, alpha_bars: Sequence[float], settings: Purification
    ) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        factors = list(_factors(alpha_bars, settings))
        self.register_buffer("times", torch.tensor(settings.times[:-1]) - 1, persistent=False)
        self.register_buffer("factors", torch.tensor(factors), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Purified images in [0, 1] of images (n, channels, height, width) in [0, 1]."""
        return self.accelerated(Eager())(images)

    def accelerated(self, by: Accelerator) -> Callable[[Tensor], Tensor]:
        """The purification; an engine runs its steps."""
        denoise = by.loop(self.step, self.settings.steps)

        def purify(images: Tensor) -> Tensor:
            given = 2 * images - 1
            purified = given
            first = torch.zeros(1, dtype=torch.int64, device=images.device)
            for _ in range(self.settings.repeats):
                purified, _ = denoise((self.diffused(purified), first), (given,))
            return (0.5 + 0.5 * purified).clamp(0, 1)

        return purify

    def diffused(self, images: Tensor) -> Tensor:
        """Images in [-1, 1] with the noise of time t."""
        signal, noise = self.factors[0, :2].unbind()
        return signal * images + noise * torch.randn_like(images)

    def step(self, state: State, constants: State) -> State:
        """One reverse step, from one of the times to the next.

        It is equation 12 of Song, Meng, Ermon (arXiv:2010.02502) with the network's estimate of the
        clean images in [-1, 1]. With eta = 1 it draws from the posterior of Ho et al., equations 6
        and 7. The guide moves the mean towards the given images with the noise of this time (Wang
        et al., arXiv:2205.14969, algorithm 1).

        Args:
            state: noisy images (n, channels, height, width) and the number of the step, int64 (1,).
            constants: given images in [-1, 1], alone.

        Returns:
            images with less noise, and the number of the next step.
        """
        noisy, number = state
        (given,) = constants
        signal, noise, next_signal, next_noise, spread, pull = self.factors[number].unbind(dim=1)

        clean = self._followed_estimate(noisy, self.times[number], signal, noise)
        direction = (noisy - signal * clean) / noise
        after = next_signal * clean + next_noise * direction + spread * torch.randn_like(noisy)
        if self.settings.guide_weight > 0:
            target = signal * given + noise * torch.randn_like(given)
            after = after - pull * (noisy - target)

        return after, number + 1

    def estimate(self, noisy: Tensor, time: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        """The network's estimate of the clean images, in [-1, 1]."""
        predicted: Tensor = self.network(noisy, time)
        return ((noisy - noise * predicted) / signal).clamp(-1, 1)

    def _followed_estimate(self, noisy: Tensor, *factors: Tensor) -> Tensor:
        """The estimate; where a gradient is followed, it keeps the noisy images alone."""
        if not (torch.is_grad_enabled() and noisy.requires_grad):
            return self.estimate(noisy, *factors)

        # Nothing is drawn inside, so there is no random state to preserve.
        clean: Tensor = checkpoint(
            self.estimate, noisy, *factors, use_reentrant=False, preserve_rng_state=False
        )
        return clean


def _factors(alpha_bars: Sequence[float], settings: Purification) -> Iterator[list[float]]:
    """The factors of each step.

    Yields:
        those of the image and of the noise before the step and, after it, of the estimated image,
        of the noise left, of the noise drawn anew, and of the distance to the guide.
    """
    for time, next_time in pairwise(settings.times):
        left, next_left = alpha_bars[time], alpha_bars[next_time]
        variance = settings.eta**2 * (1 - next_left) / (1 - left) * max(0.0, 1 - left / next_left)
        signal, noise = signal_and_noise(left)
        next_signal, _ = signal_and_noise(next_left)
        next_noise = math.sqrt(max(0.0, 1 - next_left - variance))
        pull = 2 * settings.guide_weight * variance * noise / signal
        yield [signal, noise, next_signal, next_noise, math.sqrt(variance), pull]
