"""Training of the classifiers: Adam on the cross-entropy of clean or of adversarial images."""

from __future__ import annotations

import torch
from torch import nn
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


def train(
    module: nn.Module,
    context: FitContext,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    adversarial: Spec | None,
    eps: float | None,
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
        autocast: whether the forward pass runs in bfloat16 where that is safe. Weights, accumulated
            gradients and the loss stay in float32.
    """
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    optimizer = Adam(weights, lr=learning_rate)
    steps = context.steps_in(epochs, batch_size)
    schedule = CosineAnnealingLR(optimizer, steps)

    for step, (images, labels) in enumerate(context.batches(batch_size, epochs=epochs), start=1):
        if adversarial is not None and eps is not None:
            budget = eps * min(1.0, step / (_RAMP * steps))
            images = context.adversarial(adversarial, images, labels, budget, model=module)

        with torch.autocast(images.device.type, torch.bfloat16, enabled=autocast):
            logits = module(images)
        loss = cross_entropy(logits.float(), labels)

        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        context.report(loss=loss)
