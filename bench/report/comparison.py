"""Two runs held against each other, cell by cell on the same test images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.checks import verdicts
from bench.analysis.outcomes import EvaluatedCell, evaluated_cells
from bench.analysis.statistics import ALPHA, holm, mcnemar
from bench.errors import RequestError
from bench.records.cell import CellRecord
from bench.records.folder import RunFolder
from bench.report.accuracy import CELL_LABELS, title_of

Key = tuple[Any, ...]

COLUMNS = (
    *CELL_LABELS,
    *(
        "clean_a",
        "clean_b",
        "clean_points",
        "robust_a",
        "robust_b",
        "robust_points",
        "a_only",
        "b_only",
        "p",
        "p_holm",
    ),
    *("status_a", "status_b", "verdict_a", "verdict_b", "mark"),
)
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs, A and B.

    Attributes:
        frame: one row per cell of both; points are B's accuracy less A's, p is of the exact McNemar
            test on the share of draws (as many as both have) in which an image is right, Holm's
            correction is over all rows.
        only_a: labels of the cells that only A has.
        only_b: labels of those that only B has.
        changed: labels of plugins whose parameters differ, though their specs are the same.
    """

    frame: pd.DataFrame
    only_a: tuple[Mapping[str, Any], ...]
    only_b: tuple[Mapping[str, Any], ...]
    changed: tuple[str, ...]

    @classmethod
    def of(cls, run_a: RunFolder, run_b: RunFolder) -> Comparison:
        """Compare.

        Raises:
            RequestError: a raw file is damaged, the runs have different test images or epsilons, or
                no cell in common.
        """
        (records_a, cells_a), (records_b, cells_b) = _read(run_a), _read(run_b)
        _check_images(records_a.values(), records_b.values())
        _check_epsilons(records_a.values(), records_b.values())
        common = [key for key in records_a if key in records_b]
        if not common:
            raise RequestError(f"{run_a.path} and {run_b.path} have no cells in common")
        levels = [
            {key: found.level for key, found in verdicts(list(cells.values())).items()}
            for cells in (cells_a, cells_b)
        ]
        rows = [
            _row(records_a[key], records_b[key], cells_a.get(key), cells_b.get(key), levels)
            for key in common
        ]
        return cls(
            frame=_marked(pd.DataFrame(rows, columns=list(COLUMNS))),
            only_a=tuple(
                record.labels for key, record in records_a.items() if key not in records_b
            ),
            only_b=tuple(
                record.labels for key, record in records_b.items() if key not in records_a
            ),
            changed=_changed((records_a[key], records_b[key]) for key in common),
        )

    def regressions(self, points: float) -> list[str]:
        """A line for each cell that B lacks or could not evaluate, or that lost more than so many percentage points."""
        found = [
            f"{title_of({axis: labels[axis] for axis in CELL_LABELS})}: not in B"
            for labels in self.only_a
        ]
        for row in self.frame.to_dict("records"):
            title = title_of({name: row[name] for name in CELL_LABELS})
            if row["status_a"] == "ok" and row["status_b"] != "ok":
                found.append(f"{title}: {row['status_b']}")
            if row["verdict_b"] == "invalid" and row["verdict_a"] != "invalid":
                found.append(f"{title}: the verdict is invalid")
            for name in ("clean", "robust"):
                if row[f"{name}_points"] < -points - _ROUNDING:
                    values = f"{row[f'{name}_a']:.3f} to {row[f'{name}_b']:.3f}"
                    found.append(
                        f"{title}: {name} accuracy from {values} ({row[f'{name}_points']:+.1f} points)"
                    )
        return found


def _read(run: RunFolder) -> tuple[dict[Key, CellRecord], dict[Key, EvaluatedCell]]:
    """A run's records and ok cells by their labels."""
    return {_key(record): record for record in run.records()}, {
        _key(cell.record): cell for cell in evaluated_cells(run)
    }


def _key(result: CellRecord) -> Key:
    return tuple(result.labels[name] for name in CELL_LABELS)


def _check_images(first: Iterable[CellRecord], second: Iterable[CellRecord]) -> None:
    images_a, images_b = (
        {str(record.labels["dataset"]): (record.data, record.n) for record in records}
        for records in (first, second)
    )
    for dataset, (data, n) in images_a.items():
        other, other_n = images_b.get(dataset, (data, n))
        if (data, n) != (other, other_n):
            counts = f"{n} and {other_n}" if n != other_n else f"{n}, but not the same"
            raise RequestError(
                f"the runs have different test images of {dataset} ({counts}): no cells to pair"
            )


def _check_epsilons(first: Iterable[CellRecord], second: Iterable[CellRecord]) -> None:
    budgets_a, budgets_b = _epsilons(first), _epsilons(second)
    for attack in budgets_a.keys() & budgets_b.keys():
        if budgets_a[attack] != budgets_b[attack]:
            lists = " and ".join(
                ",".join(f"{e:g}" for e in sorted(each[attack])) for each in (budgets_a, budgets_b)
            )
            raise RequestError(f"the runs have different epsilons of attack '{attack}': {lists}")


def _epsilons(records: Iterable[CellRecord]) -> dict[str, set[float]]:
    found: dict[str, set[float]] = {}
    for record in records:
        found.setdefault(str(record.labels["attack"]), set()).add(float(record.labels["eps"]))
    return found


def _row(
    record_a: CellRecord,
    record_b: CellRecord,
    cell_a: EvaluatedCell | None,
    cell_b: EvaluatedCell | None,
    levels: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        **record_a.labels,
        "status_a": record_a.status,
        "status_b": record_b.status,
        "mark": "",
    }
    row["verdict_a"], row["verdict_b"] = (
        levels[0].get(record_a.key, ""),
        levels[1].get(record_b.key, ""),
    )
    for end, cell in (("a", cell_a), ("b", cell_b)):
        if cell is not None:
            row[f"clean_{end}"] = float((cell.outcome.clean_defended == cell.labels).mean())
            row[f"robust_{end}"] = float(cell.right.mean())
    if cell_a is not None and cell_b is not None:
        for name in ("clean", "robust"):
            row[f"{name}_points"] = 100 * (row[f"{name}_b"] - row[f"{name}_a"])
        draws = min(len(cell_a.right), len(cell_b.right))
        paired = mcnemar(cell_a.right[:draws].mean(axis=0), cell_b.right[:draws].mean(axis=0))
        row.update(a_only=paired.first_only, b_only=paired.second_only, p=paired.p)
    return row


def _marked(frame: pd.DataFrame) -> pd.DataFrame:
    """With Holm's correction, and what is to be seen at once: a difference beyond chance, a status that changed."""
    tested = frame["p"].notna()
    frame.loc[tested, "p_holm"] = holm(frame.loc[tested, "p"].tolist())
    told_apart = frame["p_holm"] < ALPHA
    better = frame["b_only"] > frame["a_only"]
    frame.loc[told_apart & better, "mark"], frame.loc[told_apart & ~better, "mark"] = (
        "better",
        "worse",
    )
    for end in ("a", "b"):
        void = frame[f"verdict_{end}"] == "invalid"
        frame.loc[void, "mark"] = (frame["mark"] + f" (invalid in {end.upper()})").str.strip()
    frame.loc[(frame["status_a"] == "failed") & (frame["status_b"] == "failed"), "mark"] = (
        "failed in both"
    )
    for end in ("a", "b"):
        other = {"a": "b", "b": "a"}[end]
        lost = (frame[f"status_{end}"] != "ok") & (frame[f"status_{other}"] == "ok")
        frame.loc[lost, "mark"] = frame[f"status_{end}"] + f" in {end.upper()}"
    return frame


def _changed(pairs: Iterable[tuple[CellRecord, CellRecord]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for first, second in pairs:
        for family in ("classifier", "defense", "attack"):
            if first.parameters.get(family) != second.parameters.get(family):
                found[f"{family} {first.labels[family]}"] = None
    return tuple(found)
