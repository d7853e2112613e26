from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense, NonNegativeFloat, PositiveFloat, PositiveInt
from bench.registry import register_defense


@register_defense("my_descent")
@dataclass(frozen=True)
class Descent(Defense):
    """Smoothing by gradient steps: near the image, with small differences of neighbors."""

    steps: PositiveInt = 10
    step_size: PositiveFloat = 0.05
    smoothness: NonNegativeFloat = 1.0

    def build(self, data: DataInfo) -> nn.Module:
        return _Descent(self)


class _Descent(nn.Module):
    def __init__(self, settings: Descent) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, images: Tensor) -> Tensor:
        # An attacker's gradient leads through all steps; an evaluation needs no graph of them.
        is_attacked = torch.is_grad_enabled() and images.requires_grad
        purified = images.clone()

        with torch.enable_grad():
            for _ in range(self.settings.steps):
                if not is_attacked:
                    purified = purified.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(
                    self._cost(purified, images), purified, create_graph=is_attacked
                )
                purified = purified - self.settings.step_size * gradient

        purified = purified.clamp(0, 1)
        return purified if is_attacked else purified.detach()

    def _cost(self, purified: Tensor, images: Tensor) -> Tensor:
        roughness = purified.diff(dim=-1).square().sum() + purified.diff(dim=-2).square().sum()
        return (purified - images).square().sum() + self.settings.smoothness * roughness
