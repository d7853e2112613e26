"""Raw inference times: what was timed, how, and under which conditions.

Numbers are derived from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from bench.records.pipeline import Pipeline
from bench.store.keys import content_key

TIMING_SCHEMA = 3
"""Version of the files. 2: the first kept.

3: engines, precisions, rounds, memory, agreement, conditions.
"""

EAGER, FLOAT32 = "eager", "float32"
"""The engine and the precision that others are held against."""

BUSY = 0.3
"""Cores that other processes may keep busy before it is said."""

Target = Literal["purifier", "pipeline"]
TARGETS: tuple[Target, ...] = ("purifier", "pipeline")

Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Subject:
    """What is timed.

    Attributes:
        pipeline: what is timed, whatever its seed.
        target: `purifier` alone, or `pipeline`: purifier and classifier.
        batch_size: images in a call.
        engine: how the module is run.
        precision: of its arithmetic.
        device: where.
        round: the whole table is measured in rounds, so that what changes over time shows.
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
        """What was timed, not how long it took."""
        return content_key(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The subject as a file holds it."""
        content = asdict(self)
        del content["pipeline"]

        return {"labels": self.pipeline.labels(), **content}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The subject that a file holds.

        Raises:
            KeyError, TypeError: it is not one.
        """
        parts = dict(content)
        return cls(pipeline=Pipeline.of(parts.pop("labels")), **parts)


@dataclass(frozen=True)
class Agreement:
    """How far an engine's output is from that of eager float32, on the same images and random
    draws.

    Attributes:
        difference: the largest absolute one of a purified pixel.
        alike: share of the images that are classified alike.
        images: how many were compared.
    """

    difference: float
    alike: float
    images: int


@dataclass(frozen=True)
class Samples:
    """The raw times of a subject.

    Attributes:
        seconds: of each call on the host's clock, the device idle before and after, in order.
        device_seconds: of the same calls between two CUDA events; empty without CUDA.
        warmup: calls before the first that counts.
        stable: the last calls of the warm-up took the same time, within a tenth.
        peak_memory: bytes at the most meanwhile: of the CUDA allocator, or the process's resident
            set; None if unknown.
        memory_before: the same just before.
    """

    seconds: tuple[float, ...]
    device_seconds: tuple[float, ...]
    warmup: int
    stable: bool
    peak_memory: int | None
    memory_before: int | None


@dataclass(frozen=True)
class Timing:
    """A record: a subject, and its samples or why there are none.

    Attributes:
        subject: what was timed.
        status: `ok`, `skipped` where the engine or precision does not apply, or `failed`.
        reason: of that, in one line.
        samples: None unless ok.
        agreement: with eager float32; None for eager float32 itself.
        flops_per_image: floating-point operations of the target on one image, a multiply-add
            counted as two; those of convolutions and matrix products. None where they could not be
            counted.
        weight_bytes: of the target's parameters and buffers as stored in float32, which a call must
            read at least once.
        conditions: threads, clock in MHz as read, load of the machine, type of the images.
        environment: id of the environment.
    """

    subject: Subject
    status: Status
    reason: str = ""
    samples: Samples | None = None
    agreement: Agreement | None = None
    flops_per_image: int | None = None
    weight_bytes: int | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)
    environment: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a file holds it."""
        return {"schema": TIMING_SCHEMA, **asdict(self), "subject": self.subject.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Timing:
        """From what a file holds.

        Raises:
            ValueError: it is of another version, or no timing.
        """
        parts = dict(content)
        schema = parts.pop("schema", None)
        if schema != TIMING_SCHEMA:
            raise ValueError(f"schema {schema}; this version reads {TIMING_SCHEMA}")
        try:
            samples, agreement = parts.pop("samples"), parts.pop("agreement")
            if samples is not None:
                times = {name: tuple(samples[name]) for name in ("seconds", "device_seconds")}
                samples = Samples(**{**samples, **times})
            return cls(
                **{**parts, "subject": Subject.from_json(parts["subject"])},
                samples=samples,
                agreement=Agreement(**agreement) if agreement is not None else None,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a timing ({error})") from None
