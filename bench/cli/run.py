"""The command `bench run`."""

from __future__ import annotations

import typer

from bench.cli import options, timing_options


def command(
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
    engines: timing_options.Engines = None,
    precisions: timing_options.Precisions = None,
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    plugin: options.Plugins = None,
    shard: options.ShardOfGrid = None,
    strict: options.Strict = False,
    no_latency: options.NoLatency = False,
    no_plots: options.NoPlots = False,
    html: options.Page = True,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    json: options.Json = False,
    traceback: options.Traceback = False,  # noqa: ARG001 - its callback has set it
    device: options.Device = "auto",
    executor: options.Executor = "local",
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
    from bench.commands.display import Display
    from bench.commands.folders import weights_folder
    from bench.commands.request import Request, Resources, check_request
    from bench.sweep.shard import Shard

    display = Display(quiet, verbose, json)
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
        resources=Resources(
            device, data, cache, out, weights_folder(pretrained, weights), executor
        ),
        shard=None if shard is None else Shard.parse(shard),
    )
    check_request(request)  # before torch is imported

    from bench.commands.drawings import Drawings
    from bench.commands.run import run

    drawings = Drawings.of(plots=not no_plots, page=html)
    raise typer.Exit(
        run(request, strict, latency=not no_latency, display=display, drawings=drawings)
    )
