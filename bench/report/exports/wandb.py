"""The format `wandb`: offline runs of Weights & Biases, one for each pipeline and seed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from bench.report.exports.folder import mark
from bench.report.exports.pipelines import MeasuredPipeline
from bench.report.exports.tracked import PROJECT, TrackedRun, missing, unwritable
from bench.store.tree import Tree

_ID_DIGITS = 16
"""Number of digits of the content key that are the id of a run."""


def write(pipelines: Sequence[MeasuredPipeline], tree: Tree) -> str:
    """Write the runs into `wandb`, from where `wandb sync` uploads them, and tables into `tables`.

    Nothing leaves the machine. A run that an earlier export has written is left as it is.

    Raises:
        RequestError: the library is not installed.
        StorageError: a file could not be written.
    """
    wandb = _library()
    tree.path("wandb")  # a link is refused before anything is written
    mark(tree, "wandb")

    runs = [TrackedRun.of(pipeline) for pipeline in pipelines]
    new = [run for run in runs if not _is_written(run, tree)]
    for run in new:
        _write_tables(run, tree)
        try:
            _write_run(wandb, run, tree)
        except Exception as error:
            raise unwritable("wandb", tree, error) from error
        tree.write_text("tables", _identity(run), "whole", text="")

    return f"runs: {len(runs)}, of which new: {len(new)}"


def _library() -> Any:
    """The library, without reports to its makers.

    Raises:
        RequestError: it is not installed.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read at the import
    try:
        import wandb
    except ImportError as error:
        raise missing("wandb", error) from error
    return wandb


def _identity(run: TrackedRun) -> str:
    return run.key[:_ID_DIGITS]


def _is_written(run: TrackedRun, tree: Tree) -> bool:
    """Whether an earlier export has written the run to its end."""
    return tree.path("tables", _identity(run), "whole").is_file()


def _write_tables(run: TrackedRun, tree: Tree) -> None:
    for name, text in run.tables.items():
        tree.write_text("tables", _identity(run), f"{name}.csv", text=text)


def _write_run(wandb: Any, run: TrackedRun, tree: Tree) -> None:
    """Write a run, its metrics as the summary and its tables as an artifact."""
    identity = _identity(run)
    folder = tree.root.resolve()
    tables = wandb.Artifact(f"tables-{identity}", type="tables")
    for name in run.tables:
        # Without a copy in the user's own folders, which would be missing elsewhere.
        path = folder / "tables" / identity / f"{name}.csv"
        tables.add_file(str(path), policy="immutable", skip_cache=True)

    with wandb.init(
        mode="offline",
        dir=str(folder),
        project=PROJECT,
        id=identity,
        name=run.name,
        config=dict(run.parameters),
        settings=_settings(wandb),
    ) as started:
        started.summary.update(dict(run.metrics))
        started.log_artifact(tables)


def _settings(wandb: Any) -> Any:
    """Settings under which a run holds the results alone, and nothing of this process."""
    return wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )
