"""The settings of a latency measurement: batch sizes, engines, precisions, duration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from bench.contracts.parameters import PositiveFloat, PositiveInt


class LatencySettings(BaseModel):
    """Settings of a latency measurement.

    Attributes:
        batch_sizes: numbers of images in a call; empty to time nothing.
        engines: engines that run the networks, such as `eager` and `compile`.
        precisions: kinds of arithmetic, such as `float32` and `bfloat16`.
        rounds: number of times that every call is timed; differences between rounds show slow
            changes of the machine.
        warmup: smallest number of calls before the first that counts. The warm-up goes on until
            the latest calls took the same time.
        max_warmup: largest number of warm-up calls; the warm-up also ends after `max_seconds`.
        min_calls: smallest number of calls that count; at least three count even where
            `max_seconds` ends the measurement first.
        min_seconds: shortest duration of the counted calls together, in seconds.
        max_seconds: duration after which the measurement stops, in seconds.
        max_calls: number of counted calls after which the measurement stops.
        compared: number of images on which an engine is compared with eager float32; at least one
            whole batch is.
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
