"""JPEG compression: Das et al. 2017 (arXiv:1705.02900), Guo et al., ICLR 2018 (arXiv:1711.00117).

Pillow is the codec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense, PositiveInt, StandIn
from bench.registry import register_defense
from defenses._smooth_jpeg import SmoothJPEG


@register_defense("jpeg")
@dataclass(frozen=True)
class JPEG(Defense):
    """JPEG compression and decompression (a control; arXiv:1705.02900, arXiv:1711.00117).

    The codec works on 8-bit images on the CPU, whatever the device. It is outside autograd, so its
    gradient is zero by nature. An attack through it does nothing, and the accuracy under such an
    attack says nothing about robustness. Its stand-in is a codec with a smooth rounding.

    Attributes:
        quality: quality of the compression, 1 to 100; the default 75 is that of Guo et al.
    """

    host_work = "Pillow is the codec"

    quality: PositiveInt = 75

    def __post_init__(self) -> None:
        if self.quality > 100:
            raise ValueError(f"parameter quality={self.quality}: at most 100")

    def build(self, data: DataInfo) -> nn.Module:
        """The codec; nothing to train.

        Raises:
            ValueError: the images have neither 1 nor 3 channels.
        """
        if data.shape[0] not in (1, 3):
            raise ValueError(f"JPEG images have 1 or 3 channels, not {data.shape[0]}")
        return _JPEG(self.quality)


class _JPEG(nn.Module):
    def __init__(self, quality: int) -> None:
        super().__init__()
        self.quality = quality

    def forward(self, images: Tensor) -> Tensor:
        """The images after compression and decompression, on their device."""
        pixels = (255 * images.detach()).round().to("cpu", torch.uint8).permute(0, 2, 3, 1)
        decoded = np.stack([self._decoded(image) for image in pixels.numpy()])
        return torch.from_numpy(decoded).view(pixels.shape).permute(0, 3, 1, 2).to(images) / 255

    def stand_ins(self) -> Mapping[str, StandIn]:
        """The gradient of a codec whose rounding is smooth."""
        return {"smooth_rounding": StandIn(SmoothJPEG(self.quality), backward_only=True)}

    def _decoded(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An image (height, width, channels); a gray one comes back without its last axis."""
        image = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
        with BytesIO() as file:
            image.save(file, "JPEG", quality=self.quality)
            return np.array(Image.open(file))
