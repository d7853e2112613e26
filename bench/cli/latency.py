"""The command `bench latency`."""

from __future__ import annotations

import typer

from bench.cli import options, timing_options


def command(
    defenses: options.Defenses = None,
    datasets: options.Datasets = None,
    classifiers: options.Classifiers = None,
    batch_sizes: timing_options.BatchSizes = None,
    engines: timing_options.Engines = None,
    precisions: timing_options.Precisions = None,
    rounds: timing_options.Rounds = None,
    min_calls: timing_options.MinCalls = None,
    min_seconds: timing_options.MinSeconds = None,
    max_seconds: timing_options.MaxSeconds = None,
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    plugin: options.Plugins = None,
    device: options.Device = "auto",
    data: options.Data = None,
    cache: options.Cache = None,
    pretrained: options.Pretrained = False,
    weights: options.Weights = None,
    out: options.Out = None,
    no_plots: options.NoPlots = False,
    html: options.Page = True,
    traceback: options.Traceback = False,  # noqa: ARG001 - its callback has set it
) -> None:
    """Time inference alone, by batch size, engine and precision.

    The purifier alone and the pipeline (purifier and classifier) are timed separately. SPECS, NAMES
    and NUMBERS are comma-separated lists. Networks that the cache lacks are trained first.

    The same command continues an interrupted measurement; choose another --out to measure again.
    """
    from bench.commands.folders import weights_folder
    from bench.commands.request import Request, Resources, check_request, timing_request

    given = Request(
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
    request = timing_request(given)
    check_request(request)  # before torch is imported

    from bench.commands.drawings import Drawings
    from bench.commands.latency import latency

    raise typer.Exit(latency(request, Drawings.of(plots=not no_plots, page=html)))
