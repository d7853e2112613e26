"""The comparison of two runs, cell by cell on the same test images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.checks import verdicts
from bench.analysis.metrics import clean_accuracy, robust_accuracy
from bench.analysis.outcomes import EvaluatedCell, evaluated_cells
from bench.analysis.statistics import ALPHA, holm, mcnemar
from bench.errors import RequestError
from bench.records.cell import LABELS, CellRecord
from bench.records.folder import RunFolder
from bench.report.columns import title_of
from bench.spec import Spec, split_list

Key = tuple[Any, ...]

ACCURACIES = {"clean_accuracy": clean_accuracy, "robust_accuracy": robust_accuracy}
"""The accuracies that are compared, by the start of their columns."""

COLUMNS = (
    *LABELS,
    *(f"{name}_{end}" for name in ACCURACIES for end in ("a", "b", "points")),
    *("a_only", "b_only", "p", "p_holm"),
    *("status_a", "status_b", "verdict_a", "verdict_b", "mark"),
)
_ROUNDING = 1e-9


@dataclass(frozen=True)
class _Run:
    """A run that is read: records, ok cells and levels of verdicts, by the labels of a cell."""

    records: Mapping[Key, CellRecord]
    cells: Mapping[Key, EvaluatedCell]
    levels: Mapping[Key, str]

    @classmethod
    def read(cls, folder: RunFolder) -> _Run:
        cells = {_key(cell.record): cell for cell in evaluated_cells(folder)}
        judged = verdicts(list(cells.values()))

        return cls(
            records={_key(record): record for record in folder.records()},
            cells=cells,
            levels={key: judged[cell.record.key].level for key, cell in cells.items()},
        )

    def only_here(self, other: _Run) -> tuple[Mapping[str, Any], ...]:
        """The labels of the cells that the other run lacks."""
        return tuple(
            record.labels for key, record in self.records.items() if key not in other.records
        )


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs, A and B.

    Attributes:
        frame: one row per cell of both runs. `points` are percentage points, B less A; `p` is that
            of the paired test on the share of draws in which an image is right; `p_holm` is
            corrected over all rows.
        only_a: labels of the cells that only A has.
        only_b: labels of the cells that only B has.
        changed: names of plugins whose parameters differ although their specs are equal.
    """

    frame: pd.DataFrame
    only_a: tuple[Mapping[str, Any], ...]
    only_b: tuple[Mapping[str, Any], ...]
    changed: tuple[str, ...]

    @classmethod
    def of(cls, run_a: RunFolder, run_b: RunFolder) -> Comparison:
        """Compare two runs.

        Raises:
            RequestError: a raw file is damaged, the runs have different test images or epsilons, or
                they have no cell in common.
        """
        a = _Run.read(run_a)
        b = _Run.read(run_b)
        _check_images(a.records.values(), b.records.values())
        _check_epsilons(a.records.values(), b.records.values())
        common = [key for key in a.records if key in b.records]
        if not common:
            raise RequestError(f"{run_a.path} and {run_b.path} have no cells in common")

        frame = pd.DataFrame([_row(key, a, b) for key in common], columns=list(COLUMNS))
        return cls(
            frame=_marked(frame),
            only_a=a.only_here(b),
            only_b=b.only_here(a),
            changed=_changed((a.records[key], b.records[key]) for key in common),
        )

    def regressions(self, points: float) -> list[str]:
        """A line for each cell that B lacks, failed or lost accuracy in, or that became invalid.

        Args:
            points: number of percentage points that B may lose.
        """
        missing = [
            f"{title_of({axis: labels[axis] for axis in LABELS})}: not in B"
            for labels in self.only_a
        ]
        rows = self.frame.to_dict("records")

        return [*missing, *(line for row in rows for line in _regressions(row, points))]


def _regressions(row: Mapping[Any, Any], points: float) -> Iterator[str]:
    title = title_of({axis: row[axis] for axis in LABELS})
    if row["status_a"] == "ok" and row["status_b"] != "ok":
        yield f"{title}: {row['status_b']}"
    if row["verdict_b"] == "invalid" and row["verdict_a"] != "invalid":
        yield f"{title}: the verdict is invalid"

    for name in ACCURACIES:
        change = row[f"{name}_points"]
        if change < -points - _ROUNDING:
            values = f"from {row[f'{name}_a']:.3f} to {row[f'{name}_b']:.3f}"
            yield f"{title}: {name.replace('_', ' ')} {values} ({change:+.1f} points)"


def _key(record: CellRecord) -> Key:
    return tuple(record.labels[name] for name in LABELS)


def _check_images(first: Iterable[CellRecord], second: Iterable[CellRecord]) -> None:
    images_a, images_b = (
        {str(record.labels["dataset"]): (record.data, record.n) for record in records}
        for records in (first, second)
    )

    for dataset, (data, n) in images_a.items():
        other_data, other_n = images_b.get(dataset, (data, n))
        if (data, n) == (other_data, other_n):
            continue
        counts = f"{n} and {other_n}" if n != other_n else f"{n}, but not the same"
        raise RequestError(
            f"the runs have different test images of {dataset} ({counts}): no cells to pair"
        )


def _check_epsilons(first: Iterable[CellRecord], second: Iterable[CellRecord]) -> None:
    budgets_a = _epsilons(first)
    budgets_b = _epsilons(second)

    for attack in budgets_a.keys() & budgets_b.keys():
        epsilons = (sorted(budgets_a[attack]), sorted(budgets_b[attack]))
        if epsilons[0] != epsilons[1]:
            lists = " and ".join(",".join(f"{eps:g}" for eps in budgets) for budgets in epsilons)
            raise RequestError(f"the runs have different epsilons of attack '{attack}': {lists}")


def _epsilons(records: Iterable[CellRecord]) -> dict[str, set[float]]:
    epsilons: dict[str, set[float]] = {}
    for record in records:
        epsilons.setdefault(str(record.labels["attack"]), set()).add(record.eps)

    return epsilons


def _row(key: Key, a: _Run, b: _Run) -> dict[str, Any]:
    row: dict[str, Any] = {**a.records[key].labels, "mark": ""}
    for end, run in (("a", a), ("b", b)):
        row[f"status_{end}"] = run.records[key].status
        row[f"verdict_{end}"] = run.levels.get(key, "")
        if key in run.cells:
            outcome = run.cells[key].outcome
            row.update(
                {f"{name}_{end}": accuracy(outcome).value for name, accuracy in ACCURACIES.items()}
            )

    if key in a.cells and key in b.cells:
        for name in ACCURACIES:
            row[f"{name}_points"] = 100 * (row[f"{name}_b"] - row[f"{name}_a"])
        row.update(_paired(a.cells[key], b.cells[key]))

    return row


def _paired(cell_a: EvaluatedCell, cell_b: EvaluatedCell) -> dict[str, Any]:
    test = mcnemar(cell_a.right.mean(axis=0), cell_b.right.mean(axis=0))

    return {"a_only": test.first_only, "b_only": test.second_only, "p": test.p}


def _marked(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with Holm's correction, and marks for significant differences and for failures."""
    tested = frame["p"].notna()
    frame.loc[tested, "p_holm"] = holm(frame.loc[tested, "p"].tolist())

    significant = frame["p_holm"] < ALPHA
    better = frame["robust_accuracy_points"] > 0
    frame.loc[significant & better, "mark"] = "better"
    frame.loc[significant & ~better, "mark"] = "worse"

    for end in ("a", "b"):
        invalid = frame[f"verdict_{end}"] == "invalid"
        note = (frame["mark"] + f" (invalid in {end.upper()})").str.strip()
        frame.loc[invalid, "mark"] = note

    failed = (frame["status_a"] == "failed") & (frame["status_b"] == "failed")
    frame.loc[failed, "mark"] = "failed in both"
    for end, other in (("a", "b"), ("b", "a")):
        lost = (frame[f"status_{end}"] != "ok") & (frame[f"status_{other}"] == "ok")
        frame.loc[lost, "mark"] = frame[f"status_{end}"] + f" in {end.upper()}"

    return frame


def _changed(pairs: Iterable[tuple[CellRecord, CellRecord]]) -> tuple[str, ...]:
    """The plugins, by family and spec, whose parameters differ."""
    changed = (
        f"{family} {first.labels[family]}"
        for first, second in pairs
        for family in ("classifier", "defense", "attack")
        if _canonical(first.parameters.get(family)) != _canonical(second.parameters.get(family))
    )

    return tuple(dict.fromkeys(changed))


def _canonical(value: Any) -> Any:
    """A recorded parameter, in a form that two versions of a plugin share.

    Options that are not taken are left out, and the parameters of a spec are in no order.
    """
    if isinstance(value, Mapping):
        taken = {
            name: inner for name, inner in value.items() if inner is not None and inner is not False
        }
        return {name: _canonical(inner) for name, inner in taken.items()}
    if not isinstance(value, str):
        return value

    try:
        specs = [Spec.parse(text) for text in split_list(value)]
    except RequestError:
        return value

    return tuple((spec.name, frozenset(spec.parameters)) for spec in specs)
