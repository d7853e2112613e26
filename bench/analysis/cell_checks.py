"""Checks on the raw outcome of one cell.

Each check is a small function of the cell that yields its findings, listed in `CELL_CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from bench.analysis.metrics import accuracy
from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.statistics import ALPHA, mcnemar
from bench.analysis.verdict import Level, Verdict

_SUSPECT_MOVED = 0.99
"""Share of moved images below which an attack is suspect."""

_INVALID_MOVED = 0.5
"""Share of moved images below which an attack is invalid."""

_SUSPECT_GRADIENT = 0.05
"""Share of images without a usable gradient above which an attack is suspect."""

_INVALID_GRADIENT = 0.5
"""Share of images without a usable gradient above which an attack is invalid."""

_TOLERANCE = 1e-5
"""Float32 rounding of a distance, relative to epsilon where that is above 1."""

_DISAGREEMENT = 0.05
"""Share of images on which the draws of a defense may disagree under an attack without EOT."""


def _images_moved(cell: EvaluatedCell) -> Iterator[Verdict]:
    """The attack changed the images that the attacked model classified correctly at first.

    A search for an adversarial image that finds none returns the original: it failed, which is
    allowed, but not for every image.
    """
    properties = cell.record.properties
    right = cell.attacked_model_right
    moved = cell.outcome.attacked & (cell.outcome.linf > 0)
    still = cell.outcome.attacked & ~moved & (True if right is None else right.any(axis=0))
    if cell.eps == 0 or not (moved | still).any():
        return

    share = float(moved.sum() / (moved.sum() + still.sum()))

    if properties.minimum_norm or properties.access == "decision":
        if share == 0:
            yield Verdict("suspect", ("the search found no adversarial image at all",))
    elif share < _SUSPECT_MOVED:
        level: Level = "invalid" if share < _INVALID_MOVED else "suspect"
        yield Verdict(level, (f"the attack moved {share:.0%} of the images",))


def _gradient(cell: EvaluatedCell) -> Iterator[Verdict]:
    """The gradient that the attack followed is neither zero, NaN nor infinite."""
    properties = cell.record.properties
    norms = cell.outcome.gradient_norm[cell.outcome.attacked]
    if not properties.gradient or properties.access != "gradient" or not len(norms):
        return

    share = float((~np.isfinite(norms) | (norms == 0)).mean())

    if share > _SUSPECT_GRADIENT:
        level: Level = "invalid" if share > _INVALID_GRADIENT else "suspect"
        yield Verdict(level, (f"zero, NaN or infinite gradient at {share:.0%} of the images",))


def _within_budget(cell: EvaluatedCell) -> Iterator[Verdict]:
    """No image was moved farther than epsilon."""
    norm = cell.record.properties.norm
    if norm is None:
        return

    largest = float(cell.outcome.distance(norm).max())

    if largest > cell.eps + _TOLERANCE * max(1.0, cell.eps):
        reason = f"an image was moved by {largest:.4g} in {norm}, beyond epsilon"
        yield Verdict("invalid", (reason,))


def _converged(cell: EvaluatedCell) -> Iterator[Verdict]:
    """Twice the steps change the accuracy neither beyond its interval nor by the paired test."""
    outcome = cell.outcome
    if cell.record.properties.sees_defense:
        doubled = outcome.doubled_steps_defended
        once = outcome.adversarial_defended
    else:
        doubled = outcome.doubled_steps_undefended
        once = outcome.adversarial_undefended
    if doubled is None or cell.attacked_model_right is None:
        return

    doubled = np.atleast_2d(doubled)
    n = doubled.shape[1]
    once = np.atleast_2d(once)[:, :n]
    labels = cell.labels[:n]
    first = accuracy(once, labels)
    second = accuracy(doubled, labels)
    paired = mcnemar((once == labels).mean(axis=0), (doubled == labels).mean(axis=0))

    if second.value < first.low or (second.value < first.value and paired.p < ALPHA):
        change = f"from {first.value:.3f} to {second.value:.3f} on {n} images"
        yield Verdict("suspect", (f"not converged: twice the steps take the accuracy {change}",))


def _averages_draws(cell: EvaluatedCell) -> Iterator[Verdict]:
    """The attack averages the gradient over draws (EOT) where the draws of the defense disagree."""
    properties = cell.record.properties
    predictions = cell.outcome.adversarial_defended
    follows_defense = properties.gradient and properties.sees_defense
    if properties.eot > 1 or not follows_defense or not properties.stochastic:
        return
    if len(predictions) < 2:
        yield Verdict("ok", ("a randomized defense, attacked and evaluated in one draw",))
        return

    share = float((predictions != predictions[0]).any(axis=0).mean())

    if share > _DISAGREEMENT:
        reason = f"{len(predictions)} draws disagree on {share:.0%} of the images"
        yield Verdict("suspect", (f"{reason} and the attack follows one of them: set eot",))


def _searched_on_pipeline(cell: EvaluatedCell) -> Iterator[Verdict]:
    """A search for the nearest adversarial image ran on the pipeline that is evaluated."""
    properties = cell.record.properties
    whole_pipeline = properties.sees_defense and not properties.stochastic
    if not properties.minimum_norm or whole_pipeline or properties.threat == "noise":
        return

    outcome = cell.outcome
    same_decisions = (outcome.adversarial_defended == outcome.adversarial_undefended).all()
    if properties.threat == "graybox" and same_decisions:
        return  # a purifier that changes no decision is as good as none

    attacked = "one draw of a randomized defense" if properties.sees_defense else "another model"
    reason = f"the attack stops at the nearest image that fools {attacked}, well within epsilon"
    yield Verdict("suspect", (reason,))


def _first_success(cell: EvaluatedCell) -> Iterator[Verdict]:
    """An attack that stops at its first success attacks the pipeline that is evaluated."""
    properties = cell.record.properties
    if not properties.stops_at_first_success or properties.sees_defense:
        return

    outcome = cell.outcome
    if not np.array_equal(outcome.adversarial_defended[0], outcome.adversarial_undefended):
        reason = "the attack stops at its first success against a model that is not the pipeline"
        yield Verdict("suspect", (f"{reason}: its images barely fool that model",))


CELL_CHECKS: tuple[Callable[[EvaluatedCell], Iterator[Verdict]], ...] = (
    _images_moved,
    _gradient,
    _within_budget,
    _converged,
    _averages_draws,
    _searched_on_pipeline,
    _first_success,
)
"""All checks on one cell, in the order of their reasons."""
