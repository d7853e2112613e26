"""The failures of a run: cells and timings without a number, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.records.cell import LABELS
from bench.report.columns import title_of
from bench.report.latency.frame import LATENCY_LABELS
from bench.report.report import Report


@dataclass(frozen=True)
class Failure:
    """What failed.

    Attributes:
        what: labels of the cell or of the timed call.
        reason: why, in one line.
    """

    what: str
    reason: str


def failures(report: Report) -> Iterator[Failure]:
    """The cells and the timings of a run that failed."""
    frames = ((report.results, LABELS), (report.latency, LATENCY_LABELS))
    for frame, labels in frames:
        for row in frame[frame["status"] == "failed"].to_dict("records"):
            yield Failure(title_of({name: row[name] for name in labels}), str(row["reason"]))
