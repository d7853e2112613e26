"""The summary of a timing in one line."""

from __future__ import annotations

from dataclasses import replace

from bench.latency.summary import timing_summary
from bench.records.pipeline import Pipeline
from bench.records.timing import EAGER, FLOAT32, Agreement, Samples, TimedCall, Timing

CALL = TimedCall(Pipeline("digits", "cnn", "d"), "pipeline", 4, EAGER, FLOAT32, "cpu", 0)
SAMPLES = Samples((0.01,) * 3, (0.001,) * 3, 5, False, None, None)


def test_everything_that_makes_a_number_doubtful_is_named() -> None:
    timing = Timing(CALL, "ok", samples=SAMPLES, conditions={"busy_elsewhere": 1.5})
    text = timing_summary(timing)
    assert "d pipeline, batch 4, eager: 10 ms a call (3 calls)" in text
    doubts = ("not stable", "CUDA events measured 1 ms", "other processes kept 1.5 cores busy")
    assert all(doubt in text for doubt in doubts)


def test_a_sound_number_stands_alone() -> None:
    samples = replace(SAMPLES, stable=True, device_seconds=())
    assert timing_summary(Timing(CALL, "ok", samples=samples)).endswith("(3 calls)")


def test_another_engine_is_compared_with_eager() -> None:
    agreement = Agreement(difference=2e-3, alike=0.75, images=4)
    call = replace(CALL, engine="compile", precision="bfloat16")
    text = timing_summary(Timing(call, "ok", samples=SAMPLES, agreement=agreement))
    assert "batch 4, compile bfloat16" in text
    assert "largest difference from eager float32 0.002, 75.0% of the images in the same" in text


def test_a_timing_without_samples_says_why() -> None:
    assert timing_summary(Timing(CALL, "skipped", "needs CUDA")).endswith("skipped, needs CUDA")
