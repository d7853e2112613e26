"""Score network: which way the noise lies in an image, without knowing how much of it there is."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, pad, pixel_shuffle, pixel_unshuffle, silu


class ScoreNetwork(nn.Module):
    """The score of noisy images times the level of their noise, which the network is not told.

    The form is that of NCSNv2 (Song, Ermon, NeurIPS 2020, arXiv:2006.09011): of an image plus
    Gaussian noise of any level, the network returns the noise of unit level with the opposite
    sign. Residual blocks work on squares of two by two pixels, which are taken as channels.

    Args:
        channels: number of channels of the images.
        width: number of channels of every map.
        blocks: number of residual blocks.
    """

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.enter = _conv(4 * channels, width)
        self.blocks = nn.Sequential(*(_Residual(width) for _ in range(blocks)))
        self.norm = _norm(width)
        self.leave = _conv(width, 4 * channels)

    def forward(self, images: Tensor) -> Tensor:
        """Scores times the noise level, of the shape of the images (n, channels, height, width)."""
        height, width = images.shape[-2:]
        even = pad(2 * images - 1, (0, width % 2, 0, height % 2), mode="replicate")

        maps = self.blocks(self.enter(pixel_unshuffle(even, 2)))
        scores: Tensor = pixel_shuffle(self.leave(silu(self.norm(maps))), 2)
        return scores[..., :height, :width]


class _Residual(nn.Module):
    """Two convolutions, each after a normalization and SiLU, whose result is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _norm(width), nn.SiLU(), _conv(width, width),
            _norm(width), nn.SiLU(), _conv(width, width),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        result: Tensor = maps + self.layers(maps)
        return result


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _norm(width: int) -> nn.GroupNorm:
    """Group normalization; the groups have eight channels, or as many as divide the width."""
    return nn.GroupNorm(width // math.gcd(width, 8), width)


def noise_levels(largest: float, smallest: float, number: int, device: torch.device) -> Tensor:
    """A geometric sequence of noise levels (number,), from the largest to the smallest."""
    return torch.linspace(math.log(largest), math.log(smallest), number, device=device).exp()


def score_matching_loss(network: nn.Module, images: Tensor, levels: Tensor) -> Tensor:
    """Denoising score matching over noise levels (Song, Ermon 2019, equations 5 and 6).

    Each image gets noise of one of the levels. The squared error of the score is weighted by the
    squared level, so that all levels count alike; it is the mean over pixels, not half of the sum.

    Args:
        network: network that returns the score times the level.
        images: clean images (n, channels, height, width).
        levels: noise levels (number,).
    """
    index = torch.randint(len(levels), (len(images),), device=images.device)
    noise = torch.randn_like(images)
    noisy = images + levels[index].view(-1, 1, 1, 1) * noise
    return mse_loss(network(noisy), -noise)
