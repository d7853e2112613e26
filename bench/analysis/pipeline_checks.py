"""Checks that compare a cell with the other cells that attack the same trained pipeline.

Each check is a small function, listed in `PIPELINE_CHECKS`. It receives a cell and all cells of its
pipeline, the cell included, and yields its findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.analysis.metrics import accuracy
from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.siblings import Siblings
from bench.analysis.statistics import ALPHA, mcnemar
from bench.analysis.verdict import Level, Verdict

Array = NDArray[Any]

_MANY_DRAWS = 8
"""Number of draws from which one of them decides nothing."""

_CHANCE_SLACK = 0.05
"""Accuracy above chance that is allowed where every pixel may take any value."""


def _iterative(cell: EvaluatedCell, siblings: Siblings) -> Iterator[Verdict]:
    """An attack of many steps is at least as strong as a single step on the attacked model."""
    properties = cell.record.properties
    if properties.access == "decision" or not _is_iterative(cell):
        return

    for other in siblings.like(cell, "threat", "eps"):
        if _norm(cell) == _norm(other) and is_single_step(other):
            name = str(other.record.labels["attack"])
            yield from _weaker(cell, other, name, _attacked_model_right)


def _monotone(cell: EvaluatedCell, siblings: Siblings) -> Iterator[Verdict]:
    """A larger epsilon does not help the defender."""
    smaller = [other for other in siblings.like(cell, "attack", "threat") if other.eps < cell.eps]

    if smaller:
        strongest = min(smaller, key=lambda other: float(other.right.mean()))
        yield from _weaker(cell, strongest, f"at eps {strongest.eps:g}", _pipeline_right)


def _full_range(cell: EvaluatedCell, siblings: Siblings) -> Iterator[Verdict]:
    """An attack that may set every pixel to any value reaches chance on the attacked model."""
    for other in siblings.like(cell, "attack", "threat"):
        right = other.attacked_model_right
        unbounded = _norm(other) == "linf" and other.eps >= 1 and other.record.properties.gradient
        if not unbounded or right is None:
            continue

        chance = 1 / (int(cell.labels.max()) + 1)
        reached = accuracy(np.where(right, other.labels, -1), other.labels)

        if reached.low > chance + _CHANCE_SLACK:
            level: Level = "invalid" if other is cell else "suspect"
            reason = f"at eps {other.eps:g} accuracy is still {reached.value:.3f}"
            yield Verdict(level, (f"{reason} (chance {chance:.2f})",))


def _stronger_threat(cell: EvaluatedCell, siblings: Siblings) -> Iterator[Verdict]:
    """An attacker who knows more is at least as strong.

    Compares cells of the same attack, and gradient attacks of many steps with decision-based
    attacks in the same norm.
    """
    properties = cell.record.properties

    # A cascade is held against all of them, see `_cascade`.
    for other in siblings.like(cell, "eps") if not cell.record.cascade else ():
        knows_less = other.record.properties.threat in properties.stronger_than
        knows_draw = other.record.properties.fixed_draw and not properties.fixed_draw
        if not knows_less or knows_draw:
            continue

        same_attack = _same(cell, other, "attack")
        by_decisions = other.record.properties.access == "decision" and _norm(cell) == _norm(other)

        if same_attack or (by_decisions and _is_iterative(cell)):
            attack = "" if same_attack else f"{other.record.labels['attack']} "
            name = f"{attack}under {other.record.labels['threat']}"
            yield from _weaker(cell, other, name, _pipeline_right)


def _cascade(cell: EvaluatedCell, siblings: Siblings) -> Iterator[Verdict]:
    """A cascade is at least as strong as any other attack in its norm within its budget."""
    if not cell.record.cascade:
        return

    for other in siblings:
        is_within = _norm(cell) == _norm(other) and other.eps <= cell.eps
        if is_within and not other.record.cascade and not other.record.properties.fixed_draw:
            labels = other.record.labels
            name = f"{labels['attack']} under {labels['threat']} at eps {other.eps:g}"
            yield from _weaker(cell, other, name, _pipeline_right, _confirmation_slack(cell))


def _same_networks(cell: EvaluatedCell, siblings: Siblings) -> Iterator[Verdict]:
    """All cells of a pipeline were computed with the same trained networks."""
    for role, digest in cell.record.networks.items():
        if role == "substitute":
            continue
        if siblings.digests(role) - {digest}:
            reason = f"other cells of this pipeline were computed with another {role} of that name"
            yield Verdict("invalid", (f"{reason}: run it again into another folder (--out)",))


def _weaker(
    cell: EvaluatedCell,
    other: EvaluatedCell,
    name: str,
    right: Callable[[EvaluatedCell], Array | None],
    slack: float = 0.0,
) -> Iterator[Verdict]:
    """The finding that `cell` was attacked less successfully than `other`, image by image.

    Args:
        cell: cell whose attack should be at least as strong.
        other: cell of the other attack.
        name: name of the other attack in the reason.
        right: function of a cell that says which images are right, (draws, n); None for unknown.
        slack: share of the draws in which an image of `cell` may be right and still count as wrong.
    """
    right_here = right(cell)
    right_there = right(other)
    if right_here is None or right_there is None or right_here.mean() <= right_there.mean():
        return

    share_here = right_here.mean(axis=0)
    share_here = np.where(share_here <= slack, 0.0, share_here)
    paired = mcnemar(share_here, right_there.mean(axis=0))
    beyond_chance = paired.p < ALPHA and paired.first_only > paired.second_only
    reason = f"weaker than {name}: {right_here.mean():.3f} against {right_there.mean():.3f}"

    if beyond_chance:
        yield Verdict("suspect", (reason,))
    else:
        yield Verdict("ok", (f"{reason}, within chance",))


def _confirmation_slack(cell: EvaluatedCell) -> float:
    """One of many draws of a randomized pipeline, for a cascade.

    It lets an image go that is wrong in all draws that judge it. In fresh ones such an image may
    still be right now and then, and no member attacks it any more.
    """
    draws = len(cell.right)
    return 1 / draws if draws >= _MANY_DRAWS else 0.0


def _pipeline_right(cell: EvaluatedCell) -> Array | None:
    return cell.right


def _attacked_model_right(cell: EvaluatedCell) -> Array | None:
    return cell.attacked_model_right


def _same(cell: EvaluatedCell, other: EvaluatedCell, *axes: str) -> bool:
    return all(cell.record.labels[axis] == other.record.labels[axis] for axis in axes)


def _norm(cell: EvaluatedCell) -> str | None:
    return cell.record.properties.norm


def _is_iterative(cell: EvaluatedCell) -> bool:
    properties = cell.record.properties
    return properties.steps is not None or properties.minimum_norm


def is_single_step(cell: EvaluatedCell) -> bool:
    """Whether the attack takes one step along the gradient.

    Records of version 0.1.0 do not say; an attack without steps counts as one there.
    """
    properties = cell.record.properties
    if properties.single_step is not None:
        return properties.single_step
    return properties.access == "gradient" and not _is_iterative(cell)


PIPELINE_CHECKS: tuple[Callable[[EvaluatedCell, Siblings], Iterator[Verdict]], ...] = (
    _iterative,
    _monotone,
    _full_range,
    _stronger_threat,
    _cascade,
    _same_networks,
)
"""All checks on the cells of a pipeline, in the order of their reasons."""
