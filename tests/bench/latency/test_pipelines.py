"""The pipelines that are timed: batches of images, and defenses that decide by themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense, Eager
from bench.latency.engines import EAGER, EAGER_FLOAT32, ENGINES, FLOAT32, Engine
from bench.latency.pipelines import PipelineLoader, Workload
from bench.latency.settings import LatencySettings
from bench.latency.stopwatch import Stopwatch
from bench.plugins.configured import Configured, configure
from bench.records.pipeline import Pipeline
from bench.records.timing import Target, TimedCall, Timing
from bench.registry import CLASSIFIERS, DEFENSES
from bench.spec import Spec
from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.stages.references import CellNetworks, NetworkRef
from bench.stages.train import Train
from bench.sweep.config import RunConfig

DRAWS = 3
SETTINGS = LatencySettings(
    batch_sizes=(1, 4), warmup=1, max_warmup=1, min_calls=3, min_seconds=1e-9, compared=8
)

Made = Callable[[Configured[Any]], CellNetworks]


def test_a_batch_starts_over_where_the_images_end(context: TaskContext) -> None:
    split = context.split("digits", 6)
    images, _ = context.images(split)
    batch = PipelineLoader(context).batch(split, 4, 4)
    indices = [int((images == image).flatten(1).all(dim=1).nonzero()[0]) for image in batch]
    assert indices == [4, 5, 0, 1]


@pytest.fixture
def trained(context: TaskContext, tiny_config: RunConfig) -> Made:
    """The networks of a pipeline with a defense, trained in seconds or taken from the cache."""
    split = context.split("digits", None)
    executor = LocalExecutor(context)

    def reference(plugin: Configured[Any], against: NetworkRef | None = None) -> NetworkRef:
        task = Train(plugin, split, 0, against)
        return NetworkRef(plugin, split.info, task.key, executor.digest(task))

    def networks(defense: Configured[Any]) -> CellNetworks:
        classifier = reference(configure(CLASSIFIERS, "cnn", tiny_config.parameters))
        against = classifier if defense.plugin.uses_classifier else None
        return CellNetworks(classifier, reference(defense, against))

    return networks


@pytest.fixture
def timed(context: TaskContext) -> Callable[..., Timing]:
    """The timing of a pipeline of networks, four images a call."""

    def time(networks: CellNetworks, target: Target = "pipeline", engine: str = EAGER) -> Timing:
        pipeline = Pipeline("digits", "cnn", networks.defense.plugin.label)
        call = TimedCall(pipeline, target, 4, engine, FLOAT32, "cpu", 0)
        return Stopwatch(context, SETTINGS).time(call, networks, context.split("digits", 6))

    return time


@pytest.mark.parametrize("rule", ["mean", "majority"])
@pytest.mark.parametrize("inner", ["convae", "puvae"])
def test_a_vote_costs_its_draws_in_operations(
    trained: Made, timed: Any, tiny_config: RunConfig, inner: str, rule: str
) -> None:
    alone, vote = (
        trained(configure(DEFENSES, spec, tiny_config.parameters))
        for spec in (inner, f"vote:defense={inner}:draws={DRAWS}:rule={rule}")
    )
    assert alone.defense.key == vote.defense.key
    assert alone.defense.digest == vote.defense.digest
    for target in ("purifier", "pipeline"):
        once, often = timed(alone, target), timed(vote, target)
        assert once.status == often.status == "ok"
        assert often.flops_per_image == DRAWS * once.flops_per_image
        assert often.weight_bytes == once.weight_bytes


class Counting(Eager):
    """Accelerator that counts the calls of every function that it was given."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def function(self, function: Any) -> Any:
        index = len(self.calls)
        self.calls.append(0)

        def counted(*inputs: Any) -> Any:
            self.calls[index] += 1
            return function(*inputs)

        return counted


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[Counting]:
    """The accelerators of the engine `counting`, which changes nothing."""
    made: list[Counting] = []

    def accelerator() -> Counting:
        made.append(Counting())
        return made[-1]

    monkeypatch.setitem(ENGINES, "counting", Engine("counting", "for a test", accelerator))
    return made


def test_an_engine_runs_the_inner_defense_and_the_classifier(
    trained: Made, timed: Any, engine: list[Counting], tiny_config: RunConfig
) -> None:
    spec = f"vote:defense=puvae:draws={DRAWS}"
    timing = timed(trained(configure(DEFENSES, spec, tiny_config.parameters)), engine="counting")
    assert timing.status == "ok", timing.reason
    assert (timing.agreement.alike, timing.agreement.difference) == (1.0, 0.0)
    assert [len(accelerator.calls) for accelerator in engine] == [1, 1]
    assert all(calls > 3 for accelerator in engine for calls in accelerator.calls)


class _Deciding(nn.Module):
    """A purifier that changes nothing, and decides for the class after the classifier's."""

    def forward(self, images: Tensor) -> Tensor:
        return images

    def classify(self, images: Tensor, classifier: Callable[[Tensor], Tensor]) -> Tensor:
        return classifier(images).roll(1, dims=1)


@dataclass(frozen=True)
class Deciding(Defense):
    """A defense that decides by itself."""

    def build(self, data: DataInfo) -> nn.Module:
        return _Deciding()


def deciding() -> Configured[Any]:
    identity: dict[str, Any] = {"name": "deciding", "version": 1, "parameters": {}, "files": {}}
    return Configured(Spec("deciding"), Deciding(), {}, identity)


def test_a_defense_that_decides_is_timed_as_it_decides(
    trained: Made, timed: Any, engine: list[Counting], context: TaskContext
) -> None:
    networks = trained(deciding())
    assert timed(networks).status == "ok"

    skipped = timed(networks, engine="counting")
    assert skipped.status == "skipped"
    assert skipped.reason == (
        "counting float32 cannot run defense deciding, which decides by itself"
    )

    decided = _decided(context, networks)
    assert torch.equal(decided[0], decided[1].roll(1, dims=1))


def _decided(context: TaskContext, networks: CellNetworks) -> tuple[Tensor, Tensor]:
    """The logits of the timed pipeline, and those of the classifier alone."""
    workload = Workload(networks, context.split("digits", 6))
    images, _ = context.images(workload.split)
    logits = PipelineLoader(context).pipeline(workload, EAGER_FLOAT32).target("pipeline")(images)
    alone: Tensor = context.network(networks.classifier)(images)
    return logits, alone
