"""Latency of every registered defense under pytest-benchmark; percentiles of the raw samples in `extra_info`.

A plugin is here as soon as it is registered. Run `pytest tests/latency --benchmark-enable` for numbers; in the ordinary
tests each purifier is called once.
"""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.configure import configure
from bench.contracts import DataInfo
from bench.metrics import latency_summary
from bench.registry import DEFENSES

SHAPE = (1, 28, 28)


@pytest.mark.benchmark(group="purifier")
@pytest.mark.parametrize("batch_size", [1, 32])
@pytest.mark.parametrize("name", [name for name in DEFENSES if DEFENSES.get(name).__module__.startswith("defenses.")])
def test_purifier(benchmark: BenchmarkFixture, name: str, batch_size: int) -> None:
    defense = configure(DEFENSES, "defensegan:restarts=2:steps=5" if name == "defensegan" else name).plugin
    torch.manual_seed(0)
    module = defense.build(DataInfo(SHAPE, 10)).eval().requires_grad_(False)
    images = torch.rand(batch_size, *SHAPE)
    with torch.no_grad():
        output = benchmark.pedantic(module, args=(images,), rounds=20, warmup_rounds=2)
    assert output.shape == images.shape
    if benchmark.enabled:
        samples = tuple(benchmark.stats.stats.data)
        summary = latency_summary(samples, batch_size)
        benchmark.extra_info.update(p50_ms=summary.p50, p90_ms=summary.p90, p95_ms=summary.p95)
        assert summary.calls == 20
