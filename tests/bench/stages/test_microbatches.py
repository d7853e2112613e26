"""Batches that do not fit into the memory: evaluated in parts, with the same numbers."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from bench.contracts import Classifier, DataInfo, Defense
from bench.errors import PluginFault
from bench.plugins.configured import configure
from bench.progress import Silent
from bench.registry import (
    ATTACKS,
    CLASSIFIERS,
    DEFENSES,
    register_classifier,
    register_defense,
)
from bench.stages.attacked import AttackedRef
from bench.stages.cascade import CascadeStep
from bench.stages.cascade_member import MemberAttack
from bench.stages.context import TaskContext
from bench.stages.craft import Craft
from bench.stages.crafting import perturb
from bench.stages.executor import LocalExecutor
from bench.stages.guard import Guarded
from bench.stages.microbatches import FittingSizes, Microbatches
from bench.stages.predict import Predict
from bench.stages.probe_gradient import GradientProbe
from bench.stages.references import AdversarialRef, NetworkRef, SplitRef
from bench.stages.seeding import seeded
from bench.stages.surrogates import DefendedClassifier, NoGradient, backward_through
from bench.stages.task import Task
from bench.stages.threats import THREATS, threat_model
from bench.store.artifacts import ArtifactStore

CPU = torch.device("cpu")
INFO = DataInfo((1, 8, 8), 3)


def used_up() -> torch.OutOfMemoryError:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


class Sums(nn.Module):
    """Logits that are sums over pixels, whose rounding depends on no other image."""

    def __init__(self, pixels: int = 64, classes: int = 3) -> None:
        super().__init__()
        weight = torch.randn(classes, pixels, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images.flatten(1)[:, None].square() * self.weight).sum(dim=2)


class _Full(torch.autograd.Function):
    """The images, whose gradient uses up the memory above a number of images."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, limit: int) -> Tensor:
        ctx.limit = limit
        return images.view_as(images)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        if len(gradient) > ctx.limit:
            raise used_up()
        return gradient, None


class Small(nn.Module):
    """A purifier with memory for a number of images only, forward or backward."""

    def __init__(self, limit: int, purifier: nn.Module, *, backward: bool = False) -> None:
        super().__init__()
        self.limit = limit
        self.purifier = purifier
        self.backward = backward
        self.largest = 0

    def forward(self, images: Tensor) -> Tensor:
        if self.backward:
            images = _Full.apply(images, self.limit)
        output: Tensor = self.purifier(images)
        if len(images) > self.limit and not self.backward:
            raise used_up()
        self.largest = max(self.largest, len(images))
        return output


class SmallVote(Small):
    """The same for a purifier that decides."""

    def classify(self, images: Tensor, classifier: nn.Module) -> Tensor:
        logits: Tensor = self.purifier.classify(images, classifier)  # type: ignore[operator]
        if len(images) > self.limit:
            raise used_up()
        return logits


def images_of(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, *INFO.shape, generator=generator), torch.arange(n) % 3


def noise(seen: Tensor) -> Tensor:
    return (seen + 0.1 * torch.randn_like(seen)).clamp(0, 1)


class Noise(nn.Module):
    """Draws of every kind, by other means in each."""

    def forward(self, images: Tensor) -> Tensor:
        n, device = len(images), images.device
        images = images + 0.1 * torch.empty_like(images).uniform_(-1, 1)
        images = images * torch.bernoulli(torch.full_like(images, 0.9))
        drawn = torch.normal(0.0, 0.05, (2, n, *images.shape[1:]), device=device)
        images = images + drawn.mean(dim=0)
        factors = torch.randn(3 * n, 1, 1, 1, device=device).view(n, 3, 1, 1)
        images = images + 0.02 * factors.mean(1, keepdim=True)
        images = images + 0.01 * torch.rand(images.shape[-2:], device=device)
        images = images + 0.01 * torch.randint(0, 5, (n, 1, 1, 1), device=device)
        return images.clamp(0, 1)


PURIFIERS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "noise": Noise,
}
ATTACKERS = ["fgsm", "pgd:steps=3", "pgd:steps=3:random_start=true", "apgd:steps=4"]


def crafted(spec: str, model: nn.Module, n: int) -> Tensor:
    images, labels = images_of(n)
    with seeded(CPU, "attack"):
        return perturb(configure(ATTACKS, spec), model, images, labels, 0.1)


def whitebox(purifier: nn.Module) -> Any:
    return DefendedClassifier(purifier, Sums()).eval()


def bpda(purifier: nn.Module) -> Any:
    return DefendedClassifier(backward_through(purifier), Sums()).eval()


def query(purifier: nn.Module) -> Any:
    return NoGradient(whitebox(purifier))


@settings(max_examples=12, deadline=None)
@given(
    n=st.integers(2, 40),
    limit=st.integers(2, 40),
    eot=st.integers(1, 2),
    attack=st.sampled_from(ATTACKERS),
    purifier=st.sampled_from(sorted(PURIFIERS)),
    kind=st.sampled_from([whitebox, bpda]),
)
def test_an_attack_finds_the_same_images_bit_for_bit_whatever_fits(
    n: int, limit: int, eot: int, attack: str, purifier: str, kind: Callable[[nn.Module], Any]
) -> None:
    def outcome(limit: int) -> tuple[Tensor, tuple[int, ...]]:
        small = Small(limit, PURIFIERS[purifier]())
        model = kind(small)
        model.eot = eot
        result = crafted(attack, model, n)
        assert small.largest <= limit
        return result, (model.calls, model.forward_images, model.backward_images)

    assert torch.equal(outcome(limit)[0], outcome(n)[0])
    assert outcome(limit)[1] == outcome(n)[1]


@pytest.mark.parametrize("limit", [2, 3, 7])
def test_an_attack_on_scores_finds_the_same_images(limit: int) -> None:
    results = [crafted("square:queries=10", query(Small(most, Noise())), 9) for most in (limit, 9)]
    assert torch.equal(*results)


STOCHASTIC = [
    "gaussian_noise",
    "puvae:channels=4:kernel=3:hidden=8:noise=1",
    "defensegan:latent=4:width=2:restarts=3:steps=3",
    "defensegan:latent=4:width=2:restarts=2:steps=3:sphere=true",
    "diffusion:channels=4:multipliers=1:attention=0:steps=3:repeats=2:guide_weight=1",
    "vote:defense=gaussian_noise:draws=4",
    "vote:defense=[defensegan:latent=4:width=2:restarts=3:steps=2]:draws=4",
    "vote:defense=[puvae:channels=4:kernel=3:hidden=8:noise=1]:draws=3:rule=majority",
    "bitdepth",
    "median",
    "jpeg",
    "adp:width=2:blocks=1:steps=2:draws=3",
    "soap:width=2:hidden=4:steps=2",
    "convae:width=2",
    "tv:steps=5",
    "resize_pad",
    "pixel_deflection:share=0.2",
    "smoothing:samples=70:selection=3",
]


@pytest.mark.parametrize("limit", [2, 5])
@pytest.mark.parametrize("spec", STOCHASTIC)
def test_every_defense_gives_the_numbers_of_the_whole_batch(spec: str, limit: int) -> None:
    """Up to rounding: the convolutions of other batch sizes sum in another order."""
    info = DataInfo((1, 16, 16), 3)
    with seeded(CPU, "weights"):
        module = configure(DEFENSES, spec).plugin
        purifier = module.build(info).eval().requires_grad_(False)
        classifier = nn.Sequential(nn.Flatten(), nn.Linear(256, 3)).requires_grad_(False)
    kind = SmallVote if hasattr(purifier, "classify") else Small

    outcomes = []
    for most in (limit, 8):
        model = DefendedClassifier(kind(most, purifier), classifier).eval()
        images = torch.rand(8, *info.shape, generator=torch.Generator().manual_seed(1))
        with seeded(CPU, "draws"):
            without = model(images)
            inputs = images.clone().requires_grad_(True)
            followed = model(inputs)
            (gradient,) = torch.autograd.grad(followed.square().sum(), inputs)
            after = torch.rand(3)
        outcomes.append((without, followed.detach(), gradient, after))

    for divided, whole in zip(*outcomes, strict=True):
        scale = float(whole.abs().amax())
        torch.testing.assert_close(divided, whole, rtol=0, atol=1e-3 * scale)


class Averaged(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return 0.5 * (images + images.mean(dim=0, keepdim=True))


class Outside(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return (images + np.random.rand()).clamp(0, 1)


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator()

    def forward(self, images: Tensor) -> Tensor:
        return (images + torch.rand(images.shape, generator=self.generator)).clamp(0, 1)


class Chunked(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([noise(chunk) for chunk in images.split(4)])


class Shuffled(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images[torch.randperm(len(images))]


class Fickle(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return noise(images) if torch.rand(()) < 0.5 else images + torch.rand(len(images), 1, 1, 1)


@pytest.mark.parametrize("module", [Averaged, Outside, Own, Chunked, Shuffled, Fickle])
def test_a_model_whose_parts_would_give_other_numbers_fails_and_says_so(
    module: Callable[[], nn.Module],
) -> None:
    model = whitebox(Small(8, module()))
    message = r"out of memory on cpu at 10 images, and fewer at once would give other numbers"

    def several_calls() -> None:
        for _ in range(20):
            model(images_of(10)[0])

    with seeded(CPU, "draws"), pytest.raises(PluginFault, match=message) as caught:
        several_calls()
    assert "--batch-size" in str(caught.value)


def test_a_vote_whose_copies_depend_on_the_size_of_the_batch_is_not_divided() -> None:
    vote = configure(DEFENSES, "vote:defense=gaussian_noise:draws=8").plugin.build(INFO)
    with pytest.raises(PluginFault, match="the draws of a large batch are not those of a small"):
        whitebox(SmallVote(50, vote))(images_of(100)[0])


def test_the_size_is_remembered_for_models_of_the_name(caplog: pytest.LogCaptureFixture) -> None:
    sizes = FittingSizes()
    images, _ = images_of(10)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            model = whitebox(Small(3, nn.Identity()))
            model.microbatches = Microbatches("defense d", sizes)
            model(images)

    assert [record.getMessage() for record in caplog.records] == [
        "out of memory on cpu at 10 images of defense d: goes on with 5 at once",
        "out of memory on cpu at 5 images of defense d: goes on with 2 at once",
    ]


def test_an_image_that_does_not_fit_is_a_fault() -> None:
    model = whitebox(Small(0, nn.Identity()))
    with pytest.raises(PluginFault, match=r"OutOfMemoryError: .*a single image needs more memory"):
        model(images_of(6)[0])


def test_a_model_without_draws_goes_on_image_by_image() -> None:
    images, _ = images_of(6)
    small = Small(1, nn.Identity())
    assert torch.equal(whitebox(small)(images), whitebox(nn.Identity())(images))
    assert small.largest == 1


def test_draws_that_two_images_cannot_show_are_a_fault(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(PluginFault, match="two images do not fit, without which"):
        whitebox(Small(1, Noise()))(images_of(6)[0])
    assert "goes on with" not in caplog.text


class Late(nn.Module):
    """A purifier that uses up the memory before it draws, as an encoder does."""

    def __init__(self, at_once: int) -> None:
        super().__init__()
        self.at_once = at_once
        self.limit = 0

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.limit and not isinstance(images, FakeTensor):
            raise used_up()
        return torch.cat([noise(chunk) for chunk in images.split(self.at_once)])


def test_memory_that_is_used_up_before_the_first_draw_changes_no_number() -> None:
    images, _ = images_of(10)
    late = Late(at_once=10)
    outputs = []
    for late.limit in (3, 10):
        with seeded(CPU, "draws"):
            outputs.append(whitebox(late)(images))
    assert torch.equal(*outputs)


def test_other_draws_are_found_where_the_memory_is_used_up_before_them() -> None:
    late = Late(at_once=8)
    late.limit = 4
    with pytest.raises(PluginFault, match="the draws of a large batch are not those of a small"):
        whitebox(late)(images_of(10)[0])


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory")]
)
def test_used_up_memory_of_the_host_is_raised_as_it_is(error: Exception) -> None:
    calls = []

    def failing(images: Tensor) -> Tensor:
        calls.append(len(images))
        raise error

    with pytest.raises(type(error)):
        Microbatches("model", FittingSizes())(failing, images_of(6)[0])
    assert calls == [6]


def test_the_outputs_of_a_network_are_checked_in_every_part() -> None:
    class Wrong(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images + 2 * (images.flatten(1).amax(1) > 0.99)[:, None, None, None]

    images = images_of(6)[0].clamp(max=0.9)
    images[5] = 1
    guarded = Guarded("defense d", Small(2, Wrong()), None, FittingSizes()).eval()
    with pytest.raises(PluginFault, match="outside"):
        guarded(images)


@register_defense("test-small")
@dataclass(frozen=True)
class SmallDefense(Defense):
    """Noise, with memory for a few images at once."""

    stochastic: ClassVar[bool] = True
    limit: ClassVar[int] = 0

    backward: bool = False

    def build(self, data: DataInfo) -> nn.Module:
        return Small(type(self).limit, Noise(), backward=self.backward)


@register_classifier("test-sums")
@dataclass(frozen=True)
class SumsClassifier(Classifier):
    """Sums over pixels, which are no good and need no training."""

    def build(self, data: DataInfo) -> nn.Module:
        return Sums(math.prod(data.shape), data.classes)


def network(plugin: Any, split: SplitRef) -> NetworkRef:
    """A reference to a network without weights to load."""
    return NetworkRef(plugin, split.info, plugin.name, plugin.name)


def task_of(kind: str, context: TaskContext, *, backward: bool) -> Task:
    """A task on digits, so many that some are right by chance, with the small defense."""
    split = context.split("digits", 60)
    defense = configure(DEFENSES, f"test-small:backward={str(backward).lower()}")
    networks = {
        "classifier": network(configure(CLASSIFIERS, "test-sums"), split),
        "purifier": network(defense, split),
    }
    common = {"split": split, "batch_size": 60, "seed": 0, **networks}
    attack = configure(ATTACKS, "pgd:steps=2")
    if kind == "predict":
        return Predict(adversarial_set=None, **common)
    if kind == "judge":
        return CascadeStep(None, 0, None, 0.1, eot=2, confirm=3, train=None, **common)
    if kind == "member":
        first = LocalExecutor(context).artifact(task_of("judge", context, backward=backward))
        previous = AdversarialRef(task_of("judge", context, backward=backward).key, first.digest)
        member = MemberAttack("whitebox pgd", "whitebox", attack)
        return CascadeStep(member, 1, previous, 0.1, eot=2, confirm=3, train=None, **common)
    if kind == "probe":
        attacked = AttackedRef(THREATS["whitebox"], **networks)
        return GradientProbe(attacked, split, 60, 0)
    return Craft(attack=attack, eps=0.1, threat=threat_model(kind), substitute=None, **common)


@pytest.mark.parametrize(
    "kind", ["predict", "judge", "member", "probe", "whitebox:eot=2", "bpda", "whitebox:draw=fixed"]
)
@pytest.mark.parametrize("backward", [False, True])
def test_a_task_makes_the_same_artifact_with_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, backward: bool
) -> None:
    monkeypatch.setattr(TaskContext, "network", lambda _, reference: built(reference))
    tensors = []
    for limit in (1000, 5):
        monkeypatch.setattr(SmallDefense, "limit", limit)
        store = ArtifactStore(tmp_path / str(limit))
        context = TaskContext(CPU, store, tmp_path, Silent())
        task = task_of(kind, context, backward=backward)
        tensors.append(LocalExecutor(context).artifact(task).tensors)

    whole, divided = tensors
    assert whole.keys() == divided.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name], divided[name], err_msg=name)


def built(reference: NetworkRef) -> nn.Module:
    module = reference.plugin.plugin.build(reference.info)
    return module.eval().requires_grad_(False)
