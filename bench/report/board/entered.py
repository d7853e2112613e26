"""Runs on a board: what each defense reached, and on which images and networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.records.cell import CellRecord
from bench.records.folder import RunFolder
from bench.report.columns import with_interval
from bench.report.report import Report

_BUDGET = ("dataset", "classifier", "norm", "eps")
_ROW = (*_BUDGET, "seed", "defense")


@dataclass(frozen=True)
class Conditions:
    """What two numbers must share to be compared.

    Attributes:
        dataset: spec of the data set.
        classifier: spec of the classifier.
        norm: norm that epsilon bounds.
        eps: budget on the [0, 1] scale.
        n: number of test images.
        data: digest of the test images and their classes.
        networks: seeds, and the digest of the trained classifier of each.
    """

    dataset: str
    classifier: str
    norm: str
    eps: float
    n: int
    data: str
    networks: tuple[tuple[int, str], ...]

    @property
    def budget(self) -> tuple[str, str, str, float]:
        """The part that a reader asks for: data set, classifier, norm and epsilon."""
        return self.dataset, self.classifier, self.norm, self.eps


@dataclass(frozen=True, eq=False)
class EnteredRun:
    """A run on a board.

    Attributes:
        name: name of the run, which no other on the board has.
        report: frames of the run.
    """

    name: str
    report: Report

    @classmethod
    def read(cls, name: str, folder: RunFolder) -> EnteredRun:
        """Derive the frames of a run.

        Raises:
            RequestError: a raw file is damaged.
        """
        return cls(name, Report.of(folder))

    def rows(self) -> Iterator[tuple[Conditions, dict[str, Any]]]:
        """One row per defense and budget, its seeds together.

        Of several seeds an accuracy is the mean, and its interval reaches from the lowest to the
        highest end of theirs.
        """
        costs = self.report.decisions[[*_ROW, "adaptive", "doubt", "times_none", "added_ms"]]
        joined = self.report.worst_case.merge(costs, on=[*_ROW], validate="one_to_one")
        for _, seeds in joined.groupby([*_BUDGET, "defense"], sort=False):
            records = self._records(seeds)
            yield _conditions(seeds, records), self._row(seeds, records)

    def _records(self, seeds: pd.DataFrame) -> dict[int, CellRecord]:
        """The record of a cell of each seed, of the defense in these rows."""
        first = _first(seeds)
        names = ("dataset", "classifier", "defense")
        records = (cell.record for cell in self.report.cells)
        of_defense = (
            record
            for record in records
            if all(record.labels[name] == first[name] for name in names)
        )

        return {int(record.labels["seed"]): record for record in of_defense}

    def _row(self, seeds: pd.DataFrame, records: Mapping[int, CellRecord]) -> dict[str, Any]:
        worst, low, high = with_interval("worst_case_accuracy")
        first = _first(seeds)

        return {
            "source": self.name,
            "published": False,
            "defense": first["defense"],
            "parameters": dict(records[int(first["seed"])].parameters.get("defense", {})),
            worst: seeds[worst].mean(),
            low: seeds[low].min(),
            high: seeds[high].max(),
            "clean_accuracy": seeds["clean_accuracy"].mean(),
            "basis": ", ".join(dict.fromkeys(seeds["basis"])),
            "adaptive": bool(seeds["adaptive"].all()),
            "mark": "?" if (seeds["mark"] + seeds["doubt"]).any() else "",
            "note": "; ".join(dict.fromkeys(filter(None, (*seeds["note"], *seeds["doubt"])))),
            "times_none": seeds["times_none"].mean(),
            "added_ms": seeds["added_ms"].mean(),
            "seeds": len(seeds),
            "device": "; ".join(self.report.machines),
        }


def _conditions(seeds: pd.DataFrame, records: Mapping[int, CellRecord]) -> Conditions:
    first = _first(seeds)
    networks = tuple(
        (seed, records[seed].networks.get("classifier", "")) for seed in sorted(seeds["seed"])
    )

    return Conditions(
        dataset=first["dataset"],
        classifier=first["classifier"],
        norm=first["norm"],
        eps=first["eps"],
        n=int(first["n"]),
        data=records[int(first["seed"])].data,
        networks=networks,
    )


def _first(rows: pd.DataFrame) -> Mapping[Any, Any]:
    return rows.iloc[0].to_dict()
