"""The command line.

A command imports what it needs when it runs, so that `bench --help` answers at once.
"""

from __future__ import annotations

import logging
import shlex
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

import bench
from bench.commands import options
from bench.errors import BenchError, Interrupted, RequestError
from bench.progress import say

EXIT_FAILED = 1
EXIT_REQUEST = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="bench",
    epilog="Exit codes: 0 success, 1 a failure, 2 a wrong request for which nothing was computed, "
    "130 an interruption.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"purification-bench {bench.__version__}")
        raise typer.Exit


@app.callback()
def root_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Benchmark of adversarial-purification defenses.

    It measures robust accuracy under named threat models, and inference latency.
    """


@app.command("run")
def run_command(
    defenses: options.Defenses = None,
    datasets: options.Datasets = None,
    classifiers: options.Classifiers = None,
    attacks: options.Attacks = None,
    eps: options.Eps = None,
    threats: options.Threats = None,
    seeds: options.Seeds = None,
    n: options.TestImages = None,
    batch_size: options.BatchSize = None,
    draws: options.Draws = None,
    convergence: options.Convergence = None,
    engines: options.Engines = None,
    precisions: options.Precisions = None,
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    plugin: options.Plugins = None,
    strict: options.Strict = False,
    device: options.Device = "auto",
    data: options.Data = None,
    cache: options.Cache = None,
    pretrained: options.Pretrained = False,
    weights: options.Weights = None,
    out: options.Out = None,
) -> None:
    """Run a comparison: train, attack, evaluate, time and report.

    Every combination of the given values is evaluated. SPECS, NAMES and NUMBERS are
    comma-separated lists; a spec is the name of a plugin with parameters, such as
    defensegan:restarts=4:steps=100. `bench list` shows all names and parameters. Options that are
    not given have the values of the preset.

    The same command continues a run that was interrupted.
    """
    from bench.commands.folders import weights_folder
    from bench.commands.request import Request, Resources
    from bench.commands.run import run

    request = Request(
        axes={
            "datasets": datasets,
            "classifiers": classifiers,
            "defenses": defenses,
            "attacks": attacks,
            "eps": eps,
            "threats": threats,
            "seeds": seeds,
        },
        scalars={"n": n, "batch_size": batch_size, "draws": draws, "convergence": convergence},
        latency={"engines": engines, "precisions": precisions},
        preset=preset,
        config_file=config,
        plugins=tuple(plugin or ()),
        resources=Resources(device, data, cache, out, weights_folder(pretrained, weights)),
    )
    raise typer.Exit(run(request, strict))


@app.command("latency")
def latency_command(
    defenses: options.Defenses = None,
    datasets: options.Datasets = None,
    classifiers: options.Classifiers = None,
    batch_sizes: options.BatchSizes = None,
    engines: options.Engines = None,
    precisions: options.Precisions = None,
    rounds: options.Rounds = None,
    min_calls: options.MinCalls = None,
    min_seconds: options.MinSeconds = None,
    max_seconds: options.MaxSeconds = None,
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    plugin: options.Plugins = None,
    device: options.Device = "auto",
    data: options.Data = None,
    cache: options.Cache = None,
    pretrained: options.Pretrained = False,
    weights: options.Weights = None,
    out: options.Out = None,
) -> None:
    """Time inference alone, by batch size, engine and precision.

    Timed are the purifier alone, and purifier and classifier together. SPECS, NAMES and NUMBERS are
    comma-separated lists. Networks that the cache lacks are trained first.

    The same command continues a measurement that was interrupted; another --out measures anew.
    """
    from bench.commands.folders import weights_folder
    from bench.commands.latency import latency
    from bench.commands.request import Request, Resources

    request = Request(
        axes={"datasets": datasets, "classifiers": classifiers, "defenses": defenses},
        scalars={},
        latency={
            "batch_sizes": batch_sizes,
            "engines": engines,
            "precisions": precisions,
            "rounds": rounds,
            "min_calls": min_calls,
            "min_seconds": min_seconds,
            "max_seconds": max_seconds,
        },
        preset=preset,
        config_file=config,
        plugins=tuple(plugin or ()),
        resources=Resources(device, data, cache, out, weights_folder(pretrained, weights)),
    )
    raise typer.Exit(latency(request))


@app.command("list")
def list_command(plugin: options.Plugins = None) -> None:
    """List plugins, data sets, threat models, engines and presets.

    Plugins are shown with their parameters, defaults and descriptions.
    """
    from bench.commands.listing import show

    show(tuple(plugin or ()))


@app.command("report")
def report_command(
    run: options.Run,
    strict: options.Strict = False,
    against: options.Against = None,
) -> None:
    """Make the tables and plots of a run again from its raw results.

    Nothing is computed anew.
    """
    from bench.commands.report import report

    raise typer.Exit(report(run, strict, against))


@app.command("compare")
def compare_command(
    run_a: options.ReferenceRun,
    run_b: options.ComparedRun,
    fail_below: options.FailBelow = None,
) -> None:
    """Compare two runs cell by cell, with paired tests."""
    from bench.commands.compare import compare

    raise typer.Exit(compare(run_a, run_b, fail_below))


@app.command("check")
def check_command(
    plugin: options.CheckedPlugin,
) -> None:
    """Run the conformance suite on a plugin.

    The suite checks the plugin's contract on a few images, within seconds.
    """
    from bench.commands.check import check

    raise typer.Exit(check(plugin))


@app.command("new")
def new_command(
    family: options.NewFamily,
    name: options.NewName,
) -> None:
    """Write a commented plugin file that passes `bench check`.

    The file NAME.py is written into the working directory.
    """
    from bench.commands.new import new

    new(family, name)


@app.command("doctor")
def doctor_command(data: options.Data = None, cache: options.Cache = None) -> None:
    """Show versions, devices, data sets and the cache."""
    from bench.commands.doctor import doctor

    doctor(data, cache)


@app.command("export")
def export_command(
    run: options.Run,
    to: options.ExportFolder,
    cache: options.Cache = None,
    pretrained: options.Pretrained = False,
    weights: options.Weights = None,
) -> None:
    """Export the trained networks of a run for `bench run --weights`.

    The folder holds safetensors files, a manifest with digests, and a model card.
    """
    from bench.commands.export import export
    from bench.commands.folders import weights_folder

    export(run, to, cache, weights_folder(pretrained, weights))


class _LogLines(logging.Handler):
    """Shows the package's log as single lines on standard error, below any progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        say(Console(stderr=True), level + record.getMessage())


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Interrupted


def main() -> None:
    """Run a command and turn its end into an exit code; the console script `bench`."""
    logger = logging.getLogger("bench")
    logger.setLevel(logging.INFO)
    logger.handlers = [_LogLines()]
    errors = Console(stderr=True)
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, _interrupt)

    try:
        app(prog_name="bench")
    except RequestError as error:
        say(errors, f"error: {error}")
        sys.exit(EXIT_REQUEST)
    except BenchError as error:
        say(errors, f"error: {error}")
        sys.exit(EXIT_FAILED)
    except Interrupted:
        command = shlex.join(["bench", *sys.argv[1:]])
        say(errors, f"interrupted; to continue, run the same command again: {command}")
        sys.exit(EXIT_INTERRUPTED)
