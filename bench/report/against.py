"""A run's numbers beside published ones: figure by figure, at an attack of equal strength, and latency."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.literature import Figure
from bench.report.against_curves import family, scales_of, undefended_curves

MISSING = "not in this run"

_PRINTED = ("source", "table", "dataset", "attack", "threat", "epsilon", "defense")
_OURS = ("classifier", "our_attack", "our_defense", "seed", "n")
FIGURES = (
    *(*_PRINTED, "remark", "scale", "eps", "accuracy", "evidence"),
    *(*_OURS, "ours", "ours_low", "ours_high", "difference", "clean", "verdict", "state"),
)
CONTEST = (
    *(*_PRINTED, "undefended", "accuracy", *_OURS, "eps"),
    *("our_undefended", "ours", "ours_low", "ours_high", "clean", "verdict", "outcome", "state"),
)
LATENCY = (
    *(
        "source",
        "table",
        "dataset",
        "defense",
        "remark",
        "seconds",
        "printed_device",
        "classifier",
        "our_defense",
        "target",
    ),
    *("engine", "precision", "device", "calls", "p50_seconds", "p25_seconds", "p75_seconds", "ratio", "state"),
)

Row = Mapping[Hashable, Any]


def figures_frame(results: pd.DataFrame, figures: Iterable[Figure]) -> pd.DataFrame:
    """One row per published accuracy, scale of its epsilon, and number of ours at the same place.

    The same place is: the dataset, defense and attack of that name, the norm, the threat model, the epsilon; the
    classifier may be another, and is told. The undefended accuracy is that on the images made without knowledge of a
    defense, clean where there is no attack or its epsilon is 0; there the scale makes no difference. `difference` is
    ours less the published one. What the run lacks has a row with its reason in `state` and no number of ours.

    Args:
        results: see `bench.report.frames.results_frame`.
        figures: the published ones.
    """
    rows: list[dict[str, Any]] = []
    for figure in figures:
        if figure.accuracy is None:
            continue
        printed = {**_printed(figure), "accuracy": figure.accuracy, "evidence": figure.evidence}
        for scale in [None] if figure.clean else scales_of(figure):
            eps = 0.0 if scale is None else scale.eps(figure.eps or 0.0)
            place = {**printed, "scale": "" if scale is None else scale.name, "eps": eps}
            rows += [{**place, **found} for found in _at(results, figure, eps)]
    frame = pd.DataFrame(rows, columns=list(FIGURES))
    frame["difference"] = frame["ours"].astype(float) - frame["accuracy"]
    return frame


def contest_frame(results: pd.DataFrame, figures: Sequence[Figure]) -> pd.DataFrame:
    """Every published defense beside ours under an attack that leaves our classifier no more than it left theirs.

    Where that is, is the smallest epsilon of the run at which our undefended accuracy is at most the published one:
    whatever the scale of the printed epsilon and the strength of the classifier, the defenses then face as much.
    `outcome` is `above` where our whole interval lies above the published figure, `below` likewise, else `level`; none
    where the verdict is that our number is no measure.
    """
    levels = undefended_curves(figures)
    rows: list[dict[str, Any]] = []
    for printed, figure in _defended(figures):
        level = levels.get((figure.dataset, str(figure.attack)), {}).get(figure.eps or 0.0)
        if level is None:
            continue
        place = {**printed, "undefended": level, "accuracy": figure.accuracy}
        rows += [{**place, **found} for found in _equal(results, figure, level)]
    frame = pd.DataFrame(rows, columns=list(CONTEST))
    frame["outcome"] = [_outcome(row) for row in frame.to_dict("records")]
    return frame


def latency_against(latency: pd.DataFrame, figures: Iterable[Figure]) -> pd.DataFrame:
    """One row per published latency and way in which ours was timed at batch size 1; `ratio` is theirs over ours.

    Args:
        latency: see `bench.report.latency.latency_frame`.
        figures: the published ones.
    """
    rows: list[dict[str, Any]] = []
    single = latency[(latency["batch_size"] == 1) & (latency["status"] == "ok")]
    for figure in figures:
        if figure.latency_s is None:
            continue
        printed = {name: value for name, value in _printed(figure).items() if name in LATENCY}
        printed.update(seconds=figure.latency_s, printed_device=figure.device)
        found = single[(single["dataset"] == figure.dataset) & (family(single["defense"]) == figure.defense)]
        rows += [{**printed, **_timed(row, figure.latency_s)} for row in found.to_dict("records")]
        if found.empty:
            rows.append({**printed, "state": MISSING})
    return pd.DataFrame(rows, columns=list(LATENCY))


def _printed(figure: Figure) -> dict[str, Any]:
    return {**{name: getattr(figure, name) for name in _PRINTED}, "remark": figure.note}


def _alike(results: pd.DataFrame, figure: Figure, norm: str | None) -> pd.DataFrame:
    """The cells of the figure's dataset, attack, norm and threat model; of any attack where it names none."""
    chosen = results["dataset"] == figure.dataset
    if figure.attack is not None:
        chosen &= (family(results["attack"]) == figure.attack) & (family(results["threat"]) == figure.threat)
        chosen &= results["norm"] == norm
    return results[chosen]


def _at(results: pd.DataFrame, figure: Figure, eps: float) -> Iterator[dict[str, Any]]:
    """Our numbers at a figure's place, or why there are none."""
    if eps > 1:
        yield {"state": "an epsilon above 1 is none on [0, 1]"}
        return
    bare, found = figure.defense == "none", _alike(results, figure, figure.norm)
    if not bare:
        found = found[family(found["defense"]) == figure.defense]
    if not figure.clean:
        found = found[np.isclose(found["eps"].astype(float), eps, rtol=0, atol=1e-9)]
    ok = found[found["status"] == "ok"]
    if ok.empty:
        yield {"state": _missing(found)}
        return
    same = ["classifier", "seed", *([] if figure.clean else ["attack"]), *([] if bare else ["defense"])]
    # every cell of a classifier and an attack holds the same undefended accuracy
    for row in ok.drop_duplicates(same).to_dict("records"):
        yield _ours(row, bare, figure.clean)


def _missing(found: pd.DataFrame) -> str:
    """Why none of the cells has a number."""
    first = found.head(1).to_dict("records")
    return f"{first[0]['status']}: {first[0]['reason']}" if first else MISSING


def _ours(row: Row, bare: bool, clean: bool) -> dict[str, Any]:
    of_clean = "undefended_clean_accuracy" if bare else "clean_accuracy"
    name = of_clean if clean else "undefended_accuracy" if bare else "robust_accuracy"
    return {
        **_labels(row, bare),
        "our_attack": "" if clean else row["attack"],
        **{f"ours{end}": row[f"{name}{end}"] for end in ("", "_low", "_high")},
        "clean": row[of_clean],
        "verdict": "" if bare or clean else row["verdict"],
        "state": "",
    }


def _labels(row: Row, bare: bool = False) -> dict[str, Any]:
    names = {name: row[name] for name in ("classifier", "seed", "n")}
    return {**names, "our_attack": row["attack"], "our_defense": "none" if bare else row["defense"]}


def _defended(figures: Iterable[Figure]) -> Iterator[tuple[dict[str, Any], Figure]]:
    """Published defended accuracies under attack; one that stands in several tables once, with all their numbers."""
    found: dict[tuple[Any, ...], tuple[dict[str, Any], Figure]] = {}
    for figure in figures:
        if figure.defense == "none" or figure.clean or figure.accuracy is None or figure.threat != "graybox":
            continue
        key = (figure.source, figure.dataset, figure.attack, figure.eps, figure.defense, figure.accuracy)
        if key in found:
            found[key][0]["table"] = f"{found[key][0]['table']}, {figure.table}"
        else:
            found[key] = (_printed(figure), figure)
    yield from found.values()


def _equal(results: pd.DataFrame, figure: Figure, level: float) -> Iterator[dict[str, Any]]:
    """Our defended rows at the smallest epsilon that leaves the undefended classifier at most `level`."""
    alike = _alike(results, figure, figure.norm)
    alike = alike[alike["eps"] > 0]
    if (alike["status"] != "ok").all():
        yield {"state": _missing(alike)}
    for _, curve in alike.groupby(["classifier", "attack", "seed"], sort=False):
        labels = {**_labels(curve.to_dict("records")[0], bare=True), "our_defense": ""}
        weak = curve[curve["undefended_accuracy"] <= level]
        if weak.empty:
            least = curve["undefended_accuracy"].min()
            yield {**labels, "state": f"no epsilon of this run: undefended {least:.3f} at the least"}
            continue
        eps = weak["eps"].min()
        at = {"eps": eps, "our_undefended": weak.loc[weak["eps"] == eps, "undefended_accuracy"].iloc[0]}
        there = curve[(curve["eps"] == eps) & (family(curve["defense"]) == figure.defense)]
        ok = there[there["status"] == "ok"].to_dict("records")
        for row in ok:
            yield {**_ours(row, bare=False, clean=False), **at}
        if not ok:
            yield {**labels, **at, "state": _missing(there)}


def _outcome(row: Row) -> str:
    if pd.isna(row["ours"]) or str(row["verdict"]).startswith("invalid"):
        return ""
    return "above" if row["ours_low"] > row["accuracy"] else "below" if row["ours_high"] < row["accuracy"] else "level"


def _timed(row: Row, seconds: float) -> dict[str, Any]:
    names = ("classifier", "target", "engine", "precision", "device", "calls")
    times = {f"{name}_seconds": row[f"{name}_ms"] / 1e3 for name in ("p25", "p50", "p75")}
    ratio = seconds / times["p50_seconds"]
    return {**{name: row[name] for name in names}, "our_defense": row["defense"], **times, "ratio": ratio, "state": ""}
