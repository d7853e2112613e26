"""Distances and projections, in L0 above all, on images of any size and content."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from bench.geometry import Norm, distances, within
from bench.stages.crafting import random_noise
from bench.stages.guard import check_ball

NORMS: tuple[Norm, ...] = ("linf", "l2", "l1", "l0")


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Two batches of images of which many pixels agree, some in one channel only."""
    shape = [draw(st.integers(1, largest)) for largest in (3, 3, 6, 6)]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    images = torch.rand(shape, generator=generator)
    others = torch.rand(shape, generator=generator)
    kept = torch.rand(shape, generator=generator) < draw(st.floats(0, 1))
    return images, torch.where(kept, images, others)


def changed(images: Tensor, others: Tensor) -> list[int]:
    """The number of pixels that differ in a channel, counted one by one."""
    counts = []
    for image, other in zip(images, others, strict=True):
        _, height, width = image.shape
        counts.append(
            sum(
                bool((image[:, row, column] != other[:, row, column]).any())
                for row in range(height)
                for column in range(width)
            )
        )
    return counts


@given(pairs())
def test_l0_counts_pixels_that_differ_in_any_channel(pair: tuple[Tensor, Tensor]) -> None:
    assert distances(*pair, "l0").tolist() == changed(*pair)


@given(pairs(), st.floats(0, 40), st.sampled_from(NORMS))
def test_a_projection_is_within_the_ball_and_the_box(
    pair: tuple[Tensor, Tensor], eps: float, norm: Norm
) -> None:
    images, others = pair
    projected = within(images, others, eps, norm)
    check_ball("projection", images, projected, eps, norm)
    assert bool(((projected >= 0) & (projected <= 1)).all())


@given(pairs(), st.sampled_from(NORMS))
def test_an_image_in_the_ball_stays(pair: tuple[Tensor, Tensor], norm: Norm) -> None:
    images, others = pair
    eps = float(distances(images, others, norm).max())
    torch.testing.assert_close(within(images, others, eps, norm), others, rtol=0, atol=1e-6)


@given(pairs(), st.floats(0, 40))
def test_in_l0_the_largest_changes_stay_and_the_others_go(
    pair: tuple[Tensor, Tensor], eps: float
) -> None:
    images, others = pair
    projected = within(images, others, eps, "l0")
    sizes = (others - images).abs().sum(dim=1)
    is_kept = (projected != images).any(dim=1)
    for size, kept, count in zip(sizes, is_kept, changed(images, others), strict=True):
        assert int(kept.sum()) == min(count, int(eps))
        if 0 < int(kept.sum()) < count:
            dropped = ~kept & (size > 0)
            assert float(size[kept].min()) >= float(size[dropped].max())


@given(pairs(), st.floats(0, 40), st.integers(0, 100))
def test_sparse_noise_changes_as_many_pixels_as_the_budget_says(
    pair: tuple[Tensor, Tensor], eps: float, seed: int
) -> None:
    images, _ = pair
    torch.manual_seed(seed)
    noisy = random_noise(images, eps, "l0")
    pixels = images.shape[2] * images.shape[3]
    assert distances(images, noisy, "l0").tolist() == [min(int(eps), pixels)] * len(images)
    check_ball("noise", images, noisy, eps, "l0")
    assert bool(((noisy >= 0) & (noisy <= 1)).all())


def test_sparse_noise_falls_on_every_pixel_and_takes_every_value() -> None:
    torch.manual_seed(0)
    noisy = random_noise(torch.full((2000, 1, 4, 4), 0.5), 2.0, "l0")
    is_changed = (noisy != 0.5).float()
    assert float(is_changed.mean(dim=0).min()) > 0.09
    assert float(is_changed.mean(dim=0).max()) < 0.16
    values = noisy[noisy != 0.5]
    assert float(values.min()) < 0.01
    assert float(values.max()) > 0.99
    assert float(values.mean()) == pytest.approx(0.5, abs=0.02)


@given(st.sampled_from(NORMS), st.floats(0.1, 4), st.integers(0, 100))
def test_noise_is_as_long_as_the_budget_where_the_box_allows(
    norm: Norm, eps: float, seed: int
) -> None:
    assume(norm != "linf" or eps <= 0.4)
    torch.manual_seed(seed)
    images = torch.full((2, 1, 8, 8), 0.5)
    length = distances(images, random_noise(images, eps, norm), norm)
    wanted = float(int(eps)) if norm == "l0" else eps
    assert float(length.max()) <= wanted + 1e-4
    assert float(length.min()) >= 0.8 * wanted
