"""Records of times."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bench.records.pipeline import Pipeline
from bench.records.timing import Agreement, Samples, TimedCall, Timing

CALL = TimedCall(Pipeline("digits", "cnn", "none"), "purifier", 8, "compile", "bfloat16", "cpu", 1)
FULL = Timing(
    CALL,
    "ok",
    samples=Samples((0.1, 0.2), (0.05, 0.0), 3, False, 100, 50),
    agreement=Agreement(0.5, 0.9, 32),
    flops_per_image=7,
    conditions={"threads": 2},
    environment="0123456789ab",
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
