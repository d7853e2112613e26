"""Momentum Iterative FGSM: Dong et al., CVPR 2018 (arXiv:1710.06081), algorithm 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from attacks._foolbox import Keep, check_keep, fb, run
from bench.contracts import Attack, NonNegativeFloat, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("mifgsm")
@dataclass(frozen=True)
class MIFGSM(Attack):
    """Momentum Iterative FGSM: sign steps along the gathered gradient, which transfer better
    (arXiv:1710.06081).

    Foolbox gathers the signs of the gradients and steps by 0.2 eps; here, as in the paper, each
    gradient is divided by its L1 norm before it is gathered (equation 6), and a step is eps / 10.

    Attributes:
        steps: gradient steps.
        rel_stepsize: size of a step as a share of eps.
        momentum: share of the gathered gradient that is kept, mu in the paper.
        targeted: towards the class after the true one; else away from the true one.
        keep: `first`: each image's first iterate that the attacked model gets wrong, where it
            leaves the batch, see `attacks._foolbox.Keep`; weaker against anything but that model,
            so that under graybox and transfer it flatters a defense. None: the last iterate, as in
            the paper.
    """

    steps: PositiveInt = 10
    rel_stepsize: PositiveFloat = 0.1
    momentum: NonNegativeFloat = 1.0
    targeted: bool = False
    keep: Keep | None = None

    def __post_init__(self) -> None:
        check_keep(self.keep, self.targeted)

    @property
    def stops_at_first_success(self) -> bool:
        """Whether the first misclassified iterate is kept."""
        return self.keep == "first"

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """Sign steps along the momentum, clipped to the ball and [0, 1] after each.

        See `Attack.perturb`.
        """
        attack = _Normalised(
            momentum=self.momentum, steps=self.steps, rel_stepsize=self.rel_stepsize
        )
        return run(attack, model, images, labels, eps, targeted=self.targeted, keep=self.keep)

    def describe(self, eps: float) -> Mapping[str, float | int | str]:
        """The step size in absolute units."""
        return {"step_size": self.rel_stepsize * eps, "steps": self.steps}


class _Normalised(fb.LinfMomentumIterativeFastGradientMethod):
    def normalize(self, gradients: Any, *, x: Any, bounds: Any) -> Any:  # noqa: ARG002
        norms = gradients.flatten(start=1).norms.l1(axis=-1).maximum(1e-12)
        return gradients / norms.reshape((-1, *[1] * (gradients.ndim - 1)))
