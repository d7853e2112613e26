"""The command `bench table`."""

from __future__ import annotations

from bench.cli import subjects, table_options


def command(
    run: subjects.Run,
    rows: table_options.Rows = "defense",
    columns: table_options.Columns = "",
    value: table_options.Value = "worst_case",
    where: table_options.Where = "",
    intervals: table_options.Intervals = "plus-minus",
    formats: table_options.Formats = "latex,markdown,csv",
    alias: table_options.Aliases = None,
    out: table_options.Out = None,
) -> None:
    """Write a table of a run's numbers for a paper.

    It is LaTeX, Markdown and CSV. The best numbers are bold. Labels that all numbers share stand in the caption.
    """
    from bench.commands.table import TableOptions, table

    options = TableOptions(rows, columns, value, where, intervals, formats, alias or ())
    table(run, options, out)
