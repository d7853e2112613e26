"""Checks on the probes of one cell: measurements that see through a misleading attack or pipeline.

Each check is a small function of the cell that yields its findings, listed in `PROBE_CHECKS`. One
whose probe a cell lacks, as in outcomes of earlier versions, says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.analysis.cell_checks import is_search_for_success
from bench.analysis.metrics import share
from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.pipeline_checks import is_single_step
from bench.analysis.verdict import Level, Verdict

Array = NDArray[Any]

_SUSPECT_WINS = 0.7
"""Share of images below which an attack or a gradient hardly beats random rivals."""

_INVALID_WINS = 0.45
"""Share of images below which it is no better than they are; one of five wins a fifth by chance."""

_FEW = 8
"""Number of images below which a share of wins is not judged."""

_FLAT = 1e-5
"""Change of a margin, as a share of the largest change of any image, that counts as none."""

_MOSTLY_FLAT = 0.6
"""Share of images whose margin stays the same along their gradient above which it is suspect."""

_SHIFT = 0.01
"""Difference of logits, as a share of their range, beyond rounding in another batch or mode."""

_REPEATED_SHIFT = 1e-3
"""The same between two calls alike, which hardly round differently."""

_SHIFTED = 0.1
"""Share of images with such a difference above which a pipeline is marked."""

_SURVIVORS = 4
"""Number of images that withstood the attack but not the search, from which it is marked."""

_BROKEN_SURVIVORS = 0.25
"""Share of the images that withstood the attack that the search may break by chance."""

_CHANCE_SLACK = 0.05
"""Accuracy above chance that is allowed where every pixel may take any value."""

_SAME = 0.15
"""L-infinity distance below which a purified image equals a test image, as a share of the distance
of the adversarial image to it."""

_OTHER = 1e-2
"""L-infinity distance above which an adversarial image is another than the test image."""


def _classifier_gradient(cell: EvaluatedCell) -> Iterator[Verdict]:
    """The loss rises along the gradient of the classifier that the attack uses."""
    attacked = "substitute" if cell.record.properties.threat == "transfer" else "classifier"
    yield from _true_gradient(cell.outcome.probes.classifier_rise, attacked)


def _pipeline_gradient(cell: EvaluatedCell) -> Iterator[Verdict]:
    """The loss rises along the gradient through the purifier, where the attack follows it."""
    members = len(cell.record.cascade)
    for finding in _true_gradient(cell.outcome.probes.pipeline_rise, "purifier"):
        # A cascade has other members; the search by scores judges what they achieved together.
        yield Verdict("ok" if members else finding.level, finding.reasons)


def _true_gradient(rise: Array | None, name: str) -> Iterator[Verdict]:
    """Findings about the rise of a margin along a gradient and along its rivals.

    Args:
        rise: see `bench.records.probes.Probes.classifier_rise`.
        name: part of the pipeline that the gradient belongs to.
    """
    if rise is None:
        return

    usable = rise[~np.isnan(rise).any(axis=(1, 2))]
    if len(usable) < _FEW:
        return

    largest = np.abs(usable).max()
    is_flat = np.abs(usable).max(axis=2) <= _FLAT * largest
    wins = [_wins(step[~flat]) for step, flat in zip(_by_step(usable), is_flat.T, strict=True)]
    judged = [found for found in wins if found is not None]

    if is_flat[:, -1].mean() > _MOSTLY_FLAT:
        reason = f"at {is_flat[:, -1].mean():.0%} of the images no step along it changes the loss"
        yield Verdict("suspect", (f"the gradient of the {name} is not its own: {reason}",))
    elif judged and max(judged) < _SUSPECT_WINS:
        level: Level = "invalid" if max(judged) < _INVALID_WINS else "suspect"
        reason = f"it beats other directions at {max(judged):.0%} of the images only"
        yield Verdict(level, (f"the gradient of the {name} misleads: {reason}",))


def _by_step(rise: Array) -> Iterator[Array]:
    """The rises (k, 1 + rivals) of each step."""
    yield from np.moveaxis(rise, 1, 0)


def _wins(scores: Array) -> float | None:
    """The share of rows whose first entry is larger than all others; None for too few rows."""
    if len(scores) < _FEW:
        return None
    return float((scores[:, 0] > scores[:, 1:].max(axis=1)).mean())


def _better_than_noise(cell: EvaluatedCell) -> Iterator[Verdict]:
    """The final images are worse for the attacked model than noise of the same size."""
    final = cell.outcome.probes.final_margin
    noise = cell.outcome.probes.noise_margin
    if final is None or noise is None:
        return

    # An image that was not attacked does not count, nor one that a search gave back as it was.
    judged = cell.outcome.attacked
    if is_search_for_success(cell):
        judged = judged & (cell.outcome.linf > 0)
    # A nearest image is barely misclassified, and success is success.
    reached = np.where(final > 0, np.inf, final)
    scores = np.column_stack([reached, noise])[judged[: len(final)]]
    wins = _wins(scores[~np.isnan(scores).any(axis=1)])

    if wins is not None and wins < _SUSPECT_WINS:
        level: Level = "invalid" if wins < _INVALID_WINS else "suspect"
        reason = f"the attack is worse than noise of its size at {1 - wins:.0%} of the images"
        yield Verdict(level, (reason,))


def _same_with_gradients(cell: EvaluatedCell) -> Iterator[Verdict]:
    """The attacked model says of the final images what it said with gradients on."""
    shift = cell.outcome.probes.gradients_shift
    if shift is None:
        return

    shifted = _shifted(np.where(np.isnan(shift), np.inf, shift), _SHIFT)

    if shifted > _SHIFTED:
        reason = f"other logits than when evaluated at {shifted:.0%} of the images"
        yield Verdict("invalid", (f"the attacked model gives the attacker {reason}",))


def _evaluated_as_seen(cell: EvaluatedCell) -> Iterator[Verdict]:
    """A deterministic pipeline is evaluated to the classes that the attacker saw."""
    seen = cell.outcome.probes.seen
    properties = cell.record.properties
    if seen is None or properties.stochastic or cell.attacked_model_right is None:
        return

    outcome = cell.outcome
    evaluated = (
        outcome.adversarial_defended if properties.sees_defense else outcome.adversarial_undefended
    )
    differ = float((np.atleast_2d(evaluated)[0, : len(seen)] != seen).mean())

    if differ > _SHIFTED:
        reason = f"other classes than when evaluated at {differ:.0%} of the images"
        yield Verdict("invalid", (f"the attacked model gives the attacker {reason}",))


def _repeatable(cell: EvaluatedCell) -> Iterator[Verdict]:
    """A pipeline that is not declared to be randomized gives the same logits twice."""
    shift = cell.outcome.probes.repeat_shift
    if shift is None:
        return

    shifted = _shifted(shift, _REPEATED_SHIFT)

    if shifted > _SHIFTED:
        reason = f"two calls differ at {shifted:.0%} of the images"
        yield Verdict("invalid", (f"{reason}, though the plugins do not declare it: stochastic",))


def _independent_of_batch(cell: EvaluatedCell) -> Iterator[Verdict]:
    """A deterministic pipeline says of an image alone what it says of it in a batch."""
    shift = cell.outcome.probes.alone_shift
    if shift is None or any(_repeatable(cell)):
        return

    shifted = _shifted(shift, _SHIFT)

    if shifted > _SHIFTED:
        reason = f"the other images of the batch change the logits at {shifted:.0%} of the images"
        yield Verdict("suspect", (reason,))


def _shifted(shift: Array, tolerance: float) -> float:
    """The share of images with a difference beyond the tolerance; 0 where none was measured."""
    measured = shift[~np.isnan(shift)]
    return float((measured > tolerance).mean()) if len(measured) else 0.0


def _search_by_scores(cell: EvaluatedCell) -> Iterator[Verdict]:
    """A short search without a gradient breaks few of the images that withstood the attack."""
    found = cell.outcome.probes.score_right
    right = cell.attacked_model_right
    if found is None or right is None or is_single_step(cell):
        return

    withstood = right[:, : len(found)].mean(axis=0)
    broken = int((withstood - found >= 0.5).sum())
    survivors = int((withstood >= 0.5).sum())

    if broken >= _SURVIVORS and broken > _BROKEN_SURVIVORS * survivors:
        reason = f"{broken} of {survivors} images that withstood the attack"
        yield Verdict("suspect", (f"a short search without gradients breaks {reason}",))


def _at_full_range(cell: EvaluatedCell) -> Iterator[Verdict]:
    """The attack reaches chance on the attacked model where it may set pixels to any value."""
    right = cell.outcome.probes.full_range_right
    if right is None:
        return

    chance = 1 / (int(cell.labels.max()) + 1)
    reached = share(right)

    if reached.low > chance + _CHANCE_SLACK:
        reason = f"at eps 1 it leaves an accuracy of {reached.value:.2f} on {len(right)} images"
        yield Verdict("suspect", (f"{reason} (chance {chance:.2f})",))


def _knows_no_test_image(cell: EvaluatedCell) -> Iterator[Verdict]:
    """No purified image is a clean test image that the purifier was not given."""
    purified = cell.outcome.probes.purified_distance
    given = cell.outcome.probes.input_distance
    if purified is None or given is None:
        return

    restored = int(((purified <= _SAME * given) & (given > _OTHER)).sum())

    if restored:
        count = f"{restored} of {len(purified)} adversarial images"
        yield Verdict("invalid", (f"the purifier turns {count} into clean test images",))


PROBE_CHECKS: tuple[Callable[[EvaluatedCell], Iterator[Verdict]], ...] = (
    _classifier_gradient,
    _pipeline_gradient,
    _better_than_noise,
    _same_with_gradients,
    _evaluated_as_seen,
    _repeatable,
    _independent_of_batch,
    _search_by_scores,
    _at_full_range,
    _knows_no_test_image,
)
"""All checks on the probes of a cell, in the order of their reasons."""
