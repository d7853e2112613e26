"""The command `bench export`."""

from __future__ import annotations

from bench.cli import options, subjects


def command(
    run: subjects.Run,
    to: subjects.ExportFolder,
    cache: options.Cache = None,
    pretrained: subjects.ExportPretrained = False,
    weights: subjects.ExportWeights = None,
) -> None:
    """Export the trained networks of a run for `bench run --weights`.

    The folder holds safetensors files, a manifest with digests, and a model card.
    """
    from bench.commands.export import export
    from bench.commands.folders import weights_folder

    export(run, to, cache, weights_folder(pretrained, weights))
