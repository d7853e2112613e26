"""The record of a timing: which call was timed, its raw times, and the conditions they hold for.

Latency, throughput and speed-ups are derived from the raw times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from bench.records.cell import EnvironmentId, Status
from bench.records.labels import read_as
from bench.records.pipeline import Pipeline
from bench.store.keys import content_key
from bench.store.strict import (
    STRICT,
    Count,
    Fraction,
    Name,
    NonNegative,
    Positive,
    PositiveCount,
    Text,
    validated,
)

TIMING_SCHEMA = 4
"""Version of the files. 2: the first that was kept.
3: engines, precisions, rounds, memory, agreement, conditions.
4: sealed.
"""

EARLIER_TIMING_SCHEMAS = (3,)
"""Versions of files without a seal that are still read."""

EAGER, FLOAT32 = "eager", "float32"
"""The engine and the precision that all others are compared with."""

BUSY = 0.3
"""Number of cores that other processes may keep busy before a timing counts as disturbed."""

Target = Literal["purifier", "pipeline"]
TARGETS: tuple[Target, ...] = ("purifier", "pipeline")


class Conditions(TypedDict, total=False):
    """The conditions of a measurement, see `Timing`; None for what the system does not report."""

    __pydantic_config__ = STRICT  # type: ignore[misc]

    threads: PositiveCount
    clock_mhz: NonNegative | None
    busy_elsewhere: NonNegative | None
    dtype: Name


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

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    pipeline: Annotated[Pipeline, Field(validation_alias="labels")]
    target: Target
    batch_size: PositiveCount
    engine: Name
    precision: Name
    device: Name
    round: Count

    @property
    def key(self) -> str:
        """Content key of the call; the measured times are no part of it."""
        return content_key(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The call as a file holds it."""
        content = asdict(self)
        del content["pipeline"]

        return {"labels": self.pipeline.labels(), **content}


@dataclass(frozen=True)
class Agreement:
    """Differences between an engine's output and that of eager float32.

    Both are computed on the same images with the same random draws.

    Attributes:
        difference: largest absolute difference of a purified pixel.
        alike: share of the images that get the same class, in [0, 1].
        images: number of images that were compared.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    difference: NonNegative
    alike: Fraction
    images: PositiveCount


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

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    seconds: Annotated[tuple[Positive, ...], Field(min_length=1)]
    device_seconds: tuple[NonNegative, ...]
    warmup: Count
    stable: bool
    peak_memory: Count | None
    memory_before: Count | None


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

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    call: Annotated[TimedCall, Field(validation_alias="subject")]
    status: Status
    reason: Text = ""
    samples: Samples | None = None
    agreement: Agreement | None = None
    flops_per_image: Count | None = None
    weight_bytes: Count | None = None
    conditions: Annotated[Mapping[str, Any], read_as(Conditions)] = field(default_factory=dict)
    environment: EnvironmentId = ""

    def to_json(self) -> dict[str, Any]:
        """The record as a file holds it."""
        content = asdict(self)
        del content["call"]

        return {"schema": TIMING_SCHEMA, **content, "subject": self.call.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Timing:
        """The record that a file holds.

        Raises:
            Unreadable: the content is not that of a timing.
        """
        return validated(_TIMING, {key: content[key] for key in content if key != "schema"})


def _consistent(timing: Timing) -> Timing:
    """The timing, which has samples or a reason, in accordance with its status."""
    ok = timing.status == "ok"
    if ok != (timing.samples is not None) or ok != (timing.reason == ""):
        raise ValueError(f"status {timing.status} does not agree with its samples and reason")

    samples = timing.samples
    if samples and len(samples.device_seconds) not in (0, len(samples.seconds)):
        raise ValueError("the two clocks have different numbers of times")

    return timing


_TIMING = TypeAdapter(Annotated[Timing, AfterValidator(_consistent)])
