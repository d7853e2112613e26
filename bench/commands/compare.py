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
from bench.records.folder import RunFolder
from bench.report.accuracy import CELL_LABELS
from bench.report.comparison import Comparison
from bench.report.tables import print_table, table_console
from bench.report.text import three_digits


def compare(path_a: Path, path_b: Path, fail_below: float | None) -> int:
    """Print the comparison of the runs at two paths.

    Args:
        path_a: the reference.
        path_b: the other.
        fail_below: how many percentage points B may lose in a cell; None for any.

    Returns:
        1 where B lost more, else 0.

    Raises:
        RequestError: one is no run's folder, a raw file is damaged, or the two cannot be compared.
    """
    if fail_below is not None and not math.isfinite(fail_below):
        raise RequestError(f"--fail-below {fail_below}: must be a number of percentage points")
    found = Comparison.of(RunFolder.open(path_a), RunFolder.open(path_b))
    output, messages = table_console(), Console(stderr=True)
    print_table(output, f"A: {path_a}, B: {path_b}", comparison_table(found.frame))
    for name, cells in (("A", found.only_a), ("B", found.only_b)):
        if cells:
            count = f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'}"
            say(output, f"{count} only in {name}: {_differences(cells, found.frame)}")
    if found.changed:
        say(output, f"the same specs, with other parameters: {', '.join(found.changed)}")
    if fail_below is None:
        return 0
    regressions = found.regressions(fail_below)
    for line in regressions:
        say(messages, f"worse in B: {line}")
    if regressions:
        say(
            messages,
            f"{len(regressions)} regressions of B beyond {fail_below:g} points (--fail-below)",
        )
    return 1 if regressions else 0


def comparison_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The comparison for people, without the cells that both skipped."""
    frame = frame[(frame["status_a"] != "skipped") | (frame["status_b"] != "skipped")]
    table = frame[list(CELL_LABELS)].copy()
    for name in ("clean", "robust"):
        for end in ("a", "b"):
            table[f"{name} {end.upper()}"] = _texts(frame[f"{name}_{end}"], "{:.3f}")
        table[f"{name}, points"] = _texts(frame[f"{name}_points"], "{:+.1f}")
    table["p"], table["p, Holm"] = frame["p"].map(three_digits), frame["p_holm"].map(three_digits)
    table["mark"] = frame["mark"]
    return table


def _texts(values: pd.Series[Any], form: str) -> list[str]:
    return ["" if pd.isna(value) else form.format(value) for value in values]


def _differences(cells: Sequence[Mapping[str, Any]], common: pd.DataFrame) -> str:
    """What the cells have that the common ones lack, such as `defense puvae`.

    Otherwise their names.
    """
    new: dict[str, None] = {}
    for labels in cells:
        lacking = [
            f"{axis} {labels[axis]}"
            for axis in CELL_LABELS
            if labels[axis] not in set(common[axis])
        ]
        names = lacking or [" ".join(str(labels[axis]) for axis in CELL_LABELS)]
        new.update(dict.fromkeys(names))
    return ", ".join(new)
