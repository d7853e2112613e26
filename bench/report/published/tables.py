"""Tables of a run beside published numbers."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from bench.report.columns import seed_column
from bench.report.formats import MARKS, formatted, interval_texts, marked, three_digits
from bench.report.latency.remarks import remarks
from bench.report.published.comparison import PublishedComparison
from bench.report.published.matching import TRAININGS
from bench.report.report import Report
from bench.report.writers import NamedTable

_LABELS = ("printed eps", "printed on")
"""Columns that name a row beside its data set, attack and defense."""

_SCALES = (
    "printed on: the scale of the printed epsilon; an epsilon on [-1, 1] is half as large on "
    "[0, 1]; eps: on [0, 1]"
)
_LATENCY = (
    "ours: median [quartiles]; published / ours: published over our median; on different machines, "
    "so not a comparison of defenses"
)
_CURVES = (
    "distance: mean absolute difference over the matched epsilons; fits: by the distance over the "
    "shared epsilons, those that the run has on both scales; a weaker attack moves a curve in the "
    "same way as another scale, so this alone does not identify the scale"
)
_EQUAL_STRENGTH = (
    "at the smallest epsilon of this run at which our undefended robust accuracy is at most the "
    "published one; above, below: our whole 95 % Wilson interval is, the published number taken as "
    "exact"
)
_TRAINING = (
    "trained for: the attack of the defense's training beside that of the test; the most similar "
    "comes first and corresponds to the published number"
)


def published_tables(comparison: PublishedComparison) -> Iterator[NamedTable]:
    """The published tables, then curves, defenses at equal strength, and latencies."""
    yield from _accuracy_tables(comparison)

    name = comparison.name
    setting = run_setting(comparison.report)
    if not comparison.curves.empty:
        sources = comparison.publication.sources.values()
        notes = _lines(_CURVES, *(source.note for source in sources), setting)
        title = f"Undefended curves of {name}, and their distance to this run's"
        table = curves_table(comparison.curves)
        yield NamedTable(f"against_{name}_curves", title, table, notes)

    rows = comparison.equal_strength
    if not rows.empty:
        notes = _lines(_EQUAL_STRENGTH, MARKS, _training(rows), *rows["remark"], setting)
        title = f"Defenses of {name} under an attack of equal strength"
        table = equal_strength_table(rows)
        yield NamedTable(f"against_{name}_equal_strength", title, table, notes, labels=_LABELS)

    rows = comparison.latency
    if not rows.empty:
        latency = comparison.report.latency
        doubts = remarks(latency[latency["batch_size"] == 1])
        title = f"Seconds per call of {name}, and this run's at batch size 1"
        notes = _lines(_LATENCY, *rows["remark"], doubts)
        yield NamedTable(f"against_{name}_latency", title, latency_table(rows), notes)


def _accuracy_tables(comparison: PublishedComparison) -> Iterator[NamedTable]:
    """A table for each published table."""
    name = comparison.name
    accuracies = comparison.accuracies
    setting = run_setting(comparison.report)

    for table, rows in accuracies.groupby(accuracies["table"].fillna(""), sort=False):
        stem = "".join(letter for letter in str(table) if letter.isalnum())
        title = f"Table {table} of {name}" if table else f"Figures of {name}"
        notes = _lines(_SCALES, MARKS, _training(rows), *rows["remark"], setting)
        frame = accuracies_table(rows)
        yield NamedTable(
            f"against_{name}_table{stem}", f"{title}, and this run", frame, notes, labels=_LABELS
        )


def run_setting(report: Report) -> str:
    """Classifiers with parameters, numbers of images, seeds and machines of a run, in one line."""
    records = [cell.record for cell in report.cells]
    classifiers = (
        f"{record.labels['classifier']} ({_parameters(record.parameters.get('classifier', {}))})"
        for record in records
    )

    return "; ".join(
        (
            f"this run: {_distinct(classifiers)}",
            f"test images: {_distinct(record.n for record in records)}",
            f"seeds: {_distinct(record.labels['seed'] for record in records)}",
            f"on {_distinct(report.machines)}",
        )
    )


def accuracies_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The published accuracy, ours with its interval, the difference, or why there is none."""
    datasets = list(dict.fromkeys(frame["dataset"]))
    frame = frame.sort_values("dataset", key=lambda names: names.map(datasets.index), kind="stable")
    table = _printed_columns(frame)
    table["printed on"] = frame["scale"]
    table["eps"] = formatted(frame["eps"], "{:g}")
    table["published"] = [_published(row) for row in frame.to_dict("records")]
    table["ours"] = [*map(marked, interval_texts(frame, "ours"), frame["verdict"])]
    table["difference"] = formatted(frame["difference"], "{:+.3f}")
    _add_our_columns(table, frame)
    if (frame["defense"] != "none").any():
        table["clean accuracy, ours"] = formatted(frame["clean_accuracy"], "{:.3f}")
    table["note"] = frame["state"]

    return table.reset_index(drop=True)


def curves_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The distance to each published curve, the number of epsilons, and the scale that fits."""
    table = frame[["dataset", "attack", "classifier"]].copy()
    table["our attack"] = frame["our_attack"]
    table["n"] = frame["n"]
    table["printed on"] = frame["scale"]
    counts = zip(frame["matched"], frame["possible"], strict=True)
    table["matched"] = [f"{matched} of {possible}" for matched, possible in counts]
    table["distance"] = formatted(frame["distance"], "{:.3f}")
    table["shared"] = frame["shared"]
    table["distance, shared"] = formatted(frame["shared_distance"], "{:.3f}")
    table["fits"] = frame["fits"]

    return table


def equal_strength_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Each published defense beside ours, both with the undefended robust accuracy."""
    ours = formatted(frame["our_undefended_robust_accuracy"], "{:.3f}")
    table = _printed_columns(frame)
    table["undefended robust accuracy, published"] = formatted(
        frame["undefended_robust_accuracy"], "{:.4f}"
    )
    table["published"] = formatted(frame["accuracy"], "{:.4f}")
    table["eps, ours"] = [three_digits(value) for value in frame["eps"]]
    table["undefended robust accuracy, ours"] = [*map(marked, ours, frame["undefended_verdict"])]
    table["ours"] = [*map(marked, interval_texts(frame, "ours"), frame["verdict"])]
    table["outcome"] = frame["outcome"]
    _add_our_columns(table, frame)
    table["clean accuracy, ours"] = formatted(frame["clean_accuracy"], "{:.3f}")
    table["note"] = frame["state"]

    return table


def latency_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Published seconds beside our median and quartiles, with devices."""
    table = frame[["dataset", "defense"]].copy()
    table["published, s"] = formatted(frame["seconds"], "{:g}")
    table["published on"] = frame["printed_device"].fillna("not stated")
    table["ours, s"] = [_seconds(row) for row in frame.to_dict("records")]
    table["published / ours"] = [three_digits(value) for value in frame["ratio"]]
    for title, name in {
        "device": "device",
        "target": "target",
        "classifier": "classifier",
        "our defense": "our_defense",
        "engine": "engine",
        "precision": "precision",
        "note": "state",
    }.items():
        table[title] = _text(frame[name])

    return table


def _printed_columns(frame: pd.DataFrame) -> pd.DataFrame:
    table = frame[["dataset"]].copy()
    table["attack"] = _text(frame["attack"], "none")
    table["printed eps"] = _text(frame["epsilon"])
    table["defense"] = frame["defense"]

    return table


def _add_our_columns(table: pd.DataFrame, frame: pd.DataFrame) -> None:
    """Add our classifier, and what differs from the published names: attack, defense, seeds."""
    table["classifier"] = _text(frame["classifier"])
    for name in ("attack", "defense"):
        ours = _text(frame[f"our_{name}"])
        if not ours.isin(["", *frame[name].dropna()]).all():
            table[f"our {name}"] = ours
    if _has_training(frame):
        table["trained for"] = _text(frame["training"])
    if seed_column(frame):
        table["seed"] = formatted(frame["seed"], "{:g}")


def _lines(*lines: str) -> str:
    """All lines that are not empty, each once."""
    return "\n".join(dict.fromkeys(filter(None, lines)))


def _training(rows: pd.DataFrame) -> str:
    return _TRAINING if _has_training(rows) else ""


def _has_training(rows: pd.DataFrame) -> bool:
    """Whether a defense was trained for an attack."""
    return bool(rows["training"].isin(TRAININGS[1:]).any())


def _parameters(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {json.dumps(value)}" for name, value in values.items() if value is not None
    )


def _distinct(values: Iterable[Any]) -> str:
    """All values, each once, in the order in which they appear."""
    return "; ".join(dict.fromkeys(map(str, values)))


def _text(values: pd.Series[Any], missing: str = "") -> pd.Series[Any]:
    return values.astype(object).where(values.notna(), missing)


def _published(row: Mapping[Hashable, Any]) -> str:
    return f"{row['accuracy']:.4f}{'' if row['evidence'] == 'verified' else ' (from a summary)'}"


def _seconds(row: Mapping[Hashable, Any]) -> str:
    if pd.isna(row["p50_seconds"]):
        return ""

    value, low, high = (f"{row[f'{name}_seconds']:.3g}" for name in ("p50", "p25", "p75"))
    return f"{value} [{low}, {high}]"
