"""Crafting an adversarial set under a threat model.

A set that does not depend on the purifier serves all of them.
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
from bench.stages.context import TaskContext
from bench.stages.crafting import described, gradient_norms, minimise, noise, perturb
from bench.stages.guard import plugin_call
from bench.stages.references import AdversarialRef, NetworkRef, SplitRef, is_stochastic
from bench.stages.seeding import seeded
from bench.stages.task import Task
from bench.stages.threats import ThreatModel
from bench.store.artifacts import Meta, Tensors


@dataclass(frozen=True)
class Craft(Task):
    """Attack the test images.

    Attributes:
        attack: the attack.
        eps: its budget on the [0, 1] scale; None for the nearest adversarial images of a
            `MinimumNorm` attack.
        threat: the threat model.
        split: the test images.
        classifier: the attacked classifier, where the threat model uses it; else None, so that the
            set is shared.
        purifier: the defense, likewise.
        substitute: the substitute classifier, likewise.
        batch_size: images attacked at once; randomness is drawn per batch, so it is part of the
            key.
        seed: of the attack's randomness.
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
        """Draws the gradient is averaged over: one where every draw is the same."""
        return self.threat.eot if is_stochastic(self.purifier) else 1

    def identity(self) -> Mapping[str, Any]:
        """Attack, budget, threat model, images, the networks whose gradient is followed, batch size, seed."""
        attacked = self.threat.kind.surrogate is not None
        return {
            "attack": self.attack.identity if attacked else {"noise": self.attack.plugin.ball()},
            "eps": self.eps,
            "threat": self.threat.kind.name,
            "eot": self.eot,
            "data": self.split.digest,
            **{
                name: network.identity if network else None
                for name, network in self._networks().items()
            },
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    def _networks(self) -> dict[str, NetworkRef | None]:
        return {
            "classifier": self.classifier,
            "purifier": self.purifier,
            "substitute": self.substitute,
        }

    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        """Attack batch by batch.

        An image that the very model under attack gets wrong already is not attacked, unless another
        draw of that model might get it right. Tensors: `adversarial` (n, c, h, w), `attacked` (n,)
        bool, `gradient_norm` (n,) of the loss at the clean image, NaN where the threat model gives
        no gradient.
        """
        images, labels = context.images(self.split)
        model = self._model(context)
        parts: dict[str, list[Tensor]] = {"adversarial": [], "attacked": [], "gradient_norm": []}
        with context.progress.step(f"craft {self.title}", len(labels)) as step:
            if model is not None:
                model.register_forward_pre_hook(
                    lambda *_: step.advance(0, f"after {model.calls} calls of the model")
                )
            for start in range(0, len(labels), self.batch_size):
                batch, targets = (
                    images[start : start + self.batch_size],
                    labels[start : start + self.batch_size],
                )
                with seeded(context.device, self.key, start):
                    found = self._attack(model, batch, targets)
                for name, tensor in zip(parts, found, strict=True):
                    parts[name].append(tensor)
                step.advance(len(batch))
        meta = {"title": self.title, "identity": self.identity()}
        if self.eps is not None:
            meta["attack"] = described(self.attack, self.eps)
        return {name: torch.cat(tensors).cpu().numpy() for name, tensors in parts.items()}, meta

    def _model(self, context: TaskContext) -> nn.Module | None:
        """What is attacked; None where the threat model is noise."""
        surrogate = self.threat.kind.surrogate
        if surrogate is None:
            return None
        networks = {
            name: context.network(each) if each else nn.Identity()
            for name, each in self._networks().items()
        }
        model = surrogate(
            networks["purifier"], networks["classifier"], networks["substitute"]
        ).eval()
        model.eot = self.eot  # type: ignore[assignment]
        return model

    def _attack(
        self, model: nn.Module | None, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Adversarial images, which of them were attacked, gradient norms."""
        attacked = torch.ones(len(labels), dtype=torch.bool, device=images.device)
        gradients = torch.full((len(labels),), float("nan"), device=images.device)
        if model is None:
            return self._noise(images), attacked, gradients
        if self.substitute is None and not is_stochastic(self.purifier):
            with torch.no_grad(), plugin_call(self._who):
                attacked = model(images).argmax(1) == labels
        if self.threat.kind.gradient:
            gradients = gradient_norms(self._who, model, images, labels)
        output = images.clone()
        if self.eps is None:
            output[attacked] = minimise(self.attack, model, images[attacked], labels[attacked])
        else:
            output[attacked] = perturb(
                self.attack, model, images[attacked], labels[attacked], self.eps
            )
        return output, attacked, gradients

    def _noise(self, images: Tensor) -> Tensor:
        norm = self.attack.plugin.ball()
        if norm is None or self.eps is None:
            raise NotApplicable(f"attack {self.attack.label} has no budget that noise could have")
        return noise(images, self.eps, norm)

    @property
    def _who(self) -> str:
        """The model under attack in messages."""
        names = [each.who for each in (self.purifier, self.classifier, self.substitute) if each]
        return f"{' with '.join(names)} ({self.threat.label})"

    @property
    def title(self) -> str:
        """What it is, for people."""
        names = [
            each.plugin.label for each in (self.purifier, self.classifier, self.substitute) if each
        ]
        budget = "nearest" if self.eps is None else f"eps {self.eps:g}"
        return f"{self.attack.label} {budget} ({self.threat.label}) on {' + '.join(names) or self.split.dataset}"


@dataclass(frozen=True)
class ProjectToBudget(Task):
    """The nearest adversarial images of a `MinimumNorm` attack, those beyond the budget drawn back
    to it.

    Attributes:
        nearest: the set without a budget.
        split: the test images.
        eps: the budget on the [0, 1] scale.
        norm: in which it is measured.
    """

    kind: ClassVar[str] = "adversarial"
    nearest: AdversarialRef
    split: SplitRef
    eps: float
    norm: Norm

    def identity(self) -> Mapping[str, Any]:
        """The set, the images, the budget."""
        return {
            "nearest": self.nearest.digest,
            "data": self.split.digest,
            "eps": self.eps,
            "norm": self.norm,
        }

    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        """The same tensors as `Craft` leaves."""
        tensors = context.adversarial_set(self.nearest)
        images, _ = context.images(self.split)
        adversarial = torch.from_numpy(tensors["adversarial"].copy()).to(images.device)
        drawn_back = within(images, adversarial, self.eps, self.norm).cpu().numpy()
        meta = {"title": f"within eps {self.eps:g} ({self.norm})", "identity": self.identity()}
        return {**tensors, "adversarial": drawn_back}, meta
