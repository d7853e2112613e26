"""Which plots a run gets, and those over epsilon; each as PNG and SVG."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.accuracy import NO_NORM
from bench.report.drawing import (
    PANELS,
    eps_label,
    legend,
    line_over_eps,
    save,
    style,
    trim,
)
from bench.report.latency_figures import accuracy_latency, latency_over_batch
from bench.report.pictures import epsilon_figures, image_figures
from bench.report.report import Report
from bench.report.scaling_figures import scaling_figures
from bench.report.side_by_side import cross_attack_figure, worst_case_figure

_WHERE = ["dataset", "classifier"]


def write_plots(folder: Path, report: Report) -> None:
    """Write all plots that the results allow."""
    ok = report.results[report.results["status"] == "ok"]
    _over_eps(folder, report, ok)
    _over_latency(folder, report, ok)
    latency_over_batch(folder, report.latency)
    for stem, figure in scaling_figures(report.scaling):
        save(folder, f"scaling_{stem}", figure)
    for (dataset, classifier, norm), rows in report.worst_case.groupby(
        [*_WHERE, "norm"], sort=False
    ):
        title = f"{dataset}, {classifier}, {norm}, n = {rows['n'].iloc[0]}"
        save(folder, f"worst_case_{dataset}_{classifier}_{norm}", worst_case_figure(rows, title))
    for (dataset, classifier, name), rows in report.cross_attack.groupby(
        [*_WHERE, "name"], sort=False
    ):
        figure = cross_attack_figure(rows, f"{name} on {dataset}, {classifier} (graybox)")
        save(folder, f"cross_attack_{dataset}_{classifier}_{name}", figure)
    for name, figure in image_figures(report.cells):
        save(folder, f"images_{name}", figure)
    for name, figure in epsilon_figures(report.cells):
        save(folder, f"images_eps_{name}", figure)


def _over_eps(folder: Path, report: Report, ok: pd.DataFrame) -> None:
    """Accuracy over epsilon: defenses under each threat model.

    Where there are several, also these for each defense.
    """
    sees = {
        str(c.record.labels["threat"]) for c in report.cells if c.record.properties.sees_defense
    }
    for (dataset, classifier, attack), of_attack in ok.groupby([*_WHERE, "attack"]):
        where = f"{dataset}_{classifier}_{attack}"
        for threat, rows in of_attack.groupby("threat"):
            title = f"{dataset}, {classifier}, {attack} ({threat}), n = {rows['n'].iloc[0]}"
            save(
                folder, f"accuracy_eps_{where}_{threat}", _accuracy_eps(rows, title, threat in sees)
            )
        if of_attack["threat"].nunique() > 1:
            title = f"{dataset}, {classifier}, {attack}, n = {of_attack['n'].iloc[0]}"
            save(folder, f"threats_{where}", _threats(of_attack, title))


def _over_latency(folder: Path, report: Report, ok: pd.DataFrame) -> None:
    """Accuracy against latency for every attack and budget.

    Of several threat models gray box, and the worst case.
    """
    if report.results["threat"].nunique() > 1:
        for (dataset, classifier, norm, eps), rows in report.worst_case.groupby(
            [*_WHERE, "norm", "eps"]
        ):
            title = f"{dataset}, {classifier}, {norm} eps {eps:g}, n = {rows['n'].iloc[0]}"
            name = f"worst_case_{dataset}_{classifier}_{norm}_eps{eps:g}"
            accuracy_latency(folder, name, title, rows, report.latency, "worst_case")
        ok = ok[ok["threat"] == "graybox"]
    for (dataset, classifier, attack, threat, eps), rows in ok.groupby(
        [*_WHERE, "attack", "threat", "eps"]
    ):
        title = (
            f"{dataset}, {classifier}, {attack} ({threat}), n = {rows['n'].iloc[0]}, eps {eps:g}"
        )
        name = f"{dataset}_{classifier}_{attack}_{threat}_eps{eps:g}"
        accuracy_latency(folder, name, title, rows, report.latency, "robust_accuracy")


def _accuracy_eps(group: pd.DataFrame, title: str, sees_defense: bool) -> Figure:
    """Robust accuracy over epsilon, one line a defense with its interval; epsilon 0 is the clean
    accuracy.

    The undefended classifier's line is that on the images made without knowing the defense, which
    all defenses share; where an attacker makes others for each defense, it is that of `none`.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    bare = {"color": "black", "marker": "", "linestyle": "--"}
    if not sees_defense:
        line_over_eps(
            axes,
            group[group["defense"] == group["defense"].iloc[0]],
            "undefended",
            bare,
            undefended=True,
        )
    for index, (defense, rows) in enumerate(group.groupby("defense", sort=False)):
        if defense != "none":
            line_over_eps(axes, rows, str(defense), style(index))
        elif sees_defense:
            line_over_eps(axes, rows, "undefended", bare)
    axes.set(
        xlabel=eps_label(group["norm"].iloc[0]), ylabel="accuracy", ylim=(-0.02, 1.02), title=title
    )
    axes.grid(alpha=0.3)
    legend(figure, axes)
    return figure


def _threats(group: pd.DataFrame, title: str) -> Figure:
    """Robust accuracy over epsilon under each threat model, one panel a defense."""
    defenses, threats = list(dict.fromkeys(group["defense"])), list(dict.fromkeys(group["threat"]))
    columns = min(PANELS, len(defenses))
    rows = -(-len(defenses) // columns)
    figure = Figure(figsize=(max(6.4, 0.8 + 2.9 * columns), 1.3 + 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for axes, defense in zip(panels, defenses, strict=False):
        of_defense = group[group["defense"] == defense]
        for threat, found in of_defense.groupby("threat", sort=False):
            line_over_eps(axes, found, str(threat), style(threats.index(threat)))
        axes.set(ylim=(-0.02, 1.02))
        axes.set_title(defense, fontsize=min(9.0, 320 / len(defense)))
        axes.grid(alpha=0.3)
    norm = group["norm"].iloc[0]
    trim(panels, len(defenses), columns, "epsilon" if norm == NO_NORM else f"epsilon ({norm})")
    for axes in panels[: len(defenses) : columns]:
        axes.set_ylabel("accuracy")
    handles = [Line2D([], [], **style(index)) for index in range(len(threats))]
    figure.legend(
        handles, threats, loc="outside lower center", ncols=min(5, len(threats)), fontsize=9
    )
    figure.suptitle(title, fontsize=11)
    return figure
