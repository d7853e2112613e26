"""The timings of a merged run: one of each call, all of one machine where that is possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from bench.records.folder import RunFolder
from bench.records.timing import Timing
from bench.store.keys import content_key


@dataclass(frozen=True)
class MergedTimings:
    """The timings of some runs.

    Attributes:
        kept: one timing of each call.
        left_out: number of other timings of the same calls, which another machine or another run
            of the same machine measured.
    """

    kept: tuple[Timing, ...]
    left_out: int


def merged_timings(runs: Iterable[RunFolder]) -> MergedTimings:
    """One timing of each call: a sound one, by the machine that has timed most of the calls.

    Raises:
        RequestError: a file is damaged.
    """
    measured = {content_key(each.to_json()): each for run in runs for each in run.timings()}
    machines = Counter(each.environment for each in measured.values() if each.status == "ok")

    def preference(item: tuple[str, Timing]) -> tuple[bool, int, str, str]:
        content, timing = item
        machine = timing.environment
        return timing.status != "ok", -machines[machine], machine, content

    kept: dict[str, Timing] = {}
    for _, timing in sorted(measured.items(), key=preference):
        kept.setdefault(timing.call.key, timing)

    return MergedTimings(tuple(kept.values()), len(measured) - len(kept))
