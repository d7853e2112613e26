"""The frame of decisions: one row per defense and budget, its gains beside its costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import pandas as pd

from bench.analysis.verdict import LEVELS, Verdict
from bench.records.pipeline import Pipeline
from bench.report.decision import costs as cost_columns
from bench.report.decision import gains as gain_columns
from bench.report.decision.answers import Judged, answer
from bench.report.decision.costs import CallTime, call_times, costs
from bench.report.decision.dominance import dominators
from bench.report.decision.gains import (
    REFERENCE,
    gains,
    images_for_the_worst_case,
    references,
)
from bench.report.decision.next_command import RecordedRun
from bench.report.worst_case.basis import SEE_DEFENSE
from bench.report.worst_case.budgets import DefenseUnderBudget, ThreatBudget
from bench.report.worst_case.pairs import Pair, beaten_in_the_worst_case

_LABELS = ("dataset", "classifier", "norm", "eps", "seed", "defense")
_WORST_CASE = ("worst_case_accuracy", "rank", "basis", "mark", "note")

COLUMNS = (
    *(*_LABELS, "control"),
    *gain_columns.COLUMNS,
    *("worst_case_accuracy", "rank", "basis", "adaptive", "mark", "note"),
    *cost_columns.COLUMNS,
    *("dominated_by", "answer", "decided", "next"),
)


def decision_frame(
    defenses: Sequence[DefenseUnderBudget],
    worst_case: pd.DataFrame,
    pairs: Iterable[Pair],
    verdicts: Mapping[str, Verdict],
    latency: pd.DataFrame,
    run: RecordedRun,
) -> pd.DataFrame:
    """One row per defense and budget; `control` is true for the undefended classifier.

    Gains and losses are paired differences from the undefended classifier under the same budget on
    the same images, in percentage points with the ends of 95 % intervals, see
    `bench.report.decision.gains`. `adaptive` says whether an attack saw the defense. Times and
    memory are those of `bench.report.decision.costs`. `dominated_by` names the defenses that
    dominate it, see `bench.report.decision.dominance`, separated by `, `. `answer` is one sentence,
    `decided` whether it is a decision, `next` the command that would make one of it.

    Args:
        defenses: defenses under their budgets.
        worst_case: frame of `bench.report.worst_case.frame.worst_case_frame` of these defenses.
        pairs: pairs of these defenses.
        verdicts: verdict of each cell, by key.
        latency: frame of `bench.report.latency.frame.latency_frame`.
        run: configuration of the run.
    """
    bare = references(defenses)
    times = call_times(latency)
    beaten = beaten_in_the_worst_case(pairs)
    dominated = _dominated(defenses, worst_case, beaten, times)

    rows = []
    for defense, worst in zip(defenses, worst_case.to_dict("records"), strict=True):
        reference = bare.get(defense.budget)
        row = {
            **{name: worst[name] for name in (*_LABELS, *_WORST_CASE)},
            "control": defense.defense == REFERENCE,
            "adaptive": worst["basis"] in SEE_DEFENSE,
            **gains(defense, reference),
            **costs(_pipeline(defense), times),
            "dominated_by": ", ".join(dominated[defense.budget, defense.defense]),
        }
        judged = Judged(
            row=row,
            has_reference=reference is not None,
            better=(defense.defense, REFERENCE) in beaten.get(defense.budget, ()),
            worse=(REFERENCE, defense.defense) in beaten.get(defense.budget, ()),
            images=images_for_the_worst_case(defense, reference) if reference else 0.0,
            n=len(defense.strongest.labels),
            time=times.get(_pipeline(defense)),
            reasons=tuple(_reasons(defense, verdicts)),
        )
        found = answer(judged, run)
        rows.append({**row, "answer": found.text, "decided": found.decided, "next": found.command})

    return pd.DataFrame(rows, columns=list(COLUMNS))


def _dominated(
    defenses: Sequence[DefenseUnderBudget],
    worst_case: pd.DataFrame,
    beaten: Mapping[ThreatBudget, AbstractSet[tuple[str, str]]],
    times: Mapping[Pipeline, CallTime],
) -> dict[tuple[ThreatBudget, str], list[str]]:
    """The defenses that dominate each defense, by budget and name."""
    sound: dict[ThreatBudget, list[str]] = {}
    timed: dict[ThreatBudget, dict[str, CallTime]] = {}
    for defense, mark in zip(defenses, worst_case["mark"], strict=True):
        if not mark and not defense.missing_attacks:
            sound.setdefault(defense.budget, []).append(defense.defense)
        if time := times.get(_pipeline(defense)):
            timed.setdefault(defense.budget, {})[defense.defense] = time

    return {
        (defense.budget, defense.defense): dominators(
            defense.defense,
            sound.get(defense.budget, []),
            beaten.get(defense.budget, set()),
            timed.get(defense.budget, {}),
        )
        for defense in defenses
    }


def _reasons(defense: DefenseUnderBudget, verdicts: Mapping[str, Verdict]) -> list[str]:
    """The reasons of the verdicts that are not ok, with their level, the worst first."""
    found = [verdicts[cell.record.key] for cell in defense.cells]
    found.sort(key=lambda verdict: LEVELS.index(verdict.level), reverse=True)

    return [
        f"{verdict.level}: {verdict.reasons[0] if verdict.reasons else ''}"
        for verdict in found
        if verdict.level != "ok"
    ]


def _pipeline(defense: DefenseUnderBudget) -> Pipeline:
    return Pipeline(defense.budget.dataset, defense.budget.classifier, defense.defense)
