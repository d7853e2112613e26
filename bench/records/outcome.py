"""The raw outcome of a cell, image by image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bench.records.arrays import (
    CLASSES,
    DECISIONS,
    DISTANCES,
    FLAGS,
    MINIMA,
    NORMS,
    NUMBERS,
    SHARES,
    Domain,
    check_array,
)
from bench.records.cell import CascadeMember
from bench.records.cell_images import EMBEDDED, CellImages
from bench.records.probes import PREFIX, Probes

Array = NDArray[Any]

REJECTED = -1
"""Prediction that stands for an image that the defense rejects."""

EXTRA_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""Names of the numbers that a defense may tell of each image."""

MOST_EXTRAS = 10
"""Number of such numbers, at most."""

_EXTRAS = {"clean_extras": "clean_extra_", "adversarial_extras": "adversarial_extra_"}
"""Start of the names of such numbers in files, by attribute."""

_DOMAINS = {
    "clean_defended": DECISIONS,
    "adversarial_defended": DECISIONS,
    "doubled_steps_defended": DECISIONS,
    "larger_step_defended": DECISIONS,
    "clean_confidence": SHARES,
    "adversarial_confidence": SHARES,
    "attacked": FLAGS,
    "gradient_norm": NORMS,
    "linf": DISTANCES,
    "l2": DISTANCES,
    "l1": DISTANCES,
    "l0": DISTANCES,
    "minimum_distance": MINIMA,
}
"""Values that an array may hold, by its name; any other array holds classes."""

_EARLIER_NAMES = {
    "longer_defended": "doubled_steps_defended",
    "longer_undefended": "doubled_steps_undefended",
}
"""Names that version 0.1.0 gave to arrays in files."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """Predictions and distances for n test images, from which every accuracy is derived.

    A randomized pipeline is evaluated in m draws, any other in one (m = 1). The predictions of a
    randomized classifier without a defense, (n,) below, are (m, n). Of a defense that rejects, the
    prediction for a rejected image is `REJECTED`.

    Attributes:
        labels: true classes, (n,).
        clean_undefended: predictions of the bare classifier on the clean images, (n,).
        clean_defended: predictions through the defense on the clean images, (m, n).
        adversarial_undefended: predictions of the bare classifier on the adversarial images, (n,).
        adversarial_defended: predictions through the defense on the adversarial images, (m, n).
        attacked: whether the attack was run on the image, bool (n,); an image that the attacked
            model misclassifies from the start is left unchanged.
        gradient_norm: L2 norm of the loss gradient at the clean image, (n,); NaN where the threat
            model gives no gradient.
        linf: largest change of a pixel, (n,).
        l2: Euclidean length of the perturbation, (n,).
        l1: sum of the absolute changes, (n,).
        minimum_distance: distance of the nearest adversarial image, in the attack's norm, (n,);
            infinite where none was found. None for an attack that does not look for the nearest.
        doubled_steps_defended: predictions through the defense on the first k images, attacked with
            twice the steps, (m, k); None where there is no convergence check, and under gray-box
            where the bare classifier's accuracy does not fall, or in earlier versions.
        doubled_steps_undefended: predictions of the bare classifier on the first k images, attacked
            with twice the steps, (k,); None where the attacked model contains the defense, or where
            there is no convergence check.
        larger_step_defended: as `doubled_steps_defended`, with a larger step in place of more.
        larger_step_undefended: as `doubled_steps_undefended`, with a larger step in place of more.
        l0: number of changed pixels, (n,); None in outcomes of earlier versions.
        target: class that a targeted attack aims at, (n,); None for any other attack.
        broken_by: index of the cascade's member whose image is kept, (n,); None for anything but
            the threat model `adaptive`.
        clean_confidence: largest softmax probability of a class through the defense on the clean
            images, that of a rejection left out, (m, n); None in outcomes of earlier versions.
        adversarial_confidence: the same on the adversarial images.
        clean_extras: further numbers that the defense tells of each clean image, such as a
            certified radius, by name, (m, n) each; NaN for none.
        adversarial_extras: the same of each adversarial image.
        probes: measurements of the attack and the pipeline; none in outcomes of earlier versions.
    """

    labels: Array
    clean_undefended: Array
    clean_defended: Array
    adversarial_undefended: Array
    adversarial_defended: Array
    attacked: Array
    gradient_norm: Array
    linf: Array
    l2: Array
    l1: Array
    minimum_distance: Array | None = None
    doubled_steps_defended: Array | None = None
    doubled_steps_undefended: Array | None = None
    larger_step_defended: Array | None = None
    larger_step_undefended: Array | None = None
    l0: Array | None = None
    target: Array | None = None
    broken_by: Array | None = None
    clean_confidence: Array | None = None
    adversarial_confidence: Array | None = None
    clean_extras: Mapping[str, Array] = field(default_factory=dict)
    adversarial_extras: Mapping[str, Array] = field(default_factory=dict)
    probes: Probes = field(default_factory=Probes)

    @property
    def clean_right(self) -> Array:
        """Whether the defended pipeline accepts the clean image and is right, bool (m, n)."""
        return np.asarray(self.clean_defended == self.labels)

    @property
    def right(self) -> Array:
        """Whether the attack on the defended pipeline fails, bool (m, n), see `withstands`."""
        return self.withstands(self.adversarial_defended)

    def withstands(self, predictions: Array) -> Array:
        """Whether an attack on the first k images fails, bool (m, k).

        The image is classified as its class, or it is rejected while the clean image is accepted
        and right: a defense that rejects everything withstands nothing (Tramer 2022,
        arXiv:2107.11630).

        Args:
            predictions: predictions through the defense on k attacked images, (m, k).
        """
        n = predictions.shape[1]
        is_caught = (predictions == REJECTED) & self.clean_right[:, :n]

        return np.asarray((predictions == self.labels[:n]) | is_caught)

    @property
    def rejections(self) -> bool:
        """Whether the defense rejects any image."""
        decided = (self.clean_defended, self.adversarial_defended)
        return any(bool((predictions == REJECTED).any()) for predictions in decided)

    def distance(self, norm: str) -> Array:
        """Size of the perturbation in a norm, (n,).

        Raises:
            ValueError: the outcome is of an earlier version, without distances in this norm.
        """
        sizes = {"linf": self.linf, "l2": self.l2, "l1": self.l1, "l0": self.l0}
        size = sizes[norm]
        if size is None:
            raise ValueError(f"the outcome has no distances in {norm}")

        return size

    def to_arrays(self) -> dict[str, Array]:
        """Arrays by name, as a file holds them."""
        values = {name: getattr(self, name) for name in _array_names()}
        own = {name: value for name, value in values.items() if value is not None}
        extras = {
            prefix + name: array
            for attribute, prefix in _EXTRAS.items()
            for name, array in getattr(self, attribute).items()
        }

        return {**own, **extras, **self.probes.to_arrays()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """The outcome that a file holds, also one written by version 0.1.0.

        Raises:
            ValueError: an array is missing or unknown, or has not the shape, type or values that
                the class states.
        """
        named = {_EARLIER_NAMES.get(name, name): array for name, array in arrays.items()}
        probes = {name: array for name, array in named.items() if name.startswith(PREFIX)}
        kept: dict[str, Any] = {
            name: array
            for name, array in named.items()
            if name not in EMBEDDED and name not in probes
        }
        for attribute, prefix in _EXTRAS.items():
            kept[attribute] = _taken(kept, prefix)
        if unknown := sorted(kept.keys() - set(_array_names()) - _EXTRAS.keys()):
            raise ValueError(f"there is no array '{unknown[0][:40]}' in an outcome")

        try:
            outcome = cls(**kept)
        except TypeError as error:
            raise ValueError(f"not an outcome ({error})") from None

        outcome._check_arrays()
        return replace(outcome, probes=Probes.from_arrays(probes, len(outcome.labels)))

    def _check_arrays(self) -> None:
        """Check that every array has the shape, type and values that the class states.

        Raises:
            ValueError: an array has others.
        """
        for name, array in self.to_arrays().items():
            check_array(name, array, self._shape(name, array), _domain(name))

    def _shape(self, name: str, array: Array) -> tuple[int, ...]:
        """The shape that an array must have: one entry per image, and per draw of the defense."""
        n = self.labels.shape[-1] if self.labels.ndim else 0
        draws = self.adversarial_defended.shape[:1]
        if name.startswith(("doubled_steps", "larger_step")) and array.ndim:
            n = max(1, min(n, array.shape[-1]))
        # A randomized classifier is evaluated in as many draws without the defense.
        is_undefended_in_draws = name.endswith("_undefended") and array.ndim == 2

        is_of_defense = name.endswith(("_defended", "_confidence")) or _is_extra(name)
        is_in_draws = is_of_defense or is_undefended_in_draws
        return (*draws, n) if is_in_draws else (n,)


def _array_names() -> list[str]:
    """The names of the arrays of an outcome, without its probes and extras."""
    others = {"probes", *_EXTRAS}
    return [member.name for member in fields(Outcome) if member.name not in others]


def _is_extra(name: str) -> bool:
    return name.startswith(tuple(_EXTRAS.values()))


def _domain(name: str) -> Domain:
    """The values that an array may hold."""
    return NUMBERS if _is_extra(name) else _DOMAINS.get(name, CLASSES)


def _taken(arrays: dict[str, Any], prefix: str) -> dict[str, Array]:
    """The extras among arrays, by their own names; they are taken out.

    Raises:
        ValueError: a name is none of an extra, or there are too many.
    """
    names = [name for name in arrays if name.startswith(prefix)]
    extras = {name.removeprefix(prefix): arrays.pop(name) for name in names}
    wrong = [name for name in extras if not EXTRA_NAME.fullmatch(name)]
    if wrong or len(extras) > MOST_EXTRAS:
        raise ValueError(f"there is no array '{(prefix + ''.join(wrong))[:40]}' in an outcome")

    return extras


@dataclass(frozen=True, eq=False)
class CellResult:
    """The result of a cell's tasks.

    Attributes:
        outcome: raw arrays, one entry per test image (and per draw of a randomized defense).
        images: first images, for pictures.
        adversarial_set: digest of the adversarial images.
        cascade: members of the cascade that made the set; empty for a single attack.
    """

    outcome: Outcome
    images: CellImages
    adversarial_set: str
    cascade: tuple[CascadeMember, ...] = ()
