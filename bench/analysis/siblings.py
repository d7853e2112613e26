"""The cells that attack the same trained pipeline, found by their labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.analysis.outcomes import EvaluatedCell

_Groups = Mapping[tuple[Any, ...], Sequence[EvaluatedCell]]


class Siblings:
    """The cells of one trained pipeline.

    They are grouped once for each combination of axes, so that to compare a cell with those that
    differ from it in one axis does not cost a look at all.

    Args:
        cells: ok cells of the pipeline.
    """

    def __init__(self, cells: Iterable[EvaluatedCell]) -> None:
        self._cells = tuple(cells)
        self._groups: dict[tuple[str, ...], _Groups] = {}
        self._digests: dict[str, frozenset[str]] = {}

    def __iter__(self) -> Iterator[EvaluatedCell]:
        return iter(self._cells)

    def like(self, cell: EvaluatedCell, *axes: str) -> Sequence[EvaluatedCell]:
        """The cells with the labels of a cell on some axes, the cell included, in their order."""
        if axes not in self._groups:
            self._groups[axes] = self._grouped(axes)

        return self._groups[axes][_labels(cell, axes)]

    def digests(self, role: str) -> frozenset[str]:
        """The digests of all networks in a role; one where all cells have the same network."""
        if role not in self._digests:
            networks = (cell.record.networks for cell in self._cells)
            self._digests[role] = frozenset(each[role] for each in networks if role in each)

        return self._digests[role]

    def _grouped(self, axes: tuple[str, ...]) -> _Groups:
        groups: dict[tuple[Any, ...], list[EvaluatedCell]] = {}
        for cell in self._cells:
            groups.setdefault(_labels(cell, axes), []).append(cell)

        return groups


def _labels(cell: EvaluatedCell, axes: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(cell.record.labels[axis] for axis in axes)
