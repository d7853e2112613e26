"""Generator and critic of a WGAN-GP (Gulrajani et al., NeurIPS 2017, arXiv:1704.00028)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from defenses._transposed_convolution import doubling

_KERNEL = 5


def gradient_penalty(critic: nn.Module, images: Tensor, fakes: Tensor) -> Tensor:
    """Mean squared deviation from 1 of the critic's gradient norm (WGAN-GP, equation 3).

    The gradients are taken at random points between real and generated images.

    Args:
        critic: module from images to scores (n,).
        images: real images (n, channels, height, width).
        fakes: generated images of the same shape.
    """
    share = torch.rand(len(images), 1, 1, 1, device=images.device)
    between = torch.lerp(images, fakes, share).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
    return penalty


class Generator(nn.Module):
    """Linear layer, three transposed 5x5 convolutions of stride 2, and a sigmoid (Defense-GAN's).

    Attributes:
        sizes: heights and widths of the maps from the image to the smallest map, four each.
        start: (channels, height, width) of the smallest map.
    """

    def __init__(
        self, shape: tuple[int, int, int], latent: int, width: int, batch_norm: bool
    ) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        self.sizes = [_halvings(self.height), _halvings(self.width)]
        self.start = (4 * width, self.sizes[0][3], self.sizes[1][3])
        self.linear = nn.Linear(latent, self.start[0] * self.start[1] * self.start[2])
        self.up1 = doubling(4 * width, 2 * width, _KERNEL)
        self.up2 = doubling(2 * width, width, _KERNEL)
        self.up3 = doubling(width, channels, _KERNEL)
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(maps) if batch_norm else nn.Identity()
            for maps in (4 * width, 2 * width, width)
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, z: Tensor) -> Tensor:
        """Images (n, channels, height, width) in [0, 1] of latent codes (n, latent)."""
        maps = torch.relu(self.norms[0](self.linear(z).view(-1, *self.start)))
        maps = torch.relu(self.norms[1](self.crop(self.up1(maps), 2)))
        maps = torch.relu(self.norms[2](self.crop(self.up2(maps), 1)))
        return torch.sigmoid(self.crop(self.up3(maps), 0))

    def crop(self, maps: Tensor, level: int) -> Tensor:
        """The maps cropped to the size of a level, such as 8x8 to 7x7 with 28x28 images."""
        return maps[..., : self.sizes[0][level], : self.sizes[1][level]]


class Critic(nn.Module):
    """Three 5x5 convolutions of stride 2 with LeakyReLU 0.2, then a linear layer.

    There is no batch normalization.
    """

    def __init__(self, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        channels, height, breadth = shape
        widths = [channels, width, 2 * width, 4 * width]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, _KERNEL, stride=2, padding=_KERNEL // 2)
            for inputs, outputs in pairwise(widths)
        )
        self.linear = nn.Linear(widths[-1] * _halvings(height)[3] * _halvings(breadth)[3], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Scores (n,) of images (n, channels, height, width)."""
        for convolution in self.convolutions:
            images = leaky_relu(convolution(images), 0.2)
        scores: Tensor = self.linear(images.flatten(1)).squeeze(1)
        return scores


def _halvings(size: int) -> list[int]:
    """The size halved three times, rounded up: 28 gives [28, 14, 7, 4]."""
    sizes = [size]
    for _ in range(3):
        sizes.append((sizes[-1] + 1) // 2)
    return sizes
