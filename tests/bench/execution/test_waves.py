"""The time that the tasks of a run will still take."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.commands.dispatch import progress_text
from bench.execution.waves import Progress
from bench.sweep.costs import TimeLeft

UNKNOWN = TimeLeft(0.0, unknown=4, cells=4)


def progress(**counts: tuple[int, int, float]) -> Progress:
    """A run by kind of task: number of known tasks, of those that are done, seconds for these."""
    found = Progress(
        known=Counter({kind: known for kind, (known, _, _) in counts.items()}),
        done=Counter({kind: done for kind, (_, done, _) in counts.items()}),
    )
    found.seconds.update({kind: seconds for kind, (_, _, seconds) in counts.items()})
    return found


def test_nothing_tells_the_time_at_first() -> None:
    assert progress().seconds_left(UNKNOWN, 2) is None
    assert progress(network=(3, 0, 0.0)).seconds_left(UNKNOWN, 2) is None


@pytest.mark.parametrize(
    ("counts", "planned", "seconds"),
    [
        ({}, TimeLeft(60.0, 0, 4), 60.0),
        ({"network": (3, 1, 8.0)}, TimeLeft(60.0, 0, 4), 16.0 + 60.0),
        ({"network": (1, 1, 8.0), "predictions": (9, 2, 4.0)}, TimeLeft(60.0, 0, 4), 56.0),
        ({"adversarial": (4, 4, 50.0), "probes": (10, 1, 3.0)}, TimeLeft(60.0, 0, 4), 27.0),
        ({"adversarial": (4, 2, 10.0), "probes": (2, 1, 3.0)}, UNKNOWN, 13.0),
    ],
    ids=["costs", "training first", "spent", "costs were too low", "no costs"],
)
@pytest.mark.parametrize("workers", [1, 3])
def test_costs_and_measured_tasks_tell_the_time(
    counts: dict[str, tuple[int, int, float]], planned: TimeLeft, seconds: float, workers: int
) -> None:
    left = progress(**counts).seconds_left(planned, workers)
    assert left == pytest.approx(seconds / workers)


def test_the_text_counts_tasks_and_cells_of_unknown_cost() -> None:
    found = progress(network=(3, 3, 8.0), adversarial=(4, 1, 2.0))
    found.running, found.failed = 2, 1
    assert progress_text(found, TimeLeft(60.0, 0, 4)) == (
        "networks 3/3, sets 1/4; 2 running, 1 failed"
    )
    assert progress_text(found, UNKNOWN).endswith("1 failed, 4 cells of unknown cost")
