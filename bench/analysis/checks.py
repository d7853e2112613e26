"""Verdicts: whether each number of a run may be printed as robustness.

The checks follow Carlini et al. 2019 (arXiv:1902.06705), Athalye et al. 2018 (arXiv:1802.00420) and
the flags of AutoAttack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.analysis.cell_checks import CELL_CHECKS
from bench.analysis.outcomes import EvaluatedCell, by_pipeline
from bench.analysis.pipeline_checks import PIPELINE_CHECKS
from bench.analysis.probe_checks import PROBE_CHECKS
from bench.analysis.siblings import Siblings
from bench.analysis.verdict import Verdict, worst_of


def verdicts(cells: Sequence[EvaluatedCell]) -> dict[str, Verdict]:
    """The verdict of every cell by its key: the worst level of all checks, with every reason."""
    return {
        cell.record.key: worst_of(_findings(cell, siblings))
        for siblings in map(Siblings, by_pipeline(cells).values())
        for cell in siblings
    }


def _findings(cell: EvaluatedCell, siblings: Siblings) -> Iterator[Verdict]:
    for check in (*CELL_CHECKS, *PROBE_CHECKS):
        yield from check(cell)
    for compare in PIPELINE_CHECKS:
        yield from compare(cell, siblings)
