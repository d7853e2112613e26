"""Training a classifier or a purifier, and refusing to call a failed training a network."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.artifacts import Meta, Tensors
from bench.configure import Configured
from bench.contracts import Classifier, Defense, Network
from bench.errors import PluginFault
from bench.guard import Guarded, plugin_call
from bench.seeding import seeded
from bench.stages.base import Lab, SplitRef, Task, Trained, weights_of
from bench.training import TrainingContext

_CHECKED_IMAGES = 16
_COLLAPSED = 0.05
"""A purifier whose output varies less than this share of its input's variation has collapsed."""


@dataclass(frozen=True)
class Train(Task):
    """Train a network.

    Attributes:
        plugin: a classifier or a defense.
        split: the training images.
        seed: of weights, order of images and noise.
        against: the classifier a defense is trained with; None for one that does not use it, and for classifiers.
    """

    kind: ClassVar[str] = "network"
    plugin: Configured[Network]
    split: SplitRef
    seed: int
    against: Trained | None = None

    @property
    def who(self) -> str:
        """The network's name in messages."""
        return Trained(self.plugin, self.split.info, "", "").who

    def identity(self) -> Mapping[str, Any]:
        """Family, plugin, data, seed, and the weights it is trained against."""
        return {
            "family": "defense" if isinstance(self.plugin.plugin, Defense) else "classifier",
            "plugin": self.plugin.training_identity,
            "data": self.split.digest,
            "seed": self.seed,
            "against": self.against.identity if self.against else None,
        }

    def run(self, lab: Lab) -> tuple[Tensors, Meta]:
        """Build, fit, check, and hand over the weights."""
        start = time.perf_counter()
        images, labels = lab.images(self.split)
        classifier = lab.network(self.against) if self.against else None
        context = TrainingContext(
            title=f"train {self.who} on {self.split.dataset}",
            data=self.split.info,
            images=images,
            labels=labels,
            seed=self.key,
            progress=lab.progress,
            classifier=classifier,
        )
        with seeded(lab.device, self.key, "fit"):
            module = fitted(self.plugin.plugin, self.who, context, lab.device)
        with seeded(lab.device, self.key, "check"):
            quality = check_trained(self.plugin.plugin, self.who, module, context)
        meta = {
            "title": f"{self.who} on {self.split.dataset}, seed {self.seed}",
            "identity": self.identity(),
            "device": str(lab.device),
            "seconds": round(time.perf_counter() - start, 3),
            "losses": context.history,
            **quality,
        }
        return weights_of(module), meta


def fitted(plugin: Network, who: str, context: TrainingContext, device: torch.device) -> nn.Module:
    """Build a module, fit it, and return it in evaluation mode, frozen.

    Raises:
        PluginFault: building or fitting raised, or the weights are not finite.
    """
    with plugin_call(who):
        module = plugin.build(context.data)
        if not isinstance(module, nn.Module):
            raise PluginFault(f"{who}: build() returned {type(module).__name__} instead of a torch module")
        module = module.to(device).train()
        with torch.enable_grad():
            plugin.fit(module, context)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise PluginFault(f"{who} did not train: {name} holds NaN or infinite weights")
    return module.eval().requires_grad_(False)


def check_trained(plugin: Network, who: str, module: nn.Module, context: TrainingContext) -> dict[str, float]:
    """Refuse a classifier at chance and a purifier whose output hardly depends on its input.

    Raises:
        PluginFault: the network failed to train, and how it shows.
    """
    if isinstance(plugin, Classifier):
        return _check_classifier(who, module, context)
    return _check_purifier(who, module, context)


def _check_classifier(who: str, module: nn.Module, context: TrainingContext) -> dict[str, float]:
    images, labels = context.images[:500], context.labels[:500]
    logits = Guarded(who, module, context.data.classes)(images)
    accuracy = float((logits.argmax(1) == labels).float().mean())
    chance = 1 / context.data.classes
    if accuracy < min(2 * chance, (1 + chance) / 2):
        raise PluginFault(f"{who} did not train: accuracy {accuracy:.3f} on its training images (chance {chance:.3f})")
    return {"train_accuracy": accuracy}


def _check_purifier(who: str, module: nn.Module, context: TrainingContext) -> dict[str, float]:
    images = context.images[:_CHECKED_IMAGES]
    with torch.no_grad():
        output = Guarded(who, module, None)(images)
    ratio = _variation(output) / max(_variation(images), 1e-12)
    if ratio < _COLLAPSED:
        raise PluginFault(
            f"{who} collapsed: across images its output varies {ratio:.1%} as much as its input does; it did not train"
        )
    return {"output_variation": ratio}


def _variation(images: Tensor) -> float:
    """The standard deviation across images, averaged over pixels."""
    return float(images.std(dim=0).mean())
