"""Published undefended curves beside ours: which scale of a printed epsilon fits better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.columns import over_seeds
from bench.report.published.publication import PublishedFigure

COLUMNS = (
    *("dataset", "attack", "classifier", "our_attack", "n", "scale"),
    *("printed", "possible", "matched", "distance", "shared", "shared_distance", "fits"),
)

_SAME_EPS = 1e-9


@dataclass(frozen=True)
class Scale:
    """A range of pixels on which a printed epsilon may be measured.

    Attributes:
        name: range of the pixels, such as `[-1, 1]`.
        share: size of one unit of the range on the [0, 1] scale.
    """

    name: str
    share: float

    def eps(self, printed: float) -> float:
        """A printed epsilon on the [0, 1] scale; above 1 there is no such budget."""
        return round(printed * self.share, 9)


SCALES = (Scale("[0, 1]", 1.0), Scale("[-1, 1]", 0.5))


def scales_of(figure: PublishedFigure) -> list[Scale]:
    """The scales that a figure's epsilon may have: the stated one, or all."""
    return [scale for scale in SCALES if figure.scale in (scale.name, "unstated")]


def curves_frame(results: pd.DataFrame, figures: Sequence[PublishedFigure]) -> pd.DataFrame:
    """The distance of each of our undefended curves to the published one, for each scale.

    `distance` is the mean absolute difference over the `matched` epsilons above 0, of `possible`
    ones (at most 1 on [0, 1]) among the `printed` ones. `shared_distance` is the same over
    the `shared` epsilons, which the run has on every scale; by it one scale `fits` better than the
    other. Seeds are averaged first.
    """
    rows: list[dict[str, Any]] = []
    for (dataset, attack), points in undefended_curves(figures).items():
        for labels, curve in _our_curves(results, dataset, attack):
            ours = dict(zip(curve["eps"], curve["undefended_robust_accuracy"], strict=True))
            rows += [
                {"dataset": dataset, "attack": attack, **labels, **distances}
                for distances in _distances(ours, points)
            ]

    return pd.DataFrame(rows, columns=list(COLUMNS))


def undefended_curves(
    figures: Iterable[PublishedFigure],
) -> dict[tuple[str, str], dict[float, float]]:
    """Published undefended robust accuracies by data set and attack, over the printed epsilon."""
    curves: dict[tuple[str, str], dict[float, float]] = {}
    for figure in figures:
        if figure.defense != "none" or figure.clean:
            continue
        if figure.accuracy is not None and figure.eps is not None:
            points = curves.setdefault((figure.dataset, str(figure.attack)), {})
            points.setdefault(figure.eps, figure.accuracy)

    return curves


def _our_curves(
    results: pd.DataFrame, dataset: str, attack: str
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Our undefended curve of each classifier and attack of that name, seeds averaged.

    A point whose cell of `none` is invalid is left out.

    Yields:
        Labels of the curve, and its rows over epsilon.
    """
    chosen = (
        (results["status"] == "ok")
        & (results["dataset"] == dataset)
        & (results["threat"] == "graybox")
        & (results["attack_name"] == attack)
        & (results["norm"] == "linf")
        & (results["eps"] > 0)
    )
    invalid = chosen & (results["defense"] == "none") & (results["verdict"] == "invalid")
    point = ["classifier", "attack", "seed", "eps"]
    chosen &= ~results.set_index(point).index.isin(results[invalid].set_index(point).index)

    for (classifier, label), rows in results[chosen].groupby(["classifier", "attack"], sort=False):
        labels = {"classifier": classifier, "our_attack": label, "n": rows["n"].iloc[0]}
        yield labels, over_seeds(rows, "eps").sort_values("eps")


def _distances(
    ours: Mapping[float, float], points: Mapping[float, float]
) -> Iterator[dict[str, Any]]:
    """One row per scale.

    Args:
        ours: accuracy over epsilon on the [0, 1] scale.
        points: published accuracy over the printed epsilon.
    """
    gaps = {scale.name: _gaps(ours, points, scale) for scale in SCALES}
    shared = set.intersection(*(set(scale_gaps) for scale_gaps in gaps.values()))
    over_shared = {
        name: _mean(scale_gaps[printed] for printed in shared) for name, scale_gaps in gaps.items()
    }

    for scale in SCALES:
        own = over_shared[scale.name]
        other = min(value for name, value in over_shared.items() if name != scale.name)
        yield {
            "scale": scale.name,
            "printed": len(points),
            "possible": sum(scale.eps(printed) <= 1 for printed in points),
            "matched": len(gaps[scale.name]),
            "distance": _mean(gaps[scale.name].values()),
            "shared": len(shared),
            "shared_distance": own,
            "fits": _fit(own, other) if shared else "",
        }


def _gaps(
    ours: Mapping[float, float], points: Mapping[float, float], scale: Scale
) -> dict[float, float]:
    """Absolute differences by printed epsilon, where both curves have a point."""
    return {
        printed: abs(value - accuracy)
        for printed, accuracy in points.items()
        for eps, value in ours.items()
        if math.isclose(eps, scale.eps(printed), abs_tol=_SAME_EPS)
    }


def _fit(own: float, other: float) -> str:
    if own == other:
        return "equal"
    return "better" if own < other else "worse"


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed) if listed else math.nan
