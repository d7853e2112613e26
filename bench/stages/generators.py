"""Generators of purifiers, as an attack on their codes sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor, nn

if TYPE_CHECKING:
    from bench.stages.surrogates import AttackedModel


class Generator(Protocol):
    """A purifier's generator of images, as an attack on its codes sees it.

    Attributes:
        latent: dimension of the codes.
    """

    latent: int

    def generate(self, z: Tensor) -> Tensor:
        """Images (n, channels, height, width) of codes (n, latent)."""


class CountedGenerator:
    """A generator of images from codes whose calls count as those of a model under attack.

    Attributes:
        latent: dimension of the codes.
    """

    def __init__(self, generator: nn.Module, model: AttackedModel) -> None:
        self.latent = int(generator.latent)  # type: ignore[arg-type]
        self._generator = generator
        self._model = model

    def generate(self, z: Tensor) -> Tensor:
        """Images (n, channels, height, width) of codes (n, latent)."""
        images: Tensor = self._generator.generate(z)  # type: ignore[operator]
        self._model.count(images)
        return images


def generates(purifier: nn.Module) -> bool:
    """Whether a purifier makes images from codes."""
    return hasattr(purifier, "generate") and hasattr(purifier, "latent")
