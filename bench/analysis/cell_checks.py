"""Checks on the raw outcome of one cell.

Each check is a small function of the cell that yields its findings, listed in `CELL_CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.statistics import ALPHA, mcnemar
from bench.analysis.verdict import Level, Verdict

Array = NDArray[Any]

_STILL = 0.01
"""Share of epsilon by which an image must be moved to count as moved."""

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

_MORE_CALLS = 1.5
"""Factor by which the calls of the model grow at least when two draws are averaged."""

_DISAGREEMENT = 0.05
"""Share of images on which the draws of a defense may disagree under an attack without EOT."""


def _images_moved(cell: EvaluatedCell) -> Iterator[Verdict]:
    """The attack changed the images that the attacked model classified correctly at first.

    A search for an adversarial image that finds none returns the original: it failed, which is
    allowed, but not for every image. An image that a search returns may be as near as it likes.
    """
    properties = cell.record.properties
    is_search = is_search_for_success(cell)
    right = cell.attacked_model_right
    least = 0.0 if is_search or properties.norm is None else _STILL * cell.eps
    moved = cell.outcome.attacked & (cell.outcome.distance(properties.norm or "linf") > least)
    still = cell.outcome.attacked & ~moved & (True if right is None else right.any(axis=0))
    if cell.eps == 0 or not (moved | still).any():
        return

    share = float(moved.sum() / (moved.sum() + still.sum()))

    if is_search:
        if share == 0:
            yield Verdict("suspect", ("the search found no adversarial image at all",))
    elif share < _SUSPECT_MOVED:
        level: Level = "invalid" if share < _INVALID_MOVED else "suspect"
        yield Verdict(level, (f"the attack moved {share:.0%} of the images",))


def _gradient(cell: EvaluatedCell) -> Iterator[Verdict]:
    """The gradient that the attack followed is neither zero, NaN nor infinite.

    A cascade follows several, and goes on where one is void.
    """
    if cell.record.cascade:
        return

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
    """Neither twice the steps nor a larger step lower the accuracy, by the paired test.

    It judges the accuracy that is shown. A gray-box attack does not aim at it, so that it must also
    have become stronger on the bare classifier.
    """
    outcome = cell.outcome
    variants = {
        "twice the steps": (outcome.doubled_steps_defended, outcome.doubled_steps_undefended),
        "a larger step": (outcome.larger_step_defended, outcome.larger_step_undefended),
    }
    if cell.attacked_model_right is None:
        return

    for name, (defended, undefended) in variants.items():
        found = [_fall(outcome.right, None if defended is None else outcome.withstands(defended))]
        if not cell.record.properties.sees_defense:
            shown = _right(cell.labels, outcome.adversarial_undefended)
            found.append(_fall(shown, _right(cell.labels, undefended)))
        # A gray-box set that breaks no more images of the bare classifier goes no farther.
        falls = [fall for fall in found if fall is not None]
        if falls and all(falls):
            reason = f"not converged: with {name} the accuracy falls {falls[0]}"
            yield Verdict("suspect", (reason,))


def _right(labels: Array, predictions: Array | None) -> Array | None:
    """Whether predictions on the first k images, (k,) or (draws, k), are right, (draws, k)."""
    if predictions is None:
        return None
    return np.asarray(np.atleast_2d(predictions) == labels[: predictions.shape[-1]])


def _fall(shown: Array | None, variant: Array | None) -> str | None:
    """By how much a variant of the attack lowers the accuracy on the first images, in words.

    Args:
        shown: whether each image withstands the attack itself, (draws, n).
        variant: whether each of the first k images withstands the variant, (draws, k).

    Returns:
        Empty text if it does not, and None if there is no variant.
    """
    if variant is None or shown is None:
        return None

    n = variant.shape[1]
    before = shown[:, :n].mean(axis=0)
    after = variant.mean(axis=0)
    falls = after.mean() < before.mean() and mcnemar(before, after).p < ALPHA

    return f"from {before.mean():.3f} to {after.mean():.3f} on {n} images" if falls else ""


def _averages_draws(cell: EvaluatedCell) -> Iterator[Verdict]:
    """The attack averages the gradient over draws (EOT) where the draws of the defense disagree."""
    properties = cell.record.properties
    predictions = cell.outcome.adversarial_defended
    follows_defense = properties.gradient and properties.sees_defense
    averages = properties.eot > 1 and not _ignores_eot(cell)
    knows_draw = properties.fixed_draw
    if averages or knows_draw or not follows_defense or not properties.stochastic:
        return
    if len(predictions) < 2:
        yield Verdict("ok", ("a randomized defense, attacked and evaluated in one draw",))
        return

    share = float((predictions != predictions[0]).any(axis=0).mean())

    if share > _DISAGREEMENT:
        reason = f"{len(predictions)} draws disagree on {share:.0%} of the images"
        raised = "take a larger budget" if cell.record.cascade else "set eot"
        remedy = "the attack ignores eot" if properties.eot > 1 else raised
        yield Verdict("suspect", (f"{reason} and the attack follows one of them: {remedy}",))


def _ignores_eot(cell: EvaluatedCell) -> bool:
    """Whether the attack called the model as often with two draws to average over as with one."""
    calls = cell.outcome.probes.eot_calls
    return calls is not None and bool(calls[0] == 0 or calls[1] < _MORE_CALLS * calls[0])


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


def is_search_for_success(cell: EvaluatedCell) -> bool:
    """Whether the attack may return an image that it does not break as it was."""
    properties = cell.record.properties
    finds_nearest = properties.minimum_norm or properties.access == "decision"

    return finds_nearest or properties.returns_unbroken


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
