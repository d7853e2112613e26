"""GeoDA: distances against a closed form, its schedule of queries, and models it cannot break."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from attacks.geoda import GeoDA
from bench.geometry import distances

pytest.importorskip("attacks._art")


class Plane(nn.Module):
    """Two classes that a smooth plane divides."""

    def __init__(self) -> None:
        super().__init__()
        rows = torch.linspace(-1, 1, 8)
        self.register_buffer("weight", (rows[:, None] + 0.5 * rows + 0.1).flatten())

    def gap(self, images: Tensor) -> Tensor:
        return (images.flatten(1) - 0.5) @ self.weight

    def forward(self, images: Tensor) -> Tensor:
        gap = self.gap(images)
        return torch.stack([gap, -gap], dim=1)


@pytest.mark.parametrize(("norm", "dual", "longest"), [("l2", 2.0, 1.2), ("linf", 1.0, 1.2)])
def test_the_nearest_point_of_a_plane_is_found(norm: str, dual: float, longest: float) -> None:
    model = Plane().eval()
    direction = model.weight / model.weight.norm()
    images = (0.5 + torch.linspace(0.3, 1.0, 6)[:, None] * direction).view(6, 1, 8, 8)
    labels = model(images).argmax(1)
    np.random.seed(0)
    attack = GeoDA(queries=1500, norm=norm, sub_dim=8)  # type: ignore[arg-type]
    adversarial = attack.minimise(model, images, labels)

    assert bool((model(adversarial).argmax(1) != labels).all())
    nearest = model.gap(images).abs() / model.weight.norm(p=1 if dual == 1 else 2)
    share = distances(images, adversarial, norm) / nearest  # type: ignore[arg-type]
    assert float(share.min()) > 0.99
    assert float(share.median()) < longest


@given(st.integers(1, 20_000), st.floats(0.05, 1.0))
def test_queries_add_up_and_grow_as_the_paper_says(queries: int, lambda_param: float) -> None:
    schedule = GeoDA(queries=queries, lambda_param=lambda_param)._schedule()
    assert abs(sum(schedule) - queries) <= len(schedule)
    assert len(schedule) == 1 or schedule[0] >= 50
    assert schedule == sorted(schedule)
    for earlier, later in pairwise(schedule):
        assert later / earlier == pytest.approx(lambda_param ** (-2 / 3), rel=0.05)


@pytest.mark.parametrize("label", [0, 1])
def test_a_model_that_never_changes_its_mind_ends_the_search(label: int) -> None:
    class Stubborn(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.tensor([[1.0, 0.0]]).expand(len(images), 2)

    images = torch.rand(2, 1, 8, 8)
    labels = torch.full((2,), label)
    assert torch.equal(GeoDA(queries=100).minimise(Stubborn().eval(), images, labels), images)
