"""Targeted attacks: the choice of the class, and what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.contracts import MinimumNorm
from bench.errors import RequestError
from bench.geometry import distances
from bench.plugins.configured import configure
from bench.registry import ATTACKS
from bench.stages.crafting import minimise, perturb
from bench.stages.seeding import seeded

TARGETED = ["bim", "boundary", "cw", "ddn", "fmn", "hopskipjump", "mifgsm", "pgd"]
CHOICES = ["next", "random", "leastlikely"]


@pytest.mark.parametrize("name", TARGETED)
@pytest.mark.parametrize("target", ["random", "leastlikely", "each"])
def test_a_target_without_targeted_is_refused(name: str, target: str) -> None:
    with pytest.raises(RequestError, match=f"target={target}: only for a targeted attack") as error:
        configure(ATTACKS, f"{name}:target={target}")
    assert "\n" not in str(error.value)
    with pytest.raises(RequestError, match="target=first"):
        configure(ATTACKS, f"{name}:targeted=true:target=first")


@pytest.mark.parametrize("name", TARGETED)
def test_the_usual_target_changes_no_identity(name: str) -> None:
    plain = configure(ATTACKS, f"{name}:targeted=true")
    assert "target" not in plain.identity["parameters"]
    assert configure(ATTACKS, f"{name}:targeted=true:target=next").identity == plain.identity
    other = configure(ATTACKS, f"{name}:targeted=true:target=random")
    assert other.identity["parameters"] == {**plain.identity["parameters"], "target": "random"}
    assert configure(ATTACKS, other.resolved).identity == other.identity


@given(
    classes=st.integers(2, 12),
    name=st.sampled_from(TARGETED),
    target=st.sampled_from(CHOICES),
    seed=st.integers(0, 99),
)
def test_a_target_is_a_wrong_class_whatever_the_batch(
    classes: int, name: str, target: str, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(9, classes, generator=generator)
    labels = torch.randint(0, classes, (9,), generator=generator)
    plugin = configure(ATTACKS, f"{name}:targeted=true:target={target}").plugin
    targets = plugin.targets(logits, labels)
    assert bool((targets != labels).all())
    assert bool(((targets >= 0) & (targets < classes)).all())

    order = torch.randperm(9, generator=generator)
    assert torch.equal(plugin.targets(logits[order], labels[order]), targets[order])
    alone = torch.cat([plugin.targets(logits[i : i + 1], labels[i : i + 1]) for i in range(9)])
    assert torch.equal(alone, targets)
    if target == "next":
        assert torch.equal(targets, (labels + 1) % classes)
    if target == "leastlikely":
        lowest = logits.gather(1, targets[:, None]).squeeze(1)
        others = logits.scatter(1, labels[:, None], torch.inf)
        assert torch.equal(lowest, others.amin(dim=1))


def test_random_targets_are_spread_over_the_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2000, 10, generator=generator)
    labels = torch.zeros(2000, dtype=torch.long)
    targets = configure(ATTACKS, "pgd:targeted=true:target=random").plugin.targets(logits, labels)
    counts = targets.bincount(minlength=10)
    assert counts[0] == 0
    assert int(counts[1:].min()) > 150


@pytest.mark.parametrize("name", TARGETED)
def test_there_is_no_single_target_where_none_is_asked_for(name: str) -> None:
    logits, labels = torch.randn(3, 4), torch.tensor([0, 1, 2])
    for options in ("", ":targeted=true:target=each"):
        assert configure(ATTACKS, f"{name}{options}").plugin.targets(logits, labels) is None


@pytest.mark.parametrize("target", [*CHOICES, "each"])
@pytest.mark.parametrize("name", ["bim:steps=20", "mifgsm", "pgd:steps=20"])
def test_the_attack_reaches_the_class_that_it_reports(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor], name: str, target: str
) -> None:
    images, labels = (part[:20] for part in digits)
    attack = configure(ATTACKS, f"{name}:targeted=true:target={target}")
    with seeded(torch.device("cpu"), 0):
        adversarial = perturb(attack, trained_cnn, images, labels, 0.35)
    predicted = trained_cnn(adversarial).argmax(1)
    aims = attack.plugin.targets(trained_cnn(images), labels)
    reached = predicted != labels if aims is None else predicted == aims
    assert float(reached.float().mean()) > (0.9 if aims is None else 0.5)


class Three(nn.Module):
    """Three classes: the first is the gray images', the others lie above and below."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        level = images.mean(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(level), 9 * (level - 0.7), 9 * (0.45 - level)], dim=1)


def test_each_keeps_the_first_class_reached_and_else_the_last() -> None:
    model = Three().eval()
    images = torch.full((3, 1, 4, 4), 0.5)
    images[0] += 0.15  # reaches class 1, at 0.7; the others reach class 2, at 0.45, or nothing
    images[2] += 0.05
    labels = torch.zeros(3, dtype=torch.long)
    adversarial = perturb(
        configure(ATTACKS, "bim:targeted=true:target=each"), model, images, labels, 0.08
    )
    assert model(adversarial).argmax(1).tolist() == [1, 2, 0]
    assert float(adversarial[2].mean()) == pytest.approx(0.47)  # it went for class 2 last
    assert 2 in model.batches  # the image that reached class 1 had left


@pytest.mark.parametrize("name", ["fmn:steps=60", "fmn:norm=linf:steps=60"])
def test_each_keeps_the_nearest_class_of_an_attack_without_a_budget(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor], name: str
) -> None:
    images, labels = gray_images
    attack = configure(ATTACKS, f"{name}:targeted=true:target=each")
    assert isinstance(attack.plugin, MinimumNorm)
    norm = attack.plugin.ball()
    dual = {"l2": 2.0, "linf": 1.0}[norm]
    logits = linear(images)
    gaps = logits.gather(1, labels[:, None]) - logits
    weight = linear.weight[labels][:, None] - linear.weight[None]
    there = gaps / weight.norm(p=dual, dim=2).clamp_min(1e-9)
    nearest = there.scatter(1, labels[:, None], torch.inf).amin(dim=1)

    adversarial = minimise(attack, linear, images, labels)
    assert bool((linear(adversarial).argmax(1) != labels).all())
    share = distances(images, adversarial, norm) / nearest
    assert 0.999 < float(share.min()) <= float(share.max()) < 1.05


@pytest.mark.parametrize(
    "name", ["cw:steps=100:binary_search_steps=5", "hopskipjump:steps=4", "boundary:steps=300"]
)
@pytest.mark.parametrize("target", [*CHOICES, "each"])
def test_every_attack_takes_every_target(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor], name: str, target: str
) -> None:
    images, labels = (part[:4] for part in gray_images)
    attack = configure(ATTACKS, f"{name}:targeted=true:target={target}")
    adversarial = minimise(attack, linear, images, labels)
    aims = attack.plugin.targets(linear(images), labels)
    predicted = linear(adversarial).argmax(1)
    reached = predicted != labels if aims is None else predicted == aims
    assert float(reached.float().mean()) >= 0.5
