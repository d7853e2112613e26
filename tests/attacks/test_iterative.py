"""The iterative attacks against plain loops written from the papers, and their budgets."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.geometry import Norm, distances
from bench.plugins.configured import configure
from bench.registry import ATTACKS
from bench.stages.crafting import perturb


def loss_gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    inputs = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(cross_entropy(model(inputs), labels, reduction="sum"), inputs)
    return gradient


def bim(
    model: nn.Module, images: Tensor, labels: Tensor, eps: float, steps: int, step_size: float
) -> Tensor:
    """Kurakin et al. 2017, section 2.2."""
    adversarial = images
    for _ in range(steps):
        adversarial = adversarial + step_size * loss_gradient(model, adversarial, labels).sign()
        adversarial = torch.min(torch.max(adversarial, images - eps), images + eps).clamp(0, 1)
    return adversarial


def mifgsm(
    model: nn.Module, images: Tensor, labels: Tensor, eps: float, steps: int, decay: float
) -> Tensor:
    """Dong et al. 2018, algorithm 1."""
    adversarial = images
    accumulated = torch.zeros_like(images)
    for _ in range(steps):
        gradient = loss_gradient(model, adversarial, labels)
        accumulated = decay * accumulated + gradient / gradient.abs().sum(
            dim=(1, 2, 3), keepdim=True
        )
        adversarial = adversarial + eps / steps * accumulated.sign()
        adversarial = torch.min(torch.max(adversarial, images - eps), images + eps).clamp(0, 1)
    return adversarial


def l2_pgd(
    model: nn.Module, images: Tensor, labels: Tensor, eps: float, steps: int, step_size: float
) -> Tensor:
    """Madry et al. 2018, section 2.1, with the Euclidean ball."""
    adversarial = images
    for _ in range(steps):
        gradient = loss_gradient(model, adversarial, labels)
        adversarial = (
            adversarial
            + step_size * gradient / gradient.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
        )
        delta = adversarial - images
        length = delta.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
        adversarial = (images + delta * (eps / length).clamp(max=1)).clamp(0, 1)
    return adversarial


def agreement(ours: Tensor, theirs: Tensor) -> float:
    """Share of equal images; a sign may flip where the gradient is nearly zero."""
    return float(((ours - theirs).abs().flatten(1).amax(dim=1) < 1e-4).float().mean())


def test_bim_is_the_papers(trained_cnn: nn.Module, digits: tuple[Tensor, Tensor]) -> None:
    ours = perturb(configure(ATTACKS, "bim:steps=8"), trained_cnn, *digits, 0.1)
    assert agreement(ours, bim(trained_cnn, *digits, 0.1, 8, 0.025)) > 0.95
    assert agreement(ours, bim(trained_cnn, *digits, 0.1, 7, 0.025)) < 0.2


def test_mifgsm_is_the_papers(trained_cnn: nn.Module, digits: tuple[Tensor, Tensor]) -> None:
    ours = perturb(configure(ATTACKS, "mifgsm"), trained_cnn, *digits, 0.2)
    assert agreement(ours, mifgsm(trained_cnn, *digits, 0.2, 10, 1.0)) > 0.95
    assert agreement(ours, mifgsm(trained_cnn, *digits, 0.2, 10, 0.5)) < 0.2


def test_l2_pgd_is_the_papers(trained_cnn: nn.Module, digits: tuple[Tensor, Tensor]) -> None:
    spec = "pgd:norm=l2:steps=8:rel_stepsize=0.2:random_start=false"
    ours = perturb(configure(ATTACKS, spec), trained_cnn, *digits, 1.5)
    assert agreement(ours, l2_pgd(trained_cnn, *digits, 1.5, 8, 0.3)) > 0.95


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 1.5), ("l1", 40.0)])
def test_pgd_raises_the_loss_within_the_ball(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor], norm: Norm, eps: float
) -> None:
    images, labels = (part[:30] for part in digits)
    adversarial = perturb(configure(ATTACKS, f"pgd:norm={norm}"), trained_cnn, images, labels, eps)
    moved = distances(images, adversarial, norm)
    assert float(moved.max()) <= eps * (1 + 1e-6)
    assert float(moved.median()) > 0.95 * eps
    assert float((trained_cnn(adversarial).argmax(1) != labels).float().mean()) > 0.3


@settings(max_examples=30, deadline=None)
@given(
    norm=st.sampled_from(["linf", "l2", "l1"]),
    share=st.floats(1e-3, 1),
    level=st.floats(0, 1),
    steps=st.integers(1, 4),
    rel_stepsize=st.floats(0.01, 3),
    seed=st.integers(0, 99),
)
def test_pgd_stays_in_every_ball(
    norm: Norm, share: float, level: float, steps: int, rel_stepsize: float, seed: int
) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 4)).eval()
    images = (level + 0.3 * torch.randn(3, 3, 4, 4)).clamp(0, 1)
    eps = share * {"linf": 1.0, "l2": 48**0.5, "l1": 48.0}[norm]
    attack = configure(ATTACKS, f"pgd:norm={norm}:steps={steps}:rel_stepsize={rel_stepsize}")
    adversarial = attack.plugin.perturb(model, images, torch.tensor([0, 1, 2]), eps)
    assert float(adversarial.min()) >= 0
    assert float(adversarial.max()) <= 1
    assert float(distances(images, adversarial, norm).max()) <= eps + 1e-6 * max(1, eps)


@pytest.mark.parametrize(
    "spec",
    ["bim", "mifgsm", "pgd:rel_stepsize=0.1:steps=20", "pgd:norm=l2:rel_stepsize=0.1:steps=20"],
)
def test_a_targeted_attack_reaches_the_class_after_the_true_one(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor], spec: str
) -> None:
    images, labels = (part[:30] for part in digits)
    eps = 6.0 if "l2" in spec else 0.35
    targeted, other = (
        trained_cnn(perturb(configure(ATTACKS, text), trained_cnn, images, labels, eps)).argmax(1)
        for text in (f"{spec}:targeted=true", spec)
    )
    assert float((targeted == (labels + 1) % 10).float().mean()) > 0.7
    assert float((other == (labels + 1) % 10).float().mean()) < 0.5


@pytest.mark.parametrize(("spec", "step"), [("bim", 0.06), ("mifgsm", 0.03), ("pgd:norm=l2", 0.01)])
def test_step_sizes_are_described_in_absolute_units(spec: str, step: float) -> None:
    assert configure(ATTACKS, spec).plugin.describe(0.3)["step_size"] == pytest.approx(step)


@pytest.mark.parametrize(
    ("name", "default", "share"), [("pgd", 40, 0.01 / 0.3), ("bim", 10, 0.2), ("mifgsm", 10, 0.1)]
)
def test_the_step_follows_the_number_of_steps(name: str, default: int, share: float) -> None:
    usual = configure(ATTACKS, name)
    assert usual.parameters["rel_stepsize"] == share  # exactly, so that no key changes
    assert usual.identity["parameters"]["rel_stepsize"] == share
    for steps in (1, 5, 7, 200):
        configured = configure(ATTACKS, f"{name}:steps={steps}")
        size = configured.parameters["rel_stepsize"]
        assert size * steps == pytest.approx(share * default)
        assert configured.identity["parameters"]["rel_stepsize"] == size
        assert configured.plugin.describe(0.3)["step_size"] == pytest.approx(0.3 * size)
        assert configure(ATTACKS, configured.resolved).identity == configured.identity
    given = configure(ATTACKS, f"{name}:steps=5:rel_stepsize=0.03")
    assert given.parameters["rel_stepsize"] == 0.03


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
@pytest.mark.parametrize("spec", ["bim", "mifgsm", "pgd:random_start=false"])
def test_few_steps_go_through_the_whole_budget(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor], spec: str, steps: int
) -> None:
    images, labels = gray_images
    adversarial = perturb(configure(ATTACKS, f"{spec}:steps={steps}"), linear, images, labels, 0.1)
    torch.testing.assert_close(
        distances(images, adversarial, "linf"), torch.full((len(images),), 0.1)
    )


@pytest.mark.parametrize(
    "spec",
    ["fgsm", "bim", "mifgsm", "pgd", "pgd:norm=l2", "pgd:norm=l1", "pgd:norm=l2:keep=first", "ddn",
     "pgd:norm=l2:keep=worst", "apgd:loss=margin:steps=10", "apgd:norm=l2:loss=margin:steps=10"],
)  # fmt: skip
def test_a_gradient_of_any_size_is_followed(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor], spec: str
) -> None:
    class Scaled(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return 1e-30 * linear(images)

    images, labels = gray_images
    norm = configure(ATTACKS, spec).plugin.ball()
    eps = {"linf": 0.05, "l2": 0.5, "l1": 30.0}[norm]
    torch.manual_seed(0)
    adversarial = perturb(configure(ATTACKS, spec), Scaled().eval(), images, labels, eps)
    gap = [
        linear(x).gather(1, labels[:, None]).squeeze(1)
        - linear(x).scatter(1, labels[:, None], -torch.inf).amax(1)
        for x in (images, adversarial)
    ]
    assert bool((gap[1] < gap[0]).all())
    assert float((gap[1] < 0).float().mean()) > 0.5
