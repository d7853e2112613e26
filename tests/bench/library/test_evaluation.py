"""Evaluations of given networks: the numbers of the command line, kept, and faults as they are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from bench.errors import PluginFault, RequestError
from bench.library import Results, evaluate, load, read, run
from bench.stages.craft import Craft

CNN = "cnn:width=8:hidden=32:epochs=3"
CONVAE = "convae:width=4:steps=30"
N = 30


class Linear(nn.Module):
    """A classifier of images of 8x8 pixels in three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer(images.flatten(1))
        return logits


class Halved(nn.Module):
    """A purifier that halves every pixel."""

    def __init__(self, factor: float = 0.5) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: Tensor) -> Tensor:
        return self.factor * images


class Broken(nn.Module):
    """A purifier that raises on images of more than noise."""

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > 8:
            raise LookupError("no such manifold")
        return images


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(12, 1, 8, 8, generator=generator), torch.arange(12) % 3


@pytest.fixture
def judged(tmp_path: Path, data: tuple[Tensor, Tensor]) -> Callable[..., Results]:
    """An evaluation with few settings, in a cache of its own."""
    torch.manual_seed(1)
    classifier = Linear()

    def call(purifier: Any = None, **changes: Any) -> Results:
        options: dict[str, Any] = {
            "attacks": ["fgsm"],
            "eps": 0.1,
            "threats": ["graybox"],
            "convergence": 0,
            "latency": False,
            "progress": False,
            "cache": tmp_path / "cache",
            "classifier": classifier,
            "images": data[0],
            "labels": data[1],
            **changes,
        }
        return evaluate(Halved() if purifier is None else purifier, **options)

    return call


@pytest.mark.slow
def test_an_evaluation_gives_the_numbers_of_the_command_line(
    bench: Callable[..., Any], tmp_path: Path
) -> None:
    grid = ("--attacks", "fgsm,pgd:steps=3", "--eps", "0.1,0.2", "--threats", "graybox,whitebox")
    names = ("--classifiers", CNN, "--defenses", CONVAE, "--n", N, "--convergence", 10)
    done = bench("run", *grid, *names, "--no-latency", "--out", "out")
    assert done.code == 0, done.err
    expected = pd.read_csv("out/tables/results.csv")

    classifier = load("classifier", CNN, progress=False)
    purifier = load("defense", CONVAE, classifier=CNN, progress=False)
    test = load("dataset", "digits").test_images(N)
    found = evaluate(
        purifier, classifier, test.images, test.labels,
        attacks=["fgsm", "pgd:steps=3"], eps=[0.1, 0.2], threats=["graybox", "whitebox"],
        convergence=10, draws=4, latency=False, progress=False,
        cache=tmp_path / "another", out=tmp_path / "found",
    )  # fmt: skip

    numbers = [name for name in expected if "accuracy" in name or name.startswith("mean_")]
    labels = ["attack", "eps", "threat"]
    first, second = (frame.set_index(labels).sort_index() for frame in (expected, found.results))
    pd.testing.assert_frame_equal(first[numbers], second[numbers], check_dtype=False, rtol=1e-8)
    assert set(found.results["defense"]) == {"convae"}
    assert found.results["verdict"].tolist() == found.results["verdict"].tolist()
    assert read(tmp_path / "found").results.equals(found.results)


def test_the_numbers_are_those_of_a_plain_loop(
    judged: Callable[..., Results], data: tuple[Tensor, Tensor]
) -> None:
    torch.manual_seed(1)
    classifier = Linear()
    images, labels = data
    inputs = images.clone().requires_grad_(True)
    nn.functional.cross_entropy(classifier(inputs), labels, reduction="sum").backward()
    assert inputs.grad is not None
    right = classifier(images).argmax(1) == labels
    moved = (images + 0.1 * inputs.grad.sign()).clamp(0, 1)
    attacked = torch.where(right[:, None, None, None], moved, images)

    row = judged().results.iloc[0]
    assert row["undefended_clean_accuracy"] == pytest.approx(float(right.float().mean()))
    undefended = (classifier(attacked).argmax(1) == labels).float().mean()
    assert row["undefended_robust_accuracy"] == pytest.approx(float(undefended))
    defended = (classifier(0.5 * attacked).argmax(1) == labels).float().mean()
    assert row["robust_accuracy"] == pytest.approx(float(defended))


def test_the_same_call_finds_what_it_has_computed(
    judged: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = judged()

    def run(self: Craft, context: Any) -> Any:
        raise AssertionError("computed again")

    monkeypatch.setattr(Craft, "run", run)
    again = judged()
    assert again.folder == first.folder
    assert again.results.equals(first.results)
    assert judged(Halved(0.4)).folder != first.folder  # gray-box shares the set
    with pytest.raises(AssertionError, match="computed again"):
        judged(threats=["whitebox"])


def test_several_purifiers_are_compared_by_name(judged: Callable[..., Results]) -> None:
    found = judged({"none": None, "half": Halved(), "dimmed": lambda images: 0.9 * images})
    assert found.results["defense"].tolist() == ["none", "half", "dimmed"]
    assert set(found.worst_case["defense"]) == {"none", "half", "dimmed"}
    assert len(found.pairs)


def test_a_randomized_purifier_is_found_out(judged: Callable[..., Results]) -> None:
    noisy = judged(lambda images: (images + 0.1 * torch.randn_like(images)).clamp(0, 1), draws=5)
    records = [path.name for path in (noisy.folder / "cells").glob("*.safetensors")]
    assert len(records) == 1
    assert noisy.results["eot"].tolist() == [1]
    assert len(noisy._report.cells[0].right) == 5
    assert len(judged()._report.cells[0].right) == 1


def test_a_fault_is_raised_with_its_cause_and_the_rest_is_kept(
    judged: Callable[..., Results],
) -> None:
    with pytest.raises(PluginFault, match="no such manifold") as raised:
        judged({"none": None, "broken": Broken()})
    causes = []
    cause: BaseException | None = raised.value
    while cause is not None:
        causes.append(type(cause))
        cause = cause.__cause__
    assert LookupError in causes
    with pytest.raises(PluginFault, match="'Linear' raised RuntimeError"):
        judged(images=torch.rand(12, 3, 8, 8))
    assert judged({"none": None}).results["status"].tolist() == ["ok"]


def test_images_may_be_bytes_with_channels_last(judged: Callable[..., Results]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), dtype=np.uint8)
    found = judged(images=pixels).results
    channels_first = np.moveaxis(pixels, -1, 1).astype(np.float32) / 255
    columns = ["clean_accuracy", "robust_accuracy"]
    assert found[columns].equals(judged(images=channels_first).results[columns])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 255 * torch.rand(12, 1, 8, 8)}, r"between .* instead of \[0, 1\]|\[0, 1\]"),
        ({"images": torch.full((12, 1, 8, 8), torch.nan)}, "nan"),
        ({"images": torch.rand(12, 2, 8, 8)}, "channels"),
        ({"images": torch.rand(11, 1, 8, 8)}, "11 test images and 12 test labels"),
        ({"labels": torch.arange(12) - 1}, "negative class"),
        ({"labels": torch.rand(12)}, "integers|whole"),
        ({"labels": torch.arange(12) % 4}, r"\(12, 3\)|4 classes"),
        ({"attacks": ["pdg"]}, "did you mean 'pgd'"),
        ({"threats": ["greybox"]}, "did you mean 'graybox'"),
        ({"eps": 1.5}, "at most 1"),
        ({"eps": [-0.1]}, "eps"),
        ({"purifier": {}}, "needs a purifier"),
        ({"purifier": {"undefended": None}}, "'none' is the name of None"),
        ({"purifier": {"none": Halved()}}, "'none' is the name of None"),
        ({"eps": "0.1"}, "eps: a number"),
        ({"latency_settings": 5}, "latency_settings: a mapping"),
        ({"class_names": "abc"}, "class_names: a sequence"),
        ({"train": torch.rand(3, 1, 8, 8)}, "train: a pair"),
        ({"name": "my images"}, "name: letters"),
        ({"stochastic": "yes"}, "stochastic: True"),
        ({"out": 5}, "5 is no path"),
        ({"purifier": {"a b": Halved()}}, "a name has letters"),
        ({"purifier": "convae"}, "give a torch module or a function"),
        ({"classifier": 3}, "give a torch module or a function"),
        ({"batch_size": 0}, "batch_size"),
        ({"latency_settings": {"warmups": 3}}, "did you mean 'warmup'"),
    ],
)
def test_a_wrong_argument_is_one_line(
    judged: Callable[..., Results], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message) as raised:
        judged(**changes)
    assert "\n" not in str(raised.value)


FACTOR = 0.9


def scaled(images: Tensor) -> Tensor:
    """A purifier that depends on a global name."""
    return FACTOR * images


class Shared(nn.Module):
    """A purifier that depends on an attribute of its class."""

    factor = 0.9

    def forward(self, images: Tensor) -> Tensor:
        return self.factor * images


def made(factor: float) -> nn.Module:
    """A module of a class that depends on what surrounds it."""

    class Made(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return factor * images

    return Made()


def test_whatever_a_network_depends_on_is_part_of_its_key(
    judged: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    def numbers(purifier: Any) -> list[float]:
        return list(judged({"it": purifier}).results["robust_accuracy"])

    dimmed = numbers(lambda images: 0.1 * images)
    assert numbers(lambda images: 0.9 * images) != dimmed
    before = [numbers(scaled), numbers(Shared()), numbers(made(0.9))]
    monkeypatch.setitem(globals(), "FACTOR", 0.1)
    monkeypatch.setattr(Shared, "factor", 0.1)
    assert [numbers(scaled), numbers(Shared()), numbers(made(0.1))] == 3 * [dimmed]
    assert dimmed not in before

    assert numbers(Halved(0.9)) != dimmed
    hooked = Halved(0.9)
    hooked.register_forward_hook(lambda _module, _images, output: output / 9)
    assert numbers(hooked) == dimmed
    replaced = Halved(0.9)
    replaced.forward = lambda images: 0.1 * images  # type: ignore[method-assign]
    assert numbers(replaced) == dimmed


def test_a_loaded_network_that_was_changed_is_another(judged: Callable[..., Results]) -> None:
    purifier = load("defense", "bitdepth", progress=False)
    first = judged({"it": purifier}).results["robust_accuracy"].tolist()
    purifier.forward = lambda images: 0.1 * images
    changed = judged({"it": purifier}).results["robust_accuracy"].tolist()
    dimmed = judged({"it": lambda images: 0.1 * images}).results["robust_accuracy"].tolist()
    assert changed == dimmed
    assert changed != first


def test_other_images_are_another_evaluation(
    judged: Callable[..., Results], data: tuple[Tensor, Tensor]
) -> None:
    first = judged()
    other = judged(images=1 - data[0])
    assert other.folder != first.folder
    assert judged().results.equals(first.results)


def test_networks_of_any_making_are_taken(
    judged: Callable[..., Results], data: tuple[Tensor, Tensor]
) -> None:
    torch.manual_seed(1)
    classifier = Linear()
    expected = judged().results["robust_accuracy"].tolist()
    traced = torch.jit.trace(classifier, data[0])
    halved = torch.jit.script(Halved())
    assert judged(halved, classifier=traced).results["robust_accuracy"].tolist() == expected
    classifier.eval()
    both = judged(lambda images: 0.5 * images, classifier=lambda images: classifier(images))
    assert both.results["robust_accuracy"].tolist() == expected


def test_a_function_over_a_module_in_training_is_refused(judged: Callable[..., Results]) -> None:
    inner = nn.Sequential(nn.BatchNorm2d(1)).train()
    with pytest.raises(RequestError, match="calls a Sequential in training mode"):
        judged(lambda images: inner(images).clamp(0, 1))
    inner.eval()
    assert len(judged(lambda images: inner(images).clamp(0, 1)).results)
    assert not inner[0].running_mean.any()  # type: ignore[operator, union-attr]


FRESH = """
import bench
import torch
digits = bench.load("dataset", "digits").test_images(20)
means = torch.stack([digits.images[digits.labels == c].mean(0).flatten() for c in range(10)])
def classify(images):
    return images.flatten(1) @ means.T - 0.5 * means.square().sum(1)
def blur(images):
    return torch.nn.functional.avg_pool2d(images, 3, stride=1, padding=1)
report = bench.evaluate(blur, classify, digits.images, digits.labels, attacks=["fgsm"], eps=[0.1],
                        latency_settings={"batch_sizes": [1], "max_seconds": 0.1}, progress=False)
print(report.results["robust_accuracy"].round(3).tolist(), len(report.latency))
"""


@pytest.mark.slow
def test_a_fresh_interpreter_needs_ten_lines(tmp_path: Path) -> None:
    """The functions have no file; a change of one is another evaluation."""
    import os

    def printed(program: str) -> str:
        environment = {**os.environ, "BENCH_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-"], input=program, capture_output=True, text=True, env=environment,
            cwd=Path(__file__).parents[3],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = printed(FRESH)
    changed = FRESH.replace("3, stride=1, padding=1", "5, stride=1, padding=2")
    again, other = printed(FRESH + changed).splitlines(keepends=True)
    assert again == first
    assert other != first
    assert len(list((tmp_path / "cache" / "evaluations").iterdir())) == 2


def test_a_run_from_a_program_is_that_of_the_command_line(
    bench: Callable[..., Any], tiny: Path, tmp_path: Path, session_cache: Path
) -> None:
    cut = ("--attacks", "fgsm", "--eps", "0.1", "--threats", "graybox", "--defenses", "none")
    done = bench("run", "--config", tiny, *cut, "--n", "20", "--no-latency")
    assert done.code == 0, done.err
    (folder,) = Path("results/runs").iterdir()

    import tomllib

    content = tomllib.loads(tiny.read_text())
    content.pop("attack_eps", None)
    content.update(attacks=["fgsm"], eps=[0.1], threats=["graybox"], defenses=["none"], n=20)
    found = run(content, out=tmp_path / "found", latency=False, progress=False)
    assert found.results.equals(read(folder).results)
    assert found.config["n"] == 20
    with pytest.raises(RequestError, match="did you mean 'defenses'"):
        run({"defences": ["none"]}, progress=False)
    with pytest.raises(RequestError, match="not a run's folder"):
        read(tmp_path)
