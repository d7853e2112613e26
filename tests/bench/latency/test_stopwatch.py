"""The timings of the stopwatch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.contracts import DataInfo
from bench.errors import PluginFault
from bench.latency.engines import EAGER, ENGINES, FLOAT32, Engine
from bench.latency.settings import LatencySettings
from bench.latency.stopwatch import Stopwatch
from bench.plugins.configured import configure
from bench.records.pipeline import Pipeline
from bench.records.timing import TimedCall, Timing
from bench.registry import CLASSIFIERS, DEFENSES, Registry
from bench.stages.context import TaskContext
from bench.stages.references import CellNetworks, NetworkRef

PIPELINE = Pipeline("digits", "cnn", "d")
SETTINGS = LatencySettings(
    batch_sizes=(1, 4), warmup=1, max_warmup=1, min_calls=3, min_seconds=1e-9, compared=8
)


def trained(registry: Registry[Any], spec: str) -> NetworkRef:
    return NetworkRef(configure(registry, spec), DataInfo((1, 28, 28), 10), spec, spec)


@pytest.fixture
def networks(context: TaskContext, monkeypatch: pytest.MonkeyPatch) -> CellNetworks:
    """Untrained networks, the same in every call."""
    made: dict[str, torch.nn.Module] = {}

    def network(reference: NetworkRef) -> torch.nn.Module:
        if reference.key not in made:
            torch.manual_seed(0)
            module = reference.plugin.plugin.build(reference.info)
            made[reference.key] = module.eval().requires_grad_(False)
        return made[reference.key]

    monkeypatch.setattr(context, "network", network)
    return CellNetworks(
        trained(CLASSIFIERS, "cnn:width=4:hidden=8"), trained(DEFENSES, "convae:width=2")
    )


def call(**changes: Any) -> TimedCall:
    return replace(TimedCall(PIPELINE, "pipeline", 4, EAGER, FLOAT32, "cpu", 0), **changes)


class Wrong:
    """Accelerator that changes the output of every function."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        self.change = change

    def function(self, function: Any) -> Any:
        return lambda images: self.change(function(images))


@pytest.fixture
def engine(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[Callable[[Tensor], Tensor]], None]]:
    def register(change: Callable[[Tensor], Tensor]) -> None:
        made: Any = Engine("wrong", "for a test", lambda: Wrong(change))  # type: ignore[arg-type, return-value]
        monkeypatch.setitem(ENGINES, "wrong", made)

    return register  # type: ignore[return-value]


def timed(context: TaskContext, networks: CellNetworks, **changes: Any) -> Timing:
    return Stopwatch(context, SETTINGS).time(call(**changes), networks, context.split("digits", 6))


def test_eager_float32_has_no_agreement(context: TaskContext, networks: CellNetworks) -> None:
    timing = timed(context, networks)
    assert (timing.status, timing.agreement) == ("ok", None)
    assert timing.samples is not None
    assert len(timing.samples.seconds) == 3
    assert timing.samples.device_seconds == ()
    assert timing.conditions["threads"] == torch.get_num_threads()
    assert timing.conditions["dtype"] == "float32"


def test_an_engine_that_is_right_is_found_right(
    context: TaskContext, networks: CellNetworks
) -> None:
    timing = timed(context, networks, engine="compile")
    assert timing.agreement is not None
    assert timing.agreement.difference < 1e-5
    assert (timing.agreement.alike, timing.agreement.images) == (1.0, 8)


def test_bfloat16_is_off_by_its_rounding(context: TaskContext, networks: CellNetworks) -> None:
    timing = timed(context, networks, precision="bfloat16")
    assert timing.agreement is not None
    assert 1e-5 < timing.agreement.difference < 0.1
    assert timing.conditions["dtype"] == "bfloat16"


def test_an_engine_that_is_wrong_is_found_wrong(
    context: TaskContext, networks: CellNetworks, engine: Any
) -> None:
    engine(lambda output: output + 0.5 if output.dim() == 4 else output.flip(1))
    timing = timed(context, networks, engine="wrong")
    assert timing.agreement is not None
    assert timing.agreement.difference == pytest.approx(0.5)
    assert timing.agreement.alike < 1


@pytest.mark.parametrize(
    "change", [lambda output: output * float("nan"), lambda output: output[:1]]
)
def test_an_engine_of_no_use_is_a_fault(
    context: TaskContext, networks: CellNetworks, engine: Any, change: Any
) -> None:
    engine(change)
    with pytest.raises(PluginFault, match=r"convae:width=2 \(wrong float32\): its output"):
        timed(context, networks, engine="wrong")


def test_an_engine_that_cannot_run_it_is_skipped_with_the_reason(
    context: TaskContext, networks: CellNetworks, engine: Any
) -> None:
    def refuses(output: Tensor) -> Tensor:
        raise RuntimeError("graph break")

    engine(refuses)
    timing = timed(context, networks, engine="wrong")
    assert (timing.status, timing.samples) == ("skipped", None)
    assert "wrong float32 cannot run this pipeline: " in timing.reason
    assert "graph break" in timing.reason


def test_what_an_engine_cannot_do_is_tried_once(
    context: TaskContext, networks: CellNetworks, engine: Any
) -> None:
    tried: list[int] = []

    def refuses(output: Tensor) -> Tensor:
        tried.append(1)
        raise RuntimeError("graph break")

    engine(refuses)
    stopwatch = Stopwatch(context, SETTINGS)
    for target in ("purifier", "pipeline"):
        found = stopwatch.time(
            call(engine="wrong", target=target), networks, context.split("digits", 6)
        )
        assert found.status == "skipped"
    assert len(tried) == 1


@pytest.mark.parametrize("changes", [{"engine": "cudagraph"}, {"precision": "tf32"}])
def test_what_needs_cuda_is_skipped_here(
    context: TaskContext, networks: CellNetworks, changes: dict[str, str]
) -> None:
    timing = timed(context, networks, **changes)
    assert timing.status == "skipped"
    assert timing.reason.endswith("needs CUDA")


def test_operations_are_counted_for_one_image(context: TaskContext, networks: CellNetworks) -> None:
    purifier, pipeline = (
        timed(context, networks, target=target).flops_per_image
        for target in ("purifier", "pipeline")
    )
    assert purifier is not None
    assert pipeline is not None
    # width 2: 3x3 convolutions 1>2 at 28x28, 2>4 at 14x14, 4>8 and 8>8 at 7x7, 12>4 at 14x14, 6>2
    # and 2>1 at 28x28
    macs = 9 * (784 * (2 + 12 + 2) + 196 * (8 + 48) + 49 * (32 + 64))
    assert purifier == 2 * macs
    assert pipeline > purifier


def test_the_purifier_alone_takes_no_longer_than_with_the_classifier(
    context: TaskContext, networks: CellNetworks
) -> None:
    purifier, pipeline = (
        timed(context, networks, target=target).samples for target in ("purifier", "pipeline")
    )
    assert purifier is not None
    assert pipeline is not None
    assert min(purifier.seconds) <= min(pipeline.seconds)
