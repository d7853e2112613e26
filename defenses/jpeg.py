"""JPEG compression: Das et al.

2017 (arXiv:1705.02900); Guo et al., ICLR 2018 (arXiv:1711.00117), through Pillow.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense, PositiveInt
from bench.registry import register_defense


@register_defense("jpeg")
@dataclass(frozen=True)
class JPEG(Defense):
    """JPEG compression and decompression (arXiv:1705.02900, arXiv:1711.00117); a control.

    The encoder works on 8-bit images on the CPU, whatever the device. It is outside autograd, so
    the gradient is zero, by nature and not by an oversight: an attack through it does nothing, and
    its accuracy there says nothing of its robustness.

    Attributes:
        quality: 1 to 100; 75 is that of Guo et al.
    """

    quality: PositiveInt = 75

    def __post_init__(self) -> None:
        if self.quality > 100:
            raise ValueError(f"parameter quality={self.quality}: at most 100")

    def build(self, data: DataInfo) -> nn.Module:
        """The codec; nothing to train."""
        if data.shape[0] not in (1, 3):
            raise ValueError(f"JPEG images have 1 or 3 channels, not {data.shape[0]}")
        return _JPEG(self.quality)


class _JPEG(nn.Module):
    def __init__(self, quality: int) -> None:
        super().__init__()
        self.quality = quality

    def forward(self, images: Tensor) -> Tensor:
        """What is left of the images after compression, on their device."""
        pixels = (255 * images.detach()).round().to("cpu", torch.uint8).permute(0, 2, 3, 1)
        decoded = np.stack([self._decoded(image) for image in pixels.numpy()])
        return torch.from_numpy(decoded).view(pixels.shape).permute(0, 3, 1, 2).to(images) / 255

    def _decoded(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """One image, (height, width, channels); a grey one comes back without its last axis."""
        with BytesIO() as file:
            Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(
                file, "JPEG", quality=self.quality
            )
            return np.array(Image.open(file))
