r"""Writing: a table as LaTeX that a document takes in with `\input`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bench.report.escapes import latex_rows, latex_text
from bench.report.latex.layout import PlacedColumn, groups, lines, parts
from bench.report.latex.table import FONTS, LatexTable
from bench.report.latex.widths import INTERVAL, text_width, wrapped
from bench.store.tree import file_stem

_MOST_LINES = 42
"""Number of lines from which a table runs over pages; a page of A4 has forty-six."""

_LEAST_NOTES = 160.0
"""Width of a table in points from which its notes have the same width."""

_PACKAGES = ("array", "booktabs", "threeparttable", "longtable")

_WIDEST = 9.5
"""Points that a character in the middle of a word takes at most, in most words."""

_LONGEST_RUN = 12
"""Number of characters without a space from which a text in a caption or note may be broken."""


def latex_of(table: LatexTable) -> str:
    """The table as LaTeX; one that is wider than a line is several tables."""
    found = parts(table)
    texts = [_part(table, columns, number, len(found)) for number, columns in enumerate(found, 1)]
    packages = (
        f"% needs \\usepackage{{{','.join(_PACKAGES)}}}; fits a line of {table.width:.0f} points"
    )

    return latex_rows(f"{packages}\n" + "\n".join(texts))


def _part(table: LatexTable, columns: Sequence[PlacedColumn], number: int, count: int) -> str:
    """One part of a table, with the notes below the last one."""
    part = f" (part {number} of {count})" if count > 1 else ""
    caption = f"\\caption{{{_prose(table.caption)}{part}}}"
    label = f"\\label{{tab:{file_stem(table.name)}{'' if number == 1 else f'-{number}'}}}"
    notes = table.notes if number == count else ()
    pattern = f"@{{}}{''.join(_pattern(table, column) for column in columns)}@{{}}"
    head = "\n".join(_head(table, columns))
    body = "\n".join(_row(table, row, columns) for row in range(len(table.rows)))
    if lines(table, columns, notes) > _MOST_LINES:
        return _over_pages(table, pattern, caption + label, head, body, notes)

    is_wide = sum(column.width + table.gap for column in columns) >= _LEAST_NOTES
    return "\n".join(
        [
            "\\begin{table}[htbp]",
            f"\\centering\\sloppy{_font(table)}",
            caption + label,
            "\\begin{threeparttable}",
            f"\\begin{{tabular}}{{{pattern}}}",
            f"\\toprule\n{head}\n\\midrule\n{body}\n\\bottomrule",
            "\\end{tabular}",
            *(_table_notes(notes) if is_wide else ()),
            "\\end{threeparttable}",
            *(() if is_wide else _paragraphs(notes)),
            "\\end{table}\n",
        ]
    )


def _font(table: LatexTable) -> str:
    """The commands that set the size of the font, and the space between columns with it."""
    size = FONTS[table.font]
    if size.share == 1:
        return ""

    return f"\\{table.font}\\setlength{{\\tabcolsep}}{{{size.gap / 2:g}pt}}"


def _over_pages(
    table: LatexTable, pattern: str, caption: str, head: str, body: str, notes: Sequence[str]
) -> str:
    """A table that runs over pages, with its head on each of them."""
    return "\n".join(
        [
            f"{{\\sloppy{_font(table)}",
            f"\\begin{{longtable}}{{{pattern}}}",
            f"{caption}\\\\",
            f"\\toprule\n{head}\n\\midrule\n\\endfirsthead",
            f"\\toprule\n{head}\n\\midrule\n\\endhead",
            f"\\bottomrule\n\\endfoot\n{body}",
            "\\end{longtable}",
            *_paragraphs(notes),
            "}\n",
        ]
    )


def _paragraphs(notes: Sequence[str]) -> list[str]:
    """Notes in the width of the page."""
    return [f"{{\\footnotesize\\noindent {_prose(note)}\\par}}" for note in notes]


def _table_notes(notes: Sequence[str]) -> list[str]:
    """Notes in the width of their table."""
    if not notes:
        return []

    items = [f"\\item {_prose(note)}" for note in notes]
    return ["\\begin{tablenotes}\\footnotesize\\raggedright", *items, "\\end{tablenotes}"]


def _pattern(table: LatexTable, column: PlacedColumn) -> str:
    """The column in the pattern of a tabular."""
    is_text = column.index in table.texts or column.index < table.labels
    if column.is_broken:
        side = "\\raggedright" if is_text else "\\raggedleft"
        return f">{{{side}\\arraybackslash}}p{{{column.width:.0f}pt}}"

    return "l" if is_text else "r"


def _head(table: LatexTable, columns: Sequence[PlacedColumn]) -> Iterator[str]:
    """The lines of the head: groups with a rule below each, then the columns' own headings."""
    levels = len(table.headings[0]) if table.headings else 1
    for level in range(levels - 1):
        cells, rules, start = [], [], 1
        for heading, count in groups(table, columns, level):
            members = columns[start - 1 : start - 1 + count]
            text = _group(table, heading, members)
            cells.append(f"\\multicolumn{{{count}}}{{c}}{{{text}}}")
            if heading:
                rules.append(f"\\cmidrule(lr){{{start}-{start + count - 1}}}")
            start += count
        yield f"{' & '.join(cells)} \\\\"
        yield "".join(rules)

    yield " & ".join(_heading(table, column) for column in columns) + " \\\\"


def _group(table: LatexTable, heading: str, columns: Sequence[PlacedColumn]) -> str:
    """The heading of a group, broken where it is wider than its columns."""
    width = sum(column.width + table.gap for column in columns) - table.gap
    if text_width(heading) <= width:
        return latex_text(heading)

    text = _with_breaks(latex_text(heading), max(3, int(width / _WIDEST)))
    return f"\\parbox[b]{{{width:.0f}pt}}{{\\centering {text}}}"


def _heading(table: LatexTable, column: PlacedColumn) -> str:
    """The heading of a column, in lines that are no wider than the column."""
    heading = table.headings[column.index][-1]
    is_text = column.index in table.texts or column.index < table.labels
    broken = wrapped(heading, column.width)
    if max(map(text_width, broken)) > column.width:
        side = "\\raggedright" if is_text else "\\raggedleft"
        text = _breakable(latex_text(heading), column)
        return f"\\parbox[b]{{{column.width:.0f}pt}}{{{side} {text}}}"
    if len(broken) == 1:
        return latex_text(heading)

    stacked = " \\\\ {}".join(map(latex_text, broken))
    side = "l" if is_text else "r"
    return f"\\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{stacked}\\end{{tabular}}"


def _row(table: LatexTable, row: int, columns: Sequence[PlacedColumn]) -> str:
    cells = []
    for column in columns:
        text = _cell(table.rows[row][column.index], column)
        cells.append(f"\\textbf{{{text}}}" if (row, column.index) in table.bold else text)

    return f"{' & '.join(cells)} \\\\"


def _cell(text: str, column: PlacedColumn) -> str:
    """A cell; the interval behind a number is set smaller, and a plus-minus as math."""
    if column.is_broken:
        return _breakable(latex_text(text), column)

    interval = INTERVAL.match(text)
    if interval is None:
        return latex_text(text)

    behind = interval[2].replace("±", "$\\pm$")
    after = latex_text(text[interval.end() :])
    return f"{interval[1]} {{\\scriptsize {behind}}}{after}"


def _breakable(text: str, column: PlacedColumn) -> str:
    """An escaped text that may be broken within words that are too wide for their column."""
    run = max(3, int(column.width / _WIDEST))

    return _with_breaks(text, run)


def _prose(text: str) -> str:
    """A sentence, whose specs may be broken."""
    return _with_breaks(latex_text(text), _LONGEST_RUN).replace("±", "$\\pm$")


def _with_breaks(text: str, run: int) -> str:
    """An escaped text that may be broken in every word of more than so many characters."""
    return " ".join(_broken_word(word, run) for word in text.split(" "))


def _broken_word(word: str, run: int) -> str:
    """A word that may be broken behind punctuation and, where that is not enough, anywhere."""
    characters = re.findall(r"\\[A-Za-z]+\{\}|\\.|.", word)
    if len(characters) <= run:
        return word

    parts = []
    since = 0
    for character in characters:
        parts.append(character)
        since += 1
        if since >= run or character in (":", ",", "=", r"\_", "/"):
            parts.append("\\allowbreak{}")
            since = 0

    return "".join(parts)
