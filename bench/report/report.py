"""Everything a report shows, derived from a run's raw files, each of which is read once."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.analysis.checks import verdicts
from bench.analysis.outcomes import EvaluatedCell, evaluated_cells
from bench.records.folder import RunFolder
from bench.report.accuracy import results_frame, seeds_frame
from bench.report.cross_attack import cross_attack_frame
from bench.report.latency import engines_frame, latency_frame
from bench.report.pairs import all_pairs, pairs_frame, rankings
from bench.report.scaling import scaling_frame
from bench.report.worst_case import standings, worst_case_frame


@dataclass(frozen=True, eq=False)
class Report:
    """The frames of a run.

    Attributes:
        cells: those that are ok, with their raw outcomes.
        results: one row per cell.
        latency: one row per way of running a pipeline, rounds pooled.
        engines: the same beside eager float32; empty where nothing else was timed.
        worst_case: one row per defense and budget, all attacks together.
        pairs: one row per pair of defenses and budget.
        seeds: one row per cell without its seed; empty where there is one seed.
        cross_attack: defenses trained for one attack, tested on others; empty where there are none.
        scaling: trained defenses at several values of other parameters; empty where there are none.
        invalid: how many cells are no measure of robustness.
        machines: device and PyTorch of each environment in which cells were computed.
    """

    cells: tuple[EvaluatedCell, ...]
    results: pd.DataFrame
    latency: pd.DataFrame
    engines: pd.DataFrame
    worst_case: pd.DataFrame
    pairs: pd.DataFrame
    seeds: pd.DataFrame
    cross_attack: pd.DataFrame
    scaling: pd.DataFrame
    invalid: int
    machines: tuple[str, ...]

    @classmethod
    def of(cls, run: RunFolder) -> Report:
        """Derive all of it.

        Raises:
            RequestError: a raw file is damaged.
        """
        records, cells, machines = list(run.records()), evaluated_cells(run), run.machines()
        found = verdicts(cells)
        latency = latency_frame(
            run.timings(), [str(name) for name in run.config().get("defenses", [])]
        )
        results = results_frame(records, cells, found, latency)
        standing = standings(records, cells)
        pairs = all_pairs(standing)
        return cls(
            cells=tuple(cells),
            results=results,
            latency=latency,
            engines=engines_frame(latency),
            worst_case=worst_case_frame(standing, found, rankings(standing, pairs)),
            pairs=pairs_frame(pairs, found),
            seeds=seeds_frame(results),
            cross_attack=cross_attack_frame(cells),
            scaling=scaling_frame(cells, latency),
            invalid=sum(verdict.level == "invalid" for verdict in found.values()),
            machines=tuple(
                dict.fromkeys(machines.get(cell.record.environment, "unknown") for cell in cells)
            ),
        )
