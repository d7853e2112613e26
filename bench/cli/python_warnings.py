"""Warnings that Python code issues, each shown once, in one line on standard error."""

from __future__ import annotations

import warnings
from typing import TextIO

from rich.console import Console

from bench.progress import say
from bench.text import LONGEST_LINE, one_line


class _WarningLines:
    """Shows the first warning of each kind from each line of code.

    Python forgets which ones it has shown whenever a library changes the filters, as many do in
    every call.
    """

    def __init__(self) -> None:
        self._shown: set[tuple[str, int, type[Warning]]] = set()

    def show(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Show a warning; the arguments are those of `warnings.showwarning`."""
        if file is not None:
            file.write(warnings.formatwarning(message, category, filename, lineno, line))
            return
        if (filename, lineno, category) in self._shown:
            return

        self._shown.add((filename, lineno, category))
        text = f"warning: {filename}:{lineno}: {category.__name__}: {message}"
        say(Console(stderr=True), one_line(text, LONGEST_LINE))


def show_warnings_once() -> None:
    """Have each warning of this process shown once."""
    warnings.showwarning = _WarningLines().show
