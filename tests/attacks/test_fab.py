"""FAB: projections on hyperplanes within the box, and what the attack finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, linprog
from torch import Tensor, nn

from attacks._hyperplanes import to_hyperplane
from bench.geometry import Norm, distances
from bench.plugins.configured import configure
from bench.registry import ATTACKS
from bench.stages.crafting import minimise
from bench.stages.seeding import seeded

NORMS: list[Norm] = ["linf", "l2", "l1"]


def shortest(point: np.ndarray, normal: np.ndarray, gap: float, norm: Norm) -> float | None:
    """Length of the shortest change, by linear programs and a root; None if there is none."""
    low, high = -point, 1 - point
    most = np.where(normal * gap > 0, high, low) @ normal
    if abs(most) < abs(gap):
        return None
    size = len(point)
    if norm == "l2":

        def missing(level: float) -> float:
            return float(np.clip(level * normal, low, high) @ normal - gap)

        level = brentq(missing, -1e6, 1e6, xtol=1e-14) if gap else 0.0
        return float(np.linalg.norm(np.clip(level * normal, low, high)))
    ones, eye = np.ones((size, 1)), np.eye(size)
    extra = ones if norm == "linf" else eye
    bounds = [*zip(low, high, strict=True), *[(0, None)] * extra.shape[1]]
    found = linprog(
        np.r_[np.zeros(size), np.ones(extra.shape[1])],
        A_ub=np.r_[np.c_[eye, -extra], np.c_[-eye, -extra]], b_ub=np.zeros(2 * size),
        A_eq=np.r_[normal, np.zeros(extra.shape[1])][None], b_eq=[gap], bounds=bounds,
    )  # fmt: skip
    return float(found.fun)


@settings(max_examples=150, deadline=None)
@given(
    norm=st.sampled_from(NORMS),
    size=st.integers(1, 7),
    gap=st.floats(-3, 3),
    exponent=st.sampled_from([0, -30, 20]),
    seed=st.integers(0, 10**6),
)
def test_the_change_is_the_shortest_within_the_box(
    norm: Norm, size: int, gap: float, exponent: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    point = random.choice([0.0, 1.0, 0.5], size) * 0.5 + 0.5 * random.uniform(size=size)
    normal = np.round(random.normal(size=size), 1)
    normal = np.where(np.abs(normal) < 0.1, 0.0, normal)
    scale = 10.0**exponent
    change = to_hyperplane(
        torch.tensor(point[None], dtype=torch.float32),
        torch.tensor(scale * normal[None], dtype=torch.float32),
        torch.tensor([scale * gap], dtype=torch.float32),
        norm,
    )[0].double().numpy()  # fmt: skip
    assert np.isfinite(change).all()
    assert (np.abs(point + change - 0.5) <= 0.5 + 1e-6).all()
    expected = shortest(point, normal, gap, norm)
    if expected is None:
        corner = np.where(normal * gap > 0, 1 - point, -point) * (normal != 0)
        assert change == pytest.approx(corner, abs=1e-5)
    else:
        length = np.linalg.norm(change, {"linf": np.inf, "l2": 2, "l1": 1}[norm])
        assert change @ normal == pytest.approx(gap, abs=1e-4)
        assert length == pytest.approx(expected, abs=1e-4)


def test_a_normal_of_zero_gives_no_change() -> None:
    for norm in NORMS:
        change = to_hyperplane(torch.rand(2, 3), torch.zeros(2, 3), torch.ones(2), norm)
        assert torch.equal(change, torch.zeros(2, 3))


@pytest.mark.parametrize("factor", [1.0, 1e-30])
@pytest.mark.parametrize("norm", NORMS)
def test_a_gradient_of_any_size_leads_to_the_boundary(
    linear: nn.Module, gray_images: tuple[Tensor, Tensor], norm: Norm, factor: float
) -> None:
    class Scaled(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return factor * linear(images)

    images, labels = gray_images
    attack = configure(ATTACKS, f"fab:norm={norm}:steps=10")
    adversarial = minimise(attack, Scaled().eval(), images, labels)
    plain = minimise(attack, linear, images, labels)
    assert bool((linear(adversarial).argmax(1) != labels).all())
    torch.testing.assert_close(
        distances(images, adversarial, norm), distances(images, plain, norm), rtol=2e-2, atol=0
    )


@pytest.mark.parametrize(("norm", "factor"), [("linf", 1.1), ("l2", 1.15), ("l1", 1.3)])
def test_it_is_about_as_near_as_fmn(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor], norm: Norm, factor: float
) -> None:
    images, labels = (part[:20] for part in digits)
    medians = []
    for spec in (f"fab:norm={norm}:steps=30", f"fmn:norm={norm}"):
        with seeded(torch.device("cpu"), 0):
            adversarial = minimise(configure(ATTACKS, spec), trained_cnn, images, labels)
        assert bool((trained_cnn(adversarial).argmax(1) != labels).all())
        medians.append(float(distances(images, adversarial, norm).median()))
    assert medians[0] < factor * medians[1]


def test_restarts_come_no_farther_and_misclassified_images_stay(
    trained_cnn: nn.Module, digits: tuple[Tensor, Tensor]
) -> None:
    images, labels = digits[0][:12], digits[1][:12].clone()
    labels[::3] = (labels[::3] + 1) % 10
    found = []
    for restarts in (1, 2):
        with seeded(torch.device("cpu"), 0):
            attack = configure(ATTACKS, f"fab:steps=6:restarts={restarts}:candidates=4")
            adversarial = minimise(attack, trained_cnn, images, labels)
        assert torch.equal(adversarial[::3], images[::3])
        found.append(distances(images, adversarial, "linf"))
    assert float(found[1].mean()) <= float(found[0].mean()) + 1e-4


def test_an_image_without_a_boundary_comes_back_unchanged() -> None:
    class Flat(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :3] * 0 + torch.tensor([2.0, 1.0, 0.0])

    images = torch.rand(4, 1, 3, 3)
    adversarial = minimise(
        configure(ATTACKS, "fab:steps=3:restarts=2"),
        Flat().eval(),
        images,
        torch.zeros(4, dtype=torch.long),
    )
    assert torch.equal(adversarial, images)
