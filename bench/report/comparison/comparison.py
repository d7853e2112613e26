"""The comparison of two runs: cells, defenses and timings side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.errors import RequestError
from bench.records.folder import RunFolder
from bench.report.comparison.cells import cells_frame
from bench.report.comparison.compared_run import ComparedRun, changed_plugins, check_comparable
from bench.report.comparison.pairings import clean_frame, worst_cases_frame
from bench.report.comparison.timings import timings_frame


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs, A and B.

    Attributes:
        frame: one row per cell of both runs.
        clean: one row per pipeline of both runs, without an attack.
        worst_cases: one row per defense and budget, over the cells that are ok in both runs.
        timings: one row per timed call of A, beside that of B; calls that only B has are left out.
        only_a: labels of the cells that only A has.
        only_b: labels of the cells that only B has.
        changed: names of plugins whose parameters differ although their specs are equal.
    """

    frame: pd.DataFrame
    clean: pd.DataFrame
    worst_cases: pd.DataFrame
    timings: pd.DataFrame
    only_a: tuple[Mapping[str, Any], ...]
    only_b: tuple[Mapping[str, Any], ...]
    changed: tuple[str, ...]

    @classmethod
    def of(cls, run_a: RunFolder, run_b: RunFolder) -> Comparison:
        """Compare two runs.

        Raises:
            RequestError: a raw file is damaged, the runs have different test images or epsilons, or
                they have neither a cell nor a timing in common.
        """
        a = ComparedRun.read(run_a)
        b = ComparedRun.read(run_b)
        check_comparable(a, b)

        common = [key for key in a.records if key in b.records]
        timings = timings_frame(a, b)
        if not common and not (timings["status_b"] != "").any():
            raise RequestError(
                f"{run_a.path} and {run_b.path} have no cells in common, nor timings"
            )

        return cls(
            frame=cells_frame(a, b, common),
            clean=clean_frame(a, b, common),
            worst_cases=worst_cases_frame(a, b, common),
            timings=timings,
            only_a=a.only_here(b),
            only_b=b.only_here(a),
            changed=changed_plugins((a.records[key], b.records[key]) for key in common),
        )
