"""Figures of accuracy over epsilon: the defenses under a threat model, and the threat models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.columns import NO_NORM
from bench.report.judged_lines import verdict_key
from bench.report.looks import UNDEFENDED, threat_style
from bench.report.plotting import (
    eps_label,
    legend,
    line_over_eps,
    panel_grid,
    single_axes,
    trim,
    undefended_rows,
)
from bench.report.report import Report
from bench.report.writers import NamedFigure

_UNDEFENDED = {**UNDEFENDED, "marker": ""}


def accuracy_figures(report: Report) -> Iterator[NamedFigure]:
    """Accuracy over epsilon for each attack: one figure per threat model, and all of them."""
    ok = report.results[report.results["status"] == "ok"]
    adaptive = {
        str(cell.record.labels["threat"])
        for cell in report.cells
        if cell.record.properties.sees_defense
    }

    for labels, rows in ok.groupby(["dataset", "classifier", "attack"], sort=False):
        dataset, classifier, attack = _names(report, labels)
        stem = f"{dataset}_{classifier}_{attack}"
        title = f"{dataset}, {classifier}, {attack}"
        n = f"n = {rows['n'].iloc[0]}"
        for threat, threat_rows in rows.groupby("threat", sort=False):
            name = report.names.threat[threat]
            figure = _accuracy_over_eps(report, threat_rows, str(threat) in adaptive)
            figure.suptitle(f"{title} ({name}), {n}")
            yield NamedFigure(f"accuracy_eps_{stem}_{name}", figure)
        if rows["threat"].nunique() > 1:
            figure = _threat_panels(report, rows)
            figure.suptitle(f"{title}, {n}")
            yield NamedFigure(f"threats_{stem}", figure)


def _names(report: Report, labels: Iterable[object]) -> Iterator[str]:
    """The names of a data set, a classifier and an attack."""
    families = (report.names.dataset, report.names.classifier, report.names.attack)

    return (names[str(label)] for names, label in zip(families, labels, strict=True))


def _accuracy_over_eps(report: Report, rows: pd.DataFrame, adaptive: bool) -> Figure:
    """Robust accuracy over epsilon, a line per defense; epsilon 0 is the clean accuracy.

    Args:
        report: report of the run.
        rows: results of one attack under one threat model.
        adaptive: whether the attacker sees the defense. The adversarial images then differ between
            defenses, and the undefended line is that of `none`; otherwise all defenses share the
            images, and it is the bare classifier's accuracy on them.
    """
    figure, axes = single_axes()

    if not adaptive:
        line_over_eps(axes, undefended_rows(rows), "undefended", _UNDEFENDED, prefix="undefended_")
    for defense, defense_rows in rows.groupby("defense", sort=False):
        name = report.names.defense[defense]
        if defense != "none":
            line_over_eps(axes, defense_rows, name, report.looks[str(defense)])
        elif adaptive:
            line_over_eps(axes, defense_rows, "undefended", _UNDEFENDED)

    axes.set(xlabel=eps_label(rows["norm"].iloc[0]), ylabel="robust accuracy")
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)
    lines = axes.get_legend_handles_labels()[0]
    legend(figure, [*lines, *verdict_key(set(rows["verdict"]))])
    return figure


def _threat_panels(report: Report, rows: pd.DataFrame) -> Figure:
    """Robust accuracy over epsilon under each threat model, a panel per defense."""
    defenses = list(dict.fromkeys(rows["defense"]))
    threats = list(dict.fromkeys(rows["threat"]))
    figure, panels, columns = panel_grid(len(defenses), 2.9, 2.7, sharex=True, sharey=True)

    for axes, defense in zip(panels, defenses, strict=False):
        defense_rows = rows[rows["defense"] == defense]
        for threat, threat_rows in defense_rows.groupby("threat", sort=False):
            line_over_eps(
                axes, threat_rows, str(threat), threat_style(threats.index(threat), len(threats))
            )
        axes.set(ylim=(-0.02, 1.02), title=report.names.defense[defense])
        axes.grid(alpha=0.3)

    norm = rows["norm"].iloc[0]
    trim(panels, len(defenses), columns, "epsilon" if norm == NO_NORM else f"epsilon ({norm})")
    for axes in panels[: len(defenses) : columns]:
        axes.set_ylabel("robust accuracy")
    names = [report.names.threat[threat] for threat in threats]
    handles = [
        Line2D([], [], label=name, **threat_style(index, len(names)))
        for index, name in enumerate(names)
    ]
    legend(figure, [*handles, *verdict_key(set(rows["verdict"]))])
    return figure
