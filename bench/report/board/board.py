"""The board: tables of comparable numbers from several runs, published ones beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.report.board.entered import Conditions, EnteredRun
from bench.report.board.printed import published_rows
from bench.report.columns import with_interval
from bench.report.naming import ShortNames
from bench.report.published.publication import Publication

_WORST_CASE = with_interval("worst_case_accuracy")

COLUMNS = (
    *("table", "dataset", "classifier", "norm", "eps", "n", "images", "networks"),
    *("place", "source", "published", "defense", *_WORST_CASE, "clean_accuracy"),
    *("basis", "adaptive", "mark", "note", "times_none", "added_ms", "seeds", "device"),
)

_DIGITS = 12
"""Number of digits by which a digest is shown."""


@dataclass(frozen=True, eq=False)
class BoardTable:
    """Numbers that share their conditions.

    Attributes:
        conditions: data, classifier and budget of all rows.
        frame: one row per run and defense, the best first, then one per published figure. `place`
            is 1 + the number of rows whose interval lies above; NaN for a worst case in doubt, or
            one that rests on attacks that did not see the defense, and for published figures.
        apart: why the rows are not in an earlier table of the same budget; empty for the first.
    """

    conditions: Conditions
    frame: pd.DataFrame
    apart: str

    @property
    def changed(self) -> list[str]:
        """The specs of defenses that have other parameters in another run."""
        ours = self.frame[~self.frame["published"].astype(bool)]

        return [
            str(spec)
            for spec, rows in ours.groupby("defense", sort=False)
            if any(parameters != rows["parameters"].iloc[0] for parameters in rows["parameters"])
        ]


@dataclass(frozen=True, eq=False)
class Board:
    """Several runs side by side.

    Attributes:
        runs: names of the runs.
        tables: tables, those of one budget after each other, with most runs first.
        defenses: short names of the defenses of all runs.
    """

    runs: tuple[str, ...]
    tables: tuple[BoardTable, ...]
    defenses: ShortNames

    @classmethod
    def of(cls, runs: Sequence[EnteredRun], publications: Sequence[Publication]) -> Board:
        """Group the numbers of runs by what they must share to be compared."""
        groups: dict[Conditions, list[dict[str, Any]]] = {}
        for run in runs:
            for conditions, row in run.rows():
                groups.setdefault(conditions, []).append(row)

        return cls(
            runs=tuple(run.name for run in runs),
            tables=tuple(_tables(groups, publications)),
            defenses=ShortNames.of(row["defense"] for rows in groups.values() for row in rows),
        )

    @property
    def frame(self) -> pd.DataFrame:
        """All rows, with their conditions and the number of their table."""
        frames = [
            table.frame.assign(table=number, **_labels(table.conditions))
            for number, table in enumerate(self.tables, start=1)
        ]
        if not frames:
            return pd.DataFrame(columns=list(COLUMNS))

        return pd.concat(frames, ignore_index=True)[list(COLUMNS)]


def _tables(
    groups: dict[Conditions, list[dict[str, Any]]], publications: Sequence[Publication]
) -> Iterator[BoardTable]:
    budgets: dict[Any, list[Conditions]] = {}
    for conditions in groups:
        budgets.setdefault(conditions.budget, []).append(conditions)

    for several in budgets.values():
        several.sort(key=lambda conditions: -len({row["source"] for row in groups[conditions]}))
        for conditions in several:
            printed = published_rows(conditions, publications)
            frame = pd.DataFrame([*_placed(groups[conditions]), *printed])
            yield BoardTable(conditions, frame, _difference(several[0], conditions))


def _placed(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their places, the best first; those without one are last."""
    worst, low, high = _WORST_CASE
    rows = list(rows)
    sound = [row for row in rows if row["adaptive"] and not row["mark"]]
    for row in rows:
        above = sum(other[low] > row[high] for other in sound)
        row["place"] = 1 + above if row in sound else np.nan

    return sorted(rows, key=lambda row: (np.isnan(row["place"]), -row[worst]))


def _difference(first: Conditions, other: Conditions) -> str:
    """What numbers under other conditions do not share with the first table of their budget."""
    if other == first:
        return ""
    if other.n != first.n:
        return f"other test images: {other.n:,} against {first.n:,}"
    if other.data != first.data:
        return f"other test images, also {other.n:,}"

    seeds, first_seeds = (
        ",".join(str(seed) for seed, _ in conditions.networks) for conditions in (other, first)
    )
    if seeds != first_seeds:
        return f"other seeds: {seeds} against {first_seeds}"
    return "another trained network of the classifier"


def _labels(conditions: Conditions) -> dict[str, Any]:
    networks = (f"{seed}={digest[:_DIGITS]}" for seed, digest in conditions.networks)

    return {
        "dataset": conditions.dataset,
        "classifier": conditions.classifier,
        "norm": conditions.norm,
        "eps": conditions.eps,
        "n": conditions.n,
        "images": conditions.data[:_DIGITS],
        "networks": ",".join(networks),
    }
