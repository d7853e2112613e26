"""Training batches of attacked images: at each step anew, from a pool, or through the purifier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.contracts import FitContext, Spec

_RAMP = 0.3
"""Share of the training through the purifier over which the budget grows linearly."""

Batch = tuple[Tensor, Tensor, Tensor]
"""Attacked images, the clean images that they are restored to, and labels."""


@dataclass(frozen=True)
class AttackedBatches:
    """Batches of images under attacks that take turns.

    Attributes:
        attacks: specs of the attacks.
        eps: budget on the [0, 1] scale.
        steps: number of batches.
        size: number of images in a batch.
        pool: number of images that are attacked once, from which every batch is drawn; None to
            attack each batch again.
        through: whether the attacks see the purifier, too.
    """

    attacks: tuple[Spec, ...]
    eps: float
    steps: int
    size: int
    pool: int | None
    through: bool

    def of(self, purifier: nn.Module, context: FitContext) -> Iterator[Batch]:
        """The batch of each training step."""
        if self.through:
            yield from self._attacked_through(purifier, context)
        elif self.pool is None:
            yield from self._attacked(context, self.steps)
        else:
            yield from self._pooled(self.pool, context)

    def _attacked_through(self, purifier: nn.Module, context: FitContext) -> Iterator[Batch]:
        """Batches attacked through the purifier, each followed by the same images unattacked."""
        pipeline = _Pipeline(purifier, context.classifier)

        for step, (images, labels) in enumerate(context.batches(self.size, steps=self.steps)):
            attack = self.attacks[step % len(self.attacks)]
            budget = self.eps * min(1.0, (step + 1) / (_RAMP * self.steps))
            adversarial = context.adversarial(attack, images, labels, budget, model=pipeline)
            yield torch.cat([adversarial, images]), images.repeat(2, 1, 1, 1), labels.repeat(2)

    def _pooled(self, pool: int, context: FitContext) -> Iterator[Batch]:
        """Batches drawn from images that are attacked once."""
        whole_batches = -(-pool // self.size)  # Rounded up.
        batches = min(whole_batches, context.steps_in(1, self.size))
        attacked = list(self._attacked(context, max(1, batches)))
        adversarial, images, labels = (torch.cat(parts) for parts in zip(*attacked, strict=True))
        del attacked  # The pool is large: free the second copy before training.

        drawn = min(self.size, len(images))
        for _ in context.steps(self.steps):
            index = torch.randint(len(images), (drawn,), device=images.device)
            yield adversarial[index], images[index], labels[index]

    def _attacked(self, context: FitContext, batches: int) -> Iterator[Batch]:
        """Training batches attacked on the bare classifier."""
        for step, (images, labels) in enumerate(context.batches(self.size, steps=batches)):
            attack = self.attacks[step % len(self.attacks)]
            yield context.adversarial(attack, images, labels, self.eps), images, labels


class _Pipeline(nn.Sequential):
    """The purifier under training and the classifier, as they will be evaluated.

    Attributes:
        evaluated: see `bench.contracts.Attack.perturb`; iterative attacks give worst iterates.
    """

    evaluated = True
