"""The frame of decisions: one row per defense and budget, its gains beside its costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import pandas as pd

from bench.analysis.verdict import Verdict
from bench.records.pipeline import Pipeline
from bench.report.decision import costs as cost_columns
from bench.report.decision import gains as gain_columns
from bench.report.decision.answers import Judged, answer, robustness
from bench.report.decision.costs import CallTime, call_times, costs
from bench.report.decision.dominance import dominators, never_ahead
from bench.report.decision.gains import (
    REFERENCE,
    gains,
    images_for_the_worst_case,
    references,
)
from bench.report.decision.next_command import RecordedRun
from bench.report.worst_case.basis import SEE_DEFENSE
from bench.report.worst_case.budgets import DefenseUnderBudget, ThreatBudget
from bench.report.worst_case.pairs import (
    Pair,
    beaten_in_the_worst_case,
    ties_in_the_worst_case,
)
from bench.text import one_line

_LABELS = ("dataset", "classifier", "norm", "eps", "seed", "defense")
_WORST_CASE = ("worst_case_accuracy", "rank", "basis", "mark", "note")

COLUMNS = (
    *(*_LABELS, "control"),
    *gain_columns.COLUMNS,
    *("worst_case_accuracy", "rank", "basis", "adaptive", "mark", "note", "doubt"),
    *cost_columns.COLUMNS,
    *("dominated_by", "robustness", "answer", "decided", "next"),
)


def decision_frame(
    defenses: Sequence[DefenseUnderBudget],
    worst_case: pd.DataFrame,
    pairs: Sequence[Pair],
    verdicts: Mapping[str, Verdict],
    latency: pd.DataFrame,
    run: RecordedRun,
) -> pd.DataFrame:
    """One row per defense and budget; `control` is true for the undefended classifier.

    Gains and losses are paired differences from the undefended classifier under the same budget on
    the same images, in percentage points with the ends of 95 % intervals, see
    `bench.report.decision.gains`. `adaptive` says whether an attack saw the defense, `doubt` is
    the worst verdict on the attacks, with its reason, and empty where all are ok. Times and
    memory are those of `bench.report.decision.costs`. `dominated_by` names the defenses that
    dominate it, see `bench.report.decision.dominance`, separated by `, `. `robustness` is
    `more`, `less` or `no more` than that of the undefended classifier, `open` where that is no
    decision yet, and empty for the undefended classifier itself. `answer` is one sentence,
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
    ties = ties_in_the_worst_case(pairs)
    reasons = [defense.reasons(verdicts) for defense in defenses]
    doubtful = [bool(why or mark) for why, mark in zip(reasons, worst_case["mark"], strict=True)]
    dominated = _dominated(defenses, doubtful, beaten, never_ahead(pairs), times)

    rows = []
    for defense, worst, why in zip(defenses, worst_case.to_dict("records"), reasons, strict=True):
        reference = bare.get(defense.budget)
        tests = max(1, ties[defense.budget])
        row = {
            **{name: worst[name] for name in (*_LABELS, *_WORST_CASE)},
            "control": defense.defense == REFERENCE,
            "adaptive": worst["basis"] in SEE_DEFENSE,
            "doubt": one_line(why[0]) if why else "",
            **gains(defense, reference),
            **costs(_pipeline(defense), times),
            "dominated_by": ", ".join(dominated[defense.budget, defense.defense]),
        }
        judged = Judged(
            row=row,
            has_reference=reference is not None,
            better=(defense.defense, REFERENCE) in beaten.get(defense.budget, ()),
            worse=(REFERENCE, defense.defense) in beaten.get(defense.budget, ()),
            images=images_for_the_worst_case(defense, reference, tests) if reference else 0.0,
            n=len(defense.strongest.labels),
            time=times.get(_pipeline(defense)),
            reasons=why,
        )
        found = answer(judged, run)
        texts = {"robustness": robustness(judged, run), "answer": found.text}
        rows.append({**row, **texts, "decided": found.decided, "next": found.command})

    return pd.DataFrame(rows, columns=list(COLUMNS))


def _dominated(
    defenses: Sequence[DefenseUnderBudget],
    doubtful: Iterable[bool],
    beaten: Mapping[ThreatBudget, AbstractSet[tuple[str, str]]],
    behind: Mapping[ThreatBudget, AbstractSet[tuple[str, str]]],
    times: Mapping[Pipeline, CallTime],
) -> dict[tuple[ThreatBudget, str], list[str]]:
    """The defenses that dominate each defense, by budget and name."""
    sound: dict[ThreatBudget, list[str]] = {}
    timed: dict[ThreatBudget, dict[str, CallTime]] = {}
    for defense, in_doubt in zip(defenses, doubtful, strict=True):
        if not in_doubt and not defense.missing_attacks:
            sound.setdefault(defense.budget, []).append(defense.defense)
        if time := times.get(_pipeline(defense)):
            timed.setdefault(defense.budget, {})[defense.defense] = time

    return {
        (defense.budget, defense.defense): dominators(
            defense.defense,
            sound.get(defense.budget, []),
            beaten.get(defense.budget, set()),
            behind.get(defense.budget, set()),
            timed.get(defense.budget, {}),
        )
        for defense in defenses
    }


def _pipeline(defense: DefenseUnderBudget) -> Pipeline:
    return Pipeline(defense.budget.dataset, defense.budget.classifier, defense.defense)
