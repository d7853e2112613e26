"""Whether a number may be printed as robustness: measured checks on raw outcomes, and their
verdict.

Each check is a small function in one table. It is given a cell and the cells that attack the same
trained pipeline, and returns nothing, or what it found: the number is `suspect` (read with care),
`invalid` (no measure of robustness), or `ok` with a note. Rules from Carlini et al. 2019
(arXiv:1902.06705), Athalye et al. 2018 and AutoAttack's flags.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.analysis.metrics import accuracy
from bench.analysis.outcomes import EvaluatedCell, by_pipeline
from bench.analysis.statistics import ALPHA, mcnemar

Array = NDArray[Any]
Level = Literal["ok", "suspect", "invalid"]

_MOVED = 0.99
_SUSPECT_GRADIENT = 0.05
_INVALID_GRADIENT = 0.5
_TOLERANCE = 1e-5
"""Float32 rounding of a distance."""

_DISAGREE = 0.05
_CHANCE_SLACK = 0.05


@dataclass(frozen=True)
class Verdict:
    """`ok`, `suspect` (read with care) or `invalid` (not a measure of robustness), and why.

    An `ok` verdict may carry a note: something that was seen and may be chance.
    """

    level: Level
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.level if not self.reasons else f"{self.level}: {'; '.join(self.reasons)}"


Check = Callable[[EvaluatedCell, Sequence[EvaluatedCell]], Iterable[Verdict]]


def verdicts(cells: Sequence[EvaluatedCell]) -> dict[str, Verdict]:
    """The verdict of every cell by its key: the worst level of all checks, with every reason."""
    found: dict[str, Verdict] = {}
    for siblings in by_pipeline(cells).values():
        for cell in siblings:
            found[cell.record.key] = _joined(
                result for check in CHECKS for result in check(cell, siblings)
            )
    return found


def _joined(results: Iterable[Verdict]) -> Verdict:
    listed = list(results)
    level: Level = "ok"
    for candidate in ("suspect", "invalid"):
        if any(result.level == candidate for result in listed):
            level = candidate
    return Verdict(
        level, tuple(dict.fromkeys(reason for result in listed for reason in result.reasons))
    )


def _moved(cell: EvaluatedCell, _: Sequence[EvaluatedCell]) -> Iterator[Verdict]:
    """The attack changed the images it was asked to attack, as far as they were not wrong from the
    start.

    An attack that looks for an adversarial image and finds none hands the original back; that is a
    failed search.
    """
    facts, right = cell.record.properties, cell.attacked_model_right
    moved = cell.outcome.attacked & (cell.outcome.linf > 0)
    still = cell.outcome.attacked & ~moved & (True if right is None else right.any(axis=0))
    if cell.eps == 0 or not (moved | still).any():
        return
    share = float(moved.sum() / (moved.sum() + still.sum()))
    if facts.minimum_norm or facts.access == "decision":
        if share == 0:
            yield Verdict("suspect", ("the search found nothing for any image",))
    elif share < _MOVED:
        yield Verdict(
            "invalid" if share < 0.5 else "suspect",
            (f"the attack moved {share:.0%} of the images",),
        )


def _gradient(cell: EvaluatedCell, _: Sequence[EvaluatedCell]) -> Iterator[Verdict]:
    """The gradient that was followed is there: not zero, NaN or infinite."""
    facts = cell.record.properties
    norms = cell.outcome.gradient_norm[cell.outcome.attacked]
    if not facts.gradient or facts.access != "gradient" or not len(norms):
        return
    share = float((~np.isfinite(norms) | (norms == 0)).mean())
    if share > _SUSPECT_GRADIENT:
        level: Level = "invalid" if share > _INVALID_GRADIENT else "suspect"
        yield Verdict(level, (f"zero, NaN or infinite gradient at {share:.0%} of the images",))


def _within_budget(cell: EvaluatedCell, _: Sequence[EvaluatedCell]) -> Iterator[Verdict]:
    """No image was moved farther than epsilon."""
    norm = cell.record.properties.norm
    if norm is None:
        return
    largest = float(cell.outcome.distance(norm).max())
    if largest > cell.eps + _TOLERANCE * max(1.0, cell.eps):
        yield Verdict(
            "invalid", (f"an image was moved by {largest:.4g} in {norm}, beyond epsilon",)
        )


def _iterative(cell: EvaluatedCell, siblings: Sequence[EvaluatedCell]) -> Iterator[Verdict]:
    """An attack of many steps is at least as strong as a single step, on the model that both attacked."""
    facts = cell.record.properties
    if facts.access == "decision" or (facts.steps is None and not facts.minimum_norm):
        return
    for other in siblings:
        if (
            _is_single_step(other)
            and _same(cell, other, "threat", "eps")
            and _norm(cell) == _norm(other)
        ):
            yield from _weaker(cell, other, str(other.record.labels["attack"]), _on_attacked)


def _monotone(cell: EvaluatedCell, siblings: Sequence[EvaluatedCell]) -> Iterator[Verdict]:
    """More epsilon does not help the defender."""
    smaller = [
        other
        for other in siblings
        if _same(cell, other, "attack", "threat") and other.eps < cell.eps
    ]
    if smaller:
        strongest = min(smaller, key=lambda other: float(other.right.mean()))
        yield from _weaker(cell, strongest, f"at eps {strongest.eps:g}", _defended)


def _full_range(cell: EvaluatedCell, siblings: Sequence[EvaluatedCell]) -> Iterator[Verdict]:
    """Where every pixel may take any value the attack reaches chance, on the model it attacked."""
    for other in siblings:
        right = other.attacked_model_right
        unbounded = _norm(other) == "linf" and other.eps >= 1 and other.record.properties.gradient
        if not unbounded or right is None or not _same(cell, other, "attack", "threat"):
            continue
        chance = 1 / (int(cell.labels.max()) + 1)
        reached = accuracy(np.where(right, other.labels, -1), other.labels)
        if reached.low > chance + _CHANCE_SLACK:
            level: Level = "invalid" if other is cell else "suspect"
            yield Verdict(
                level,
                (
                    f"at eps {other.eps:g} accuracy is still {reached.value:.3f} (chance {chance:.2f})",
                ),
            )


def _knows_more(cell: EvaluatedCell, siblings: Sequence[EvaluatedCell]) -> Iterator[Verdict]:
    """An attacker who knows more does at least as well: by the same attack, or by a gradient than by decisions."""
    facts = cell.record.properties
    for other in siblings:
        if other.record.properties.threat not in facts.stronger_than or not _same(
            cell, other, "eps"
        ):
            continue
        decisions = other.record.properties.access == "decision" and _norm(cell) == _norm(other)
        if _same(cell, other, "attack") or (
            decisions and (facts.steps is not None or facts.minimum_norm)
        ):
            attack = "" if _same(cell, other, "attack") else f"{other.record.labels['attack']} "
            yield from _weaker(
                cell, other, f"{attack}under {other.record.labels['threat']}", _defended
            )


def _converged(cell: EvaluatedCell, _: Sequence[EvaluatedCell]) -> Iterator[Verdict]:
    """Twice the steps change little where that was tried: neither beyond the interval nor by the paired test."""
    outcome = cell.outcome
    if cell.record.properties.sees_defense:
        doubled, once = outcome.doubled_steps_defended, outcome.adversarial_defended
    else:
        doubled, once = outcome.doubled_steps_undefended, outcome.adversarial_undefended
    if doubled is None or cell.attacked_model_right is None:
        return

    doubled = np.atleast_2d(doubled)
    n = doubled.shape[1]
    once, labels = np.atleast_2d(once)[:, :n], cell.labels[:n]
    first, second = accuracy(once, labels), accuracy(doubled, labels)
    paired = mcnemar((once == labels).mean(axis=0), (doubled == labels).mean(axis=0))

    if second.value < first.low or (second.value < first.value and paired.p < ALPHA):
        change = f"from {first.value:.3f} to {second.value:.3f} on {n} images"
        yield Verdict("suspect", (f"not converged: twice the steps take the accuracy {change}",))


def _one_draw(cell: EvaluatedCell, _: Sequence[EvaluatedCell]) -> Iterator[Verdict]:
    """The gradient of a defense whose draws disagree is averaged over draws."""
    facts, predictions = cell.record.properties, cell.outcome.adversarial_defended
    if facts.eot > 1 or not facts.gradient or not facts.sees_defense or not facts.stochastic:
        return
    if len(predictions) < 2:
        yield Verdict("ok", ("a randomised defense, attacked and evaluated in one draw",))
        return
    share = float((predictions != predictions[0]).any(axis=0).mean())
    if share > _DISAGREE:
        reason = f"{len(predictions)} draws disagree on {share:.0%} of the images and the attack follows one: set eot"
        yield Verdict("suspect", (reason,))


def _barely(cell: EvaluatedCell, _: Sequence[EvaluatedCell]) -> Iterator[Verdict]:
    """The nearest adversarial image was looked for on the very pipeline that is evaluated."""
    facts = cell.record.properties
    if (
        not facts.minimum_norm
        or (facts.sees_defense and not facts.stochastic)
        or facts.threat == "noise"
    ):
        return
    if (
        facts.threat == "graybox"
        and (cell.outcome.adversarial_defended == cell.outcome.adversarial_undefended).all()
    ):
        return  # the purifier changes no decision: as good as none
    other = (
        "one draw of a randomised defense"
        if facts.sees_defense
        else "another model than the defended pipeline"
    )
    yield Verdict("suspect", (f"the nearest images to fool {other}, well within epsilon",))


def _stopped_at_first_success(cell: EvaluatedCell, _: Sequence[EvaluatedCell]) -> Iterator[Verdict]:
    """Images that left at their first misclassified iterate are weak against what the attack has not seen."""
    properties = cell.record.properties
    if not properties.stops_at_first_success or properties.sees_defense:
        return

    if not np.array_equal(
        cell.outcome.adversarial_defended[0], cell.outcome.adversarial_undefended
    ):
        yield Verdict(
            "suspect",
            (
                "the attack stops at its first success: the images barely fool the attacked model, which is not the pipeline",
            ),
        )


def _one_network(cell: EvaluatedCell, siblings: Sequence[EvaluatedCell]) -> Iterator[Verdict]:
    """The pipeline is one: a network that was trained anew between two cells is another."""
    ours = cell.record.networks
    for role, digest in ours.items():
        if role != "substitute" and any(
            other.record.networks.get(role, digest) != digest for other in siblings
        ):
            reason = f"other cells of this pipeline were computed with another {role} of that name"
            yield Verdict("invalid", (f"{reason}: run it anew into another folder (--out)",))


def _weaker(
    cell: EvaluatedCell,
    other: EvaluatedCell,
    than: str,
    right: Callable[[EvaluatedCell], Array | None],
) -> Iterator[Verdict]:
    """What there is to say where the pipeline does better under `cell` than under `other`, image by
    image.

    Args:
        cell: under the attack that should be at least as strong.
        other: under the other attack.
        than: the other's name in the reason.
        right: what is compared of both, (draws, n).
    """
    ours, theirs = right(cell), right(other)
    if ours is None or theirs is None or ours.mean() <= theirs.mean():
        return
    paired = mcnemar(ours.mean(axis=0), theirs.mean(axis=0))
    level: Level = (
        "suspect" if paired.p < ALPHA and paired.first_only > paired.second_only else "ok"
    )
    within = "" if level == "suspect" else ", within chance"
    yield Verdict(
        level, (f"weaker than {than}: {ours.mean():.3f} against {theirs.mean():.3f}{within}",)
    )


def _defended(cell: EvaluatedCell) -> Array | None:
    return cell.right


def _on_attacked(cell: EvaluatedCell) -> Array | None:
    return cell.attacked_model_right


def _same(cell: EvaluatedCell, other: EvaluatedCell, *axes: str) -> bool:
    return all(cell.record.labels[axis] == other.record.labels[axis] for axis in axes)


def _norm(cell: EvaluatedCell) -> str | None:
    return cell.record.properties.norm


def _is_single_step(cell: EvaluatedCell) -> bool:
    facts = cell.record.properties
    return facts.access == "gradient" and facts.steps is None and not facts.minimum_norm


CHECKS: tuple[Check, ...] = (
    _moved, _gradient, _within_budget, _iterative, _monotone, _full_range, _knows_more, _converged, _one_draw,
    _barely, _stopped_at_first_success, _one_network,
)  # fmt: skip
