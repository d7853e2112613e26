"""The options that several commands share, with their help texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.run.presets import preset_names


def option(name: str, metavar: str, description: str) -> typer.models.OptionInfo:
    """An option whose default is not shown, because the preset decides or the description says it.

    Args:
        name: name on the command line, such as `--eps`.
        metavar: placeholder of the value in the help.
        description: text of the help.
    """
    info: typer.models.OptionInfo = typer.Option(
        name, metavar=metavar, help=description, show_default=False
    )
    return info


Defenses = Annotated[
    str | None,
    option(
        "--defenses",
        "SPECS",
        "Purifiers to compare, such as none,convae,defensegan:restarts=4.",
    ),
]
Datasets = Annotated[
    str | None,
    option(
        "--datasets",
        "NAMES",
        "Names of image sets to train and test on: digits, mnist, fashion_mnist.",
    ),
]
Classifiers = Annotated[
    str | None,
    option("--classifiers", "SPECS", "Models behind the purifier, such as cnn,vgg16."),
]
Attacks = Annotated[
    str | None,
    option("--attacks", "SPECS", "Evasion methods to run, such as fgsm,pgd:steps=20,cw."),
]
Eps = Annotated[
    str | None,
    option(
        "--eps",
        "NUMBERS",
        "Budgets of the attacks on the [0, 1] scale; NAME=NUMBER is a budget of one attack only, "
        "as in 0.1,0.3,cw=1.5.",
    ),
]
Threats = Annotated[
    str | None,
    option(
        "--threats",
        "SPECS",
        "Threat models, which say what the attacker knows, such as graybox,bpda,whitebox:eot=10.",
    ),
]
Seeds = Annotated[
    str | None, option("--seeds", "NUMBERS", "Seeds of training and attacks, such as 0,1,2.")
]
TestImages = Annotated[
    str | None, option("--n", "N", "Number of test images, from the first one on.")
]
BatchSize = Annotated[
    str | None,
    option("--batch-size", "N", "Number of images that are attacked and evaluated at once."),
]
Draws = Annotated[
    str | None,
    option(
        "--draws",
        "N",
        "Number of evaluations of a randomized defense, each with fresh randomness.",
    ),
]
Convergence = Annotated[
    str | None,
    option(
        "--convergence",
        "N",
        "Number of images for the convergence check, which repeats an iterative attack with twice "
        "the steps; 0 turns it off.",
    ),
]

BatchSizes = Annotated[
    str | None,
    option(
        "--batch-sizes",
        "NUMBERS",
        "Numbers of images in a call.  [default: 1,8,32,128,512, or those of --config]",
    ),
]
Engines = Annotated[
    str | None,
    option(
        "--engines",
        "NAMES",
        "Engines that run the networks in the latency measurement: eager, compile, cudagraph.",
    ),
]
Precisions = Annotated[
    str | None,
    option(
        "--precisions",
        "NAMES",
        "Arithmetic of the latency measurement: float32, tf32, bfloat16.",
    ),
]
Rounds = Annotated[
    str | None,
    option(
        "--rounds",
        "N",
        "Number of times that every call is timed; differences between rounds show how steady the "
        "machine is.  [default: 2, or that of --config]",
    ),
]
MinCalls = Annotated[
    str | None,
    option(
        "--min-calls",
        "N",
        "Minimum number of timed calls.  [default: that of the preset, or 30]",
    ),
]
MinSeconds = Annotated[
    str | None,
    option(
        "--min-seconds",
        "SECONDS",
        "Minimum total time of the timed calls.  [default: that of the preset, or 0.5]",
    ),
]
MaxSeconds = Annotated[
    str | None,
    option(
        "--max-seconds",
        "SECONDS",
        "Duration after which a measurement stops; at least three calls count.  [default: that of "
        "the preset, or 10]",
    ),
]

Preset = Annotated[
    str | None,
    option(
        "--preset",
        "NAME",
        "Preset with the values of all options that are not given: "
        f"{', '.join(preset_names())}.  [default: quick]",
    ),
]
ConfigFile = Annotated[
    Path | None,
    option(
        "--config",
        "FILE",
        "TOML file with the values of all options that are not given, in place of a preset.",
    ),
]
Plugins = Annotated[
    list[str] | None,
    option(
        "--plugin",
        "FILE_OR_MODULE",
        "Python file or module with plugins from outside the package; may be repeated.",
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit code 1 if the verdict on a cell is invalid.")
]

Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Device of the computation: auto, cpu, cuda or cuda:N; auto is a GPU if there is one.",
    ),
]
Data = Annotated[
    Path | None,
    option(
        "--data",
        "FOLDER",
        "Folder of data sets.  [default: $BENCH_DATA, or the user's cache folder]",
    ),
]
Cache = Annotated[
    Path | None,
    option(
        "--cache",
        "FOLDER",
        "Folder of trained networks and adversarial sets, shared by all runs.  "
        "[default: $BENCH_CACHE, or the user's cache folder]",
    ),
]
Pretrained = Annotated[
    bool,
    typer.Option(
        "--pretrained",
        help="Trained networks of the package, used instead of training where they fit.",
    ),
]
Weights = Annotated[
    Path | None,
    option(
        "--weights",
        "FOLDER",
        "Folder of trained networks, written by `bench export`, used instead of training where "
        "they fit.",
    ),
]
Out = Annotated[
    Path | None,
    option(
        "--out",
        "FOLDER",
        "Folder of the results.  [default: results/runs/<preset>-<hash>, the same for the same "
        "command]",
    ),
]

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
ReferenceRun = Annotated[
    Path, typer.Argument(metavar="RUN_A", help="Folder of the run that is the reference.")
]
ComparedRun = Annotated[
    Path, typer.Argument(metavar="RUN_B", help="Folder of another run on the same test images.")
]
FailBelow = Annotated[
    float | None,
    typer.Option(
        "--fail-below",
        metavar="POINTS",
        min=0,
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
    ),
]
CheckedPlugin = Annotated[
    str,
    typer.Argument(
        metavar="PLUGIN", help="Python file or module with plugins, or a plugin's name or spec."
    ),
]
NewFamily = Annotated[
    str, typer.Argument(metavar="FAMILY", help="Kind of plugin: defense, attack or classifier.")
]
NewName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the plugin, such as my_defense.")
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
    ),
]
ExportFolder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="Folder of weights to write to; networks that it already holds are kept.",
    ),
]
