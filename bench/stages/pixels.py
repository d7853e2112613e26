"""Images as they are stored, turned into numbers in [0, 1] where they are used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

_CHUNK = 1024
"""Number of images that are converted at once for the digest."""

_LARGEST_BYTE = 255.0


@dataclass(frozen=True, eq=False)
class Pixels:
    """Images of one shape, as bytes or as numbers, in memory or in a memory-mapped file.

    Attributes:
        stored: uint8 in [0, 255] or float32 in [0, 1], (m, channels, height, width).
        order: positions (n,) of the images in `stored`, int64; None for all as they are.
        mapped: whether `stored` lies in a file, and so stays on the CPU.
    """

    stored: Tensor
    order: Tensor | None = None
    mapped: bool = False

    def __len__(self) -> int:
        return len(self.stored if self.order is None else self.order)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.stored.shape[1:]
        return channels, height, width

    def at(self, index: Tensor) -> Tensor:
        """Images at positions (k,), float32 (k, c, h, w) in [0, 1], on the device of the positions.

        The division by 255 is that of IEEE 754 on every device.
        """
        there = index.to(self.stored.device)
        chosen = self.stored[there if self.order is None else self.order[there]]
        moved = chosen.to(index.device).contiguous()
        if moved.dtype != torch.uint8:
            return moved

        # A number in place of the tensor would become a product with its inverse on a GPU.
        return moved.float() / torch.full((1,), _LARGEST_BYTE, device=moved.device)

    def chosen(self, order: Tensor) -> Pixels:
        """The images at positions (k,), without copying them."""
        return replace(self, order=order if self.order is None else self.order[order])

    def first(self, n: int) -> Tensor:
        """The first n images at most, float32 (n, c, h, w), on the device of `stored`."""
        return self.at(torch.arange(min(n, len(self)), device=self.stored.device))

    def on(self, device: torch.device) -> Pixels:
        """The images on a device; those in a file stay there."""
        if self.mapped or self.stored.device == device:
            return self

        order = None if self.order is None else self.order.to(device)
        return replace(self, stored=self.stored.to(device), order=order)

    def chunks(self) -> Iterator[Tensor]:
        """The images part by part, float32 (at most 1024, c, h, w)."""
        for part in torch.arange(len(self)).split(_CHUNK):
            yield self.at(part)


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels.

    Attributes:
        pixels: images.
        labels: int64 (n,), the true classes.
    """

    pixels: Pixels
    labels: Tensor

    @classmethod
    def of(cls, images: Tensor, labels: Tensor) -> Split:
        """The split of images, float32 (n, c, h, w) in [0, 1], and labels on the CPU."""
        return cls(Pixels(images), labels)

    @cached_property
    def images(self) -> Tensor:
        """All images, float32 (n, c, h, w) in [0, 1]; costly for a large set."""
        return self.pixels.first(len(self))

    @cached_property
    def digest(self) -> str:
        """SHA-256 digest of the images as float32 and the labels."""
        digest = hashlib.sha256(f"{(len(self), *self.pixels.shape)}".encode())
        for part in self.pixels.chunks():
            digest.update(part.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)

        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, order: Tensor) -> Split:
        """The images at positions (k,) with their labels."""
        return Split(self.pixels.chosen(order), self.labels[order])
