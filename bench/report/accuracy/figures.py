"""Figures of accuracy over epsilon: the defenses under a threat model, and the threat models."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.columns import NO_NORM
from bench.report.judged_lines import verdict_key
from bench.report.looks import style
from bench.report.plotting import (
    PANELS,
    eps_label,
    legend,
    line_over_eps,
    longest_line,
    trim,
    undefended_rows,
)
from bench.report.report import Report
from bench.report.writers import NamedFigure

_UNDEFENDED = {"color": "black", "marker": "", "linestyle": "--"}


def accuracy_figures(report: Report) -> Iterator[NamedFigure]:
    """Accuracy over epsilon for each attack: one figure per threat model, and all of them."""
    ok = report.results[report.results["status"] == "ok"]
    adaptive = {
        str(cell.record.labels["threat"])
        for cell in report.cells
        if cell.record.properties.sees_defense
    }

    for (dataset, classifier, attack), rows in ok.groupby(["dataset", "classifier", "attack"]):
        stem = f"{dataset}_{classifier}_{attack}"
        for threat, threat_rows in rows.groupby("threat"):
            n = threat_rows["n"].iloc[0]
            title = f"{dataset}, {classifier}, {attack} ({threat}), n = {n}"
            figure = _accuracy_over_eps(threat_rows, title, threat in adaptive)
            yield NamedFigure(f"accuracy_eps_{stem}_{threat}", figure)
        if rows["threat"].nunique() > 1:
            title = f"{dataset}, {classifier}, {attack}, n = {rows['n'].iloc[0]}"
            yield NamedFigure(f"threats_{stem}", _threat_panels(rows, title))


def _accuracy_over_eps(rows: pd.DataFrame, title: str, adaptive: bool) -> Figure:
    """Robust accuracy over epsilon, a line per defense; epsilon 0 is the clean accuracy.

    Args:
        rows: results of one attack under one threat model.
        title: title of the figure.
        adaptive: whether the attacker sees the defense. The adversarial images then differ between
            defenses, and the undefended line is that of `none`; otherwise all defenses share the
            images, and it is the bare classifier's accuracy on them.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()

    if not adaptive:
        line_over_eps(axes, undefended_rows(rows), "undefended", _UNDEFENDED, prefix="undefended_")
    for index, (defense, defense_rows) in enumerate(rows.groupby("defense", sort=False)):
        if defense != "none":
            line_over_eps(axes, defense_rows, str(defense), style(index))
        elif adaptive:
            line_over_eps(axes, defense_rows, "undefended", _UNDEFENDED)

    axes.set(xlabel=eps_label(rows["norm"].iloc[0]), ylabel="robust accuracy", title=title)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)
    lines = axes.get_legend_handles_labels()[0]
    legend(figure, axes, [*lines, *verdict_key(set(rows["verdict"]))])
    return figure


def _threat_panels(rows: pd.DataFrame, title: str) -> Figure:
    """Robust accuracy over epsilon under each threat model, a panel per defense."""
    defenses = list(dict.fromkeys(rows["defense"]))
    threats = list(dict.fromkeys(rows["threat"]))
    columns = min(PANELS, len(defenses))
    lines = -(-len(defenses) // columns)  # rounded up
    size = (max(6.4, 0.8 + 2.9 * columns), 1.3 + 2.7 * lines)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flatten()

    for axes, defense in zip(panels, defenses, strict=False):
        defense_rows = rows[rows["defense"] == defense]
        for threat, threat_rows in defense_rows.groupby("threat", sort=False):
            line_over_eps(axes, threat_rows, str(threat), style(threats.index(threat)))
        axes.set(ylim=(-0.02, 1.02))
        axes.set_title(defense, fontsize=min(9.0, 320 / longest_line(defense)))
        axes.grid(alpha=0.3)

    norm = rows["norm"].iloc[0]
    trim(panels, len(defenses), columns, "epsilon" if norm == NO_NORM else f"epsilon ({norm})")
    for axes in panels[: len(defenses) : columns]:
        axes.set_ylabel("robust accuracy")
    handles = [Line2D([], [], label=threat, **style(index)) for index, threat in enumerate(threats)]
    handles.extend(verdict_key(set(rows["verdict"])))
    names = min(5, len(handles))
    figure.legend(handles=handles, loc="outside lower center", ncols=names, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure
