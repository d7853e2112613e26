"""Figures of accuracy against latency, with the Pareto front."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.metrics import pareto_front
from bench.report.columns import over_seeds
from bench.report.judged_lines import HOLLOW, draw_crosses, verdict_key
from bench.report.latency.engines import ALIKE
from bench.report.latency.frame import at_smallest_batch, engine_titles
from bench.report.latency.styles import EngineStyles
from bench.report.plotting import distances_to_ends, legend
from bench.report.report import Report
from bench.report.writers import NamedFigure

_PIPELINE = ["dataset", "classifier", "defense"]
_TIMED = ["engine", "precision", "device", "batch_size", "alike", "p25_ms", "p50_ms", "p75_ms"]
_FRONT: dict[str, Any] = {"color": "black", "linewidth": 1.0, "linestyle": "--"}
_FAINT = {"alpha": 0.35}
_OTHERWISE: dict[str, Any] = {
    "color": "black",
    "marker": "s",
    "linestyle": "",
    "label": "classifies otherwise",
    **_FAINT,
}
_ACCURACY_TITLES = {
    "robust_accuracy": "robust accuracy",
    "worst_case_accuracy": "worst-case accuracy",
}


def accuracy_latency_figures(report: Report) -> Iterator[NamedFigure]:
    """Accuracy against latency for every attack and epsilon.

    Where there are several threat models: for the gray-box attacks, and for the worst case.
    """
    ok = report.results[report.results["status"] == "ok"]
    if report.results["threat"].nunique() > 1:
        yield from _worst_cases(report)
        ok = ok[ok["threat"] == "graybox"]

    for (dataset, classifier, attack, threat, eps), rows in ok.groupby(
        ["dataset", "classifier", "attack", "threat", "eps"]
    ):
        title = (
            f"{dataset}, {classifier}, {attack} ({threat}), n = {rows['n'].iloc[0]}, eps {eps:g}"
        )
        name = f"{dataset}_{classifier}_{attack}_{threat}_eps{eps:g}"
        yield from _of_each_device(name, title, rows, report.latency, "robust_accuracy")


def _worst_cases(report: Report) -> Iterator[NamedFigure]:
    for (dataset, classifier, norm, eps), rows in report.worst_case.groupby(
        ["dataset", "classifier", "norm", "eps"]
    ):
        title = f"{dataset}, {classifier}, {norm} eps {eps:g}, n = {rows['n'].iloc[0]}"
        name = f"worst_case_{dataset}_{classifier}_{norm}_eps{eps:g}"
        rows = rows.assign(verdict=np.where(rows["mark"] != "", "suspect", "ok"))
        yield from _of_each_device(name, title, rows, report.latency, "worst_case_accuracy")


def _of_each_device(
    name: str, title: str, rows: pd.DataFrame, latency: pd.DataFrame, accuracy: str
) -> Iterator[NamedFigure]:
    """A figure for each device on which the pipeline was timed, at the smallest batch.

    Args:
        name: end of the figure's name.
        title: title of the figure.
        rows: rows with the accuracy, its interval and its verdict, one per defense and seed.
        latency: latencies of the run.
        accuracy: column of the accuracy.
    """
    timed = at_smallest_batch(latency, "pipeline")
    timed = timed.astype({"alike": float})  # a column that holds only None is not numeric
    both = rows.merge(timed[[*_PIPELINE, *_TIMED]], on=_PIPELINE)
    devices = both["device"].unique()

    for device in devices:
        figure = accuracy_latency_figure(both[both["device"] == device], title, accuracy)
        end = f"_{device}" if len(devices) > 1 else ""
        yield NamedFigure(f"accuracy_latency_{name}{end}", figure)


def accuracy_latency_figure(rows: pd.DataFrame, title: str, accuracy: str) -> Figure:
    """A point per defense and engine; error bars: Wilson interval and interquartile range.

    The accuracy is that of eager float32, so an engine that classifies otherwise is faint. Neither
    it nor an invalid accuracy is on the Pareto front. The step line is the front: the accuracy that
    a given time buys.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    points = over_seeds(rows, "defense", "engine", "precision")
    styles = EngineStyles.of(points)
    _draw_points(axes, points, accuracy, styles)

    batch = int(rows["batch_size"].iloc[0])
    device = rows["device"].iloc[0]
    suffix = " (of eager float32)" if len(engine_titles(points)) > 1 else ""
    axes.set(xscale="log", ylim=(-0.02, 1.02), title=title)
    axes.set_ylabel(_ACCURACY_TITLES[accuracy] + suffix)
    axes.set_xlabel(f"latency of purifier and classifier, ms a call, batch {batch} ({device})")
    axes.grid(alpha=0.3, which="both")

    alike = np.array([_classifies_alike(row) for row in points.to_dict("records")], bool)
    comparable = points[alike & (points["verdict"] != "invalid")]
    _draw_front(axes, comparable["p50_ms"].tolist(), comparable[accuracy].tolist())
    handles = [*styles.handles(lines=False), Line2D([], [], **_FRONT, label="Pareto front")]
    if not alike.all():
        handles.append(Line2D([], [], **_OTHERWISE))
    legend(figure, axes, [*handles, *verdict_key(set(points["verdict"]), lines=False)])
    return figure


def _draw_points(axes: Axes, points: pd.DataFrame, accuracy: str, styles: EngineStyles) -> None:
    for row in points.to_dict("records"):
        face = {} if row["verdict"] == "ok" else HOLLOW
        shade = {} if _classifies_alike(row) else _FAINT
        axes.errorbar(
            row["p50_ms"],
            row[accuracy],
            xerr=distances_to_ends(row["p50_ms"], row["p25_ms"], row["p75_ms"]),
            yerr=distances_to_ends(row[accuracy], row[f"{accuracy}_low"], row[f"{accuracy}_high"]),
            capsize=3,
            elinewidth=1,
            **{**styles.of_row(row), "linestyle": "", **face, **shade},
        )
        if row["verdict"] == "invalid":
            draw_crosses(axes, [row["p50_ms"]], [row[accuracy]])


def _classifies_alike(row: Mapping[Hashable, Any]) -> bool:
    """Whether the accuracy of eager float32 is that of the row's engine too."""
    alike = row.get("alike")
    return alike is None or bool(pd.isna(alike)) or alike >= ALIKE


def _draw_front(axes: Axes, latency: Sequence[float], accuracy: Sequence[float]) -> None:
    """Draw the step line through the points on the Pareto front, up to the right edge."""
    front = pareto_front(latency, accuracy)
    if not front:
        return

    left, right = axes.get_xlim()
    xs = [latency[index] for index in front]
    ys = [accuracy[index] for index in front]

    axes.step([*xs, right], [*ys, ys[-1]], where="post", zorder=1, **_FRONT)
    axes.set_xlim(left, right)
