"""A run's numbers beside published ones: figure by figure, at an attack of equal strength, and latency."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.report.published.curves import family, is_invalid, scales_of, undefended_curves
from bench.report.published.publication import Figure

MISSING = "not in this run"

_PRINTED = ("source", "table", "dataset", "attack", "threat", "epsilon", "defense")
_OURS = ("classifier", "our_attack", "our_defense", "training", "seed", "n")
TRAININGS = ("", "this attack and epsilon", "this attack, other epsilon", "another attack")
"""What a defense was trained for, beside what it is tested on; nothing where it names no attack."""

FIGURES = (
    *(*_PRINTED, "remark", "scale", "eps", "accuracy", "evidence"),
    *(*_OURS, "ours", "ours_low", "ours_high", "difference", "clean", "verdict", "state"),
)
CONTEST = (
    *(*_PRINTED, "remark", "undefended", "accuracy", *_OURS, "eps"),
    *(
        "our_undefended",
        "undefended_verdict",
        "ours",
        "ours_low",
        "ours_high",
        "clean",
        "verdict",
        "outcome",
        "state",
    ),
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
    *(
        "engine",
        "precision",
        "device",
        "calls",
        "p50_seconds",
        "p25_seconds",
        "p75_seconds",
        "ratio",
        "state",
    ),
)

Row = Mapping[Hashable, Any]


def figures_frame(results: pd.DataFrame, figures: Iterable[Figure]) -> pd.DataFrame:
    """One row per published accuracy, scale of its epsilon, and number of ours at the same place.

    The same place is: the dataset, defense and attack of that name, the norm, the threat model, the
    epsilon; the classifier may be another, and is told. The undefended accuracy is that on the
    images made without knowledge of a defense, clean where there is no attack or its epsilon is 0;
    there the scale makes no difference. `difference` is ours less the published one. What the run
    lacks has a row with its reason in `state` and no number of ours.

    Args:
        results: see `bench.report.accuracy.results_frame`.
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
    """Every published defense beside ours under an attack that leaves our classifier no more than
    it left theirs.

    Where that is, is the smallest epsilon of the run at which our undefended accuracy is at most
    the published one: whatever the scale of the printed epsilon and the strength of the classifier,
    the defenses then face as much. Cells whose verdict is `invalid` say nothing of that. `outcome`
    is `above` where our whole interval lies above the published figure, `below` likewise, else
    `level`; with a `?` where our number is suspect, none where it is invalid.
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
    """One row per published latency and way in which ours was timed at batch size 1; `ratio` is
    theirs over ours.

    Args:
        latency: see `bench.report.latency.latency_frame`.
        figures: the published ones.
    """
    rows: list[dict[str, Any]] = []
    single = latency[(latency["batch_size"] == 1) & (latency["status"] != "skipped")]
    for figure in figures:
        if figure.latency_s is None:
            continue
        printed = {name: value for name, value in _printed(figure).items() if name in LATENCY}
        printed.update(seconds=figure.latency_s, printed_device=figure.device)
        found = single[
            (single["dataset"] == figure.dataset) & (family(single["defense"]) == figure.defense)
        ]
        rows += [{**printed, **_timed(row, figure.latency_s)} for row in found.to_dict("records")]
        if found.empty:
            rows.append({**printed, "state": MISSING})
    return pd.DataFrame(rows, columns=list(LATENCY))


def _printed(figure: Figure) -> dict[str, Any]:
    return {**{name: getattr(figure, name) for name in _PRINTED}, "remark": figure.note}


def _alike(results: pd.DataFrame, figure: Figure, norm: str | None) -> pd.DataFrame:
    """The cells of the figure's dataset, attack, norm and threat model.

    Of any attack where it names none.
    """
    chosen = results["dataset"] == figure.dataset
    if figure.attack is not None:
        chosen &= (family(results["attack"]) == figure.attack) & (
            family(results["threat"]) == figure.threat
        )
        chosen &= results["norm"] == norm
    return results[chosen]


def _at(results: pd.DataFrame, figure: Figure, eps: float) -> list[dict[str, Any]]:
    """Our numbers at a figure's place, or why there are none."""
    if eps > 1:
        return [{"state": "an epsilon above 1 is none on [0, 1]"}]
    bare, found = figure.defense == "none", _alike(results, figure, figure.norm)
    if not bare:
        found = found[family(found["defense"]) == figure.defense]
    if not figure.clean:
        found = found[np.isclose(found["eps"].astype(float), eps, rtol=0, atol=1e-9)]
    if found.empty:
        return [{"state": MISSING}]
    same = [
        "classifier",
        "seed",
        *([] if figure.clean else ["attack"]),
        *([] if bare else ["defense"]),
    ]
    return _nearest_first(
        _group(rows, bare, figure.clean) for _, rows in found.groupby(same, sort=False)
    )


def _group(rows: pd.DataFrame, bare: bool, clean: bool) -> dict[str, Any]:
    """The number of cells that hold the same one, or why none of them has it."""
    ok = rows[rows["status"] == "ok"]
    if ok.empty:
        return {**_labels(_first(rows), bare, clean), "state": _missing(rows)}
    # every cell of a classifier and an attack holds the same undefended accuracy, and that of
    # `none` its verdict too
    none = ok[ok["defense"] == "none"]
    return _ours(_first(none if bare and not none.empty else ok), bare, clean)


def _nearest_first(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """By how near what the defense was trained for is to what it is tested on."""
    return sorted(rows, key=lambda row: (TRAININGS.index(row["training"]), row["apart"]))


def _training(row: Row) -> dict[str, Any]:
    """How the attack that the cell's defense was trained for compares with the one it is tested on."""
    if not isinstance(row["trained_for"], str):
        return {"training": TRAININGS[0], "apart": 0.0}
    names, at, budget = row["trained_for"].partition(" @ ")
    apart = abs(float(budget) - row["eps"]) if at else math.inf
    if str(row["attack"]).partition(":")[0] not in {
        name.partition(":")[0] for name in names.split(",")
    }:
        return {"training": TRAININGS[3], "apart": apart}
    return {"training": TRAININGS[1] if apart < 1e-9 else TRAININGS[2], "apart": apart}


def _first(rows: pd.DataFrame) -> Row:
    return rows.head(1).to_dict("records")[0]


def _missing(found: pd.DataFrame) -> str:
    """Why none of the cells has a number."""
    if found.empty:
        return MISSING
    first = _first(found)
    return f"{first['status']}: {first['reason']}"


def _ours(row: Row, bare: bool, clean: bool) -> dict[str, Any]:
    of_clean = "undefended_clean_accuracy" if bare else "clean_accuracy"
    name = of_clean if clean else "undefended_robust_accuracy" if bare else "robust_accuracy"
    other = bare and row["defense"] != "none"  # whose verdict is on its own number
    return {
        **_labels(row, bare, clean),
        **{f"ours{end}": row[f"{name}{end}"] for end in ("", "_low", "_high")},
        "clean": row[of_clean],
        "verdict": "" if clean or other else row["verdict"],
        "state": "",
    }


def _labels(row: Row, bare: bool = False, clean: bool = False) -> dict[str, Any]:
    names = {name: row[name] for name in ("classifier", "seed", "n")}
    return {
        **names,
        "our_attack": "" if clean else row["attack"],
        "our_defense": "none" if bare else row["defense"],
        **({"training": "", "apart": 0.0} if bare or clean else _training(row)),
    }


def _defended(figures: Iterable[Figure]) -> Iterator[tuple[dict[str, Any], Figure]]:
    """Published defended accuracies under attack.

    One that stands in several tables once, with all their numbers.
    """
    found: dict[tuple[Any, ...], tuple[dict[str, Any], Figure]] = {}
    for figure in figures:
        if (
            figure.defense == "none"
            or figure.clean
            or figure.accuracy is None
            or figure.threat != "graybox"
        ):
            continue
        key = (
            figure.source,
            figure.dataset,
            figure.attack,
            figure.eps,
            figure.defense,
            figure.accuracy,
        )
        if key in found:
            found[key][0]["table"] = f"{found[key][0]['table']}, {figure.table}"
        else:
            found[key] = (_printed(figure), figure)
    yield from found.values()


def _equal(results: pd.DataFrame, figure: Figure, level: float) -> Iterator[dict[str, Any]]:
    """Our defended rows at the smallest epsilon that leaves the undefended classifier at most `level`."""
    alike = _alike(results, figure, figure.norm)
    alike = alike[alike["eps"] > 0]
    if alike.empty:
        yield {"state": MISSING}
    for _, curve in alike.groupby(["classifier", "attack", "seed"], sort=False):
        labels = {**_labels(_first(curve), bare=True), "our_defense": ""}
        bare = pd.DataFrame(
            [{"eps": eps, **_group(rows, True, False)} for eps, rows in curve.groupby("eps")]
        )
        known = (
            bare[(bare["state"] == "") & ~is_invalid(bare["verdict"])]
            if "ours" in bare
            else bare[:0]
        )
        weak = known[known["ours"] <= level] if len(known) else known
        if weak.empty:
            yield {**labels, "state": _too_weak(curve, known)}
            continue
        found = _first(weak)
        unknown = [
            f"{eps:g}"
            for eps in bare["eps"]
            if eps < found["eps"] and eps not in known["eps"].to_numpy()
        ]
        at = {
            "eps": found["eps"],
            "our_undefended": found["ours"],
            "undefended_verdict": found["verdict"],
        }
        note = (
            f"nothing is known of the undefended accuracy at {', '.join(unknown)}"
            if unknown
            else ""
        )
        there = curve[(curve["eps"] == found["eps"]) & (family(curve["defense"]) == figure.defense)]
        rows = _nearest_first(
            _group(rows, False, False) for _, rows in there.groupby("defense", sort=False)
        )
        for row in rows or [{**labels, "state": MISSING}]:
            yield {**row, **at, "state": "; ".join(filter(None, (row["state"], note)))}


def _too_weak(curve: pd.DataFrame, known: pd.DataFrame) -> str:
    """Why no epsilon of a curve is strong enough."""
    if known.empty:
        return (
            _missing(curve[curve["status"] != "ok"])
            if (curve["status"] != "ok").any()
            else "every verdict is invalid"
        )
    return f"no epsilon of this run: undefended {known['ours'].min():.3f} at the least"


def _outcome(row: Row) -> str:
    """Beside the published figure, which is taken as exact."""
    verdict = str(row["verdict"])
    if pd.isna(row["ours"]) or verdict.startswith("invalid"):
        return ""
    found = (
        "above"
        if row["ours_low"] > row["accuracy"]
        else "below"
        if row["ours_high"] < row["accuracy"]
        else "level"
    )
    return f"{found} ?" if verdict.startswith("suspect") else found


def _timed(row: Row, seconds: float) -> dict[str, Any]:
    names = ("classifier", "target", "engine", "precision", "device", "calls")
    labels = {**{name: row[name] for name in names}, "our_defense": row["defense"]}
    if row["status"] != "ok":
        return {**labels, "state": f"{row['status']}: {row['reason']}"}
    times = {f"{name}_seconds": row[f"{name}_ms"] / 1e3 for name in ("p25", "p50", "p75")}
    return {**labels, **times, "ratio": seconds / times["p50_seconds"], "state": ""}
