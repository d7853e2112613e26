"""Networks of RobustBench: Croce et al., NeurIPS 2021 (arXiv:2010.09670), robustbench.github.io."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import nn

from bench.contracts import Classifier, DataInfo, Indices, PositiveInt, nearest
from bench.registry import register_classifier
from classifiers._adapter import Adapted, check_adapted
from classifiers._extras import imported_extra


@register_classifier("robustbench")
@dataclass(frozen=True)
class RobustBench(Classifier):
    """Network of RobustBench's model zoo (needs the package `robustbench`).

    Install it with `pip install 'purification-bench[robustbench]'`. For example
    `robustbench:name=Carmon2019Unlabeled`. The weights are downloaded on first use, into
    `robustbench` in the folder of `torch.hub`, and count by content. Images are normalized inside
    the network. Nothing is trained.

    Attributes:
        name: name in the model zoo.
        dataset: data set that the network was trained on.
        threat: threat model that it was trained for.
        size: height and width in pixels to which images are resized; None to leave them.
        classes: output of each class of the data in their order, from 0 on, such as `[3,5,8]`; None
            if the outputs are the classes.
    """

    name: str
    dataset: Literal["cifar10", "cifar100", "imagenet"] = "cifar10"
    threat: Literal["Linf", "L2", "corruptions"] = "Linf"
    size: PositiveInt | None = None
    classes: Indices | None = None

    loads_elsewhere: ClassVar[bool] = True

    def check_data(self, data: DataInfo) -> None:
        """Load the network and try it on a few images.

        Raises:
            ValueError: the package is not installed or has no such network, its weights cannot be
                loaded, or it does not suit the images.
            OSError: a file cannot be read.
        """
        check_adapted(self._adapted(data))

    def build(self, data: DataInfo) -> nn.Module:
        """The network of the zoo: images (n, channels, height, width) to logits (n, classes)."""
        return self._adapted(data)

    def _adapted(self, data: DataInfo) -> Adapted:
        return Adapted(self._network(), data, size=self.size, channels=3, classes=self.classes)

    def _network(self) -> nn.Module:
        """The network with its weights.

        Raises:
            ValueError: there is no such network, or its weights cannot be loaded.
        """
        package = imported_extra("robustbench")
        zoo = imported_extra("robustbench.model_zoo").model_dicts
        names = {
            name
            for dataset, threats in zoo.items()
            for threat, networks in threats.items()
            if (dataset.value, threat.value) == (self.dataset, self.threat)
            for name in networks
        }
        if self.name not in names:
            raise ValueError(
                f"RobustBench has no network '{self.name}' for {self.dataset} and {self.threat}"
                f"{nearest(self.name, names)}"
            )

        folder = Path(torch.hub.get_dir()) / "robustbench"
        try:
            with redirect_stdout(sys.stderr):
                network: nn.Module = package.load_model(
                    self.name, folder, dataset=self.dataset, threat_model=self.threat
                )
        except Exception as error:
            raise ValueError(f"RobustBench cannot load '{self.name}': {error}") from error
        return network
