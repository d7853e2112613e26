"""The source of a page: what its sections are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from bench.records.folder import RunFolder
from bench.report.naming import ShortNames
from bench.report.report import Report

_FAMILIES = ("defense", "classifier", "attack", "threat", "dataset")
"""Labels of a cell whose specs have short names."""

_COLUMNS = {**dict(zip(_FAMILIES, _FAMILIES, strict=True)), "A": "defense", "B": "defense"}
"""Label by column of a table."""


@dataclass(frozen=True, eq=False)
class PageSource:
    """A run as its page shows it.

    Attributes:
        title: name of the run's folder.
        report: frames of the run.
        configuration: resolved configuration of the run.
        environments: versions and devices by id.
        names: short names by label, such as `defense`.
    """

    title: str
    report: Report
    configuration: Mapping[str, Any]
    environments: Mapping[str, Mapping[str, Any]]
    names: Mapping[str, ShortNames]

    @classmethod
    def of(cls, run: RunFolder, report: Report) -> Self:
        """The source of a run's page.

        Raises:
            RequestError: the configuration is damaged.
        """
        configuration = run.config()

        return cls(
            title=run.path.resolve().name,
            report=report,
            configuration=configuration,
            environments=run.environments(),
            names={
                family: ShortNames.of([*_specs(configuration, family), *_found(report, family)])
                for family in _FAMILIES
            },
        )

    @property
    def defenses(self) -> list[str]:
        """The specs of the defenses, in the order of the configuration; others follow."""
        return list(self.names["defense"].names)

    @property
    def summary(self) -> str:
        """What was compared and where, in one line."""
        counts = (
            f"{len(self.configuration.get(name, []))} {name}"
            for name in ("datasets", "classifiers", "defenses", "attacks", "threats")
            if self.configuration.get(name)
        )
        images = f"{self.configuration['n']:,} test images" if "n" in self.configuration else ""

        return " · ".join(filter(None, (images, *counts, *self.report.machines)))

    def short(self, column: str, text: str) -> str:
        """What the page calls a value of a column: its short name, where it is a spec."""
        return self.names[_COLUMNS[column]][text] if column in _COLUMNS else text


def _specs(configuration: Mapping[str, Any], family: str) -> list[str]:
    return [str(spec) for spec in configuration.get(f"{family}s", [])]


def _found(report: Report, family: str) -> list[str]:
    """The specs in the frames of a report."""
    frames = (report.results, report.latency)

    return [str(spec) for frame in frames if family in frame for spec in frame[family]]
