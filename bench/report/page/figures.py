"""Sections of interactive figures: accuracy against latency, and accuracy over epsilon.

The scripts draw them from rows, one figure with choices in place of a figure for each combination.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from bench.report.columns import with_interval
from bench.report.latency.engines import ALIKE
from bench.report.latency.frame import at_smallest_batch, engine_title
from bench.report.page.budgets import BUDGET, decisive
from bench.report.page.marks import reasons_by_cell
from bench.report.page.rendering import rendered
from bench.report.page.section import Section
from bench.report.page.source import PageSource
from bench.report.plotting import undefended_rows
from bench.report.report import Report

WORST_CASE = "all, worst case"
"""Choice of the attack that stands for the worst case over all attacks."""

UNDEFENDED = "none"
"""Defense of the bare classifier."""

_PIPELINE = ["dataset", "classifier", "defense"]


def latency_figures(source: PageSource) -> Iterator[Section]:
    """Accuracy in the worst case against latency, with the Pareto front; nothing without times."""
    points = list(_points(source.report))
    if not points:
        return

    html = rendered(
        "figure.html",
        id="tradeoff",
        note="Up and to the left is better. Bars: 95 % interval of the accuracy, quartiles of the "
        "latency. The line is the accuracy that a time buys, by the defenses that no other "
        "dominates beyond these intervals and that an informed attacker has tested; "
        "hollow points are dominated, or in doubt. The small open rings are the accuracies under "
        "gray-box attacks alone, which no informed attacker has tested.",
    )
    yield Section(
        "tradeoff",
        "Accuracy against latency",
        html,
        {"looks": source.looks(), "points": points},
    )


def epsilon_figures(source: PageSource) -> Iterator[Section]:
    """Accuracy over epsilon, of the defenses under an attack and a threat model."""
    rows = [*_worst_cases(source.report), *_results(source.report)]
    if not rows:
        return

    for row in rows:
        row["attack"] = source.short("attack", row["attack"])
        row["threat"] = source.short("threat", row["threat"])
    html = rendered(
        "figure.html",
        id="curves",
        note="Epsilon 0 is the clean accuracy. Bars: 95 % intervals. Hollow points are suspect, "
        "crossed ones invalid; point at one for its reasons.",
    )
    yield Section(
        "curves",
        "Accuracy over epsilon",
        html,
        {"looks": source.looks(), "rows": rows},
    )


def _points(report: Report) -> Iterator[dict[str, Any]]:
    """A point for each defense, budget, engine and device, timed at the smallest batch."""
    timed = at_smallest_batch(report.latency, "pipeline")
    decisions = report.decisions.assign(decisive=decisive(report.decisions))
    decided = decisions[[*BUDGET, "defense", "dominated_by", "decisive"]]
    rows = report.worst_case.merge(decided, on=[*BUDGET, "defense"]).merge(timed, on=_PIPELINE)

    for row in rows.to_dict("records"):
        yield {
            **{name: row[name] for name in (*BUDGET, "defense", "device", "batch_size", "n")},
            "engine": engine_title(row["engine"], row["precision"]),
            "latency": [row["p50_ms"], row["p25_ms"], row["p75_ms"]],
            "accuracy": [row[name] for name in with_interval("worst_case_accuracy")],
            "graybox": row["graybox_accuracy"],
            "decisive": row["decisive"],
            "mark": row["mark"],
            "note": row["note"],
            "dominated": [name for name in row["dominated_by"].split(", ") if name],
            "alike": bool(pd.isna(row["alike"]) or row["alike"] >= ALIKE),
        }


def _worst_cases(report: Report) -> Iterator[dict[str, Any]]:
    """Rows of the worst case over all attacks."""
    for row in report.worst_case.to_dict("records"):
        yield {
            **{name: row[name] for name in (*BUDGET, "defense", "n")},
            "attack": WORST_CASE,
            "threat": "all",
            "clean": [row[name] for name in with_interval("clean_accuracy")],
            "robust": [row[name] for name in with_interval("worst_case_accuracy")],
            "verdict": "suspect" if row["mark"] else "ok",
            "reasons": row["note"],
        }


def _results(report: Report) -> Iterator[dict[str, Any]]:
    """Rows of single cells, and of the bare classifier where it was not run by itself."""
    ok = report.results[report.results["status"] == "ok"]
    reasons = reasons_by_cell(report)
    yield from (_row(row, reasons) for row in ok.to_dict("records"))

    graybox = ok[ok["threat_name"] == "graybox"]
    for _, rows in graybox.groupby(["dataset", "classifier", "attack", "threat", "seed"]):
        if UNDEFENDED not in set(rows["defense"]):
            bare = undefended_rows(rows).assign(defense=UNDEFENDED, reasons="")
            yield from (_row(row, {}, "undefended_") for row in bare.to_dict("records"))


def _row(
    row: Mapping[Any, Any], reasons: Mapping[tuple[Any, ...], str], prefix: str = ""
) -> dict[str, Any]:
    """A cell for the figure.

    Args:
        row: row of the results.
        reasons: reasons of verdicts by labels, see `bench.report.page.marks.reasons_by_cell`.
        prefix: start of the accuracies' columns: `undefended_` for those of the bare classifier.
    """
    labels = ("dataset", "classifier", "attack", "eps", "seed", "defense", "threat")
    clean, robust = (
        _numbers(row, with_interval(f"{prefix}{name}"))
        for name in ("clean_accuracy", "robust_accuracy")
    )

    return {
        **{name: row[name] for name in (*labels, "norm", "n")},
        "clean": clean,
        "robust": robust,
        "verdict": row["verdict"],
        "reasons": reasons.get(tuple(row[name] for name in labels), ""),
    }


def _numbers(row: Mapping[Any, Any], columns: Iterable[str]) -> list[float]:
    return [float(row[name]) for name in columns]
