"""Published figures on a board: the lowest that a source prints of each defense."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from bench.report.board.entered import Conditions
from bench.report.columns import NO_NORM, with_interval
from bench.report.published.curves import scales_of
from bench.report.published.publication import Publication, PublishedFigure
from bench.spec import Spec

_SAME_EPS = 1e-9

_SEES_DEFENSE = ("query", "bpda", "whitebox")
"""Threat models of published figures whose attacker is given the defense."""

_NOT_SEEN = "as printed, no worst case: the attacker did not know the defense"
_SEEN = "as printed, not checked: under this attack alone"


def published_rows(
    conditions: Conditions, publications: Iterable[Publication]
) -> Iterator[dict[str, Any]]:
    """A row for each source, defense and threat model with a figure at this budget.

    It is the lowest accuracy over the attacks that the source prints. An epsilon whose scale the
    source does not state counts on each scale that it may have.
    """
    for publication in publications:
        lowest: dict[tuple[str, ...], tuple[PublishedFigure, str]] = {}
        for figure, scale in _at(conditions, publication.figures):
            key = (figure.source, figure.defense, str(figure.threat), scale)
            known = lowest.get(key)
            if known is None or (figure.accuracy or 0) < (known[0].accuracy or 0):
                lowest[key] = figure, scale
        for figure, scale in lowest.values():
            yield _row(publication, figure, scale)


def _at(
    conditions: Conditions, figures: Iterable[PublishedFigure]
) -> Iterator[tuple[PublishedFigure, str]]:
    """The figures of attacks at a budget, each with the scale that puts it there."""
    dataset = Spec.parse(conditions.dataset).name
    for figure in figures:
        of_attack = not figure.clean and figure.accuracy is not None
        norm = figure.norm or NO_NORM
        if not of_attack or (figure.dataset, norm) != (dataset, conditions.norm):
            continue
        for scale in scales_of(figure):
            eps = scale.eps(figure.eps or 0.0)
            if math.isclose(eps, conditions.eps, rel_tol=0, abs_tol=_SAME_EPS):
                yield figure, scale.name


def _row(publication: Publication, figure: PublishedFigure, scale: str) -> dict[str, Any]:
    worst, low, high = with_interval("worst_case_accuracy")
    stated = "" if figure.scale == scale else f"if its epsilon {figure.epsilon} is on {scale}"
    sees_defense = figure.threat in _SEES_DEFENSE or figure.defense == "none"
    table = f", table {figure.table}" if figure.table else ""
    parts = (
        _SEEN if sees_defense else _NOT_SEEN,
        stated,
        f"classifier {figure.classifier}" if figure.classifier else "",
        "read in a summary of the source" if figure.evidence == "summary" else "",
    )

    return {
        "source": f"{_named(publication, figure.source)}{table}",
        "published": True,
        "defense": figure.defense,
        worst: figure.accuracy,
        low: math.nan,
        high: math.nan,
        "clean_accuracy": math.nan,
        "basis": f"{figure.threat}: {figure.attack}",
        "adaptive": False,
        "mark": "" if sees_defense else "?",
        "note": "; ".join(filter(None, parts)),
        "times_none": math.nan,
        "added_ms": math.nan,
        "seeds": math.nan,
        "device": figure.device or "",
    }


def _named(publication: Publication, key: str) -> str:
    """A source by its key and the number under which it is found."""
    source = publication.sources[key]

    return f"{key} (arXiv:{source.arxiv})" if source.arxiv else key
