"""The generator and the critic of a WGAN-GP (Gulrajani et al., NeurIPS 2017, arXiv:1704.00028), as in Defense-GAN."""

from __future__ import annotations

from itertools import pairwise, product

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear, pixel_shuffle


def penalty(critic: nn.Module, images: Tensor, fakes: Tensor) -> Tensor:
    """Mean squared deviation from 1 of the critic's gradient norm between real and fake images (WGAN-GP, eq. 3)."""
    share = torch.rand(len(images), 1, 1, 1, device=images.device)
    between = torch.lerp(images, fakes, share).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
    return penalty


class Generator(nn.Module):
    """Linear, then three transposed 5x5 convolutions of stride 2; sigmoid."""

    def __init__(self, shape: tuple[int, int, int], latent: int, width: int, batch_norm: bool) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        self.sizes = [_halvings(self.height), _halvings(self.width)]
        self.start = (4 * width, self.sizes[0][3], self.sizes[1][3])
        self.linear = nn.Linear(latent, self.start[0] * self.start[1] * self.start[2])
        self.up1 = _doubling(4 * width, 2 * width)
        self.up2 = _doubling(2 * width, width)
        self.up3 = _doubling(width, channels)
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(maps) if batch_norm else nn.Identity() for maps in (4 * width, 2 * width, width)
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, z: Tensor) -> Tensor:
        """Images (n, c, h, w) in [0, 1] of z (n, latent)."""
        maps = torch.relu(self.norms[0](self.linear(z).view(-1, *self.start)))
        maps = torch.relu(self.norms[1](self.crop(self.up1(maps), 2)))
        maps = torch.relu(self.norms[2](self.crop(self.up2(maps), 1)))
        return torch.sigmoid(self.crop(self.up3(maps), 0))

    def crop(self, maps: Tensor, level: int) -> Tensor:
        """Cut a doubled map to the size of that level, as 8x8 to 7x7 on 28x28 images."""
        return maps[..., : self.sizes[0][level], : self.sizes[1][level]]


class Inference:
    """The generator in evaluation mode, as the same function with fewer passes over memory.

    The normalisations are folded into the weights before them, maps lie channels last, and the last layer is an
    ordinary convolution to the four phases of the doubled image.
    """

    @torch.no_grad()
    def __init__(self, generator: Generator) -> None:
        self.generator, norms = generator, generator.norms
        channels, pixels = generator.start[0], generator.start[1] * generator.start[2]
        scale, shift = (each.repeat_interleave(pixels) for each in _affine(norms[0], generator.linear.weight, channels))
        last = torch.arange(channels * pixels, device=scale.device).view(channels, pixels).t().flatten()
        self.weight = (generator.linear.weight * scale[:, None])[last]
        self.bias = (generator.linear.bias * scale + shift)[last]
        self.ups = [_folded(up, norm) for up, norm in ((generator.up1, norms[1]), (generator.up2, norms[2]))]
        self.phases = _phases(generator.up3.weight), _bias(generator.up3).repeat_interleave(4)

    def __call__(self, z: Tensor) -> Tensor:
        """Images (n, c, h, w) in [0, 1] of z (n, latent)."""
        channels, height, width = self.generator.start
        maps = torch.relu(linear(z, self.weight, self.bias)).view(-1, height, width, channels).permute(0, 3, 1, 2)
        for level, (weight, bias) in zip((2, 1), self.ups, strict=True):
            doubled = conv_transpose2d(maps, weight, bias, stride=2, padding=2, output_padding=1)
            maps = torch.relu(self.generator.crop(doubled, level))
        image = self.generator.crop(pixel_shuffle(conv2d(maps, *self.phases, padding=1), 2), 0)
        return torch.sigmoid(image)


def _affine(norm: nn.Module, like: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """What a layer of normalisation multiplies each channel with and adds to it, in evaluation mode."""
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or norm.running_var is None:
        return like.new_ones(channels), like.new_zeros(channels)
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _folded(up: nn.ConvTranspose2d, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a transposed convolution and the normalisation after it."""
    scale, shift = _affine(norm, up.weight, up.out_channels)
    weight = (up.weight * scale[None, :, None, None]).contiguous(memory_format=torch.channels_last)
    return weight, _bias(up) * scale + shift


def _bias(up: nn.ConvTranspose2d) -> Tensor:
    if up.bias is None:
        raise TypeError("the generator's convolutions have a bias")
    return up.bias


def _phases(weight: Tensor) -> Tensor:
    """A 5x5 transposed convolution of stride 2 (in, out, 5, 5) as a 3x3 one to the four phases, (4 out, in, 3, 3).

    Pixel 2m + a takes tap k of the input m + (a + 2 - k) / 2, where that is whole.
    """
    inputs, outputs = weight.shape[:2]
    taps = weight.new_zeros(outputs, 2, 2, inputs, 3, 3)
    for a, b, i, j in product(range(2), range(2), range(3), range(3)):
        k, m = a + 4 - 2 * i, b + 4 - 2 * j
        if k < 5 and m < 5:
            taps[:, a, b, :, i, j] = weight[:, :, k, m].t()
    return taps.reshape(4 * outputs, inputs, 3, 3).contiguous(memory_format=torch.channels_last)


def _halvings(size: int) -> list[int]:
    """28 gives [28, 14, 7, 4]."""
    sizes = [size]
    for _ in range(3):
        sizes.append((sizes[-1] + 1) // 2)
    return sizes


def _doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1)


class Critic(nn.Module):
    """Three 5x5 convolutions of stride 2 and a linear layer; LeakyReLU 0.2; no batch normalisation."""

    def __init__(self, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        channels, height, breadth = shape
        widths = [channels, width, 2 * width, 4 * width]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 5, stride=2, padding=2) for inputs, outputs in pairwise(widths)
        )
        self.linear = nn.Linear(widths[-1] * _halvings(height)[3] * _halvings(breadth)[3], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Scores (n,)."""
        for convolution in self.convolutions:
            images = leaky_relu(convolution(images), 0.2)
        scores: Tensor = self.linear(images.flatten(1)).squeeze(1)
        return scores
