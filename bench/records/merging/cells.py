"""The cells of a merged run: of each the record that says most, and never two results."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bench.records.cell import LABELS, CellRecord, Status
from bench.records.folder import RunFolder
from bench.records.merging.refusal import differing
from bench.store.artifacts import digest_of
from bench.store.keys import content_key

_PREFERRED: tuple[Status, ...] = ("ok", "skipped", "failed")


@dataclass(frozen=True)
class FoundCell:
    """A record and the run that it was found in.

    Attributes:
        run: folder of the run.
        record: record of a cell.
    """

    run: RunFolder
    record: CellRecord

    @property
    def name(self) -> str:
        """The cell in words."""
        return " ".join(str(self.record.labels[label]) for label in LABELS)


def merged_cells(runs: Iterable[RunFolder]) -> list[FoundCell]:
    """One record of each cell of some runs; a cell that is ok replaces one that failed.

    Raises:
        RequestError: a file is damaged, or two runs have other images, other networks, or two
            results of one cell.
    """
    found = [FoundCell(run, record) for run in runs for record in run.records()]
    _check_sources(found)

    cells: dict[tuple[Any, ...], list[FoundCell]] = {}
    for each in found:
        cells.setdefault(tuple(each.record.labels[name] for name in LABELS), []).append(each)

    chosen = [_chosen(alike) for alike in cells.values()]
    for each in chosen:
        if each.record.status == "ok":
            each.run.outcome(each.record)  # a damaged one is found before anything is written

    return chosen


def _check_sources(found: Iterable[FoundCell]) -> None:
    """Check that the same images and the same networks stand behind the same names.

    Raises:
        RequestError: two runs differ in them.
    """
    known: dict[Hashable, tuple[FoundCell, str]] = {}
    for each in found:
        for source, digest in _sources(each.record):
            first, expected = known.setdefault(source, (each, digest))
            if digest != expected:
                what = " ".join(map(str, source))
                raise differing(first.run.path, each.run.path, f"they have other {what}")


def _sources(record: CellRecord) -> Iterator[tuple[tuple[Any, ...], str]]:
    """What a cell was computed from, as words, each with its digest."""
    dataset, classifier, defense, _, _, threat, seed = (record.labels[name] for name in LABELS)
    yield ("test images of", dataset), record.data

    named = {
        "classifier": (classifier,),
        "defense": (defense, "before", classifier),
        "substitute": (threat,),
    }
    for role, digest in record.networks.items():
        where = ("trained on", dataset, "with seed", seed)
        yield ("weights of", role, *named.get(role, ()), *where), digest


def _chosen(alike: list[FoundCell]) -> FoundCell:
    """The record of a cell that is kept among those of several runs.

    Raises:
        RequestError: the cell was computed from something else, or has two different results.
    """
    first = min(alike, key=_preference)
    for other in alike:
        if other.record.key != first.record.key:
            raise _refused(first, other, "was computed from other data or by another version")
        if other.record.status == "ok" and _result(other) != _result(first):
            raise _refused(first, other, "has two different results")

    return first


def _refused(first: FoundCell, second: FoundCell, difference: str) -> Exception:
    return differing(first.run.path, second.run.path, f"the cell {first.name} {difference}")


def _preference(found: FoundCell) -> tuple[int, str, str]:
    """The order of records of one cell, which does not depend on the order of the runs."""
    record = found.record
    return _PREFERRED.index(record.status), record.environment, content_key(asdict(record))


def _result(found: FoundCell) -> tuple[str, str]:
    """The digests of a cell's record, wherever it was computed, and of its outcome."""
    content = asdict(found.record)
    del content["environment"]

    return content_key(content), digest_of(found.run.outcome(found.record).to_arrays())
