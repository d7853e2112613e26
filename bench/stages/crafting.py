"""Calling an attack: the one place where its output is checked, for test images and for training pairs alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.contracts import Attack, MinimumNorm
from bench.errors import PluginFault
from bench.geometry import Norm, distances, within
from bench.plugins.configured import Configured
from bench.stages.guard import check_ball, checked_images, plugin_call

_NOISE_ROUNDS = 30
"""Of rescaling noise that was cut at the border of [0, 1]."""


def perturb(
    attack: Configured[Attack], model: nn.Module, images: Tensor, labels: Tensor, eps: float
) -> Tensor:
    """Adversarial versions of the images, checked.

    Args:
        attack: any attack.
        model: maps images to logits; frozen, in evaluation mode.
        images: float32 (n, channels, height, width) in [0, 1].
        labels: int64 (n,).
        eps: budget in the attack's norm; 0 returns the images as they are.

    Raises:
        PluginFault: the attack raised, left [0, 1] or the epsilon ball, or returned NaN or another
            shape.
    """
    if eps == 0 or len(images) == 0:
        return images.clone()
    who = f"attack {attack.label}"
    with plugin_call(who):
        output = attack.plugin.perturb(model, images.clone(), labels, eps)
    adversarial = checked_images(who, output, images).detach()
    with plugin_call(who):
        norm = attack.plugin.ball()
    if norm is not None:
        check_ball(who, images, adversarial, eps, norm)
    return adversarial


def minimise(
    attack: Configured[Attack], model: nn.Module, images: Tensor, labels: Tensor
) -> Tensor:
    """The nearest adversarial images a `MinimumNorm` attack finds, checked; see `perturb`.

    Raises:
        PluginFault: it is no such attack, raised, left [0, 1], or returned NaN or another shape.
    """
    who, plugin = f"attack {attack.label}", attack.plugin
    if not isinstance(plugin, MinimumNorm):
        raise PluginFault(f"{who} needs a budget: it is not a MinimumNorm attack")
    if len(images) == 0:
        return images.clone()
    with plugin_call(who):
        output = plugin.minimise(model, images.clone(), labels)
    return checked_images(who, output, images).detach()


def noise(images: Tensor, eps: float, norm: Norm) -> Tensor:
    """Images with random noise of size `eps`, in [0, 1].

    In `linf` every pixel is moved by a uniform amount in [-eps, eps]; in the other norms the image
    is moved in a random direction, so far that what is left within [0, 1] has length eps, or as
    nearly as there is room.
    """
    if norm == "linf":
        return (images + eps * torch.empty_like(images).uniform_(-1, 1)).clamp(0, 1)
    direction, scale = torch.randn_like(images), torch.ones_like(images[:, :1, :1, :1])
    for _ in range(_NOISE_ROUNDS):
        length = distances(images, (images + scale * direction).clamp(0, 1), norm)
        scale = scale * (eps / length.clamp_min(1e-12)).view(-1, 1, 1, 1).clamp_max(2.0)
    return within(images, (images + scale * direction).clamp(0, 1), eps, norm)


def gradient_norms(who: str, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The L2 norm of the loss gradient at each image, shape (n,): 0, NaN or infinity tells of a
    masked gradient.

    The gradient is the mean over `model.eot` calls, where the model has that attribute.

    Raises:
        PluginFault: the model, called `who`, raised.
    """
    total = torch.zeros_like(images)
    draws = int(getattr(model, "eot", 1))
    for _ in range(draws):
        with torch.enable_grad(), plugin_call(who):
            inputs = images.clone().requires_grad_(True)
            loss = cross_entropy(model(inputs), labels, reduction="sum")
            gradient = (
                torch.autograd.grad(loss, inputs, allow_unused=True)[0]
                if loss.requires_grad
                else None
            )
        if gradient is not None:
            total = total + gradient / draws
    norms: Tensor = torch.linalg.vector_norm(total.flatten(1), dim=1)
    return norms


def described(attack: Configured[Attack], eps: float) -> dict[str, float | int | str]:
    """What the attack says its parameters come to at this budget, as JSON values.

    Raises:
        PluginFault: it raised.
    """
    with plugin_call(f"attack {attack.label}"):
        found = dict(attack.plugin.describe(eps))
        return {
            name: value if isinstance(value, (int, str)) else float(value)
            for name, value in found.items()
        }
