"""Answers: whether the numbers of a defense decide, and the command that comes next if not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bench.records.timing import BUSY
from bench.report.decision.costs import CallTime
from bench.report.decision.gains import REFERENCE, WORST_CASE_GAIN
from bench.report.decision.next_command import RecordedRun
from bench.report.worst_case.basis import NO_ADAPTIVE_ATTACK, VOID_ADAPTIVE, VOID_WHITE_BOX
from bench.spec import Spec
from bench.text import one_line

NEGLIGIBLE = 5.0
"""Gain in percentage points below which a defense counts as no gain, once that is certain."""

DOMINATED = "; others dominate it"
"""End of the answer about a defense that another one than `none` dominates."""

OPEN = "open"
"""What is said of a robustness that is no decision yet."""

_IN_CASCADES = ("linf", "l2")
"""Norms of the threat model `adaptive`."""

_ITS_BUDGETS = "cascade"
"""Name under which a configuration has L-infinity budgets of the threat model `adaptive` alone."""


@dataclass(frozen=True)
class Answer:
    """What the numbers of a defense say.

    Attributes:
        text: one short sentence.
        command: the command that would make a decision of it; empty where it is one, or none would.
        decided: whether it is a decision.
    """

    text: str
    command: str = ""
    decided: bool = False


@dataclass(frozen=True)
class Judged:
    """A row of the decision frame with what its answer depends on.

    Attributes:
        row: labels, gains, costs, basis and dominating defenses, by column.
        has_reference: whether the undefended classifier was run under the same budget.
        better: whether its worst case is significantly better than that of no defense.
        worse: whether it is significantly worse.
        images: number of images that would tell the worst case from that of no defense, if the
            gain that was seen is the true one.
        n: number of images.
        time: time of a call; None where it was not timed.
        reasons: reasons of the verdicts on its cells that are not ok, the worst first.
    """

    row: Mapping[str, Any]
    has_reference: bool
    better: bool
    worse: bool
    images: float
    n: int
    time: CallTime | None
    reasons: tuple[str, ...]

    @property
    def gain(self) -> float:
        """The worst-case gain, in percentage points."""
        return float(self.row[WORST_CASE_GAIN])

    @property
    def highest_gain(self) -> float:
        """The upper end of the worst-case gain, in percentage points."""
        return float(self.row[f"{WORST_CASE_GAIN}_high"])

    @property
    def lowest_gain(self) -> float:
        """The lower end of the worst-case gain, in percentage points."""
        return float(self.row[f"{WORST_CASE_GAIN}_low"])


_Question: TypeAlias = Callable[[Judged, RecordedRun], Iterator[Answer]]


def answer(judged: Judged, run: RecordedRun) -> Answer:
    """The answer about a defense: the first open question, else the decision."""
    open_questions = _asked((*_OF_ROBUSTNESS, *_OF_COSTS), judged, run)

    return next(open_questions, Answer(_decision(judged), decided=True))


def robustness(judged: Judged, run: RecordedRun) -> str:
    """What the numbers say of the worst case, whatever is known of the costs.

    Returns:
        `more`, `less` or `no more` robust than no defense, `open`, or nothing for no defense.
    """
    if judged.row["defense"] == REFERENCE:
        return ""

    is_open = any(True for _ in _asked(_OF_ROBUSTNESS, judged, run))
    return OPEN if is_open else _compared(judged)


def _asked(questions: Sequence[_Question], judged: Judged, run: RecordedRun) -> Iterator[Answer]:
    return (found for question in questions for found in question(judged, run))


def _reference(judged: Judged, run: RecordedRun) -> Iterator[Answer]:
    if judged.row["defense"] == REFERENCE:
        text = "the classifier without a defense, which the others are compared with"
        yield Answer(text, decided=True)
    elif not judged.has_reference:
        listed = run.config.defenses if run.config else ()
        command = run.again(defenses=tuple(dict.fromkeys((REFERENCE, *listed))))
        yield Answer("there is no undefended classifier to compare with", command)


def _unseen(judged: Judged, run: RecordedRun) -> Iterator[Answer]:
    notes = judged.row["note"]
    for note, change in ((NO_ADAPTIVE_ATTACK, ""), (VOID_WHITE_BOX, ""), (VOID_ADAPTIVE, "full")):
        if note in notes:
            text = "no attack saw the defense" if note == NO_ADAPTIVE_ATTACK else note
            yield Answer(text, _with_informed_attack(run, judged.row, change))


def _with_informed_attack(run: RecordedRun, row: Mapping[str, Any], budget: str) -> str:
    """The command with an attack that sees the defense; empty where the run has had it."""
    if run.config is None:
        return ""

    informed = "adaptive" if row["norm"] in _IN_CASCADES else "whitebox"
    threats = run.config.threats
    had = [text for text in threats if Spec.parse(text).name == informed]
    threat = f"{informed}:budget={budget}" if budget else informed
    if threat not in had and (budget or not had):
        threats = (*(text for text in threats if text not in had), threat)

    budgets = run.config.attack_eps
    if not budget and (not had or row["eps"] not in budgets.get(_ITS_BUDGETS, (row["eps"],))):
        # Budgets of its own would keep the attack from some rows.
        budgets = {name: listed for name, listed in budgets.items() if name != _ITS_BUDGETS}

    if (threats, budgets) == (run.config.threats, run.config.attack_eps):
        return ""
    return run.again(threats=threats, attack_eps=budgets)


def _doubtful(judged: Judged, run: RecordedRun) -> Iterator[Answer]:
    if judged.reasons:
        level = judged.reasons[0].partition(":")[0]
        command = _with_informed_attack(run, judged.row, "full") if level == "suspect" else ""
        yield Answer(f"a verdict is {one_line(judged.reasons[0])}", command)


def _few_images(judged: Judged, run: RecordedRun) -> Iterator[Answer]:
    if judged.better or judged.worse or judged.highest_gain < NEGLIGIBLE:
        return

    images = _images_to_decide(judged)
    yield Answer(
        f"{judged.n} images cannot tell it from no defense, about {images} would",
        run.again(n=images),
    )


def _images_to_decide(judged: Judged) -> int:
    """The number of images that would show the gain, or that there is none, two digits of it.

    The gain that was seen is taken for the true one. The width of an interval around it falls with
    the square root of the number of images, and excludes no gain below its middle.
    """
    half = (judged.highest_gain - judged.lowest_gain) / 2
    room = NEGLIGIBLE - judged.gain
    to_exclude = judged.n * (half / room) ** 2 if room > 0 else math.inf
    number = max(min(judged.images, to_exclude), 1.1 * judged.n)  # too few did not decide
    unit = int(10 ** max(0, math.floor(math.log10(number)) - 1))

    return math.ceil(number / unit) * unit


def _not_timed(judged: Judged, run: RecordedRun) -> Iterator[Answer]:
    if judged.time is None or math.isnan(judged.row["added_ms"]):
        yield Answer("it was not timed", run.again())


def _busy(judged: Judged, run: RecordedRun) -> Iterator[Answer]:
    if judged.time is not None and judged.time.busy > BUSY:
        yield Answer("the machine was busy while it was timed", run.timing())


_OF_ROBUSTNESS: tuple[_Question, ...] = (_reference, _unseen, _doubtful, _few_images)
_OF_COSTS: tuple[_Question, ...] = (_not_timed, _busy)
"""Open questions, the most important first."""


def _compared(judged: Judged) -> str:
    """How robust the defense is, compared with none."""
    return "more" if judged.better else "less" if judged.worse else "no more"


def _decision(judged: Judged) -> str:
    """The decision in a sentence."""
    dominating = {name for name in str(judged.row["dominated_by"]).split(", ") if name}
    is_small = judged.better and judged.highest_gain < NEGLIGIBLE
    small = f", by less than {NEGLIGIBLE:g} points" if is_small else ""
    slower = ", and slower" if REFERENCE in dominating else ""
    dominated = DOMINATED if dominating - {REFERENCE} else ""

    return f"{_compared(judged)} robust than no defense{small}{slower}{dominated}"
