"""The report: tables and plots derived from a run's raw files, without torch."""

from __future__ import annotations

from bench.report.frames import latency_frame, results_frame
from bench.report.plots import write_plots
from bench.report.tables import print_tables, table_console, write_tables
from bench.runs import RunFolder

__all__ = [
    "latency_frame",
    "print_tables",
    "results_frame",
    "table_console",
    "write_plots",
    "write_report",
    "write_tables",
]


def write_report(run: RunFolder) -> None:
    """Write all tables and plots of a run into its folder.

    Raises:
        RequestError: a raw file is damaged.
        StorageError: a file could not be written.
    """
    results, latency = results_frame(run), latency_frame(run)
    write_tables(run.path / "tables", results, latency)
    write_plots(run.path / "plots", run, results, latency)
