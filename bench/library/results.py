"""The results of a run for a program or a notebook: its tables as frames, its figures drawn."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bench.records.folder import RunFolder
from bench.report import Report, figures, print_tables, table_console, tables
from bench.report.drawing import drawn


class Results:
    """What a run found, derived from the raw files in its folder.

    Args:
        folder: folder of the run.

    Raises:
        RequestError: the folder is not that of a run, or a raw file is damaged.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._report = Report.of(folder)

    @property
    def folder(self) -> Path:
        """Folder of the run; `bench report` writes tables and figures there."""
        return self._folder.path

    @property
    def config(self) -> dict[str, Any]:
        """Resolved configuration of the run."""
        return self._folder.config()

    @property
    def results(self) -> pd.DataFrame:
        """One row per cell: clean and robust accuracy with intervals, verdict and reasons."""
        return self._report.results

    @property
    def decisions(self) -> pd.DataFrame:
        """One row per defense and budget: gains beside costs, and whether they decide."""
        return self._report.decisions

    @property
    def worst_case(self) -> pd.DataFrame:
        """One row per defense and budget: all attacks together, rank, and what it rests on."""
        return self._report.worst_case

    @property
    def latency(self) -> pd.DataFrame:
        """One row per timed call: percentiles in milliseconds and images per second."""
        return self._report.latency

    @property
    def pairs(self) -> pd.DataFrame:
        """One row per pair of defenses and budget: the paired test on the same images."""
        return self._report.pairs

    @property
    def classes(self) -> pd.DataFrame:
        """One row per defense, budget and class."""
        return self._report.classes

    @property
    def cascade(self) -> pd.DataFrame:
        """One row per member of each adaptive attack."""
        return self._report.cascade

    @property
    def seeds(self) -> pd.DataFrame:
        """One row per cell without its seed; empty for a single seed."""
        return self._report.seeds

    @cached_property
    def failed(self) -> pd.DataFrame:
        """The rows of `results` of cells that failed, with the reason of each."""
        failed: pd.DataFrame = self.results[self.results["status"] == "failed"]
        return failed

    def show(self) -> None:
        """Show tables and figures in a notebook; elsewhere print the tables."""
        display = _display()
        if display is None:
            print_tables(table_console(), self._report)
            return

        display(*self._shown(), *self._drawn())

    def _shown(self) -> Iterator[Any]:
        """The tables of the terminal, as HTML."""
        from IPython.display import HTML

        for table in tables(self._report):
            if table.printed:
                title = pd.DataFrame({"": [table.title]}).to_html(header=False, index=False)
                notes = pd.DataFrame({"": table.notes.splitlines()}).to_html(
                    header=False, index=False
                )
                yield HTML(
                    title + table.frame.to_html(index=False) + (notes if table.notes else "")
                )

    def _drawn(self) -> Iterator[Any]:
        """The figures, as PNG."""
        from IPython.display import Image

        for png in drawn(figures(self._report)):
            yield Image(data=png)

    def _repr_html_(self) -> str:
        """The worst cases, as a notebook shows the value of a cell."""
        html: str = self.worst_case.to_html(index=False)
        return html

    def __repr__(self) -> str:
        counts = self.results["status"].value_counts().to_dict()
        cells = ", ".join(f"{count} {status}" for status, count in counts.items())
        return f"<Results of {cells or 'no'} cells in {self.folder}>"


def _display() -> Any:
    """The function that shows objects in a notebook; None outside of one."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    shell = get_ipython()
    return display if shell is not None and hasattr(shell, "kernel") else None
