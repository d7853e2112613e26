"""A pipeline as a run of an experiment tracker, and the libraries of trackers, which are extras."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.errors import RequestError, StorageError
from bench.report.escapes import metric_name, tracker_text
from bench.report.exports.pipelines import MeasuredPipeline, Share
from bench.store.keys import content_key
from bench.store.tree import Tree
from bench.text import one_line

PROJECT = "purification-bench"
"""Name of the experiment or project that all runs belong to."""


@dataclass(frozen=True, eq=False)
class TrackedRun:
    """A pipeline as a run of a tracker.

    Attributes:
        name: networks and seed in one line.
        key: content key of all below, by which an earlier export of the same run is known.
        parameters: what was run, as text by name.
        metrics: accuracies as shares and latencies in milliseconds, by name.
        tables: CSV files by name.
    """

    name: str
    key: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tables: Mapping[str, str]

    @classmethod
    def of(cls, pipeline: MeasuredPipeline) -> TrackedRun:
        """The run of a pipeline."""
        parameters = {
            metric_name(name): tracker_text(str(value))
            for name, value in (
                *pipeline.pipeline.labels().items(),
                ("n", pipeline.n),
                *pipeline.provenance.items(),
                *pipeline.parameters.items(),
            )
        }
        metrics = dict(_metrics(pipeline))
        tables = dict(pipeline.tables)
        key = content_key({"parameters": parameters, "metrics": metrics, "tables": tables})
        name = tracker_text(f"{pipeline.architecture}, seed {pipeline.pipeline.seed}")

        return cls(name, key, parameters, metrics, tables)


def missing(package: str, error: ImportError) -> RequestError:
    """The error for the library of a format that is not installed, with the remedy.

    Args:
        package: name of the library, of its extra and of the format.
        error: what its import raised.
    """
    return RequestError(
        f"--format {package} needs the package {package} ({one_line(str(error))}): "
        f"pip install 'purification-bench[{package}]'"
    )


def unwritable(package: str, tree: Tree, error: Exception) -> StorageError:
    """The error for a library that could not write its files.

    Args:
        package: name of the library.
        tree: folder of the export.
        error: what the library raised.
    """
    reason = one_line(str(error)) or type(error).__name__
    return StorageError(f"{package} cannot write to {tree.root}: {reason}")


def _metrics(pipeline: MeasuredPipeline) -> Iterator[tuple[str, float]]:
    """All numbers with the ends of their intervals, by name."""
    yield from _share("clean_accuracy", pipeline.clean)
    for budget in pipeline.budgets:
        name = metric_name("worst_case_accuracy", budget.norm, f"{budget.eps:g}")
        yield from _share(name, budget.worst)
    for attack in pipeline.attacks:
        parts = (attack.attack, f"{attack.eps:g}", attack.threat)
        yield from _share(metric_name("robust_accuracy", *parts), attack.robust)
    yield from pipeline.latency.items()


def _share(name: str, share: Share) -> Iterator[tuple[str, float]]:
    """A share and the ends of its interval."""
    yield name, share.value
    yield f"{name}_low", share.low
    yield f"{name}_high", share.high
