"""The record of a timing: which call was timed, its raw times, and the conditions they hold for.

Latency, throughput and speed-ups are derived from the raw times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from bench.records.cell import Status
from bench.records.pipeline import Pipeline
from bench.store.keys import content_key

TIMING_SCHEMA = 3
"""Version of the files. 2: the first that was kept.
3: engines, precisions, rounds, memory, agreement, conditions.
"""

EAGER, FLOAT32 = "eager", "float32"
"""The engine and the precision that all others are compared with."""

BUSY = 0.3
"""Number of cores that other processes may keep busy before a timing counts as disturbed."""

Target = Literal["purifier", "pipeline"]
TARGETS: tuple[Target, ...] = ("purifier", "pipeline")


@dataclass(frozen=True)
class TimedCall:
    """A call whose duration is measured.

    Attributes:
        pipeline: purifier and classifier, without a seed.
        target: `purifier` for the purifier alone, `pipeline` for purifier and classifier.
        batch_size: number of images in the call.
        engine: name of the engine that runs the networks.
        precision: name of the arithmetic.
        device: device as PyTorch writes it, such as `cpu` or `cuda:0`.
        round: index of the round, from 0. All calls are timed once in each round, so that slow
            changes of the machine show as differences between rounds.
    """

    pipeline: Pipeline
    target: Target
    batch_size: int
    engine: str
    precision: str
    device: str
    round: int

    @property
    def key(self) -> str:
        """Content key of the call; the measured times are no part of it."""
        return content_key(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The call as a file holds it."""
        content = asdict(self)
        del content["pipeline"]

        return {"labels": self.pipeline.labels(), **content}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The call that a file holds.

        Raises:
            KeyError, TypeError: the content is not that of a call.
        """
        parts = dict(content)
        return cls(pipeline=Pipeline.of(parts.pop("labels")), **parts)


@dataclass(frozen=True)
class Agreement:
    """Differences between an engine's output and that of eager float32.

    Both are computed on the same images with the same random draws.

    Attributes:
        difference: largest absolute difference of a purified pixel.
        alike: share of the images that get the same class, in [0, 1].
        images: number of images that were compared.
    """

    difference: float
    alike: float
    images: int


@dataclass(frozen=True)
class Samples:
    """The raw times of a call.

    Attributes:
        seconds: duration of each call on the host's clock, in order; the device is idle before
            and after.
        device_seconds: duration of the same calls between two CUDA events; empty without CUDA.
        warmup: number of calls before the first that counts.
        stable: whether the last calls of the warm-up took the same time, within a tenth.
        peak_memory: largest number of bytes in use during the calls: those of the CUDA allocator,
            or the process's resident set; None where unknown.
        memory_before: bytes in use just before the first counted call; None where unknown.
    """

    seconds: tuple[float, ...]
    device_seconds: tuple[float, ...]
    warmup: int
    stable: bool
    peak_memory: int | None
    memory_before: int | None


@dataclass(frozen=True)
class Timing:
    """The record of a timing: a call, and its samples or the reason why there are none.

    Attributes:
        call: the call that was timed.
        status: `ok`, `skipped` where the engine or precision does not apply, or `failed`.
        reason: why the timing failed or was skipped, in one line; empty if the status is ok.
        samples: raw times; None unless the status is ok.
        agreement: comparison with eager float32; None for eager float32 itself.
        flops_per_image: floating-point operations of the target on one image: those of
            convolutions and matrix products, a multiply-add counted as two. None where they could
            not be counted.
        weight_bytes: size of the target's parameters and buffers as stored in float32, which a
            call must read at least once.
        conditions: number of threads, clock in MHz, cores that other processes kept busy, and data
            type of the images.
        environment: id of the environment that it was measured in.
    """

    call: TimedCall
    status: Status
    reason: str = ""
    samples: Samples | None = None
    agreement: Agreement | None = None
    flops_per_image: int | None = None
    weight_bytes: int | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)
    environment: str = ""

    def to_json(self) -> dict[str, Any]:
        """The record as a file holds it."""
        content = asdict(self)
        del content["call"]

        return {"schema": TIMING_SCHEMA, **content, "subject": self.call.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The record that a file holds.

        Raises:
            ValueError: the content is of another version, or not that of a timing.
        """
        parts = dict(content)
        schema = parts.pop("schema", None)
        if schema != TIMING_SCHEMA:
            raise ValueError(f"schema {schema}; this version reads {TIMING_SCHEMA}")

        try:
            return cls(
                call=TimedCall.from_json(parts.pop("subject")),
                samples=_samples(parts.pop("samples")),
                agreement=_agreement(parts.pop("agreement")),
                **parts,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a timing ({error})") from None


def _samples(content: Mapping[str, Any] | None) -> Samples | None:
    if content is None:
        return None
    times = {name: tuple(content[name]) for name in ("seconds", "device_seconds")}

    return Samples(**{**content, **times})


def _agreement(content: Mapping[str, Any] | None) -> Agreement | None:
    return None if content is None else Agreement(**content)
