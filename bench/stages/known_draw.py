"""The random draw of a pipeline that an attacker knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownDraw:
    """A draw of a randomized pipeline that an attacker knows.

    Attributes:
        parts: parts from which the random numbers of a call are seeded.
        images: number of images of the batch, on which the numbers depend.
    """

    parts: tuple[object, ...]
    images: int


def fixed_draw(seed: int, start: int) -> tuple[object, ...]:
    """The parts from which the random numbers of a fixed draw of a batch are seeded."""
    return "fixed draw", seed, start
