"""Training a classifier or a purifier; one that diverged or stayed at chance is refused."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from bench.contracts import Classifier, Defense, Network
from bench.errors import PluginFault
from bench.plugins.configured import Configured
from bench.stages.context import TaskContext, weights_of
from bench.stages.guard import Guarded, plugin_call
from bench.stages.references import NetworkRef, SplitRef
from bench.stages.seeding import seeded
from bench.stages.task import Task
from bench.stages.training import TrainingContext
from bench.store.artifacts import Meta, Tensors

logger = logging.getLogger("bench")


@dataclass(frozen=True)
class Train(Task):
    """Train a network.

    Attributes:
        plugin: a classifier or a defense.
        split: the training images.
        seed: of weights, order of images and noise.
        against: the classifier a defense is trained with; None for one that does not use it, and
            for classifiers.
        role: what it is trained for, where its randomness must differ from that of the same
            plugin's; else empty.
    """

    kind: ClassVar[str] = "network"
    plugin: Configured[Network]
    split: SplitRef
    seed: int
    against: NetworkRef | None = None
    role: str = ""

    @property
    def who(self) -> str:
        """The network's name in messages."""
        return NetworkRef(self.plugin, self.split.info, "", "").who

    def identity(self) -> Mapping[str, Any]:
        """Family, plugin, data, seed, and the weights it is trained against."""
        return {
            "family": "defense" if isinstance(self.plugin.plugin, Defense) else "classifier",
            "plugin": self.plugin.training_identity,
            "data": self.split.digest,
            "seed": self.seed,
            "against": self.against.identity if self.against else None,
            **({"role": self.role} if self.role else {}),
        }

    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        """Build, fit, check, and hand over the weights."""
        start = time.perf_counter()
        images, labels = context.images(self.split)
        classifier = context.network(self.against) if self.against else None
        fit_context = TrainingContext(
            title=f"train {self.role} {self.who} on {self.split.dataset}".replace("  ", " "),
            data=self.split.info,
            images=images,
            labels=labels,
            seed=self.key,
            progress=context.progress,
            classifier=classifier,
        )
        with seeded(context.device, self.key, "fit"):
            module = fitted(self.plugin.plugin, self.who, fit_context, context.device)
        quality = {}
        if isinstance(self.plugin.plugin, Classifier):
            quality = check_classifier(self.who, module, fit_context)
        with plugin_call(self.who):
            weights = weights_of(module)
        meta = {
            "title": f"{self.who} on {self.split.dataset}, seed {self.seed}",
            "identity": self.identity(),
            "device": str(context.device),
            "seconds": round(time.perf_counter() - start, 3),
            "losses": fit_context.history,
            **quality,
        }
        logger.info("trained %s in %.1f s", meta["title"], meta["seconds"])
        return weights, meta


def fitted(plugin: Network, who: str, context: TrainingContext, device: torch.device) -> nn.Module:
    """Build a module, fit it, and return it in evaluation mode, frozen.

    Raises:
        PluginFault: building or fitting raised, or the weights are not finite.
    """
    with plugin_call(who):
        module = plugin.build(context.data)
        if not isinstance(module, nn.Module):
            raise PluginFault(
                f"{who}: build() returned {type(module).__name__} instead of a torch module"
            )
        module = module.to(device).train()
        with torch.enable_grad():
            plugin.fit(module, context)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise PluginFault(f"{who} did not train: {name} holds NaN or infinite weights")
    return module.eval().requires_grad_(False)


def check_classifier(who: str, module: nn.Module, context: TrainingContext) -> dict[str, float]:
    """The accuracy on training images, for the record.

    Raises:
        PluginFault: it is hardly above chance: the network failed to train.
    """
    images, labels = context.images[:500], context.labels[:500]
    logits = Guarded(who, module, context.data.classes)(images)
    accuracy = float((logits.argmax(1) == labels).float().mean())
    chance = 1 / context.data.classes
    if accuracy < min(2 * chance, (1 + chance) / 2):
        raise PluginFault(
            f"{who} did not train: accuracy {accuracy:.3f} on its training images (chance {chance:.3f})"
        )
    return {"train_accuracy": accuracy}
