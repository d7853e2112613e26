"""Purifiers that were trained elsewhere, from a file of weights or of the whole network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.contracts import (
    DataInfo,
    Defense,
    DefenseArchitecture,
    Floats,
    PositiveFloats,
    read_network,
    tried_output,
)
from bench.registry import register_defense


@register_defense("purifier")
@dataclass(frozen=True)
class Purifier(Defense):
    """Trained image-to-image network from a file, purifier:path=net.pt2.

    The file holds weights (`torch.save` of a state dict, or safetensors), which need `arch`, or a
    whole network: TorchScript (`torch.jit.save`) or an exported program (`torch.export.save`, with
    a dynamic batch dimension, exported in evaluation mode). A pickle that would run code is
    refused. Nothing is trained. The file and the code of the architecture count by their content.

    At inference the output is clamped to [0, 1]. A network whose gradient is zero or misleads needs
    a plugin of its own with `stand_ins()`. A defense that `arch` names keeps its stand-ins, its
    latent code and its decision.

    Attributes:
        path: path of the file.
        arch: untrained network for a file of weights: a defense's spec, or a class or function,
            `FILE.py:NAME` or `MODULE:NAME`, which is called without arguments.
        mean: mean that is subtracted from images in [0, 1], and added to the output, one number or
            one for each channel; None for none. Not for a defense that `arch` names.
        std: standard deviation that is then divided by, and multiplied with, above 0, likewise.
        random: whether two calls on the same images may differ.
    """

    path: str
    arch: DefenseArchitecture | None = None
    mean: Floats | None = None
    std: PositiveFloats | None = None
    random: bool = False

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether it is declared so, or the defense that `arch` names is."""
        return self.random or any(member.stochastic for member in self.members)

    @property
    def independent_draws(self) -> bool:  # type: ignore[override]
        """That of the defense that `arch` names, if it is one."""
        return any(member.independent_draws for member in self.members)

    def files(self) -> Sequence[Path]:
        """The file of the network."""
        return (Path(self.path).expanduser(),)

    def check_data(self, data: DataInfo) -> None:
        """Load the network and try it on a few images.

        Raises:
            ValueError: the file has no such network, or it does not suit the images.
            OSError: the file cannot be read.
        """
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, data.shape[0]):
                raise ValueError(
                    f"{name} has {len(values)} numbers, and the images {data.shape[0]} channels: "
                    "give one for all channels, or one for each"
                )

        super().check_data(data)
        network = self.build(data)
        if type(network).forward is nn.Module.forward:
            return  # a defense that only decides makes no image to look at
        output = tried_output(network, data)
        if tuple(output.shape[1:]) != data.shape:
            raise ValueError(
                f"the network turns images of shape {data.shape} into {tuple(output.shape[1:])}"
            )

    def build(self, data: DataInfo) -> nn.Module:
        """The network of the file: images (n, channels, height, width) to images in [0, 1]."""
        (path,) = self.files()
        member = None if self.arch is None else self.member(self.arch)
        network = read_network(path, None if member is None else lambda: member.build(data))
        if isinstance(member, Defense):
            if self.mean is not None or self.std is not None:
                raise ValueError(f"arch={self.arch} takes images in [0, 1]: leave mean and std out")
            return network

        return _Clamped(network, self.mean or (0.0,), self.std or (1.0,))


class _Clamped(nn.Module):
    """A network of normalized images for images in [0, 1]; clamped in evaluation mode."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.normalizes = (*mean, *std) != (0.0, 1.0)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Purified images, same shape."""
        if self.normalizes:
            images = self.network((images - self.mean) / self.std) * self.std + self.mean
        else:
            images = self.network(images)

        return images if self.training else images.clamp(0, 1)
