"""The runs, plugins and folders that a command works on, with the options about them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.completion import families, plugins, publications, word
from bench.cli.options import option
from bench.cli.paths import (
    path_of_checked_plugin,
    path_of_figures,
    path_of_folder,
    paths_of_folders,
)

Run = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of a run.", callback=path_of_folder)
]
Runs = Annotated[
    list[Path],
    typer.Argument(metavar="RUNS...", help="Folders of runs.", callback=paths_of_folders),
]
MergedRun = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="RUN",
        help="Folder of the merged run: new, or one of RUNS.",
        callback=path_of_folder,
    ),
]
ReferenceRun = Annotated[
    Path,
    typer.Argument(
        metavar="RUN_A", help="Folder of the run that is the reference.", callback=path_of_folder
    ),
]
ComparedRun = Annotated[
    Path,
    typer.Argument(
        metavar="RUN_B",
        help="Folder of another run on the same test images.",
        callback=path_of_folder,
    ),
]
OtherRun = Annotated[
    Path | None,
    option(
        "--compare",
        "OTHER_RUN",
        "Folder of another run on the same test images, which the page shows RUN beside.",
        path_of_folder,
    ),
]
FailBelow = Annotated[
    float | None,
    typer.Option(
        "--fail-below",
        metavar="POINTS",
        help="Largest loss of clean or robust accuracy that is allowed, in percentage points. Exit "
        "code 1 if a cell of RUN_B lost more, is missing, failed or became invalid.",
        show_default=False,
    ),
]
Against = Annotated[
    str | None,
    option(
        "--against",
        "NAME",
        "Published figures to show beside those of the run: paper, defensegan, puvae, or a file "
        "whose name ends in .json.",
        path_of_figures,
        word(publications),
    ),
]
CheckedPlugin = Annotated[
    str,
    typer.Argument(
        metavar="PLUGIN",
        help="Python file or module with plugins, a plugin's name or spec such as "
        "median:radius=2, or FILE.py:NAME:PARAMETER=VALUE for one plugin of a file.",
        callback=path_of_checked_plugin,
        autocompletion=word(plugins()),
    ),
]
CheckedOn = Annotated[
    str,
    typer.Option(
        "--dataset",
        metavar="SPEC",
        help="Data set whose images the plugin is checked on, such as digits:colors=rgb:size=32; "
        "it decides shape and number of classes.",
        autocompletion=word(plugins("dataset")),
    ),
]
NewFamily = Annotated[
    str,
    typer.Argument(
        metavar="FAMILY",
        help="Kind of plugin: defense, attack, classifier or dataset.",
        autocompletion=word(families),
    ),
]
NewName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the plugin, such as my_defense.")
]
ExportFormat = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="NAME",
        help="Format of the export: weights, which are the trained networks, or the results as "
        "robustbench, model-index, mlflow or wandb.",
    ),
]
ExportPretrained = Annotated[
    bool,
    typer.Option(
        "--pretrained",
        help="Trained networks of the package, where export looks for networks besides the cache.",
    ),
]
ExportWeights = Annotated[
    Path | None,
    option(
        "--weights",
        "FOLDER",
        "Folder of weights that the run was started with, where export looks for networks besides "
        "the cache.",
        path_of_folder,
    ),
]
ExportFolder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="Folder to write to, new or an earlier export in the same format; networks and runs "
        "that it already holds are kept.",
        callback=path_of_folder,
    ),
]
