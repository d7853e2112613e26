"""HopSkipJump: Chen, Jordan, Wainwright, IEEE S&P 2020 (arXiv:1904.02144), algorithm 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from attacks._foolbox import decides_alike, fb, minimise_from_start
from bench.contracts import MinimumNorm, Norm, NotApplicable, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("hopskipjump")
@dataclass(frozen=True)
class HopSkipJump(MinimumNorm):
    """HopSkipJump: walks along the boundary by gradients estimated from decisions; L2 or L-inf
    (arXiv:1904.02144).

    Foolbox 3.3.4 divides the estimated gradient of an image by the norm over the whole batch, so
    that a large batch hardly moves; here each has its own. It starts from noise, else from an image
    of the batch. It takes the model's decisions to be the same each time: a model that draws
    randomness is not applicable.

    Attributes:
        steps: steps along the boundary.
        initial_gradient_eval_steps: queries for the first gradient; the k-th takes sqrt(k) times as
            many.
        max_gradient_eval_steps: and no more than so many.
        gamma: tolerance of the bisection to the boundary, and the size of the probes.
        norm: the norm of the distance.
        targeted: towards the class after the true one; else away from the true one.
    """

    access = "decision"

    steps: PositiveInt = 64
    initial_gradient_eval_steps: PositiveInt = 100
    max_gradient_eval_steps: PositiveInt = 10_000
    gamma: PositiveFloat = 1.0
    norm: Literal["linf", "l2"] = "l2"
    targeted: bool = False

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The last point on the boundary, else the image itself; see `MinimumNorm.minimise`."""
        if not decides_alike(model, images):
            raise NotApplicable(
                "HopSkipJump takes decisions to be the same each time; this model draws randomness"
            )
        attack = _EachByItself(
            steps=self.steps,
            initial_gradient_eval_steps=self.initial_gradient_eval_steps,
            max_gradient_eval_steps=self.max_gradient_eval_steps,
            gamma=self.gamma,
            constraint=self.norm,
        )
        return minimise_from_start(attack, model, images, labels, targeted=self.targeted)

    def ball(self) -> Norm:
        """The norm chosen."""
        return self.norm

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002
        """Queries an image for gradients; the bisections take some more."""
        first, most = self.initial_gradient_eval_steps, self.max_gradient_eval_steps
        return {
            "gradient_queries": sum(
                int(min(first * k**0.5, most)) for k in range(1, self.steps + 1)
            )
        }


class _EachByItself(fb.HopSkipJumpAttack):
    def approximate_gradients(self, *args: Any, **kwargs: Any) -> Any:
        gradients = super().approximate_gradients(*args, **kwargs)
        norms = gradients.flatten(start=1).norms.l2(axis=-1).maximum(1e-12)
        return gradients / norms.reshape((-1, *[1] * (gradients.ndim - 1)))
