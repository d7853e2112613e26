"""Published undefended curves beside ours: what scale a printed epsilon is on, and which fits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.drawing import over_seeds
from bench.report.published.publication import Figure

CURVES = (
    *("dataset", "attack", "classifier", "our_attack", "n", "scale"),
    *("printed", "possible", "matched", "distance", "shared", "shared_distance", "fits"),
)


@dataclass(frozen=True)
class Scale:
    """What a printed epsilon may mean.

    Attributes:
        name: the range of the pixels it is measured on.
        share: one unit of it on the [0, 1] scale.
    """

    name: str
    share: float

    def eps(self, printed: float) -> float:
        """A printed epsilon on the [0, 1] scale; above 1 there is no such budget."""
        return round(printed * self.share, 9)


SCALES = (Scale("[0, 1]", 1.0), Scale("[-1, 1]", 0.5))


def scales_of(figure: Figure) -> list[Scale]:
    """The scales that a figure's epsilon may be on: the one it states, or all."""
    return [scale for scale in SCALES if figure.scale in (scale.name, "unstated")]


def curves_frame(results: pd.DataFrame, figures: Sequence[Figure]) -> pd.DataFrame:
    """How far the undefended curve of each of our attacks is from the published one, for each
    scale.

    `distance` is the mean absolute difference over the `matched` epsilons above 0, of `possible`
    ones (at most 1 on our scale) among those `printed`; `shared_distance` is the same over the
    `shared` ones, which the run has for every scale. By the latter one scale `fits` better than the
    other. Seeds are averaged first.
    """
    rows: list[dict[str, Any]] = []
    for (dataset, attack), points in undefended_curves(figures).items():
        for labels, curve in _curves(results, dataset, attack):
            ours = dict(zip(curve["eps"], curve["undefended_robust_accuracy"], strict=True))
            rows += [
                {"dataset": dataset, "attack": attack, **labels, **found}
                for found in _distances(ours, points)
            ]
    return pd.DataFrame(rows, columns=list(CURVES))


def undefended_curves(figures: Iterable[Figure]) -> dict[tuple[str, str], dict[float, float]]:
    """Published undefended accuracies by dataset and attack, over the printed epsilon, which is above 0."""
    found: dict[tuple[str, str], dict[float, float]] = {}
    for figure in figures:
        if (
            figure.defense == "none"
            and not figure.clean
            and figure.accuracy is not None
            and figure.eps is not None
        ):
            points = found.setdefault((figure.dataset, str(figure.attack)), {})
            points.setdefault(figure.eps, figure.accuracy)
    return found


def family(labels: pd.Series[Any]) -> pd.Series[Any]:
    """The plugins' names, without parameters."""
    return labels.map(lambda label: str(label).partition(":")[0])


def is_invalid(verdicts: pd.Series[Any]) -> pd.Series[Any]:
    """Which verdicts say that a number is no measure."""
    return verdicts.map(lambda verdict: str(verdict).startswith("invalid"))


def _curves(
    results: pd.DataFrame, dataset: str, attack: str
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Our undefended curve of each classifier and attack of that name, seeds averaged: labels, and
    rows over eps.

    Where the cell of `none` is invalid there is no point.
    """
    chosen = (
        (results["status"] == "ok")
        & (results["dataset"] == dataset)
        & (results["threat"] == "graybox")
    )
    chosen &= (
        (family(results["attack"]) == attack) & (results["norm"] == "linf") & (results["eps"] > 0)
    )
    void = chosen & (results["defense"] == "none") & is_invalid(results["verdict"])
    point = ["classifier", "attack", "seed", "eps"]
    chosen &= ~results.set_index(point).index.isin(results[void].set_index(point).index)
    for (classifier, label), rows in results[chosen].groupby(["classifier", "attack"], sort=False):
        labels = {"classifier": classifier, "our_attack": label, "n": rows["n"].iloc[0]}
        yield labels, over_seeds(rows, "eps").sort_values("eps")


def _distances(
    ours: Mapping[float, float], points: Mapping[float, float]
) -> Iterator[dict[str, Any]]:
    """One row per scale."""
    gaps = {
        scale.name: {
            printed: abs(value - accuracy)
            for printed, accuracy in points.items()
            for eps, value in ours.items()
            if math.isclose(eps, scale.eps(printed), abs_tol=1e-9)
        }
        for scale in SCALES
    }
    shared = set.intersection(*(set(found) for found in gaps.values()))
    over_shared = {
        name: _mean(found[printed] for printed in shared) for name, found in gaps.items()
    }
    for scale in SCALES:
        own = over_shared[scale.name]
        others = [value for name, value in over_shared.items() if name != scale.name]
        yield {
            "scale": scale.name,
            "printed": len(points),
            "possible": sum(scale.eps(printed) <= 1 for printed in points),
            "matched": len(gaps[scale.name]),
            "distance": _mean(gaps[scale.name].values()),
            "shared": len(shared),
            "shared_distance": own,
            "fits": ""
            if not shared
            else "better"
            if own < min(others)
            else "worse"
            if own > min(others)
            else "alike",
        }


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found) if found else math.nan
