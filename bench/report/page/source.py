"""The source of a page: what its sections are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from bench.records.environments import facts_of
from bench.records.folder import RunFolder
from bench.report.comparison import Comparison
from bench.report.decision.next_command import RecordedRun
from bench.report.failures import failures
from bench.report.report import Report

_COLUMNS = {"A": "defense", "B": "defense"}
"""Labels whose specs stand in columns of other names."""

_AXES = {
    "dataset": "data sets",
    "classifier": "classifiers",
    "defense": "defenses",
    "attack": "attacks",
    "threat": "threat models",
}
"""Names of a run's axes, in the order of its summary, by label."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Another run that a page shows its run beside.

    Attributes:
        name: name of the other run's folder.
        comparison: the other run, A, and the run of the page, B.
    """

    name: str
    comparison: Comparison

    @classmethod
    def of(cls, run: RunFolder, other: RunFolder) -> Self:
        """Compare a run with another; errors as in `Comparison.of`."""
        return cls(other.path.resolve().name, Comparison.of(other, run))


@dataclass(frozen=True, eq=False)
class PageSource:
    """A run as its page shows it.

    Attributes:
        title: name of the run's folder.
        report: frames of the run.
        configuration: resolved configuration of the run.
        environments: versions and devices by id.
        command: command that makes the run; empty where none of its options would.
        reference: another run beside this one; None for none.
    """

    title: str
    report: Report
    configuration: Mapping[str, Any]
    environments: Mapping[str, Mapping[str, Any]]
    command: str
    reference: Reference | None = None

    @classmethod
    def of(cls, run: RunFolder, report: Report, reference: Reference | None = None) -> Self:
        """The source of a run's page.

        Args:
            run: the run.
            report: frames of the run.
            reference: another run beside it; None for none.

        Raises:
            RequestError: the configuration or a record is damaged.
        """
        return cls(
            title=run.path.resolve().name,
            report=report,
            configuration=run.config(),
            environments=run.environments(),
            command=RecordedRun.of(run, run.records()).again(),
            reference=reference,
        )

    @property
    def summary(self) -> str:
        """What was compared and where, in one line."""
        images = f"{self.configuration['n']:,} test images" if "n" in self.configuration else ""
        axes = (self._axis(label, title) for label, title in _AXES.items())

        machines = self.report.machines or dict.fromkeys(
            facts_of(content).machine for content in self.environments.values()
        )

        return " · ".join(filter(None, (*axes, images, *machines, self._failed())))

    def _failed(self) -> str:
        """How many cells and timed calls failed, which are in no number of the page."""
        number = sum(1 for _ in failures(self.report))

        return f"{number} cells or timed calls failed" if number else ""

    def _axis(self, label: str, title: str) -> str:
        """The name of an axis' only value, or the number of its values; empty for none."""
        specs = self.configuration.get(f"{label}s", [])
        if len(specs) == 1:
            return self.short(label, specs[0])

        return f"{len(specs)} {title}" if specs else ""

    def short(self, column: str, text: str) -> str:
        """What people read in place of a value of a column: a short name, where it is a spec."""
        return self.report.names[_COLUMNS.get(column, column)][text]

    def looks(self) -> dict[str, dict[str, str]]:
        """Name, color and marker of each defense, by spec, for the figures."""
        looks = self.report.looks

        return {
            spec: {"name": name, "color": looks.color(spec), "marker": looks[spec]["marker"]}
            for spec, name in self.report.names.defense.names.items()
        }
