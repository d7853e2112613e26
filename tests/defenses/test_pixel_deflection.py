"""Pixel deflection: where pixels come from, and the denoising against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contracts import DataInfo
from defenses._wavelets import bayes_shrink
from defenses.pixel_deflection import PixelDeflection

Array = NDArray[np.float64]


def purified(images: Tensor, **settings: float) -> Tensor:
    torch.manual_seed(0)
    info = DataInfo(tuple(images.shape[1:]), 10)  # type: ignore[arg-type]
    output: Tensor = PixelDeflection(**settings).build(info)(images)
    return output


def numbered(*shape: int) -> Tensor:
    """Images whose pixels are numbered, so that a value tells where it comes from."""
    pixels = shape[-2] * shape[-1]
    return torch.arange(pixels, dtype=torch.float64).view(shape[-2:]).expand(shape) / pixels


@pytest.mark.parametrize("share", [0.0, 0.004, 0.3, 1.0])
@pytest.mark.parametrize("size", [(28, 28), (17, 40), (5, 4)])
def test_some_pixels_of_each_channel_become_a_neighbor(size: tuple[int, int], share: float) -> None:
    images = numbered(50, 3, *size)
    window = 0.1
    output = purified(images, share=share, window=window, sigma=0)

    pixels = size[0] * size[1]
    source = (output * pixels).round().long()
    itself = torch.arange(pixels).view(size)
    moved = source != itself
    assert int(moved.sum(dim=(2, 3)).max()) <= math.ceil(share * pixels)
    assert bool(moved.any()) == (share > 0)
    for axis, (now, before) in enumerate(
        ((itself // size[1], source // size[1]), (itself % size[1], source % size[1]))
    ):
        reach = max(1, round(window * size[axis]))
        assert int((now - before).abs().max()) == (reach if share > 0 else 0)
    if share == 0.3:
        assert not torch.equal(moved[0], moved[1])
        assert not torch.equal(moved[:, 0], moved[:, 1])


def test_neighbors_are_equally_likely_also_at_the_edge() -> None:
    images = numbered(4000, 1, 4, 5)
    output = purified(images, share=1.0, window=0.2, sigma=0)
    source = (output * 20).round().long()
    corner, counts = source[:, 0, 0, 0].unique(return_counts=True)
    assert corner.tolist() == [0, 1, 5, 6]
    assert counts.tolist() == pytest.approx([1000] * 4, rel=0.12)
    inner, counts = source[:, 0, 1, 1].unique(return_counts=True)
    assert inner.tolist() == [0, 1, 2, 5, 6, 7, 10, 11, 12]
    assert counts.tolist() == pytest.approx([444] * 9, rel=0.2)


def plain_shrink(image: Array, noise: float, levels: int) -> Array:
    """One channel, block by block (Chang, Yu, Vetterli 2000, with Haar wavelets)."""
    if levels == 0:
        return image

    height, width = image.shape
    padded = np.pad(image, ((0, height % 2), (0, width % 2)), mode="symmetric")
    bands = np.zeros((4, padded.shape[0] // 2, padded.shape[1] // 2))
    signs = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    for i, j in np.ndindex(*bands.shape[1:]):
        block = padded[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].ravel()
        bands[:, i, j] = signs @ block / 2

    for index in (1, 2, 3):
        variance = max(float((bands[index] ** 2).mean()) - noise**2, np.finfo(np.float64).eps)
        threshold = noise**2 / math.sqrt(variance)
        bands[index] = np.sign(bands[index]) * np.maximum(np.abs(bands[index]) - threshold, 0)
    bands[0] = plain_shrink(bands[0], noise, levels - 1)

    for i, j in np.ndindex(*bands.shape[1:]):
        padded[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = (signs.T @ bands[:, i, j] / 2).reshape(2, 2)
    return padded[:height, :width]


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (5, 4), (1, 3)])
@pytest.mark.parametrize("levels", [0, 1, 2, 3])
@pytest.mark.parametrize("noise", [0.0, 0.04, 0.3])
def test_the_denoising_is_the_plain_one(size: tuple[int, int], levels: int, noise: float) -> None:
    images = torch.rand(2, 3, *size, dtype=torch.float64)
    output = bayes_shrink(images, noise, levels)
    for index in np.ndindex(2, 3):
        expected = plain_shrink(images[index].numpy(), noise, levels)
        np.testing.assert_allclose(output[index].numpy(), expected, atol=1e-12)
    if noise == 0:
        torch.testing.assert_close(output, images)


@pytest.mark.parametrize(("side", "levels"), [(4, 1), (28, 1), (32, 2), (224, 4)])
def test_the_three_coarsest_levels_are_left(side: int, levels: int) -> None:
    images = torch.rand(1, 1, side, side)
    output = purified(images, share=0.0, sigma=0.2)
    torch.testing.assert_close(output, bayes_shrink(images, 0.2, levels).clamp(0, 1))


def test_noise_falls_and_edges_stay() -> None:
    clean = torch.zeros(1, 1, 32, 32)
    clean[:, :, 8:24, 8:24] = 1
    noisy = (clean + 0.04 * torch.randn(clean.shape)).clamp(0, 1)
    output = purified(noisy, share=0.0)
    assert float((output - clean).square().mean()) < 0.6 * float((noisy - clean).square().mean())
    assert float((output - clean).abs().max()) < 0.3
