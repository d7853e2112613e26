"""The table of defenses that were trained for one attack and tested on another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.report.columns import attack_title, seed_column
from bench.report.formats import MARKS, interval_texts, marked
from bench.report.naming import ShortNames
from bench.report.report import Report
from bench.report.writers import NamedTable
from bench.spec import split_list

_TITLE = "Robust accuracy: trained for one attack, tested on another"


def cross_attack_tables(report: Report) -> Iterator[NamedTable]:
    """The table, where a defense was trained for several attacks."""
    if not report.cross_attack.empty:
        frame = report.cross_attack
        title = f"{_TITLE} ({threat_names(frame)})"
        yield NamedTable("cross_attack", title, cross_attack_table(frame), MARKS)


def cross_attack_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per training attack, one column per test attack: the robust accuracy."""
    labels = ["dataset", "classifier", *seed_column(frame), "defense", "trained for"]
    frame = frame.assign(trained_for=short_trainings(frame["trained_for"]))
    cells = frame.assign(
        text=[*map(marked, interval_texts(frame, "robust_accuracy"), frame["verdict"])],
        tested_on=attack_titles(frame, "attack", "eps"),
        **{"trained for": attack_titles(frame, "trained_for", "trained_eps")},
    )
    table = cells.pivot_table(
        index=labels, columns="tested_on", values="text", aggfunc="first", sort=False
    )
    table.columns = pd.Index([str(name) for name in table.columns])

    return table.fillna("").reset_index()


def attack_titles(frame: pd.DataFrame, attack: str, eps: str) -> list[str]:
    """Attacks with their epsilons as text, from two columns of a frame."""
    return [attack_title(*pair) for pair in zip(frame[attack], frame[eps], strict=True)]


def short_trainings(attacks: pd.Series[Any]) -> list[str]:
    """Comma-separated specs of the attacks of a training, with the parameters that tell them apart.

    A recorded training gives every parameter of its attacks.
    """
    listed = [split_list(str(specs)) for specs in attacks]
    names = ShortNames.of(spec for specs in listed for spec in specs)

    return [",".join(names[spec] for spec in specs) for specs in listed]


def threat_names(frame: pd.DataFrame) -> str:
    """The threat models of the cells, in the order in which they appear."""
    return ", ".join(frame["threat"].unique())
