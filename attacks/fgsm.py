"""Fast Gradient Sign Method: Goodfellow, Shlens, Szegedy, ICLR 2015 (arXiv:1412.6572)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from attacks._foolbox import fb, run
from bench.contracts import Attack
from bench.registry import register_attack


@register_attack("fgsm")
@dataclass(frozen=True)
class FGSM(Attack):
    """Fast Gradient Sign Method: one step along the gradient's sign, L-infinity (arXiv:1412.6572).

    Section 4 of the paper; the result is clipped to [0, 1].
    """

    single_step = True

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """`clip(x + eps * sign(grad_x cross_entropy), 0, 1)`; see `Attack.perturb`."""
        return run(fb.LinfFastGradientAttack(), model, images, labels, eps)
