"""The frame of paired timings: latencies of two runs, as multiples of no defense.

A time in milliseconds belongs to its machine and its day. How many times as long as the bare
classifier a call takes, both timed in one session, says much more, so this ratio is what two runs
are compared by.

Times have a long tail and drift, so that medians and quartiles stand for them, as Hoefler and Belli
(2015, doi:10.1145/2807591.2807644) recommend. The four times of a comparison vary independently:
the distances from median to quartile, on a logarithmic scale, add up as squares (Guide to the
Expression of Uncertainty in Measurement, JCGM 100:2008, 5.1). They are the spread of single calls,
all rounds pooled, and not that of a mean, since neighbouring calls are disturbed together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.comparison.compared_run import ComparedRun
from bench.report.latency.frame import LATENCY_LABELS, latency_frame
from bench.report.latency.impossible import impossible_timings

TIMES_NONE = "times none"
"""Basis of a comparison by the ratio to the bare classifier of the same session."""

MILLISECONDS = "ms"
"""Basis of a comparison by time alone, on the same machine."""

MATTERS = 0.1
"""Smallest change of a time that counts, in units of the bare classifier's time."""

COLUMNS = (
    *(*LATENCY_LABELS, "ms_a", "ms_b", "times_none_a", "times_none_b"),
    *("basis", "slowdown", "slowdown_low", "slowdown_high", "matters"),
    *("status_a", "status_b", "reason_b", "note", "mark"),
)

_UNDEFENDED = "none"

Call = tuple[Any, ...]
"""The labels of a timed call, in the order of `LATENCY_LABELS`."""


@dataclass(frozen=True)
class Spread:
    """A positive number, and the two between which half of the calls lie.

    Attributes:
        value: median, or a ratio of medians.
        low: lower quartile.
        high: upper quartile.
    """

    value: float
    low: float
    high: float

    def over(self, other: Spread) -> Spread:
        """The ratio of two numbers that vary independently."""
        value = self.value / other.value
        below = math.hypot(math.log(self.value / self.low), math.log(other.high / other.value))
        above = math.hypot(math.log(self.high / self.value), math.log(other.value / other.low))

        return Spread(value, value * math.exp(-below), value * math.exp(above))


@dataclass(frozen=True)
class _Side:
    """A timed call in one run.

    Attributes:
        status: status of the call; empty where the run does not have it.
        reason: why there is no time.
        ms: milliseconds of a call; None where there are none.
        none: milliseconds of the bare classifier in the same session and at the same batch size.
        machine: device, PyTorch and number of threads; empty where they are unknown.
        impossible: whether the purifier alone took longer than the pipeline.
    """

    status: str = ""
    reason: str = ""
    ms: Spread | None = None
    none: Spread | None = None
    machine: str = ""
    impossible: bool = False

    @property
    def times_none(self) -> Spread | None:
        """How many times as long as the bare classifier the call takes; None where unknown."""
        return None if self.ms is None or self.none is None else self.ms.over(self.none)


_ABSENT = _Side()


def timings_frame(a: ComparedRun, b: ComparedRun) -> pd.DataFrame:
    """One row per timed call of A, beside the same call of B.

    `slowdown` is how many times as long the call takes in B, by `basis`: `times none`, or `ms`
    where the bare classifier was not timed beside it but the machine is the same. It is missing
    where neither can be said, and `note` has the reason. `matters` is whether the time changed by
    more than a tenth of the bare classifier's. `mark` is `slower` or `faster` where it did, and the
    quartiles leave no doubt of that.

    Args:
        a: the reference.
        b: the other run.
    """
    others = dict(_sides(b))
    rows = [
        _row(dict(zip(LATENCY_LABELS, call, strict=True)), side, others.get(call, _ABSENT))
        for call, side in dict(_sides(a)).items()
    ]

    return pd.DataFrame(rows, columns=list(COLUMNS))


def _sides(run: ComparedRun) -> Iterator[tuple[Call, _Side]]:
    """The timed calls of a run, each beside the bare classifier of the same environment.

    A call that was timed in several environments is there several times; the last one counts.
    """
    for environment in dict.fromkeys(timing.environment for timing in run.timings):
        timings = [timing for timing in run.timings if timing.environment == environment]
        latency = latency_frame(timings, run.defenses)
        rows = {_call(row): row for row in latency.to_dict("records")}
        impossible = {_call(row) for row in impossible_timings(latency).to_dict("records")}
        machine = run.machines.get(environment, "")

        for call, row in rows.items():
            none = rows.get(_call({**row, "defense": _UNDEFENDED, "target": "pipeline"}), {})
            yield (
                call,
                _Side(
                    status=row["status"],
                    reason=row["reason"],
                    ms=_milliseconds(row),
                    none=_milliseconds(none),
                    machine=_machine(machine, row["threads"]),
                    impossible=call in impossible,
                ),
            )


def _machine(name: str, threads: Any) -> str:
    """A machine with its number of threads, where that is known; empty for an unknown machine."""
    return f"{name}, {threads:g} threads" if name and pd.notna(threads) else name


def _call(row: Mapping[Any, Any]) -> Call:
    return tuple(row[name] for name in LATENCY_LABELS)


def _milliseconds(row: Mapping[Any, Any]) -> Spread | None:
    if row.get("status") != "ok":
        return None
    return Spread(row["p50_ms"], row["p25_ms"], row["p75_ms"])


def _row(labels: Mapping[str, Any], a: _Side, b: _Side) -> dict[str, Any]:
    basis = _basis(a, b)
    slowdown = _slowdown(a, b, basis)
    row = {**labels, "basis": basis, "matters": _matters(a, b), "reason_b": b.reason}
    row["note"] = "; ".join(_notes(a, b, basis))
    row["mark"] = _mark(a, b, slowdown if row["matters"] else None)

    for end, side in (("a", a), ("b", b)):
        row[f"status_{end}"] = side.status
        row[f"ms_{end}"] = None if side.ms is None else side.ms.value
        row[f"times_none_{end}"] = None if side.times_none is None else side.times_none.value
    if slowdown is not None:
        row["slowdown"] = slowdown.value
        row["slowdown_low"] = slowdown.low
        row["slowdown_high"] = slowdown.high

    return row


def _basis(a: _Side, b: _Side) -> str:
    """What two times can be compared by; empty where they cannot."""
    if a.ms is None or b.ms is None:
        return ""
    if a.none is not None and b.none is not None:
        return TIMES_NONE
    return MILLISECONDS if a.machine and a.machine == b.machine else ""


def _slowdown(a: _Side, b: _Side, basis: str) -> Spread | None:
    first, second = (a.times_none, b.times_none) if basis == TIMES_NONE else (a.ms, b.ms)
    if not basis or first is None or second is None:
        return None

    return second.over(first)


def _notes(a: _Side, b: _Side, basis: str) -> Iterator[str]:
    """What a reader of the row must know."""
    if a.ms is not None and b.ms is not None and basis != TIMES_NONE:
        without = " and ".join(name for name, side in (("A", a), ("B", b)) if side.none is None)
        machine = "milliseconds of the same machine" if basis else "the machines differ"
        yield f"none was not timed beside it in {without}: {machine}"
    impossible = " and ".join(name for name, side in (("A", a), ("B", b)) if side.impossible)
    if impossible:
        yield f"impossible in {impossible}: slower than the pipeline that contains it"


def _matters(a: _Side, b: _Side) -> bool:
    """Whether a time changed by more than hardly counts; also where that is unknown."""
    if a.times_none is None or b.times_none is None:
        return True

    return abs(b.times_none.value - a.times_none.value) > MATTERS


def _mark(a: _Side, b: _Side, change: Spread | None) -> str:
    """What a reader should see first.

    Args:
        a: the call in the reference.
        b: the call in the other run.
        change: a slowdown that matters; None for any other.
    """
    if b.ms is None:
        return f"{b.status or 'not'} in B"
    if a.ms is None:
        return f"{a.status} in A"
    if not _basis(a, b):
        return "not comparable"
    if change is None:
        return ""

    return "slower" if change.low > 1 else "faster" if change.high < 1 else ""
