"""Answers: whether the numbers of a defense decide, and the command that comes next if not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.records.timing import BUSY
from bench.report.decision.costs import CallTime
from bench.report.decision.gains import REFERENCE, WORST_CASE_GAIN
from bench.report.decision.next_command import RecordedRun
from bench.report.worst_case.basis import NO_ADAPTIVE_ATTACK, VOID_ADAPTIVE, VOID_WHITE_BOX
from bench.spec import Spec
from bench.text import one_line

_MOST_IMAGES = 100_000
"""Number of images above which more of them are no way to tell."""

_IN_CASCADES = ("linf", "l2")
"""Norms of the threat model `adaptive`."""


@dataclass(frozen=True)
class Answer:
    """What the numbers of a defense say.

    Attributes:
        text: one short sentence.
        command: the command that would make a decision of it; empty where it is one, or none would.
    """

    text: str
    command: str = ""


@dataclass(frozen=True)
class Judged:
    """A row of the decision frame with what its answer depends on.

    Attributes:
        row: labels, gains, costs, basis and dominating defenses, by column.
        has_reference: whether the undefended classifier was run under the same budget.
        images: number of images that would tell the worst case from that of no defense.
        n: number of images.
        time: time of a call; None where it was not timed.
        reasons: reasons of the verdicts on its cells that are not ok, the worst first.
    """

    row: Mapping[str, Any]
    has_reference: bool
    images: float
    n: int
    time: CallTime | None
    reasons: tuple[str, ...]


def answer(judged: Judged, run: RecordedRun) -> Answer:
    """The answer about a defense: the first open question, else the decision."""
    open_questions = (found for question in _QUESTIONS for found in question(judged, run))

    return next(open_questions, Answer(_decision(judged)))


def _reference(judged: Judged, run: RecordedRun) -> Iterator[Answer]:
    if judged.row["defense"] == REFERENCE:
        yield Answer("the classifier without a defense, which the others are compared with")
    elif not judged.has_reference:
        command = run.again(defenses=(REFERENCE, *run.config.defenses)) if run.config else ""
        yield Answer("there is no undefended classifier to compare with", command)


def _unseen(judged: Judged, run: RecordedRun) -> Iterator[Answer]:
    notes = judged.row["note"]
    for note, change in ((NO_ADAPTIVE_ATTACK, ""), (VOID_WHITE_BOX, ""), (VOID_ADAPTIVE, "full")):
        if note in notes:
            text = "no attack saw the defense" if note == NO_ADAPTIVE_ATTACK else note
            yield Answer(text, _with_informed_attack(run, str(judged.row["norm"]), change))


def _with_informed_attack(run: RecordedRun, norm: str, budget: str) -> str:
    """The command with an attack that sees the defense; empty where the run has had it."""
    if run.config is None:
        return ""

    informed = "adaptive" if norm in _IN_CASCADES else "whitebox"
    threat = f"{informed}:budget={budget}" if budget else informed
    threats = run.config.threats
    if threat in threats:
        return ""

    kept = tuple(text for text in threats if not (budget and Spec.parse(text).name == informed))
    return run.again(threats=(*kept, threat))


def _doubtful(judged: Judged, _run: RecordedRun) -> Iterator[Answer]:
    if judged.reasons:
        yield Answer(f"a verdict is {one_line(judged.reasons[0])}")


def _few_images(judged: Judged, run: RecordedRun) -> Iterator[Answer]:
    low, high = (judged.row[f"{WORST_CASE_GAIN}{end}"] for end in ("_low", "_high"))
    if not low <= 0 <= high or judged.images <= judged.n or judged.images > _MOST_IMAGES:
        return

    images = _rounded(judged.images)
    command = run.again(n=images) if run.config else ""
    yield Answer(f"{judged.n} images cannot tell it from no defense, about {images} would", command)


def _not_timed(judged: Judged, run: RecordedRun) -> Iterator[Answer]:
    if judged.time is None or math.isnan(judged.row["added_ms"]):
        yield Answer("it was not timed", run.again())


def _busy(judged: Judged, run: RecordedRun) -> Iterator[Answer]:
    if judged.time is not None and judged.time.busy > BUSY:
        yield Answer("the machine was busy while it was timed", run.timing())


_QUESTIONS: tuple[Callable[[Judged, RecordedRun], Iterator[Answer]], ...] = (
    _reference,
    _unseen,
    _doubtful,
    _few_images,
    _not_timed,
    _busy,
)
"""Open questions, the most important first."""


def _decision(judged: Judged) -> str:
    """The decision in a sentence."""
    low, high = (judged.row[f"{WORST_CASE_GAIN}{end}"] for end in ("_low", "_high"))
    robust = (
        "more robust than no defense"
        if low > 0
        else "less robust than no defense"
        if high < 0
        else "no more robust than no defense"
    )
    dominated = judged.row["dominated_by"]
    speed = ", and slower" if REFERENCE in dominated.split(", ") else ""
    better = f", dominated by {dominated}" if dominated and not speed else ""

    return f"decided: {robust}{speed}{better}"


def _rounded(number: float) -> int:
    """A number of images with two significant digits, rounded up."""
    unit = int(10 ** max(0, math.floor(math.log10(number)) - 1))

    return math.ceil(number / unit) * unit
