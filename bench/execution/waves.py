"""The waves of a run: kinds of tasks in the order in which others need them, and their progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.sweep.costs import TimeLeft

WAVES = ("network", "adversarial", "predictions", "probes")
"""Kinds of tasks in the order of the waves: what others need is made first."""

_TRAINING, *_OF_CELLS = WAVES
"""The kind of tasks that train, and those whose time is the cost of a cell."""


@dataclass
class Progress:
    """The tasks of a run so far.

    Attributes:
        known: number of tasks that steps have asked for, by kind.
        done: number of those that have ended, by kind.
        seconds: time that workers took for those, by kind.
        running: number of tasks that workers do now.
        failed: number of tasks that failed.
    """

    known: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(WAVES, 0.0))
    running: int = 0
    failed: int = 0

    def seconds_left(self, planned: TimeLeft, workers: int) -> float | None:
        """The time that the tasks which are left will take; None while nothing tells it.

        Told by the costs of cells in earlier runs and by what the tasks of this run took so far,
        whichever is more. Tasks that no step has asked for yet, in cells of unknown cost, are left
        out.

        Args:
            planned: time that one worker would take for all cells of the run.
            workers: number of tasks that are done at once, at least 1.
        """
        spent = sum(self.seconds[kind] for kind in _OF_CELLS)
        of_cells = max(planned.seconds - spent, self._measured(_OF_CELLS))
        work = self._measured([_TRAINING]) + of_cells

        return work / workers if work > 0 else None

    def _measured(self, kinds: Iterable[str]) -> float:
        """The work on the known tasks of some kinds, as long as others of their kind took."""
        return sum(
            (self.known[kind] - self.done[kind]) * self.seconds[kind] / self.done[kind]
            for kind in kinds
            if self.done[kind]
        )
