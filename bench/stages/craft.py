"""Crafting an adversarial set under a threat model. A set that does not depend on the purifier serves all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.artifacts import Meta, Tensors
from bench.configure import Configured
from bench.contracts import Attack
from bench.crafting import described, gradient_norms, perturb
from bench.seeding import seeded
from bench.stages.base import Lab, SplitRef, Task, Trained
from bench.threats import threat_named


@dataclass(frozen=True)
class Craft(Task):
    """Attack the test images.

    Attributes:
        attack: the attack.
        eps: its budget on the [0, 1] scale.
        threat: the name of the threat model.
        split: the test images.
        classifier: the attacked classifier.
        purifier: the defense, where the threat model sees it; else None, so that the set is shared.
        batch_size: images attacked at once; randomness is drawn per batch, so it is part of the key.
        seed: of the attack's randomness.
    """

    kind: ClassVar[str] = "adversarial"
    attack: Configured[Attack]
    eps: float
    threat: str
    split: SplitRef
    classifier: Trained
    purifier: Trained | None
    batch_size: int
    seed: int

    def identity(self) -> Mapping[str, Any]:
        """Attack, budget, threat model, images, the networks whose gradient is followed, batch size, seed."""
        return {
            "attack": self.attack.identity,
            "eps": self.eps,
            "threat": self.threat,
            "data": self.split.digest,
            "classifier": self.classifier.identity,
            "purifier": self.purifier.identity if self.purifier else None,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    def run(self, lab: Lab) -> tuple[Tensors, Meta]:
        """Attack batch by batch; an image the bare classifier gets wrong already is not attacked.

        Tensors: `adversarial` (n, c, h, w), `attacked` (n,) bool, `gradient_norm` (n,) of the loss at the clean image.
        """
        images, labels = lab.images(self.split)
        classifier = lab.checked(self.classifier)
        purifier = lab.network(self.purifier) if self.purifier else None
        model = threat_named(self.threat).surrogate(purifier, lab.network(self.classifier))
        crafted: list[Tensor] = []
        attacked: list[Tensor] = []
        gradients: list[Tensor] = []
        with lab.progress.step(f"craft {self.title}", len(labels)) as step:
            for start in range(0, len(labels), self.batch_size):
                batch, targets = images[start : start + self.batch_size], labels[start : start + self.batch_size]
                with torch.no_grad():
                    right = classifier(batch).argmax(1) == targets
                with seeded(lab.device, self.key, start):
                    gradients.append(gradient_norms(f"{self.classifier.who} ({self.threat})", model, batch, targets))
                    output = batch.clone()
                    output[right] = perturb(self.attack, model, batch[right], targets[right], self.eps)
                crafted.append(output)
                attacked.append(right)
                step.advance(len(batch))
        tensors = {"adversarial": crafted, "attacked": attacked, "gradient_norm": gradients}
        meta = {"title": self.title, "identity": self.identity(), "attack": described(self.attack, self.eps)}
        return {name: torch.cat(parts).cpu().numpy() for name, parts in tensors.items()}, meta

    @property
    def title(self) -> str:
        """What it is, for people."""
        return f"{self.attack.label} eps {self.eps:g} ({self.threat}) on {self.classifier.plugin.label}"
