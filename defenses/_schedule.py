"""Learning-rate schedules the defenses share."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def linear_decay(optimizer: Optimizer, steps: int, share: float) -> LambdaLR:
    """The learning rate falls linearly to zero over the last `share` of `steps`.

    Share 0 keeps it constant.
    """
    falling = max(1.0, share * steps)
    return LambdaLR(optimizer, lambda step: max(0.0, min(1.0, (steps - step) / falling)))
