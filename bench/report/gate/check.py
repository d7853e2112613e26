"""A check of the gate, and the limits that it judges by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["cell", "clean accuracy", "worst case", "timing"]
KINDS: tuple[Kind, ...] = ("worst case", "clean accuracy", "cell", "timing")
"""All kinds of checks, in the order in which they are shown."""

SLOWER = 100.0
"""Default of the slowdown that is allowed, in percent.

It is for shared machines: between two rounds on one, this ratio changed by up to 98 %
(`results/reference/latency-cpu`).
"""


@dataclass(frozen=True)
class Limits:
    """What a run may lose.

    Attributes:
        points: percentage points of accuracy; None for any loss that the paired test does not find
            significant.
        percent: percentage by which a call may be slower relative to no defense; None to judge no
            timing.
        latency_required: whether a baseline without timings fails.
    """

    points: float | None = None
    percent: float | None = SLOWER
    latency_required: bool = False


@dataclass(frozen=True)
class Check:
    """What one cell, defense or timing came to.

    Attributes:
        kind: kind of the thing that is checked.
        title: its name in one line.
        finding: what was found, in one line; empty where there is nothing to tell.
        failures: why the check fails, a line each; empty where it passes.
        doubts: what speaks against trusting the finding, a line each.
        labels: labels of the cell, defense or timing.
        numbers: numbers of both runs by name; None for one that is missing.
    """

    kind: Kind
    title: str
    finding: str = ""
    failures: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    labels: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def lines(self) -> tuple[str, ...]:
        """The failures, with the name of what failed."""
        return tuple(f"{self.title}: {failure}" for failure in self.failures)
