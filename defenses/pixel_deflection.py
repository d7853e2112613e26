"""Pixel deflection: Prakash, Moran, Garber, DiLillo, Storer, CVPR 2018 (arXiv:1801.08926)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense, Fraction, NonNegativeFloat
from bench.registry import register_defense
from defenses._wavelets import bayes_shrink

_COARSE_LEVELS = 3
"""Number of halvings, of those that the image has room for, which the denoising leaves out."""


@register_defense("pixel_deflection")
@dataclass(frozen=True)
class PixelDeflection(Defense):
    """Pixel deflection: a few pixels become random neighbors, then wavelets are thresholded.

    Source: Prakash et al., CVPR 2018 (arXiv:1801.08926), official code iamaaditya/pixel-deflection,
    which is followed for the choice of pixels (in each channel apart) and for the denoising (Haar
    wavelets, soft thresholds by BayesShrink, all but the three coarsest levels and at least one).

    The paper prefers pixels that a map of the classifier's activations finds unimportant. A
    purifier does not see the classifier, so every pixel is as likely. The counts for 224x224 pixels
    became shares. Pixels are deflected all at once and none twice, where the official code may
    deflect a deflected one. Each channel is denoised as it is; the official code first converts
    colors to YCbCr and stretches each channel to [0, 1].

    The gradient is exact: that of a deflected pixel goes to the neighbor that it became.

    Attributes:
        share: share of the pixels of each channel that are deflected, in [0, 1], rounded up; the
            official code takes 200 of 224x224.
        window: largest distance of the neighbor along either axis as a share of that side, in
            [0, 1], at least one pixel; the official code takes 10 of 224.
        sigma: standard deviation of the noise that the denoising assumes, at least 0; 0 turns it
            off.
    """

    stochastic: ClassVar[bool] = True
    independent_draws: ClassVar[bool] = True
    inference_parameters: ClassVar[frozenset[str]] = frozenset({"share", "window", "sigma"})

    share: Fraction = 0.004
    window: Fraction = 0.045
    sigma: NonNegativeFloat = 0.04

    def build(self, data: DataInfo) -> nn.Module:  # noqa: ARG002 - the same for all data
        """The deflections and the denoising; nothing to train."""
        return _PixelDeflection(self.share, self.window, self.sigma)


class _PixelDeflection(nn.Module):
    def __init__(self, share: float, window: float, sigma: float) -> None:
        super().__init__()
        self.share = share
        self.window = window
        self.sigma = sigma

    def forward(self, images: Tensor) -> Tensor:
        """The deflected and denoised images, same shape."""
        deflected = images.flatten(2).gather(2, self._sources(images)).view_as(images)
        if self.sigma == 0:
            return deflected

        room = min(images.shape[2:]).bit_length() - 1  # Whole halvings of the shorter side.
        levels = max(1, room - _COARSE_LEVELS)
        return bayes_shrink(deflected, self.sigma, levels).clamp(0, 1)

    def _sources(self, images: Tensor) -> Tensor:
        """The pixel that each pixel becomes, which is itself for most, (n, channels, pixels)."""
        n, channels, height, width = images.shape
        pixels = height * width
        chance = torch.rand(n, channels, pixels, device=images.device)
        chosen = chance.topk(math.ceil(self.share * pixels)).indices

        row = self._neighbor(torch.div(chosen, width, rounding_mode="floor"), height)
        column = self._neighbor(chosen % width, width)
        itself = torch.arange(pixels, device=images.device).expand(n, channels, -1)
        return itself.scatter(2, chosen, row * width + column)

    def _neighbor(self, position: Tensor, length: int) -> Tensor:
        """Random positions along an axis, in the window around positions and inside the image."""
        reach = max(1, round(self.window * length))
        first = (position - reach).clamp(min=0)
        last = (position + reach).clamp(max=length - 1)
        draw = torch.rand(position.shape, device=position.device)
        return torch.minimum(first + (draw * (last - first + 1)).long(), last)
