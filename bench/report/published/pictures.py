"""What the published defenses are shown to do, with our images: original, attacked, recreated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing

from bench.analysis.outcomes import EvaluatedCell
from bench.report.drawing import save
from bench.report.pictures import Strip, adversarial, original, purifications, strips_figure

_PLACE = ["dataset", "classifier", "our_attack", "threat", "defense", "seed"]


def write_against_images(
    folder: Path,
    name: str,
    cells: Sequence[EvaluatedCell],
    at_printed: pd.DataFrame,
    equal: pd.DataFrame,
) -> None:
    """One picture per published defense, dataset and attack that the run has.

    Args:
        folder: where to.
        name: of the published figures.
        cells: the run's.
        at_printed: our numbers at the printed epsilons, see
            `bench.report.published.frames.figures_frame`.
        equal: our numbers at an attack of equal strength, see
            `bench.report.published.frames.contest_frame`.
    """
    for title, drawing in recreated_figures(cells, at_printed, equal):
        save(folder, f"against_{name}_images_{title}", drawing)


def recreated_figures(
    cells: Sequence[EvaluatedCell], at_printed: pd.DataFrame, equal: pd.DataFrame
) -> Iterator[tuple[str, Drawing]]:
    """A name and a picture: the images, attacked at each epsilon, and what our defenses of that name make of them."""
    places = pd.concat(
        [
            at_printed.assign(
                why=[f"printed {row.epsilon}, on {row.scale}" for row in at_printed.itertuples()]
            ),
            equal.assign(why="as strong as theirs"),
        ]
    )
    places = places[
        (places["defense"] != "none")
        & (places["eps"] > 0)
        & (places["our_defense"].fillna("") != "")
    ]
    for place, rows in places.astype({"seed": int}).groupby(_PLACE, sort=False):
        labels = dict(zip(_PLACE, place, strict=True))
        strips = list(_strips(cells, labels, rows))
        if strips:
            title = "{defense} on {dataset}, {classifier}, {our_attack} ({threat}); framed: misclassified".format(
                **labels
            )
            yield "_".join(str(part) for part in place), strips_figure(strips, title)


def _strips(
    cells: Sequence[EvaluatedCell], labels: dict[str, Any], rows: pd.DataFrame
) -> Iterator[Strip]:
    """The originals; at each epsilon the attacked images, then each defense's."""
    first = True
    for eps, at in rows.groupby(rows["eps"].round(9)):
        found = [
            cell
            for cell in cells
            if round(cell.eps, 9) == eps
            and str(cell.record.labels["threat"]).partition(":")[0] == labels["threat"]
            and cell.record.labels["attack"] == labels["our_attack"]
            and cell.record.labels["defense"] in set(at["our_defense"])
            and all(
                cell.record.labels[name] == labels[name]
                for name in ("dataset", "classifier", "seed")
            )
        ]
        if not found:
            continue
        if first:
            yield original(found[0])
            first = False
        why = "\n".join(dict.fromkeys(at["why"]))
        attacked = adversarial(found[0], f"attacked, eps {eps:g}\n({why})")
        yield attacked
        yield from purifications(found, attacked, "recreated by\n{}")
