"""Undefended accuracy over the printed epsilon: published points, and our curve for each scale it may be on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure as Drawing

from bench.report.drawing import PANELS, line_over_eps, save, style, trim
from bench.report.published.curves import SCALES, family, undefended_curves
from bench.report.published.publication import Figure


def write_against_plots(
    folder: Path, name: str, results: pd.DataFrame, figures: Sequence[Figure]
) -> None:
    """One plot per classifier that has a published curve's dataset and attack."""
    for classifier, drawing in curve_figures(name, results, figures):
        save(folder, f"against_{name}_{classifier}", drawing)


def curve_figures(
    name: str, results: pd.DataFrame, figures: Sequence[Figure]
) -> Iterator[tuple[str, Drawing]]:
    """A classifier and its figure: a panel per published dataset and attack that the run has."""
    ok = results[
        (results["status"] == "ok") & (results["threat"] == "graybox") & (results["norm"] == "linf")
    ]
    published = undefended_curves(figures)
    clean = {
        (f.dataset, str(f.attack)): f.accuracy
        for f in figures
        if f.defense == "none" and f.eps == 0
    }
    for classifier, rows in ok.groupby("classifier", sort=False):
        panels = [
            (place, points, found)
            for place, points in published.items()
            if not (
                found := rows[(rows["dataset"] == place[0]) & (family(rows["attack"]) == place[1])]
            ).empty
        ]
        if panels:
            yield str(classifier), _figure(name, str(classifier), panels, clean)


def _figure(
    name: str,
    classifier: str,
    panels: Sequence[tuple[tuple[str, str], dict[float, float], pd.DataFrame]],
    clean: dict[tuple[str, str], float | None],
) -> Drawing:
    columns = min(PANELS // 2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Drawing(figsize=(0.8 + 4.4 * columns, 1.3 + 2.9 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    handles = {}
    for axes, (place, points, found) in zip(grid, panels, strict=False):
        known = {**({0.0: clean[place]} if clean.get(place) is not None else {}), **points}
        axes.plot(
            list(known),
            list(known.values()),
            "ko",
            markersize=5,
            label=f"{name}, as printed",
            zorder=3,
        )
        looks = iter(range(2 * len(found)))
        for label, of_attack in found.groupby("attack", sort=False):
            for scale in SCALES:
                shown = of_attack[of_attack["eps"] > 0]
                shown = shown.assign(eps=shown["eps"] / scale.share)
                title = (
                    f"{'this run' if label == place[1] else str(label)}, if printed on {scale.name}"
                )
                line_over_eps(axes, shown, title, style(next(looks)), undefended=True)
        axes.set(ylim=(-0.02, 1.02), xlim=(-0.02 * max(points), 1.03 * max(points)))
        axes.set_title(f"{place[1]} on {place[0]}, n = {found['n'].iloc[0]}", fontsize=10)
        axes.set_xlabel("epsilon as printed (0: clean)")
        axes.grid(alpha=0.3)
        lines, labels = axes.get_legend_handles_labels()
        handles.update(dict(zip(labels, lines, strict=True)))
    trim(grid, len(panels), columns, "epsilon as printed (0: clean)")
    for axes in grid[: len(panels) : columns]:
        axes.set_ylabel("accuracy, undefended")
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=2, fontsize=9
    )
    figure.suptitle(f"Undefended: {classifier} beside {name}", fontsize=11)
    return figure
