"""Figures of undefended curves: published points, and our curve for each scale of epsilon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.figure_styles import is_narrow
from bench.report.judged_lines import verdict_key
from bench.report.looks import style
from bench.report.plotting import legend, line_over_eps, panel_grid, trim, undefended_rows
from bench.report.published.comparison import PublishedComparison
from bench.report.published.curves import SCALES, undefended_curves
from bench.report.published.publication import PublishedFigure
from bench.report.writers import NamedFigure

_X_LABEL = "epsilon as printed (0: clean)"


@dataclass(frozen=True, eq=False)
class _Panel:
    """A published curve and our rows of the same data set and attack.

    Attributes:
        dataset: name of the data set.
        attack: name of the attack.
        points: published accuracy over the printed epsilon, with the clean one at 0 if known.
        rows: rows of our results, of one classifier.
    """

    dataset: str
    attack: str
    points: Mapping[float, float]
    rows: pd.DataFrame


def curve_figures(comparison: PublishedComparison) -> Iterator[NamedFigure]:
    """A figure for each classifier, a panel per published data set and attack of the run."""
    results = comparison.report.results
    name = comparison.name
    rows = results[
        (results["status"] == "ok") & (results["threat"] == "graybox") & (results["norm"] == "linf")
    ]

    for classifier, classifier_rows in rows.groupby("classifier", sort=False):
        panels = list(_panels(classifier_rows, comparison.publication.figures))
        if panels:
            short = comparison.report.names.classifier[classifier]
            figure = _figure(name, panels)
            figure.suptitle(f"Undefended: {short} beside {name}")
            yield NamedFigure(f"against_{name}_{short}", figure)


def _panels(rows: pd.DataFrame, figures: Sequence[PublishedFigure]) -> Iterator[_Panel]:
    clean = {
        (figure.dataset, str(figure.attack)): figure.accuracy
        for figure in figures
        if figure.defense == "none" and figure.eps == 0
    }

    for (dataset, attack), points in undefended_curves(figures).items():
        ours = rows[(rows["dataset"] == dataset) & (rows["attack_name"] == attack)]
        if ours.empty:
            continue
        at_zero = clean.get((dataset, attack))
        known = points if at_zero is None else {0.0: at_zero, **points}
        yield _Panel(dataset, attack, known, ours)


def _figure(name: str, panels: Sequence[_Panel]) -> Figure:
    most = 1 if is_narrow() else 2
    figure, grid, columns = panel_grid(len(panels), 4.4, 2.9, most, sharey=True)

    handles: dict[str, Artist] = {}
    levels = {str(level) for panel in panels for level in undefended_rows(panel.rows)["verdict"]}
    for axes, panel in zip(grid, panels, strict=False):
        _draw_panel(axes, panel, name)
        artists, labels = axes.get_legend_handles_labels()
        handles.update(zip(labels, artists, strict=True))

    trim(grid, len(panels), columns, _X_LABEL)
    for axes in grid[: len(panels) : columns]:
        axes.set_ylabel("undefended robust accuracy")
    legend(figure, [*handles.values(), *verdict_key(levels)])
    return figure


def _draw_panel(axes: Axes, panel: _Panel, name: str) -> None:
    epsilons = list(panel.points)
    accuracies = list(panel.points.values())
    axes.plot(epsilons, accuracies, "ko", markersize=5, label=f"{name}, as printed", zorder=3)

    styles = iter(range(len(SCALES) * len(panel.rows)))
    undefended = undefended_rows(panel.rows)
    attacked = undefended[undefended["eps"] > 0]
    for attack, rows in attacked.groupby("attack", sort=False):
        title = "this run" if attack == panel.attack else str(attack)
        for scale in SCALES:
            stretched = rows.assign(eps=rows["eps"] / scale.share)
            label = f"{title}, if printed on {scale.name}"
            line_over_eps(axes, stretched, label, style(next(styles)), prefix="undefended_")

    largest = max(epsilons)
    axes.set(ylim=(-0.02, 1.02), xlim=(-0.02 * largest, 1.03 * largest))
    n = panel.rows["n"].iloc[0]
    axes.set_title(f"{panel.attack} on {panel.dataset}, n = {n}")
    axes.set_xlabel(_X_LABEL)
    axes.grid(alpha=0.3)
