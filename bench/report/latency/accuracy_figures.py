"""Figures of accuracy against latency, a panel for each budget, with the Pareto front."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from bench.analysis.metrics import pareto_front
from bench.report.columns import over_seeds
from bench.report.judged_lines import HOLLOW, draw_crosses, verdict_key
from bench.report.latency.engines import ALIKE
from bench.report.latency.frame import at_smallest_batch, engine_titles
from bench.report.latency.styles import EngineStyles
from bench.report.plotting import distances_to_ends, legend, log_ticks, panel_grid, trim
from bench.report.report import Report
from bench.report.writers import NamedFigure

_BUDGET = ["dataset", "classifier", "norm", "eps", "seed"]
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
    """Accuracy against latency for every attack, a panel for each epsilon.

    Where there are several threat models: for the gray-box attacks, and for the worst case.
    """
    ok = report.results[report.results["status"] == "ok"]
    if report.results["threat"].nunique() > 1:
        yield from _worst_cases(report)
        ok = ok[ok["threat"] == "graybox"]

    for labels, rows in ok.groupby(["dataset", "classifier", "attack", "threat"], sort=False):
        dataset, classifier, attack, threat = _names(report, labels)
        title = f"{dataset}, {classifier}, {attack} ({threat})"
        name = f"{dataset}_{classifier}_{attack}_{threat}"
        yield from _of_each_device(report, name, title, rows, "robust_accuracy")


def _worst_cases(report: Report) -> Iterator[NamedFigure]:
    worst = report.worst_case.merge(
        report.decisions[[*_BUDGET, "defense", "dominated_by"]], on=[*_BUDGET, "defense"]
    )
    is_doubtful = worst["mark"] != ""
    worst["off_front"] = is_doubtful | (worst["dominated_by"] != "")
    worst["verdict"] = np.where(is_doubtful, "suspect", "ok")

    for labels, rows in worst.groupby(["dataset", "classifier", "norm"], sort=False):
        dataset, classifier, norm = _names(report, labels)
        title = f"{dataset}, {classifier}, {norm}"
        name = f"worst_case_{dataset}_{classifier}_{norm}"
        yield from _of_each_device(report, name, title, rows, "worst_case_accuracy")


def _names(report: Report, labels: Sequence[object]) -> list[str]:
    """The names of a data set, a classifier, and of an attack and a threat model or a norm."""
    families = ("dataset", "classifier", "attack", "threat")

    return [report.names[family][label] for family, label in zip(families, labels)]  # noqa: B905


def _of_each_device(
    report: Report, name: str, title: str, rows: pd.DataFrame, accuracy: str
) -> Iterator[NamedFigure]:
    """A figure for each device on which the pipeline was timed, at the smallest batch.

    Args:
        report: report of the run.
        name: end of the figure's name.
        title: title of the figure.
        rows: rows with the accuracy, its interval and its verdict, one per defense, epsilon and
            seed.
        accuracy: column of the accuracy.
    """
    timed = at_smallest_batch(report.latency, "pipeline")
    timed = timed.astype({"alike": float})  # a column that holds only None is not numeric
    both = rows.merge(timed[[*_PIPELINE, *_TIMED]], on=_PIPELINE)
    devices = both["device"].unique()

    for device in devices:
        figure = accuracy_latency_figure(report, both[both["device"] == device], accuracy)
        figure.suptitle(f"{title}, n = {rows['n'].iloc[0]}")
        end = f"_{device}" if len(devices) > 1 else ""
        yield NamedFigure(f"accuracy_latency_{name}{end}", figure)


def accuracy_latency_figure(report: Report, rows: pd.DataFrame, accuracy: str) -> Figure:
    """A panel per epsilon with a point per defense and engine, and the Pareto front.

    Error bars are the Wilson interval and the interquartile range. The accuracy is that of eager
    float32, so an engine that classifies otherwise is faint. Neither it nor an invalid accuracy is
    on the front. The step line is the front: the accuracy that a given time buys. Rows of worst
    cases say what else is `off_front`: what is dominated beyond the intervals, or in doubt.

    Args:
        report: report of the run, which has names and looks of all its defenses.
        rows: rows of one device with accuracies and latencies.
        accuracy: column of the accuracy.
    """
    budgets = sorted(rows["eps"].unique())
    single = len(budgets) == 1
    width, height = (6.0, 3.7) if single else (3.4, 3.0)
    figure, panels, columns = panel_grid(len(budgets), width, height, 3, sharex=True, sharey=True)
    styles = EngineStyles.of(rows, report)

    comparable = []
    for axes, eps in zip(panels, budgets, strict=False):
        points = over_seeds(rows[rows["eps"] == eps], "defense", "engine", "precision")
        _draw_points(axes, points, accuracy, styles)
        comparable.append(_comparable(points))
        axes.set(xscale="log", ylim=(-0.02, 1.02), title=f"eps {eps:g}")
        axes.grid(alpha=0.3, which="both")

    log_ticks(panels[0].xaxis, [*rows["p25_ms"], *rows["p75_ms"]])
    for axes, points in zip(panels, comparable, strict=False):
        _draw_front(axes, points["p50_ms"].tolist(), points[accuracy].tolist())
    _label(panels, rows, accuracy, columns)
    legend(figure, _handles(rows, styles))
    return figure


def _comparable(points: pd.DataFrame) -> pd.DataFrame:
    """The points that may lie on the front."""
    alike = np.array([_classifies_alike(row) for row in points.to_dict("records")], bool)
    chosen = alike & (points["verdict"] != "invalid")
    if "off_front" in points:
        chosen &= ~points["off_front"].astype(bool)

    return points[chosen]


def _label(panels: NDArray[Any], rows: pd.DataFrame, accuracy: str, columns: int) -> None:
    """Name the axes of the panels that are used, and remove the others."""
    used = rows["eps"].nunique()
    batch = int(rows["batch_size"].iloc[0])
    device = rows["device"].iloc[0]
    suffix = " (of eager float32)" if len(engine_titles(rows)) > 1 else ""

    trim(panels, used, columns, f"purifier and classifier, ms a call, batch {batch} ({device})")
    for axes in panels[:used:columns]:
        axes.set_ylabel(_ACCURACY_TITLES[accuracy] + suffix)


def _handles(rows: pd.DataFrame, styles: EngineStyles) -> list[Line2D]:
    """The entries of the legend."""
    handles = [*styles.handles(lines=False), Line2D([], [], **_FRONT, label="Pareto front")]
    if not all(_classifies_alike(row) for row in rows.to_dict("records")):
        handles.append(Line2D([], [], **_OTHERWISE))

    return [*handles, *verdict_key(set(rows["verdict"]), lines=False)]


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
