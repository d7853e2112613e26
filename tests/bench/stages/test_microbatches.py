"""Batches that do not fit into the memory: evaluated in parts, with the same numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense
from bench.errors import PluginFault
from bench.plugins.configured import configure
from bench.registry import ATTACKS, DEFENSES, register_defense
from bench.stages.context import TaskContext
from bench.stages.crafting import perturb
from bench.stages.executor import LocalExecutor
from bench.stages.guard import Guarded
from bench.stages.microbatches import FittingSizes, Microbatches
from bench.stages.seeding import seeded
from bench.stages.surrogates import DefendedClassifier, NoGradient, backward_through
from bench.stages.threats import threat_model
from bench.store.artifacts import ArtifactStore
from bench.sweep.cell import Cell
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import RunConfig
from bench.sweep.grid import Grid

CPU = torch.device("cpu")
INFO = DataInfo((1, 8, 8), 3)


def used_up() -> torch.OutOfMemoryError:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


class Sums(nn.Module):
    """Logits that are sums over pixels, whose rounding depends on no other image."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
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
        elif len(images) > self.limit:
            raise used_up()
        self.largest = max(self.largest, len(images))
        output: Tensor = self.purifier(images)
        return output


class SmallVote(Small):
    """The same for a purifier that decides."""

    def classify(self, images: Tensor, classifier: nn.Module) -> Tensor:
        if len(images) > self.limit:
            raise used_up()
        logits: Tensor = self.purifier.classify(images, classifier)  # type: ignore[operator]
        return logits


def images_of(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, *INFO.shape, generator=generator), torch.arange(n) % 3


def noise(seen: Tensor) -> Tensor:
    return (seen + 0.1 * torch.randn_like(seen)).clamp(0, 1)


class Noise(nn.Module):
    """Draws of every kind, by other means in each."""

    def forward(self, images: Tensor) -> Tensor:
        n = len(images)
        images = images + 0.1 * torch.empty_like(images).uniform_(-1, 1)
        images = images * torch.bernoulli(torch.full_like(images, 0.9))
        images = images + torch.normal(0.0, 0.05, (2, n, *images.shape[1:])).mean(dim=0)
        images = images + 0.02 * torch.randn(3 * n, 1, 1, 1).view(n, 3, 1, 1).mean(1, keepdim=True)
        images = images + 0.01 * torch.rand(8, 8) + 0.01 * torch.randint(0, 5, (n, 1, 1, 1))
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


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(2, 40),
    limit=st.integers(1, 40),
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


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_an_attack_on_scores_finds_the_same_images(limit: int) -> None:
    results = [crafted("square:steps=10", query(Small(most, Noise())), 9) for most in (limit, 9)]
    assert torch.equal(*results)


STOCHASTIC = [
    "gaussian_noise",
    "puvae:channels=4:kernel=3:hidden=8:noise=1",
    "defensegan:latent=4:width=2:restarts=3:steps=3",
    "defensegan:latent=4:width=2:restarts=2:steps=3:sphere=true",
    "vote:defense=gaussian_noise:draws=4",
    "vote:defense=[defensegan:latent=4:width=2:restarts=3:steps=2]:draws=4",
    "vote:defense=[puvae:channels=4:kernel=3:hidden=8:noise=1]:draws=3:rule=majority",
    "bitdepth",
    "median",
    "jpeg",
    "convae:width=2",
]


@pytest.mark.parametrize("limit", [1, 2, 5])
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
        torch.testing.assert_close(divided, whole, rtol=1e-3, atol=1e-4)


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
        return noise(images) if torch.rand(()) < 0.5 else noise(noise(images))


@pytest.mark.parametrize("module", [Averaged, Outside, Own, Chunked, Shuffled, Fickle])
def test_a_model_whose_parts_would_give_other_numbers_fails_and_says_so(
    module: Callable[[], nn.Module],
) -> None:
    model = whitebox(Small(8, module()))
    message = r"out of memory on cpu at 10 images, and fewer at once would give other numbers"
    with seeded(CPU, "draws"), pytest.raises(PluginFault, match=message) as caught:
        for _ in range(20):
            model(images_of(10)[0])
    assert "--batch-size" in str(caught.value)


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


def test_a_single_image_that_does_not_fit_is_a_fault() -> None:
    model = whitebox(Small(0, nn.Identity()))
    with pytest.raises(PluginFault, match="OutOfMemoryError: .*a single image needs more memory"):
        model(images_of(6)[0])


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
    class Late(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images + 2 * (images.flatten(1).amax(1) > 0.99)[:, None, None, None]

    images = images_of(6)[0].clamp(max=0.9)
    images[5] = 1
    guarded = Guarded("defense d", Small(2, Late()), None, FittingSizes()).eval()
    with pytest.raises(PluginFault, match="outside"):
        guarded(images)


@register_defense("test-small")
@dataclass(frozen=True)
class SmallDefense(Defense):
    """Noise, with memory for a few images at once; one that fits all is the same defense."""

    limit: ClassVar[int] = 1000
    stochastic: ClassVar[bool] = True

    backward: bool = False

    def build(self, data: DataInfo) -> nn.Module:
        return Small(type(self).limit, Noise(), backward=self.backward)


@pytest.mark.parametrize("threat", ["whitebox:eot=2", "bpda", "adaptive:budget=quick"])
@pytest.mark.parametrize("spec", ["test-small", "test-small:backward=true"])
def test_a_cell_with_little_memory_has_the_same_outcome(
    context: TaskContext,
    tiny_config: RunConfig,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    spec: str,
    threat: str,
) -> None:
    """Up to rounding: the classifier's products of other batch sizes sum in another order."""
    config = tiny_config.model_copy(update={"n": 12, "batch_size": 12, "convergence": 0})
    (base, *_) = Grid.of(config).cells()
    changes = {"defense": configure(DEFENSES, spec), "threat": threat_model(threat)}

    outcomes = []
    for limit in (1000, 5):
        monkeypatch.setattr(SmallDefense, "limit", limit)
        outcomes.append(adversarial(context, config, base, changes, tmp_path_factory.mktemp("s")))
    torch.testing.assert_close(*outcomes, rtol=0, atol=2e-3)


def adversarial(
    context: TaskContext, config: RunConfig, base: Cell, changes: dict[str, Any], folder: Any
) -> Tensor:
    """The adversarial images of a cell, made in a store of its own; the classifier is the same."""
    import dataclasses

    from bench.stages.cascade_budgets import cascade_attack

    if changes["threat"].kind.cascade:
        changes = {**changes, "attack": cascade_attack("linf", "quick")}
    cell = dataclasses.replace(base, **changes)
    shared = CellTasks(LocalExecutor(context), context, config).networks(cell)
    own = TaskContext(context.device, ArtifactStore(folder), context.data, context.progress)
    own.network = context.network  # type: ignore[method-assign]
    del shared
    tasks = CellTasks(LocalExecutor(own), own, config)
    result = tasks.result(cell, tasks.networks(cell))
    return torch.from_numpy(result.outcome.images.adversarial)
