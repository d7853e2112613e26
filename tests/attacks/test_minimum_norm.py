"""Minimum-norm attacks, compared with the closed form of a linear classifier."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import NotApplicable
from bench.geometry import Norm, distances
from bench.plugins.configured import configure
from bench.registry import ATTACKS
from bench.stages.crafting import perturb


class Hyperplane(nn.Module):
    """Two classes.

    Every other pixel weighs a fifth, so that each norm has a nearest point of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        signs = torch.randn(64, generator=torch.Generator().manual_seed(0)).sign()
        self.register_buffer("weight", signs * torch.tensor([1.0, 0.2]).repeat(32))

    def forward(self, images: Tensor) -> Tensor:
        gap = (images.flatten(1) - 0.5) @ self.weight
        return torch.stack([gap, -gap], dim=1)

    def distance(self, images: Tensor, norm: Norm) -> Tensor:
        """The gap over the dual norm of the weights."""
        dual = {"linf": 1.0, "l2": 2.0, "l1": float("inf")}[norm]
        return ((images.flatten(1) - 0.5) @ self.weight).abs() / self.weight.norm(p=dual)

    def images(self) -> Tensor:
        """Images 0.2 to 0.6 from the hyperplane in L2, on both sides, far from black and white."""
        noise = 0.03 * torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
        unit = self.weight / self.weight.norm()
        away = torch.linspace(0.2, 0.6, 8) * torch.tensor([1.0, -1.0]).repeat(4)
        return (0.5 + noise - (noise @ unit)[:, None] * unit + away[:, None] * unit).view(
            8, 1, 8, 8
        )


@pytest.mark.parametrize(
    ("spec", "norm", "longest"),
    [
        ("deepfool", "l2", 1.03),
        ("deepfool:norm=linf", "linf", 1.03),
        ("cw:steps=100:binary_search_steps=8", "l2", 1.03),
        ("ddn", "l2", 1.02),
        ("fmn", "l2", 1.02),
        ("fmn:norm=linf", "linf", 1.02),
        ("fmn:norm=l1", "l1", 1.02),
        ("fab:steps=10", "linf", 1.02),
        ("fab:norm=l2:steps=10", "l2", 1.02),
        ("fab:norm=l1:steps=10", "l1", 1.02),
        ("hopskipjump:steps=8", "l2", 1.4),
        ("hopskipjump:norm=linf:steps=8", "linf", 1.4),
        ("boundary:steps=3000", "l2", 1.4),
    ],
)
def test_the_distance_is_that_to_the_hyperplane(spec: str, norm: Norm, longest: float) -> None:
    model = Hyperplane().eval()
    images = model.images()
    labels = model(images).argmax(1)
    torch.manual_seed(0)
    plugin = configure(ATTACKS, spec).plugin
    adversarial = plugin.minimise(model, images, labels)
    share = distances(images, adversarial, norm) / model.distance(images, norm)
    assert plugin.ball() == norm
    assert bool((model(adversarial).argmax(1) != labels).all())
    assert float(share.min()) > 0.999
    assert float(share.max()) < longest


def test_hopskipjump_steps_as_far_in_a_large_batch() -> None:
    model = Hyperplane().eval()
    images = model.images().repeat(12, 1, 1, 1)
    torch.manual_seed(0)
    adversarial = configure(ATTACKS, "hopskipjump:steps=4").plugin.minimise(
        model, images, model(images).argmax(1)
    )
    assert (
        float((distances(images, adversarial, "l2") / model.distance(images, "l2")).median()) < 1.4
    )


@pytest.mark.parametrize(
    "spec", ["cw:steps=100:binary_search_steps=8", "ddn", "fmn", "fmn:norm=linf", "fmn:norm=l1"]
)
def test_a_targeted_attack_goes_for_the_class_after_the_true_one(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor], spec: str
) -> None:
    images, labels = gray_images
    adversarial = configure(ATTACKS, f"{spec}:targeted=true").plugin.minimise(
        linear, images, labels
    )
    assert torch.equal(linear(adversarial).argmax(1), (labels + 1) % 3)


def test_a_targeted_decision_attack_goes_there_too(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor]
) -> None:
    images, labels = gray_images
    torch.manual_seed(0)
    for spec in ("hopskipjump:steps=2:targeted=true", "boundary:steps=50:targeted=true"):
        adversarial = configure(ATTACKS, spec).plugin.minimise(linear, images, labels)
        assert torch.equal(linear(adversarial).argmax(1), (labels + 1) % 3)


def test_fmn_and_ddn_find_every_digit_alike(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor]
) -> None:
    images, labels = (part[:30] for part in digits)
    medians = []
    for spec in ("ddn", "fmn", "ddn:targeted=true", "fmn:targeted=true"):
        adversarial = configure(ATTACKS, spec).plugin.minimise(trained_cnn, images, labels)
        classes = trained_cnn(adversarial).argmax(1)
        hit = classes == (labels + 1) % 10 if "targeted" in spec else classes != labels
        assert float(hit.float().mean()) > 0.97
        medians.append(float(distances(images, adversarial, "l2").median()))
    assert medians[1] == pytest.approx(medians[0], rel=0.05)
    assert medians[3] == pytest.approx(medians[2], rel=0.05)


def test_a_budget_draws_back_to_the_ball(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor]
) -> None:
    images, labels = gray_images
    attack = configure(ATTACKS, "deepfool")
    free = attack.plugin.minimise(linear, images, labels)
    eps = float(distances(images, free, "l2").median())
    held = distances(images, perturb(attack, linear, images, labels, eps), "l2")
    torch.testing.assert_close(held, distances(images, free, "l2").clamp(max=eps))


SMALL = [
    "deepfool",
    "cw:steps=5:binary_search_steps=2",
    "ddn:steps=5",
    "fmn:steps=5",
    "fmn:norm=l1:steps=5",
    "fmn:norm=linf:steps=5",
    "hopskipjump:steps=1",
    "boundary:steps=20",
    "saltandpepper:steps=20",
]


class Constant(nn.Module):
    """Class 0 everywhere, by a tie: margins and gradients are zero."""

    def forward(self, images: Tensor) -> Tensor:
        assert bool(torch.isfinite(images).all())
        return torch.zeros(len(images), 3) + 0 * images.sum()


@pytest.mark.parametrize("spec", SMALL)
def test_what_cannot_be_fooled_comes_back_as_it_was(
    gray_images: tuple[Tensor, Tensor], spec: str
) -> None:
    images, labels = gray_images
    adversarial = configure(ATTACKS, spec).plugin.minimise(
        Constant().eval(), images, torch.zeros_like(labels)
    )
    torch.testing.assert_close(adversarial, images)


@pytest.mark.parametrize("spec", SMALL)
def test_what_is_fooled_already_hardly_moves(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor], spec: str
) -> None:
    images, labels = gray_images
    adversarial = configure(ATTACKS, spec).plugin.minimise(linear, images, (labels + 1) % 3)
    torch.testing.assert_close(adversarial, images, rtol=0, atol=1e-5)


class Dark(nn.Module):
    """Class 1 is dark; noise is never dark."""

    def forward(self, images: Tensor) -> Tensor:
        darkness = 20 * (0.3 - images.flatten(1).mean(dim=1))
        return torch.stack([torch.zeros_like(darkness), darkness], dim=1)


@pytest.mark.parametrize("spec", ["hopskipjump:steps=2", "boundary:steps=50"])
def test_a_start_that_noise_does_not_give_is_another_image(spec: str) -> None:
    plugin, model = configure(ATTACKS, spec).plugin, Dark().eval()
    bright, dark = torch.full((1, 1, 8, 8), 0.9), torch.full((1, 1, 8, 8), 0.1)
    both = plugin.minimise(model, torch.cat([bright, dark]), torch.tensor([0, 1]))
    assert model(both).argmax(1).tolist() == [1, 0]
    assert torch.equal(plugin.minimise(model, bright, torch.tensor([0])), bright)
    mixed = plugin.minimise(model, torch.cat([dark, dark, bright])[:2], torch.tensor([1, 0]))
    assert model(mixed).argmax(1).tolist() == [0, 1]


class Random(nn.Module):
    """A defense that draws randomness: near the boundary its decisions differ from call to call."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images + 0.05 * torch.randn_like(images))


def test_random_decisions(linear: nn.Module, gray_images: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    model = Random(linear).eval()
    with pytest.raises(NotApplicable, match="draws randomness"):
        configure(ATTACKS, "hopskipjump").plugin.minimise(model, *gray_images)
    adversarial = configure(ATTACKS, "boundary:steps=300").plugin.minimise(model, *gray_images)
    assert bool(torch.isfinite(adversarial).all())
    assert not torch.equal(adversarial, gray_images[0])


def test_salt_and_pepper_is_black_and_white(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor]
) -> None:
    images, labels = gray_images
    adversarial = configure(ATTACKS, "saltandpepper:steps=200").plugin.minimise(
        linear, images, labels
    )
    changed = adversarial != images
    assert bool((linear(adversarial).argmax(1) != labels).all())
    assert set(adversarial[changed].tolist()) == {0.0, 1.0}
    assert float(changed.float().mean()) < 0.5
