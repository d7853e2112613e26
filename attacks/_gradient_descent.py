"""Base of the iterative gradient attacks: parameters, early stopping and the call of foolbox."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from attacks._first_success import FirstSuccess
from attacks._foolbox import BaseGradientDescent, is_deterministic, run
from bench.contracts import Attack, NotApplicable, PositiveFloat, PositiveInt

Keep = Literal["first"]
"""Iterate of each image that an untargeted attack returns instead of the last one.

`first`: the first iterate that the attacked model misclassifies, the start included, or else the
last one. The image leaves the batch there, which saves its other steps. The attacked model's
accuracy is exactly that of a loop over the whole batch that notes the first misclassified iterate
of every image. From the same random start, it is never above the accuracy on the last iterates.

The images are weaker against any model but the attacked one: under graybox and transfer, a purifier
sees smaller perturbations, which flatters the defense. The option suits curves of the attacked
model, and threat models that see the defense.
"""


@dataclass(frozen=True)
class GradientDescent(Attack):
    """Iterative attack that follows the gradient of the loss within a ball.

    Attributes:
        steps: number of gradient steps, at least 1.
        rel_stepsize: size of a step as a share of eps, above 0.
        targeted: whether the attack aims at the class after the true one, instead of any wrong
            class; False by default.
        keep: `first` to return each image's first misclassified iterate, see `Keep`. It is refused
            in a targeted attack, and not applicable to a model that draws randomness. None, the
            default, for the last iterate.
    """

    steps: PositiveInt
    rel_stepsize: PositiveFloat
    targeted: bool = False
    keep: Keep | None = None

    def __post_init__(self) -> None:
        # The first misclassified iterate need not be of the target class.
        if self.keep is not None and self.targeted:
            raise ValueError(
                f"parameter keep={self.keep}: only for an untargeted attack, and targeted is true"
            )

    @abstractmethod
    def descent(self) -> BaseGradientDescent:
        """The foolbox attack with these parameters."""

    @property
    def stops_at_first_success(self) -> bool:
        """Whether the first misclassified iterate is returned."""
        return self.keep == "first"

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """The last iterates, or the first misclassified ones; see `Attack.perturb`.

        Raises:
            NotApplicable: `keep` is `first`, and the model draws randomness.
        """
        descent = self.descent()
        if not self.stops_at_first_success:
            return run(descent, model, images, labels, eps, targeted=self.targeted)

        _require_determinism(model, images)
        return run(FirstSuccess(descent), model, images, labels, eps)

    def describe(self, eps: float) -> Mapping[str, float | int | str]:
        """Size of a step on the [0, 1] scale, and number of steps."""
        return {"step_size": self.rel_stepsize * eps, "steps": self.steps}


def _require_determinism(model: nn.Module, images: Tensor) -> None:
    if int(getattr(model, "eot", 1)) > 1 or not is_deterministic(model, images):
        raise NotApplicable(
            "keep=first needs a model that gives the same decision at every call; this model draws "
            "randomness, so an image that it misclassified once may be classified correctly later"
        )
