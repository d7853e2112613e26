"""The report of a run: all frames, derived from raw files that are read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from bench.analysis.checks import verdicts
from bench.analysis.outcomes import EvaluatedCell, evaluated_cells
from bench.records.cell import CellRecord
from bench.records.folder import RunFolder
from bench.report.accuracy.frame import results_frame, seeds_frame
from bench.report.cascade.frame import cascade_frame
from bench.report.classes.frame import classes_frame
from bench.report.cross_attack.frame import cross_attack_frame
from bench.report.decision.frame import decision_frame
from bench.report.decision.next_command import RecordedRun
from bench.report.latency.engines import engines_frame
from bench.report.latency.frame import latency_frame
from bench.report.looks import DefenseLooks
from bench.report.naming import NAMED_LABELS, RunNames
from bench.report.provenance import provenance_frame
from bench.report.scaling.frame import scaling_frame
from bench.report.worst_case.budgets import defenses_under_budgets
from bench.report.worst_case.frame import worst_case_frame
from bench.report.worst_case.pairs import all_pairs, pairs_frame, rankings


@dataclass(frozen=True, eq=False)
class Report:
    """The frames of a run.

    Attributes:
        cells: ok cells with their raw outcomes.
        results: one row per cell.
        provenance: one row per cell, in the order of `results`: what it was computed from.
        latency: one row per timed call, rounds pooled.
        engines: one row per timed call, beside eager float32; empty where only that was timed.
        decisions: one row per defense and budget, gains beside costs, and the answer.
        worst_case: one row per defense and budget, all attacks together.
        pairs: one row per pair of defenses and budget.
        cascade: one row per member of each adaptive cell; may be empty.
        classes: one row per defense, budget and class.
        seeds: one row per cell without its seed; empty for a single seed.
        cross_attack: defenses trained for one attack and tested on another; may be empty.
        scaling: trained defenses at several values of other parameters; may be empty.
        invalid: number of cells whose verdict is invalid.
        machines: device and PyTorch of each environment in which cells were computed.
        names: what people read in place of specs.
    """

    cells: tuple[EvaluatedCell, ...]
    results: pd.DataFrame
    provenance: pd.DataFrame
    latency: pd.DataFrame
    engines: pd.DataFrame
    decisions: pd.DataFrame
    worst_case: pd.DataFrame
    pairs: pd.DataFrame
    cascade: pd.DataFrame
    classes: pd.DataFrame
    seeds: pd.DataFrame
    cross_attack: pd.DataFrame
    scaling: pd.DataFrame
    invalid: int
    machines: tuple[str, ...]
    names: RunNames = field(default_factory=RunNames)

    @property
    def looks(self) -> DefenseLooks:
        """Color, marker and line of each defense, the same in every figure."""
        return DefenseLooks(tuple(self.names.defense.names))

    @classmethod
    def of(cls, run: RunFolder, aliases: Mapping[str, str] | None = None) -> Report:
        """Derive all frames of a run.

        Args:
            run: the run.
            aliases: names that a user chose for specs, by spec.

        Raises:
            RequestError: a raw file is damaged.
        """
        records = list(run.records())
        cells = evaluated_cells(run)
        machines = run.machines()
        judged = verdicts(cells)

        order = [str(name) for name in run.config().get("defenses", [])]
        latency = latency_frame(run.timings(), order)
        results = results_frame(records, cells, judged, latency)
        defenses = defenses_under_budgets(records, cells)
        pairs = all_pairs(defenses)
        worst_case = worst_case_frame(defenses, judged, rankings(defenses, pairs))
        recorded = RecordedRun.of(run, records)

        return cls(
            cells=tuple(cells),
            results=results,
            provenance=provenance_frame(run, records),
            latency=latency,
            engines=engines_frame(latency),
            decisions=decision_frame(defenses, worst_case, pairs, judged, latency, recorded),
            worst_case=worst_case,
            pairs=pairs_frame(pairs, judged),
            cascade=cascade_frame(cells),
            classes=classes_frame(defenses),
            seeds=seeds_frame(results),
            cross_attack=cross_attack_frame(cells, judged),
            scaling=scaling_frame(cells, judged, latency),
            invalid=sum(verdict.level == "invalid" for verdict in judged.values()),
            machines=tuple(
                dict.fromkeys(machines.get(cell.record.environment, "unknown") for cell in cells)
            ),
            names=RunNames.of(_specs(records, order, latency), aliases),
        )


def _specs(
    records: Iterable[CellRecord], defenses: Iterable[str], latency: pd.DataFrame
) -> dict[str, list[str]]:
    """The specs of a run by label; the defenses of its configuration first, in their order."""
    specs: dict[str, list[str]] = {label: [] for label in NAMED_LABELS}
    specs["defense"].extend(defenses)
    for record in records:
        for label, texts in specs.items():
            texts.append(str(record.labels[label]))
    for label in ("dataset", "classifier", "defense"):
        specs[label].extend(map(str, latency[label]))

    return specs
