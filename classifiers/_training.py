"""Training of the classifiers: Adam on the cross-entropy of clean or of adversarial images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from bench.contracts import FitContext, Spec

_RAMP = 0.3
"""Share of the training over which the budget grows linearly to its full value.

With the full budget from the start, a network may stay at chance.
"""


def check_adversarial(adversarial: Spec | None, eps: float | None) -> None:
    """Check that the attack of adversarial training and its budget are given together.

    Raises:
        ValueError: only one of them is given.
    """
    if adversarial is not None and eps is None:
        raise ValueError("parameter adversarial: it needs a budget, such as eps=0.3")
    if adversarial is None and eps is not None:
        raise ValueError(
            "parameter eps: it is the budget of adversarial training, and parameter adversarial "
            "names no attack"
        )


def check_distillation(distill: Spec | None, temperature: float, adversarial: Spec | None) -> None:
    """Check that a network is not distilled and adversarially trained at once.

    Raises:
        ValueError: it is both.
    """
    if adversarial is not None and (distill is not None or temperature != 1):
        raise ValueError(
            "parameter adversarial: not together with distill or temperature, with which the "
            "gradient that the attack follows vanishes"
        )


def train(
    module: nn.Module,
    context: FitContext,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    adversarial: Spec | None,
    eps: float | None,
    distill: Spec | None,
    temperature: float,
    autocast: bool = False,
) -> None:
    """Minimize the cross-entropy over the weights that require a gradient.

    Args:
        module: classifier in training mode.
        context: context of the fit.
        epochs: number of passes over the training images.
        batch_size: number of images in a batch.
        learning_rate: learning rate of Adam, decayed to zero on a cosine.
        adversarial: attack on the module under training, whose images replace each batch (Madry et
            al., ICLR 2018, arXiv:1706.06083, equation 2.1); None for clean images.
        eps: budget of the attack on the [0, 1] scale. Unlike in the paper, it grows linearly over
            the first 30 % of the training.
        distill: classifier whose probabilities at the temperature take the place of the labels
            (Papernot et al., IEEE S&P 2016, arXiv:1511.04508, section IV); None for the labels.
        temperature: number that the logits are divided by in front of the softmax.
        autocast: whether the forward pass runs in bfloat16 where that is safe. Weights, accumulated
            gradients and the loss stay in float32.
    """
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    optimizer = Adam(weights, lr=learning_rate)
    steps = context.steps_in(epochs, batch_size)
    schedule = CosineAnnealingLR(optimizer, steps)
    teacher = None if distill is None else context.build(distill)

    for step, (images, labels) in enumerate(context.batches(batch_size, epochs=epochs), start=1):
        targets = labels if teacher is None else _probabilities(teacher, images, temperature)
        if adversarial is not None and eps is not None:
            budget = eps * min(1.0, step / (_RAMP * steps))
            images = context.adversarial(adversarial, images, labels, budget, model=module)

        with torch.autocast(images.device.type, torch.bfloat16, enabled=autocast):
            logits = module(images)
        loss = cross_entropy(logits.float() / temperature, targets)

        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        context.report(loss=loss)


def _probabilities(teacher: nn.Module, images: Tensor, temperature: float) -> Tensor:
    """The teacher's softmax (n, classes) at a temperature."""
    with torch.no_grad():
        logits: Tensor = teacher(images)
    return (logits / temperature).softmax(dim=1)
