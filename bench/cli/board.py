"""The command `bench board`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options, subjects
from bench.cli.paths import path_of_folder


def command(
    runs: subjects.Runs,
    html: Annotated[
        bool,
        typer.Option(
            "--html/--no-html",
            help="The page board.html: one file that opens without a network.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        options.option(
            "--out", "FOLDER", "Folder of the board.  [default: results/board]", path_of_folder
        ),
    ] = None,
) -> None:
    """Rank the defenses of several runs beside published figures.

    Numbers on other test images or behind another trained classifier have tables of their own.
    """
    from bench.commands.board import board

    board(runs, out, html)
