"""Every built-in plugin on images of any size, of one or three channels, of any classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from bench.conformance import CHECKS, Subject
from bench.contracts import (
    Dataset,
    ImageSets,
    LabelledImages,
    LoadContext,
    PositiveInt,
)
from bench.plugins.catalog import list_plugins
from bench.plugins.configured import Configured, configure
from bench.registry import ATTACKS, REGISTRIES, register_dataset
from bench.stages import learned_stand_in
from bench.stages.crafting import perturb
from bench.stages.decisions import makes_images, rejects
from bench.stages.guard import check_ball
from bench.stages.seeding import seeded
from tests.test_conformance import SMALLER

CPU = torch.device("cpu")

SMALLEST = {
    **SMALLER,
    "adp": "adp:width=4:blocks=1:steps=2:draws=2:batch_size=4",
    "boundary": "boundary:steps=20",
    "cnn": "cnn:width=4:hidden=8:batch_size=4",
    "convae": "convae:width=4:batch_size=4",
    "ddn": "ddn:steps=10",
    "defensegan": "defensegan:width=8:critic_width=4:restarts=2:steps=2:batch_size=4",
    "diffusion": "diffusion:channels=4:multipliers=[1,2]:attention=1:batch_size=4:steps=2",
    "fmn": "fmn:steps=10",
    "geoda": "geoda:queries=60",
    "lbfgs": "lbfgs:steps=2:binary_search_steps=2",
    "onepixel": "onepixel:steps=1",
    "pgd": "pgd:steps=5",
    "puvae": "puvae:channels=4:kernel=3:hidden=32:batch_size=4",
    "resnet18": "resnet18:width=2:batch_size=4",
    "saltandpepper": "saltandpepper:steps=20",
    "soap": "soap:width=4:hidden=16:batch_size=4",
    "square": "square:queries=30",
    "vgg16": "vgg16:hidden=8:batch_size=2",
    "vote": "vote:defense=[puvae:channels=4:kernel=3:hidden=32:batch_size=4]:draws=2",
}
"""Specs of the same plugins with still less arithmetic."""

SIZES = ((1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 24, 40), (1, 17, 23), (3, 33, 30), (3, 5, 4))
CLASSES = (2, 10, 43)


@register_dataset("test-noise")
@dataclass(frozen=True)
class Noise(Dataset):
    """Noisy copies of one random black and white image for each class."""

    channels: PositiveInt = 1
    height: PositiveInt = 8
    width: PositiveInt = 8
    classes: PositiveInt = 2
    n: PositiveInt = 96

    def load(self, context: LoadContext) -> ImageSets:
        random = np.random.default_rng(0)
        shape = (self.channels, self.height, self.width)
        centers = random.integers(0, 2, (self.classes, *shape))
        labels = np.arange(self.n) % self.classes
        noise = random.random((self.n, *shape))
        images = np.float32(0.8 * centers[labels] + 0.2 * noise)
        part = LabelledImages(images, labels, "first")
        return ImageSets(part, part)


def noise(size: tuple[int, int, int], classes: int) -> str:
    """The spec of a data set of images of a size."""
    channels, height, width = size
    return f"test-noise:channels={channels}:height={height}:width={width}:classes={classes}"


def subject(family: str, name: str, size: tuple[int, int, int], classes: int) -> Subject:
    """A built-in plugin to check on images of a size."""
    configured = configure(REGISTRIES[family], SMALLEST.get(name, name))
    return Subject(family, configured, images_of=noise(size, classes))


def built_in(*families: str) -> Iterator[tuple[str, str]]:
    """Family and name of the plugins that come with the package and need no file or name."""
    return (
        (info.family, info.name)
        for info in list_plugins()
        if info.family in families and not info.required
    )


def network_cases() -> Iterator[object]:
    """Every network on every size; the numbers of classes take turns."""
    for number, (family, name) in enumerate(built_in("classifier", "defense")):
        for index, size in enumerate(SIZES):
            classes = CLASSES[(number + index) % len(CLASSES)]
            text = "x".join(map(str, size))
            yield pytest.param(family, name, size, classes, id=f"{name}-{text}-{classes}")


ODD = (3, 33, 30)
"""A size that no stride divides, the only one on which the check of devices runs."""


def runs_on(check: object, size: tuple[int, int, int]) -> bool:
    """Whether a check runs on a size: those that make a second network tell little about sizes."""
    name = getattr(check, "__name__", "")
    return size == ODD if name == "_on_a_device" else name not in ("_fit_repeatable", "_reloads")


@pytest.mark.parametrize(("family", "name", "size", "classes"), list(network_cases()))
@pytest.mark.usefixtures("light_vgg")
def test_a_network_conforms_on_images_of_any_size(
    family: str, name: str, size: tuple[int, int, int], classes: int
) -> None:
    subject_ = subject(family, name, size, classes)
    for check in CHECKS[family]:
        if runs_on(check, size):
            check(subject_)

    output = subject_.output(subject_.module, subject_.images)
    is_image = family == "defense" and makes_images(subject_.module)
    expected = size if is_image else (classes + rejects(subject_.module),)
    assert tuple(output.shape[1:]) == expected


class Scaled(nn.Module):
    """A linear model of the pixels, with logits of moderate size.

    Attributes:
        generator: generator of mixtures of the images.
    """

    def __init__(self, images: Tensor, labels: Tensor, classes: int) -> None:
        super().__init__()
        self.images = images
        self.weight = torch.zeros(classes, images[0].numel())
        for label in range(classes):
            self.weight[label] = images[labels == label].mean(dim=0).flatten() - 0.5
        self.latent = len(images)

    @property
    def classifier(self) -> Scaled:
        return self

    @property
    def generator(self) -> Scaled:
        return self

    def generate(self, z: Tensor) -> Tensor:
        return torch.einsum("nk,kchw->nchw", z.softmax(dim=1), self.images)

    def forward(self, images: Tensor) -> Tensor:
        return 100 * ((images.flatten(1) - 0.5) @ self.weight.T) / self.weight.shape[1]


def variants(name: str) -> Iterator[str]:
    """Specs of an attack: by default, with each value of each choice, and for each target."""
    spec = SMALLEST.get(name, name)
    yield spec
    for parameter, kind in get_type_hints(ATTACKS.get(name)).items():
        for value in get_args(kind):
            if isinstance(value, str):
                targeted = ":targeted=true" if parameter == "target" else ""
                yield f"{spec}{targeted}:{parameter}={value}"


def attack_cases() -> Iterator[object]:
    """Every attack on every size, and every variant on two and on three classes."""
    for _, name in built_in("attack"):
        for index, size in enumerate(SIZES):
            yield SMALLEST.get(name, name), size, CLASSES[index % len(CLASSES)]
        for spec in variants(name):
            yield spec, (3, 5, 7), 2
            yield spec, (3, 5, 7), 3


BUDGETS = {"linf": 0.3, "l2": 3.0, "l1": 20.0, "l0": 8, None: 1.0}


@pytest.mark.parametrize(("spec", "size", "classes"), list(attack_cases()))
def test_an_attack_keeps_its_contract_on_images_of_any_size(
    spec: str, size: tuple[int, int, int], classes: int
) -> None:
    attack: Configured[Any] = configure(ATTACKS, spec)
    images, labels = Subject("attack", attack, images_of=noise(size, classes)).split
    model = Scaled(images, labels, classes).eval()
    norm = attack.plugin.ball()
    with seeded(CPU, "sizes"):
        found = perturb(attack, model, images[:2], labels[:2], BUDGETS[norm])
    if norm is not None:
        check_ball(spec, images[:2], found, BUDGETS[norm], norm)


WHOLE = """
classifiers = ["cnn"]
defenses = ["puvae"]
attacks = ["apgd:loss=targeted:steps=3"]
threats = ["graybox", "adaptive"]
eps = [0.2]
n = 6
batch_size = 6
draws = 1
convergence = 0

[latency]
batch_sizes = [1, 3]
warmup = 1
min_calls = 3
min_seconds = 0.001
max_seconds = 0.05

[parameters.cnn]
width = 4
hidden = 16
epochs = 10
batch_size = 16

[parameters.puvae]
channels = 4
kernel = 3
hidden = 32
reconstruction_weight = 1.0
epochs = 20
batch_size = 16
learning_rate = 3e-3
"""


@pytest.mark.slow
def test_a_run_on_odd_colour_images_of_two_classes_is_whole(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned_stand_in, "_STEPS", 5)
    (tmp_path / "odd.toml").write_text(WHOLE)
    data = Noise(channels=3, height=10, width=15).load(None)  # type: ignore[arg-type]
    np.savez(
        "odd.npz",
        x_train=data.test.images,
        y_train=data.test.labels,
        x_test=data.test.images,
        y_test=data.test.labels,
    )
    odd = ("--config", "odd.toml", "--datasets", "npz:file=odd.npz")
    done = bench("run", *odd, "--out", "run", plots=True)
    frame = pd.read_csv("run/tables/results.csv")
    assert done.code == 0, (done.err, frame[["defense", "status", "reasons"]])
    assert set(frame["threat"]) == {"graybox", "adaptive"}
    assert len(list(Path("run/plots").glob("images_*.png"))) > 1

    for command in (("latency", *odd, "--out", "timed"), ("export", "run", "weights")):
        done = bench(*command)
        assert done.code == 0, done.err
    card = Path("weights/README.md").read_text()
    assert "`npz` (3x10x15, 2 classes)" in card


def test_a_network_that_there_is_not_for_a_size_skips_its_cells(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(WHOLE)
    random = np.random.default_rng(0)
    images, labels = random.random((40, 3, 9), np.float32), np.arange(40) % 2
    np.savez("small.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    done = bench(
        "run", "--config", "small.toml", "--datasets", "npz:file=small.npz",
        "--defenses", "median", "--threats", "graybox", "--no-latency", "--out", "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    (cell,) = pd.read_csv("run/tables/results.csv").to_dict("records")
    assert cell["status"] == "skipped"
    assert "images of 3x9 pixels are too small" in cell["reason"]


def test_the_suite_runs_on_a_data_set_of_choice(bench: Any) -> None:
    done = bench("check", "jpeg", "--dataset", noise((3, 9, 13), 2))
    assert done.code == 0, done.out

    unknown = bench("check", "jpeg", "--dataset", "test-nois")
    assert (unknown.code, unknown.err.count("\n")) == (2, 1)
    assert "did you mean 'test-noise'?" in unknown.err


class Fixed(nn.Module):
    """A model of two or three classes whose gradient is known."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T


@pytest.mark.parametrize("loss", ["ce", "dlr", "margin", "targeted"])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_every_loss_of_few_classes_goes_the_only_way(loss: str, classes: int) -> None:
    weight = torch.zeros(classes, 6)
    weight[0], weight[1] = torch.tensor([1.0, -1, 1, -1, 1, -1]), 0
    weight[2:] = -100.0  # out of reach
    images = torch.full((1, 1, 2, 3), 0.5)
    images[0, 0, 0, 0] = 0.6
    attack = configure(ATTACKS, f"apgd:loss={loss}:steps=10")
    with seeded(CPU, "loss"):
        found = perturb(attack, Fixed(weight).eval(), images, torch.tensor([0]), 0.1)
    assert int(Fixed(weight)(found).argmax()) == 1
