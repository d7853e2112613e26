"""`bench export`: the networks of a run, or its results in a format that other programs read."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.commands.export_weights import export_weights
from bench.commands.folders import weights_folder
from bench.errors import RequestError, unknown
from bench.progress import say
from bench.records.folder import RunFolder
from bench.report import Report
from bench.report.exports import formats
from bench.report.exports.folder import claim
from bench.report.exports.pipelines import measured_pipelines
from bench.store.atomic import sweep_partials

WEIGHTS = "weights"
"""Name of the format that holds the trained networks; the others hold results."""


def export(
    run: Path, to: Path, form: str, *, cache: Path | None, pretrained: bool, weights: Path | None
) -> None:
    """Export a run in one format.

    Args:
        run: folder of the run.
        to: folder of the export, new or an earlier one in the same format.
        form: name of the format.
        cache: folder of the run's networks, for the format `weights`; None for the default.
        pretrained: whether the run took networks from the package, for the format `weights`.
        weights: folder of weights that the run took networks from, for the format `weights`.

    Raises:
        RequestError: there is no such format, it takes no such option, it needs a package that is
            not installed, `run` is not the folder of a run or has nothing to export, or `to` is
            something else than such an export.
        StorageError: the folder cannot be written, or holds a link in place of a file.
    """
    if form != WEIGHTS and form not in formats():
        raise unknown("format", form, [WEIGHTS, *formats()])
    if form == WEIGHTS:
        export_weights(run, to, cache, weights_folder(pretrained, weights))
        return

    given = {"--cache": cache, "--pretrained": pretrained or None, "--weights": weights}
    for option, value in given.items():
        if value is not None:
            raise RequestError(f"{option} is about networks, and --format {form} exports none")
    _export_results(run, to, form)


def _export_results(run: Path, to: Path, form: str) -> None:
    """Export the results of a run; nothing is written where there is nothing to export."""
    tree = claim(to, form)
    pipelines = measured_pipelines(Report.of(RunFolder.open(run)))
    if not pipelines:
        raise RequestError(f"{run} has no accuracy whose verdict is ok or suspect")

    sweep_partials(to)
    written = formats()[form](pipelines, tree)
    say(Console(stderr=True), f"exported to {to}: {written}")
