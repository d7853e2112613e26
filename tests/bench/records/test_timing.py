"""Records of times."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bench.records.pipeline import Pipeline
from bench.records.timing import TIMING_SCHEMA, Agreement, Samples, TimedCall, Timing

CALL = TimedCall(Pipeline("digits", "cnn", "none"), "purifier", 8, "compile", "bfloat16", "cpu", 1)
FULL = Timing(
    CALL,
    "ok",
    samples=Samples((0.1, 0.2), (0.05,), 3, False, 100, 50),
    agreement=Agreement(0.5, 0.9, 32),
    flops_per_image=7,
    conditions={"threads": 2},
    environment="abc",
)


@pytest.mark.parametrize("timing", [FULL, Timing(CALL, "skipped", "needs CUDA")])
def test_a_record_comes_back_from_its_file(timing: Timing) -> None:
    assert Timing.from_json(json.loads(json.dumps(timing.to_json()))) == timing


def test_the_key_is_of_what_is_timed() -> None:
    changes: list[dict[str, Any]] = [
        *({name: "other"} for name in ("target", "engine", "precision", "device")),
        {"batch_size": 9},
        {"round": 2},
        {"pipeline": Pipeline("mnist", "cnn", "none")},
    ]
    assert len({replace(CALL, **change).key for change in changes} | {CALL.key}) == len(changes) + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, f"schema 2; this version reads {TIMING_SCHEMA}"),
        ({"subject": {}}, "not a timing"),
        ({"samples": {"seconds": [1]}}, "not a timing"),
        ({"extra": 1}, "not a timing"),
    ],
)
def test_something_else_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Timing.from_json({**json.loads(json.dumps(FULL.to_json())), **change})
