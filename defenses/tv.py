"""Total-variation minimization: Guo, Rana, Cisse, van der Maaten, ICLR 2018 (arXiv:1711.00117)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from bench.contracts import (
    Accelerator,
    DataInfo,
    Defense,
    Eager,
    Fraction,
    PositiveFloat,
    PositiveInt,
    State,
)
from bench.registry import register_defense
from defenses._checkpointed import Checkpointed

_PRIMAL_STEP = 0.5
"""Step size of the pixels: the one with the least objective after 100 steps, on most of the images
and weights that were tried."""

_DUAL_STEP = 1 / (8 * _PRIMAL_STEP)
"""Step size of the flows; the squared norm of the differences is below 8 (Chambolle 2004)."""


@register_defense("tv")
@dataclass(frozen=True)
class TotalVariation(Defense):
    """Total-variation minimization: the smoothest image near a random part of the pixels.

    Source: Guo et al., ICLR 2018 (arXiv:1711.00117), section 4. Each value is dropped with a given
    probability, anew at each call. The purified image z minimizes

        1/2 sum over kept values of (z - x)^2  +  weight * total variation of z.

    As in the authors' code (facebookresearch/adversarial_image_defenses) the distance is squared,
    while the paper's formula has its root. The total variation is that of the split Bregman solver
    which they use: the length of the gradient at each pixel, each channel by itself. The paper's
    formula takes the length of whole differences of rows and columns. Their code drops a value by
    turning it black, so that a black value is always kept; here it may be dropped too.

    The minimum is found by a fixed number of steps of the primal-dual algorithm of Chambolle and
    Pock 2011 (algorithm 1) in place of split Bregman, because every step has a gradient. The
    attacker's gradient goes through all steps, in the memory of one step and of the stored path.
    It is zero at values that are dropped, so that an attacker averages over several draws.

    Attributes:
        dropout: probability with which a value is dropped, in [0, 1]; 0 draws nothing.
        weight: weight of the total variation, above 0.
        steps: number of steps of the solver, at least 1.
    """

    independent_draws: ClassVar[bool] = True
    inference_parameters: ClassVar[frozenset[str]] = frozenset({"dropout", "weight", "steps"})

    dropout: Fraction = 0.5
    weight: PositiveFloat = 0.03
    steps: PositiveInt = 100

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether some values are dropped and others are not."""
        return 0 < self.dropout < 1

    def build(self, data: DataInfo) -> nn.Module:  # noqa: ARG002 - the same for all data
        """The minimization; nothing to train."""
        return _Minimization(self.dropout, self.weight, self.steps)


class _Minimization(nn.Module):
    """Primal-dual descent on the weighted sum of total variation and squared distance."""

    def __init__(self, dropout: float, weight: float, steps: int) -> None:
        super().__init__()
        self.dropout = dropout
        self.weight = weight
        self.steps = steps

    def forward(self, images: Tensor) -> Tensor:
        """The minimizers, same shape."""
        is_attacked = torch.is_grad_enabled() and images.requires_grad
        return self.accelerated(Checkpointed() if is_attacked else Eager())(images)

    def accelerated(self, by: Accelerator) -> Callable[[Tensor], Tensor]:
        """The minimization; an engine runs its steps."""
        minimized = by.loop(self.step, self.steps)

        def purify(images: Tensor) -> Tensor:
            constants = (images, self._kept(images))
            return minimized(_start(*constants), constants)[0].clamp(0, 1)

        return purify

    def step(self, state: State, constants: State) -> State:
        """One step of the primal-dual algorithm.

        Args:
            state: pixels, extrapolated pixels, and the flow between pixels along the height and
                along the width, which is the dual variable; same shape each.
            constants: images, and 1 where a value is kept, 0 where it is dropped.

        Returns:
            the next state.
        """
        pixels, ahead, down, right = state
        images, kept = constants

        down = down + _DUAL_STEP * _difference(ahead, axis=2)
        right = right + _DUAL_STEP * _difference(ahead, axis=3)
        down, right = _shortened(down, right, self.weight)

        moved = pixels + _PRIMAL_STEP * (_inflow(down, axis=2) + _inflow(right, axis=3))
        after = (moved + _PRIMAL_STEP * kept * images) / (1 + _PRIMAL_STEP * kept)
        return after, 2 * after - pixels, down, right

    def _kept(self, images: Tensor) -> Tensor:
        """1 for each value of the images that is kept, 0 for one that is dropped."""
        return (torch.rand_like(images) >= self.dropout).to(images)


def _start(images: Tensor, kept: Tensor) -> State:
    """The state before the first step, which knows nothing of a value that is dropped."""
    known = images * kept
    nothing = torch.zeros_like(images)
    return known, known, nothing, nothing


def _difference(images: Tensor, axis: int) -> Tensor:
    """Next pixel minus this one along an axis, and 0 at the last pixel."""
    return pad(images.diff(dim=axis), (0, 0, 0, 1) if axis == 2 else (0, 1))


def _inflow(flow: Tensor, axis: int) -> Tensor:
    """What flows to each pixel along an axis: the negative adjoint of the difference."""
    before = pad(flow, (0, 0, 1, 0) if axis == 2 else (1, 0)).narrow(axis, 0, flow.shape[axis])
    return flow - before


def _shortened(down: Tensor, right: Tensor, longest: float) -> tuple[Tensor, Tensor]:
    """Both components of a flow, scaled so that it is no longer than a bound at each pixel."""
    # The root of a clamped square, because the gradient of a length is NaN at zero.
    squared = (down.square() + right.square()).clamp_min(longest**2)
    scale = longest * squared.rsqrt()
    return down * scale, right * scale
