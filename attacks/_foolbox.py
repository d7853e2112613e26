"""The only place that imports foolbox: runs one of its attacks on a torch model and returns images
that can be trusted.

Foolbox 3.3.4 raises an empty `AssertionError` on inputs out of bounds, moves a model to `cuda:0`
unless told the device, accumulates gradients on parameters that are not frozen, knows no EOT that
frees its graphs, hands NaN on, and returns raw, clipped and success, of which only the clipped
images keep the budget.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

import torch
from eagerpy.tensor.pytorch import PyTorchTensor
from foolbox import attacks as fb
from foolbox.attacks.base import Attack, FixedEpsilonAttack
from foolbox.attacks.gradient_descent_base import BaseGradientDescent
from foolbox.criteria import Criterion, Misclassification, TargetedMisclassification
from foolbox.models.pytorch import PyTorchModel
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.contracts import NotApplicable

__all__ = ["Keep", "check_keep", "decides_alike", "fb", "minimise", "minimise_from_start", "run"]

Keep = Literal["first"]
"""Which iterate of an untargeted iterative attack is kept; where it is None, the last.

`first`: each image's first iterate that the attacked model gets wrong, the start included, else its
last. The image leaves the batch there, which saves its other steps. It is what a loop over the
whole batch finds that notes the first such iterate of every image, so the attacked model's accuracy
is exactly that loop's and, from the same random start, never above what the last iterates leave it.
The images are weaker against anything but the attacked model: a purifier behind a gray-box attack
sees smaller perturbations. It is right for curves of the attacked model and for threat models that
see the defense; under graybox and transfer it flatters a defense.
"""

_DIRECTIONS = 100
"""Draws of uniform noise in search of an adversarial starting point; foolbox draws 1000."""


def run(
    attack: Attack,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    eps: float,
    *,
    targeted: bool = False,
    keep: Keep | None = None,
) -> Tensor:
    """Run the attack at one budget; where the model has `eot` = k, each gradient is the mean over k
    calls.

    Args:
        attack: a foolbox attack that takes `epsilons`.
        model: maps images in [0, 1] to logits; in evaluation mode, on the images' device.
        images: float32 (n, channels, height, width) in [0, 1].
        labels: int64 (n,).
        eps: budget in the attack's norm, on the [0, 1] scale.
        targeted: the attack looks for the class after the true one, not for any other.
        keep: `first`: the attack is one of foolbox's gradient descents, untargeted, and an image
            leaves it at its first iterate that the model gets wrong, the start included.

    Returns:
        the clipped adversarial images, same shape, in [0, 1]; whether they fool the model is for
        the caller to see. An image that foolbox spoilt (NaN) comes back as it was.

    Raises:
        ValueError: inputs foolbox would refuse without a message; or see `check_keep`.
        TypeError: the first misclassified iterate is to be kept of another attack than a gradient
            descent.
        NotApplicable: the first misclassified iterate is to be kept, and the model draws
            randomness.
    """
    criterion = _criterion(model, images, labels, targeted)
    if keep == "first":
        check_keep(keep, targeted)
        if not isinstance(attack, BaseGradientDescent):
            raise TypeError(
                f"{type(attack).__name__} is no gradient descent: it has no first misclassified iterate"
            )
        if int(getattr(model, "eot", 1)) > 1 or not decides_alike(model, images):
            raise NotApplicable(
                "keep=first takes decisions to be the same each time; this model draws randomness, and what it got "
                "wrong once it may get right"
            )
        attack = _First(attack)
    return _called(attack, model, images, criterion, epsilons=eps)


def check_keep(keep: Keep | None, targeted: bool) -> None:
    """Refuse parameters that contradict each other.

    Raises:
        ValueError: a targeted attack is to keep the first misclassified iterate, which need not be
            of its target.
    """
    if keep is not None and targeted:
        raise ValueError(
            f"parameter keep={keep}: only for an untargeted attack, and targeted is true"
        )


def minimise(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor, *, targeted: bool = False
) -> Tensor:
    """Run an attack that minimises the distance, without a budget; see `run`."""
    return _called(
        attack, model, images, _criterion(model, images, labels, targeted), epsilons=None
    )


def minimise_from_start(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor, *, targeted: bool = False
) -> Tensor:
    """Run an attack that walks from an adversarial image towards the original; see `minimise`.

    The start is the image blended with uniform noise, as in foolbox, else the nearest image of the
    batch that is adversarial in its place. An image that is adversarial already, or for which there
    is no start, comes back as is.

    Raises:
        NotApplicable: the model decided twice differently on the same images.
    """
    starts, ready = _starts(model, images, _criterion(model, images, labels, targeted))
    result = images.clone()
    if bool(ready.any()):
        criterion = _Started(_criterion(model, images, labels[ready], targeted))
        try:
            result[ready] = _called(
                attack,
                model,
                images[ready],
                criterion,
                epsilons=None,
                starting_points=starts[ready],
            )
        except AssertionError as error:
            raise NotApplicable(
                "the model decides differently on the same images from call to call"
            ) from error
    return result


def decides_alike(model: nn.Module, images: Tensor) -> bool:
    """Whether the model draws no randomness, so that it decides twice alike."""
    with torch.no_grad():
        return torch.allclose(model(images), model(images), rtol=1e-3, atol=1e-3)


class _First(FixedEpsilonAttack):
    """A gradient descent that an image leaves at its first iterate that the model gets wrong, the
    start included.

    An image's steps depend on no other image, and the start is drawn before any leaves, so the
    iterates are those of the whole batch. Decisions come with the gradients: no call of the model
    but for them, and the last iterate is not asked about, since it is kept in any case.
    """

    def __init__(self, descent: BaseGradientDescent) -> None:
        self.descent = descent

    @property
    def distance(self) -> Any:
        """That of the descent, in which foolbox clips."""
        return self.descent.distance

    def run(self, model: Any, inputs: Any, criterion: Any, *, epsilon: float, **kwargs: Any) -> Any:  # noqa: ARG002
        """The images kept; see `FixedEpsilonAttack.run`."""
        descent = self.descent
        low, high = model.bounds
        start = (
            descent.get_random_start(inputs, epsilon).clip(low, high)
            if descent.random_start
            else inputs
        )
        optimizer = descent.get_optimizer(inputs, descent.rel_stepsize * epsilon)
        kept: Tensor = start.raw.clone()
        labels: Tensor = criterion.labels.raw
        here = torch.arange(len(kept), device=kept.device)
        for _ in range(descent.steps):
            at = kept[here].requires_grad_(True)
            logits = model(at)
            (gradient,) = torch.autograd.grad(
                cross_entropy(logits, labels[here], reduction="sum"), at
            )
            direction = descent.normalize(
                PyTorchTensor(_finite(gradient)), x=PyTorchTensor(at), bounds=model.bounds
            )
            steps = optimizer(
                PyTorchTensor(torch.zeros_like(kept).index_copy(0, here, direction.raw))
            )
            here = here[logits.argmax(1) == labels[here]]
            if len(here) == 0:
                break
            moved = PyTorchTensor(kept[here] + steps.raw[here])
            kept[here] = descent.project(moved, inputs[here], epsilon).clip(low, high).raw
        return type(inputs)(kept)


class _Started(Criterion):
    """Foolbox first asks whether the starting points are adversarial.

    They were, and a random model may now differ.
    """

    def __init__(self, criterion: Criterion) -> None:
        self.criterion, self.first = criterion, True

    def __repr__(self) -> str:
        return repr(self.criterion)

    def __call__(self, perturbed: Any, outputs: Any) -> Any:
        """As the criterion, but the first images are adversarial."""
        adversarial = self.criterion(perturbed, outputs)
        first, self.first = self.first, False
        return adversarial.logical_or(adversarial.logical_not()) if first else adversarial


def _starts(model: nn.Module, images: Tensor, criterion: Criterion) -> tuple[Tensor, Tensor]:
    """Images to start from, and where there are such and they are needed."""
    with torch.no_grad():
        logits = model(images)
    needed = ~criterion(images, logits)
    blend = fb.LinearSearchBlendedUniformNoiseAttack(directions=_DIRECTIONS, steps=50)
    starts = _called(blend, model, images, criterion, epsilons=None)
    with torch.no_grad():
        found = criterion(starts, model(starts))
    nearest = torch.where(found, 0.0, torch.inf)
    for shift in range(1, 0 if bool(found.all()) else len(images)):
        others = images.roll(shift, 0)
        distance = (others - images).flatten(1).norm(dim=1)
        better = criterion(others, logits.roll(shift, 0)) & (distance < nearest)
        starts[better], nearest[better] = others[better], distance[better]
    return starts, needed & torch.isfinite(nearest)


def _criterion(model: nn.Module, images: Tensor, labels: Tensor, targeted: bool) -> Criterion:
    _check(model, images, labels)
    if not targeted:
        return Misclassification(labels)
    with torch.no_grad():
        classes = model(images[:1]).shape[1]
    return TargetedMisclassification((labels + 1) % classes)


def _called(
    attack: Attack, model: nn.Module, images: Tensor, criterion: Criterion, **how: Any
) -> Tensor:
    wrapped = PyTorchModel(_Finite(model), bounds=(0, 1), device=images.device)
    points = _averaging(int(getattr(model, "eot", 1)))(images)
    with _frozen(model), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # means of empty slices, deprecated meshgrids, starts that were not found
        _, clipped, _ = attack(wrapped, points, criterion, **how)
    result: Tensor = clipped.raw.detach().clamp(0, 1)
    sound = torch.isfinite(result).flatten(1).all(dim=1).view(-1, *[1] * (images.dim() - 1))
    return torch.where(sound, result, images)


class _Finite(nn.Module):
    """The model, kept from NaN: foolbox makes some where a gradient vanishes (FMN divides 0 by 0)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.training = model, False

    def forward(self, images: Tensor) -> Tensor:
        """The model's logits."""
        logits: Tensor = self.model(images.nan_to_num())
        return logits


@cache
def _averaging(draws: int) -> type[PyTorchTensor]:
    """Images at which foolbox takes values and gradients as means over so many calls, one graph alive at a time."""

    class Averaged(PyTorchTensor):
        def _value_and_grad_fn(
            self, f: Any, has_aux: bool = False
        ) -> Callable[..., tuple[Any, ...]]:
            once = super()._value_and_grad_fn(f, has_aux)  # type: ignore[call-overload]

            def averaged(x: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
                value, *extra, gradient = once(x, *args, **kwargs)
                value, gradient = value.raw, _finite(gradient.raw)
                for _ in range(draws - 1):
                    again, *_, more = once(x, *args, **kwargs)
                    value, gradient = value + again.raw, gradient + _finite(more.raw)
                return type(self)(value / draws), *extra, type(self)(gradient / draws)

            return averaged

    return Averaged


def _finite(gradient: Tensor) -> Tensor:
    return gradient.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def _check(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    if model.training:
        raise ValueError("the model is in training mode: call eval() first")
    if images.dtype != torch.float32 or labels.dtype != torch.int64:
        raise ValueError(
            f"images must be float32 and labels int64, not {images.dtype} and {labels.dtype}"
        )
    if not bool(torch.isfinite(images).all()) or float(images.min()) < 0 or float(images.max()) > 1:
        raise ValueError("images must be finite and within [0, 1]")
