"""Projected Gradient Descent: Madry et al., ICLR 2018 (arXiv:1706.06083), section 2.1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from attacks._foolbox import Keep, check_keep, fb, run
from bench.contracts import Attack, Norm, PositiveFloat, PositiveInt
from bench.registry import register_attack

_BY_NORM: Mapping[Norm, Callable[..., fb.Attack]] = {
    "linf": fb.LinfPGD,
    "l2": fb.L2PGD,
    "l1": fb.L1PGD,
}


@register_attack("pgd")
@dataclass(frozen=True)
class PGD(Attack):
    """Projected Gradient Descent, PGD-40 in the L-infinity ball by default (arXiv:1706.06083).

    A step follows the sign of the gradient in L-infinity, and the gradient at unit length in L2 and
    L1. In L1 that is no steepest ascent, and foolbox shortens the perturbation instead of
    projecting it: a weak attack; there is `fmn:norm=l1`.

    Attributes:
        steps: gradient steps.
        rel_stepsize: size of a step as a share of eps; the default is foolbox's for L-infinity,
            Madry's 0.01 at eps 0.3 (foolbox takes 50 steps of 0.025 in L2 and L1).
        random_start: begin at a uniform point of the ball.
        norm: the norm that eps bounds.
        targeted: towards the class after the true one; else away from the true one.
        keep: `first`: each image's first iterate that the attacked model gets wrong, where it
            leaves the batch, see `attacks._foolbox.Keep`; weaker against anything but that model,
            so that under graybox and transfer it flatters a defense. None: the last iterate, as in
            foolbox and Madry et al.
    """

    steps: PositiveInt = 40
    rel_stepsize: PositiveFloat = 0.01 / 0.3
    random_start: bool = True
    norm: Norm = "linf"
    targeted: bool = False
    keep: Keep | None = None

    def __post_init__(self) -> None:
        check_keep(self.keep, self.targeted)

    @property
    def stops_at_first_success(self) -> bool:
        """Whether the first misclassified iterate is kept."""
        return self.keep == "first"

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """Gradient steps, projected on the ball and [0, 1] after each; see `Attack.perturb`."""
        attack = _BY_NORM[self.norm](
            steps=self.steps, rel_stepsize=self.rel_stepsize, random_start=self.random_start
        )
        return run(attack, model, images, labels, eps, targeted=self.targeted, keep=self.keep)

    def ball(self) -> Norm:
        """The norm chosen."""
        return self.norm

    def describe(self, eps: float) -> Mapping[str, float | int | str]:
        """The step size in absolute units."""
        return {"step_size": self.rel_stepsize * eps, "steps": self.steps}
