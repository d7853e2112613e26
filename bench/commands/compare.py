"""`bench compare`: one run against another, cell by cell on the same images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from bench.errors import RequestError
from bench.progress import say
from bench.records.cell import LABELS
from bench.records.folder import RunFolder
from bench.report.comparison import ACCURACIES, Comparison
from bench.report.formats import formatted, three_digits
from bench.report.terminal import print_table, table_console


def compare(path_a: Path, path_b: Path, fail_below: float | None) -> int:
    """Print the comparison of two runs.

    Args:
        path_a: folder of the reference run, A.
        path_b: folder of the other run, B.
        fail_below: number of percentage points that B may lose in a cell; None for any number.

    Returns:
        1 if there is a regression, else 0.

    Raises:
        RequestError: a path is not the folder of a run, a raw file is damaged, or the two runs
            cannot be compared.
    """
    if fail_below is not None and not math.isfinite(fail_below):
        raise RequestError(f"--fail-below {fail_below}: must be a number of percentage points")

    comparison = Comparison.of(RunFolder.open(path_a), RunFolder.open(path_b))
    _print(table_console(), f"A: {path_a}, B: {path_b}", comparison)
    if fail_below is None:
        return 0

    messages = Console(stderr=True)
    regressions = comparison.regressions(fail_below)
    for line in regressions:
        say(messages, f"worse in B: {line}")
    if regressions:
        count = f"{len(regressions)} regressions of B"
        say(messages, f"{count} beyond {fail_below:g} points (--fail-below)")

    return 1 if regressions else 0


def comparison_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The comparison for people, without the cells that both runs skipped."""
    frame = frame[(frame["status_a"] != "skipped") | (frame["status_b"] != "skipped")]
    table = frame[list(LABELS)].copy()

    for name in ACCURACIES:
        title = name.replace("_", " ")
        table[f"{title} A"] = formatted(frame[f"{name}_a"], "{:.3f}")
        table[f"{title} B"] = formatted(frame[f"{name}_b"], "{:.3f}")
        table[f"{title}, points"] = formatted(frame[f"{name}_points"], "{:+.1f}")
    table["p"] = frame["p"].map(three_digits)
    table["p, Holm"] = frame["p_holm"].map(three_digits)
    table["mark"] = frame["mark"]

    return table


def _print(output: Console, title: str, comparison: Comparison) -> None:
    print_table(output, title, comparison_table(comparison.frame))

    for name, cells in (("A", comparison.only_a), ("B", comparison.only_b)):
        if cells:
            count = f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'}"
            say(output, f"{count} only in {name}: {_differences(cells, comparison.frame)}")
    if comparison.changed:
        names = ", ".join(comparison.changed)
        say(output, f"the same specs, with other parameters: {names}")


def _differences(cells: Sequence[Mapping[str, Any]], common: pd.DataFrame) -> str:
    """The values that the common cells lack, such as `defense puvae`, or else all labels."""
    known = {axis: set(common[axis]) for axis in LABELS}
    differences: dict[str, None] = {}
    for labels in cells:
        new = [f"{axis} {labels[axis]}" for axis in LABELS if labels[axis] not in known[axis]]
        all_labels = " ".join(str(labels[axis]) for axis in LABELS)
        differences.update(dict.fromkeys(new or [all_labels]))

    return ", ".join(differences)
