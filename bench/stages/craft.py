"""Crafting adversarial sets under a threat model.

An adversarial set that does not depend on the purifier is shared by all defenses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.contracts import Attack
from bench.errors import NotApplicable
from bench.geometry import Norm, within
from bench.plugins.configured import Configured
from bench.plugins.faults import plugin_call
from bench.stages.context import TaskContext
from bench.stages.crafting import (
    gradient_norms,
    minimise,
    parameters_at_budget,
    perturb,
    random_noise,
    target_classes,
)
from bench.stages.known_draw import KnownDraw, fixed_draw
from bench.stages.references import AdversarialRef, NetworkRef, SplitRef, is_stochastic
from bench.stages.seeding import seeded
from bench.stages.task import Task
from bench.stages.threats import AnyAttackedModel, ThreatModel
from bench.store.artifacts import Meta, Tensors


@dataclass(frozen=True)
class Craft(Task):
    """The task that attacks test images and stores the adversarial set.

    Attributes:
        attack: attack to run.
        eps: budget of the attack on the [0, 1] scale; None for the nearest adversarial images of a
            `MinimumNorm` attack.
        threat: threat model, which decides what model is attacked.
        split: test images to attack.
        classifier: classifier under attack; None if the threat model does not use it, so that all
            classifiers share the set.
        purifier: defense under attack; None if the threat model does not use it, so that all
            defenses share the set.
        substitute: substitute classifier under attack; None if the threat model does not use one.
        batch_size: number of images attacked at once; part of the key, because randomness is drawn
            per batch.
        seed: seed of the attack's randomness.
    """

    kind: ClassVar[str] = "adversarial"
    attack: Configured[Attack]
    eps: float | None
    threat: ThreatModel
    split: SplitRef
    classifier: NetworkRef | None
    purifier: NetworkRef | None
    substitute: NetworkRef | None
    batch_size: int
    seed: int

    @property
    def eot(self) -> int:
        """Number of draws that the gradient is averaged over; 1 for a deterministic model."""
        return self.threat.eot if self._is_stochastic else 1

    @property
    def _is_stochastic(self) -> bool:
        return is_stochastic(self.classifier, self.purifier)

    @property
    def title(self) -> str:
        """One line for people: attack, budget, threat model and networks."""
        labels = [network.plugin.label for network in self._attacked_networks()]
        target = " + ".join(labels) or self.split.dataset
        budget = "nearest" if self.eps is None else f"eps {self.eps:g}"

        return f"{self.attack.label} {budget} ({self.threat.label}) on {target}"

    def identity(self) -> Mapping[str, Any]:
        """Attack, budget, threat model, images, attacked networks, batch size and seed."""
        attacked = self.threat.kind.surrogate is not None
        return {
            "attack": self.attack.identity if attacked else {"noise": self.attack.plugin.ball()},
            "eps": self.eps,
            "threat": self.threat.kind.name,
            "eot": self.eot,
            **self.threat.options,
            "data": self.split.digest,
            **{
                name: network.identity if network else None
                for name, network in self._networks().items()
            },
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        """Attack the images batch by batch.

        Tensors: `adversarial` (n, c, h, w); `attacked` (n,) bool, false for an image left unchanged
        because the attacked model already misclassifies it (under transfer and with a stochastic
        model every image is attacked); `gradient_norm` (n,), the L2 norm of the loss gradient at
        the clean image, NaN if the threat model gives no gradient; for a targeted attack, `target`
        int64 (n,), the class that it aims at.
        """
        images, labels = context.images(self.split)
        model = self._model(context)
        parts: list[dict[str, Tensor]] = []

        with context.progress.step(f"craft {self.title}", len(labels)) as step:
            if model is not None:
                model.register_forward_pre_hook(
                    lambda *_: step.advance(0, f"after {model.calls} calls of the model")
                )

            for start in range(0, len(labels), self.batch_size):
                batch = images[start : start + self.batch_size]
                targets = labels[start : start + self.batch_size]
                if model is not None and self.threat.fixed_draw:
                    model.draw = KnownDraw(fixed_draw(self.seed, start), len(batch))
                with seeded(context.device, self.key, start):
                    parts.append(self._attack(model, batch, targets))
                step.advance(len(batch))

        tensors = {
            name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]
        }
        return tensors, self._meta(model)

    def _meta(self, model: AnyAttackedModel | None) -> Meta:
        """The description stored beside the tensors."""
        meta: dict[str, Any] = {"title": self.title, "identity": self.identity()}
        if model is not None:
            meta["calls"] = {"forward": model.forward_images, "backward": model.backward_images}
        if self.eps is not None:
            meta["attack"] = parameters_at_budget(self.attack, self.eps)

        return meta

    def _networks(self) -> dict[str, NetworkRef | None]:
        """The networks by role; None for a role that the threat model does not use."""
        return {
            "classifier": self.classifier,
            "purifier": self.purifier,
            "substitute": self.substitute,
        }

    def _attacked_networks(self) -> list[NetworkRef]:
        """The networks that the attack uses, the purifier first."""
        networks = (self.purifier, self.classifier, self.substitute)
        return [network for network in networks if network]

    @property
    def _description(self) -> str:
        """The model under attack, as messages name it."""
        names = [network.description for network in self._attacked_networks()]
        return f"{' with '.join(names)} ({self.threat.label})"

    def _model(self, context: TaskContext) -> AnyAttackedModel | None:
        """The model under attack; None if the threat model is random noise."""
        surrogate = self.threat.kind.surrogate
        if surrogate is None:
            return None

        networks = {
            name: context.network(network) if network else nn.Identity()
            for name, network in self._networks().items()
        }
        with plugin_call(self._description):
            model = surrogate(networks["purifier"], networks["classifier"], networks["substitute"])
            model.eval()
        model.eot = self.eot
        model.evaluated = self.threat.kind.sees_defense
        model.microbatches = context.microbatches(self._description)

        return model

    def _attack(
        self, model: AnyAttackedModel | None, images: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """The tensors of a batch, see `run`."""
        attacked = torch.ones(len(labels), dtype=torch.bool, device=images.device)
        gradients = torch.full((len(labels),), float("nan"), device=images.device)
        if model is None:
            noisy = self._noise(images)
            return {"adversarial": noisy, "attacked": attacked, "gradient_norm": gradients}

        if self.substitute is None and not self._is_stochastic:
            with torch.no_grad(), plugin_call(self._description):
                attacked = model(images).argmax(1) == labels  # a rejected image is not right

        if self.threat.kind.gradient:
            gradients = gradient_norms(self._description, model, images, labels)

        adversarial = images.clone()
        adversarial[attacked] = self._perturbed(model, images[attacked], labels[attacked])
        result = {"adversarial": adversarial, "attacked": attacked, "gradient_norm": gradients}

        aim = target_classes(self.attack, model, images[attacked], labels[attacked])
        if aim is not None:
            result["target"] = labels.clone().masked_scatter_(attacked, aim)
        return result

    def _perturbed(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Adversarial versions of images that the model classifies correctly."""
        if self.eps is None:
            return minimise(self.attack, model, images, labels)

        return perturb(self.attack, model, images, labels, self.eps)

    def _noise(self, images: Tensor) -> Tensor:
        """The images with random noise of the attack's norm and budget."""
        norm = self.attack.plugin.ball()
        if norm is None or self.eps is None:
            raise NotApplicable(
                f"the budget of attack {self.attack.label} is not a norm, "
                "so there is no random noise of the same size"
            )

        return random_noise(images, self.eps, norm)


@dataclass(frozen=True)
class ProjectToBudget(Task):
    """The task that projects the images of a `MinimumNorm` attack onto the budget.

    An image within the budget is kept; one beyond it moves back towards its original until its
    distance is `eps`.

    Attributes:
        nearest: adversarial set that was crafted without a budget.
        split: test images that the set was crafted from.
        eps: budget on the [0, 1] scale.
        norm: norm in which the budget is measured.
    """

    kind: ClassVar[str] = "adversarial"
    nearest: AdversarialRef
    split: SplitRef
    eps: float
    norm: Norm

    @property
    def title(self) -> str:
        """One line for people: budget and norm."""
        return f"within eps {self.eps:g} ({self.norm})"

    def identity(self) -> Mapping[str, Any]:
        """Adversarial set, images, budget and norm."""
        return {
            "nearest": self.nearest.digest,
            "data": self.split.digest,
            "eps": self.eps,
            "norm": self.norm,
        }

    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        """Project the images; the tensors are those of `Craft.run`."""
        tensors = context.adversarial_set(self.nearest)
        images, _ = context.images(self.split)

        adversarial = torch.from_numpy(tensors["adversarial"].copy()).to(images.device)
        projected = within(images, adversarial, self.eps, self.norm).cpu().numpy()
        meta = {"title": self.title, "identity": self.identity()}

        return {**tensors, "adversarial": projected}, meta
