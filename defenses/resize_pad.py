"""Random resizing and padding: Xie, Wang, Zhang, Ren, Yuille, ICLR 2018 (arXiv:1711.01991)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense, Fraction
from bench.registry import register_defense


@register_defense("resize_pad")
@dataclass(frozen=True)
class ResizePad(Defense):
    """Random resizing and padding: a smaller image at a random place on a black ground.

    Source: Xie et al., ICLR 2018 (arXiv:1711.01991). The paper resizes images of 299 pixels to a
    random size from 299 to 330 and puts them at a random place on 331 pixels, which its classifier
    takes as well. A purifier keeps the size of the image, so here the image shrinks: from the
    paper's share of the ground, 299/331, to one pixel less than all of it. The nearest pixel is
    taken, as in the authors' code (cihangxie/NIPS2017_adv_challenge_defense), which also averages
    30 draws and mirrors half of them; `vote` averages draws.

    Each image of a call has a size and a place of its own. Sides that differ shrink alike. The
    gradient is exact: a pixel that the smaller image leaves out has none.

    Attributes:
        least: smallest side of the resized image as a share of the image's, in [0, 1].
    """

    stochastic: ClassVar[bool] = True
    independent_draws: ClassVar[bool] = True
    inference_parameters: ClassVar[frozenset[str]] = frozenset({"least"})

    least: Fraction = 299 / 331

    def build(self, data: DataInfo) -> nn.Module:  # noqa: ARG002 - the same for all data
        """The resizing; nothing to train."""
        return _ResizePad(self.least)


class _ResizePad(nn.Module):
    def __init__(self, least: float) -> None:
        super().__init__()
        self.least = least

    def forward(self, images: Tensor) -> Tensor:
        """The resized images on a black ground, same shape."""
        n, channels, height, width = images.shape
        size, top, left = torch.rand(3, n, 1, device=images.device)
        rows, in_rows = self._seen(height, size, top)
        columns, in_columns = self._seen(width, size, left)

        resized = images.gather(2, rows[:, None, :, None].expand(-1, channels, -1, width))
        resized = resized.gather(3, columns[:, None, None, :].expand(-1, channels, height, -1))
        is_image = in_rows[:, None, :, None] & in_columns[:, None, None, :]
        return resized * is_image

    def _seen(self, length: int, size: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """The pixels of the image that are seen along one side of the ground.

        Args:
            length: number of pixels of the side.
            size: random numbers in [0, 1) that choose the sizes, (n, 1).
            place: random numbers in [0, 1) that choose the places, (n, 1).

        Returns:
            for each pixel of the side, (n, length) each: which pixel of the image is seen there,
            and whether there is one.
        """
        least = max(1, min(round(self.least * length), length - 1))
        sizes = least + _whole(size, max(1, length - least))
        starts = _whole(place, length - sizes + 1)

        position = torch.arange(length, device=size.device) - starts
        pixel = torch.div(position * length, sizes, rounding_mode="floor").clamp(0, length - 1)
        return pixel, (position >= 0) & (position < sizes)


def _whole(share: Tensor, count: Tensor | int) -> Tensor:
    """Whole numbers from 0 to below a count, int64, from random numbers in [0, 1)."""
    # The product may round up to the count itself.
    return (share * count).long().clamp(max=count - 1)
