"""Ten purifiers that do what they say: filters, projections, a small network, declared noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, mse_loss, pad

from bench.contracts import DataInfo, Defense, FitContext
from bench.registry import register_defense


class Of(nn.Module):
    """A purifier that is a function of the images.

    It does not clamp: that has no gradient at a pixel of exactly 0 or 1, which most pixels are.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images)


def blurred(images: Tensor) -> Tensor:
    """The images after a binomial filter of 3 x 3 pixels."""
    row = images.new_tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(row, row).expand(images.shape[1], 1, 3, 3)
    return conv2d(pad(images, [1] * 4, mode="reflect"), kernel, groups=images.shape[1])


@register_defense("honest_blur")
@dataclass(frozen=True)
class Blur(Defense):
    """Binomial filter of 3 x 3 pixels."""

    def build(self, data: DataInfo) -> nn.Module:
        return Of(blurred)


@register_defense("honest_median")
@dataclass(frozen=True)
class Median(Defense):
    """Median filter of 3 x 3 pixels."""

    def build(self, data: DataInfo) -> nn.Module:
        def median(images: Tensor) -> Tensor:
            windows = pad(images, [1] * 4, mode="reflect").unfold(2, 3, 1).unfold(3, 3, 1)
            return windows.flatten(4).median(dim=-1).values

        return Of(median)


@register_defense("honest_autoencoder")
@dataclass(frozen=True)
class AutoEncoder(Defense):
    """Small convolutional auto-encoder that is trained to remove noise."""

    def build(self, data: DataInfo) -> nn.Module:
        channels = data.shape[0]
        return nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(16, channels, 4, stride=2, padding=1),
            nn.Sigmoid(),
        )

    def fit(self, module: nn.Module, context: FitContext) -> None:
        optimizer = torch.optim.Adam(module.parameters(), 5e-3)
        for images, _ in context.batches(64, steps=300):
            noisy = (images + 0.2 * torch.randn_like(images)).clamp(0, 1)
            loss = mse_loss(module(noisy), images)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@register_defense("honest_dct")
@dataclass(frozen=True)
class LowPass(Defense):
    """Low pass in the cosine transform: the lowest half of the frequencies of each axis."""

    def build(self, data: DataInfo) -> nn.Module:
        size = data.shape[1]
        positions = torch.arange(size)
        cosines = torch.cos(math.pi / size * (positions + 0.5)[None] * positions[:, None])
        basis = (cosines / cosines.norm(dim=1, keepdim=True))[: size // 2]
        projection = basis.T @ basis

        return Of(lambda images: (projection @ images @ projection).clamp(0, 1))


@register_defense("honest_total_variation")
@dataclass(frozen=True)
class TotalVariation(Defense):
    """Ten gradient steps on the distance to the image and its smoothed total variation."""

    def build(self, data: DataInfo) -> nn.Module:
        def flow(change: Tensor) -> Tensor:
            return change / (change.square() + 1e-2).sqrt()

        def denoised(images: Tensor) -> Tensor:
            result = images
            for _ in range(10):
                rows = pad(flow(result.diff(dim=2)), [0, 0, 1, 1]).diff(dim=2)
                columns = pad(flow(result.diff(dim=3)), [1, 1, 0, 0]).diff(dim=3)
                result = result - 0.05 * (2 * (result - images) - 0.3 * (rows + columns))
            return result.clamp(0, 1)

        return Of(denoised)


@register_defense("honest_resize_and_pad")
@dataclass(frozen=True)
class ResizeAndPad(Defense):
    """Images at six sevenths of their size, in a black frame."""

    def build(self, data: DataInfo) -> nn.Module:
        def framed(images: Tensor) -> Tensor:
            size = images.shape[-1]
            inner = size - 2 * (size // 14)
            small = interpolate(images, inner, mode="bilinear", antialias=True)
            return pad(small, [(size - inner) // 2] * 4)

        return Of(framed)


@register_defense("honest_quantizer")
@dataclass(frozen=True)
class Quantizer(Defense):
    """Eight grey levels, with the gradient of the identity."""

    def build(self, data: DataInfo) -> nn.Module:
        return Of(lambda images: torch.round(images * 7).detach() / 7 + (images - images.detach()))


class _Projection(nn.Module):
    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("axes", torch.zeros(40, pixels))

    def forward(self, images: Tensor) -> Tensor:
        centered = images.flatten(1) - self.mean
        return (self.mean + centered @ self.axes.T @ self.axes).view_as(images).clamp(0, 1)


@register_defense("honest_projection")
@dataclass(frozen=True)
class Projection(Defense):
    """Projection on the forty principal components of the training images."""

    def build(self, data: DataInfo) -> nn.Module:
        return _Projection(math.prod(data.shape))

    def fit(self, module: nn.Module, context: FitContext) -> None:
        images = next(context.batches(1_000, epochs=1))[0].flatten(1)
        module.mean.copy_(images.mean(dim=0))
        module.axes.copy_(torch.linalg.svd(images - module.mean, full_matrices=False).Vh[:40])


@register_defense("honest_wavelet")
@dataclass(frozen=True)
class Wavelet(Defense):
    """Soft threshold on the details of a Haar wavelet."""

    def build(self, data: DataInfo) -> nn.Module:
        def shrunk(images: Tensor) -> Tensor:
            coarse = interpolate(avg_pool2d(images, 2), scale_factor=2, mode="nearest")
            details = images - coarse
            return (coarse + details.sign() * (details.abs() - 0.05).clamp_min(0)).clamp(0, 1)

        return Of(shrunk)


@register_defense("honest_noise")
@dataclass(frozen=True)
class Noise(Defense):
    """Gaussian noise of a standard deviation of 0.05, declared."""

    stochastic: ClassVar[bool] = True

    def build(self, data: DataInfo) -> nn.Module:
        return Of(lambda images: (images + 0.05 * torch.randn_like(images)).clamp(0, 1))
