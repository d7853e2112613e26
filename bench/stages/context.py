"""The context of tasks: device, data sets, store and trained networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense
from bench.errors import PluginFault, StorageError
from bench.plugins.faults import plugin_call
from bench.progress import Reporter
from bench.spec import Spec
from bench.stages.datasets import LoadedDataset, load_dataset
from bench.stages.guard import Guarded
from bench.stages.microbatches import FittingSizes, Microbatches
from bench.stages.pixels import Split
from bench.stages.references import AdversarialRef, NetworkRef, SplitRef
from bench.store.artifacts import Artifact, ArtifactStore, Tensors, digest_of

if TYPE_CHECKING:
    from bench.stages.executor import Executor
    from bench.stages.task import Task

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""Attributes of a torch module that hold its hooks."""


_Key = tuple[str, str, Spec, DataInfo]
"""Training task, weights, plugin and shape of a network in memory."""


class DamagedArtifact(StorageError):
    """A stored artifact whose content does not match its digest.

    Attributes:
        key: content key of the artifact.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class TaskContext:
    """The inputs of tasks, loaded on demand: data sets, trained networks and adversarial sets.

    Attributes:
        device: device that everything runs on.
        store: artifact cache.
        data: folder of the data sets.
        progress: reporter that shows the progress of long steps.
        given: data sets in memory by name, beside those that plugins load.
        sizes: numbers of images that fit into the memory of the device at once.
    """

    def __init__(
        self,
        device: torch.device,
        store: ArtifactStore,
        data: Path,
        progress: Reporter,
        given: Mapping[str, LoadedDataset] | None = None,
    ) -> None:
        self.device = device
        self.store = store
        self.data = data
        self.progress = progress
        self.given = given or {}
        self.sizes = FittingSizes()
        self._images: dict[SplitRef, tuple[Tensor, Tensor]] = {}
        self._training: dict[SplitRef, Split] = {}
        self._networks: dict[_Key, _Loaded] = {}
        self._used: set[_Key] = set()
        self._references: dict[tuple[str, int | None], SplitRef] = {}
        self._executor: Executor | None = None

    def dataset(self, name: str) -> LoadedDataset:
        """The data set of that name, on the CPU.

        Raises:
            RequestError: the name is unknown, or the data set cannot be downloaded.
        """
        if name in self.given:
            return self.given[name]
        return load_dataset(name, self.data, self.progress)

    def split(self, name: str, n: int | None) -> SplitRef:
        """A reference to the first n test images, or to the training images if n is None."""
        if (name, n) not in self._references:
            dataset = self.dataset(name)
            part = _training(dataset) if n is None else dataset.test_images(n)
            self._references[name, n] = SplitRef(name, n, part.digest, dataset.info)

        return self._references[name, n]

    def images(self, split: SplitRef) -> tuple[Tensor, Tensor]:
        """Test images, float32 (n, c, h, w) in [0, 1], and labels, int64 (n,), on the device."""
        if split not in self._images:
            if split.n is None:
                raise ValueError("the training images come from training()")
            part = self.dataset(split.dataset).test_images(split.n)
            self._images[split] = (part.images.to(self.device), part.labels.to(self.device))

        return self._images[split]

    def training(self, split: SplitRef) -> Split:
        """Training images with their labels, which are on the device; none may be there.

        The images are on the device too, unless they lie in a memory-mapped file.
        """
        if split not in self._training:
            part = _training(self.dataset(split.dataset))
            pixels = part.pixels.on(self.device)
            self._training[split] = Split(pixels, part.labels.to(self.device))

        return self._training[split]

    def network(self, reference: NetworkRef) -> nn.Module:
        """The trained network on the device: frozen, in evaluation mode, its output unchecked.

        Raises:
            DamagedArtifact: the stored file does not match its digest.
            StorageError: the network has vanished from the cache, or was replaced there.
            PluginFault: the plugin cannot build the module again, or load its own weights into it.
        """
        key = (reference.key, reference.digest, reference.plugin.resolved, reference.info)
        if key not in self._networks:
            artifact = self._load("network", reference, f"the trained {reference.description}")
            with plugin_call(reference.description):
                module = reference.plugin.trained.plugin.build(reference.info)
                load_weights(module, artifact)
                module = reference.plugin.around(module).to(self.device)
                module.requires_grad_(False)
                module.eval()
                self._networks[key] = _Loaded(module, reference.description, _state_of(module))

        self._used.add(key)
        return self._networks[key].module

    @contextmanager
    def executed_by(self, executor: Executor) -> Iterator[None]:
        """Let the tasks of the block have other tasks done by an executor."""
        outer, self._executor = self._executor, executor
        try:
            yield
        finally:
            self._executor = outer

    def digest(self, task: Task) -> str:
        """The digest of the artifact of a task that a running task needs, made where none is there.

        Raises:
            PluginFault: the task failed.
        """
        if self._executor is None:
            raise RuntimeError("no executor runs the task that asks for another one")
        return self._executor.digest(task)

    @contextmanager
    def networks_unchanged(self) -> Iterator[None]:
        """Check that the block leaves the networks that it uses as they are.

        Attacks and trainings are given networks that other cells use too. One that has changed is
        loaded again for them. Blocks may be nested: each checks the networks of its own.

        Raises:
            PluginFault: the weights, the mode or the hooks of a network have changed.
        """
        outer, self._used = self._used, set()
        try:
            yield
        except Exception:
            self._drop_changed()
            raise
        else:
            changed = self._drop_changed()
        finally:
            self._used = outer

        if changed:
            raise PluginFault(
                f"a plugin changed the weights, the mode or the hooks of {' and '.join(changed)} "
                "while the task ran, although other cells use it too"
            )

    def _drop_changed(self) -> list[str]:
        """Forget the networks in use that have changed; returns their descriptions."""
        changed = []
        for key in self._used:
            loaded = self._networks.get(key)
            if loaded is None:  # a nested block has dropped it
                changed.append(str(key[1]))
                continue
            with plugin_call(loaded.description):
                unchanged = _state_of(loaded.module) == loaded.state
            if not unchanged:
                del self._networks[key]
                changed.append(loaded.description)

        return changed

    def checked_network(self, reference: NetworkRef) -> Guarded:
        """The trained network with every output checked, for evaluation.

        Attacks and timing use the unchecked `network`, because a check makes the host wait for the
        device.
        """
        is_defense = isinstance(reference.plugin.plugin, Defense)
        classes = None if is_defense else reference.info.classes

        network = self.network(reference)
        return Guarded(reference.description, network, classes, self.sizes).eval()

    def microbatches(self, model: str) -> Microbatches:
        """The evaluation of a model in parts where the memory is used up, by the model's name."""
        return Microbatches(model, self.sizes)

    def adversarial_set(self, reference: AdversarialRef) -> Tensors:
        """The tensors of an adversarial set, as `bench.stages.craft.Craft.run` makes them.

        Raises:
            DamagedArtifact: the stored file does not match its digest.
            StorageError: the set has vanished from the cache, or was replaced there.
        """
        return self._load("adversarial", reference, "an adversarial set").tensors

    def _load(
        self, kind: str, reference: NetworkRef | AdversarialRef, description: str
    ) -> Artifact:
        """The stored artifact of a reference, verified."""
        artifact = self.store.load(kind, reference.key)

        if artifact is None and self.store.path(kind, reference.key).exists():
            message = f"{description} is damaged in the cache: start the command again"
            raise DamagedArtifact(reference.key, message)
        if artifact is None or artifact.digest != reference.digest:
            event = "has vanished from" if artifact is None else "was replaced in"
            raise StorageError(f"{description} {event} the cache: start the command again")

        return artifact


@dataclass(frozen=True)
class _Loaded:
    """A network in memory.

    Attributes:
        module: frozen module, in evaluation mode.
        description: name of the network in messages.
        state: its state when it was loaded, see `_state_of`.
    """

    module: nn.Module
    description: str
    state: tuple[Any, ...]


def _state_of(module: nn.Module) -> tuple[Any, ...]:
    """The weights of a module as a digest, and the mode and the hooks of its layers."""
    layers = [
        (layer.training, *(len(getattr(layer, hooks)) for hooks in _HOOKS))
        for layer in module.modules()
    ]
    frozen = not any(parameter.requires_grad for parameter in module.parameters())

    return digest_of(weights_of(module)), layers, frozen


def _training(dataset: LoadedDataset) -> Split:
    """The training images; none for a data set that only evaluates."""
    if dataset.train is not None:
        return dataset.train
    return Split.of(torch.zeros(0, *dataset.info.shape), torch.zeros(0, dtype=torch.int64))


def weights_of(module: nn.Module) -> Tensors:
    """The module's state dict as NumPy arrays."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}


def load_weights(module: nn.Module, artifact: Artifact) -> None:
    """Load stored weights into a newly built module."""
    module.load_state_dict(
        {name: torch.from_numpy(array.copy()) for name, array in artifact.tensors.items()}
    )
