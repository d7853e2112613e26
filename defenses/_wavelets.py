"""Wavelet denoising: the Haar transform and the BayesShrink threshold."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle


def bayes_shrink(images: Tensor, noise: float, levels: int) -> Tensor:
    """The images without what the Haar transform shows to be no larger than noise.

    The details of each level are moved towards zero by the threshold of Chang, Yu, Vetterli 2000
    (BayesShrink), one for each orientation, channel and image.

    Args:
        images: (n, channels, height, width), of any size.
        noise: standard deviation of the noise that is assumed.
        levels: number of halvings, at least 0.

    Returns:
        images of the same shape.
    """
    if levels == 0:
        return images

    height, width = images.shape[2:]
    coarse, *details = _haar(*_blocks(images))
    coarse = bayes_shrink(coarse, noise, levels - 1)
    pixels = _haar(coarse, *(_shrunk(detail, noise) for detail in details))

    joined = pixel_shuffle(torch.stack(pixels, dim=2).flatten(1, 2), 2)
    return joined[:, :, :height, :width]


def _blocks(images: Tensor) -> tuple[Tensor, ...]:
    """The four pixels of each 2x2 block, (n, channels, rows, columns) each.

    An odd row or column at the end is doubled, as the symmetric extension of the transform has it.
    """
    for axis in (2, 3):
        if images.shape[axis] % 2:
            last = images.narrow(axis, images.shape[axis] - 1, 1)
            images = torch.cat([images, last], dim=axis)

    blocks: tuple[Tensor, ...] = pixel_unshuffle(images, 2).unflatten(1, (-1, 4)).unbind(2)
    return blocks


def _haar(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The orthonormal Haar transform of 2x2 blocks, which is its own inverse."""
    return (
        (a + b + c + d) / 2,
        (a - b + c - d) / 2,
        (a + b - c - d) / 2,
        (a - b - c + d) / 2,
    )


def _shrunk(detail: Tensor, noise: float) -> Tensor:
    """Coefficients (n, channels, rows, columns) after the soft threshold of BayesShrink."""
    energy = detail.square().mean(dim=(2, 3), keepdim=True)
    signal = (energy - noise**2).clamp_min(torch.finfo(detail.dtype).eps)
    threshold = noise**2 * signal.rsqrt()
    return detail - detail.clamp(-threshold, threshold)
