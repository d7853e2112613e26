"""Base of the iterative gradient attacks: parameters, kept iterates and the call of foolbox."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from attacks._foolbox import BaseGradientDescent, run
from attacks._kept_iterates import KeptIterates
from attacks._queries import draws, is_deterministic
from attacks._targets import Target, Targetable
from bench.contracts import NotApplicable, PositiveFloat, PositiveInt

Keep = Literal["first", "worst", "last"]
"""Iterate of each image that an iterative attack returns; by default the worst or the last.

The default is `worst` if the attacked model is the pipeline that is evaluated, and otherwise
`last`, which is what foolbox returns.

`worst`: the iterate that the attacked model misclassifies, and among several the one with the
highest loss; the start and the last iterate count. In a targeted attack the target takes the place
of misclassification. On a model that draws randomness, the share of misclassified draws and the
mean loss decide, over the draws that the gradient is averaged over. Iterates may swing across the
boundary, so that the last one is not the worst.

`first`: the first iterate that the attacked model misclassifies, or else the last one. The image
leaves the batch there, which saves its other steps. The attacked model's accuracy is exactly that
of a loop over the whole batch that notes the first misclassified iterate of every image.

From the same random start, the attacked model's accuracy on the worst and on the first iterates is
never above that on the last ones. Both are weaker against any other model: under graybox and
transfer, a purifier may see smaller perturbations, which flatters the defense.
"""


@dataclass(frozen=True)
class GradientDescent(Targetable):
    """Iterative attack that follows the gradient of the loss within a ball.

    Attributes:
        path: length of all steps together, as a multiple of eps, where `rel_stepsize` is not given.
        steps: number of gradient steps, at least 1.
        rel_stepsize: size of a step as a share of eps, above 0. By default it is `path / steps`, so
            that few steps go as far as many.
        targeted: whether the attack aims at one class, instead of any wrong class; False by
            default.
        keep: iterate of each image that is returned, see `Keep`. `first` is refused in a targeted
            attack, and not applicable to a model that draws randomness. None, the default, for the
            worst iterate on the pipeline that is evaluated, and for the last one on other models.
        target: class that a targeted attack aims at, see `attacks._targets.Target`.
    """

    path: ClassVar[float]

    steps: PositiveInt
    rel_stepsize: PositiveFloat | None
    targeted: bool = False
    keep: Keep | None = None
    target: Target = "next"

    def __post_init__(self) -> None:
        super().__post_init__()
        # The first misclassified iterate need not be of the target class.
        if self.keep == "first" and self.targeted:
            raise ValueError(
                "parameter keep=first: only for an untargeted attack, and targeted is true"
            )
        # The number itself is what a record and the identity show.
        object.__setattr__(self, "rel_stepsize", self.relative_step)

    @abstractmethod
    def descent(self) -> BaseGradientDescent:
        """The foolbox attack with these parameters."""

    @property
    def relative_step(self) -> float:
        """Size of a step as a share of eps."""
        return self.path / self.steps if self.rel_stepsize is None else self.rel_stepsize

    @property
    def stops_at_first_success(self) -> bool:
        """Whether the first misclassified iterate is returned."""
        return self.keep == "first"

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """The kept iterates; see `Keep` and `Attack.perturb`.

        Raises:
            NotApplicable: `keep` is `first`, and the model draws randomness.
        """
        keep = self.keep or ("worst" if getattr(model, "evaluated", False) else "last")
        if keep == "first":
            _require_determinism(model, images)
        descent = self.descent()
        attack = descent if keep == "last" else KeptIterates(descent, keep, draws(model))

        def craft(images: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
            return run(attack, model, images, labels, eps, targets=targets, directions_only=True)

        return self.aimed(model, images, labels, craft)

    def describe(self, eps: float) -> Mapping[str, float | int | str]:
        """Size of a step on the [0, 1] scale, and number of steps."""
        return {"step_size": self.relative_step * eps, "steps": self.steps}


def _require_determinism(model: nn.Module, images: Tensor) -> None:
    if draws(model) > 1 or not is_deterministic(model, images):
        raise NotApplicable(
            "keep=first needs a model that gives the same decision at every call; this model draws "
            "randomness, so an image that it misclassified once may be classified correctly later"
        )
