"""Whether a number may be printed as robustness: measured checks on a cell's raw outcome, and their verdict.

Each check is a small function in one table; it returns nothing, or why the number is `suspect` or `invalid`. Rules from
Carlini et al. 2019 (arXiv:1902.06705) and AutoAttack's flags.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Level = Literal["ok", "suspect", "invalid"]

_MOVED = 0.99
_SUSPECT_GRADIENT = 0.05
_INVALID_GRADIENT = 0.5


@dataclass(frozen=True)
class Verdict:
    """`ok`, `suspect` (read with care) or `invalid` (not a measure of robustness), and why."""

    level: Level
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.level if not self.reasons else f"{self.level}: {'; '.join(self.reasons)}"


Check = Callable[[Mapping[str, Array], float], Verdict | None]


def verdict(outcome: Mapping[str, Array], eps: float) -> Verdict:
    """The worst verdict of all checks with every reason.

    Args:
        outcome: raw arrays of a cell.
        eps: the budget of the attack.
    """
    found = [result for check in CHECKS if (result := check(outcome, eps)) is not None]
    level: Level = "ok"
    for candidate in ("suspect", "invalid"):
        if any(result.level == candidate for result in found):
            level = candidate
    return Verdict(level, tuple(reason for result in found for reason in result.reasons))


def _moved(outcome: Mapping[str, Array], eps: float) -> Verdict | None:
    """The attack changed the images it was asked to attack."""
    attacked = outcome["attacked"]
    if eps == 0 or not attacked.any():
        return None
    share = float((outcome["linf"][attacked] > 0).mean())
    if share >= _MOVED:
        return None
    return Verdict("invalid" if share < 0.5 else "suspect", (f"the attack moved {share:.0%} of the images",))


def _gradient(outcome: Mapping[str, Array], eps: float) -> Verdict | None:  # noqa: ARG001
    """The gradient that was followed is there: not zero, NaN or infinite."""
    norms = outcome["gradient_norm"][outcome["attacked"]]
    if not len(norms):
        return None
    share = float((~np.isfinite(norms) | (norms == 0)).mean())
    if share <= _SUSPECT_GRADIENT:
        return None
    level: Level = "invalid" if share > _INVALID_GRADIENT else "suspect"
    return Verdict(level, (f"zero, NaN or infinite gradient at {share:.0%} of the images",))


CHECKS: tuple[Check, ...] = (_moved, _gradient)
