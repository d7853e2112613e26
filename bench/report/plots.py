"""Plots from the frames and the sample images, each as PNG and SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.atomic import write_bytes
from bench.runs import Result, RunFolder

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#F0E442")
_MARKERS = "osD^vP*X"
_SAMPLES = 8


def write_plots(folder: Path, run: RunFolder, results: pd.DataFrame, latency: pd.DataFrame) -> None:
    """Write all plots that the results allow."""
    ok = results[results["status"] == "ok"]
    for (dataset, classifier, attack, threat), group in ok.groupby(["dataset", "classifier", "attack", "threat"]):
        name = f"{dataset}_{classifier}_{attack}_{threat}"
        title = f"{dataset}, {classifier}, {attack} ({threat}), n = {group['n'].iloc[0]}"
        _save(folder, f"accuracy_eps_{name}", _accuracy_eps(group, title))
        for eps, at_eps in group.groupby("eps"):
            timed = _with_latency(at_eps, latency)
            if not timed.empty:
                figure = _accuracy_latency(timed, f"{title}, eps {eps:g}")
                _save(folder, f"accuracy_latency_{name}_eps{eps:g}", figure)
    for title, name, records in _sample_groups(run):
        _save(folder, f"images_{name}", _samples(run, records, title))


def _accuracy_eps(group: pd.DataFrame, title: str) -> Figure:
    """Robust accuracy over epsilon, one line a defense with its interval; epsilon 0 is the clean accuracy."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    first = _over_seeds(group[group["defense"] == group["defense"].iloc[0]])
    _line(axes, first, "undefended", "undefended_accuracy", "undefended_clean_accuracy", "black", "", "--")
    for index, (defense, rows) in enumerate(group.groupby("defense", sort=False)):
        if defense == "none":
            continue  # the same numbers as the undefended line
        style = (_COLORS[index % len(_COLORS)], _MARKERS[index % len(_MARKERS)], "-")
        _line(axes, _over_seeds(rows), str(defense), "robust_accuracy", "clean_accuracy", *style)
    axes.set(xlabel="epsilon on the [0, 1] scale (0: clean)", ylabel="accuracy", ylim=(-0.02, 1.02), title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _line(
    axes: Axes, rows: pd.DataFrame, label: str, column: str, clean: str, color: str, marker: str, style: str
) -> None:
    values = {
        end: np.concatenate([[rows[f"{clean}{end}"].iloc[0]], rows[f"{column}{end}"]]) for end in ("", "_low", "_high")
    }
    eps = np.concatenate([[0.0], rows["eps"]])
    axes.plot(eps, values[""], color=color, marker=marker, linestyle=style, label=label, markersize=5)
    axes.fill_between(eps, values["_low"], values["_high"], color=color, alpha=0.15, linewidth=0)


def _over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.groupby("eps", as_index=False).mean(numeric_only=True).sort_values("eps")


def _with_latency(rows: pd.DataFrame, latency: pd.DataFrame) -> pd.DataFrame:
    """The rows of one budget with the pipeline's latency quartiles at the smallest batch."""
    if latency.empty:
        return latency
    timed = latency[(latency["target"] == "pipeline") & (latency["batch_size"] == latency["batch_size"].min())]
    keys = ["dataset", "classifier", "defense"]
    return rows.merge(timed[[*keys, "engine", "device", "batch_size", "p25_ms", "p50_ms", "p75_ms"]], on=keys)


def _accuracy_latency(rows: pd.DataFrame, title: str) -> Figure:
    """Robust accuracy against the pipeline's latency; error bars: Wilson interval, interquartile range."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for index, (defense, group) in enumerate(rows.groupby("defense", sort=False)):
        row = group.mean(numeric_only=True)
        axes.errorbar(
            row["p50_ms"],
            row["robust_accuracy"],
            xerr=[[row["p50_ms"] - row["p25_ms"]], [row["p75_ms"] - row["p50_ms"]]],
            yerr=[
                [max(0.0, row["robust_accuracy"] - row["robust_accuracy_low"])],
                [max(0.0, row["robust_accuracy_high"] - row["robust_accuracy"])],
            ],
            color=_COLORS[index % len(_COLORS)],
            marker=_MARKERS[index % len(_MARKERS)],
            capsize=3,
            linestyle="",
            label=str(defense),
        )
    batch, device = int(rows["batch_size"].iloc[0]), rows["device"].iloc[0]
    axes.set(xscale="log", ylim=(-0.02, 1.02), ylabel="robust accuracy", title=title)
    axes.set_xlabel(f"latency of purifier and classifier, ms a call, batch {batch} ({device})")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    return figure


def _sample_groups(run: RunFolder) -> Iterator[tuple[str, str, list[Result]]]:
    """For each dataset, classifier, attack, threat and seed: the records of all defenses at its largest epsilon."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in run.results():
        if result.status == "ok":
            labels = result.labels
            key = tuple(str(labels[name]) for name in ("dataset", "classifier", "attack", "threat", "seed"))
            groups.setdefault(key, []).append(result)
    for key, records in groups.items():
        eps = max(record.labels["eps"] for record in records)
        chosen = [record for record in records if record.labels["eps"] == eps]
        dataset, classifier, attack, threat, seed = key
        title = f"{dataset}, {classifier}, {attack} eps {eps:g} ({threat})"
        yield title, "_".join([dataset, classifier, attack, threat, f"seed{seed}"]), chosen


def _samples(run: RunFolder, records: list[Result], title: str) -> Figure:
    """Rows: original, adversarial, perturbation, and what each defense makes of the adversarial image."""
    outcomes = [run.outcome(record) for record in records]
    clean, adversarial = outcomes[0]["sample_clean"], outcomes[0]["sample_adversarial"]
    delta = adversarial - clean
    largest = max(float(np.abs(delta).max()), 1e-6)
    images_row = (0.0, 1.0)
    rows = [("original", clean, images_row), ("adversarial", adversarial, images_row)]
    rows.append((f"perturbation\n(colors: ±{largest:.2g})", delta, (-largest, largest)))
    for record, outcome in zip(records, outcomes, strict=True):
        if not np.array_equal(outcome["sample_adversarial"], adversarial):
            rows.append((f"adversarial\nfor {record.labels['defense']}", outcome["sample_adversarial"], images_row))
        rows.append((str(record.labels["defense"]), outcome["sample_purified"], images_row))
    columns = min(_SAMPLES, len(clean))
    figure = Figure(figsize=(1.0 * columns + 1.8, 1.05 * len(rows) + 0.4), layout="compressed")
    for axes, (label, images, scale) in zip(np.atleast_1d(figure.subplots(len(rows), 1)), rows, strict=True):
        _show(axes, images[:columns], scale)
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def _show(axes: Axes, images: NDArray[Any], scale: tuple[float, float]) -> None:
    """Images (n, c, h, w) side by side, a blank column between two; a scale around zero is drawn in two colors."""
    low, high = scale
    apart = np.pad(images, [(0, 0), (0, 0), (0, 0), (0, 1)], constant_values=np.nan)
    strip = np.concatenate(list(apart), axis=2)[..., :-1]
    colored = np.moveaxis((np.nan_to_num(strip, nan=high) - low) / (high - low), 0, -1)
    pixels = strip[0] if len(strip) == 1 else colored
    axes.imshow(pixels, cmap="gray" if low == 0 else "RdBu_r", vmin=low, vmax=high, interpolation="nearest")
    axes.set(xticks=[], yticks=[], frame_on=False)


def _save(folder: Path, name: str, figure: Figure) -> None:
    """As PNG and SVG, the same bytes for the same figure."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once for both formats
    stem = re.sub(r"[^A-Za-z0-9.=_-]+", "-", name)
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        buffer = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": "purification-bench"}):
            figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
        write_bytes(folder / f"{stem}.{kind}", buffer.getvalue())
