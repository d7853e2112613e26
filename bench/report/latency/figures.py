"""Figures of latency over batch size."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.records.timing import TARGETS
from bench.report.latency.styles import EngineStyles
from bench.report.plotting import legend, log_ticks, panel_grid
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
            names = (report.names.dataset[dataset], report.names.classifier[classifier])
            end = f"_{device}" if several_devices else ""
            figure = _latency_over_batch(report, rows)
            figure.suptitle(f"{', '.join(names)} ({device})")
            yield NamedFigure(f"latency_batch_{'_'.join(names)}{end}", figure)


def _latency_over_batch(report: Report, rows: pd.DataFrame) -> Figure:
    """Median call over batch size with its quartiles, a line per defense and engine.

    A panel for each target that was timed: the purifier alone, and the pipeline.
    """
    targets = [target for target in TARGETS if target in set(rows["target"])]
    figure, panels, columns = panel_grid(len(targets), 4.4, 3.9, sharex=True, sharey=True)
    styles = EngineStyles.of(rows, report)
    sizes = sorted(rows["batch_size"].unique())

    for axes, target in zip(panels, targets, strict=True):
        _draw_lines(axes, rows[rows["target"] == target], styles)
        axes.set(xscale="log", yscale="log", xlabel="images in a call", title=target)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.xaxis.minorticks_off()
        axes.grid(alpha=0.3)
    log_ticks(panels[0].yaxis, [*rows["p25_ms"], *rows["p75_ms"]])

    for axes in panels[::columns]:
        axes.set_ylabel("ms a call (p50; band p25 to p75)")
    legend(figure, styles.handles(lines=True))
    return figure


def _draw_lines(axes: Axes, rows: pd.DataFrame, styles: EngineStyles) -> None:
    rows = rows.sort_values("batch_size", kind="stable")

    for _, line in rows.groupby(["defense", "engine", "precision"], sort=False):
        look = styles.of_row(line.iloc[0].to_dict())
        sizes = line["batch_size"]
        band = {"color": look["color"], "alpha": 0.15, "linewidth": 0}
        axes.plot(sizes, line["p50_ms"], markersize=5, **look)
        axes.fill_between(sizes, line["p25_ms"], line["p75_ms"], **band)
