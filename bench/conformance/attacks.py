"""The checks of attacks."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.conformance.attacked_models import (
    AttackedModel,
    Constant,
    DecisionsOnly,
    ScoresOnly,
    Unbreakable,
)
from bench.conformance.devices import attack_use, judged
from bench.conformance.subject import GLOBAL_GENERATORS, Checks, Subject
from bench.contracts import Attack, Norm
from bench.errors import PluginFault
from bench.plugins.configured import Configured
from bench.stages.crafting import perturb
from bench.stages.guard import check_ball
from bench.stages.seeding import seeded

_MODERATE = 0.3
"""Share of the largest budget that is enough to mislead the classifier, in every norm but L0."""

_PIXELS = 15
"""Number of pixels that is enough in L0, where the cost of a search grows with the budget."""

_MARGIN = 1.5
"""Least margin of the attacked images, at which their loss is clearly below that at a boundary."""

_IMAGES = 3
"""Number of images that are attacked."""


class _Attempt(NamedTuple):
    """What an attack made of the attacked images.

    Attributes:
        images: their adversarial versions.
        gradient_calls: number of calls of the model whose logits had a gradient.
    """

    images: Tensor
    gradient_calls: int


def _attacked_images(subject: Subject) -> tuple[Tensor, Tensor]:
    """Training images that are classified correctly by a small margin, and their classes.

    An attack that finds nothing may return an image unchanged, so these can be broken with ease.
    """
    images, labels = subject.split
    logits = subject.classifier(images)
    true = logits.gather(1, labels[:, None]).squeeze(1)
    margin = true - logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)

    index = torch.where(margin > _MARGIN, margin, torch.inf).argsort()[:_IMAGES]
    return images[index], labels[index]


def _within_ball(subject: Subject) -> None:
    """Adversarial images stay in [0, 1] and within a small and a large budget."""
    attack: Configured[Attack] = subject.configured
    for eps in (_small_budget(subject), _largest_budget(subject)):
        with subject.first_use():
            adversarial = _attacked(subject, eps)
        norm = attack.plugin.ball()
        if norm is not None:
            check_ball(subject.description, _attacked_images(subject)[0], adversarial, eps, norm)


def _moves(subject: Subject) -> None:
    """Adversarial images differ from the originals."""
    images, _ = _attacked_images(subject)
    if torch.equal(subject.once(_usual).images, images):
        raise PluginFault(
            "the attack returns the images unchanged, although the model can be fooled"
        )


def _attack_repeatable(subject: Subject) -> None:
    """Adversarial images are the same under the same seed, and the model is left unchanged."""
    if not torch.equal(_usual(subject).images, subject.once(_usual).images):
        raise PluginFault(f"the adversarial images differ under the same seed: {GLOBAL_GENERATORS}")

    if not subject.keeps_classifier:
        raise PluginFault("the attack changes the weights of the attacked model")


def _raises_loss(subject: Subject) -> None:
    """Adversarial images have a higher loss than the originals."""
    images, labels = _attacked_images(subject)
    adversarial = subject.once(_usual).images
    before, after = (
        float(cross_entropy(subject.classifier(shown), labels)) for shown in (images, adversarial)
    )
    if not after > before:
        raise PluginFault(
            f"the loss of the attacked model went from {before:.3g} to {after:.3g}: it must rise"
        )


def _misclassified(subject: Subject) -> None:
    """Images that the model misclassifies before the attack are accepted."""
    _, labels = _attacked_images(subject)
    wrong = (labels + 1) % subject.info.classes
    _attacked(subject, _small_budget(subject), labels=wrong)


def _flat(subject: Subject) -> None:
    """Model with a zero gradient is accepted."""
    model = AttackedModel(subject, Constant(subject.classifier))
    _attacked(subject, _small_budget(subject), model, _class_zero(subject))


def _averages(subject: Subject) -> None:
    """Gradient is averaged over `model.eot` calls, if the attack follows a gradient."""
    if subject.configured.plugin.access != "gradient":
        return

    single = subject.once(_usual).gradient_calls
    averaged = _attempt(subject, AttackedModel(subject, eot=4)).gradient_calls
    if averaged < 2 * single:
        raise PluginFault(
            f"the attack calls the model {averaged} times with eot = 4 and "
            f"{single} times with eot = 1: average over `model.eot` calls"
        )


def _decides(subject: Subject) -> None:
    """Access is declared correctly: with `decision`, neither logits nor a gradient are used."""
    if subject.configured.plugin.access != "decision":
        return

    if not _is_same_on(subject, DecisionsOnly(subject.classifier)):
        raise PluginFault(
            "the attack uses more than decisions of the model: set access to 'score' if it uses "
            "logits alone, else to 'gradient'"
        )


def _scores(subject: Subject) -> None:
    """Access is declared correctly: with `score`, no gradient is used."""
    if subject.configured.plugin.access != "score":
        return

    if not _is_same_on(subject, ScoresOnly(subject.classifier)):
        raise PluginFault("the attack uses a gradient of the model: set access to 'gradient'")


def _steps_declared(subject: Subject) -> None:
    """A single step is declared correctly: it takes one gradient, and so does no other attack."""
    attack = subject.configured
    # An iterative attack may end early on a model that it breaks.
    calls = subject.once(_in_vain).gradient_calls
    if attack.plugin.single_step and calls != 1:
        raise PluginFault(
            f"the attack takes {calls} gradients of the model: set single_step to False"
        )

    # An attack with a number of steps may be asked for one.
    if calls == 1 and not attack.plugin.single_step and "steps" not in attack.parameters:
        raise PluginFault("the attack takes one gradient of the model: set single_step to True")


def _unbroken(subject: Subject) -> None:
    """What becomes of images that the attack cannot break is declared correctly."""
    adversarial = subject.once(_in_vain).images
    is_unchanged = torch.equal(adversarial, _attacked_images(subject)[0])
    if subject.configured.plugin.returns_unbroken and not is_unchanged:
        raise PluginFault(
            "the attack changes images that it does not break: set returns_unbroken to False, or "
            "return them unchanged"
        )
    if is_unchanged and not subject.configured.plugin.returns_unbroken:
        raise PluginFault(
            "the attack returns images that it does not break unchanged: set returns_unbroken to "
            "True"
        )


def _on_a_device(subject: Subject) -> str:
    """Tensors stay on the device of the images, whichever it is."""
    use = attack_use(subject, lambda there: _attacked(there, _moderate_budget(there)))
    return judged([use], subject.configured.plugin.host_work)


def _is_same_on(subject: Subject, classifier: nn.Module) -> bool:
    """Whether the attack makes the same images on a classifier that tells less."""
    limited = _attempt(subject, AttackedModel(subject, classifier)).images
    return torch.equal(subject.once(_usual).images, limited)


def _usual(subject: Subject) -> _Attempt:
    """The attack on the model that tells all, at a moderate budget."""
    return _attempt(subject, AttackedModel(subject))


def _in_vain(subject: Subject) -> _Attempt:
    """The attack on a model that gives every image the class 0, at a moderate budget."""
    model = AttackedModel(subject, Unbreakable(subject.classifier))
    return _attempt(subject, model, _class_zero(subject))


def _attempt(subject: Subject, model: AttackedModel, labels: Tensor | None = None) -> _Attempt:
    """An attack at a moderate budget, under the seed of every other one."""
    images = _attacked(subject, _moderate_budget(subject), model, labels)
    return _Attempt(images, model.gradient_calls)


def _class_zero(subject: Subject) -> Tensor:
    """The class 0 for each attacked image."""
    return torch.zeros_like(_attacked_images(subject)[1])


def _attacked(
    subject: Subject, eps: float, model: nn.Module | None = None, labels: Tensor | None = None
) -> Tensor:
    """Adversarial versions of the images, under a seed that depends on the budget."""
    images, classes = _attacked_images(subject)
    model = model or AttackedModel(subject)
    labels = classes if labels is None else labels
    with seeded(subject.device, "conformance", eps):
        return perturb(subject.configured, model, images, labels, eps)


def _largest_budget(subject: Subject) -> float:
    """The distance from a black image to a white one; 1 for a budget that is not a norm.

    In L0, a number of pixels that is enough to mislead the classifier.
    """
    norm: Norm | None = subject.configured.plugin.ball()
    if norm == "l0":
        return _moderate_budget(subject)

    pixels = subject.images[0].numel()
    largest = {"linf": 1.0, "l2": math.sqrt(pixels), "l1": float(pixels)}
    return largest[norm] if norm else 1.0


def _moderate_budget(subject: Subject) -> float:
    """A budget that is enough to mislead the classifier."""
    norm: Norm | None = subject.configured.plugin.ball()
    if norm == "l0":
        return float(_PIXELS)

    return _largest_budget(subject) * (1.0 if norm is None else _MODERATE)


def _small_budget(subject: Subject) -> float:
    """A budget that misleads the classifier on few images: a single pixel in L0."""
    return 1.0 if subject.configured.plugin.ball() == "l0" else 0.1


ATTACK_CHECKS: Checks = {
    _within_ball: (),
    _moves: (_within_ball,),
    _attack_repeatable: (_within_ball,),
    _raises_loss: (_moves,),
    _misclassified: (_within_ball,),
    _flat: (_within_ball,),
    _averages: (_within_ball,),
    _decides: (_attack_repeatable,),
    _scores: (_attack_repeatable,),
    _steps_declared: (_within_ball,),
    _unbroken: (_moves,),
    _on_a_device: (_within_ball,),
}
