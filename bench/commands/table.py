"""`bench table`: a table of a run's numbers for a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.errors import RequestError, unknown
from bench.progress import say
from bench.records.folder import RunFolder
from bench.report import Report
from bench.report.naming import NAMED_LABELS
from bench.report.paper_table.pivot import Pivot, TableRequest
from bench.report.paper_table.texts import INTERVALS, PaperTable
from bench.spec import split_list
from bench.store.tree import Tree, file_stem
from bench.text import LONGEST_NAME, one_line

_ENDINGS = {"latex": "tex", "markdown": "md", "csv": "csv"}
"""Ending of the file of each format."""


@dataclass(frozen=True)
class TableOptions:
    """The options of the command as they are given.

    Attributes:
        rows: comma-separated labels of the rows.
        columns: comma-separated labels of the columns.
        value: name of the value.
        where: comma-separated choices LABEL=VALUE.
        intervals: how intervals are shown.
        formats: comma-separated formats.
        aliases: choices SPEC=NAME.
    """

    rows: str
    columns: str
    value: str
    where: str
    intervals: str
    formats: str
    aliases: Sequence[str]


def table(path: Path, options: TableOptions, out: Path | None) -> None:
    """Write a table of a run, and print it as Markdown.

    Args:
        path: folder of the run.
        options: what the table shows.
        out: folder of the table; None for `tables` in that of the run.

    Raises:
        RequestError: an option is wrong, or the run has no such numbers.
        StorageError: a file could not be written.
    """
    request = TableRequest(
        rows=_listed(options.rows),
        columns=_listed(options.columns),
        value=options.value,
        where=_choices(options.where),
    )
    formats = _listed(options.formats)
    for form in formats:
        if form not in _ENDINGS:
            raise unknown("format", form, _ENDINGS)
    if options.intervals not in INTERVALS:
        raise unknown("kind of intervals", options.intervals, INTERVALS)
    aliases = _aliases(options.aliases)

    folder = RunFolder.open(path)
    report = Report.of(folder, aliases)
    _check_known(aliases, report)
    made = PaperTable(Pivot.of(report, request), report.names, options.intervals)

    console = Console()
    console.out(made.markdown(), end="", highlight=False)
    _write(made, formats, folder.path / "tables" if out is None else out)


def _write(made: PaperTable, formats: Sequence[str], folder: Path) -> None:
    """Write the files of a table."""
    texts = {"latex": made.latex, "markdown": made.markdown, "csv": made.csv}
    stem = file_stem(made.name)
    for form in formats:
        name = f"{stem}.{_ENDINGS[form]}"
        Tree(folder.parent).write_text(folder.name, name, text=texts[form]())
        say(Console(stderr=True), f"{folder / name}")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(split_list(text)) if text else ()


def _choices(text: str) -> dict[str, str]:
    """The chosen values of `LABEL=VALUE,...`; a spec may hold more equals signs.

    Raises:
        RequestError: a choice has no equals sign.
    """
    choices = {}
    for item in _listed(text):
        label, equals, value = item.partition("=")
        if not equals:
            shown = one_line(item, LONGEST_NAME)
            raise RequestError(f"--where '{shown}' is not LABEL=VALUE, such as attack=pgd")
        choices[label] = value

    return choices


def _aliases(items: Sequence[str]) -> dict[str, str]:
    """The names of `SPEC=NAME`, which is split at its last equals sign.

    Raises:
        RequestError: a name is missing, or is given to two specs.
    """
    aliases: dict[str, str] = {}
    for item in items:
        spec, _, name = item.rpartition("=")
        if not spec or not name.strip():
            shown = one_line(item, LONGEST_NAME)
            raise RequestError(f"--alias '{shown}' is not SPEC=NAME, such as convae:eps=0.3=ConvAE")
        if name in aliases.values():
            raise RequestError(f"the alias '{one_line(name, LONGEST_NAME)}' is given to two specs")
        aliases[spec] = name

    return aliases


def _check_known(aliases: Mapping[str, str], report: Report) -> None:
    """Check that the run has every spec that has an alias.

    Raises:
        RequestError: it has not.
    """
    known = [spec for label in NAMED_LABELS for spec in report.names[label].names]
    for spec in aliases:
        if spec not in known:
            raise unknown("spec", spec, known)
