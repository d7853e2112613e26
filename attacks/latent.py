"""Latent-space attack: Athalye, Carlini, Wagner, ICML 2018 (arXiv:1802.00420)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.optim import Adam

from attacks._losses import margin
from bench.contracts import Attack, NotApplicable, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("latent")
@dataclass(frozen=True)
class Latent(Attack):
    """Latent-space attack: search for misclassified images of a generator (arXiv:1802.00420).

    Section 5.4.2 of the paper. A purifier that projects on the range of a generator leaves an image
    of that range unchanged, so a misclassified one passes. The paper minimizes, over the latent
    code, the squared distance plus the classifier's loss. Two things differ here: distances up to
    eps are free and only the excess counts, and the classifier's loss is its margin, as in Carlini
    and Wagner. Pixels still beyond eps in the end are clipped to it.

    The purifier itself takes no part in the search, so the attack costs the same under every threat
    model that shows the generator.

    Attributes:
        restarts: number of random starts of the latent code from N(0, I) for each image, at least
            1.
        steps: number of Adam's steps on the latent code, at least 1.
        learning_rate: learning rate of Adam, above 0.
        weight: weight of the mean squared excess over eps, relative to the margin, above 0.
    """

    restarts: PositiveInt = 4
    steps: PositiveInt = 200
    learning_rate: PositiveFloat = 0.1
    weight: PositiveFloat = 1000.0

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """Adversarial images in [0, 1], at most eps away in L-infinity; see `Attack.perturb`.

        Raises:
            NotApplicable: the model shows no generator.
        """
        generator = getattr(model, "generator", None)
        classifier = getattr(model, "classifier", None)
        if generator is None or classifier is None:
            raise NotApplicable(
                "attack latent searches the range of a purifier's generator, and here there is none"
            )

        originals = images.repeat_interleave(self.restarts, dim=0)
        classes = labels.repeat_interleave(self.restarts, dim=0)

        def losses(generated: Tensor) -> Tensor:
            distance = relu(-margin(classifier(generated), classes))
            return distance + self.weight * _excess(generated, originals, eps)

        z = torch.randn(len(originals), generator.latent, device=images.device, requires_grad=True)
        optimizer = Adam([z], lr=self.learning_rate)
        for _ in range(self.steps):
            with torch.enable_grad():
                loss = losses(generator.generate(z)).sum()
                optimizer.zero_grad(set_to_none=True)
                loss.backward(inputs=[z])
                optimizer.step()

        with torch.no_grad():
            generated = generator.generate(z)
            best = losses(generated).view(len(images), self.restarts).argmin(dim=1)
            index = best + self.restarts * torch.arange(len(images), device=images.device)
            delta = (generated[index] - images).clamp(-eps, eps)
            adversarial: Tensor = (images + delta).clamp(0, 1)
        return adversarial

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002 - same at every budget
        """Number of steps and of restarts, which set the cost of the search."""
        return {"steps": self.steps, "restarts": self.restarts}


def _excess(generated: Tensor, images: Tensor, eps: float) -> Tensor:
    """Mean over the pixels of the squared distance beyond eps, (n,)."""
    return (relu((generated - images).abs() - eps) ** 2).flatten(1).mean(dim=1)
