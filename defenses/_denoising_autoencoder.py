"""Denoising auto-encoder: strided convolutions to a code, and transposed ones back."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, relu


class DenoisingAutoencoder(nn.Module):
    """Auto-encoder as in SOAP's official code for MNIST: two halvings, a code, two doublings.

    Where a side of the images is no multiple of four, the decoder makes the next larger multiple,
    and what exceeds the image is cropped. The last layer is linear.

    Args:
        shape: (channels, height, width) of an image.
        width: number of channels after the first halving; twice as many after the second.
        hidden: number of units of the code.
    """

    def __init__(self, shape: tuple[int, int, int], width: int, hidden: int) -> None:
        super().__init__()
        channels, height, breadth = shape
        self.start = (2 * width, -(-height // 4), -(-breadth // 4))  # rounded up
        flat = self.start[0] * self.start[1] * self.start[2]

        self.down1 = nn.Conv2d(channels, width, 3, stride=2, padding=1)
        self.down2 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.code = nn.Linear(flat, hidden)
        self.expand = nn.Linear(hidden, flat)
        self.up2 = _doubling(2 * width, width)
        self.up1 = _doubling(width, channels)

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructions (n, channels, height, width), unclamped."""
        code = relu(self.code(relu(self.down2(relu(self.down1(images)))).flatten(1)))
        maps = relu(self.expand(code)).unflatten(1, self.start)
        restored: Tensor = self.up1(relu(self.up2(maps)))
        return restored[..., : images.shape[2], : images.shape[3]]

    def errors(self, images: Tensor) -> Tensor:
        """Mean squared errors (n,) between images and their reconstructions."""
        restored: Tensor = self(images)
        return (restored - images).square().flatten(1).mean(dim=1)


def _doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)


def denoising_loss(network: nn.Module, images: Tensor, std: float) -> Tensor:
    """Mean squared error between clean images and reconstructions of noisy ones in [0, 1].

    Args:
        network: auto-encoder.
        images: clean images (n, channels, height, width).
        std: standard deviation of the Gaussian noise.
    """
    noisy = (images + std * torch.randn_like(images)).clamp(0, 1)
    return mse_loss(network(noisy), images)
