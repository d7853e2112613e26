"""HopSkipJump: Chen, Jordan, Wainwright, IEEE S&P 2020 (arXiv:1904.02144)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from attacks._foolbox import fb, minimise_from_start, per_image
from attacks._queries import is_deterministic
from attacks._targets import Target, Targetable
from bench.contracts import MinimumNorm, NotApplicable, PositiveFloat, PositiveInt
from bench.registry import register_attack


@register_attack("hopskipjump")
@dataclass(frozen=True)
class HopSkipJump(Targetable, MinimumNorm):
    """HopSkipJump: walk along the boundary by estimated gradients, L2 or L-inf (arXiv:1904.02144).

    Algorithm 2 of the paper, which uses predicted classes only. The walk starts from noise, or else
    from another image of the batch. Foolbox 3.3.4 divides the estimated gradient of an image by the
    norm over the whole batch, so that a large batch hardly moves; here each image has its own norm.

    The attack relies on equal decisions at every call: a model that draws randomness is not
    applicable.

    Attributes:
        steps: number of steps along the boundary, at least 1.
        initial_gradient_eval_steps: number of queries for the first gradient, at least 1; the k-th
            gradient takes sqrt(k) times as many.
        max_gradient_eval_steps: largest number of queries for a gradient, at least 1.
        gamma: tolerance of the bisection to the boundary, which also sets the size of the probes,
            above 0.
        norm: norm of the minimized distance: `l2` or `linf`.
        targeted: whether the attack aims at one class, instead of any wrong class.
        target: class that a targeted attack aims at, see `attacks._targets.Target`.
    """

    access = "decision"

    steps: PositiveInt = 64
    initial_gradient_eval_steps: PositiveInt = 100
    max_gradient_eval_steps: PositiveInt = 10_000
    gamma: PositiveFloat = 1.0
    norm: Literal["linf", "l2"] = "l2"
    targeted: bool = False
    target: Target = "next"

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The last points on the boundary, or else the images unchanged.

        Raises:
            NotApplicable: the model draws randomness.
        """
        if not is_deterministic(model, images):
            raise NotApplicable(
                "HopSkipJump needs a model that gives the same decision at every call; this model "
                "draws randomness"
            )

        attack = _NormalizedByImage(
            steps=self.steps,
            initial_gradient_eval_steps=self.initial_gradient_eval_steps,
            max_gradient_eval_steps=self.max_gradient_eval_steps,
            gamma=self.gamma,
            constraint=self.norm,
        )

        def craft(images: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
            return minimise_from_start(attack, model, images, labels, targets=targets)

        return self.aimed(model, images, labels, craft)

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002 - same at every budget
        """Number of queries for the gradients of an image; the bisections take some more."""
        first = self.initial_gradient_eval_steps
        largest = self.max_gradient_eval_steps
        queries = (int(min(first * k**0.5, largest)) for k in range(1, self.steps + 1))
        return {"gradient_queries": sum(queries)}


class _NormalizedByImage(fb.HopSkipJumpAttack):
    def approximate_gradients(self, *args: Any, **kwargs: Any) -> Any:
        gradients = super().approximate_gradients(*args, **kwargs)
        norms = gradients.flatten(start=1).norms.l2(axis=-1).maximum(1e-12)
        return gradients / per_image(norms, gradients)
