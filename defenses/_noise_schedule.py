"""Noise schedules of denoising diffusion: how much of an image is left at each time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate, pairwise
from operator import mul
from typing import Literal

Schedule = Literal["cosine", "linear"]

_OFFSET = 0.008
"""Offset s of the cosine schedule, which keeps the first steps from being too small."""

_LARGEST_BETA = 0.999
"""Largest variance of the noise of one step, so that something of the image is left."""


def alpha_bars(schedule: Schedule, timesteps: int) -> list[float]:
    """The shares of an image's variance that are left after t = 0 to T steps of noise.

    `cosine` is equation 17 of Nichol, Dhariwal, ICML 2021 (arXiv:2102.09672). `linear` is that of
    Ho, Jain, Abbeel, NeurIPS 2020 (arXiv:2006.11239), beta from 1e-4 to 0.02 over T = 1000 steps;
    other T scale beta by 1000 / T, so that as little of the image is left at the end.

    Args:
        schedule: name of the schedule.
        timesteps: number T of steps, at least 1.

    Returns:
        alpha-bar_t for t = 0 to T: T + 1 numbers that fall from 1 towards 0.
    """
    betas = _BETAS[schedule](timesteps)
    return list(accumulate((1 - min(beta, _LARGEST_BETA) for beta in betas), mul, initial=1.0))


def signal_and_noise(alpha_bar: float) -> tuple[float, float]:
    """The factors of image and noise in a noisy image whose share alpha-bar is left."""
    return math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)


def _cosine(timesteps: int) -> Iterator[float]:
    left = [
        math.cos((time / timesteps + _OFFSET) / (1 + _OFFSET) * math.pi / 2) ** 2
        for time in range(timesteps + 1)
    ]
    return (1 - after / before for before, after in pairwise(left))


def _linear(timesteps: int) -> Iterator[float]:
    first, last = 0.1 / timesteps, 20 / timesteps
    return (first + (last - first) * time / max(1, timesteps - 1) for time in range(timesteps))


_BETAS: Mapping[Schedule, Callable[[int], Iterator[float]]] = {
    "cosine": _cosine,
    "linear": _linear,
}
