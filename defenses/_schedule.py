"""Learning-rate schedule that several defenses share."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def linear_decay(optimizer: Optimizer, steps: int, share: float) -> LambdaLR:
    """A schedule with a linear fall of the learning rate to zero over the last part of training.

    Args:
        optimizer: optimizer whose learning rate falls.
        steps: number of steps of the training.
        share: part of the steps over which it falls, in [0, 1]; 0 keeps the learning rate constant.
    """
    falling = max(1.0, share * steps)
    return LambdaLR(optimizer, lambda step: max(0.0, min(1.0, (steps - step) / falling)))
