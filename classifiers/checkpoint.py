"""Networks that were trained elsewhere, from a file of weights or of the whole network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from bench.contracts import (
    Classifier,
    ClassifierArchitecture,
    DataInfo,
    Floats,
    Indices,
    PositiveFloats,
    PositiveInt,
    read_network,
)
from bench.registry import register_classifier
from classifiers._adapter import Adapted, check_adapted


@register_classifier("checkpoint")
@dataclass(frozen=True)
class Checkpoint(Classifier):
    """Trained network from a file, checkpoint:path=net.pth:arch=[lenet.py:LeNet].

    The file holds weights (`torch.save` of a state dict, or safetensors), which need `arch`, or a
    whole network: TorchScript (`torch.jit.save`) or an exported program (`torch.export.save`, with
    a dynamic batch dimension, exported in evaluation mode). A pickle that would run code is
    refused. Nothing is trained. The file and the code of the architecture count by their content.

    The network returns logits. A single one, x, becomes the two logits (-x/2, x/2), whose softmax
    is the sigmoid of x. Probabilities stay as they are, and attacks on their loss get weaker
    gradients.

    Attributes:
        path: path of the file.
        arch: untrained network for a file of weights: a classifier's spec, or a class or function,
            `FILE.py:NAME` or `MODULE:NAME`, which is called without arguments.
        outputs: number of outputs of a classifier that `arch` names; None for the classes of the
            data.
        mean: mean that is subtracted from images in [0, 1], one number or one for each channel;
            None for none.
        std: standard deviation that is then divided by, above 0, likewise.
        size: height and width in pixels to which images are resized, bilinearly; None to leave
            them as they are.
        channels: number of channels to which gray images are repeated; None to leave them.
        classes: output of each class of the data in their order, from 0 on, such as `[3,5,8]`; None
            if the outputs are the classes.
        random: whether two calls on the same images may differ.
    """

    path: str
    arch: ClassifierArchitecture | None = None
    outputs: PositiveInt | None = None
    mean: Floats | None = None
    std: PositiveFloats | None = None
    size: PositiveInt | None = None
    channels: PositiveInt | None = None
    classes: Indices | None = None
    random: bool = False

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether it is declared so, or the classifier that `arch` names is."""
        return self.random or any(member.stochastic for member in self.members)

    def files(self) -> Sequence[Path]:
        """The file of the network."""
        return (Path(self.path).expanduser(),)

    def check_data(self, data: DataInfo) -> None:
        """Load the network and try it on a few images.

        Raises:
            ValueError: the file has no such network, or it does not suit the images.
            OSError: the file cannot be read.
        """
        check_adapted(self._adapted(data))

    def build(self, data: DataInfo) -> nn.Module:
        """The network of the file: images (n, channels, height, width) to logits (n, classes)."""
        return self._adapted(data)

    def _adapted(self, data: DataInfo) -> Adapted:
        (path,) = self.files()
        create = None if self.arch is None else lambda: self._untrained(data)

        return Adapted(
            read_network(path, create),
            data,
            size=self.size,
            channels=self.channels,
            mean=self.mean,
            std=self.std,
            classes=self.classes,
        )

    def _untrained(self, data: DataInfo) -> nn.Module:
        """The network of `arch`, for the images that reach it."""
        if self.arch is None:
            raise TypeError("no architecture is named")
        channels, height, width = data.shape
        shape = (self.channels or channels, self.size or height, self.size or width)
        return self.member(self.arch).build(DataInfo(shape, self.outputs or data.classes))
