"""A run that is compared: its records by the labels of a cell, and whether two can be paired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.checks import verdicts
from bench.analysis.outcomes import EvaluatedCell, evaluated_cells
from bench.errors import RequestError
from bench.records.cell import LABELS, CellRecord
from bench.records.folder import RunFolder
from bench.records.timing import Timing
from bench.spec import Spec, split_list

Key = tuple[Any, ...]
"""The labels of a cell, in the order of `LABELS`."""


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """A run that is read.

    Attributes:
        records: records of all cells.
        cells: cells that are ok.
        levels: levels of the verdicts on these.
        timings: raw times.
        machines: device and PyTorch of each environment, by its id.
        defenses: specs in the order of the configuration.
    """

    records: Mapping[Key, CellRecord]
    cells: Mapping[Key, EvaluatedCell]
    levels: Mapping[Key, str]
    timings: Sequence[Timing]
    machines: Mapping[str, str]
    defenses: Sequence[str]

    @classmethod
    def read(cls, folder: RunFolder) -> ComparedRun:
        """Read a run.

        Raises:
            RequestError: a raw file is damaged.
        """
        cells = {_key(cell.record): cell for cell in evaluated_cells(folder)}
        judged = verdicts(list(cells.values()))

        return cls(
            records={_key(record): record for record in folder.records()},
            cells=cells,
            levels={key: judged[cell.record.key].level for key, cell in cells.items()},
            timings=folder.timings(),
            machines=folder.machines(),
            defenses=[str(name) for name in folder.config().get("defenses", [])],
        )

    def only_here(self, other: ComparedRun) -> tuple[Mapping[str, Any], ...]:
        """The labels of the cells that the other run lacks."""
        return tuple(
            record.labels for key, record in self.records.items() if key not in other.records
        )


def check_comparable(a: ComparedRun, b: ComparedRun) -> None:
    """Check that cells of two runs may be paired image by image.

    Raises:
        RequestError: the runs have no data set in common, different test images of one, or
            different epsilons of an attack.
    """
    _check_images(a.records.values(), b.records.values())
    _check_epsilons(a.records.values(), b.records.values())


def changed_plugins(pairs: Iterable[tuple[CellRecord, CellRecord]]) -> tuple[str, ...]:
    """The plugins, by family and spec, whose parameters differ between paired records."""
    changed = (
        f"{family} {first.labels[family]}"
        for first, second in pairs
        for family in ("classifier", "defense", "attack")
        if _canonical(first.parameters.get(family)) != _canonical(second.parameters.get(family))
    )

    return tuple(dict.fromkeys(changed))


def _key(record: CellRecord) -> Key:
    return tuple(record.labels[name] for name in LABELS)


def _check_images(first: Iterable[CellRecord], second: Iterable[CellRecord]) -> None:
    images_a, images_b = (
        {str(record.labels["dataset"]): (record.data, record.n) for record in records}
        for records in (first, second)
    )

    if images_a and images_b and images_a.keys().isdisjoint(images_b):
        datasets = " and ".join(",".join(sorted(images)) for images in (images_a, images_b))
        raise RequestError(f"the runs have different data sets: {datasets}")

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

    for attack in [attack for attack in budgets_a if attack in budgets_b]:
        epsilons = (sorted(budgets_a[attack]), sorted(budgets_b[attack]))
        if epsilons[0] != epsilons[1]:
            lists = " and ".join(",".join(f"{eps:g}" for eps in budgets) for budgets in epsilons)
            raise RequestError(f"the runs have different epsilons of attack '{attack}': {lists}")


def _epsilons(records: Iterable[CellRecord]) -> dict[str, set[float]]:
    epsilons: dict[str, set[float]] = {}
    for record in records:
        epsilons.setdefault(str(record.labels["attack"]), set()).add(record.eps)

    return epsilons


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
