"""What the stopwatch writes down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.contracts import DataInfo
from bench.errors import PluginFault, RequestError
from bench.latency import stopwatch
from bench.latency.engines import EAGER, ENGINES, FLOAT32, Engine
from bench.latency.settings import LatencySettings
from bench.latency.stopwatch import Stopwatch, agreement, subjects, timing_line
from bench.plugins.configured import configure
from bench.records.pipeline import Pipeline
from bench.records.timing import Samples, Subject, Timing
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
    """Untrained ones, the same in every call."""
    made: dict[str, torch.nn.Module] = {}

    def network(found: NetworkRef) -> torch.nn.Module:
        if found.key not in made:
            torch.manual_seed(0)
            made[found.key] = found.plugin.plugin.build(found.info).eval().requires_grad_(False)
        return made[found.key]

    monkeypatch.setattr(context, "network", network)
    return CellNetworks(
        trained(CLASSIFIERS, "cnn:width=4:hidden=8"), trained(DEFENSES, "convae:width=2")
    )


def subject(**changes: Any) -> Subject:
    return replace(Subject(PIPELINE, "pipeline", 4, EAGER, FLOAT32, "cpu", 0), **changes)


class Wrong:
    """An engine that is off by a half, or worse."""

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
    return Stopwatch(context, SETTINGS).time(
        subject(**changes), networks, context.split("digits", 6)
    )


def test_every_combination_is_wanted_once_a_round() -> None:
    settings = replace_settings(
        engines=("eager", "compile"), precisions=("float32", "bfloat16"), rounds=3
    )
    wanted = list(subjects(settings, [PIPELINE, Pipeline("digits", "cnn", "e")], "cpu"))
    assert len({each.key for each in wanted}) == len(wanted) == 3 * 2 * 2 * 2 * 2 * 2
    assert [each.round for each in wanted] == sorted(each.round for each in wanted)
    with pytest.raises(RequestError, match="unknown engine"):
        list(subjects(replace_settings(engines=("warp",)), [PIPELINE], "cpu"))


def replace_settings(**changes: Any) -> LatencySettings:
    return LatencySettings.model_validate({**SETTINGS.model_dump(), **changes})


def test_eager_float32_is_what_others_are_held_against(
    context: TaskContext, networks: CellNetworks
) -> None:
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
    assert "wrong float32 cannot run it: " in timing.reason
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
            subject(engine="wrong", target=target), networks, context.split("digits", 6)
        )
        assert found.status == "skipped"
    assert len(tried) == 1


def test_a_defense_that_cannot_be_trained_fails(bench: Any, tiny: Path, plugins: Path) -> None:
    command = (
        "latency",
        "--config",
        tiny,
        "--plugin",
        plugins / "faulty.py",
        "--batch-sizes",
        "1",
        "--out",
        "out",
    )
    done = bench(*command, "--defenses", "none,broken:how=fit")
    assert done.code == 1
    assert "cannot learn this" in done.err
    assert "2 timings failed" in done.err


def test_times_of_another_environment_are_measured_anew(
    bench: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (
        "latency",
        "--config",
        tiny,
        "--defenses",
        "none",
        "--batch-sizes",
        "1",
        "--out",
        "out",
    )
    assert bench(*command).code == 0
    monkeypatch.setattr("bench.commands.request.describe", lambda _: {"threads": 99})
    assert "latency 2 of 2" in bench(*command).err
    assert "of 2" not in bench(*command).err


@pytest.mark.parametrize("way", [{"engine": "cudagraph"}, {"precision": "tf32"}])
def test_what_needs_cuda_is_skipped_here(
    context: TaskContext, networks: CellNetworks, way: dict[str, str]
) -> None:
    timing = timed(context, networks, **way)
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


def test_batches_start_over_where_the_images_end(
    context: TaskContext, networks: CellNetworks
) -> None:
    seen: list[int] = []
    stopwatch = Stopwatch(context, SETTINGS)
    images, _ = context.images(context.split("digits", 6))
    batch = stopwatch._images(context.split("digits", 6), 4, 4)
    seen.extend(int((images == each).flatten(1).all(dim=1).nonzero()[0]) for each in batch)
    assert seen == [4, 5, 0, 1]


def test_agreement_counts_images_and_takes_the_largest_difference() -> None:
    plain = [
        (torch.zeros(2, 1, 2, 2), torch.tensor([1, 2])),
        (torch.zeros(2, 1, 2, 2), torch.tensor([3, 4])),
    ]
    other = [
        (torch.full((2, 1, 2, 2), 0.1), torch.tensor([1, 0])),
        (torch.full((2, 1, 2, 2), -0.2), torch.tensor([3, 4])),
    ]
    found = agreement(plain, other, "x")
    assert (found.difference, found.alike, found.images) == (pytest.approx(0.2), 0.75, 4)


def test_doubtful_numbers_are_told() -> None:
    samples = Samples((0.01,) * 3, (0.001,) * 3, 5, False, None, None)
    text = timing_line(Timing(subject(), "ok", samples=samples, conditions={"busy_elsewhere": 1.5}))
    assert "d pipeline, batch 4, eager: 10 ms a call (3 calls)" in text
    for doubt in ("not stable", "CUDA events say 1 ms", "other processes kept 1.5 cores busy"):
        assert doubt in text
    quiet = timing_line(
        Timing(subject(), "ok", samples=replace(samples, stable=True, device_seconds=()))
    )
    assert quiet.endswith("(3 calls)")


def test_a_run_that_has_its_times_measures_nothing(
    bench: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (
        "latency",
        "--config",
        tiny,
        "--defenses",
        "none,convae",
        "--batch-sizes",
        "1,4",
        "--out",
        "out",
    )
    first = bench(*command)
    assert first.code == 0, first.err
    assert "latency 8 of 8" in first.err
    assert not list(Path("out").glob("cells/*"))

    def refuse(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(stopwatch, "measure", refuse)
    again = bench(*command)
    assert again.code == 0, again.err
    assert again.out == first.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engines", "eagr"), "unknown engine 'eagr'"),
        (("--precisions", "tf23"), "unknown precision 'tf23'"),
        (("--batch-sizes", "0"), "--batch-sizes = '0'"),
        (("--rounds", "x"), "--rounds = 'x'"),
        (("--defenses", "convea"), "did you mean 'convae'"),
    ],
)
def test_a_wrong_request_ends_with_2_and_computes_nothing(
    bench: Any, options: tuple[str, str], message: str
) -> None:
    done = bench("latency", *options)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not list(Path().iterdir())


def test_the_purifier_alone_takes_no_longer_than_with_the_classifier(
    context: TaskContext, networks: CellNetworks
) -> None:
    purifier, pipeline = (
        timed(context, networks, target=target).samples for target in ("purifier", "pipeline")
    )
    assert purifier is not None
    assert pipeline is not None
    assert min(purifier.seconds) <= min(pipeline.seconds)
