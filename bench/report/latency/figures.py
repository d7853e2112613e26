"""Figures of latency over batch size."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.records.timing import TARGETS
from bench.report.latency.styles import EngineStyles
from bench.report.plotting import legend
from bench.report.report import Report
from bench.report.writers import NamedFigure


def latency_figures(report: Report) -> Iterator[NamedFigure]:
    """A figure for each data set, classifier and device that was timed at several batch sizes."""
    ok = report.latency[report.latency["status"] == "ok"]
    several_devices = ok["device"].nunique() > 1

    for (dataset, classifier, device), rows in ok.groupby(
        ["dataset", "classifier", "device"], sort=False
    ):
        if rows["batch_size"].nunique() > 1:
            end = f"_{device}" if several_devices else ""
            figure = _latency_over_batch(rows, f"{dataset}, {classifier} ({device})")
            yield NamedFigure(f"latency_batch_{dataset}_{classifier}{end}", figure)


def _latency_over_batch(rows: pd.DataFrame, title: str) -> Figure:
    """Median call over batch size with its quartiles, a line per defense and engine.

    The purifier alone is in the left panel, the pipeline in the right one.
    """
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    panels = figure.subplots(1, len(TARGETS), sharex=True, sharey=True)
    styles = EngineStyles.of(rows)
    sizes = sorted(rows["batch_size"].unique())

    for axes, target in zip(panels, TARGETS, strict=True):
        _draw_lines(axes, rows[rows["target"] == target], styles)
        axes.set(xscale="log", yscale="log", xlabel="images in a call", title=target)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)

    panels[0].set_ylabel("ms a call (p50; band p25 to p75)")
    figure.suptitle(title, fontsize=11)
    legend(figure, panels[-1], styles.handles(lines=True), outside=True)
    return figure


def _draw_lines(axes: Axes, rows: pd.DataFrame, styles: EngineStyles) -> None:
    rows = rows.sort_values("batch_size", kind="stable")

    for _, line in rows.groupby(["defense", "engine", "precision"], sort=False):
        look = styles.of_row(line.iloc[0].to_dict())
        sizes = line["batch_size"]
        band = {"color": look["color"], "alpha": 0.15, "linewidth": 0}
        axes.plot(sizes, line["p50_ms"], markersize=5, **look)
        axes.fill_between(sizes, line["p25_ms"], line["p75_ms"], **band)
