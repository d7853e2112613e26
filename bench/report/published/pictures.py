"""Pictures like those of a publication, with our images: original, attacked, recreated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis.outcomes import EvaluatedCell
from bench.report.naming import ShortNames
from bench.report.pictures.strips import (
    Strip,
    adversarial,
    original,
    purifications,
    strips_figure,
)
from bench.report.published.comparison import PublishedComparison
from bench.report.writers import NamedFigure

_LABELS = ["dataset", "classifier", "our_attack", "threat", "defense", "seed"]
_FAMILIES = {"our_attack": "attack"}
"""Labels of the run whose specs a column of another name holds."""


def recreated_figures(comparison: PublishedComparison) -> Iterator[NamedFigure]:
    """A figure for each published defense, data set and attack that the run has.

    It shows the images attacked at the printed epsilons and at that of equal strength, and their
    versions purified by our defenses of that name.
    """
    cells = [cell for cell in comparison.report.cells if cell.images is not None]
    rows = _rows(comparison.accuracies, comparison.equal_strength)

    names = comparison.report.names

    for values, group in rows.groupby(_LABELS, sort=False):
        labels = dict(zip(_LABELS, values, strict=True))
        strips = list(_strips(cells, labels, group, names.defense))
        if strips:
            shown = [names[_FAMILIES.get(label, label)][value] for label, value in labels.items()]
            title = "{4} on {0}, {1}, {2} ({3})".format(*shown)
            figure = strips_figure(strips)
            figure.suptitle(f"{title}; below: predicted class; framed: misclassified")
            yield NamedFigure(f"against_{comparison.name}_images_{'_'.join(shown)}", figure)


def _rows(accuracies: pd.DataFrame, equal_strength: pd.DataFrame) -> pd.DataFrame:
    """The rows of attacked defenses that the run has, with the choice of their epsilon."""
    printed = zip(accuracies["epsilon"], accuracies["scale"], strict=True)
    rows = pd.concat(
        [
            accuracies.assign(choice=[f"printed {eps}, on {scale}" for eps, scale in printed]),
            equal_strength.assign(choice="as strong as theirs"),
        ]
    )
    in_run = rows["our_defense"].notna() & (rows["our_defense"] != "")
    attacked = (rows["defense"] != "none") & (rows["eps"] > 0)

    return rows[in_run & attacked].astype({"seed": int})


def _strips(
    cells: Sequence[EvaluatedCell],
    labels: Mapping[str, Any],
    rows: pd.DataFrame,
    names: ShortNames,
) -> Iterator[Strip]:
    """The originals; at each epsilon the attacked images, then those of each defense."""
    first = True
    for eps, eps_rows in rows.groupby(rows["eps"].round(9)):
        chosen = [
            cell
            for cell in cells
            if round(cell.eps, 9) == eps
            and cell.record.labels["defense"] in set(eps_rows["our_defense"])
            and _matches(cell, labels)
        ]
        if not chosen:
            continue
        if first:
            yield original(chosen[0])
            first = False

        choices = "\n".join(dict.fromkeys(eps_rows["choice"]))
        attacked = adversarial(chosen[0], f"attacked, eps {eps:g}\n({choices})")
        yield attacked
        yield from purifications(chosen, attacked, "recreated by\n{}", names)


def _matches(cell: EvaluatedCell, labels: Mapping[str, Any]) -> bool:
    record = cell.record
    return (
        record.properties.threat == labels["threat"]
        and record.labels["attack"] == labels["our_attack"]
        and all(record.labels[name] == labels[name] for name in ("dataset", "classifier", "seed"))
    )
