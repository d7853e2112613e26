"""Plots of latency: accuracy against it with the Pareto front, and latency over batch size."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.metrics import pareto_front
from bench.records.timing import TARGETS
from bench.report.drawing import COLORS, MARKERS, distances_to_ends, legend, over_seeds, save, style
from bench.report.latency import ALIKE, timed, way, ways

_WHERE = ["dataset", "classifier"]
_FRONT: dict[str, Any] = {"color": "black", "linewidth": 1.0, "linestyle": "--"}
_HOLLOW = {"markerfacecolor": "none"}
_ENGINE_MARKERS = MARKERS + "h<>p"
_ENGINE_LINES = ("-", "--", ":", "-.")
_QUARTILES = ["p25_ms", "p50_ms", "p75_ms"]


def accuracy_latency(
    folder: Path, name: str, title: str, rows: pd.DataFrame, latency: pd.DataFrame, accuracy: str
) -> None:
    """Write a plot of an accuracy against the latency of the pipeline at the smallest batch; one
    for each device.

    Args:
        folder: to write into.
        name: of the file.
        title: of the plot.
        rows: with the accuracy and its interval, a row a defense and seed.
        latency: of the run.
        accuracy: name of the column.
    """
    found = timed(latency, "pipeline").astype(
        {"alike": float}
    )  # a column of None alone is not numeric
    both = rows.merge(
        found[
            [
                *_WHERE,
                "defense",
                "engine",
                "precision",
                "device",
                "batch_size",
                "alike",
                *_QUARTILES,
            ]
        ],
        on=[*_WHERE, "defense"],
    )
    devices = both["device"].unique()
    for device in devices:
        figure = accuracy_latency_figure(both[both["device"] == device], title, accuracy)
        save(
            folder, f"accuracy_latency_{name}" + (f"_{device}" if len(devices) > 1 else ""), figure
        )


def latency_over_batch(folder: Path, latency: pd.DataFrame) -> None:
    """Write a plot of latency over batch size for each data set, classifier and device, where there are several."""
    ok = latency[latency["status"] == "ok"]
    devices = ok["device"].nunique()
    for (dataset, classifier, device), rows in ok.groupby([*_WHERE, "device"], sort=False):
        if rows["batch_size"].nunique() > 1:
            name = f"latency_batch_{dataset}_{classifier}" + (f"_{device}" if devices > 1 else "")
            save(folder, name, _over_batch(rows, f"{dataset}, {classifier} ({device})"))


def accuracy_latency_figure(rows: pd.DataFrame, title: str, accuracy: str) -> Figure:
    """An accuracy against the pipeline's latency on one device; error bars: Wilson interval,
    interquartile range.

    One point for each defense and engine; the accuracy is that of eager float32, so an engine that
    classifies otherwise is hollow and no part of the front. The step line is the Pareto front: what
    accuracy a given time buys.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    points = over_seeds(rows, "defense", "engine", "precision")
    looks = _Looks.of(points)
    for row in points.to_dict("records"):
        axes.errorbar(
            row["p50_ms"],
            row[accuracy],
            xerr=distances_to_ends(row["p50_ms"], row["p25_ms"], row["p75_ms"]),
            yerr=distances_to_ends(row[accuracy], row[f"{accuracy}_low"], row[f"{accuracy}_high"]),
            capsize=3,
            elinewidth=1,
            **{**looks.of_row(row), "linestyle": "", **({} if _same_output(row) else _HOLLOW)},
        )
    batch, device = int(rows["batch_size"].iloc[0]), rows["device"].iloc[0]
    what = "worst-case accuracy" if accuracy == "worst_case" else "robust accuracy"
    what += " (of eager float32)" if len(ways(points)) > 1 else ""
    axes.set(xscale="log", ylim=(-0.02, 1.02), ylabel=what, title=title)
    axes.set_xlabel(f"latency of purifier and classifier, ms a call, batch {batch} ({device})")
    axes.grid(alpha=0.3, which="both")
    sound = points[[_same_output(row) for row in points.to_dict("records")]]
    _front(axes, sound["p50_ms"].tolist(), sound[accuracy].tolist())
    legend(
        figure, axes, [*looks.handles(line=False), Line2D([], [], **_FRONT, label="Pareto front")]
    )
    return figure


def _same_output(row: Mapping[Hashable, Any]) -> bool:
    """Whether the accuracy of eager float32 is this engine's too."""
    alike = row.get("alike")
    return alike is None or bool(pd.isna(alike)) or alike >= ALIKE


def _front(axes: Axes, latency: Sequence[float], accuracy: Sequence[float]) -> None:
    """The step line through the points that no other beats, on to the right edge."""
    front = pareto_front(latency, accuracy)
    left, right = axes.get_xlim()
    xs, ys = [latency[index] for index in front], [accuracy[index] for index in front]
    axes.step([*xs, right], [*ys, ys[-1]], where="post", zorder=1, **_FRONT)
    axes.set_xlim(left, right)


def _over_batch(rows: pd.DataFrame, title: str) -> Figure:
    """Median call over batch size with its quartiles, the purifier beside the pipeline.

    A line a defense and engine.
    """
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    panels = figure.subplots(1, len(TARGETS), sharex=True, sharey=True)
    looks = _Looks.of(rows)
    sizes = sorted(rows["batch_size"].unique())
    for axes, target in zip(panels, TARGETS, strict=True):
        of_target = rows[rows["target"] == target].sort_values("batch_size", kind="stable")
        for _, line in of_target.groupby(["defense", "engine", "precision"], sort=False):
            look = looks.of_row(line.iloc[0].to_dict())
            axes.plot(line["batch_size"], line["p50_ms"], markersize=5, **look)
            axes.fill_between(
                line["batch_size"],
                line["p25_ms"],
                line["p75_ms"],
                color=look["color"],
                alpha=0.15,
                linewidth=0,
            )
        axes.set(xscale="log", yscale="log", xlabel="images in a call", title=target)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("ms a call (p50; band p25 to p75)")
    figure.suptitle(title, fontsize=11)
    legend(figure, panels[-1], looks.handles(line=True), outside=True)
    return figure


class _Looks:
    """Defenses are told apart by color, engines by marker and line.

    A single engine leaves these to the defense.
    """

    def __init__(self, defenses: list[str], engines: list[str]) -> None:
        self._defenses, self._engines = defenses, engines

    @classmethod
    def of(cls, rows: pd.DataFrame) -> _Looks:
        """For everything in these rows."""
        return cls(list(dict.fromkeys(rows["defense"])), ways(rows))

    def of_row(self, row: Mapping[Hashable, Any]) -> dict[str, Any]:
        """Of a defense under an engine and precision."""
        return self._look(
            self._defenses.index(row["defense"]),
            self._engines.index(way(row["engine"], row["precision"])),
        )

    def handles(self, *, line: bool) -> list[Line2D]:
        """Of the legend: the defenses, then the engines where there are several.

        Args:
            line: show lines, not points alone.
        """
        drawn = {} if line else {"linestyle": ""}
        several = len(self._engines) > 1
        found = []
        for index, defense in enumerate(self._defenses):
            look = {**self._look(index, 0), **drawn}
            found.append(
                Line2D(
                    [],
                    [],
                    label=defense,
                    **({**look, "marker": "s"} if several and not line else look),
                )
            )
        for index, engine in enumerate(self._engines if several else []):
            found.append(
                Line2D(
                    [], [], label=engine, **{**self._look(0, index), **drawn, "color": "dimgray"}
                )
            )
        return found

    def _look(self, defense: int, engine: int) -> dict[str, Any]:
        if len(self._engines) == 1:
            return style(defense)
        again = defense // len(COLORS) % 2  # the colors start again
        return {
            "color": COLORS[defense % len(COLORS)],
            "marker": _ENGINE_MARKERS[engine % len(_ENGINE_MARKERS)],
            "markerfacecolor": "none" if again else None,
            "linestyle": _ENGINE_LINES[engine % len(_ENGINE_LINES)],
        }
