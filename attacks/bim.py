"""Basic Iterative Method: Kurakin, Goodfellow, Bengio, ICLR workshop 2017 (arXiv:1607.02533), section 2.2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from attacks._foolbox import Keep, check_keep, fb, run
from bench.contracts import Attack, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("bim")
@dataclass(frozen=True)
class BIM(Attack):
    """Basic Iterative Method: sign steps from the image itself, in the L-infinity ball
    (arXiv:1607.02533).

    The paper steps by one grey level and takes `min(255 eps + 4, 1.25 * 255 eps)` steps; the
    defaults are foolbox's.

    Attributes:
        steps: gradient steps.
        rel_stepsize: size of a step as a share of eps.
        targeted: towards the class after the true one; else away from the true one.
        keep: `first`: each image's first iterate that the attacked model gets wrong, where it
            leaves the batch, see `attacks._foolbox.Keep`; weaker against anything but that model,
            so that under graybox and transfer it flatters a defense. None: the last iterate, as in
            the paper.
    """

    steps: PositiveInt = 10
    rel_stepsize: PositiveFloat = 0.2
    targeted: bool = False
    keep: Keep | None = None

    def __post_init__(self) -> None:
        check_keep(self.keep, self.targeted)

    @property
    def stops_at_first_success(self) -> bool:
        """Whether the first misclassified iterate is kept."""
        return self.keep == "first"

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """Sign steps, clipped to the ball and [0, 1] after each; see `Attack.perturb`."""
        attack = fb.LinfBasicIterativeAttack(steps=self.steps, rel_stepsize=self.rel_stepsize)
        return run(attack, model, images, labels, eps, targeted=self.targeted, keep=self.keep)

    def describe(self, eps: float) -> Mapping[str, float | int | str]:
        """The step size in absolute units."""
        return {"step_size": self.rel_stepsize * eps, "steps": self.steps}
