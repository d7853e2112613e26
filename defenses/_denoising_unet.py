"""Network of a denoising diffusion model: the U-Net of Ho, Jain, Abbeel (arXiv:2006.11239)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

_GROUPS = 32
"""Largest number of groups of a normalization."""

_GROUP_SIZE = 4
"""Least number of channels of a group where there are several."""


@dataclass(frozen=True)
class UNetSizes:
    """Sizes of the network: parameters of `Diffusion`, which describes them."""

    channels: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    dropout: float
    timesteps: int

    @property
    def features(self) -> int:
        """Number of features of a time."""
        return 4 * self.channels

    @property
    def widths(self) -> list[int]:
        """Numbers of channels of the levels."""
        return [multiplier * self.channels for multiplier in self.multipliers]


class DenoisingUNet(nn.Module):
    """The noise in a noisy image, predicted from the image and its time (the paper's appendix B).

    Each level halves the maps of the one before it, rounded up. Every layer on the way down leaves
    a skip connection, which a residual block on the way up joins. The maps are enlarged to the size
    of the next skip connection, so that images may have any size.

    Args:
        image_channels: number of channels of an image.
        sizes: sizes of the network.
    """

    waves: Tensor

    def __init__(self, image_channels: int, sizes: UNetSizes) -> None:
        super().__init__()
        self.register_buffer("waves", _waves(sizes.timesteps, sizes.channels), persistent=False)
        self.time = nn.Sequential(
            nn.Linear(sizes.channels, sizes.features),
            nn.SiLU(),
            nn.Linear(sizes.features, sizes.features),
            nn.SiLU(),
        )
        skips = [sizes.channels]
        self.enter = _conv(image_channels, sizes.channels)
        self.down = _down(sizes, skips)
        self.middle = nn.ModuleList(
            _Block(skips[-1], skips[-1], sizes, attention=attention) for attention in (True, False)
        )
        self.up = _up(sizes, skips)
        self.leave = nn.Sequential(
            _norm(sizes.widths[0]), nn.SiLU(), _zero(_conv(sizes.widths[0], image_channels))
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, times: Tensor) -> Tensor:
        """The predicted noise, of the shape of the images.

        Args:
            images: noisy images (n, channels, height, width), made of images in [-1, 1].
            times: numbers of steps of noise minus one, int64 (n,) in [0, timesteps), or (1,) where
                all images have the same.
        """
        features = self.time(self.waves[times])
        skips = [self.enter(images)]
        for layer in self.down:
            skips.append(layer(skips[-1], features))

        maps = skips[-1]
        for layer in self.middle:
            maps = layer(maps, features)

        for layer in self.up:
            if isinstance(layer, _Doubling):
                maps = layer(maps, skips[-1])
            else:
                maps = layer(torch.cat([maps, skips.pop()], dim=1), features)

        noise: Tensor = self.leave(maps)
        return noise


def _down(sizes: UNetSizes, skips: list[int]) -> nn.ModuleList:
    """The layers on the way down; the number of channels of each is added to `skips`."""
    layers = nn.ModuleList()

    for level, width in enumerate(sizes.widths):
        if level > 0:
            layers.append(_Halving(skips[-1]))
            skips.append(skips[-1])
        for _ in range(sizes.blocks):
            layers.append(_Block(skips[-1], width, sizes, attention=level in sizes.attention))
            skips.append(width)

    return layers


def _up(sizes: UNetSizes, skips: list[int]) -> nn.ModuleList:
    """The layers on the way up, whose blocks take `skips` from the last to the first."""
    layers = nn.ModuleList()
    maps = skips[-1]

    for level, width in reversed(list(enumerate(sizes.widths))):
        for _ in range(sizes.blocks + 1):
            inputs = maps + skips.pop()
            layers.append(_Block(inputs, width, sizes, attention=level in sizes.attention))
            maps = width
        if level > 0:
            layers.append(_Doubling(maps))

    return layers


class _Block(nn.Module):
    """Residual block of two convolutions that is told the time, with or without self-attention."""

    def __init__(self, inputs: int, outputs: int, sizes: UNetSizes, *, attention: bool) -> None:
        super().__init__()
        self.first = nn.Sequential(_norm(inputs), nn.SiLU(), _conv(inputs, outputs))
        self.time = nn.Linear(sizes.features, outputs)
        self.second = nn.Sequential(
            _norm(outputs), nn.SiLU(), nn.Dropout(sizes.dropout), _zero(_conv(outputs, outputs))
        )
        is_same = inputs == outputs
        self.shortcut = nn.Identity() if is_same else nn.Conv2d(inputs, outputs, 1)
        self.attention = _Attention(outputs) if attention else nn.Identity()

    def forward(self, maps: Tensor, features: Tensor) -> Tensor:
        """Maps (n, outputs, height, width) of maps and the features of the times."""
        hidden = self.first(maps) + self.time(features)[:, :, None, None]
        output: Tensor = self.attention(self.shortcut(maps) + self.second(hidden))
        return output


class _Attention(nn.Module):
    """Self-attention of the places of the maps, with one head, added to the maps."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.projections = nn.Conv2d(channels, 3 * channels, 1)
        self.leave = _zero(nn.Conv2d(channels, channels, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        queries, keys, values = self.projections(self.norm(maps)).flatten(2).chunk(3, dim=1)
        similarity = queries.transpose(1, 2) @ keys / math.sqrt(maps.shape[1])
        attended = values @ similarity.softmax(dim=2).transpose(1, 2)
        output: Tensor = maps + self.leave(attended.unflatten(2, maps.shape[2:]))
        return output


class _Halving(nn.Module):
    """Convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, maps: Tensor, _features: Tensor) -> Tensor:
        """Maps of half the size, rounded up."""
        output: Tensor = self.convolution(maps)
        return output


class _Doubling(nn.Module):
    """Enlargement and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = _conv(channels, channels)

    def forward(self, maps: Tensor, skip: Tensor) -> Tensor:
        """Maps of the size of a skip connection."""
        output: Tensor = self.convolution(interpolate(maps, size=skip.shape[-2:]))
        return output


def _waves(timesteps: int, channels: int) -> Tensor:
    """Sines and cosines of the times 0 to T - 1, (timesteps, channels)."""
    half = (channels + 1) // 2
    frequencies = torch.exp(torch.arange(half) * (-math.log(10_000) / max(1, half - 1)))
    phases = torch.arange(timesteps)[:, None] * frequencies
    return torch.cat([phases.sin(), phases.cos()], dim=1)[:, :channels]


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _norm(channels: int) -> nn.GroupNorm:
    """Normalization of groups of channels: 32, or fewer of at least four channels each."""
    most = max(1, min(_GROUPS, channels // _GROUP_SIZE))
    groups = next(groups for groups in range(most, 0, -1) if channels % groups == 0)
    return nn.GroupNorm(groups, channels, eps=1e-6)


def _zero(convolution: nn.Conv2d) -> nn.Conv2d:
    """The convolution with weights of zero, so that a block begins as its shortcut."""
    for weight in convolution.parameters():
        nn.init.zeros_(weight)
    return convolution
