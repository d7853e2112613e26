"""The basis of a worst case: the attackers that it rests on, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.verdict import Verdict

NO_ADAPTIVE_ATTACK = "no valid attack saw the defense"
"""Note on a worst case that says nothing about an attacker who knows the defense."""

VOID_WHITE_BOX = "white-box is void and nothing took its place"
VOID_ADAPTIVE = "the adaptive attack is void and nothing took its place"
"""Notes on a worst case whose best informed attack is invalid, without a valid one beside it."""

SCORES_ONLY = "only attacks without a gradient saw the defense"
"""Note on a worst case in which no attack followed a gradient, but some saw scores."""

DECISIONS_ONLY = "only decision-based attacks saw the defense"
"""Note on a worst case in which no attack saw more of the defense than its decisions."""

ONE_DRAW = "one draw: raise --draws"
"""Note on a randomized pipeline whose attack cannot be chosen and judged on different draws."""

DOUBTS = (NO_ADAPTIVE_ATTACK, VOID_WHITE_BOX, VOID_ADAPTIVE)
"""Notes with which a worst case and its rank are marked `?`."""

ADAPTIVE = "adaptive"
WHITE_BOX = "white-box"
BPDA = "BPDA"
SCORES = "scores"
DECISIONS = "decisions"

SEE_DEFENSE = (ADAPTIVE, WHITE_BOX, BPDA, SCORES, DECISIONS)
_WITHOUT_DEFENSE = ("gray-box only", "transfer only", "noise only")

NOTHING_VALID = "no valid attack"
"""Basis of a worst case without any valid attack."""

_VOID = {WHITE_BOX: VOID_WHITE_BOX, ADAPTIVE: VOID_ADAPTIVE}
"""Note by the kind of an invalid attack of those who know most."""

_LIMITED = {SCORES: SCORES_ONLY, DECISIONS: DECISIONS_ONLY}
"""Note by the basis."""


@dataclass(frozen=True)
class Basis:
    """What a worst case rests on.

    Attributes:
        name: what the best informed attacker of a valid cell used: `adaptive`, `white-box`, `BPDA`,
            `scores`, `decisions`, `gray-box only` and the like, or `no valid attack`.
        notes: what the worst case lacks; empty for nothing.
    """

    name: str
    notes: tuple[str, ...]

    @property
    def doubts(self) -> tuple[str, ...]:
        """Notes with which the worst case is marked `?`."""
        return tuple(note for note in self.notes if note in DOUBTS)


def basis_of(
    cells: Sequence[EvaluatedCell], verdicts: Mapping[str, Verdict], *, undefended: bool
) -> Basis:
    """The basis of the worst case over some cells of one pipeline.

    Args:
        cells: cells within the budget.
        verdicts: verdict of each cell, by key.
        undefended: whether the pipeline is the bare classifier, of which a gray-box attacker sees
            everything.
    """
    attacks = [cell for cell in cells if cell.eps > 0]
    invalid = [cell for cell in attacks if verdicts[cell.record.key].level == "invalid"]
    valid = [cell for cell in attacks if cell not in invalid]

    kinds = {_kind(cell, undefended) for cell in valid}
    ordered = (kind for kind in (*SEE_DEFENSE, *_WITHOUT_DEFENSE) if kind in kinds)
    name = next(ordered, NOTHING_VALID)

    if name not in SEE_DEFENSE:
        note = NO_ADAPTIVE_ATTACK
    else:
        note = _void(invalid, valid, undefended) or _LIMITED.get(name, "")

    one_draw = any(cell.is_randomized and len(cell.right) == 1 for cell in cells)
    return Basis(name, tuple(filter(None, (note, ONE_DRAW if one_draw else ""))))


def _kind(cell: EvaluatedCell, undefended: bool) -> str:
    """What the attacker of a cell used."""
    properties = cell.record.properties
    sees_pipeline = properties.sees_defense or (undefended and properties.threat == "graybox")

    if not sees_pipeline:
        name = "gray-box" if properties.threat == "graybox" else properties.threat
        return f"{name} only"
    if properties.threat == "adaptive":
        return ADAPTIVE
    if not properties.gradient or properties.access != "gradient":
        return SCORES if properties.access == "score" else DECISIONS
    if properties.threat == "bpda" and not undefended:
        return BPDA
    return WHITE_BOX


def _void(
    invalid: Iterable[EvaluatedCell], valid: Iterable[EvaluatedCell], undefended: bool
) -> str:
    """The note on an invalid attack of those who know most, unless a valid one took its place.

    That is a valid attack by one of them at an epsilon that is at least as large.
    """
    largest = max((cell.eps for cell in valid if _kind(cell, undefended) in _VOID), default=0.0)
    void = {_kind(cell, undefended) for cell in invalid if cell.eps > largest}

    return next((note for kind, note in _VOID.items() if kind in void), "")
