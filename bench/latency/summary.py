"""The summary of a timing in one line, for the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench.latency.clock import clocks_disagree
from bench.records.timing import BUSY, FLOAT32, Samples, TimedCall, Timing


def timing_summary(timing: Timing) -> str:
    """The median time of a call in one line, with everything that makes it doubtful."""
    name = _name(timing.call)
    if timing.samples is None:
        return f"{name}: {timing.status}, {timing.reason}"

    calls = len(timing.samples.seconds)
    median = _milliseconds(timing.samples.seconds)
    parts = [f"{median} a call ({calls} calls)", *_remarks(timing, timing.samples)]

    return f"{name}: {'; '.join(parts)}"


def _name(call: TimedCall) -> str:
    mode = call.engine if call.precision == FLOAT32 else f"{call.engine} {call.precision}"
    return f"{call.pipeline.defense} {call.target}, batch {call.batch_size}, {mode}"


def _remarks(timing: Timing, samples: Samples) -> Iterator[str]:
    agreement = timing.agreement
    if agreement is not None:
        yield (
            f"largest difference from eager float32 {agreement.difference:.1g}, "
            f"{agreement.alike:.1%} of the images in the same class"
        )
    if not samples.stable:
        yield "not stable after the warm-up"
    if clocks_disagree(samples):
        yield f"CUDA events measured {_milliseconds(samples.device_seconds)}"

    busy = timing.conditions.get("busy_elsewhere")
    if busy is not None and busy > BUSY:
        yield f"other processes kept {busy:.1f} cores busy"


def _milliseconds(seconds: tuple[float, ...]) -> str:
    return f"{statistics.median(seconds) * 1e3:.4g} ms"
