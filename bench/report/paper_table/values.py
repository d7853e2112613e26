"""Values: the numbers that a paper's table can show, each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.checks import verdicts
from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.statistics import ALPHA
from bench.analysis.verdict import Verdict
from bench.report.columns import with_interval
from bench.report.decision.gains import WORST_CASE_GAIN, gains, references
from bench.report.formats import LEVEL_MARKS, three_digits
from bench.report.latency.frame import at_smallest_batch, eager_float32
from bench.report.report import Report
from bench.report.worst_case.budgets import DefenseUnderBudget, defenses_under_budgets
from bench.report.worst_case.frame import worst_case_frame
from bench.report.worst_case.pairs import GRAYBOX, WORST_CASE, Pair, all_pairs, rankings

LABELS = ("dataset", "classifier", "defense", "attack", "threat", "norm", "eps", "seed")
"""Labels that a table can have, in the order in which messages name them."""

_ATTACKER = ("attack", "threat")
"""Labels of an attacker, by which the cells of a worst case may be parted."""

_NUMBERS = ["value", "low", "high", "mark", "ties", "n"]


def _percent(share: float) -> str:
    """A share in percent with one decimal."""
    return f"{100 * share:.1f}"


@dataclass(frozen=True)
class Value:
    """A value that a table can show.

    Attributes:
        name: name on the command line.
        title: name in a caption.
        meaning: sentence that says what the number and its interval are.
        labels: labels that tell the numbers of a run apart.
        rows: function of the report and of the labels of the table; one row per number with its
            labels, `value`, `low`, `high`, `mark`, `n`, and `ties`: the defenses that a paired
            test does not tell apart from it.
        text: format of the number.
        half: format of half of the interval.
        lower_is_better: whether the smallest number is the best.
        indifferent: labels that tell no numbers apart: it is the same at each of their values.
    """

    name: str
    title: str
    meaning: str
    labels: tuple[str, ...]
    rows: Callable[[Report, Sequence[str]], pd.DataFrame]
    text: Callable[[float], str] = _percent
    half: Callable[[float], str] = _percent
    lower_is_better: bool = False
    indifferent: tuple[str, ...] = ()


def _cells(column: str) -> Callable[[Report, Sequence[str]], pd.DataFrame]:
    """The rows of an accuracy of single cells; the table's labels change nothing."""

    def rows(report: Report, _: Sequence[str]) -> pd.DataFrame:
        ok = report.results[report.results["status"] == "ok"]
        value, low, high = (ok[name] for name in with_interval(column))
        marks = ok["verdict"].map(LEVEL_MARKS) if column != "clean_accuracy" else ""
        numbers = ok.assign(value=value, low=low, high=high, mark=marks, ties=_no_ties(ok))
        return numbers[[*LABELS, *_NUMBERS]]

    return rows


def _under_budgets(column: str, basis: str) -> Callable[[Report, Sequence[str]], pd.DataFrame]:
    """The rows of a number that takes all attacks within a budget together.

    Where a label of the table is one of an attacker, the attacks of each are taken together.
    """

    def rows(report: Report, labels: Sequence[str]) -> pd.DataFrame:
        parted = [label for label in _ATTACKER if label in labels]
        judged = verdicts(list(report.cells))  # some checks compare attackers
        frames = [
            _budget_rows(cells, judged, column, basis).assign(
                **dict(zip(parted, attacker, strict=True))
            )
            for attacker, cells in _by_attacker(report.cells, parted)
        ]
        frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*LABELS])
        return frame.reindex(columns=[*_BUDGET, *parted, *_NUMBERS])

    return rows


def _by_attacker(
    cells: Sequence[EvaluatedCell], parted: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], list[EvaluatedCell]]]:
    """The cells of each value of some labels, in the order of the run."""

    def attacker(cell: EvaluatedCell) -> tuple[str, ...]:
        return tuple(str(cell.record.labels[label]) for label in parted)

    order = list(dict.fromkeys(map(attacker, cells)))
    sorted_cells = sorted(cells, key=lambda cell: order.index(attacker(cell)))
    for key, group in groupby(sorted_cells, attacker):
        yield key, list(group)


def _budget_rows(
    cells: Sequence[EvaluatedCell], judged: Mapping[str, Verdict], column: str, basis: str
) -> pd.DataFrame:
    """One row per defense and budget from some cells."""
    defenses = defenses_under_budgets([cell.record for cell in cells], cells)
    pairs = all_pairs(defenses)
    frame = worst_case_frame(defenses, judged, rankings(defenses, pairs))
    bare = references(defenses)
    points = [gains(defense, bare.get(defense.budget)) for defense in defenses]
    frame = pd.concat([frame, pd.DataFrame(points, frame.index)], axis=1)

    value, low, high = (frame[name] for name in with_interval(column))
    if basis == WORST_CASE:
        is_doubtful = np.array([bool(defense.reasons(judged)) for defense in defenses], bool)
        marks = frame["mark"].mask(is_doubtful, "?")
    else:
        marks = frame["graybox_verdict"].map(LEVEL_MARKS)
    tied = _ties(pairs, basis)
    ties = pd.Series([tied.get(_key(defense), frozenset()) for defense in defenses], frame.index)
    frame = frame.assign(value=value, low=low, high=high, mark=marks.str.strip(), ties=ties)
    return frame.dropna(subset="value")


def _ties(pairs: Sequence[Pair], basis: str) -> dict[tuple[object, str], frozenset[str]]:
    """The defenses that the paired test does not tell apart from each one, under its budget."""
    tied: dict[tuple[object, str], frozenset[str]] = {}
    for pair in pairs:
        if pair.basis == basis and pair.p_holm >= ALPHA:
            for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
                tied[_key(one)] = tied.get(_key(one), frozenset()) | {other.defense}

    return tied


def _key(defense: DefenseUnderBudget) -> tuple[object, str]:
    return defense.budget, defense.defense


def _latency(report: Report, _: Sequence[str]) -> pd.DataFrame:
    """The rows of latency: of the pipeline in eager float32 at the smallest batch."""
    rows = at_smallest_batch(eager_float32(report.latency), "pipeline")
    rows = rows[rows["device"] == rows["device"].iloc[0]] if len(rows) else rows
    numbers = rows.assign(
        value=rows["p50_ms"], low=rows["p25_ms"], high=rows["p75_ms"], mark="", n=rows["calls"]
    )
    numbers = numbers.assign(ties=_no_ties(rows))
    return numbers[[*("dataset", "classifier", "defense"), *_NUMBERS]]


def _no_ties(rows: pd.DataFrame) -> pd.Series[Any]:
    return pd.Series([frozenset[str]()] * len(rows), rows.index, dtype=object)


_BUDGET = ("dataset", "classifier", "defense", "norm", "eps", "seed")
_PAIRED = (*_BUDGET, *_ATTACKER)
_WILSON = "95 % Wilson interval"

VALUES = {
    value.name: value
    for value in (
        Value(
            "clean",
            "Clean accuracy in percent",
            f"share of clean images that are classified as their label; {_WILSON}",
            LABELS,
            _cells("clean_accuracy"),
            indifferent=(*_ATTACKER, "norm", "eps"),
        ),
        Value(
            "robust",
            "Robust accuracy in percent",
            f"share of images on which a single attack fails; {_WILSON}",
            LABELS,
            _cells("robust_accuracy"),
        ),
        Value(
            "graybox",
            "Gray-box accuracy in percent",
            f"robust accuracy under the strongest attack that does not see the defense; {_WILSON}",
            _PAIRED,
            _under_budgets("graybox_accuracy", GRAYBOX),
        ),
        Value(
            "worst_case",
            "Worst-case accuracy in percent",
            f"expected accuracy under the attack chosen for each image; {_WILSON}",
            _PAIRED,
            _under_budgets("worst_case_accuracy", WORST_CASE),
        ),
        Value(
            "gain",
            "Gain in worst-case accuracy in percentage points",
            "difference from none on the same images; 95 % interval of the paired difference",
            _PAIRED,
            _under_budgets(WORST_CASE_GAIN, WORST_CASE),
            "{:+z.1f}".format,
            "{:.1f}".format,
        ),
        Value(
            "latency",
            "Latency in ms",
            "median call of purifier and classifier, eager float32, smallest batch; quartiles",
            ("dataset", "classifier", "defense"),
            _latency,
            three_digits,
            three_digits,
            lower_is_better=True,
        ),
    )
}
"""All values by name."""
