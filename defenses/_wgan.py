"""The generator and the critic of a WGAN-GP (Gulrajani et al., NeurIPS 2017, arXiv:1704.00028), as in Defense-GAN."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, fold, leaky_relu, linear

from defenses._doubling import Doubling, Order, bias_of, prepared, rows_first


def penalty(critic: nn.Module, images: Tensor, fakes: Tensor) -> Tensor:
    """Mean squared deviation from 1 of the critic's gradient norm between real and fake images (WGAN-GP, eq. 3)."""
    share = torch.rand(len(images), 1, 1, 1, device=images.device)
    between = torch.lerp(images, fakes, share).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
    return penalty


class Generator(nn.Module):
    """Linear, then three transposed 5x5 convolutions of stride 2; sigmoid."""

    def __init__(
        self, shape: tuple[int, int, int], latent: int, width: int, batch_norm: bool
    ) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        self.sizes = [_halvings(self.height), _halvings(self.width)]
        self.start = (4 * width, self.sizes[0][3], self.sizes[1][3])
        self.linear = nn.Linear(latent, self.start[0] * self.start[1] * self.start[2])
        self.up1 = _doubling(4 * width, 2 * width)
        self.up2 = _doubling(2 * width, width)
        self.up3 = _doubling(width, channels)
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(maps) if batch_norm else nn.Identity()
            for maps in (4 * width, 2 * width, width)
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
    """The generator in evaluation mode, and its gradient, as the same function with less work.

    The normalisations are folded into the weights before them; maps lie (n, places, channels); the
    transposed convolutions are those of `defenses._doubling`. Weights are constants here: nothing
    asks for their gradient.
    """

    @torch.no_grad()
    def __init__(self, generator: Generator) -> None:
        norms, (channels, height, width) = generator.norms, generator.start
        scale, shift = (
            each.repeat_interleave(height * width)
            for each in _affine(norms[0], generator.linear.weight, channels)
        )
        last = (
            torch.arange(channels * height * width, device=scale.device)
            .view(channels, -1)
            .t()
            .flatten()
        )
        self.channels = channels
        self.weight = (generator.linear.weight * scale[:, None])[last]
        self.bias = (generator.linear.bias * scale + shift)[last]
        places, size = rows_first(height, width), (height, width)
        self.ups: list[Doubling] = []
        for level, up, norm in ((2, generator.up1, norms[1]), (1, generator.up2, norms[2])):
            scale, shift = _affine(norm, up.weight, up.out_channels)
            crop = (generator.sizes[0][level], generator.sizes[1][level])
            folded = up.weight * scale[None, :, None, None]
            self.ups.append(prepared(folded, bias_of(up) * scale + shift, places, size, crop))
            places, size = self.ups[-1].places, crop
        self.order, self.image = (
            Order(places, size, scale.device),
            (generator.height, generator.width),
        )
        self.last = generator.up3.weight.detach().contiguous()
        self.shade = bias_of(generator.up3).detach()[:, None, None]

    def __call__(self, z: Tensor) -> Tensor:
        """Images (n, c, h, w) in [0, 1] of z (n, latent)."""
        return self._layers(z)[-1]

    def gradient(self, z: Tensor, target: Tensor) -> Tensor:
        """The gradient with respect to z (n, latent) of the pixel-mean squared error to target (n,
        c, h, w).

        It is written out, so that it can be compiled, captured, and itself differentiated.
        """
        *maps, image = self._layers(z)
        slope = (2 / target[0].numel()) * (image - target) * image * (1 - image)
        back = conv2d(slope, self.last, stride=2, padding=2).permute(0, 2, 3, 1).flatten(1, 2)
        back = self.order.backward(back)
        for up, after in zip(reversed(self.ups), reversed(maps), strict=False):
            back = up.backward(back * (after > 0))
        return (back.flatten(1) * (maps[0].flatten(1) > 0)) @ self.weight

    def _layers(self, z: Tensor) -> list[Tensor]:
        """The maps after each ReLU (n, places, channels), and the images."""
        maps = [torch.relu_(linear(z, self.weight, self.bias)).view(len(z), -1, self.channels)]
        for up in self.ups:
            maps.append(torch.relu_(up.forward(maps[-1])))
        ordered = self.order.forward(maps[-1])
        taps = torch.bmm(self.last.flatten(1).mT.expand(len(z), -1, -1), ordered.mT)
        return [*maps, torch.sigmoid(fold(taps, self.image, 5, padding=2, stride=2) + self.shade)]


def _affine(norm: nn.Module, like: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """What a layer of normalisation multiplies each channel with and adds to it, in evaluation mode."""
    if (
        not isinstance(norm, nn.BatchNorm2d)
        or norm.running_mean is None
        or norm.running_var is None
    ):
        return like.new_ones(channels), like.new_zeros(channels)
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _halvings(size: int) -> list[int]:
    """28 gives [28, 14, 7, 4]."""
    sizes = [size]
    for _ in range(3):
        sizes.append((sizes[-1] + 1) // 2)
    return sizes


def _doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1)


class Critic(nn.Module):
    """Three 5x5 convolutions of stride 2 and a linear layer; LeakyReLU 0.2.

    No batch normalisation.
    """

    def __init__(self, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        channels, height, breadth = shape
        widths = [channels, width, 2 * width, 4 * width]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 5, stride=2, padding=2)
            for inputs, outputs in pairwise(widths)
        )
        self.linear = nn.Linear(widths[-1] * _halvings(height)[3] * _halvings(breadth)[3], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Scores (n,)."""
        for convolution in self.convolutions:
            images = leaky_relu(convolution(images), 0.2)
        scores: Tensor = self.linear(images.flatten(1)).squeeze(1)
        return scores
