"""`bench compare`: one run against another, cell by cell on the same images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from bench.errors import RequestError
from bench.progress import say
from bench.records.cell import LABELS
from bench.records.folder import RunFolder
from bench.report.comparison import Comparison
from bench.report.comparison.tables import comparison_tables, timing_notes
from bench.report.gate.accuracy_checks import cell_checks, clean_checks
from bench.report.gate.check import Limits
from bench.report.naming import NAMED_LABELS, RunNames
from bench.report.terminal import print_table, say_wrapped, table_console
from bench.report.writers import NamedTable


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
    check_limit("--fail-below", fail_below, "percentage points")

    comparison = Comparison.of(RunFolder.open(path_a), RunFolder.open(path_b))
    _print(table_console(), f"A: {path_a}, B: {path_b}", comparison)
    if fail_below is None:
        return 0

    messages = Console(stderr=True)
    limits = Limits(points=fail_below)
    checks = (*cell_checks(comparison, limits), *clean_checks(comparison, limits))
    regressions = [line for check in checks for line in check.lines]
    for line in regressions:
        say(messages, f"worse in B: {line}")
    if regressions:
        count = f"{len(regressions)} regressions of B"
        say(messages, f"{count} beyond {fail_below:g} points (--fail-below)")

    return 1 if regressions else 0


def check_limit(option: str, value: float | None, unit: str) -> None:
    """Check the value of an option that is a limit.

    Raises:
        RequestError: it is negative or not a finite number.
    """
    if value is not None and not 0 <= value < math.inf:
        raise RequestError(f"{option} {value:g}: must be a number of {unit}, at least 0")


def print_comparison(output: Console, tables: Iterable[NamedTable]) -> None:
    """Print the tables of a comparison, of which there are no files, with short names."""
    printed = list(tables)
    names = RunNames.of(
        {
            label: [spec for table in printed for spec in table.frame.get(label, ())]
            for label in NAMED_LABELS
        }
    )
    for table in printed:
        left_out = print_table(output, table.title, names.shown(table.frame), table.spare)
        if left_out:
            say_wrapped(output, f"not shown at this width: {', '.join(left_out)}")
        for line in table.notes.splitlines():
            say_wrapped(output, line)
    for name, spec in names.hidden().items():
        say_wrapped(output, f"{name}: {spec}")


def _print(output: Console, title: str, comparison: Comparison) -> None:
    say(output, title)
    print_comparison(output, comparison_tables(comparison))
    for line in timing_notes(comparison.timings):
        say_wrapped(output, line)

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
