"""Tables of cascades: member by member, and in short for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.records.cell import LABELS
from bench.report.columns import seed_column
from bench.report.formats import three_digits
from bench.report.report import Report
from bench.report.writers import NamedTable

_CALLS = (
    "forward, backward: images that the pipeline or a model in its place classified, and through "
    "which a gradient was taken"
)
_PER_ATTACKED = f"{_CALLS}, for each attacked image"
_PER_TEST_IMAGE = f"{_CALLS}, for each test image, all members together; members in cascade.md"


def cascade_tables(report: Report) -> Iterator[NamedTable]:
    """The costs of each adaptive cell, and its members one by one in a file only."""
    frame = report.cascade
    if frame.empty:
        return

    title = "Adaptive attack: images broken, and model calls"
    yield NamedTable("cascade_costs", title, costs_table(frame), _PER_TEST_IMAGE, printed=False)

    title = "Members of the adaptive attack"
    yield NamedTable("cascade", title, members_table(frame), _PER_ATTACKED, printed=False)


def costs_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per adaptive cell: images broken, the member that broke most, and model calls."""
    cells = [name for name in LABELS if name != "attack"]
    groups = [members for _, members in frame.groupby(cells, sort=False)]
    rows = [{**members[_labels(frame)].iloc[0], **_cost(members)} for members in groups]

    return pd.DataFrame(rows)


def members_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per member: images attacked and broken, model calls, or why it did not apply."""
    table = frame[[*_labels(frame), "member", "attack", "attacked", "broken"]].copy()
    for name in ("forward", "backward"):
        table[name] = [three_digits(value) for value in frame[f"{name}_per_image"]]
    table["not applied"] = frame["reason"]

    return table


def _labels(frame: pd.DataFrame) -> list[str]:
    return ["dataset", "classifier", "eps", "threat", *seed_column(frame), "defense"]


def _cost(members: pd.DataFrame) -> dict[str, object]:
    n = members["n"].iloc[0]
    attacks = members[members["attack"] != ""]
    most = attacks.sort_values("broken", ascending=False, kind="stable").iloc[0]

    return {
        "broken": f"{attacks['broken'].sum()} of {attacks['attacked'].max()}",
        "most by": most["member"] if most["broken"] else "",
        "forward": three_digits(members["forward"].sum() / n),
        "backward": three_digits(members["backward"].sum() / n),
        "not applied": int((members["reason"] != "").sum()),
    }
