"""The probes of a cell: what was measured about its attack and its pipeline, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from numpy.typing import NDArray

from bench.records.arrays import (
    CLASSES,
    DECISIONS,
    DISTANCES,
    NORMS,
    NUMBERS,
    SHARES,
    Domain,
    check_array,
)

Array = NDArray[Any]

PREFIX = "probe_"
"""Start of the name of every probe's array in a file."""

STEPS = (0.01, 0.03, 0.1)
"""Sizes of the steps along the sign of the gradient, on the [0, 1] scale."""

RIVALS = 4
"""Number of other directions of the same size: the opposite one, and three at random."""

NOISES = 3
"""Number of noisy versions of each image."""

_TRAILING: Mapping[str, tuple[int, ...]] = {
    "classifier_rise": (len(STEPS), 1 + RIVALS),
    "pipeline_rise": (len(STEPS), 1 + RIVALS),
    "noise_margin": (NOISES,),
}
"""Shape of an array behind its first axis, which is that of the images; (), unless named."""

_DOMAINS: Mapping[str, Domain] = {
    "classifier_rise": NUMBERS,
    "pipeline_rise": NUMBERS,
    "repeat_shift": NORMS,
    "alone_shift": NORMS,
    "gradients_shift": NORMS,
    "seen": DECISIONS,
    "final_margin": NUMBERS,
    "noise_margin": NUMBERS,
    "score_right": SHARES,
    "full_range_right": SHARES,
    "eot_calls": CLASSES,
    "purified_distance": DISTANCES,
    "input_distance": DISTANCES,
}


@dataclass(frozen=True, eq=False)
class Probes:
    """Measurements on the first images of a cell, k of n; None for what was not measured.

    The margin of an image is its largest logit of a wrong class minus the logit of its true class;
    it is above 0 for a misclassified image. A shift is the largest difference of two logits of the
    same image, as a share of the range of its logits.

    Attributes:
        classifier_rise: rise of the bare classifier's margin (the substitute's under `transfer`)
            along the sign of its gradient and along the `RIVALS`, for each of the `STEPS`,
            (k, steps, 1 + rivals); NaN for an image without a usable gradient.
        pipeline_rise: the same for the whole pipeline, where the attack follows its gradient.
        repeat_shift: shift between two calls of the pipeline on the same images, (k,); None for a
            pipeline that is declared to be randomized.
        alone_shift: shift between a call on the image alone and one on its batch, (k,); NaN for an
            image that was not tried alone.
        gradients_shift: shift of the attacked model on the final images between a call with
            gradients on and one without, (k,).
        seen: class of the final images as the attacker sees it, with gradients on, (k,).
        final_margin: margin of the final images on the attacked model, (k,); the mean over several
            draws of a randomized one.
        noise_margin: margin of `NOISES` noisy versions of the images, as far away as the budget
            allows, on the attacked model, (k, noises); the mean over the same draws.
        score_right: share of draws in which the attacked model is right after a short search by its
            scores at the same budget, (k,).
        full_range_right: share of draws in which the attacked model is right after the same attack
            at epsilon 1, (k,).
        eot_calls: calls of the model by the attack on two images without averaging over draws and
            with an average over two, (2,).
        purified_distance: L-infinity distance of the purified adversarial image to the nearest
            clean test image, (k,).
        input_distance: L-infinity distance of the adversarial image to that same test image, (k,).
    """

    classifier_rise: Array | None = None
    pipeline_rise: Array | None = None
    repeat_shift: Array | None = None
    alone_shift: Array | None = None
    gradients_shift: Array | None = None
    seen: Array | None = None
    final_margin: Array | None = None
    noise_margin: Array | None = None
    score_right: Array | None = None
    full_range_right: Array | None = None
    eot_calls: Array | None = None
    purified_distance: Array | None = None
    input_distance: Array | None = None

    def to_arrays(self) -> dict[str, Array]:
        """Arrays by name, as a file holds them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}

        return {PREFIX + name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], n: int) -> Self:
        """The probes that a file holds.

        Args:
            arrays: arrays whose names start with `PREFIX`.
            n: number of images of the cell.

        Raises:
            ValueError: an array is unknown, or has not the shape, type or values that the class
                states.
        """
        named = {name.removeprefix(PREFIX): array for name, array in arrays.items()}
        known = {field.name for field in fields(cls)}
        if unknown := sorted(named.keys() - known):
            raise ValueError(f"there is no array '{PREFIX}{unknown[0][:40]}' in an outcome")

        for name, array in named.items():
            most = 2 if name == "eot_calls" else n
            images = max(1, min(most, array.shape[0])) if array.ndim else most
            shape = (images, *_TRAILING.get(name, ()))
            check_array(PREFIX + name, array, shape, _DOMAINS[name])

        return cls(**named)
