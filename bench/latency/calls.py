"""The calls that a configuration asks to be timed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from bench.latency.engines import engines_of, precisions_of
from bench.latency.settings import LatencySettings
from bench.records.pipeline import Pipeline
from bench.records.timing import TARGETS, TimedCall


def timed_calls(
    settings: LatencySettings, pipelines: Sequence[Pipeline], device: str
) -> Iterator[TimedCall]:
    """All calls that are to be timed, round after round.

    Args:
        settings: batch sizes, engines, precisions and number of rounds.
        pipelines: pipelines to time, without seeds.
        device: device to time them on, as PyTorch writes it.

    Raises:
        RequestError: an engine or a precision is unknown.
    """
    engines = engines_of(settings.engines)
    precisions = precisions_of(settings.precisions)

    for index, pipeline, batch_size, engine, precision, target in itertools.product(
        range(settings.rounds), pipelines, settings.batch_sizes, engines, precisions, TARGETS
    ):
        yield TimedCall(
            pipeline, target, batch_size, engine.name, precision.name, device, round=index
        )
