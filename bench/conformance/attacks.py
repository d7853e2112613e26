"""What every attack must keep."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot, softmax

from bench.conformance.subject import CPU, Check, Subject
from bench.contracts import Attack, Norm
from bench.errors import PluginFault
from bench.plugins.configured import Configured
from bench.stages.context import weights_of
from bench.stages.crafting import perturb
from bench.stages.guard import check_ball
from bench.stages.seeding import seeded
from bench.stages.surrogates import DefendedClassifier

_MODERATE = 0.3
"""Of the largest budget there is: enough to mislead the classifier, in every norm."""
_MIXED = 32


class _Model(DefendedClassifier):
    """What an attack is given, with a generator for those that search its range.

    Counts the calls with a gradient.
    """

    def __init__(self, subject: Subject, classifier: nn.Module | None = None, eot: int = 1) -> None:
        super().__init__(None, classifier or subject.classifier)
        self.generator, self.eot, self.gradients = _Mixture(subject.split[0][:_MIXED]), eot, 0
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        logits = super().forward(images)
        self.gradients += logits.requires_grad
        return logits


class _Mixture(nn.Module):
    """A generator that mixes images."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images, self.latent = images, len(images)

    def generate(self, z: Tensor) -> Tensor:
        """A weighted mean of the images, (n, c, h, w) from (n, latent)."""
        return torch.einsum("nk,kchw->nchw", softmax(z, dim=1), self.images)


class _Decisions(nn.Module):
    """The classifier's decisions and nothing more: one for the class it names, zero elsewhere, and no gradient."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """One-hot logits."""
        with torch.no_grad():
            logits = self.classifier(images)
        return one_hot(logits.argmax(1), logits.shape[1]).to(images)


class _Flat(nn.Module):
    """A classifier whose logits are the same everywhere."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Zeros, connected to the images."""
        logits: Tensor = 0 * self.classifier(images)
        return logits


def _within_ball(subject: Subject) -> None:
    """Its images are in [0, 1] and within the budget, at small and at full range."""
    attack: Configured[Attack] = subject.configured
    for eps in (0.1, _largest(subject)):
        images = _attacked(subject, eps)
        norm = attack.plugin.ball()
        if norm is not None:
            check_ball(subject.who, subject.images, images, eps, norm)


def _moves(subject: Subject) -> None:
    """It changes images."""
    if torch.equal(_attacked(subject, _moderate(subject)), subject.images):
        raise PluginFault("it returns the images unchanged on a model with a gradient")


def _attack_repeatable(subject: Subject) -> None:
    """The same seed gives the same images, and the model is left as it was."""
    before = weights_of(subject.classifier)
    if not torch.equal(_attacked(subject, 0.2), _attacked(subject, 0.2)):
        raise PluginFault(
            "two calls under the same seed differ: draw randomness from torch's global generators only"
        )
    after = weights_of(subject.classifier)
    if any(not (before[name] == after[name]).all() for name in before):
        raise PluginFault("it changed the model it attacks")


def _raises_loss(subject: Subject) -> None:
    """It raises the model's loss above that of the clean images."""
    adversarial = _attacked(subject, _moderate(subject))
    before, after = (
        float(cross_entropy(subject.classifier(x), subject.labels))
        for x in (subject.images, adversarial)
    )
    if not after > before:
        raise PluginFault(f"the loss went from {before:.3g} to {after:.3g}: it does not attack")


def _misclassified(subject: Subject) -> None:
    """It takes images that are misclassified to begin with."""
    wrong = (subject.classifier(subject.images).argmax(1) + 1) % subject.context().data.classes
    _attacked(subject, 0.2, labels=wrong)


def _flat(subject: Subject) -> None:
    """It takes a model whose gradient is zero."""
    _attacked(subject, 0.2, _Model(subject, _Flat(subject.classifier)))


def _averages(subject: Subject) -> None:
    """It follows the mean gradient over `model.eot` calls."""
    if subject.configured.plugin.access != "gradient":
        return
    once, often = (_Model(subject, eot=eot) for eot in (1, 4))
    for model in (once, often):
        _attacked(subject, _moderate(subject), model)
    if often.gradients < 2 * once.gradients:
        raise PluginFault(
            f"{often.gradients} calls with eot = 4, {once.gradients} with 1: average over `model.eot` calls"
        )


def _decides(subject: Subject) -> None:
    """It takes from the model what it declares: an attack with access `decision` sees no logits and no gradient."""
    if subject.configured.plugin.access != "decision":
        return
    eps, blind = _moderate(subject), _Model(subject, _Decisions(subject.classifier))
    if not torch.equal(_attacked(subject, eps), _attacked(subject, eps, blind)):
        raise PluginFault("it takes more than decisions from the model: set access = 'gradient'")


def _attacked(
    subject: Subject, eps: float, model: nn.Module | None = None, labels: Tensor | None = None
) -> Tensor:
    model, labels = model or _Model(subject), subject.labels if labels is None else labels
    with seeded(CPU, "conformance", eps):
        return perturb(subject.configured, model, subject.images, labels, eps)


def _largest(subject: Subject) -> float:
    """The distance from a black image to a white one."""
    pixels = subject.images[0].numel()
    norm: Norm | None = subject.configured.plugin.ball()
    return {"linf": 1.0, "l2": math.sqrt(pixels), "l1": float(pixels), None: 1.0}[norm]


def _moderate(subject: Subject) -> float:
    """A share of the largest budget; all of one that bounds no norm."""
    return _largest(subject) * (1.0 if subject.configured.plugin.ball() is None else _MODERATE)


ATTACK_CHECKS: tuple[Check, ...] = (
    _within_ball, _moves, _attack_repeatable, _raises_loss, _misclassified, _flat, _averages, _decides,
)  # fmt: skip
