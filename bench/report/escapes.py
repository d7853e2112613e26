"""Escapes: text from a run, made to be shown as it is by each output format.

Labels, reasons and names of machines may come from a stranger. Each function here is applied once,
where its format is written, and gives text that the format shows and does not obey.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Mapping
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from bench.store.tree import file_stem
from bench.text import one_line, visible

LONGEST_CELL = 1_000
"""Length in characters at which a text in a table for people is cut."""

LONGEST_FIGURE_LINE = 120
"""Length in characters at which a line of text in a figure is cut."""

MOST_LINES = 12
"""Number of lines at which a text in a figure is cut."""

_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"
"""First characters, also of full width, from which a spreadsheet takes a text for a formula."""

_LINE_BREAKS = {"\n": r"\n", "\t": r"\t", "\u2028": r"\u2028", "\u2029": r"\u2029"}

# An underscore within a word and an ampersand before a space are literal as they are.
_MARKDOWN = re.compile(
    r"[\\`|*~$]"
    r"|<(?=[A-Za-z/!?])"
    r"|&(?=#|[A-Za-z][A-Za-z0-9]*;)"
    r"|(?<=\])\("
    r"|(?<![^\W_])_|_(?![^\W_])"
)
_BLOCK_START = re.compile(r"(?:(?=[#+>-])|(\d{1,9})(?=[.)])|(\[[^\]]*\])(?=:))")
"""A heading, list, rule or quotation; a numbered list; the definition of a link."""

_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}

_NOT_IN_XML = re.compile("[\ufffe\uffff]")


def csv_text(text: str) -> str:
    """The text as a cell of a CSV file, with an apostrophe before what would be a formula.

    Line breaks and tabs become their escape sequences. A number is left as it is.
    """
    shown = visible(text)
    is_formula = text[:1] in ("\t", "\r") or shown.lstrip()[:1] in tuple(_FORMULA)
    for character, sequence in _LINE_BREAKS.items():
        shown = shown.replace(character, sequence)

    return f"'{shown}" if is_formula and not _is_number(text) else shown


def parquet_text(text: str) -> str:
    """The text as it is, but for halves of a surrogate pair, which UTF-8 has not.

    They become their escape sequences. No program takes a text of a typed file for anything else.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def markdown_text(text: str) -> str:
    """The text in one line of Markdown, without tags, links, emphasis, code, math or a new cell."""
    return _MARKDOWN.sub(r"\\\g<0>", _in_line(text))


def markdown_note(text: str) -> str:
    """The text as a paragraph of Markdown, which is no heading, list, rule or link definition."""
    line = markdown_text(text)
    start = _BLOCK_START.match(line)

    return line if start is None else f"{start[0]}\\{line[start.end() :]}"


def markdown_code(text: str) -> str:
    """The text in one line of Markdown, as code where a code span can hold it."""
    line = _in_line(text)

    return markdown_text(line) if not line or re.search(r"[`|\\]", line) else f"`{line}`"


def latex_text(text: str) -> str:
    """The text in one line of LaTeX, without commands."""
    return "".join(_LATEX.get(character, character) for character in _in_line(text))


def latex_rows(table: str) -> str:
    """A LaTeX table, one line a row, in which no row starts with a bracket or a star.

    These would be an argument of the line break or the rule before them.
    """
    return re.sub(r"^(?=[\[*])", "{}", table, flags=re.MULTILINE)


def terminal_text(text: str) -> str:
    """The text in one line of the terminal, without codes that the terminal obeys."""
    return _in_line(text)


def figure_text(text: str) -> str:
    """The text in a figure, without math, cut to at most `MOST_LINES` lines."""
    lines = visible(text).splitlines()
    shown = [one_line(line, LONGEST_FIGURE_LINE) for line in lines[:MOST_LINES]]

    return _NOT_IN_XML.sub("�", "\n".join(shown)).replace("$", r"\$")


def html_text(text: str) -> str:
    """The text as HTML may show it; the template that it stands in escapes its tags."""
    return visible(text)


def html_data(value: Any, **options: Any) -> str:
    """A value as JSON for the scripts of a page, which show its texts and obey none of them.

    Args:
        value: text, number, mapping or list of these; NaN and infinity become null.
        options: options of `json.dumps`.
    """
    return json.dumps(_html_value(value), **options)


def _html_value(value: Any) -> Any:
    if isinstance(value, str):
        return html_text(value)
    if isinstance(value, Mapping):
        return {html_text(str(name)): _html_value(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_html_value(each) for each in value]
    if isinstance(value, np.generic):
        return _html_value(value.item())

    return None if isinstance(value, float) and not math.isfinite(value) else value


def shell_word(text: str) -> str:
    """The uncut text as a single word of a shell command, in one line."""
    return shlex.quote(one_line(text, len(text)))


def python_text(text: str) -> str:
    """The uncut text as a string of Python code, in one line."""
    return json.dumps(visible(text), ensure_ascii=False)


def json_text(text: str) -> str:
    """The uncut text in one line, for a string of JSON; its writer quotes it."""
    return one_line(text, len(text))


def yaml_text(text: str) -> str:
    """The uncut text in one line, for a quoted string of YAML, without what YAML may not hold."""
    return _NOT_IN_XML.sub("�", json_text(text))


def xml_text(text: str) -> str:
    """The uncut text in one line, without what XML may not hold; its writer quotes it."""
    return _NOT_IN_XML.sub("�", json_text(text))


def metric_name(*parts: str) -> str:
    """The name of a metric or parameter of a tracker, its parts separated by slashes.

    A part has letters, digits and `_ . : -` alone; an equals sign becomes a colon, any other
    character `-`. A long part is cut, and ends in a digest.
    """
    return "/".join(file_stem(part).replace("=", ":") for part in parts)


def tracker_text(text: str) -> str:
    """The text in one line, cut to what a tracker keeps of a parameter."""
    return _in_line(text)


def escaped(frame: pd.DataFrame, escape: Callable[[str], str]) -> pd.DataFrame:
    """The frame with every text escaped, the headings included; numbers are untouched."""
    result = frame.copy()
    for name, dtype in frame.dtypes.items():
        if not is_numeric_dtype(dtype):
            values = [_escaped_value(value, escape) for value in frame[name]]
            result[name] = pd.Series(values, frame.index, dtype=object)

    result.columns = pd.Index([escape(str(name)) for name in frame.columns])
    return result


def _escaped_value(value: Any, escape: Callable[[str], str]) -> Any:
    """A value with its text escaped; numbers and missing values are untouched."""
    return value if value is None or isinstance(value, (Number, np.bool_)) else escape(str(value))


def _in_line(text: str) -> str:
    return one_line(text, LONGEST_CELL)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
