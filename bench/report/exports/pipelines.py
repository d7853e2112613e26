"""The pipelines of a run with what was measured on each, as every format needs it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.verdict import Level
from bench.records.pipeline import Pipeline
from bench.report.columns import with_interval
from bench.report.report import Report
from bench.report.worst_case.basis import NOTHING_VALID
from bench.report.writers import csv_of

_TABLES = ("results", "worst_case", "latency")
"""Frames of a report that are tables of an export."""

_PARAMETERS = ("classifier", "defense")
"""Plugins whose parameters belong to a pipeline."""

_PROVENANCE = (
    *("run", "data", "classifier_network", "defense_network"),
    *("device", "torch_version", "package_version"),
)
"""Columns of the provenance that belong to a pipeline."""

UNDEFENDED = "none"


@dataclass(frozen=True)
class Share:
    """A share of the test images and its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, row: Mapping[Any, Any], name: str) -> Share:
        """The share of that name in a row of a frame."""
        return cls(*(float(row[column]) for column in with_interval(name)))


@dataclass(frozen=True)
class AttackAccuracy:
    """The robust accuracy under one attack.

    Attributes:
        attack: spec of the attack.
        eps: budget of the attack, on the [0, 1] scale.
        norm: norm that bounds the budget.
        threat: spec of the threat model.
        robust: robust accuracy.
        verdict: level of the verdict, never `invalid`.
        reasons: reasons of the verdict.
    """

    attack: str
    eps: float
    norm: str
    threat: str
    robust: Share
    verdict: Level
    reasons: str


@dataclass(frozen=True)
class BudgetAccuracy:
    """The worst case over all attacks within a budget.

    Attributes:
        norm: norm that bounds the budget.
        eps: budget, on the [0, 1] scale.
        clean: clean accuracy.
        worst: worst-case accuracy.
        strongest: the attack of the lowest accuracy.
        basis: what the best informed attacker with a valid attack used.
        doubts: reasons to read the number with care; empty for none.
    """

    norm: str
    eps: float
    clean: Share
    worst: Share
    strongest: str
    basis: str
    doubts: str


@dataclass(frozen=True, eq=False)
class MeasuredPipeline:
    """A pipeline of a run with everything that was measured on it.

    Attributes:
        pipeline: data set, classifier, defense and seed; of a data set with parameters the name
            alone, since a path is of this machine, and may be private.
        n: number of test images.
        clean: clean accuracy.
        attacks: accuracies under each attack, without those whose verdict is invalid.
        budgets: worst cases, without those that no valid attack stands behind.
        latency: milliseconds per call at the smallest batch, by the name of the percentile.
        parameters: parameters of the classifier and the defense, such as `defense.width`.
        provenance: name of the run, digests of test images and networks, device and versions.
        tables: CSV files with all rows of this pipeline, by name.
    """

    pipeline: Pipeline
    n: int
    clean: Share
    attacks: tuple[AttackAccuracy, ...]
    budgets: tuple[BudgetAccuracy, ...]
    latency: Mapping[str, float]
    parameters: Mapping[str, Any]
    provenance: Mapping[str, str]
    tables: Mapping[str, str]

    @property
    def undefended(self) -> bool:
        """Whether there is no purifier in front of the classifier."""
        return self.pipeline.defense == UNDEFENDED

    @property
    def architecture(self) -> str:
        """The networks in one line."""
        classifier = self.pipeline.classifier
        return classifier if self.undefended else f"{self.pipeline.defense} + {classifier}"


def measured_pipelines(report: Report) -> list[MeasuredPipeline]:
    """All pipelines of a report with an accuracy whose verdict is ok or suspect.

    They come in the order of the report, each seed a pipeline of its own.
    """
    cells = pd.concat([report.results, report.provenance], axis=1)
    pipelines = [Pipeline.of(row) for row in cells.to_dict("records")]
    measured = (_measured(report, cells, pipeline) for pipeline in dict.fromkeys(pipelines))

    return [pipeline for pipeline in measured if pipeline is not None]


def _measured(report: Report, cells: pd.DataFrame, pipeline: Pipeline) -> MeasuredPipeline | None:
    """What was measured on a pipeline; None where no accuracy counts."""
    rows = _rows(cells, pipeline)
    counted = rows[rows["verdict"].isin(["ok", "suspect"])].to_dict("records")
    if not counted:
        return None

    first = counted[0]
    tables = {name: _rows(getattr(report, name), pipeline) for name in _TABLES}
    name = pipeline.dataset.partition(":")[0]

    return MeasuredPipeline(
        pipeline=Pipeline(name, pipeline.classifier, pipeline.defense, pipeline.seed),
        n=int(first["n"]),
        clean=Share.of(first, "clean_accuracy"),
        attacks=tuple(map(_attack, counted)),
        budgets=tuple(_budgets(tables["worst_case"])),
        latency={
            column: float(first[column])
            for column in ("latency_p50_ms", "latency_p95_ms")
            if pd.notna(first[column])
        },
        parameters=dict(_parameters(first)),
        provenance={name: str(first[name]) for name in _PROVENANCE if pd.notna(first[name])},
        tables={
            key: csv_of(frame.assign(dataset=name))
            for key, frame in tables.items()
            if not frame.empty
        },
    )


def _rows(frame: pd.DataFrame, pipeline: Pipeline) -> pd.DataFrame:
    """The rows of a pipeline; of a frame without seeds, those of any seed."""
    labels = pipeline.labels()
    matching = pd.Series(True, index=frame.index)
    for name in labels.keys() & set(frame.columns):
        matching &= frame[name] == labels[name]

    return frame[matching]


def _attack(row: Mapping[Any, Any]) -> AttackAccuracy:
    return AttackAccuracy(
        attack=str(row["attack"]),
        eps=float(row["eps"]),
        norm=str(row["norm"]),
        threat=str(row["threat"]),
        robust=Share.of(row, "robust_accuracy"),
        verdict=row["verdict"],
        reasons=str(row["reasons"]),
    )


def _budgets(worst: pd.DataFrame) -> Iterator[BudgetAccuracy]:
    """The worst cases of a pipeline that a valid attack stands behind."""
    for row in worst.to_dict("records"):
        if row["basis"] == NOTHING_VALID:
            continue

        yield BudgetAccuracy(
            norm=str(row["norm"]),
            eps=float(row["eps"]),
            clean=Share.of(row, "clean_accuracy"),
            worst=Share.of(row, "worst_case_accuracy"),
            strongest=str(row["strongest"]),
            basis=str(row["basis"]),
            doubts="; ".join(filter(None, (row["note"], row["not_ok"]))),
        )


def _parameters(row: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """The parameters of classifier and defense, each under the name of its plugin's family."""
    for family in _PARAMETERS:
        text = row[f"{family}_parameters"]
        if pd.notna(text):
            yield from ((f"{family}.{name}", value) for name, value in json.loads(text).items())
