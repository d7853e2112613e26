"""Contract of stand-ins: differentiable versions of a purifier, which it offers to an attacker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


class Mixture(NamedTuple):
    """Candidates for the purified image, with the probability of each.

    A purifier that chooses among candidates has no useful gradient through its choice. The attack
    follows the mean of the classifier's probabilities over the candidates instead.

    Attributes:
        images: candidates, float32 (n, candidates, channels, height, width) in [0, 1].
        log_weights: logarithms of their probabilities, (n, candidates).
    """

    images: Tensor
    log_weights: Tensor


StandInFunction: TypeAlias = "Callable[[Tensor], Tensor | Mixture]"
"""A differentiable function from images (n, c, h, w) to purified images or a mixture of them."""


@dataclass(frozen=True)
class StandIn:
    """A differentiable version of a purifier.

    Attributes:
        function: the version: images in [0, 1] to images of the same shape, or to a mixture.
        backward_only: whether the real purifier computes the images, and the version only their
            gradient (backward pass differentiable approximation, Athalye et al. 2018). False, the
            default, if the attack follows the version alone; a mixture is always followed alone.
    """

    function: StandInFunction
    backward_only: bool = False


@runtime_checkable
class HasStandIns(Protocol):
    """A purifier's module that offers stand-ins."""

    def stand_ins(self) -> Mapping[str, StandIn]:
        """The stand-ins by name; each approximates what `forward` returns in evaluation mode."""
