"""GeoDA: Rahmati, Moosavi-Dezfooli, Frossard, Dai, CVPR 2020 (arXiv:2003.06468)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from attacks._extras import ART_WORK, require_art
from bench.contracts import MinimumNorm, PositiveFloat, PositiveInt
from bench.registry import register_attack

_FIRST = 50
"""Smallest number of queries for the first normal, as in ART."""

_ORDER = {"linf": float("inf"), "l2": 2, "l1": 1}


@register_attack("geoda")
@dataclass(frozen=True)
class GeoDA(MinimumNorm):
    """GeoDA: steps to the boundary along its estimated normal, from decisions (arXiv:2003.06468).

    Algorithm 2 of the paper, which uses predicted classes only. Low-frequency noise at a point of
    the boundary shows the boundary's normal; the next point lies along the sum of the normals so
    far. The queries grow from step to step by equation 19. The walk starts from noise. ART draws
    the boundary with a tolerance of 0.1, far above the size of the noise; the default here is that
    of the authors' code. The nearest point of all steps is returned, not the last one.

    The attack needs the extra `art`.

    Attributes:
        queries: number of queries for all normals of an image, at least 1; the bisections and
            moves take some more.
        sub_dim: number of frequencies of each axis in the noise, at least 1.
        bin_search_tol: length in L2 at which a bisection to the boundary ends, above 0.
        lambda_param: lambda in equation 19, above 0 and at most 1; at 1 every normal takes the same
            number of queries.
        sigma: standard deviation of the noise in each frequency, above 0.
        norm: norm of the minimized distance: `l2`, `linf` or `l1`. In `l1` the steps are those of
            `l2`.
    """

    access = "decision"
    host_work = ART_WORK

    queries: PositiveInt = 4000
    sub_dim: PositiveInt = 10
    bin_search_tol: PositiveFloat = 1e-4
    lambda_param: Annotated[float, Field(gt=0, le=1)] = 0.6
    sigma: PositiveFloat = 2e-4
    norm: Literal["linf", "l2", "l1"] = "l2"

    def __post_init__(self) -> None:
        require_art()

    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest points found on the boundary, or else the images unchanged."""
        from attacks._art import Estimator, GeoDA, generate

        attack = GeoDA(
            Estimator(model, images),
            self._schedule(),
            norm=_ORDER[self.norm],
            sub_dim=self.sub_dim,
            bin_search_tol=self.bin_search_tol,
            sigma=self.sigma,
        )
        return generate(attack, labels)

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002 - same at every budget
        """Number of estimated normals, which is that of the steps."""
        return {"normals": len(self._schedule())}

    def _schedule(self) -> list[int]:
        """Number of queries for each normal: the most steps of which the first has 50 queries."""
        growth = self.lambda_param ** (-2 / 3)
        weights = [1.0]
        while self.queries / (sum(weights) + growth * weights[-1]) >= _FIRST:
            weights.append(growth * weights[-1])

        return [round(self.queries * weight / sum(weights)) for weight in weights]
