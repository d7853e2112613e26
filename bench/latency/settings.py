"""The settings of a measurement: what is timed, how long, how often."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from bench.contracts import PositiveFloat, PositiveInt


class LatencySettings(BaseModel):
    """How inference is timed.

    Attributes:
        batch_sizes: images in a call; empty to time nothing.
        engines: ways to run a network, such as `eager` and `compile`.
        precisions: of its arithmetic, such as `float32` and `bfloat16`.
        rounds: how often the whole table is measured; the rounds are held against each other.
        warmup: calls before the first that counts, at least; they go on until the latest took the
            same time,
        max_warmup: but no longer than so many calls, or `max_seconds`.
        min_calls: calls that count, unless `max_seconds` is over first (three count in any case).
        min_seconds: go on at least this long.
        max_seconds: stop after this long, or
        max_calls: after so many calls.
        compared: images on which an engine is held against eager float32 (a whole batch at least).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_sizes: tuple[PositiveInt, ...] = (1, 32)
    engines: tuple[str, ...] = Field(default=("eager",), min_length=1)
    precisions: tuple[str, ...] = Field(default=("float32",), min_length=1)
    rounds: PositiveInt = 1
    warmup: PositiveInt = 3
    max_warmup: PositiveInt = 50
    min_calls: PositiveInt = 30
    min_seconds: PositiveFloat = 0.5
    max_seconds: PositiveFloat = 10.0
    max_calls: PositiveInt = 2000
    compared: PositiveInt = 32
