"""Tables for people, from the frames: CSV, Markdown and LaTeX, and the same on the terminal."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.progress import say
from bench.report.latency import ENGINES_BELOW, engines_table, latency_table, remarks
from bench.report.report import Report
from bench.report.scaling import scaling_tables
from bench.report.text import intervals, three_digits
from bench.report.worst_case import UNSEEN
from bench.store.atomic import write_text

_LABELS = ("dataset", "classifier", "attack", "eps", "threat", "defense")
_CONSTANT = (
    *_LABELS,
    "norm",
    "seed",
    "name",
    "seeds",
    "engine",
    "precision",
    "device",
    "cells",
    "basis",
)
"""Columns that the terminal names in a table's title where they hold a single value."""

MARKS = {"ok": "", "suspect": " ?", "invalid": " !"}
"""What stands behind a number, by the level of its verdict."""

_TEXT = (
    *_CONSTANT,
    "target",
    "verdict",
    "strongest",
    "not ok",
    "note",
    "trained for",
    "A",
    "B",
    "network",
)

_FRAMES = (
    "results",
    "latency",
    "worst_case",
    "pairs",
    "seeds",
    "cross_attack",
    "scaling",
    "engines",
)
"""Attributes of a report that are files of that name.

One that is empty is left out, but for the first three.
"""


@dataclass(frozen=True, eq=False)
class Shown:
    """A table for people.

    Attributes:
        name: of its files.
        title: above it on the terminal.
        frame: its rows.
        below: a line under it, or nothing.
        printed: also on the terminal.
    """

    name: str
    title: str
    frame: pd.DataFrame
    below: str = ""
    printed: bool = True


def tables(report: Report) -> Iterator[Shown]:
    """The tables of a report, the headline first."""
    if not report.results.empty:
        yield from _accuracy_tables(report)
    for name, frame in scaling_tables(report.scaling).items():
        title = f"{name}: one trained network, other parameters"
        yield Shown(
            f"scaling_{name}", title, frame, "latency: of purifier and classifier, in eager float32"
        )
    if not report.latency.empty:
        yield Shown(
            "latency_table",
            "Latency per call",
            latency_table(report.latency),
            remarks(report.latency),
        )
    if not report.engines.empty:
        yield Shown(
            "engines", "Engines and precisions", engines_table(report.engines), ENGINES_BELOW
        )


def _accuracy_tables(report: Report) -> Iterator[Shown]:
    results, worst = report.results, report.worst_case
    if not worst.empty:
        ok = results[results["status"] == "ok"]
        several = ok["threat"].nunique() > 1 or ok["attack"].nunique() > 1
        title = "Worst case over all attacks within a budget, image by image"
        below = "rank: 1 + the number of defenses that beat it (exact McNemar, Holm, 0.05), see pairs.md"
        below += (
            f"; ?: {UNSEEN}, or it faced fewer attacks than others"
            if _doubtful(worst).any()
            else ""
        )
        yield Shown("worst_case", title, worst_case_table(worst), below, several)
    side_by_side, skipped = results["threat"].nunique() > 1, _skipped(results)
    if side_by_side:
        title = "Accuracy on the adversarial images, threat models side by side"
        below = f"{_marks(results)}; reasons and intervals in accuracy.md"
        yield Shown("threats", title, threat_table(results), f"{below}\n{skipped}".strip())
    accuracy = accuracy_table(results)
    yield Shown(
        "accuracy",
        "Accuracy, with 95 % Wilson intervals",
        accuracy,
        skipped,
        printed=not side_by_side,
    )
    if not report.seeds.empty:
        yield Shown("seeds", "Over seeds", seeds_table(report.seeds))
    if not report.cross_attack.empty:
        yield Shown(
            "cross_attack",
            "NetworkRef for one attack, tested on another (graybox)",
            cross_table(report),
        )
    if not report.pairs.empty:
        yield Shown("pairs", "Pairs of defenses", pairs_table(report.pairs), printed=False)


def _doubtful(worst: pd.DataFrame) -> pd.Series[bool]:
    """Ranks that are no comparison."""
    return (worst["note"] == UNSEEN) | (worst["unfaced"] > 0)


def worst_case_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per defense and budget: its rank, clean, gray-box and worst-case accuracy, and what they are made of."""
    table = frame[["dataset", "classifier", "norm", "eps", *_seed(frame), "defense"]].copy()
    table["rank"] = frame["rank"] + np.where(_doubtful(frame), "?", "")
    for title, column in (("clean", "clean"), ("graybox", "graybox"), ("worst case", "worst_case")):
        table[title] = intervals(frame, column)
    accuracies = frame["strongest_accuracy"]
    table["strongest"] = [
        f"{name}: {value:.3f}" for name, value in zip(frame["strongest"], accuracies, strict=True)
    ]
    table["cells"], table["not ok"] = frame["cells"], frame["not_ok"]
    if frame["note"].any():
        table["note"] = frame["note"]
    return table


def threat_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per defense, attack and budget, one column per threat model: the accuracy and the mark of its verdict."""
    rows = ["dataset", "classifier", "attack", "eps", *_seed(results), "defense"]
    shown = results.assign(
        clean=results["clean_accuracy"].map("{:.3f}".format, na_action="ignore"),
        shown=[_marked(row) for row in results.to_dict("records")],
    )
    table = shown.pivot_table(
        index=rows, columns="threat", values="shown", aggfunc="first", sort=False
    )
    table = table[list(dict.fromkeys(results["threat"]))].fillna("")
    table.insert(0, "clean", shown.groupby(rows, sort=False)["clean"].first())
    table.columns = pd.Index(list(table.columns))
    order = [name for name in rows if name != "defense"]
    return table.reset_index().sort_values(order, kind="stable").reset_index(drop=True)


def _marked(row: Mapping[Hashable, Any]) -> str:
    if row["status"] != "ok":
        return str(row["status"])
    return f"{row['robust_accuracy']:.3f}{MARKS[_level(row['verdict'])]}"


def _level(verdict: object) -> str:
    return str(verdict).partition(":")[0]


def _marks(results: pd.DataFrame) -> str:
    """How many cells have which verdict, and its mark."""
    levels = results["verdict"].dropna().map(_level).value_counts()
    return ", ".join(
        f"{levels.get(level, 0)} {level}{f' ({mark.strip()})' if mark else ''}"
        for level, mark in MARKS.items()
    )


def accuracy_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per cell: clean and robust accuracy with intervals, undefended beside defended, the
    verdict.

    The seed has a column only where there are several, the distance of the nearest adversarial
    image only where an attack looks for it. Skipped cells are left out.
    """
    results = results[results["status"] != "skipped"]
    labels = [*_LABELS, *_seed(results)]
    table = results[labels].copy()
    pairs = (
        ("clean, undefended", "undefended_clean_accuracy"),
        ("clean, defended", "clean_accuracy"),
        ("attacked, undefended", "undefended_robust_accuracy"),
        ("attacked, defended", "robust_accuracy"),
    )
    for title, column in pairs:
        table[title] = intervals(results, column)
    if results["minimum_distance_median"].notna().any():
        table["nearest, median"] = results["minimum_distance_median"].map(three_digits)
    failed = results["status"] != "ok"
    table["verdict"] = results["verdict"].where(~failed, "failed: " + results["reason"])
    return table.sort_values(
        [name for name in labels if name != "defense"], kind="stable"
    ).reset_index(drop=True)


def seeds_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per cell without its seed: mean ± standard deviation and the range of both accuracies."""
    table = frame[[*_LABELS, "seeds"]].copy()
    for title, name in (("clean", "clean_accuracy"), ("attacked", "robust_accuracy")):
        columns = [frame[f"{name}_{how}"] for how in ("mean", "std", "min", "max")]
        rows = list(zip(*columns, strict=True))
        table[f"{title}, mean ± sd"] = [f"{mean:.3f} ± {std:.3f}" for mean, std, _, _ in rows]
        table[f"{title}, range"] = [f"{low:.3f} to {high:.3f}" for _, _, low, high in rows]
    return table.sort_values(
        [name for name in _LABELS if name != "defense"], kind="stable"
    ).reset_index(drop=True)


def cross_table(report: Report) -> pd.DataFrame:
    """Rows: what the defense was trained for; columns: what it was tested on."""
    frame = report.cross_attack.assign(shown=intervals(report.cross_attack, "accuracy"))
    rows = ["dataset", "classifier", *_seed(frame), "defense", "trained_for"]
    wide = frame.pivot_table(
        index=rows, columns="tested_on", values="shown", aggfunc="first", sort=False
    )
    wide.columns = pd.Index([str(name) for name in wide.columns])
    return wide.fillna("").reset_index().rename(columns={"trained_for": "trained for"})


def pairs_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of defenses, budget and basis."""
    table = frame[["dataset", "classifier", "norm", "eps", *_seed(frame), "basis"]].copy()
    table["A"], table["B"] = frame["defense_a"], frame["defense_b"]
    for title, column in (("accuracy A", "accuracy_a"), ("accuracy B", "accuracy_b")):
        table[title] = frame[column].map("{:.3f}".format)
    table["A only"], table["B only"] = frame["a_only"], frame["b_only"]
    table["p"], table["p, Holm"] = frame["p"].map(three_digits), frame["p_holm"].map(three_digits)
    table["verdict"], table["note"] = frame["verdict"], frame["note"]
    return table


def write_tables(folder: Path, report: Report) -> None:
    """Write the frames as CSV (every column, nine digits) and the tables for people as Markdown and LaTeX."""
    always = ("results", "latency", "worst_case") if not report.results.empty else ()
    for name in _FRAMES:
        frame: pd.DataFrame = getattr(report, name)
        if name in always or not frame.empty:
            write_text(folder / f"{name}.csv", frame.to_csv(index=False, float_format="%.9g"))
    for each in tables(report):
        write_shown(folder, each)


def write_shown(folder: Path, each: Shown) -> None:
    """A table for people as Markdown and LaTeX."""
    markdown = each.frame.to_markdown(index=False, disable_numparse=True) + "\n"
    latex = each.frame.to_latex(index=False, escape=True, float_format="%g")
    lines = each.below.splitlines()
    write_text(folder / f"{each.name}.md", markdown + "".join(f"\n{line}\n" for line in lines))
    write_text(folder / f"{each.name}.tex", latex + "".join(f"% {line}\n" for line in lines))


def table_console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for every column where it is none."""
    console = Console()
    return console if console.is_terminal else Console(width=220)


def print_tables(console: Console, report: Report) -> None:
    """The tables for people, on the terminal."""
    for each in tables(report):
        if each.printed:
            print_table(console, each.title, each.frame)
            if each.below:
                say(console, each.below)


def print_table(console: Console, title: str, frame: pd.DataFrame) -> None:
    """One table; what is the same in every row stands in the title."""
    constant = [
        name
        for name in frame.columns
        if name in _CONSTANT and name != "defense" and frame[name].nunique() == 1
    ]
    shown = frame.drop(columns=constant)
    fixed = ", ".join(f"{name} {frame[name].iloc[0]}" for name in constant)
    table = Table(
        title=Text(f"{title} ({fixed})" if fixed else title),
        title_justify="left",
        header_style="bold",
    )
    for name in shown.columns:
        table.add_column(
            Text(str(name)), justify="left" if name in _TEXT else "right", overflow="fold"
        )
    for row in shown.itertuples(index=False):
        table.add_row(
            *(Text(f"{value:g}" if isinstance(value, float) else str(value)) for value in row)
        )
    console.print(table)


def _skipped(results: pd.DataFrame) -> str:
    """How many cells were skipped, and which, in one line."""
    skipped = results[results["status"] == "skipped"]
    names = dict.fromkeys(
        f"{row['attack']} under {row['threat']}" for row in skipped.to_dict("records")
    )
    what = "cell" if len(skipped) == 1 else "cells"
    return (
        f"{len(skipped)} {what} skipped (reasons in results.csv): {', '.join(names)}"
        if names
        else ""
    )


def _seed(frame: pd.DataFrame) -> list[str]:
    return ["seed"] if frame["seed"].nunique() > 1 else []
