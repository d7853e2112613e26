"""Defense-GAN's generator for inference: the same function and its gradient with less work."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from defenses._minimal_filtering import MinimalFiltering
from defenses._transposed_convolution import (
    FewChannels,
    LibraryConvolution,
    Position,
    RowMajorOrder,
    Size,
    TransposedConvolution,
    bias_of,
    row_major,
)
from defenses._wgan import Generator
from defenses._window_convolution import WindowConvolution

_SMALL = 16
"""Largest map, in pixels, on which minimal filtering was faster on a CPU.

Its input transform is a dense matrix over the whole map.
"""


class FoldedGenerator:
    """Generator in evaluation mode, with its batch normalization folded into the weights.

    Maps are stored as (n, positions, channels), see `defenses._transposed_convolution`. The weights
    are constants here: no gradient with respect to them is computed.
    """

    @torch.no_grad()
    def __init__(self, generator: Generator) -> None:
        self._fold_linear(generator)
        self._fold_hidden(generator)
        self.image = (generator.height, generator.width)
        self.last = _last_form(
            generator.up3.weight.detach(), bias_of(generator.up3).detach(), self.order, self.image
        )

    def _fold_linear(self, generator: Generator) -> None:
        """Fold the first normalization into the linear layer, and put its channels last."""
        self.channels, height, width = generator.start
        layer = generator.linear
        scale, shift = (
            parameter.repeat_interleave(height * width)
            for parameter in _scale_and_shift(generator.norms[0], layer.weight, self.channels)
        )
        units = torch.arange(len(scale), device=scale.device)
        channels_last = units.view(self.channels, -1).t().flatten()
        self.weight = (layer.weight * scale[:, None])[channels_last]
        self.bias = (layer.bias * scale + shift)[channels_last]

    def _fold_hidden(self, generator: Generator) -> None:
        """Fold the other normalizations into the hidden transposed convolutions."""
        _, height, width = generator.start
        size = (height, width)
        positions = row_major(height, width)
        self.hidden: list[TransposedConvolution] = []

        for level, layer, norm in (
            (2, generator.up1, generator.norms[1]),
            (1, generator.up2, generator.norms[2]),
        ):
            scale, shift = _scale_and_shift(norm, layer.weight, layer.out_channels)
            weight = layer.weight * scale[None, :, None, None]
            bias = bias_of(layer) * scale + shift
            crop = (generator.sizes[0][level], generator.sizes[1][level])
            self.hidden.append(_fastest_form(weight, bias, positions, size, crop))
            positions = self.hidden[-1].positions
            size = crop

        self.order = RowMajorOrder(positions, size, generator.linear.weight.device)

    def __call__(self, z: Tensor) -> Tensor:
        """Images (n, channels, height, width) in [0, 1] of latent codes (n, latent)."""
        return self._layers(z)[-1]

    def gradient(self, z: Tensor, target: Tensor) -> Tensor:
        """Gradient (n, latent) of each image's mean squared error to its target.

        It is written out, so that it can be compiled, captured, and differentiated itself.

        Args:
            z: latent codes (n, latent).
            target: images (n, channels, height, width).
        """
        *maps, image = self._layers(z)
        slope = (2 / target[0].numel()) * (image - target) * image * (1 - image)
        back = self.order.backward(self.last.backward(slope.flatten(2).mT))

        first, *rest = maps
        for layer, output in zip(reversed(self.hidden), reversed(rest), strict=True):
            back = layer.backward(back * (output > 0))

        return (back.flatten(1) * (first.flatten(1) > 0)) @ self.weight

    def _layers(self, z: Tensor) -> list[Tensor]:
        """The maps (n, positions, channels) after each ReLU, and finally the images."""
        maps = [torch.relu_(linear(z, self.weight, self.bias)).view(len(z), -1, self.channels)]
        for layer in self.hidden:
            maps.append(torch.relu_(layer.forward(maps[-1])))

        logits = self.last.forward(self.order.forward(maps[-1]))
        return [*maps, torch.sigmoid(logits.mT.unflatten(2, self.image))]


def _scale_and_shift(norm: nn.Module, like: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Factor and summand of each channel (channels,) of a normalization in evaluation mode.

    Ones and zeros for a layer that is no normalization.
    """
    if (
        not isinstance(norm, nn.BatchNorm2d)
        or norm.running_mean is None
        or norm.running_var is None
    ):
        return like.new_ones(channels), like.new_zeros(channels)

    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _fastest_form(
    weight: Tensor, bias: Tensor, positions: list[Position], size: Size, crop: Size
) -> TransposedConvolution:
    """The form that was faster: on a GPU windows; on a CPU minimal filtering for small maps.

    Else it is the library's. In reduced precision the transforms of minimal filtering would lose
    more digits, so the library's form is taken on a CPU.

    Args:
        weight: weights (channels in, channels out, 5, 5), for padding 2 and output padding 1.
        bias: biases (channels out,).
        positions: positions of the input.
        size: height and width of the input.
        crop: height and width to which the output is cropped.
    """
    if weight.device.type == "cuda":
        return WindowConvolution(weight, bias, positions, size, crop)

    is_full_precision = weight.dtype.itemsize >= 4 and (
        weight.dtype == torch.float64 or torch.get_float32_matmul_precision() == "highest"
    )
    is_small = size[0] * size[1] <= _SMALL

    if is_full_precision and is_small:
        return MinimalFiltering(weight, bias, positions, size)
    return LibraryConvolution(weight, bias, positions, size, crop)


def _last_form(
    weight: Tensor, bias: Tensor, order: RowMajorOrder, crop: Size
) -> TransposedConvolution:
    """The form of the last layer, which has few channels; its input positions are row by row."""
    size = order.size
    if weight.device.type == "cuda":
        return WindowConvolution(weight, bias, row_major(*size), size, crop)
    return FewChannels(weight, bias, crop)
