"""The context of tasks: the device, the data, the store, trained networks."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense
from bench.errors import StorageError
from bench.progress import Reporter
from bench.spec import Spec
from bench.stages.datasets import Dataset, Split, load_dataset
from bench.stages.guard import Guarded, plugin_call
from bench.stages.references import AdversarialRef, NetworkRef, SplitRef
from bench.store.artifacts import Artifact, ArtifactStore, Tensors


class DamagedArtifact(StorageError):
    """A stored artifact whose content is not what its header says; it has been removed.

    Attributes:
        key: content key of the artifact.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class TaskContext:
    """Where tasks find their inputs: the device, the data, the store, trained networks.

    Attributes:
        device: the one device everything runs on.
        store: the artifact cache.
        data: the folder of data sets.
        progress: where long steps are shown.
    """

    def __init__(
        self, device: torch.device, store: ArtifactStore, data: Path, progress: Reporter
    ) -> None:
        self.device = device
        self.store = store
        self.data = data
        self.progress = progress
        self._splits: dict[SplitRef, Split] = {}
        self._networks: dict[tuple[str, Spec, DataInfo], nn.Module] = {}
        self._references: dict[tuple[str, int | None], SplitRef] = {}

    def dataset(self, name: str) -> Dataset:
        """The data set of that name, on the CPU."""
        return load_dataset(name, self.data)

    def split(self, name: str, n: int | None) -> SplitRef:
        """A reference to the training images (n is None), or to the first n test images."""
        if (name, n) not in self._references:
            dataset = self.dataset(name)
            digest = _part(dataset, n).digest
            self._references[name, n] = SplitRef(name, n, digest, dataset.info)

        return self._references[name, n]

    def images(self, split: SplitRef) -> tuple[Tensor, Tensor]:
        """Images (n, channels, height, width) in [0, 1] and labels (n,), on the device."""
        if split not in self._splits:
            part = _part(self.dataset(split.dataset), split.n)
            images, labels = part.images.to(self.device), part.labels.to(self.device)
            self._splits[split] = Split(images, labels, part.digest)

        return self._splits[split].images, self._splits[split].labels

    def network(self, reference: NetworkRef) -> nn.Module:
        """The trained network on the device: frozen, in evaluation mode, its output unchecked.

        Raises:
            DamagedArtifact: its file is not what its header says.
            StorageError: it has vanished from the cache, or another stands in its place.
            PluginFault: it cannot be built again, or does not take its own weights.
        """
        name = (reference.digest, reference.plugin.resolved, reference.info)
        if name not in self._networks:
            artifact = self._load("network", reference, f"the trained {reference.who}")
            with plugin_call(reference.who):
                module = reference.plugin.plugin.build(reference.info)
                load_weights(module, artifact)
            self._networks[name] = module.to(self.device).requires_grad_(False).eval()

        return self._networks[name]

    def checked_network(self, reference: NetworkRef) -> Guarded:
        """The same network with every output checked, for evaluation.

        A check makes the host wait for the device, so attacks and timing go without.
        """
        is_defense = isinstance(reference.plugin.plugin, Defense)
        classes = None if is_defense else reference.info.classes

        return Guarded(reference.who, self.network(reference), classes).eval()

    def adversarial_set(self, reference: AdversarialRef) -> Tensors:
        """The tensors of an adversarial set, see `bench.stages.craft.Craft.run`.

        Raises:
            DamagedArtifact: its file is not what its header says.
            StorageError: it has vanished from the cache, or another stands in its place.
        """
        return self._load("adversarial", reference, "an adversarial set").tensors

    def _load(self, kind: str, reference: NetworkRef | AdversarialRef, what: str) -> Artifact:
        """The stored artifact of a reference, verified."""
        artifact = self.store.load(kind, reference.key)
        if artifact is None and self.store.remove_damaged(kind, reference.key):
            raise DamagedArtifact(
                reference.key,
                f"{what} was damaged in the cache and has been removed: start the command again",
            )
        if artifact is None or artifact.digest != reference.digest:
            how = "has vanished from" if artifact is None else "was replaced in"
            raise StorageError(f"{what} {how} the cache: start the command again")

        return artifact


def _part(dataset: Dataset, n: int | None) -> Split:
    """The training images (n is None), or the first n test images."""
    return dataset.train if n is None else dataset.test_images(n)


def weights_of(module: nn.Module) -> Tensors:
    """The module's state as arrays."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}


def load_weights(module: nn.Module, artifact: Artifact) -> None:
    """Put stored weights into a module just built."""
    module.load_state_dict(
        {name: torch.from_numpy(array.copy()) for name, array in artifact.tensors.items()}
    )
