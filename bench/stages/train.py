"""Training of classifiers and defenses; a network that diverged or stayed at chance is refused."""

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
from bench.plugins.faults import plugin_call
from bench.plugins.process_state import first_process_state
from bench.spec import Spec
from bench.stages.context import TaskContext, weights_of
from bench.stages.guard import Guarded
from bench.stages.microbatches import FittingSizes
from bench.stages.references import NetworkRef, SplitRef, network_description
from bench.stages.seeding import seeded
from bench.stages.task import Task
from bench.stages.training import TrainingContext
from bench.store.artifacts import Meta, Tensors
from bench.text import LONGEST_NAME, one_line

_CHECKED_IMAGES = 500
"""Number of training images on which a trained classifier is checked."""

logger = logging.getLogger("bench")


@dataclass(frozen=True)
class Train(Task):
    """The task that trains a network.

    Attributes:
        plugin: classifier or defense to train; of a defense that wraps another one, the inner
            defense is trained.
        split: training images.
        seed: seed of the initial weights, the order of the images and the noise.
        against: trained classifier that the defense uses in training; None for a classifier, and
            for a defense that does not use one.
        role: name of a second use of the same plugin, such as `substitute`, whose randomness must
            differ from that of the first; else empty.
    """

    kind: ClassVar[str] = "network"
    plugin: Configured[Network]
    split: SplitRef
    seed: int
    against: NetworkRef | None = None
    role: str = ""

    @property
    def description(self) -> str:
        """The network's name in messages, such as `defense convae`."""
        return network_description(self.plugin.trained)

    @property
    def title(self) -> str:
        """One line for people: network, data set and seed."""
        return f"{self.description} on {self.split.dataset}, seed {self.seed}"

    def identity(self) -> Mapping[str, Any]:
        """Family, plugin, data, seed, classifier that is trained against, and role."""
        return {
            "family": "defense" if isinstance(self.plugin.plugin, Defense) else "classifier",
            "plugin": self.plugin.training_identity,
            "data": self.split.digest,
            "seed": self.seed,
            "against": self.against.identity if self.against else None,
            **({"role": self.role} if self.role else {}),
        }

    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        """Build, fit and check the network; the tensors are its weights.

        Raises:
            PluginFault: building or fitting raised an exception, or the training failed.
        """
        start = time.perf_counter()
        fit_context = self._fit_context(context)

        with seeded(context.device, self.key, "fit"):
            plugin = self.plugin.trained.plugin
            module = fitted(plugin, self.description, fit_context, context.device)

        quality = {}
        if isinstance(self.plugin.plugin, Classifier) and len(fit_context.split):
            with seeded(context.device, self.key, "check"):
                fits = type(plugin).fit is not Network.fit
                quality = check_classifier(self.description, module, fit_context, fits=fits)

        with plugin_call(self.description):
            weights = weights_of(module)

        meta = {
            "title": self.title,
            "identity": self.identity(),
            "shape": list(fit_context.data.shape),
            "classes": fit_context.data.classes,
            "device": str(context.device),
            "seconds": round(time.perf_counter() - start, 3),
            "losses": fit_context.history,
            **quality,
        }
        if type(plugin).fit is not Network.fit:
            logger.info("trained %s in %.1f s", meta["title"], meta["seconds"])

        return weights, meta

    def _fit_context(self, context: TaskContext) -> TrainingContext:
        """The context that the plugin's `fit` is given."""
        subject = f"{self.role} {self.description}".strip()

        return TrainingContext(
            title=f"train {subject} on {self.split.dataset}",
            data=self.split.info,
            split=context.training(self.split),
            seed=self.key,
            progress=context.progress,
            classifier=context.network(self.against) if self.against else None,
            member=lambda spec: self._member(spec, context),
        )

    def _member(self, spec: Spec, context: TaskContext) -> nn.Module:
        """The trained module of a plugin that a parameter names.

        The member of a substitute is that of a substitute too, whose randomness differs.
        """
        member = network_member(self.plugin.trained, spec, has_classifier=self.against is not None)
        against = self.against if _uses_classifier(member) else None
        task = Train(member, self.split, self.seed, against, self.role)

        # Nothing depends on whether the member is trained now, in memory, or loaded.
        with first_process_state(), seeded(context.device, self.key, "member"):
            digest = context.digest(task)
            return context.network(NetworkRef(member, self.split.info, task.key, digest))


def network_member(
    plugin: Configured[Network], spec: Spec, *, has_classifier: bool
) -> Configured[Network]:
    """The defense or classifier of a spec that a parameter of another one holds.

    Args:
        plugin: plugin with the parameter.
        spec: value of the parameter, or one of several.
        has_classifier: whether the plugin is trained with the classifier.

    Raises:
        PluginFault: no parameter holds the spec, it is that of an attack, or it needs the
            classifier in training and the plugin does not.
    """
    description = network_description(plugin)
    networks = {
        named: member
        for named, member in plugin.members.items()
        if isinstance(member.plugin, Network)
    }
    if spec not in networks:
        names = one_line(", ".join(map(str, networks)) or "none")
        raise PluginFault(
            f"{description}: fit() builds '{one_line(str(spec), LONGEST_NAME)}', which none of its "
            f"parameters names as a defense or classifier (they name: {names})"
        )

    member = networks[spec]
    if _uses_classifier(member) and not has_classifier:
        raise PluginFault(
            f"{description}: its {network_description(member)} is trained with the classifier: "
            "set uses_classifier = True"
        )
    return member


def _uses_classifier(plugin: Configured[Network]) -> bool:
    """Whether a network is a defense that is trained with the classifier."""
    return isinstance(plugin.plugin, Defense) and plugin.plugin.uses_classifier


def fitted(
    plugin: Network, description: str, context: TrainingContext, device: torch.device
) -> nn.Module:
    """A module that is built and fitted now, in evaluation mode and frozen.

    Args:
        plugin: classifier or defense.
        description: name of the plugin in messages.
        context: context that the plugin's `fit` is given.
        device: device to train on.

    Raises:
        PluginFault: building or fitting raised an exception, or a weight is NaN or infinite.
    """
    with plugin_call(description):
        module = plugin.build(context.data)
        if not isinstance(module, nn.Module):
            raise PluginFault(
                f"{description}: build() returned {type(module).__name__} instead of a torch module"
            )

        module = module.to(device).train()
        with torch.enable_grad():
            plugin.fit(module, context)

        weights = {n: t for n, t in module.state_dict().items() if t.is_floating_point()}
        finite = [torch.isfinite(tensor).all() for tensor in weights.values()]
        are_finite = torch.stack(finite).tolist() if finite else []
        for name, is_finite in zip(weights, are_finite, strict=True):
            if not is_finite:
                raise PluginFault(
                    f"{description} did not train: {name} has NaN or infinite weights"
                )
        module.eval()
        module.requires_grad_(False)

    return module


def check_classifier(
    description: str, module: nn.Module, context: TrainingContext, *, fits: bool
) -> dict[str, float]:
    """The classifier's accuracy on the first training images, by name, for the description.

    Args:
        description: name of the classifier in messages.
        module: classifier in evaluation mode.
        context: context of its fit.
        fits: whether the classifier was trained here; one that came trained may be of other data.

    Raises:
        PluginFault: the accuracy is below twice the chance level (or, for few classes, below the
            middle between chance and 1), so the training failed.
    """
    labels = context.split.labels[:_CHECKED_IMAGES]
    images = context.split.pixels.first(_CHECKED_IMAGES).to(labels.device)

    logits = Guarded(description, module, context.data.classes, FittingSizes())(images)
    accuracy = float((logits.argmax(1) == labels).float().mean())

    chance = 1 / context.data.classes
    if accuracy < min(2 * chance, (1 + chance) / 2):
        what = "did not train" if fits else "is no better than chance"
        raise PluginFault(
            f"{description} {what}: accuracy {accuracy:.3f} on its training images "
            f"(chance {chance:.3f})"
        )

    return {"train_accuracy": accuracy}
