"""The gate: all checks of a run against a baseline, and what they come to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from bench.report.comparison import Comparison
from bench.report.formats import abbreviated
from bench.report.gate.accuracy_checks import cell_checks, clean_checks, worst_case_checks
from bench.report.gate.check import KINDS, Check, Kind, Limits
from bench.report.gate.timing_checks import timing_checks
from bench.text import LONGEST_LINE, one_line

_PLURALS: dict[Kind, str] = {
    "cell": "cells",
    "clean accuracy": "clean accuracies",
    "worst case": "worst cases",
    "timing": "timings",
}

_MOST_NAMED = 1
"""Number of failures that the closing line names."""


@dataclass(frozen=True)
class Gate:
    """A run, judged against a baseline.

    Attributes:
        baseline: path of the baseline's folder.
        run: path of the run's folder.
        limits: what the run may lose.
        checks: all checks, by kind.
        changed: plugins whose parameters differ although their specs are equal.
    """

    baseline: str
    run: str
    limits: Limits
    checks: tuple[Check, ...]
    changed: tuple[str, ...]

    @classmethod
    def of(cls, comparison: Comparison, limits: Limits, baseline: str, run: str) -> Gate:
        """Judge the run B of a comparison against the baseline A."""
        checks = (
            *worst_case_checks(comparison, limits),
            *clean_checks(comparison, limits),
            *cell_checks(comparison, limits),
            *timing_checks(comparison, limits),
        )

        return cls(baseline, run, limits, checks, comparison.changed)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that fail."""
        return tuple(check for check in self.checks if check.failures)

    @property
    def passed(self) -> bool:
        """Whether something was checked, and nothing failed."""
        return bool(self.checks) and not self.failed

    @property
    def remarks(self) -> tuple[str, ...]:
        """Doubts about findings, and what else a reader must know, a line each."""
        doubts: dict[str, list[str]] = {}
        for check in self.checks:
            for doubt in check.doubts:
                doubts.setdefault(doubt, []).append(check.title)

        lines = [f"{doubt}: {abbreviated(titles)}" for doubt, titles in doubts.items()]
        if self.changed:
            lines.append(f"the same specs, with other parameters: {', '.join(self.changed)}")
        return tuple(lines)

    @property
    def closing_line(self) -> str:
        """The result in one line."""
        if self.passed:
            return f"gate passed: {_counts(self.checks)}"
        if not self.checks:
            return "gate failed: there is nothing to judge"

        lines = [line for check in self.failed for line in check.lines]
        text = f"gate failed: {_counts(self.failed)}: {abbreviated(lines, _MOST_NAMED)}"
        return one_line(text, LONGEST_LINE)


def _counts(checks: tuple[Check, ...]) -> str:
    """The number of checks of each kind, such as `12 cells, 1 timing`."""
    counts = Counter(check.kind for check in checks)

    return ", ".join(
        f"{counts[kind]} {kind if counts[kind] == 1 else _PLURALS[kind]}"
        for kind in KINDS
        if counts[kind]
    )
