"""Foolbox through the adapter against attacks written straight from the papers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from attacks._foolbox import fb, run
from bench.plugins.configured import configure
from bench.registry import ATTACKS
from bench.stages.crafting import perturb
from bench.stages.seeding import seeded


def fgsm(model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """Goodfellow et al. 2015, section 4."""
    inputs = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(cross_entropy(model(inputs), labels, reduction="sum"), inputs)
    return (images + eps * gradient.sign()).clamp(0, 1)


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    eps: float,
    steps: int,
    step_size: float,
    start: Tensor,
) -> Tensor:
    """Madry et al. 2018, section 2.1."""
    adversarial = start
    for _ in range(steps):
        inputs = adversarial.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(
            cross_entropy(model(inputs), labels, reduction="sum"), inputs
        )
        adversarial = adversarial + step_size * gradient.sign()
        adversarial = torch.min(torch.max(adversarial, images - eps), images + eps).clamp(0, 1)
    return adversarial


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    return float((model(images).argmax(1) == labels).float().mean())


@pytest.mark.parametrize("eps", [0.05, 0.1, 0.3])
def test_fgsm_is_the_papers_to_the_last_bit(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor], eps: float
) -> None:
    images, labels = digits
    ours = perturb(configure(ATTACKS, "fgsm"), trained_cnn, images, labels, eps)
    torch.testing.assert_close(ours, fgsm(trained_cnn, images, labels, eps), rtol=0, atol=1e-7)


@pytest.mark.parametrize("eps", [0.05, 0.15])
def test_pgd_without_random_start_is_the_papers(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor], eps: float
) -> None:
    images, labels = digits
    ours = perturb(
        configure(ATTACKS, "pgd:steps=10:random_start=false"), trained_cnn, images, labels, eps
    )
    theirs = pgd(trained_cnn, images, labels, eps, 10, eps * 0.01 / 0.3 * 4, images)
    agree = (ours - theirs).abs().flatten(1).amax(dim=1) < 1e-5
    # A sign may flip where the gradient is nearly zero.
    assert float(agree.float().mean()) > 0.95
    assert accuracy(trained_cnn, ours, labels) == pytest.approx(
        accuracy(trained_cnn, theirs, labels), abs=0.02
    )


def test_pgd_with_random_start_is_as_strong_as_the_papers(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor]
) -> None:
    images, labels = digits
    eps = 0.1
    with seeded(torch.device("cpu"), 1):
        start = (images + torch.empty_like(images).uniform_(-eps, eps)).clamp(0, 1)
        ours = perturb(configure(ATTACKS, "pgd"), trained_cnn, images, labels, eps)
    theirs = pgd(trained_cnn, images, labels, eps, 40, eps * 0.01 / 0.3, start)
    assert accuracy(trained_cnn, ours, labels) == pytest.approx(
        accuracy(trained_cnn, theirs, labels), abs=0.03
    )
    signs = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).sign()
    noise = (images + eps * signs).clamp(0, 1)
    assert accuracy(trained_cnn, ours, labels) < accuracy(trained_cnn, noise, labels) - 0.2


def test_the_step_size_is_described_in_absolute_units() -> None:
    assert configure(ATTACKS, "pgd").plugin.describe(0.3) == pytest.approx(
        {"step_size": 0.01, "steps": 40}
    )


def test_epsilon_zero_leaves_the_images(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor]
) -> None:
    images, labels = digits
    assert torch.equal(perturb(configure(ATTACKS, "pgd"), trained_cnn, images, labels, 0.0), images)


class TestAdapter:
    """What foolbox would do silently or without a message."""

    def test_inputs_out_of_bounds_have_a_message(
        self, trained_cnn: nn.Module, digits: tuple[Tensor, Tensor]
    ) -> None:
        images, labels = digits
        attack = fb.LinfFastGradientAttack()
        with pytest.raises(ValueError, match=r"within \[0, 1\]"):
            run(attack, trained_cnn, images + 1, labels, 0.1)
        with pytest.raises(ValueError, match="finite"):
            run(attack, trained_cnn, images * float("nan"), labels, 0.1)
        with pytest.raises(ValueError, match="labels int64"):
            run(attack, trained_cnn, images, labels.int(), 0.1)

    def test_a_model_in_training_mode_is_refused(self, digits: tuple[Tensor, Tensor]) -> None:
        with pytest.raises(ValueError, match="training mode"):
            run(
                fb.LinfFastGradientAttack(),
                nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).train(),
                *digits,
                0.1,
            )

    def test_parameters_gather_no_gradient_and_stay_trainable(
        self, digits: tuple[Tensor, Tensor]
    ) -> None:
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).eval()
        run(fb.LinfPGD(steps=2), model, *digits, 0.1)
        assert all(
            parameter.grad is None and parameter.requires_grad for parameter in model.parameters()
        )

    def test_it_works_under_no_grad(
        self, trained_cnn: nn.Module, digits: tuple[Tensor, Tensor]
    ) -> None:
        with torch.no_grad():
            images = run(fb.LinfFastGradientAttack(), trained_cnn, *digits, 0.1)
        assert not torch.equal(images, digits[0])
