"""Several draws of a randomized purifier, made on copies of the images."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

_MOST_IMAGES = 512
"""Number of images that one call of a purifier is given at most, or one batch of copies."""


def copies_of(images: Tensor, draws: int, *, in_one_call: bool) -> Iterator[Tensor]:
    """Batches of images (k * n, channels, height, width), k times all images in their order.

    Args:
        images: images (n, channels, height, width).
        draws: number of copies of each image in all batches together.
        in_one_call: whether copies in one batch are draws of their own.
    """
    at_once = max(1, _MOST_IMAGES // max(1, len(images))) if in_one_call else 1
    for start in range(0, draws, at_once):
        copies = min(at_once, draws - start)
        yield images.repeat(copies, 1, 1, 1)
