"""Tables for people, from the frames: CSV, Markdown and LaTeX, and the same on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.atomic import write_text

_LABELS = ("dataset", "classifier", "attack", "eps", "threat", "defense")


def accuracy_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per cell: clean and robust accuracy with intervals, undefended beside defended, the verdict.

    The seed has a column only where there are several.
    """
    labels = [*_LABELS, *(["seed"] if results["seed"].nunique() > 1 else [])]
    table = results[labels].copy()
    failed = results["status"] != "ok"
    pairs = (
        ("clean, undefended", "undefended_clean_accuracy"),
        ("clean, defended", "clean_accuracy"),
        ("attacked, undefended", "undefended_accuracy"),
        ("attacked, defended", "robust_accuracy"),
    )
    for title, column in pairs:
        table[title] = results.apply(_interval, axis=1, name=column)
    table["verdict"] = results["verdict"].where(~failed, "failed: " + results["reason"])
    return table.sort_values([name for name in labels if name != "defense"], kind="stable").reset_index(drop=True)


def latency_table(latency: pd.DataFrame) -> pd.DataFrame:
    """One row per defense and target: median and 95th percentile in milliseconds at each batch size."""
    rows = ["dataset", "classifier", "defense", "engine", "device", "target"]
    if latency.empty:
        return pd.DataFrame(columns=rows)
    table = latency.pivot_table(index=rows, columns="batch_size", values=["p50_ms", "p95_ms"], sort=False)
    levels = (table.columns.get_level_values(level) for level in (0, 1))
    table.columns = pd.Index([f"{str(what)[:3]} ms, batch {size}" for what, size in zip(*levels, strict=True)])
    order = sorted(table.columns, key=lambda title: (int(title.rsplit(" ", 1)[1]), title))
    return table[order].map(_three_digits).reset_index()


def write_tables(folder: Path, results: pd.DataFrame, latency: pd.DataFrame) -> None:
    """Write `results.csv`, `latency.csv` (every column, nine digits) and the tables for people."""
    write_text(folder / "results.csv", results.to_csv(index=False, float_format="%.9g"))
    write_text(folder / "latency.csv", latency.to_csv(index=False, float_format="%.9g"))
    for name, table in (("accuracy", accuracy_table(results)), ("latency_table", latency_table(latency))):
        write_text(folder / f"{name}.md", table.to_markdown(index=False, disable_numparse=True) + "\n")
        write_text(folder / f"{name}.tex", table.to_latex(index=False, escape=True, float_format="%g"))


def table_console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for every column where it is none."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def print_tables(console: Console, results: pd.DataFrame, latency: pd.DataFrame) -> None:
    """The tables for people, on the terminal."""
    _print(console, "Accuracy, with 95 % Wilson intervals", accuracy_table(results))
    if not latency.empty:
        _print(console, "Latency per call", latency_table(latency))


def _print(console: Console, title: str, frame: pd.DataFrame) -> None:
    constant = [name for name in frame.columns if frame[name].nunique() == 1 and name not in ("defense", "verdict")]
    shown = frame.drop(columns=[name for name in constant if name in (*_LABELS, "engine", "device")])
    fixed = ", ".join(f"{name} {frame[name].iloc[0]}" for name in constant if name not in shown)
    table = Table(title=Text(f"{title} ({fixed})" if fixed else title), title_justify="left", header_style="bold")
    for name in shown.columns:
        table.add_column(Text(str(name)), justify="left" if name in (*_LABELS, "target", "verdict") else "right")
    for row in shown.itertuples(index=False):
        table.add_row(*(Text(f"{value:g}" if isinstance(value, float) else str(value)) for value in row))
    console.print(table)


def _interval(row: pd.Series[Any], name: str) -> str:
    value, low, high = (row[column] for column in (name, f"{name}_low", f"{name}_high"))
    return "" if pd.isna(value) else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _three_digits(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3g}" if value < 100 else f"{value:.0f}"
