"""Networks of timm, PyTorch Image Models: github.com/huggingface/pytorch-image-models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from torch import nn

from bench.contracts import (
    Classifier,
    DataInfo,
    Indices,
    PositiveInt,
    load_weights,
    nearest,
    read_weights,
)
from bench.registry import register_classifier
from classifiers._adapter import Adapted, check_adapted
from classifiers._extras import imported_extra


@register_classifier("timm")
@dataclass(frozen=True)
class Timm(Classifier):
    """Trained network of timm, timm:name=resnet18.a1_in1k (needs the package `timm`).

    Install it with `pip install 'purification-bench[timm]'`. Images are normalized with the mean
    and standard deviation of timm's own configuration, and gray images repeated to its channels.
    Unlike in timm, images are resized bilinearly, without a crop. Nothing is trained.

    Weights count by their content, wherever they come from. The version of timm does not
    count.

    Attributes:
        name: name of the network with the tag of its weights, as timm's `list_pretrained` gives it.
        weights: path of a file of weights, by `torch.save` of a state dict or safetensors; None for
            those of the hub, which are downloaded on first use.
        outputs: number of outputs of a network whose weights are a file; None for the classes of
            the data, or with `classes` for those of timm's configuration.
        size: height and width in pixels to which images are resized; None for those of timm's
            configuration, such as 224.
        classes: output of each class of the data in their order, from 0 on, such as `[3,5,8]`; None
            if the outputs are the classes.
    """

    name: str
    weights: str | None = None
    outputs: PositiveInt | None = None
    size: PositiveInt | None = None
    classes: Indices | None = None

    loads_elsewhere: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.outputs is not None and self.weights is None:
            raise ValueError("parameter outputs: weights of the hub have outputs of their own")

    def files(self) -> Sequence[Path]:
        """The file of weights, if there is one."""
        return () if self.weights is None else (Path(self.weights).expanduser(),)

    def check_data(self, data: DataInfo) -> None:
        """Load the network and try it on a few images.

        Raises:
            ValueError: timm is not installed or has no such network, its weights cannot be loaded,
                or it does not suit the images.
            OSError: a file cannot be read.
        """
        check_adapted(self._adapted(data))

    def build(self, data: DataInfo) -> nn.Module:
        """The network of timm: images (n, channels, height, width) to logits (n, classes)."""
        return self._adapted(data)

    def _adapted(self, data: DataInfo) -> Adapted:
        timm = imported_extra("timm")
        network = self._network(timm, data)
        config = timm.data.resolve_model_data_config(network)
        channels, height, _ = config["input_size"]

        return Adapted(
            network,
            data,
            size=self.size or height,
            channels=channels,
            mean=config["mean"],
            std=config["std"],
            classes=self.classes,
        )

    def _network(self, timm: ModuleType, data: DataInfo) -> nn.Module:
        """The network with its weights.

        Raises:
            ValueError: there is no such network, or its weights cannot be loaded.
        """
        architecture = self.name.partition(".")[0]
        if not timm.is_model(architecture):
            close = nearest(architecture, timm.list_models())
            raise ValueError(f"timm has no network '{architecture}'{close}")

        arguments = {}
        if self.weights is not None and (self.outputs or self.classes is None):
            arguments["num_classes"] = self.outputs or data.classes
        try:
            network: nn.Module = timm.create_model(
                self.name, pretrained=self.weights is None, **arguments
            )
        except Exception as error:
            raise ValueError(f"timm cannot load '{self.name}': {error}") from error

        for path in self.files():
            load_weights(network, read_weights(path), path)
        return network
