"""Draws of a randomized purifier: what a classifier says of many purified versions of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

_MOST_IMAGES = 512
"""Number of images that one call of the purifier is given at most, or one batch of copies."""


def logits_of_draws(
    purify: Callable[[Tensor], Tensor],
    images: Tensor,
    classifier: Callable[[Tensor], Tensor],
    draws: int,
    *,
    in_one_call: bool,
) -> Tensor:
    """Logits (draws, n, classes) of every purified version of every image.

    Args:
        purify: function from images to their purified versions, one draw for each.
        images: images before purification, (n, channels, height, width).
        classifier: function from images to logits (n, classes).
        draws: number of draws for each image.
        in_one_call: whether copies of an image in one call of `purify` are draws of their own.
    """
    batches = _copies(images, draws, in_one_call=in_one_call)
    logits = [classifier(purify(copies)) for copies in batches]
    return torch.cat(logits).unflatten(0, (draws, len(images)))


def _copies(images: Tensor, draws: int, *, in_one_call: bool) -> Iterator[Tensor]:
    """Batches of images, which have every image once for each draw."""
    at_once = max(1, _MOST_IMAGES // max(1, len(images))) if in_one_call else 1
    for start in range(0, draws, at_once):
        copies = min(at_once, draws - start)
        yield images.repeat(copies, 1, 1, 1)
