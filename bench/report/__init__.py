"""The report: tables and plots derived from a run's raw files, without torch."""

from __future__ import annotations

from bench.records.folder import RunFolder
from bench.report.figures import write_plots
from bench.report.report import Report
from bench.report.tables import print_tables, table_console, write_tables

__all__ = ["Report", "print_tables", "table_console", "write_report"]


def write_report(run: RunFolder) -> Report:
    """Write all tables and plots of a run into its folder, and return what they show.

    Raises:
        RequestError: a raw file is damaged.
        StorageError: a file could not be written.
    """
    report = Report.of(run)
    write_tables(run.path / "tables", report)
    write_plots(run.path / "plots", report)
    return report
