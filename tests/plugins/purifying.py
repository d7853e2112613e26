"""Purifiers of the literature as their authors would bring them: one class and its module each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, mse_loss, pad
from torch.optim import Adam

from bench.contracts import (
    DataInfo,
    Defense,
    FitContext,
    Fraction,
    PositiveFloat,
    PositiveInt,
    StandIn,
)
from bench.registry import register_defense


@register_defense("shrink_and_pad")
@dataclass(frozen=True)
class ResizePad(Defense):
    """Random resizing and padding (Xie et al. 2018, arXiv:1711.01991)."""

    least: Fraction = 0.85
    stochastic: ClassVar[bool] = True

    def build(self, data: DataInfo) -> nn.Module:
        return _ResizePad(self.least)


class _ResizePad(nn.Module):
    def __init__(self, least: float) -> None:
        super().__init__()
        self.least = least

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        share = self.least + (1 - self.least) * float(torch.rand(()))
        size = (max(1, round(share * height)), max(1, round(share * width)))
        top = int(torch.randint(height - size[0] + 1, ()))
        left = int(torch.randint(width - size[1] + 1, ()))
        smaller = interpolate(images, size, mode="bilinear", align_corners=False)
        return pad(smaller, (left, width - size[1] - left, top, height - size[0] - top))


@register_defense("total_variation")
@dataclass(frozen=True)
class TotalVariation(Defense):
    """Total-variation minimization by gradient steps (Guo et al. 2018, arXiv:1711.00117)."""

    weight: PositiveFloat = 0.03
    steps: PositiveInt = 10
    rate: PositiveFloat = 0.1

    def build(self, data: DataInfo) -> nn.Module:
        return _TotalVariation(self.weight, self.steps, self.rate)


class _TotalVariation(nn.Module):
    def __init__(self, weight: float, steps: int, rate: float) -> None:
        super().__init__()
        self.weight = weight
        self.steps = steps
        self.rate = rate

    def forward(self, images: Tensor) -> Tensor:
        purified = images
        for _ in range(self.steps):
            slope = purified - images + self.weight * self._roughness_slope(purified)
            purified = purified - self.rate * slope
        return purified.clamp(0, 1)

    def _roughness_slope(self, images: Tensor) -> Tensor:
        """The gradient of a smooth total variation, written out so that it has a gradient."""
        slope = torch.zeros_like(images)
        for axis in (2, 3):
            step = images.diff(dim=axis)
            flow = step / (step.square() + 1e-3).sqrt()
            zeros = torch.zeros_like(images.narrow(axis, 0, 1))
            slope = slope + torch.cat([zeros, flow], axis) - torch.cat([flow, zeros], axis)
        return slope


@register_defense("moved_pixels")
@dataclass(frozen=True)
class PixelDeflection(Defense):
    """Pixels replaced by random neighbors (Prakash et al. 2018, arXiv:1801.08926)."""

    pixels: PositiveInt = 100
    window: PositiveInt = 5
    stochastic: ClassVar[bool] = True

    def build(self, data: DataInfo) -> nn.Module:
        return _PixelDeflection(self.pixels, self.window)


class _PixelDeflection(nn.Module):
    def __init__(self, pixels: int, window: int) -> None:
        super().__init__()
        self.pixels = pixels
        self.window = window

    def forward(self, images: Tensor) -> Tensor:
        n, _, height, width = images.shape
        rows, columns = (
            torch.randint(side, (n, self.pixels), device=images.device) for side in (height, width)
        )
        moves = (2, n, self.pixels)
        near = torch.randint(-self.window, self.window + 1, moves, device=images.device)
        there = ((rows + near[0]).clamp(0, height - 1), (columns + near[1]).clamp(0, width - 1))
        image = torch.arange(n, device=images.device)[:, None]
        deflected = images.clone().movedim(1, -1)
        deflected[image, rows, columns] = deflected[image, there[0], there[1]]
        return deflected.movedim(-1, 1)

    def stand_ins(self) -> Mapping[str, StandIn]:
        """The identity: most pixels stay where they are."""
        return {"identity": StandIn(lambda images: images, backward_only=True)}


@register_defense("ddpm")
@dataclass(frozen=True)
class Ddpm(Defense):
    """Diffusion purifier: noise, then denoising steps (Nie et al. 2022, arXiv:2205.07460)."""

    width: PositiveInt = 8
    steps: PositiveInt = 150
    start: Fraction = 0.3
    denoising: PositiveInt = 3
    stochastic: ClassVar[bool] = True
    independent_draws: ClassVar[bool] = True
    inference_parameters: ClassVar[frozenset[str]] = frozenset({"start", "denoising"})

    def build(self, data: DataInfo) -> nn.Module:
        return _Ddpm(data.shape[0], self.width, self.start, self.denoising)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        optimizer = Adam(module.parameters(), lr=3e-3)
        for images, _ in context.batches(64, steps=self.steps):
            time = torch.rand(len(images), 1, 1, 1, device=images.device)
            noise = torch.randn_like(images)
            noisy = torch.cos(time * math.pi / 2) * images + torch.sin(time * math.pi / 2) * noise
            loss = mse_loss(module.get_submodule("denoiser")(_with(noisy, time)), images)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            context.report(loss=loss)


class _Ddpm(nn.Module):
    def __init__(self, channels: int, width: int, start: float, denoising: int) -> None:
        super().__init__()
        self.times = [start * (1 - step / denoising) for step in range(denoising)]
        self.denoiser = nn.Sequential(
            nn.Conv2d(channels + 1, width, 5, padding=2),
            nn.GELU(),
            nn.Conv2d(width, width, 5, padding=2),
            nn.GELU(),
            nn.Conv2d(width, channels, 5, padding=2),
        )

    def forward(self, images: Tensor) -> Tensor:
        clean = images
        for time in self.times:
            angle = time * math.pi / 2
            noisy = math.cos(angle) * clean + math.sin(angle) * torch.randn_like(images)
            clean = self.denoiser(_with(noisy, torch.full_like(images[:, :1, :1, :1], time)))
        return clean.clamp(0, 1)


def _with(images: Tensor, time: Tensor) -> Tensor:
    """Images with one more channel, which holds the time."""
    return torch.cat([images, time.expand(-1, 1, *images.shape[2:])], dim=1)


@register_defense("noise_autoencoder")
@dataclass(frozen=True)
class Reformer(Defense):
    """Auto-encoder of clean images (Meng, Chen 2017, arXiv:1705.09064, section 4.3)."""

    width: PositiveInt = 8
    noise: Fraction = 0.1
    steps: PositiveInt = 150

    def build(self, data: DataInfo) -> nn.Module:
        return _Reformer(data.shape[0], self.width)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        optimizer = Adam(module.parameters(), lr=3e-3)
        for images, _ in context.batches(64, steps=self.steps):
            noisy = images + self.noise * torch.randn_like(images)
            loss = mse_loss(module(noisy), images)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            context.report(loss=loss)


class _Reformer(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, channels, 3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        reformed: Tensor = self.layers(images)
        return reformed if self.training else reformed.clamp(0, 1)
