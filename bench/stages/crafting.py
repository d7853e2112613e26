"""Calls of attacks with their output checked, for test images and for training images alike."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.contracts import Attack, MinimumNorm
from bench.errors import PluginFault
from bench.geometry import Norm, distances, within
from bench.plugins.configured import Configured
from bench.plugins.faults import plugin_call
from bench.stages.decisions import class_by_class, folded, rejects
from bench.stages.guard import check_ball, checked_images
from bench.text import one_line

_MOST_QUANTITIES = 100
"""Number of quantities that an attack's description may have."""

_SMALL_NORM = 1e-12
"""Norm below which squares lose precision in float32."""

_NOISE_ROUNDS = 30
"""Number of times that noise is rescaled after clipping to [0, 1] has shortened it."""


def perturb(
    attack: Configured[Attack], model: nn.Module, images: Tensor, labels: Tensor, eps: float
) -> Tensor:
    """Adversarial versions of the images, checked.

    Args:
        attack: attack to run.
        model: map from images to logits (n, classes); frozen, in evaluation mode.
        images: float32 (n, channels, height, width) in [0, 1].
        labels: int64 (n,), the true classes.
        eps: budget in the attack's norm, on the [0, 1] scale; 0 returns the images unchanged.

    Raises:
        PluginFault: the attack raised an exception, left [0, 1] or the epsilon ball, or returned
            NaN or another shape.
    """
    if eps == 0 or len(images) == 0:
        return images.clone()

    description = f"attack {attack.label}"

    def attacked(seen: nn.Module, index: Tensor) -> Tensor:
        with plugin_call(description):
            # Indexing copies: an attack that works in place must not change the test images.
            output = attack.plugin.perturb(seen, images[index], labels[index], eps)
        return checked_images(description, output, images[index]).detach()

    adversarial = class_by_class(model, images, labels, attacked)
    with plugin_call(description):
        norm = attack.plugin.ball()
    if norm is not None:
        check_ball(description, images, adversarial, eps, norm)

    return adversarial


def minimise(
    attack: Configured[Attack], model: nn.Module, images: Tensor, labels: Tensor
) -> Tensor:
    """The nearest adversarial images that a `MinimumNorm` attack finds, checked.

    Args:
        attack: attack to run.
        model: map from images to logits (n, classes); frozen, in evaluation mode.
        images: float32 (n, channels, height, width) in [0, 1].
        labels: int64 (n,), the true classes.

    Raises:
        PluginFault: the attack is not a `MinimumNorm` attack, raised an exception, left [0, 1], or
            returned NaN or another shape.
    """
    description = f"attack {attack.label}"
    plugin = attack.plugin
    if not isinstance(plugin, MinimumNorm):
        raise PluginFault(f"{description} needs a budget: it is not a MinimumNorm attack")
    if len(images) == 0:
        return images.clone()

    def attacked(seen: nn.Module, index: Tensor) -> Tensor:
        with plugin_call(description):
            output = plugin.minimise(seen, images[index], labels[index])
        return checked_images(description, output, images[index]).detach()

    return class_by_class(model, images, labels, attacked)


def target_classes(
    attack: Configured[Attack], model: nn.Module, images: Tensor, labels: Tensor
) -> Tensor | None:
    """The class that a targeted attack aims at for each image, int64 (n,); None without a target.

    Args:
        attack: attack that was run.
        model: attacked model; images and labels as in `perturb`.
        images: float32 (n, channels, height, width) in [0, 1].
        labels: int64 (n,), the true classes.

    Raises:
        PluginFault: the attack raised, or returned something else than classes.
    """
    plugin = attack.plugin
    if type(plugin).targets is Attack.targets or len(images) == 0:
        return None

    description = f"attack {attack.label}"
    with plugin_call(description), torch.no_grad():
        logits = folded(model(images), labels, rejecting=rejects(model))
        aim = plugin.targets(logits, labels.clone())
        if aim is None:
            return None
        if not isinstance(aim, Tensor) or aim.shape != labels.shape or aim.dtype != torch.int64:
            raise PluginFault(f"{description}: targets() must return one class (int64) per image")
        if int(aim.min()) < 0 or int(aim.max()) >= logits.shape[1]:
            raise PluginFault(f"{description}: targets() returned classes that there are not")

    return aim.to(labels.device)


def random_noise(images: Tensor, eps: float, norm: Norm) -> Tensor:
    """The images (n, c, h, w) with random noise of size `eps`, in [0, 1].

    In `linf` every pixel moves by a uniform amount in [-eps, eps]. In `l0` as many pixels as `eps`
    says, rounded down, take uniform values in [0, 1]. In the other norms every image moves in a
    random direction, far enough that the perturbation has length `eps` after clipping to [0, 1], or
    as close to it as [0, 1] allows.
    """
    if norm == "linf":
        return (images + eps * torch.empty_like(images).uniform_(-1, 1)).clamp(0, 1)
    if norm == "l0":
        return _sparse_noise(images, int(eps))

    direction = torch.randn_like(images)
    scale = torch.ones_like(images[:, :1, :1, :1])
    for _ in range(_NOISE_ROUNDS):
        length = distances(images, (images + scale * direction).clamp(0, 1), norm)
        scale = scale * (eps / length.clamp_min(1e-12)).view(-1, 1, 1, 1).clamp_max(2.0)

    return within(images, (images + scale * direction).clamp(0, 1), eps, norm)


def _sparse_noise(images: Tensor, count: int) -> Tensor:
    """The images (n, c, h, w) with `count` random pixels of each at uniform values in [0, 1]."""
    order = torch.rand_like(images[:, :1]).flatten(1).argsort(dim=1)
    mask = torch.zeros_like(order, dtype=torch.bool).scatter(1, order[:, :count], value=True)
    is_changed = mask.view(len(images), 1, *images.shape[2:])
    return torch.where(is_changed, torch.rand_like(images), images)


def gradient_norms(description: str, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The L2 norm of the loss gradient at each image, shape (n,).

    A norm of 0, NaN or infinity is a sign of a masked gradient. If the model has an attribute
    `eot`, the gradient is the mean over that many calls.

    Args:
        description: name of the model in messages.
        model: map from images to logits (n, classes).
        images: float32 (n, channels, height, width) in [0, 1].
        labels: int64 (n,), the true classes.

    Raises:
        PluginFault: the model raised an exception.
    """
    total = torch.zeros_like(images)
    draws = int(getattr(model, "eot", 1))

    for _ in range(draws):
        with torch.enable_grad(), plugin_call(description):
            inputs = images.clone().requires_grad_(True)
            logits = folded(model(inputs), labels, rejecting=rejects(model))
            loss = cross_entropy(logits, labels, reduction="sum")
            gradient = (
                torch.autograd.grad(loss, inputs, allow_unused=True)[0]
                if loss.requires_grad
                else None
            )
        if gradient is not None:
            total = total + gradient / draws

    flat = total.flatten(1)
    norms = torch.linalg.vector_norm(flat, dim=1)
    # The squares of very small and very large numbers leave the range of float32.
    largest = flat.abs().amax(dim=1)
    scaled = largest * torch.linalg.vector_norm(flat / largest[:, None], dim=1)
    in_range = norms.isfinite() & (norms > _SMALL_NORM)

    return torch.where(in_range | (largest == 0), norms, scaled)


def parameters_at_budget(attack: Configured[Attack], eps: float) -> dict[str, float | int | str]:
    """The attack's own description of its parameters at a budget, as JSON values.

    Raises:
        PluginFault: the attack raised an exception, or a name is not text, or a value is not
            finite.
    """
    description = f"attack {attack.label}"
    with plugin_call(description):
        parameters = dict(attack.plugin.describe(eps))
        if len(parameters) > _MOST_QUANTITIES:
            raise PluginFault(f"{description} describes {len(parameters)} parameters at a budget")

        return {
            _described_name(name): _described_value(name, value)
            for name, value in parameters.items()
        }


def _described_name(name: object) -> str:
    """A name from an attack's description.

    Raises:
        TypeError: it is not text.
    """
    if not isinstance(name, str):
        raise TypeError(f"describe() gives a name that is not text: {name!r}")
    return one_line(name)


def _described_value(name: str, value: object) -> float | int | str:
    """A value from an attack's description.

    Raises:
        TypeError: it is neither a number nor text.
        ValueError: it is not finite.
    """
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, int):
        return value

    number = float(value)  # type: ignore[arg-type]  # raises for anything but a number
    if not math.isfinite(number):
        raise ValueError(f"describe() gives {name} = {number}, which is not finite")
    return number
