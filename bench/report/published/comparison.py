"""A run beside a publication: the frames that tables and figures show."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.report.published.accuracies import accuracies_frame
from bench.report.published.curves import curves_frame
from bench.report.published.equal_strength import equal_strength_frame
from bench.report.published.latencies import latencies_frame
from bench.report.published.publication import Publication
from bench.report.report import Report
from bench.text import one_line


@dataclass(frozen=True, eq=False)
class PublishedComparison:
    """A run beside a publication.

    Attributes:
        name: name of the publication's file.
        publication: published figures and their sources.
        report: frames of the run.
        accuracies: one row per published accuracy, possible scale of its epsilon and matching cell.
        curves: one row per undefended curve and scale of the printed epsilon.
        equal_strength: one row per published defense and matching one of the run, under an attack
            of equal strength.
        latency: one row per published latency and matching timing.
    """

    name: str
    publication: Publication
    report: Report
    accuracies: pd.DataFrame
    curves: pd.DataFrame
    equal_strength: pd.DataFrame
    latency: pd.DataFrame

    @classmethod
    def of(cls, report: Report, name: str, publication: Publication) -> PublishedComparison:
        """Derive all frames of the comparison."""
        figures = publication.figures

        return cls(
            name=name,
            publication=publication,
            report=report,
            accuracies=accuracies_frame(report.results, figures),
            curves=curves_frame(report.results, figures),
            equal_strength=equal_strength_frame(report.results, figures),
            latency=latencies_frame(report.latency, figures),
        )

    @property
    def other_data(self) -> str:
        """That the run is on no published data set, in one line; empty where it is on one."""
        published = {figure.dataset for figure in self.publication.figures}
        ours = {*self.report.results["dataset"], *self.report.latency["dataset"]}
        if published & ours:
            return ""

        theirs = ", ".join(sorted(published))
        return one_line(
            f"nothing to compare with '{self.name}': its published figures are on {theirs}, "
            f"and this run is on {', '.join(sorted(ours)) or 'no data'}"
        )

    def frames(self) -> dict[str, pd.DataFrame]:
        """The frames by the name of their files."""
        names = ("accuracies", "curves", "equal_strength", "latency")

        return {name: getattr(self, name) for name in names}
