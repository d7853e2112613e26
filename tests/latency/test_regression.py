"""Latency of every defense, purifier alone and with the classifier, against this machine's last run
and others.

A plugin is here as soon as it is registered. `make latency` measures; in the ordinary tests
everything runs once and nothing is held to a time. The networks are those of the preset `quick`,
untrained: a forward pass takes as long whatever the weights are. Whether a trained network has
collapsed, say, is not looked at here.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

from bench.analysis.metrics import latency_summary
from bench.latency.clock import timer
from bench.machine.devices import device_name
from bench.plugins.configured import configure
from bench.registry import CLASSIFIERS, DEFENSES
from bench.stages.datasets import load_dataset
from bench.stages.decisions import makes_images, rejects
from bench.stages.surrogates import DefendedClassifier
from bench.sweep.presets import read_preset
from tests.latency.ratios import References, judge, one_thread, paired_ratio

PRESET = read_preset("quick")
DATA = load_dataset(PRESET["datasets"][0], Path()).info
WARMUP = 5
"""Calls before the first that counts, unless they take longer than the measurement is to go on."""
LEAST, MOST = 5, 1000
"""Rounds of a measurement."""


@pytest.fixture(autouse=True)
def _as_in_inference(seconds: float) -> Iterator[None]:
    """No graphs, fixed seeds, and the garbage collector pauses while something is measured."""
    if seconds:
        gc.collect()
        gc.disable()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        yield
    gc.enable()


def purifier_of(defense: str, device: torch.device) -> nn.Module:
    """The purifier as the preset sets it up, untrained."""
    plugin = configure(DEFENSES, defense, PRESET["parameters"]).plugin
    return plugin.build(DATA).to(device).eval().requires_grad_(False)


def pipeline_of(defense: str, device: torch.device) -> nn.Module:
    """Purifier and classifier, or what a defense that makes no image decides by the classifier."""
    plugin = configure(CLASSIFIERS, "cnn", PRESET["parameters"]).plugin
    classifier = plugin.build(DATA).to(device).eval().requires_grad_(False)
    purifier = purifier_of(defense, device)
    if makes_images(purifier):
        return nn.Sequential(purifier, classifier)
    return DefendedClassifier(purifier, classifier).eval()


def rounds_in(seconds: float, call: Callable[[], object]) -> int:
    """Warm up, and say how many calls take so long, within bounds.

    1, at once, where nothing is measured.
    """
    if not seconds:
        return 1
    begin = timer()
    for _ in range(WARMUP):
        start = timer()
        call()
        took = timer() - start
        if timer() - begin > seconds:
            break
    return max(LEAST, min(MOST, int(seconds / took)))


@pytest.mark.parametrize("target", ["purifier", "pipeline"])
def test_latency(
    benchmark: BenchmarkFixture,
    defense: str,
    batch_size: int,
    target: str,
    device: torch.device,
    seconds: float,
) -> None:
    purifier = purifier_of(defense, device)
    if target == "purifier" and not makes_images(purifier):
        pytest.skip("it decides without making an image")
    module = purifier if target == "purifier" else pipeline_of(defense, device)
    images = torch.rand(batch_size, *DATA.shape, device=device)
    rounds = rounds_in(seconds, lambda: module(images))
    benchmark.group = f"{defense}, batch {batch_size}"
    output: Tensor = benchmark.pedantic(module, args=(images,), rounds=rounds)
    logits = (batch_size, DATA.classes + rejects(module))
    assert output.shape == (images.shape if target == "purifier" else logits)
    if benchmark.enabled:
        samples = tuple(benchmark.stats.stats.data)
        summary = asdict(latency_summary(samples, batch_size))
        percentiles = {
            f"{name}_ms": summary[name]
            for name in ("p50", "p90", "p95", "p99")
            if summary[name] is not None
        }
        benchmark.extra_info.update(percentiles)
        benchmark.extra_info.update(
            calls=len(samples),
            batch_size=batch_size,
            device=device_name(device),
            device_type=device.type,
            threads=torch.get_num_threads(),
            torch=torch.__version__,
        )
        assert len(samples) == rounds
        assert percentiles["p50_ms"] == pytest.approx(benchmark.stats.stats.median * 1e3)


def test_ratio_to_none(
    defense: str,
    batch_size: int,
    device: torch.device,
    seconds: float,
    references: References,
    record_property: Callable[[str, object], None],
) -> None:
    images = torch.rand(batch_size, *DATA.shape, device=device)
    defended, bare = pipeline_of(defense, device), pipeline_of("none", device)

    def call() -> Tensor:
        output: Tensor = defended(images)
        return output

    def reference() -> Tensor:
        output: Tensor = bare(images)
        return output

    assert call().shape == (batch_size, DATA.classes + rejects(defended))
    assert reference().shape == (batch_size, DATA.classes)
    if not seconds:
        return
    with one_thread():
        ratio = paired_ratio(
            call, reference, rounds_in(seconds / 2, call)
        )  # the other half is for the reference
    if os.environ.get("BENCH_RATIOS") == "write":
        references.write(device.type, device_name(device), defense, batch_size, ratio)
    known = references.find(device.type, defense, batch_size)
    verdict = judge(ratio, known, references.tolerance(device.type))
    record_property("ratio", verdict.text)
    if verdict.kind == "faster":
        warnings.warn(f"{defense}, batch {batch_size}: {verdict.text}", stacklevel=1)
    assert verdict.kind != "slower", f"{defense}, batch {batch_size}: {verdict.text}"
