"""The format `mlflow`: a tracking database of MLflow, with a run for each pipeline and seed."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Sequence
from typing import Any

from bench.errors import RequestError
from bench.report.exports.folder import mark
from bench.report.exports.pipelines import MeasuredPipeline
from bench.report.exports.tracked import PROJECT, TrackedRun, missing, unwritable
from bench.store.tree import Tree

_DATABASE = "mlflow.db"
_ARTIFACTS = "artifacts"
_KEY = "purification-bench.key"
"""Tag with the content key of a run."""

_MOST_PARAMETERS = 100
"""Number of parameters that MLflow takes in one call; of metrics it takes ten times as many."""

_NOT_IN_ADDRESSES = re.compile("[?#%]")


def write(pipelines: Sequence[MeasuredPipeline], tree: Tree) -> str:
    """Write the runs into `mlflow.db` and their tables into `artifacts`.

    A run that an earlier export has written is left as it is. The database is SQLite, since MLflow
    has given up its folders of plain files.

    Raises:
        RequestError: MLflow is not installed, or cannot address the folder.
        StorageError: a file could not be written.
    """
    mlflow = _library()
    path = tree.path(_DATABASE).resolve()
    if _NOT_IN_ADDRESSES.search(str(path)):
        raise RequestError(f"mlflow takes no path with one of ? # %: {path}")

    mark(tree, "mlflow")
    try:
        client = mlflow.MlflowClient(f"sqlite:///{path}")
        experiment = _experiment(client, tree)
        written = sum(
            _write_run(mlflow, client, experiment, TrackedRun.of(pipeline))
            for pipeline in pipelines
        )
    except Exception as error:
        raise unwritable("mlflow", tree, error) from error

    return f"runs: {len(pipelines)}, of which new: {written}"


def _library() -> Any:
    """MLflow with its database, silent and without reports to its makers.

    Raises:
        RequestError: it is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read at the import
    try:
        import mlflow
        import mlflow.store.db.utils
    except ImportError as error:
        raise missing("mlflow", error) from error

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow


def _experiment(client: Any, tree: Tree) -> str:
    """The id of the experiment, made where there is none."""
    experiment = client.get_experiment_by_name(PROJECT)
    if experiment is not None:
        return str(experiment.experiment_id)

    artifacts = tree.path(_ARTIFACTS).resolve().as_uri()
    return str(client.create_experiment(PROJECT, artifact_location=artifacts))


def _write_run(mlflow: Any, client: Any, experiment: str, run: TrackedRun) -> bool:
    """Write a run that is not there yet; whether it was written.

    The key comes last, so that a run that was cut off is not taken for a whole one.
    """
    if client.search_runs([experiment], f"tags.`{_KEY}` = '{run.key}'"):
        return False

    entities = mlflow.entities
    now = int(time.time() * 1000)
    created = client.create_run(experiment, run_name=run.name).info.run_id
    metrics = [entities.Metric(name, value, now, 0) for name, value in run.metrics.items()]
    parameters = [entities.Param(name, value) for name, value in run.parameters.items()]
    for start in range(0, max(len(metrics), len(parameters)), _MOST_PARAMETERS):
        part = slice(start, start + _MOST_PARAMETERS)
        client.log_batch(created, metrics=metrics[part], params=parameters[part])
    for name, text in run.tables.items():
        client.log_text(created, text, f"tables/{name}.csv")

    client.set_tag(created, _KEY, run.key)
    client.set_terminated(created)
    return True
