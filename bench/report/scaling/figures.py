"""Figures of scaling: accuracy and latency over parameters that the training ignores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from bench.report.columns import over_seeds, with_interval, worst_level
from bench.report.figure_styles import is_narrow
from bench.report.formats import three_digits, two_decimals
from bench.report.judged_lines import draw_judged_line, verdict_key
from bench.report.looks import style
from bench.report.plotting import label_cells, legend, log_ticks, panel_grid
from bench.report.report import Report
from bench.report.scaling.frame import varied_columns
from bench.report.writers import NamedFigure

_GROUP = ["dataset", "classifier", "attack", "eps", "threat", "defense_name", "fixed"]

_LATENCY_LOOK = 2
"""Number of the first line of the latencies; the accuracies have those before it."""

_WIDE = 10.0
"""Ratio of the largest to the smallest value from which the axis is logarithmic."""


def scaling_figures(report: Report) -> Iterator[NamedFigure]:
    """A figure for each attack and defense, trained in one way, with one or two varied numbers."""
    names: Counter[str] = Counter()

    for labels, rows in report.scaling.groupby(_GROUP, sort=False):
        dataset, classifier, attack, eps, threat, defense, _ = labels
        varied = varied_columns(rows)
        words = any(isinstance(value, str) for column in varied for value in rows[column])
        if len(varied) > 2 or words:
            continue

        specs = {"dataset": dataset, "classifier": classifier, "attack": attack, "threat": threat}
        short = {label: report.names[label][spec] for label, spec in specs.items()}
        name = "scaling_{dataset}_{classifier}_{attack}_{threat}".format(**short)
        name = f"{name}_eps{eps:g}_{defense}"
        names[name] += 1
        end = "" if names[name] == 1 else f"_{names[name]}"
        figure = _lines(rows, varied[0]) if len(varied) == 1 else _maps(rows, varied)
        place = "{dataset}, {classifier}, {attack}".format(**short)
        figure.suptitle(f"{defense} on {place} eps {eps:g} ({short['threat']})")
        yield NamedFigure(f"{name}{end}", figure)


def _maps(rows: pd.DataFrame, varied: list[str]) -> Figure:
    """Two heat maps side by side, robust accuracy and latency, with the numbers in the cells."""
    lines, columns = (rows[name].nunique() for name in varied)
    panels = _panels_of(rows)
    width = max(4.0, 1.6 + max(1.6, 0.75 * columns))
    most = 1 if is_narrow() else 2
    figure, axes, _ = panel_grid(panels, width, 1.6 + 0.55 * lines, most)

    _map(axes[0], rows, varied, "robust_accuracy", Normalize(0, 1))
    axes[0].set_title("robust accuracy")
    if panels == 2:
        scale = LogNorm(rows["p50_ms"].min() / 1.05, rows["p50_ms"].max() * 1.05)
        batch = f"{rows['batch_size'].max():.0f}"
        _map(axes[1], rows, varied, "p50_ms", scale)
        axes[1].set_title(f"p50 of purifier and classifier, ms, batch {batch}")

    return figure


def _map(axes: Axes, rows: pd.DataFrame, varied: list[str], column: str, scale: Normalize) -> None:
    table = rows.pivot_table(index=varied[0], columns=varied[1], values=column, aggfunc="mean")
    values = table.to_numpy()
    picture = axes.imshow(values, cmap="viridis", norm=scale, aspect="auto")
    if column == "robust_accuracy":
        levels = rows.pivot_table(
            index=varied[0], columns=varied[1], values="verdict", aggfunc=worst_level
        )
        label_cells(axes, values, scale, two_decimals, levels.to_numpy())
    else:
        label_cells(axes, values, scale, three_digits)

    axes.set_xticks(range(len(table.columns)), [f"{value:g}" for value in table.columns])
    axes.set_yticks(range(len(table.index)), [f"{value:g}" for value in table.index])
    axes.set(xlabel=varied[1], ylabel=varied[0])
    bar = axes.figure.colorbar(picture, ax=axes, shrink=0.9)
    if column == "p50_ms":
        ends = sorted({rows[column].min(), rows[column].max()})
        bar.set_ticks(ends, labels=[three_digits(end) for end in ends])
        bar.minorticks_off()


def _lines(rows: pd.DataFrame, varied: str) -> Figure:
    """Two panels over the parameter: accuracies with intervals, latencies with quartiles."""
    rows = over_seeds(rows, varied).sort_values(varied)
    panels = _panels_of(rows)
    figure, both, _ = panel_grid(panels, 4.4, 3.4, 1 if is_narrow() else 2)

    handles = _draw_accuracies(both[0], rows, varied)
    if panels == 2:
        handles += _draw_latencies(both[1], rows, varied)

    least = rows[varied].min()
    most = rows[varied].max()
    for axes in both:
        axes.set(xlabel=varied, xscale="log" if least > 0 and most / least >= _WIDE else "linear")
        axes.set_xticks(rows[varied], [f"{value:g}" for value in rows[varied]])
        axes.xaxis.minorticks_off()
        axes.grid(alpha=0.3, which="both")
    legend(figure, handles)
    return figure


def _draw_accuracies(axes: Axes, rows: pd.DataFrame, varied: str) -> list[Artist]:
    """Draw clean and robust accuracy; the entries of the legend."""
    clean = rows.assign(verdict="ok")
    for index, (name, judged) in enumerate((("clean_accuracy", clean), ("robust_accuracy", rows))):
        value, low, high = with_interval(name)
        _draw_line(axes, judged, varied, (low, value, high), name.replace("_", " "), index)

    axes.set(ylim=(-0.02, 1.02), ylabel="accuracy (95 % Wilson intervals)")
    lines = axes.get_legend_handles_labels()[0]
    return [*lines, *verdict_key(set(rows["verdict"]))]


def _draw_latencies(axes: Axes, rows: pd.DataFrame, varied: str) -> list[Artist]:
    """Draw the latency at the smallest and the largest batch; the entries of the legend."""
    timed = rows.assign(verdict="ok")
    prefixes = [prefix for prefix in ("", "largest_") if rows[f"{prefix}p50_ms"].notna().any()]
    for index, prefix in enumerate(prefixes):
        label = f"batch {rows[f'{prefix}batch_size'].max():.0f}"
        quartiles = (f"{prefix}p25_ms", f"{prefix}p50_ms", f"{prefix}p75_ms")
        _draw_line(axes, timed, varied, quartiles, label, _LATENCY_LOOK + index)

    axes.set(yscale="log", ylabel="ms a call (p50; band p25 to p75)")
    axes.set_title("purifier and classifier")
    log_ticks(axes.yaxis, _ends(rows, prefixes))
    return list(axes.get_legend_handles_labels()[0])


def _ends(rows: pd.DataFrame, prefixes: Sequence[str]) -> list[float]:
    """The quartiles of all calls."""
    columns = [f"{prefix}{name}" for prefix in prefixes for name in ("p25_ms", "p75_ms")]

    return [float(value) for column in columns for value in rows[column].dropna()]


def _draw_line(
    axes: Axes, rows: pd.DataFrame, x: str, columns: tuple[str, str, str], label: str, index: int
) -> None:
    """Draw a line with its band; points look as the rows' verdicts ask."""
    low, value, high = columns
    look: dict[str, Any] = style(index)
    draw_judged_line(axes, rows[x], rows[value], list(rows["verdict"]), look, label)
    band: dict[str, Any] = {"color": look["color"], "alpha": 0.15, "linewidth": 0}
    axes.fill_between(rows[x], rows[low], rows[high], where=rows["verdict"] != "invalid", **band)


def _panels_of(rows: pd.DataFrame) -> int:
    """The number of panels: accuracy, and latency where there is any."""
    return 2 if rows["p50_ms"].notna().any() else 1
