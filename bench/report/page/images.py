"""The section of images: each that the run keeps, under every attack and behind every defense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.analysis.outcomes import EvaluatedCell
from bench.records.cell import LABELS
from bench.report.page.image_choice import KINDS, ImageChoice, ShownCell
from bench.report.page.rendering import rendered
from bench.report.page.section import Section
from bench.report.page.source import PageSource

HELD = "held"
BROKEN = "broken"
WRONG = "wrong without attack"

RESULTS = (HELD, BROKEN, WRONG)
"""Results of an image in the draw that is shown: the defended pipeline is right; it is wrong, but
was right before the attack; it was wrong before."""

_DIGITS = 16
"""Number of digits of a cell's key that name it in links."""


def image_sections(source: PageSource) -> Iterator[Section]:
    """The first images of every cell, or how to get them where the folder holds none."""
    cells = source.report.cells
    if not cells:
        return

    choice = ImageChoice.of(cells)
    data = {
        "kinds": KINDS,
        "results": RESULTS,
        "sheets": choice.sheets,
        "cells": [_cell(source, shown) for shown in choice.cells],
    }
    html = rendered(
        "images.html",
        choice=choice,
        cells=cells,
        shown=max((cell.count for cell in choice.cells), default=0),
        command=source.command,
        tested=max(cell.record.n for cell in cells),
    )
    yield Section("images", "Images", html, data if choice.cells else {})


def _cell(source: PageSource, shown: ShownCell) -> dict[str, Any]:
    """A cell as the script reads it."""
    record = shown.cell.record
    width, height = shown.size
    specs = {name: str(record.labels[name]) for name in LABELS if name != "eps"}
    names = {name: source.short(name, spec) for name, spec in specs.items()}

    return {
        "key": record.key[:_DIGITS],
        "labels": {**names, "eps": f"{record.eps:g}"},
        "specs": {name: spec for name, spec in specs.items() if names[name] != spec},
        "width": width,
        "height": height,
        "scale": float(f"{shown.scale:.2g}"),
        "sheets": shown.sheets,
        "n": record.n,
        "images": [_image(shown.cell, index) for index in range(shown.count)],
    }


def _image(cell: EvaluatedCell, index: int) -> dict[str, Any]:
    """One image of a cell: its classes in the draw that is shown, and what became of it."""
    outcome = cell.outcome
    right = cell.right[:, index]
    predictions = {
        "truth": cell.labels[index],
        "clean": np.atleast_2d(outcome.clean_undefended)[0, index],
        "purified_clean": outcome.clean_defended[0, index],
        "adversarial": np.atleast_2d(outcome.adversarial_undefended)[0, index],
        "purified": outcome.adversarial_defended[0, index],
    }

    return {
        **{name: cell.class_name(int(label)) for name, label in predictions.items()},
        "result": _result(cell, index),
        "draws": len(right),
        "right_draws": int(right.sum()),
        "by": _breaker(cell, index),
    }


def _result(cell: EvaluatedCell, index: int) -> str:
    """One of `RESULTS`."""
    if cell.right[0, index]:
        return HELD
    return BROKEN if cell.clean_right[0, index] else WRONG


def _breaker(cell: EvaluatedCell, index: int) -> str:
    """The attack of an image that does not stand; empty for one that does, or stood never.

    Of the threat model `adaptive` it is the member of the cascade whose image is kept.
    """
    if _result(cell, index) != BROKEN:
        return ""
    attack = str(cell.record.labels["attack"])
    if cell.outcome.broken_by is None or not cell.record.cascade:
        return attack

    place = int(cell.outcome.broken_by[index])
    members = cell.record.cascade
    if not 0 <= place < len(members):
        return attack

    member = members[place]
    return f"{member.name}: {member.attack}" if member.attack else member.name
