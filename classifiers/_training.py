"""How the classifiers are trained: Adam on the cross-entropy, of clean images or of adversarial ones."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from bench.contracts import FitContext, Spec

_RAMP = 0.3
"""Share of the training over which the budget grows.

At the full one from the start a network may stay at chance.
"""


def check_adversarial(adversarial: Spec | None, eps: float | None) -> None:
    """Adversarial training needs both an attack and its budget.

    Raises:
        ValueError: only one of them is given.
    """
    if adversarial is not None and eps is None:
        raise ValueError("parameter adversarial: it needs a budget, such as eps=0.3")
    if adversarial is None and eps is not None:
        raise ValueError(
            "parameter eps: it is the budget of adversarial training, which parameter adversarial asks for"
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
    """Minimise the cross-entropy of the weights that require a gradient.

    Args:
        module: the classifier, in training mode.
        context: of the fit.
        epochs: passes over the training images.
        batch_size: images in a batch.
        learning_rate: of Adam, decayed to zero on a cosine.
        adversarial: the attack on the module under training whose images replace each batch (Madry
            et al., ICLR 2018, arXiv:1706.06083, equation 2.1); None for clean images.
        eps: its budget; it grows linearly over the first part of the training, unlike in the paper.
        autocast: run the forward pass in bfloat16 where that is safe; weights, gradients' sums and
            loss stay float32.
    """
    optimizer = Adam(
        [weight for weight in module.parameters() if weight.requires_grad], lr=learning_rate
    )
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
