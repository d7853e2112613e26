"""The options of `bench gate`, with their help texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import option
from bench.cli.paths import path_of_file, path_of_folder

Baseline = Annotated[
    Path,
    typer.Argument(
        metavar="BASELINE",
        help="Folder of the run that is the reference, on the same test images.",
        callback=path_of_folder,
    ),
]
FailBelow = Annotated[
    float | None,
    typer.Option(
        "--fail-below",
        metavar="POINTS",
        help="Largest loss of accuracy that is allowed, in percentage points.  [default: any loss "
        "that the paired test does not find significant, at 5 % over all cells]",
        show_default=False,
    ),
]
FailSlower = Annotated[
    float | None,
    typer.Option(
        "--fail-slower",
        metavar="PERCENT",
        help="Largest slowdown relative to no defense that is allowed; the quartiles must leave no "
        "doubt that it is larger. If given, BASELINE must have timings.  [default: 100]",
        show_default=False,
    ),
]
NoLatency = Annotated[bool, typer.Option("--no-latency", help="Judge no timings.")]
JUnit = Annotated[
    Path | None,
    option("--junit", "FILE", "JUnit XML to write, a test case for each check.", path_of_file),
]
Json = Annotated[
    Path | None, option("--json", "FILE", "JSON to write, with every check.", path_of_file)
]
Markdown = Annotated[
    Path | None,
    option("--markdown", "FILE", "Markdown to write, for a pull request.", path_of_file),
]
