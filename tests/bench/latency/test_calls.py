"""The calls that are to be timed."""

from __future__ import annotations

from typing import Any

import pytest

from bench.errors import RequestError
from bench.latency.calls import timed_calls
from bench.latency.settings import LatencySettings
from bench.records.pipeline import Pipeline

PIPELINES = [Pipeline("digits", "cnn", "d"), Pipeline("digits", "cnn", "e")]


def settings(**changes: Any) -> LatencySettings:
    return LatencySettings.model_validate({"batch_sizes": (1, 4), **changes})


def test_every_combination_is_timed_once_in_each_round() -> None:
    modes = {"engines": ("eager", "compile"), "precisions": ("float32", "bfloat16")}
    calls = list(timed_calls(settings(**modes, rounds=3), PIPELINES, "cpu"))
    assert len({call.key for call in calls}) == len(calls) == 3 * 2 * 2 * 2 * 2 * 2
    assert [call.round for call in calls] == sorted(call.round for call in calls)
    assert [call.target for call in calls[:2]] == ["purifier", "pipeline"]


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(RequestError, match="unknown engine"):
        list(timed_calls(settings(engines=("warp",)), PIPELINES, "cpu"))
