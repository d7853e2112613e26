"""The networks of ConvAE: a U with or without skip connections, and that of the author's code."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate

from bench.contracts import NotApplicable

_KERNEL = 3
"""Height and width of every kernel of the author's network."""

_PADDINGS = (1, 1, 0)
"""Padding of the author's three convolutions, each of stride 2."""

_LEAST_SIDE = 9
"""Smallest height and width of an image whose last feature map has a pixel."""

_Size = tuple[int, int]


class UNet(nn.Module):
    """Two halvings, a noisy latent code, and two doublings, with or without skip connections.

    The code has 4 * width channels at a quarter of the height and width (rounded up), so about
    width / 4 numbers for each pixel.

    Args:
        channels: number of channels of an image.
        width: number of channels at full resolution.
        noise: standard deviation of the noise added to the code in training.
        skips: whether each doubling also sees the feature map of its size on the way down. Without
            them all that the output knows of the image is in the code.
    """

    def __init__(self, channels: int, width: int, noise: float, *, skips: bool) -> None:
        super().__init__()
        self.noise = noise
        self.skips = skips
        skipped = width if skips else 0
        self.enter = _conv(channels, width)
        self.down1 = _conv(width, 2 * width, stride=2)
        self.down2 = _conv(2 * width, 4 * width, stride=2)
        self.latent = _conv(4 * width, 4 * width)
        self.up2 = _conv(4 * width + 2 * skipped, 2 * width)
        self.up1 = _conv(2 * width + skipped, width)
        self.leave = _conv(width, channels)

    def forward(self, images: Tensor) -> Tensor:
        """Purified images, unclamped in training and in [0, 1] at inference."""
        full = gelu(self.enter(images))
        half = gelu(self.down1(full))
        code = gelu(self.latent(gelu(self.down2(half))))
        if self.training:
            code = code + self.noise * torch.randn_like(code)

        half = gelu(self.up2(self._enlarged(code, half)))
        full = gelu(self.up1(self._enlarged(half, full)))
        output: Tensor = self.leave(full)
        return output if self.training else output.clamp(0, 1)

    def _enlarged(self, small: Tensor, skip: Tensor) -> Tensor:
        """The small map at the size of the skip connection, and both side by side if it is used."""
        large = interpolate(small, size=skip.shape[-2:])
        return torch.cat([large, skip], dim=1) if self.skips else large


class AuthorNetwork(nn.Module):
    """The network of the author's code: an image becomes ten numbers, these become an image.

    The sizes, the batch normalization and the sigmoid are those of the class
    `ConvAutoencoder_GELU` of github.com/Shreyasi2002/Adversarial_Attack_Defense, which takes images
    of 1x32x32. For other sizes the output padding of the transposed convolutions differs, so that
    each gives the size that the convolution before it had. N(0, 1) is added to the ten numbers at
    every call, in training and at inference.

    Args:
        shape: (channels, height, width) of an image, at least 9 pixels high and wide.

    Raises:
        NotApplicable: the images are smaller.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        if min(height, width) < _LEAST_SIDE:
            raise NotApplicable(
                f"the network arch=author of the defense convae halves each side three times: "
                f"images of {height}x{width} pixels are too small, and {_LEAST_SIDE}x{_LEAST_SIDE} "
                "the smallest"
            )
        full = (height, width)
        half, quarter, last = _sizes_after_halving(full)
        flat = 32 * last[0] * last[1]

        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 8, _KERNEL, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(8, 16, _KERNEL, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.GELU(),
            nn.Conv2d(16, 32, _KERNEL, stride=2, padding=0),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(flat, 128),
            nn.GELU(),
            nn.Linear(128, 10),
        )
        self.decoder = nn.Sequential(
            nn.Linear(10, 128),
            nn.GELU(),
            nn.Linear(128, flat),
            nn.GELU(),
            nn.Unflatten(1, (32, *last)),
            _doubling(32, 16, last, quarter, padding=0),
            nn.BatchNorm2d(16),
            nn.GELU(),
            _doubling(16, 8, quarter, half, padding=1),
            nn.BatchNorm2d(8),
            nn.GELU(),
            _doubling(8, channels, half, full, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Purified images in [0, 1], with new noise on the code at each call."""
        code = self.encoder(images)
        output: Tensor = self.decoder(code + torch.randn_like(code))
        return output


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


def _sizes_after_halving(size: _Size) -> list[_Size]:
    """The sizes of the feature maps of the author's three convolutions."""
    sizes = [size]
    for padding in _PADDINGS:
        height, width = sizes[-1]
        sizes.append((_halved(height, padding), _halved(width, padding)))

    return sizes[1:]


def _halved(side: int, padding: int) -> int:
    return (side + 2 * padding - _KERNEL) // 2 + 1


def _doubling(
    inputs: int, outputs: int, small: _Size, large: _Size, padding: int
) -> nn.ConvTranspose2d:
    """A transposed convolution of stride 2 from maps of one size to maps of about twice the size.

    Args:
        inputs: number of channels of the small maps.
        outputs: number of channels of the large maps.
        small: height and width of the small maps.
        large: height and width of the large maps, which a convolution of this padding halves to the
            small ones.
        padding: padding of that convolution.
    """
    rest = [
        side - (2 * (half - 1) - 2 * padding + _KERNEL)
        for half, side in zip(small, large, strict=True)
    ]
    return nn.ConvTranspose2d(
        inputs,
        outputs,
        _KERNEL,
        stride=2,
        padding=padding,
        output_padding=(rest[0], rest[1]),
    )
