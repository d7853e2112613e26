"""Adapter to foolbox: runs one of its attacks on a torch model and returns valid images.

No other module imports foolbox or eagerpy. The adapter makes up for foolbox 3.3.4, which raises an
empty `AssertionError` on inputs out of bounds, moves a model to `cuda:0` unless a device is given,
accumulates gradients on parameters that are not frozen, has no EOT that frees its graphs, and
passes NaN on. Of the images that foolbox returns, only the clipped ones keep the budget.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from eagerpy.tensor.pytorch import PyTorchTensor
from foolbox import attacks as fb
from foolbox.attacks.base import FixedEpsilonAttack
from foolbox.attacks.gradient_descent_base import BaseGradientDescent
from foolbox.criteria import Criterion, Misclassification, TargetedMisclassification
from foolbox.models.pytorch import PyTorchModel
from torch import Tensor, nn

from attacks._queries import draws, finite, scaled, where
from bench.contracts import NotApplicable

__all__ = [
    "BaseGradientDescent",
    "FixedEpsilonAttack",
    "PyTorchTensor",
    "fb",
    "minimise",
    "minimise_from_start",
    "per_image",
    "run",
]

_DIRECTIONS = 100
"""Number of noise images tried as an adversarial starting point; foolbox tries 1000."""


def run(
    attack: fb.Attack,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    eps: float,
    *,
    targets: Tensor | None = None,
    directions_only: bool = False,
) -> Tensor:
    """The images attacked at one budget.

    Args:
        attack: foolbox attack that takes `epsilons`.
        model: model from images in [0, 1] to logits, in evaluation mode, on the images' device. If
            it has an attribute `eot` = k, each gradient is the mean over k calls.
        images: float32 (n, channels, height, width) in [0, 1].
        labels: int64 (n,).
        eps: budget in the attack's norm, on the [0, 1] scale.
        targets: class (n,) that the attack aims at for each image; None for any wrong class.
        directions_only: whether the attack uses the direction of each image's gradient, and not its
            length. The gradient is then scaled before foolbox takes its norm, which underflows in
            float32 for a gradient of 1e-30.

    Returns:
        the clipped images, same shape, in [0, 1], whether they fool the model or not. An image that
        foolbox turned into NaN comes back unchanged.

    Raises:
        ValueError: the model is in training mode, or the inputs have a wrong type or range.
    """
    criterion = _criterion(model, images, labels, targets)
    return _run(attack, model, images, criterion, directions_only, epsilons=eps)


def minimise(
    attack: fb.Attack,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    targets: Tensor | None = None,
    directions_only: bool = False,
) -> Tensor:
    """The nearest adversarial images of an attack without a budget; arguments as in `run`."""
    criterion = _criterion(model, images, labels, targets)
    return _run(attack, model, images, criterion, directions_only, epsilons=None)


def minimise_from_start(
    attack: fb.Attack,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    targets: Tensor | None = None,
) -> Tensor:
    """The images of an attack that walks from an adversarial image towards the original.

    The starting point is a blend of the image with uniform noise, as in foolbox, or else the
    nearest image of the batch that is adversarial in its place. An image that is adversarial
    already, or has no starting point, comes back unchanged. Arguments as in `run`.

    Raises:
        NotApplicable: the model decided differently on the same images.
    """
    starts, ready = _starting_points(model, images, _criterion(model, images, labels, targets))
    result = images.clone()
    if not bool(ready.any()):
        return result

    aims = None if targets is None else targets[ready]
    criterion = _AdversarialStart(_criterion(model, images, labels[ready], aims))
    try:
        result[ready] = _run(
            attack, model, images[ready], criterion, epsilons=None, starting_points=starts[ready]
        )
    except AssertionError as error:
        raise NotApplicable(
            "the model decides differently on the same images from call to call"
        ) from error

    return result


def per_image(values: Any, images: Any) -> Any:
    """Values (n,) in a shape that broadcasts over images (n, ...), both eagerpy tensors."""
    return values.reshape((-1, *[1] * (images.ndim - 1)))


class _AdversarialStart(Criterion):
    """Criterion that accepts every image at its first call.

    Foolbox first asks whether the starting points are adversarial. They were when they were chosen,
    but a model that draws randomness may decide differently now.
    """

    def __init__(self, criterion: Criterion) -> None:
        self.criterion = criterion
        self.is_first = True

    def __repr__(self) -> str:
        return repr(self.criterion)

    def __call__(self, perturbed: Any, outputs: Any) -> Any:
        """Whether each image is adversarial, (n,) bool."""
        adversarial = self.criterion(perturbed, outputs)
        if not self.is_first:
            return adversarial

        self.is_first = False
        return adversarial.logical_or(adversarial.logical_not())


def _starting_points(
    model: nn.Module, images: Tensor, criterion: Criterion
) -> tuple[Tensor, Tensor]:
    """Adversarial images to start from, and which images (n,) need one and have one."""
    with torch.no_grad():
        logits = model(images)
    needed = ~criterion(images, logits)

    blend = fb.LinearSearchBlendedUniformNoiseAttack(directions=_DIRECTIONS, steps=50)
    starts = _run(blend, model, images, criterion, epsilons=None)
    with torch.no_grad():
        adversarial = criterion(starts, model(starts))

    nearest = torch.where(adversarial, 0.0, torch.inf)
    for shift in range(1, 0 if bool(adversarial.all()) else len(images)):
        others = images.roll(shift, 0)
        distance = (others - images).flatten(1).norm(dim=1)
        better = criterion(others, logits.roll(shift, 0)) & (distance < nearest)
        starts = where(better, others, starts)
        nearest = torch.where(better, distance, nearest)

    return starts, needed & torch.isfinite(nearest)


def _criterion(
    model: nn.Module, images: Tensor, labels: Tensor, targets: Tensor | None
) -> Criterion:
    _check(model, images, labels)
    return Misclassification(labels) if targets is None else TargetedMisclassification(targets)


def _run(
    attack: fb.Attack,
    model: nn.Module,
    images: Tensor,
    criterion: Criterion,
    directions_only: bool = False,
    **options: Any,
) -> Tensor:
    wrapped = PyTorchModel(_FiniteInputs(model), bounds=(0, 1), device=images.device)
    points = _averaging(draws(model), directions_only)(images)
    with _frozen(model), torch.enable_grad(), warnings.catch_warnings():
        # Foolbox warns of means of empty slices, deprecated meshgrids and missing starting points.
        warnings.simplefilter("ignore")
        _, clipped, _ = attack(wrapped, points, criterion, **options)

    result: Tensor = clipped.raw.detach().clamp(0, 1)
    is_finite = torch.isfinite(result).flatten(1).all(dim=1)
    return where(is_finite, result, images)


class _FiniteInputs(nn.Module):
    """Model with NaN pixels replaced, which foolbox makes where a gradient vanishes.

    FMN, for example, divides zero by zero.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = False

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images."""
        logits: Tensor = self.model(images.nan_to_num())
        return logits


@cache
def _averaging(count: int, directions_only: bool) -> type[PyTorchTensor]:
    """Type of images at which foolbox takes values and gradients as means over several calls.

    One graph is alive at a time, so the memory is that of a single call.
    """

    class Averaged(PyTorchTensor):
        def _value_and_grad_fn(
            self, f: Any, has_aux: bool = False
        ) -> Callable[..., tuple[Any, ...]]:
            once = super()._value_and_grad_fn(f, has_aux)  # type: ignore[call-overload]

            def averaged(x: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
                first, *extra, first_gradient = once(x, *args, **kwargs)
                value = first.raw
                gradient = finite(first_gradient.raw)

                for _ in range(count - 1):
                    again, *_, more = once(x, *args, **kwargs)
                    value = value + again.raw
                    gradient = gradient + finite(more.raw)

                gradient = scaled(gradient) if directions_only else gradient
                return type(self)(value / count), *extra, type(self)(gradient / count)

            return averaged

    return Averaged


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
    low, high = torch.stack(torch.aminmax(images)).tolist()  # NaN if any pixel is
    if not (low >= 0 and high <= 1):
        raise ValueError("images must be finite and within [0, 1]")
