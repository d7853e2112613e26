"""The command `bench export`."""

from __future__ import annotations

from bench.cli import options, subjects


def command(
    run: subjects.Run,
    to: subjects.ExportFolder,
    form: subjects.ExportFormat = "weights",
    cache: options.Cache = None,
    pretrained: subjects.ExportPretrained = False,
    weights: subjects.ExportWeights = None,
) -> None:
    """Export a run's networks, or its results for other programs.

    A folder of networks, for `bench run --weights`, holds safetensors files, a manifest with
    digests, and a model card. The other formats read the run's own files alone and take none of
    the options about networks.
    """
    from bench.commands.export import export

    export(run, to, form, cache=cache, pretrained=pretrained, weights=weights)
