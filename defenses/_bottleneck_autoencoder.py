"""Auto-encoder all of whose paths lead through a short code, with soft thresholds before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from bench.contracts import StandIn
from defenses._transposed_convolution import Size, doubling

_KERNEL = 5


class BottleneckAutoencoder(nn.Module):
    """Two halvings, a code with noise, and two doublings; nothing leads around the code.

    Convolutions are 5x5 with stride 2, the first and the last one between the image and half the
    resolution, so that no layer of many channels works at full resolution.

    Args:
        shape: (channels, height, width) of an image.
        width: number of channels at half the resolution; doubled at a quarter.
        code: number of values of the code.
        noise: standard deviation of the Gaussian noise added to the code in training.
        enter: layer between the image and the first convolution; None for none.

    Attributes:
        sizes: height and width of the maps at full, half and quarter resolution, rounded up.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        width: int,
        code: int,
        noise: float,
        enter: Thresholds | None = None,
    ) -> None:
        super().__init__()
        channels, *size = shape
        self.noise = noise
        self.sizes: list[Size] = [(size[0], size[1])]
        for _ in range(2):
            self.sizes.append(_halved(self.sizes[-1]))
        self.smallest = (2 * width, *self.sizes[2])
        flat = self.smallest[0] * self.smallest[1] * self.smallest[2]

        self.enter = nn.Identity() if enter is None else enter
        self.down1 = _halving(channels if enter is None else enter.maps, width)
        self.down2 = _halving(width, 2 * width)
        self.encode = nn.Linear(flat, code)
        self.decode = nn.Linear(code, flat)
        self.up2 = doubling(2 * width, width, _KERNEL)
        self.up1 = doubling(width, channels, _KERNEL)

    def forward(self, images: Tensor) -> Tensor:
        """Purified images, unclamped in training and in [0, 1] at inference."""
        code = self._code(images)
        if self.training:
            return self._decoded(code + self.noise * torch.randn_like(code))
        return self._decoded(code).clamp(0, 1)

    def stand_ins(self) -> Mapping[str, StandIn]:
        """The same network with a gradient where the clamp has none."""
        return {"through_clamp": StandIn(self._through_clamp)}

    def _through_clamp(self, images: Tensor) -> Tensor:
        output = self._decoded(self._code(images))
        # The value is exactly the clamped one, the gradient that of the output before the clamp.
        return output.detach().clamp(0, 1) + (output - output.detach())

    def _code(self, images: Tensor) -> Tensor:
        maps = gelu(self.down2(gelu(self.down1(self.enter(images)))))
        code: Tensor = gelu(self.encode(maps.flatten(1)))
        return code

    def _decoded(self, code: Tensor) -> Tensor:
        maps = gelu(self.decode(code)).view(-1, *self.smallest)
        maps = gelu(_cropped(self.up2(maps), self.sizes[1]))
        return _cropped(self.up1(maps), self.sizes[0])


class Thresholds(nn.Module):
    """Soft comparison of each pixel with thresholds, which are learned.

    A map is sigmoid(steepness * (pixel - threshold)). Around a threshold the maps are steep and
    elsewhere nearly flat, so that a perturbation of pixels far from it hardly passes. With one
    value of 0.5 and images of black and white, that is a soft rounding. The sigmoid has a gradient
    everywhere; rounding would have none, and hide what gets through from an attack.

    Args:
        channels: number of channels of an image.
        values: initial thresholds, at least one.
        steepness: initial factor in the sigmoid.

    Attributes:
        maps: number of channels of the output.
    """

    def __init__(self, channels: int, values: Sequence[float], steepness: float) -> None:
        super().__init__()
        self.maps = channels * len(values)
        repeated = torch.tensor(values, dtype=torch.float32).repeat(channels)
        # Both are factors of the input of the sigmoid, so that Adam moves them at a like pace.
        self.slope = nn.Parameter(torch.full_like(repeated, steepness).view(-1, 1, 1))
        self.offset = nn.Parameter((-steepness * repeated).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Maps (n, maps, height, width) of images (n, channels, height, width)."""
        repeated = images.repeat_interleave(self.maps // images.shape[1], dim=1)
        return torch.sigmoid(self.slope * repeated + self.offset)


def _halving(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, _KERNEL, stride=2, padding=_KERNEL // 2)


def _halved(size: Size) -> Size:
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def _cropped(maps: Tensor, size: Size) -> Tensor:
    return maps[..., : size[0], : size[1]]
