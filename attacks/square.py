"""Square attack: Andriushchenko, Croce, Flammarion, Hein, ECCV 2020 (arXiv:1912.00049)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from attacks._losses import is_wrong, margin
from attacks._queries import Worst, given_start, is_confirmed, mean_logits
from attacks._squares import first_stripes, first_tiles, new_square, new_tile
from bench.contracts import Attack, PositiveInt, within
from bench.registry import register_attack

_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries of 10,000 after which the share of changed pixels is halved."""

Proposal = Callable[[Tensor, Tensor, int, float], Tensor]
"""Function of images, perturbed images, side of the square and eps; returns changed images."""

_BY_NORM: Mapping[str, tuple[Callable[[Tensor, float], Tensor], Proposal]] = {
    "linf": (first_stripes, new_square),
    "l2": (first_tiles, new_tile),
}


@register_attack("square")
@dataclass(frozen=True)
class Square(Attack):
    """Square attack: random search with square patches, by logits alone (arXiv:1912.00049).

    Algorithm 1 of the paper, with the margin loss. A query changes one square of the image, at a
    random place of its own for each image. The change stays unless the true class gains on the
    others. The squares shrink in steps that are scaled to the number of queries. An image leaves
    once it is misclassified, and so in seven further calls, which may draw other numbers. Its best
    version is returned, whether it is misclassified or not.

    If the model has an attribute `eot` = k, a query takes the mean of the logits over k calls. The
    attack uses no gradient. If the model has an attribute `start`, the first restart changes the
    images that an earlier attack left there, not random stripes.

    Attributes:
        queries: number of queries in a restart, at least 1.
        p_init: share of the pixels that the first squares cover, above 0 and at most 1. The default
            is AutoAttack's; for ImageNet the paper takes 0.05 in L-infinity and 0.1 in L2.
        restarts: number of random starts, at least 1.
        norm: norm that eps bounds: `linf` or `l2`.
    """

    access = "score"

    queries: PositiveInt = 5000
    p_init: Annotated[float, Field(gt=0, le=1)] = 0.8
    restarts: PositiveInt = 1
    norm: Literal["linf", "l2"] = "linf"

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """The images of largest margin loss; see `Attack.perturb`."""
        worst = Worst(images)
        start = given_start(model, images)
        with torch.no_grad():
            for _ in range(self.restarts):
                index = worst.standing()
                if len(index) == 0:
                    break
                first = self._first(images[index], start[index], eps)
                found = self._search(model, images[index], labels[index], eps, first)
                worst.offer(found.images, found.loss, found.reached, index)
                start = images

        return worst.images

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002 - same at every budget
        """Largest number of queries for an image."""
        return {"queries": self.queries * self.restarts}

    def _first(self, images: Tensor, start: Tensor, eps: float) -> Tensor:
        """The images that a restart changes: those given, and random ones where none was given."""
        drawn, _ = _BY_NORM[self.norm]
        is_given = (start != images).flatten(1).any(dim=1).view(-1, 1, 1, 1)
        return within(images, torch.where(is_given, start, drawn(images, eps)), eps, self.norm)

    def _search(
        self, model: nn.Module, images: Tensor, labels: Tensor, eps: float, proposed: Tensor
    ) -> Worst:
        """The best images of one restart, from the first ones proposed."""
        _, change = _BY_NORM[self.norm]
        worst = Worst(images)
        index = worst.standing()

        for query in range(self.queries):
            logits = mean_logits(model, proposed)
            found = is_wrong(logits, labels[index])
            broken = found.nonzero().squeeze(1)
            found[broken] = is_confirmed(model, proposed[broken], labels[index[broken]])
            worst.offer(proposed, margin(logits, labels[index]), found.to(images), index)

            index = worst.standing()
            if len(index) == 0:
                break
            originals = images[index]
            changed = change(originals, worst.images[index], self._side(query, images), eps)
            proposed = within(originals, changed, eps, self.norm)

        return worst

    def _side(self, query: int, images: Tensor) -> int:
        """Side of the squares at a query, in pixels."""
        scaled = query * 10_000 // self.queries
        share = self.p_init / 2 ** sum(scaled > end for end in _HALVINGS)
        height, width = images.shape[-2:]
        return min(max(1, round(math.sqrt(share * height * width))), height, width)
