"""The frame of cascades: one row per member of each adaptive cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.analysis.outcomes import EvaluatedCell
from bench.records.cell import LABELS, CascadeMember

COLUMNS = (
    *(name for name in LABELS if name != "attack"),
    *("n", "member", "attack", "attacked", "broken", "forward", "backward"),
    *("forward_per_image", "backward_per_image", "reason"),
)


def cascade_frame(cells: Sequence[EvaluatedCell]) -> pd.DataFrame:
    """One row per member of a cascade, in the order in which they were tried.

    `attack` is that of the member; it is empty for the clean images, which come first. `attacked`
    counts the images that stood before it, `broken` those that fell to it. `forward` and `backward`
    are model calls, counted in images, and `_per_image` is per attacked image.

    Args:
        cells: ok cells of the run.
    """
    rows = [
        {**cell.record.labels, "n": cell.record.n, **_numbers(member)}
        for cell in cells
        for member in cell.record.cascade
    ]

    return pd.DataFrame(rows, columns=list(COLUMNS))


def _numbers(member: CascadeMember) -> dict[str, Any]:
    return {
        "member": member.name,
        "attack": member.attack,
        "attacked": member.attacked,
        "broken": member.broken,
        "forward": member.forward,
        "backward": member.backward,
        "forward_per_image": _per_image(member.forward, member),
        "backward_per_image": _per_image(member.backward, member),
        "reason": member.reason,
    }


def _per_image(calls: int, member: CascadeMember) -> float:
    """Calls for each attacked image; NaN where no image was attacked or the member did not run."""
    return math.nan if member.reason or not member.attacked else calls / member.attacked
