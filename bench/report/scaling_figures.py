"""Accuracy and latency over parameters that a trained defense does not depend on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from bench.report.drawing import COLORS, over_seeds
from bench.report.scaling import varied_columns
from bench.report.text import three_digits

_GROUP = ["dataset", "classifier", "attack", "eps", "threat", "name", "fixed"]
_DARK = 0.6
"""Below this share of the color map text is white."""

_WIDE = 10.0
"""From this ratio of the largest to the smallest value on the axis is logarithmic."""


def scaling_figures(frame: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    """A name and a figure for each defense, trained in one way, and attack.

    For one or two varied numbers.
    """
    seen: dict[str, int] = {}
    for (dataset, classifier, attack, eps, threat, name, _), rows in frame.groupby(
        _GROUP, sort=False
    ):
        varied = varied_columns(rows)
        if len(varied) > 2 or any(
            isinstance(value, str) for column in varied for value in rows[column]
        ):
            continue
        stem = f"{dataset}_{classifier}_{attack}_{threat}_eps{eps:g}_{name}"
        seen[stem] = seen.get(stem, 0) + 1
        title = f"{name} on {dataset}, {classifier}, {attack} eps {eps:g} ({threat})"
        figure = _lines(rows, varied[0], title) if len(varied) == 1 else _maps(rows, varied, title)
        yield stem if seen[stem] == 1 else f"{stem}_{seen[stem]}", figure


def _maps(rows: pd.DataFrame, varied: list[str], title: str) -> Figure:
    """Two heat maps side by side, robust accuracy and latency, with the numbers in the cells."""
    down, across = (sorted(rows[name].unique()) for name in varied)
    timed = bool(rows["p50_ms"].notna().any())
    width, height = 1.6 + max(1.6, 0.75 * len(across)), 1.5 + 0.55 * len(down)
    figure = Figure(figsize=(max(4.0, width) * (1 + timed), height + 0.3), layout="constrained")
    panels = figure.subplots(1, 1 + timed, squeeze=False).flatten()
    _map(panels[0], rows, varied, "robust_accuracy", Normalize(0, 1))
    panels[0].set_title("robust accuracy", fontsize=10)
    if timed:
        ends = rows["p50_ms"].min(), rows["p50_ms"].max()
        _map(panels[1], rows, varied, "p50_ms", LogNorm(ends[0] / 1.05, ends[1] * 1.05))
        panels[1].set_title(
            f"p50 of purifier and classifier, ms, batch {rows['batch_size'].max():.0f}", fontsize=10
        )
    figure.suptitle(title, fontsize=11)
    return figure


def _map(axes: Axes, rows: pd.DataFrame, varied: list[str], column: str, scale: Normalize) -> None:
    table = rows.pivot_table(index=varied[0], columns=varied[1], values=column, aggfunc="mean")
    picture = axes.imshow(table.to_numpy(), cmap="viridis", norm=scale, aspect="auto")
    for (row, place), value in np.ndenumerate(table.to_numpy()):
        if not np.isnan(value):
            text = f"{value:.2f}" if column == "robust_accuracy" else three_digits(value)
            color = "white" if scale(value) < _DARK else "black"
            axes.text(place, row, text, ha="center", va="center", color=color, fontsize=9)
    axes.set_xticks(range(len(table.columns)), [f"{value:g}" for value in table.columns])
    axes.set_yticks(range(len(table.index)), [f"{value:g}" for value in table.index])
    axes.set(xlabel=varied[1], ylabel=varied[0])
    bar = axes.figure.colorbar(picture, ax=axes, shrink=0.9)
    if column == "p50_ms":
        ends = sorted({rows[column].min(), rows[column].max()})
        bar.set_ticks(ends, labels=[three_digits(end) for end in ends])
        bar.minorticks_off()


def _lines(rows: pd.DataFrame, varied: str, title: str) -> Figure:
    """Two panels side by side over the parameter: accuracies with intervals, latencies with quartiles."""
    rows = over_seeds(rows, varied).sort_values(varied)
    timed = bool(rows["p50_ms"].notna().any())
    figure = Figure(figsize=(4.4 * (1 + timed), 3.8), layout="constrained")
    panels = figure.subplots(1, 1 + timed, squeeze=False).flatten()
    for index, (label, name) in enumerate(
        (("clean", "clean_accuracy"), ("attacked", "robust_accuracy"))
    ):
        _line(panels[0], rows, varied, (f"{name}_low", name, f"{name}_high"), label, index)
    panels[0].set(ylim=(-0.02, 1.02), ylabel="accuracy (95 % Wilson intervals)")
    if timed:
        starts = [start for start in ("", "largest_") if rows[f"{start}p50_ms"].notna().any()]
        for index, start in enumerate(starts):
            label = f"batch {rows[f'{start}batch_size'].max():.0f}"
            _line(
                panels[1],
                rows,
                varied,
                tuple(f"{start}{p}_ms" for p in ("p25", "p50", "p75")),
                label,
                index,
            )
        panels[1].set(yscale="log", ylabel="ms a call (p50; band p25 to p75)")
        panels[1].set_title("purifier and classifier", fontsize=10)
    least, most = rows[varied].min(), rows[varied].max()
    for axes in panels:
        axes.set(xlabel=varied, xscale="log" if least > 0 and most / least >= _WIDE else "linear")
        axes.set_xticks(rows[varied], [f"{value:g}" for value in rows[varied]])
        axes.xaxis.minorticks_off()
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    figure.suptitle(title, fontsize=11)
    return figure


def _line(
    axes: Axes, rows: pd.DataFrame, x: str, columns: tuple[str, ...], label: str, index: int
) -> None:
    low, value, high = columns
    axes.plot(rows[x], rows[value], marker="o", color=COLORS[index], label=label, markersize=5)
    axes.fill_between(rows[x], rows[low], rows[high], color=COLORS[index], alpha=0.15, linewidth=0)
