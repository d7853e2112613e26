"""Search in a generator's latent space: Athalye, Carlini, Wagner, ICML 2018 (arXiv:1802.00420), section 5.4.2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.optim import Adam

from bench.contracts import Attack, NotApplicable, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("latent")
@dataclass(frozen=True)
class Latent(Attack):
    """Search the range of the purifier's generator for a misclassified image near the original
    (arXiv:1802.00420).

    A purifier that projects on the range of a generator leaves an image of that range as it is, so
    one that the classifier gets wrong passes. The paper minimises the squared distance plus the
    classifier's loss over z; here what lies within eps is free and only the excess counts, and the
    classifier's loss is its margin, as in Carlini and Wagner. What is still beyond eps at the end
    is cut to it. The purifier itself takes no part in the search, so that it costs the same under
    every threat model that shows the generator.

    Attributes:
        restarts: random starts of z from N(0, I) for each image.
        steps: of Adam on z.
        learning_rate: of Adam.
        weight: of the mean squared excess over eps, against the margin.
    """

    restarts: PositiveInt = 4
    steps: PositiveInt = 200
    learning_rate: PositiveFloat = 0.1
    weight: PositiveFloat = 1000.0

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """Adversarial images in [0, 1], at most eps away in the L-infinity norm; see
        `Attack.perturb`.

        Raises:
            NotApplicable: the model shows no generator.
        """
        generator, classifier = (
            getattr(model, "generator", None),
            getattr(model, "classifier", None),
        )
        if generator is None or classifier is None:
            raise NotApplicable(
                "attack latent searches the range of a purifier's generator, and here there is none"
            )
        target, wanted = (each.repeat_interleave(self.restarts, dim=0) for each in (images, labels))
        z = torch.randn(len(target), generator.latent, device=images.device, requires_grad=True)
        optimizer = Adam([z], lr=self.learning_rate)
        for _ in range(self.steps):
            with torch.enable_grad():
                found = generator.generate(z)
                loss = relu(_margin(classifier(found), wanted)) + self.weight * _excess(
                    found, target, eps
                )
                optimizer.zero_grad(set_to_none=True)
                loss.sum().backward(inputs=[z])
                optimizer.step()
        with torch.no_grad():
            found = generator.generate(z)
            loss = relu(_margin(classifier(found), wanted)) + self.weight * _excess(
                found, target, eps
            )
            best = loss.view(len(images), self.restarts).argmin(dim=1)
            chosen = found[best + self.restarts * torch.arange(len(images), device=images.device)]
            adversarial: Tensor = (images + (chosen - images).clamp(-eps, eps)).clamp(0, 1)
        return adversarial

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002
        """What the search costs."""
        return {"steps": self.steps, "restarts": self.restarts}


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    """How far the true class is ahead of the best other one, (n,); negative where it is not."""
    true = logits.gather(1, labels[:, None]).squeeze(1)
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return true - others.amax(dim=1)


def _excess(found: Tensor, images: Tensor, eps: float) -> Tensor:
    """The mean squared distance beyond eps, (n,)."""
    return (relu((found - images).abs() - eps) ** 2).flatten(1).mean(dim=1)
