"""The verdict on a cell's number: a level, and the reasons for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "suspect", "invalid"]

LEVELS: tuple[Level, ...] = ("ok", "suspect", "invalid")
"""All levels, the best first."""


@dataclass(frozen=True)
class Verdict:
    """Whether a number may be printed as robustness, and why or why not.

    Attributes:
        level: `ok`, `suspect` (to be read with care) or `invalid` (not a measure of robustness).
        reasons: findings of the checks, a line each; under `ok` they are notes on differences that
            may be chance.
    """

    level: Level
    reasons: tuple[str, ...] = ()


def worst_of(findings: Iterable[Verdict]) -> Verdict:
    """The verdict of several findings: the worst level, and each reason once; `ok` for none."""
    listed = list(findings)
    level: Level = max((finding.level for finding in listed), key=LEVELS.index, default="ok")
    reasons = dict.fromkeys(reason for finding in listed for reason in finding.reasons)

    return Verdict(level, tuple(reasons))
