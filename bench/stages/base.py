"""What a stage is: a task that knows its key and can be run anywhere its inputs can be had."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.artifacts import Artifact, ArtifactStore, Meta, Tensors
from bench.configure import Configured
from bench.contracts import DataInfo, Defense, Network
from bench.datasets import Dataset, Split, load_dataset
from bench.errors import StorageError
from bench.guard import Guarded, plugin_call
from bench.keys import artifact_key
from bench.progress import Reporter
from bench.spec import Spec


@dataclass(frozen=True)
class SplitRef:
    """Images by name and digest, so that a task carries no data.

    Attributes:
        n: how many of the test images; None for the whole training part.
        digest: of the images and labels.
        info: what a network must know of them.
    """

    dataset: str
    n: int | None
    digest: str
    info: DataInfo


@dataclass(frozen=True)
class Trained:
    """A trained network by where it lies.

    Attributes:
        plugin: what builds it.
        info: the data it is built for.
        key: of the training task.
        digest: of the weights.
    """

    plugin: Configured[Network]
    info: DataInfo
    key: str
    digest: str

    @property
    def identity(self) -> Mapping[str, Any]:
        """The weights and the parameters they are used with: all of the network that changes a result."""
        return {"weights": self.digest, "plugin": self.plugin.identity}

    @property
    def who(self) -> str:
        """Its name in messages."""
        return f"{'defense' if isinstance(self.plugin.plugin, Defense) else 'classifier'} {self.plugin.label}"


def is_stochastic(purifier: Trained | None) -> bool:
    """Whether two passes through the purifier may differ."""
    defense = purifier.plugin.plugin if purifier else None
    return isinstance(defense, Defense) and defense.stochastic


@dataclass(frozen=True)
class Crafted:
    """An adversarial set by where it lies.

    Attributes:
        key: of the task that made it.
        digest: of its tensors.
    """

    key: str
    digest: str


class Lab:
    """Where tasks find their inputs: the device, the data, the store, trained networks.

    Attributes:
        device: the one device everything runs on.
        store: the artifact cache.
        progress: where long steps are shown.
    """

    def __init__(self, device: torch.device, store: ArtifactStore, data: Path, progress: Reporter) -> None:
        self.device, self.store, self.data, self.progress = device, store, data, progress
        self._splits: dict[SplitRef, Split] = {}
        self._networks: dict[tuple[str, Spec, DataInfo], nn.Module] = {}
        self._references: dict[tuple[str, int | None], SplitRef] = {}

    def dataset(self, name: str) -> Dataset:
        """The data set of that name, on the CPU."""
        return load_dataset(name, self.data)

    def split(self, name: str, n: int | None) -> SplitRef:
        """The training images of a data set (n is None), or its first n test images."""
        if (name, n) not in self._references:
            dataset = self.dataset(name)
            digest = (dataset.train if n is None else dataset.test_images(n)).digest
            self._references[name, n] = SplitRef(name, n, digest, dataset.info)
        return self._references[name, n]

    def images(self, split: SplitRef) -> tuple[Tensor, Tensor]:
        """Images and labels on the device."""
        if split not in self._splits:
            dataset = self.dataset(split.dataset)
            found = dataset.train if split.n is None else dataset.test_images(split.n)
            self._splits[split] = Split(found.images.to(self.device), found.labels.to(self.device), found.digest)
        return self._splits[split].images, self._splits[split].labels

    def network(self, trained: Trained) -> nn.Module:
        """The trained network on the device: frozen, in evaluation mode. What an attacker follows.

        Raises:
            StorageError: its artifact has vanished from the cache, or another stands in its place.
            PluginFault: it cannot be built again, or does not take its own weights.
        """
        name = (trained.digest, trained.plugin.resolved, trained.info)
        if name not in self._networks:
            artifact = self.store.load("network", trained.key)
            if artifact is None or artifact.digest != trained.digest:
                what = "has vanished from" if artifact is None else "was replaced in"
                raise StorageError(f"the trained {trained.who} {what} the cache: start the command again")
            with plugin_call(trained.who):
                module = trained.plugin.plugin.build(trained.info)
                load_weights(module, artifact)
            self._networks[name] = module.to(self.device).requires_grad_(False).eval()
        return self._networks[name]

    def crafted(self, crafted: Crafted) -> Tensors:
        """The tensors of an adversarial set.

        Raises:
            StorageError: it has vanished from the cache, or another stands in its place.
        """
        artifact = self.store.load("adversarial", crafted.key)
        if artifact is None or artifact.digest != crafted.digest:
            raise StorageError("an adversarial set has vanished from the cache, or changed: start the command again")
        return artifact.tensors

    def checked(self, trained: Trained) -> Guarded:
        """The same network with every output checked, which makes the host wait for the device. For evaluation."""
        classes = None if isinstance(trained.plugin.plugin, Defense) else trained.info.classes
        return Guarded(trained.who, self.network(trained), classes).eval()


class Task(ABC):
    """A unit of work with a content key; `run` is a pure function of what the key covers.

    Attributes:
        kind: the folder of the artifacts it makes.
    """

    kind: ClassVar[str]

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Everything that changes the result, and nothing else, as JSON."""

    @abstractmethod
    def run(self, lab: Lab) -> tuple[Tensors, Meta]:
        """Do the work: the tensors and their description."""

    @cached_property
    def key(self) -> str:
        """The content key; all randomness of the task is derived from it."""
        return artifact_key(self.kind, self.identity())


def weights_of(module: nn.Module) -> Tensors:
    """The module's state as arrays."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}


def load_weights(module: nn.Module, artifact: Artifact) -> None:
    """Put stored weights into a module just built."""
    module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in artifact.tensors.items()})
