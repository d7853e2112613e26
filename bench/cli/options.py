"""The options of a grid, its settings and its folders, with their help texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.completion import last_entry, plugins, presets, threat_models, word
from bench.cli.paths import path_of_file, path_of_folder, paths_of_plugins
from bench.cli.quietness import hide_messages
from bench.cli.tracebacks import show_tracebacks
from bench.sweep.presets import preset_names


def option(
    name: str,
    metavar: str,
    description: str,
    checked: Callable[..., Any] | None = None,
    completed: Callable[[str], list[tuple[str, str]]] | None = None,
) -> typer.models.OptionInfo:
    """An option whose default is not shown, because the preset decides or the description says it.

    Args:
        name: name on the command line, such as `--eps`.
        metavar: placeholder of the value in the help.
        description: text of the help.
        checked: typer's callback, which checks the value; None for none.
        completed: completion of the value in a shell, see `bench.cli.completion`; None for none.
    """
    info: typer.models.OptionInfo = typer.Option(
        name,
        metavar=metavar,
        help=description,
        show_default=False,
        callback=checked,
        autocompletion=completed,
    )
    return info


Defenses = Annotated[
    str | None,
    option(
        "--defenses",
        "SPECS",
        "Purifiers to compare, such as none,convae,defensegan:restarts=4.",
        completed=last_entry(plugins("defense")),
    ),
]
Datasets = Annotated[
    str | None,
    option(
        "--datasets",
        "NAMES",
        "Data sets to train and test on, such as digits,mnist or images:path=FOLDER.",
        completed=last_entry(plugins("dataset")),
    ),
]
Classifiers = Annotated[
    str | None,
    option(
        "--classifiers",
        "SPECS",
        "Models behind the purifier, such as cnn,vgg16.",
        completed=last_entry(plugins("classifier")),
    ),
]
Attacks = Annotated[
    str | None,
    option(
        "--attacks",
        "SPECS",
        "Evasion methods to run, such as fgsm,pgd:steps=20,cw.",
        completed=last_entry(plugins("attack")),
    ),
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
        completed=last_entry(threat_models),
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
        "Number of images for the checks of attacks: an iterative attack runs again with twice the "
        "steps and with a larger step, and probes test the gradient and the pipeline; 0 turns all "
        "of them off.",
    ),
]

Preset = Annotated[
    str | None,
    option(
        "--preset",
        "NAME",
        "Preset with the values of all options that are not given: "
        f"{', '.join(preset_names())}.  [default: quick]",
        completed=word(presets),
    ),
]
ConfigFile = Annotated[
    Path | None,
    option(
        "--config",
        "FILE",
        "TOML file with the values of all options that are not given, in place of a preset.",
        path_of_file,
    ),
]
Plugins = Annotated[
    list[str] | None,
    option(
        "--plugin",
        "FILE_OR_MODULE",
        "Python file or module with plugins from outside the package; may be repeated. A --config "
        "file names more under the key plugins.",
        paths_of_plugins,
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit code 1 if the verdict on a cell is invalid.")
]
Style = Annotated[
    str,
    typer.Option(
        "--style",
        metavar="NAME",
        help="Style of the figures: screen, which is PNG, or paper, which adds PDF a column wide "
        "without titles.",
    ),
]
ShardOfGrid = Annotated[
    str | None,
    option(
        "--shard",
        "I/N",
        "Share I of N of the cells, such as 3/16, for one task of a job array; `bench merge` makes "
        "one run of them.",
    ),
]
NoLatency = Annotated[
    bool,
    typer.Option(
        "--no-latency",
        help="No timings in this call; the same command without the option adds them.",
    ),
]
Page = Annotated[
    bool,
    typer.Option(
        "--html/--no-html",
        help="The page report.html in the run's folder: one file that opens without a network.",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        callback=hide_messages,
        help="Nothing but the decision at the end, and failures.",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="All tables, also those that are in files alone by default."
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="The decision, failures and paths as JSON on standard output, and nothing else there.",
    ),
]
NoPlots = Annotated[
    bool,
    typer.Option("--no-plots", help="No figures in this call; `bench report` draws them later."),
]
Traceback = Annotated[
    bool,
    typer.Option(
        "--traceback",
        callback=show_tracebacks,
        help="Tracebacks of the faults of plugins, besides their one line.",
    ),
]

Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Device of the computation: auto, cpu, cuda or cuda:N; auto is a GPU if there is one.",
    ),
]
Executor = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="SPEC",
        help="What does the tasks of the run: local, local:processes=N for N processes of this "
        "machine, or ray for a cluster. The results are the same.",
    ),
]
Data = Annotated[
    Path | None,
    option(
        "--data",
        "FOLDER",
        "Folder of data sets.  [default: $BENCH_DATA, or the user's cache folder]",
        path_of_folder,
    ),
]
Cache = Annotated[
    Path | None,
    option(
        "--cache",
        "FOLDER",
        "Folder of trained networks and adversarial sets, shared by all runs.  "
        "[default: $BENCH_CACHE, or the user's cache folder]",
        path_of_folder,
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
        path_of_folder,
    ),
]
Out = Annotated[
    Path | None,
    option(
        "--out",
        "FOLDER",
        "Folder of the results.  [default: results/runs/<preset>-<hash>, the same for the same "
        "command]",
        path_of_folder,
    ),
]
