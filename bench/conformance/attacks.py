"""The checks of attacks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot, softmax

from bench.conformance.subject import CPU, GLOBAL_GENERATORS, Check, Subject
from bench.contracts import Attack, Norm
from bench.errors import PluginFault
from bench.plugins.configured import Configured
from bench.stages.context import weights_of
from bench.stages.crafting import perturb
from bench.stages.guard import check_ball
from bench.stages.seeding import seeded
from bench.stages.surrogates import DefendedClassifier

_MODERATE = 0.3
"""Share of the largest budget that is enough to mislead the classifier, in every norm."""

_MIXED_IMAGES = 32
"""Number of images that the generator mixes."""


class _AttackedModel(DefendedClassifier):
    """The model that an attack is given, with a generator for attacks on a latent code.

    Attributes:
        gradient_calls: number of calls whose logits had a gradient.
    """

    def __init__(self, subject: Subject, classifier: nn.Module | None = None, eot: int = 1) -> None:
        super().__init__(None, classifier or subject.classifier)
        self.generator = _MixtureGenerator(subject.split[0][:_MIXED_IMAGES])
        self.eot = eot
        self.gradient_calls = 0
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of the images."""
        logits = super().forward(images)
        self.gradient_calls += logits.requires_grad
        return logits


class _MixtureGenerator(nn.Module):
    """A generator of weighted means of images.

    Attributes:
        latent: dimension of the latent code, which is the number of images.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = images
        self.latent = len(images)

    def generate(self, z: Tensor) -> Tensor:
        """Weighted means of the images, (n, c, h, w) from codes (n, latent)."""
        return torch.einsum("nk,kchw->nchw", softmax(z, dim=1), self.images)


class _DecisionsOnly(nn.Module):
    """A classifier that gives its decisions as one-hot vectors and has no gradient."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """One-hot vectors (n, classes) of the predicted classes."""
        with torch.no_grad():
            logits = self.classifier(images)

        return one_hot(logits.argmax(1), logits.shape[1]).to(images)


class _Constant(nn.Module):
    """A classifier whose logits are zero for every image, and so is its gradient."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Zeros (n, classes) that depend on the images as autograd sees it."""
        logits: Tensor = 0 * self.classifier(images)
        return logits


def _within_ball(subject: Subject) -> None:
    """Adversarial images stay in [0, 1] and within a small and the largest budget."""
    attack: Configured[Attack] = subject.configured
    for eps in (0.1, _largest_budget(subject)):
        adversarial = _attacked(subject, eps)
        norm = attack.plugin.ball()
        if norm is not None:
            check_ball(subject.description, subject.images, adversarial, eps, norm)


def _moves(subject: Subject) -> None:
    """Adversarial images differ from the originals."""
    if torch.equal(_attacked(subject, _moderate_budget(subject)), subject.images):
        raise PluginFault(
            "the attack returns the images unchanged, although the model can be fooled"
        )


def _attack_repeatable(subject: Subject) -> None:
    """Adversarial images are the same under the same seed, and the model is left unchanged."""
    before = weights_of(subject.classifier)
    if not torch.equal(_attacked(subject, 0.2), _attacked(subject, 0.2)):
        raise PluginFault(f"the adversarial images differ under the same seed: {GLOBAL_GENERATORS}")

    after = weights_of(subject.classifier)
    if any(not (before[name] == after[name]).all() for name in before):
        raise PluginFault("the attack changes the weights of the attacked model")


def _raises_loss(subject: Subject) -> None:
    """Adversarial images have a higher loss than the originals."""
    adversarial = _attacked(subject, _moderate_budget(subject))
    before, after = (
        float(cross_entropy(subject.classifier(images), subject.labels))
        for images in (subject.images, adversarial)
    )
    if not after > before:
        raise PluginFault(
            f"the loss of the attacked model went from {before:.3g} to {after:.3g}: it must rise"
        )


def _misclassified(subject: Subject) -> None:
    """Images that the model misclassifies before the attack are accepted."""
    wrong = (subject.classifier(subject.images).argmax(1) + 1) % subject.context().data.classes
    _attacked(subject, 0.2, labels=wrong)


def _flat(subject: Subject) -> None:
    """Model with a zero gradient is accepted."""
    _attacked(subject, 0.2, _AttackedModel(subject, _Constant(subject.classifier)))


def _averages(subject: Subject) -> None:
    """Gradient is averaged over `model.eot` calls, if the attack follows a gradient."""
    if subject.configured.plugin.access != "gradient":
        return

    single = _AttackedModel(subject, eot=1)
    averaged = _AttackedModel(subject, eot=4)
    for model in (single, averaged):
        _attacked(subject, _moderate_budget(subject), model)

    if averaged.gradient_calls < 2 * single.gradient_calls:
        raise PluginFault(
            f"the attack calls the model {averaged.gradient_calls} times with eot = 4 and "
            f"{single.gradient_calls} times with eot = 1: average over `model.eot` calls"
        )


def _decides(subject: Subject) -> None:
    """Access is declared correctly: with `decision`, neither logits nor a gradient are used."""
    if subject.configured.plugin.access != "decision":
        return

    eps = _moderate_budget(subject)
    decisions = _AttackedModel(subject, _DecisionsOnly(subject.classifier))
    if not torch.equal(_attacked(subject, eps), _attacked(subject, eps, decisions)):
        raise PluginFault(
            "the attack uses more than decisions of the model: set access = 'gradient'"
        )


def _attacked(
    subject: Subject, eps: float, model: nn.Module | None = None, labels: Tensor | None = None
) -> Tensor:
    """Adversarial versions of the subject's images, under a seed that depends on the budget."""
    model = model or _AttackedModel(subject)
    labels = subject.labels if labels is None else labels
    with seeded(CPU, "conformance", eps):
        return perturb(subject.configured, model, subject.images, labels, eps)


def _largest_budget(subject: Subject) -> float:
    """The distance from a black image to a white one; 1 for a budget that is not a norm."""
    pixels = subject.images[0].numel()
    norm: Norm | None = subject.configured.plugin.ball()
    sides = subject.images.shape[-2] * subject.images.shape[-1]
    largest = {"linf": 1.0, "l2": math.sqrt(pixels), "l1": float(pixels), "l0": float(sides)}
    return largest[norm] if norm else 1.0


def _moderate_budget(subject: Subject) -> float:
    """A share of the largest budget; the largest itself for a budget that is not a norm."""
    share = 1.0 if subject.configured.plugin.ball() is None else _MODERATE
    return _largest_budget(subject) * share


ATTACK_CHECKS: tuple[Check, ...] = (
    _within_ball,
    _moves,
    _attack_repeatable,
    _raises_loss,
    _misclassified,
    _flat,
    _averages,
    _decides,
)
