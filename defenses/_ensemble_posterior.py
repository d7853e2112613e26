"""Deep ensemble: networks that were trained apart (Lakshminarayanan et al., NeurIPS 2017).

The paper is arXiv:1612.01474.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor, nn

from defenses._posterior import Posterior


class EnsemblePosterior(Posterior):
    """Networks of different initial weights and orders of the training images.

    A draw is one of the networks. All of them together are no random choice, so that they give the
    same result at every call.

    Args:
        members: untrained networks.
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Images purified by one of the networks, chosen at random."""
        return next(self.draws(images, 1))

    def mean(self, images: Tensor) -> Tensor:
        """Images purified by the first network: the weights have no mean that is a purifier."""
        purified: Tensor = self.members[0](images)
        return purified

    def draws(self, images: Tensor, count: int) -> Iterator[Tensor]:
        """Images purified by `count` networks, each at most once.

        For as many as there are, or more, by all of them in their order.
        """
        chosen: Sequence[int] = range(len(self.members))
        if count < len(self.members):
            chosen = random.sample(chosen, count)

        for index in chosen:
            yield self.members[index](images)

    @property
    def networks(self) -> Sequence[nn.Module]:
        """The members, which are trained one after the other."""
        return list(self.members)
