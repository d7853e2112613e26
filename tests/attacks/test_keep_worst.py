"""The worst iterate (`keep=worst`), compared with all iterates of foolbox's run."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.plugins.configured import configure
from bench.registry import ATTACKS
from bench.stages.crafting import perturb
from bench.stages.seeding import seeded

STEPS = 6
SPECS = [
    "bim:rel_stepsize=0.6",
    "mifgsm:rel_stepsize=0.5",
    "pgd:rel_stepsize=0.5",
    "pgd:norm=l2:rel_stepsize=3",
    "pgd:norm=l1:rel_stepsize=3",
    "bim:rel_stepsize=0.6:targeted=true",
    "pgd:rel_stepsize=0.5:targeted=true:target=leastlikely",
]
BUDGETS = {"norm=l2": 2.0, "norm=l1": 20.0}


def budget(spec: str) -> float:
    return next((eps for norm, eps in BUDGETS.items() if norm in spec), 0.12)


def attacked(spec: str, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    with seeded(torch.device("cpu"), 4):
        return perturb(configure(ATTACKS, spec), model, images, labels, eps)


def start(spec: str, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """The random start, which a step of no size leaves in place."""
    still = ":".join(part for part in spec.split(":") if "rel_stepsize" not in part)
    return attacked(f"{still}:steps=1:rel_stepsize=1e-30:keep=last", model, images, labels, eps)


@pytest.mark.parametrize("spec", SPECS)
def test_it_is_the_worst_of_foolboxs_iterates_to_the_last_bit(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor], spec: str
) -> None:
    images, labels = (part[:24] for part in digits)
    eps = budget(spec)
    arguments = (trained_cnn, images, labels, eps)
    iterates = [start(spec, *arguments)] + [
        attacked(f"{spec}:steps={steps}:keep=last", *arguments) for steps in range(1, STEPS + 1)
    ]
    worst = attacked(f"{spec}:steps={STEPS}:keep=worst", *arguments)

    targets = configure(ATTACKS, spec).plugin.targets(trained_cnn(images), labels)
    aims = labels if targets is None else targets
    ranks = []
    for iterate in iterates:
        logits = trained_cnn(iterate)
        loss = cross_entropy(logits, aims, reduction="none")
        is_aim = logits.argmax(1) == aims
        ranks.append(loss + 1e3 * ~is_aim if targets is None else 1e3 * is_aim - loss)
    chosen = torch.stack(ranks).argmax(dim=0)
    expected = torch.stack(iterates)[chosen, torch.arange(len(images))]
    assert torch.equal(worst, expected)
    assert bool((chosen < STEPS).any())


class Sawtooth(nn.Module):
    """Class 1 near the top of each tooth; its score rises along every tooth, so it never turns."""

    def forward(self, images: Tensor) -> Tensor:
        score = torch.remainder(images.mean(dim=(1, 2, 3)) - 0.5, 0.05) - 0.035
        return torch.stack([-score, score], dim=1)


@pytest.mark.parametrize("name", ["bim", "mifgsm", "pgd"])
def test_an_earlier_iterate_is_wrong_and_the_last_one_right(name: str) -> None:
    model = Sawtooth().eval()
    images, labels = torch.full((3, 1, 2, 2), 0.501), torch.zeros(3, dtype=torch.long)
    options = "steps=5:rel_stepsize=0.2" + (":random_start=false" if name == "pgd" else "")
    last, worst = (
        attacked(f"{name}:{options}{keep}", model, images, labels, 0.1)
        for keep in (":keep=last", ":keep=worst")
    )
    assert bool((model(last).argmax(1) == 0).all())
    assert bool((model(worst).argmax(1) == 1).all())
    torch.testing.assert_close(worst, images + 0.04)


@pytest.mark.parametrize("spec", ["bim", "mifgsm", "pgd:steps=10", "pgd:norm=l2:steps=10"])
def test_the_default_follows_whether_the_model_is_evaluated(
    trained_cnn: nn.Module,
    digits: tuple[Tensor, Tensor],
    spec: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, labels = (part[:40] for part in digits)
    eps = 1.5 if "l2" in spec else 0.1
    arguments = (trained_cnn, images, labels, eps)
    assert torch.equal(attacked(spec, *arguments), attacked(f"{spec}:keep=last", *arguments))
    last = attacked(f"{spec}:keep=last", *arguments)
    worst = attacked(f"{spec}:keep=worst", *arguments)

    monkeypatch.setattr(trained_cnn, "evaluated", True, raising=False)
    assert torch.equal(attacked(spec, *arguments), worst)
    assert torch.equal(attacked(f"{spec}:keep=last", *arguments), last)
    right = [trained_cnn(adversarial).argmax(1) == labels for adversarial in (worst, last)]
    assert bool((right[0] <= right[1]).all())


class Random(nn.Module):
    """A classifier behind noise, that counts its calls with and without a gradient."""

    def __init__(self, model: nn.Module, eot: int) -> None:
        super().__init__()
        self.model = model
        self.eot = eot
        self.gradients = self.plain = 0

    def forward(self, images: Tensor) -> Tensor:
        self.gradients += images.requires_grad
        self.plain += not images.requires_grad
        return self.model(images + 0.1 * torch.randn_like(images))


@pytest.mark.parametrize("eot", [1, 3])
@pytest.mark.parametrize("spec", ["bim", "mifgsm", "pgd:norm=l2"])
def test_on_a_random_model_it_is_one_of_foolboxs_iterates(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor], spec: str, eot: int
) -> None:
    images, labels = (part[:10] for part in digits)
    step = f"{spec}:rel_stepsize=0.4"
    eps = budget(spec)
    iterates = [
        attacked(f"{step}:steps={steps}", Random(trained_cnn, eot).eval(), images, labels, eps)
        for steps in range(1, 6)
    ]
    model = Random(trained_cnn, eot).eval()
    worst = attacked(f"{step}:steps=5:keep=worst", model, images, labels, eps)
    same = torch.stack([(worst == it).flatten(1).all(dim=1) for it in iterates])
    is_start = ~same.any(dim=0)
    assert float(is_start.float().mean()) < 0.3
    assert bool(same[:4].any())

    # One judgement more than gradients, and foolbox's own call.
    assert model.gradients == 5 * eot
    assert model.plain == eot + 1
