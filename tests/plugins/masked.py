"""Purifiers that hide their gradient without being robust."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense
from bench.registry import register_defense


class _Detached(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.detach()


class _Flat(nn.Module):
    """Rounding to 256 levels: nearly the identity, with a derivative of zero."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.round(images * 255) / 255


class _Shattered(nn.Module):
    """The identity up to a millionth, whose derivative varies between -0.01 and 0.01."""

    def forward(self, images: Tensor) -> Tensor:
        return (images.detach() + 1e-6 * torch.sin(1e4 * images)).clamp(0, 1)


@register_defense("detached")
@dataclass(frozen=True)
class Detached(Defense):
    """Identity that cuts the graph, as Defense-GAN's official code does."""

    def build(self, data: DataInfo) -> nn.Module:
        return _Detached()


@register_defense("flat")
@dataclass(frozen=True)
class Flat(Defense):
    """Near-identity with a gradient of exactly zero."""

    def build(self, data: DataInfo) -> nn.Module:
        return _Flat()


@register_defense("shattered")
@dataclass(frozen=True)
class Shattered(Defense):
    """Near-identity with a gradient that points in useless directions."""

    def build(self, data: DataInfo) -> nn.Module:
        return _Shattered()
