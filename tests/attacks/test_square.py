"""The Square attack: what it asks of the model, its squares, and linear models."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from attacks import _squares
from bench.geometry import Norm, distances, within
from bench.plugins.configured import configure
from bench.registry import ATTACKS
from bench.stages.crafting import perturb
from bench.stages.seeding import seeded


class Scores(nn.Module):
    """A linear model of two classes that gives logits only, and records its calls."""

    def __init__(self, bias: float = 50.0, noise: float = 0.0, eot: int = 1) -> None:
        super().__init__()
        weight = torch.randn(64, generator=torch.Generator().manual_seed(5))
        self.register_buffer("weight", weight)
        self.bias = bias
        self.noise = noise
        self.eot = eot
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        assert not images.requires_grad
        assert not torch.is_grad_enabled()
        self.batches.append(len(images))
        score = images.flatten(1) @ self.weight + self.bias
        score = score + self.noise * torch.randn_like(score)
        return torch.stack([score, -score], dim=1)


def gray(n: int = 6) -> Tensor:
    return 0.5 + 0.05 * torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def attacked(spec: str, model: nn.Module, images: Tensor, eps: float) -> Tensor:
    labels = torch.zeros(len(images), dtype=torch.long)
    with seeded(torch.device("cpu"), 0):
        return perturb(configure(ATTACKS, spec), model, images, labels, eps)


def test_the_optimum_of_a_linear_model_in_linf() -> None:
    model = Scores().eval()
    adversarial = attacked("square:queries=1500", model, gray(), 0.1)
    best = gray() - 0.1 * model.weight.sign().view(1, 1, 8, 8)
    assert float((adversarial - best).abs().lt(1e-5).float().mean()) > 0.97
    assert model.batches == [6] * 1500


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_starts_from_given_images_where_they_are_perturbed(norm: Norm) -> None:
    """With one query, the first image proposed is the one returned."""
    model = Scores().eval()
    images = gray()
    start = within(
        images, images + 0.02 * images.new_tensor([1.0, -1.0]).repeat(32).view(8, 8), 0.1, norm
    )
    start[0] = images[0]
    model.start = start  # type: ignore[assignment]
    found = attacked(f"square:queries=1:norm={norm}", model, images, 0.1)
    assert torch.allclose(found[1:], start[1:], atol=1e-6)
    assert float(distances(images, found, norm)[0]) == pytest.approx(0.1, rel=1e-3)


def test_further_restarts_start_anywhere() -> None:
    model = Scores().eval()
    model.start = gray() + 0.01  # type: ignore[assignment]
    alone = attacked("square:queries=1", model, gray(), 0.1)
    several = attacked("square:queries=1:restarts=5", model, gray(), 0.1)
    assert torch.allclose(alone, model.start)
    assert not torch.allclose(several, model.start, atol=1e-3)


def test_most_of_the_optimum_of_a_linear_model_in_l2() -> None:
    model = Scores().eval()
    images = gray()
    adversarial = attacked("square:norm=l2:queries=2000", model, images, 0.5)
    gain = -((adversarial - images).flatten(1) @ model.weight) / (0.5 * model.weight.norm())
    start = attacked("square:norm=l2:queries=1", model, images, 0.5)
    assert float(gain.min()) > 0.6
    assert float((-(start - images).flatten(1) @ model.weight).max()) < 0.3 * model.weight.norm()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_broken_images_leave(norm: str) -> None:
    images = gray(12)
    model = Scores().eval()
    model.bias = -float((images.flatten(1) @ model.weight).min()) + 0.3
    eps = 0.05 if norm == "linf" else 0.4
    attacked(f"square:norm={norm}:queries=200:restarts=2", model, images, eps)
    assert model.batches[0] == 12 > model.batches[-1]
    assert sum(model.batches) < 200 * 12


class Lucky(nn.Module):
    """A model of two classes that is wrong in a tenth of its calls, at random."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += len(images)
        lost = (torch.rand(len(images)) < 0.1).float()
        return torch.stack([1 - 2 * lost, torch.zeros(len(images))], dim=1)


@pytest.mark.parametrize("spec", ["square:queries=100", "apgd:restarts=30:steps=3"])
def test_one_lucky_draw_does_not_end_the_search(spec: str) -> None:
    model = Lucky().eval()
    attacked(spec, model, gray(), 0.1)
    assert model.calls > 6 * 90


def test_a_query_averages_over_the_draws() -> None:
    plain, averaged = Scores(noise=3.0).eval(), Scores(noise=3.0, eot=4).eval()
    for model in (plain, averaged):
        attacked("square:queries=30", model, gray(), 0.1)
    assert len(plain.batches) == 30
    assert len(averaged.batches) == 120


@settings(max_examples=60, deadline=None)
@given(
    norm=st.sampled_from(["linf", "l2"]),
    eps=st.floats(1e-3, 2),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    p_init=st.floats(0.01, 1),
    seed=st.integers(0, 99),
)
def test_it_stays_in_every_ball_of_images_of_every_shape(
    norm: Norm, eps: float, shape: tuple[int, int, int], p_init: float, seed: int
) -> None:
    torch.manual_seed(seed)
    images = torch.rand(2, *shape)
    model = (
        nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 3)).eval().requires_grad_(False)
    )
    attack = configure(ATTACKS, f"square:norm={norm}:p_init={p_init}:queries=6")
    adversarial = perturb(attack, model, images, torch.tensor([0, 1]), eps)
    assert float(distances(images, adversarial, norm).max()) <= eps + 1e-5


def test_the_margin_never_rises(trained_cnn: nn.Module, digits: tuple[Tensor, Tensor]) -> None:
    images, labels = (part[:20] for part in digits)
    right = []
    for queries in (1, 40, 200):
        with seeded(torch.device("cpu"), 0):
            adversarial = perturb(
                configure(ATTACKS, f"square:queries={queries}"), trained_cnn, images, labels, 0.15
            )
        right.append(float((trained_cnn(adversarial).argmax(1) == labels).float().mean()))
    assert right[0] > right[2]
    assert right[0] >= right[1] >= right[2] - 0.05


def test_the_side_follows_the_papers_schedule() -> None:
    attack = configure(ATTACKS, "square:queries=10000").plugin
    images = torch.zeros(1, 1, 28, 28)
    ends = [0, 10, 11, 50, 51, 200, 201, 500, 501, 1000, 1001, 2001, 4001, 6001, 8001]
    shares = [1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 64, 128, 256, 512]
    expected = [max(1, round((0.8 / share * 784) ** 0.5)) for share in shares]
    assert [attack._side(query, images) for query in ends] == expected
    halved = configure(ATTACKS, "square:queries=5000").plugin
    assert halved._side(6, images) == attack._side(12, images)


def test_a_tile_has_the_papers_values() -> None:
    center = 1 + 1 / 4 + 1 / 9
    ring, border = 1 / 4 + 1 / 9, 1 / 9
    cpu = torch.device("cpu")
    assert _squares.tile(5, 5, cpu)[2].tolist() == pytest.approx(
        [border, ring, center, ring, border]
    )
    assert _squares.tile(5, 2, cpu).shape == (5, 2)
    tile = _squares._tile(torch.zeros(40, 1, 9, 9), 5)
    torch.testing.assert_close(tile.flatten(1).norm(dim=1), torch.ones(40))
    assert torch.unique(tile.flatten(1), dim=0).shape[0] == 2  # upright and turned
    assert bool((tile.amin(dim=(1, 2, 3)) < 0).all())


@pytest.mark.parametrize("side", [3, 5, 8])
def test_a_new_tile_moves_budget_and_keeps_the_length(side: int) -> None:
    torch.manual_seed(0)
    images = torch.full((50, 2, 8, 8), 0.5)
    first = _squares.first_tiles(images, 0.1)
    torch.testing.assert_close((first - images).flatten(1).norm(dim=1), torch.full((50,), 0.1))
    second = _squares.new_tile(images, first, side, 0.1)
    assert float((second - images).flatten(1).norm(dim=1).max()) < 0.1 + 1e-5
    assert bool((second != first).flatten(1).any(dim=1).all())


def test_positions_differ_between_images() -> None:
    torch.manual_seed(0)
    images = torch.full((40, 1, 8, 8), 0.5)
    changed = _squares.new_square(images, images, 2, 0.1) != images
    assert torch.equal(changed.flatten(1).sum(dim=1), torch.full((40,), 4))
    assert len(torch.unique(changed.flatten(1), dim=0)) > 20
