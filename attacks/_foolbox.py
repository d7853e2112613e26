"""The only place that imports foolbox: runs one of its attacks on a torch model and returns the clipped images.

Foolbox 3.3.4 raises an empty `AssertionError` on inputs out of bounds, moves a model to `cuda:0` unless told the
device, accumulates gradients on parameters that are not frozen, and returns raw, clipped and success, of which only the
clipped images keep the budget.
"""

from __future__ import annotations

import torch
from foolbox import attacks as fb
from foolbox.attacks.base import Attack
from foolbox.criteria import Misclassification
from foolbox.models.pytorch import PyTorchModel
from torch import Tensor, nn

__all__ = ["fb", "run"]


def run(attack: Attack, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """Run the attack at one budget.

    Args:
        attack: a foolbox attack that takes `epsilons`.
        model: maps images in [0, 1] to logits; in evaluation mode, on the images' device.
        images: float32 (n, channels, height, width) in [0, 1].
        labels: int64 (n,).
        eps: budget in the attack's norm, on the [0, 1] scale.

    Returns:
        the clipped adversarial images, same shape, in [0, 1]; whether they fool the model is for the caller to see.

    Raises:
        ValueError: inputs foolbox would refuse without a message.
    """
    _check(model, images, labels)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        wrapped = PyTorchModel(model, bounds=(0, 1), device=images.device)
        with torch.enable_grad():
            _, clipped, _ = attack(wrapped, images, Misclassification(labels), epsilons=eps)
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
    result: Tensor = clipped.detach()
    return result


def _check(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    if model.training:
        raise ValueError("the model is in training mode: call eval() first")
    if images.dtype != torch.float32 or labels.dtype != torch.int64:
        raise ValueError(f"images must be float32 and labels int64, not {images.dtype} and {labels.dtype}")
    if not bool(torch.isfinite(images).all()) or float(images.min()) < 0 or float(images.max()) > 1:
        raise ValueError("images must be finite and within [0, 1]")
