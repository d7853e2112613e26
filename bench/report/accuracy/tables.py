"""Tables of accuracies: cell by cell, threat models side by side, over seeds."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

import pandas as pd

from bench.report.accuracy.frame import EXTRA
from bench.report.accuracy.metrics import METRICS
from bench.report.columns import seed_column
from bench.report.decision.gains import compares
from bench.report.formats import HALF_WIDTH, LEVEL_MARKS, formatted, marked, three_digits
from bench.report.report import Report
from bench.report.writers import NamedTable

_LABELS = ["dataset", "classifier", "attack", "eps", "threat", "defense"]


def accuracy_tables(report: Report) -> Iterator[NamedTable]:
    """Threat models side by side where there are several, every cell, and statistics over seeds.

    On the terminal only the cells of a run that compares no defense with the bare classifier.
    """
    results = report.results
    if results.empty:
        return

    skipped = _skipped(results)
    side_by_side = results["threat"].nunique() > 1
    if side_by_side:
        title = "Robust accuracy, threat models side by side"
        notes = f"{_marks(results)}; reasons and intervals in accuracy.md"
        yield NamedTable(
            "threats", title, threat_table(results), f"{notes}\n{skipped}".strip(), printed=False
        )

    title = "Accuracy, with 95 % Wilson intervals"
    table = accuracy_table(results)
    yield NamedTable(
        "accuracy",
        title,
        table,
        skipped,
        printed=not side_by_side and not compares(report.decisions),
        brief=report.names.shown(accuracy_table(results, brief=True)),
        brief_notes=f"{HALF_WIDTH}\n{skipped}".strip(),
        spare=("reasons", "undefended clean accuracy", "undefended robust accuracy"),
    )

    if not report.seeds.empty:
        yield NamedTable("seeds", "Over seeds", seeds_table(report.seeds), printed=False)


def threat_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per defense, attack and epsilon, one column per threat model: the robust accuracy.

    The mark behind it is that of the verdict.
    """
    labels = ["dataset", "classifier", "attack", "eps", *seed_column(results), "defense"]
    cells = results.assign(
        clean=results["clean_accuracy"].map("{:.3f}".format, na_action="ignore"),
        robust=[_robust_accuracy(row) for row in results.to_dict("records")],
    )
    table = cells.pivot_table(
        index=labels, columns="threat", values="robust", aggfunc="first", sort=False
    )
    table = table[list(dict.fromkeys(results["threat"]))].fillna("")
    table.insert(0, "clean accuracy", cells.groupby(labels, sort=False)["clean"].first())
    table.columns = pd.Index(list(table.columns))

    return _sorted(table.reset_index(), labels)


def accuracy_table(results: pd.DataFrame, *, brief: bool = False) -> pd.DataFrame:
    """One row per cell: every metric that has a title, the verdict and its reasons.

    The seed has a column where there are several, a metric where a cell has it. Skipped cells are
    left out; a failed one has the verdict `failed`.

    Args:
        results: frame of `bench.report.accuracy.frame.results_frame`.
        brief: whether half of an interval stands in place of its ends.
    """
    results = results[results["status"] != "skipped"]
    labels = [*_LABELS, *seed_column(results)]
    table = results[labels].copy()
    for metric in METRICS:
        if metric.title and results[metric.name].notna().any():
            table[metric.title] = metric.texts(results, brief=brief)
    for name in (name for name in results if str(name).startswith(EXTRA)):
        title = f"mean {str(name).removeprefix(EXTRA)}, clean"
        table[title] = [three_digits(value) for value in results[name]]

    ok = results["status"] == "ok"
    table["verdict"] = results["verdict"].where(ok, results["status"])
    table["reasons"] = results["reasons"].where(ok, results["reason"])

    return _sorted(table, labels)


def seeds_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per cell without its seed: mean ± standard deviation and range of both accuracies."""
    table = frame[[*_LABELS, "seeds"]].copy()

    for name in ("clean_accuracy", "robust_accuracy"):
        mean, deviation, least, most = (
            formatted(frame[f"{name}_{statistic}"], "{:.3f}")
            for statistic in ("mean", "std", "min", "max")
        )
        title = name.replace("_", " ")
        table[f"{title}, mean ± sd"] = [
            " ± ".join(pair) for pair in zip(mean, deviation, strict=True)
        ]
        table[f"{title}, range"] = [" to ".join(pair) for pair in zip(least, most, strict=True)]

    return _sorted(table, _LABELS)


def _sorted(table: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """By all labels but the defense, whose order is that of the run."""
    order = [name for name in labels if name != "defense"]

    return table.sort_values(order, kind="stable").reset_index(drop=True)


def _robust_accuracy(row: Mapping[Hashable, object]) -> str:
    if row["status"] != "ok":
        return str(row["status"])
    return marked(f"{row['robust_accuracy']:.3f}", row["verdict"])


def _marks(results: pd.DataFrame) -> str:
    """The number of cells with each level of verdict, and its mark."""
    counts = results["verdict"].value_counts()

    return ", ".join(
        f"{counts.get(level, 0)} {level}{f' ({mark.strip()})' if mark else ''}"
        for level, mark in LEVEL_MARKS.items()
    )


def _skipped(results: pd.DataFrame) -> str:
    """The number and the names of skipped cells in one line; empty for none."""
    skipped = results[results["status"] == "skipped"]
    if skipped.empty:
        return ""

    cells = "cell" if len(skipped) == 1 else "cells"
    rows = skipped.to_dict("records")
    names = dict.fromkeys(f"{row['attack']} under {row['threat']}" for row in rows)

    return f"{len(skipped)} {cells} skipped (reasons in results.csv): {', '.join(names)}"
