"""The command line.

Commands import what they need when they run, so that `bench --help` answers at once.
"""

from __future__ import annotations

import logging
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from bench.errors import BenchError, Interrupted, RequestError
from bench.progress import say

app = typer.Typer(
    name="bench",
    help="Compare adversarial-purification defenses: robust accuracy against latency, under named threat models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

EXIT_FAILED, EXIT_REQUEST, EXIT_INTERRUPTED = 1, 2, 130

_RUN = "The grid"
_WHERE = "Where"

Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="FILE_OR_MODULE",
        help="A plugin outside the package; repeatable.",
        show_default=False,
    ),
]

Strict = Annotated[
    bool, typer.Option("--strict", help="Exit with 1 when a cell's verdict is invalid.")
]


def _axis(name: str, help_text: str, panel: str = _RUN) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        name, help=help_text, rich_help_panel=panel, show_default=False
    )
    return option


Defenses = Annotated[
    str | None, _axis("--defenses", "Specs, such as convae,defensegan:restarts=4.")
]
Datasets = Annotated[str | None, _axis("--datasets", "digits, mnist, fashion_mnist.")]
Classifiers = Annotated[str | None, _axis("--classifiers", "Specs, such as cnn,vgg16.")]
Engines = Annotated[
    str | None, _axis("--engines", "Ways to run the timed networks: eager,compile,cudagraph.")
]
Precisions = Annotated[
    str | None, _axis("--precisions", "Their arithmetic: float32,tf32,bfloat16.")
]
Preset = Annotated[
    str | None, _axis("--preset", "quick (default), mnist, ...: what the other options start from.")
]
ConfigFile = Annotated[
    Path | None, _axis("--config", "A TOML file instead of a preset, of the same format.")
]
Device = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.", rich_help_panel=_WHERE)
]
Data = Annotated[
    Path | None, _axis("--data", "Folder of data sets [BENCH_DATA, or the user's cache].", _WHERE)
]
Cache = Annotated[
    Path | None, _axis("--cache", "Folder of trained networks [BENCH_CACHE, likewise].", _WHERE)
]
Pretrained = Annotated[
    bool,
    typer.Option(
        "--pretrained",
        help="Take the trained networks that come with the package.",
        rich_help_panel=_WHERE,
    ),
]
Weights = Annotated[
    Path | None,
    _axis(
        "--weights",
        "Take networks from this folder, which `bench export` made; else train.",
        _WHERE,
    ),
]
Out = Annotated[
    Path | None, _axis("--out", "The run's folder [results/runs/<preset>-<hash>].", _WHERE)
]


@app.command("run")
def run_command(
    defenses: Defenses = None,
    datasets: Datasets = None,
    classifiers: Classifiers = None,
    attacks: Annotated[str | None, _axis("--attacks", "Specs, such as fgsm,pgd:steps=20.")] = None,
    eps: Annotated[
        str | None,
        _axis("--eps", "Budgets on the [0, 1] scale; for one attack NAME=VALUE: 0.1,0.3,cw=1.5."),
    ] = None,
    threats: Annotated[
        str | None, _axis("--threats", "Threat models, such as graybox,bpda,whitebox:eot=10.")
    ] = None,
    seeds: Annotated[str | None, _axis("--seeds", "Seeds of training and attacks.")] = None,
    n: Annotated[str | None, _axis("--n", "How many test images.")] = None,
    batch_size: Annotated[
        str | None, _axis("--batch-size", "Images attacked and evaluated at once.")
    ] = None,
    draws: Annotated[str | None, _axis("--draws", "Evaluations of a stochastic defense.")] = None,
    convergence: Annotated[
        str | None,
        _axis("--convergence", "Images attacked again with twice the steps; 0 for none."),
    ] = None,
    engines: Engines = None,
    precisions: Precisions = None,
    preset: Preset = None,
    config: ConfigFile = None,
    plugin: Plugins = None,
    strict: Strict = False,
    device: Device = "auto",
    data: Data = None,
    cache: Cache = None,
    pretrained: Pretrained = False,
    weights: Weights = None,
    out: Out = None,
) -> None:
    """Train, attack, evaluate, time and report a grid.

    Lists are comma-separated; the same command resumes.
    """
    from bench.commands.request import Request, Resources
    from bench.commands.run import run

    axes = {
        "datasets": datasets,
        "classifiers": classifiers,
        "defenses": defenses,
        "attacks": attacks,
        "eps": eps,
        "threats": threats,
        "seeds": seeds,
    }
    scalars = {"n": n, "batch_size": batch_size, "draws": draws, "convergence": convergence}
    timed = {"engines": engines, "precisions": precisions}
    places = Resources(device, data, cache, out, _weights(pretrained, weights))
    raise typer.Exit(
        run(Request(axes, scalars, timed, preset, config, tuple(plugin or ()), places), strict)
    )


@app.command("latency")
def latency_command(
    defenses: Defenses = None,
    datasets: Datasets = None,
    classifiers: Classifiers = None,
    batch_sizes: Annotated[
        str | None, _axis("--batch-sizes", "Images in a call [1,8,32,128,512].")
    ] = None,
    engines: Engines = None,
    precisions: Precisions = None,
    rounds: Annotated[
        str | None,
        _axis(
            "--rounds",
            "How often the whole table is measured; rounds are held against each other [2].",
        ),
    ] = None,
    min_calls: Annotated[
        str | None, _axis("--min-calls", "Calls that count, at least [30].")
    ] = None,
    min_seconds: Annotated[
        str | None, _axis("--min-seconds", "Go on at least so long [0.5].")
    ] = None,
    max_seconds: Annotated[
        str | None, _axis("--max-seconds", "Stop after so long, with three calls or more [10].")
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    plugin: Plugins = None,
    device: Device = "auto",
    data: Data = None,
    cache: Cache = None,
    pretrained: Pretrained = False,
    weights: Weights = None,
    out: Out = None,
) -> None:
    """Time inference alone: purifier, and purifier with classifier.

    The same command resumes; --out measures anew.
    """
    from bench.commands.latency import latency
    from bench.commands.request import Request, Resources

    axes = {"datasets": datasets, "classifiers": classifiers, "defenses": defenses}
    timed = {
        "batch_sizes": batch_sizes,
        "engines": engines,
        "precisions": precisions,
        "rounds": rounds,
        "min_calls": min_calls,
        "min_seconds": min_seconds,
        "max_seconds": max_seconds,
    }
    places = Resources(device, data, cache, out, _weights(pretrained, weights))
    raise typer.Exit(latency(Request(axes, {}, timed, preset, config, tuple(plugin or ()), places)))


@app.command("list")
def list_command(plugin: Plugins = None) -> None:
    """All plugins with their parameters, defaults and one-line descriptions.

    Data sets, presets, threat models.
    """
    from bench.commands.listing import show

    show(tuple(plugin or ()))


@app.command("report")
def report_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    strict: Strict = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="NAME",
            help="Also beside published figures: paper, defensegan, puvae, or a file that ends in .json.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a run's tables and plots again from its raw results, without recomputing."""
    from bench.commands.report import report

    raise typer.Exit(report(run, strict, against))


@app.command("compare")
def compare_command(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="A run's folder, the reference.")],
    run_b: Annotated[
        Path, typer.Argument(metavar="RUN_B", help="Another, on the same test images.")
    ],
    fail_below: Annotated[
        float | None,
        typer.Option(
            "--fail-below",
            metavar="POINTS",
            min=0,
            help="Exit with 1 when a cell of RUN_B failed, or its clean or robust accuracy is more than so many "
            "percentage points below RUN_A's.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Hold one run against another, cell by cell on the same images, with paired tests."""
    from bench.commands.compare import compare

    raise typer.Exit(compare(run_a, run_b, fail_below))


@app.command("check")
def check_command(
    plugin: Annotated[
        str, typer.Argument(metavar="PLUGIN", help="A plugin file or module, or a registered name.")
    ],
) -> None:
    """The conformance suite on one plugin, also a third party's."""
    from bench.commands.check import check

    raise typer.Exit(check(plugin))


@app.command("new")
def new_command(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="defense, attack or classifier.")],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The name to register, such as my_defense.")
    ],
) -> None:
    """Write a commented plugin file NAME.py that already passes `bench check`."""
    from bench.commands.new import new

    new(family, name)


@app.command("doctor")
def doctor_command(
    data: Data = None,
    cache: Cache = None,
) -> None:
    """Versions, devices, data found, cache size."""
    from bench.commands.doctor import doctor

    doctor(data, cache)


@app.command("export")
def export_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    to: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Where to; networks that it holds already stay."),
    ],
    cache: Cache = None,
    pretrained: Pretrained = False,
    weights: Weights = None,
) -> None:
    """Hand on a run's trained networks: safetensors, digests, a model card.

    `bench run --weights FOLDER` takes them.
    """
    from bench.commands.export import export

    export(run, to, cache, _weights(pretrained, weights))


def _weights(pretrained: bool, folder: Path | None) -> Path | None:
    """The folder of weights that the two options name."""
    if not pretrained:
        return folder and folder.expanduser()
    if folder is not None:
        raise RequestError("give --pretrained or --weights, not both")
    from bench.store.weights import pretrained as of_the_package

    return of_the_package()


class _OneLine(logging.Handler):
    """Shows the package's log as single lines on standard error, below any progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        say(Console(stderr=True), prefix + record.getMessage())


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Interrupted


def main() -> None:
    """The console script `bench`: run a command and turn its end into an exit code."""
    logger = logging.getLogger("bench")
    logger.setLevel(logging.INFO)
    logger.handlers = [_OneLine()]
    errors = Console(stderr=True)
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, _interrupt)
    try:
        app()
    except RequestError as error:
        say(errors, f"error: {error}")
        sys.exit(EXIT_REQUEST)
    except BenchError as error:
        say(errors, f"error: {error}")
        sys.exit(EXIT_FAILED)
    except Interrupted:
        command = shlex.join(["bench", *sys.argv[1:]])
        say(errors, f"interrupted; to go on where it was: {command}")
        sys.exit(EXIT_INTERRUPTED)
