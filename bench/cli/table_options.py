"""The options of `bench table`, with their help texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import option
from bench.cli.paths import path_of_folder

_LABELS = "dataset, classifier, defense, attack, threat, norm, eps, seed"

Rows = Annotated[
    str, typer.Option("--rows", metavar="LABELS", help=f"Labels of the rows, of {_LABELS}.")
]
Columns = Annotated[
    str,
    option(
        "--columns",
        "LABELS",
        "Labels of the columns, such as attack,eps; the first ones are groups.",
    ),
]
Value = Annotated[
    str,
    typer.Option(
        "--value",
        metavar="NAME",
        help="Number in each cell: clean, robust, graybox, worst_case, gain or latency.",
    ),
]
Where = Annotated[
    str,
    option(
        "--where",
        "LABEL=VALUE,...",
        "Numbers to show where a label has several values, such as attack=pgd,eps=0.3.",
    ),
]
Intervals = Annotated[
    str,
    typer.Option(
        "--intervals", metavar="NAME", help="Interval of each number: plus-minus, ends or none."
    ),
]
Formats = Annotated[
    str,
    typer.Option("--format", metavar="NAMES", help="Formats to write: latex, markdown, csv."),
]
Aliases = Annotated[
    list[str] | None,
    option(
        "--alias",
        "SPEC=NAME",
        "Name to show in place of a spec, such as convae:eps=0.3=ConvAE; may be repeated.",
    ),
]
Out = Annotated[
    Path | None,
    option(
        "--out",
        "FOLDER",
        "Folder of the table.  [default: tables in the folder of the run]",
        path_of_folder,
    ),
]
