"""Tables that set a run against published numbers."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from bench.progress import say
from bench.report.latency import remarks
from bench.report.published.curves import curves_frame
from bench.report.published.frames import contest_frame, figures_frame, latency_against
from bench.report.published.publication import Publication
from bench.report.report import Report
from bench.report.tables import MARKS, Shown, print_table, write_shown
from bench.report.text import intervals, three_digits
from bench.store.atomic import write_text

_SCALES = "printed on: the scale of the printed epsilon, where [-1, 1] makes it half as large on ours; eps: on ours"
_MARKED = "?: suspect, !: invalid, reasons in accuracy.md"
_LATENCY = "ours: median [quartiles]; times: published over our median; two machines, so no measure of a defense"
_CURVES = (
    "distance: mean absolute difference over the matched epsilons; fits: by the distance over the shared ones, those "
    "that the run has on both scales; a weaker attack moves a curve as another scale does, so this alone does not "
    "tell the scale"
)
_CONTEST = (
    "at the smallest epsilon of this run that leaves the undefended classifier no more than the published one had; "
    "above, below: our whole 95 % Wilson interval is, the published figure taken as exact; bare: undefended"
)
_TRAINED = "trained for: beside what it is tested on; the nearest stands first, and answers the published figure"


@dataclass(frozen=True, eq=False)
class Against:
    """A run beside a publication.

    Attributes:
        name: of the publication's file.
        figures: one row per published accuracy and meaning of its epsilon.
        curves: one row per undefended curve and scale.
        contest: one row per published defense, under an attack as strong.
        latency: one row per published latency.
        notes: what a reader must know of the sources.
        setting: what a reader must know of this run.
        doubts: what a reader must know of its times.
    """

    name: str
    figures: pd.DataFrame
    curves: pd.DataFrame
    contest: pd.DataFrame
    latency: pd.DataFrame
    notes: tuple[str, ...]
    setting: str
    doubts: str

    @classmethod
    def of(cls, report: Report, name: str, publication: Publication) -> Against:
        """Derive all of it from a run's frames."""
        figures = publication.figures
        return cls(
            name=name,
            figures=figures_frame(report.results, figures),
            curves=curves_frame(report.results, figures),
            contest=contest_frame(report.results, figures),
            latency=latency_against(report.latency, figures),
            notes=tuple(source.note for source in publication.sources.values() if source.note),
            setting=setting(report),
            doubts=remarks(report.latency[report.latency["batch_size"] == 1]),
        )


def against_tables(against: Against) -> Iterator[Shown]:
    """Table by table as published, then the curves, the contest and the latency."""
    name = against.name
    for table, rows in against.figures.groupby(against.figures["table"].fillna(""), sort=False):
        stem = "".join(letter for letter in str(table) if letter.isalnum())
        title = (
            f"Table {table} of {name}, and this run"
            if table
            else f"Figures of {name}, and this run"
        )
        below = _lines(_SCALES, _MARKED, _trained(rows), *rows["remark"], against.setting)
        yield Shown(f"against_{name}_table{stem}", title, figures_table(rows), below)
    if not against.curves.empty:
        title = f"Undefended curves of {name}, and how far this run's are"
        yield Shown(
            f"against_{name}_curves",
            title,
            curves_table(against.curves),
            _lines(_CURVES, *against.notes, against.setting),
        )
    if not against.contest.empty:
        title, rows = f"Defenses of {name} under an attack as strong", against.contest
        below = _lines(_CONTEST, _MARKED, _trained(rows), *rows["remark"], against.setting)
        yield Shown(f"against_{name}_contest", title, contest_table(rows), below)
    if not against.latency.empty:
        title = f"Seconds a call of {name}, and this run's at batch size 1"
        below = _lines(_LATENCY, *against.latency["remark"], against.doubts)
        yield Shown(f"against_{name}_latency", title, latency_seconds_table(against.latency), below)


def _lines(*lines: str) -> str:
    """One below the other, each once."""
    return "\n".join(dict.fromkeys(filter(None, lines)))


def _trained(rows: pd.DataFrame) -> str:
    return _TRAINED if rows["training"].fillna("").any() else ""


def setting(report: Report) -> str:
    """Classifiers with their parameters, images, seeds and machines of a run, as a line."""
    results = [cell.record for cell in report.cells]
    networks = (
        f"{result.labels['classifier']} ({_parameters(result.parameters.get('classifier', {}))})"
        for result in results
    )
    return (
        f"this run: {_listed(networks)}; test images: {_listed(result.n for result in results)}; "
        f"seeds: {_listed(result.labels['seed'] for result in results)}; on {_listed(report.machines)}"
    )


def _parameters(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {json.dumps(value)}" for name, value in values.items() if value is not None
    )


def _listed(values: Iterable[Any]) -> str:
    """Each once, in the order of appearance."""
    return "; ".join(dict.fromkeys(map(str, values)))


def figures_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The published accuracy, ours with its interval, the difference, or why there is none.

    Dataset by dataset.
    """
    frame = frame.sort_values(
        "dataset", key=lambda names: names.map(list(dict.fromkeys(names)).index), kind="stable"
    )
    rows = frame.to_dict("records")
    table = _place(frame)
    table["printed on"] = frame["scale"]
    table["eps"] = [f"{value:g}" for value in frame["eps"]]
    table["published"] = [_published(row) for row in rows]
    table["ours"] = [*map(_marked, frame["verdict"], intervals(frame, "ours"))]
    table["difference"] = frame["difference"].map("{:+.3f}".format, na_action="ignore").fillna("")
    _add_ours(table, frame)
    if (frame["defense"] != "none").any():
        table["clean, ours"] = _text(frame["clean"].map("{:.3f}".format, na_action="ignore"))
    table["note"] = frame["state"]
    return table.reset_index(drop=True)


def curves_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The distance to each published curve, on how many epsilons, and which scale fits."""
    table = frame[["dataset", "attack", "classifier"]].copy()
    table["our attack"], table["n"], table["printed on"] = (
        frame["our_attack"],
        frame["n"],
        frame["scale"],
    )
    table["matched"] = [
        f"{row['matched']} of {row['possible']}" for row in frame.to_dict("records")
    ]
    table["distance"] = frame["distance"].map("{:.3f}".format, na_action="ignore").fillna("")
    table["shared"] = frame["shared"]
    table["distance, shared"] = (
        frame["shared_distance"].map("{:.3f}".format, na_action="ignore").fillna("")
    )
    table["fits"] = frame["fits"]
    return table


def contest_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Each published defense beside ours, both with what the attack leaves of the undefended classifier."""
    table = _place(frame)
    table["bare, published"] = frame["undefended"].map("{:.4f}".format)
    table["published"] = frame["accuracy"].map("{:.4f}".format)
    table["eps, ours"] = [three_digits(value) for value in frame["eps"]]
    bare = _text(frame["our_undefended"].map("{:.3f}".format, na_action="ignore"))
    table["bare, ours"] = [*map(_marked, frame["undefended_verdict"], bare)]
    table["ours"] = [*map(_marked, frame["verdict"], intervals(frame, "ours"))]
    table["outcome"] = frame["outcome"]
    _add_ours(table, frame)
    table["clean, ours"] = _text(frame["clean"].map("{:.3f}".format, na_action="ignore"))
    table["note"] = frame["state"]
    return table


def latency_seconds_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Published seconds beside our median and quartiles, with devices."""
    rows = frame.to_dict("records")
    table = frame[["dataset", "defense"]].copy()
    table["published, s"] = frame["seconds"].map("{:g}".format)
    table["on"] = frame["printed_device"].fillna("not stated")
    table["ours, s"] = [_seconds(row) for row in rows]
    table["times"] = [three_digits(value) for value in frame["ratio"]]
    for title, name in (("device", "device"), ("target", "target"), ("classifier", "classifier")):
        table[title] = _text(frame[name])
    table["our defense"], table["engine"] = _text(frame["our_defense"]), _text(frame["engine"])
    table["precision"], table["note"] = _text(frame["precision"]), frame["state"]
    return table


def write_against(folder: Path, against: Against) -> None:
    """Write the frames as CSV and the tables as Markdown and LaTeX, like the run's own."""
    for name in ("figures", "curves", "contest", "latency"):
        frame: pd.DataFrame = getattr(against, name)
        write_text(
            folder / f"against_{against.name}_{name}.csv",
            frame.to_csv(index=False, float_format="%.9g"),
        )
    for each in against_tables(against):
        write_shown(folder, each)


def print_against(console: Console, against: Against) -> None:
    """The tables on the terminal."""
    for each in against_tables(against):
        print_table(console, each.title, each.frame)
        say(console, each.below)


def _place(frame: pd.DataFrame) -> pd.DataFrame:
    table = frame[["dataset"]].copy()
    table["attack"] = _text(frame["attack"], "none")
    table["printed eps"] = _text(frame["epsilon"])
    table["defense"] = frame["defense"]
    return table


def _add_ours(table: pd.DataFrame, frame: pd.DataFrame) -> None:
    """Classifier and, where they are more than the names of the published ones, attack and defense; several seeds."""
    table["classifier"] = _text(frame["classifier"])
    for name in ("attack", "defense"):
        ours = _text(frame[f"our_{name}"])
        if not ours.isin(["", *frame[name].dropna()]).all():
            table[f"our {name}"] = ours
    if frame["training"].fillna("").any():
        table["trained for"] = _text(frame["training"])
    if frame["seed"].nunique() > 1:
        table["seed"] = [f"{value:g}" if pd.notna(value) else "" for value in frame["seed"]]


def _text(values: pd.Series[Any], missing: str = "") -> pd.Series[Any]:
    return values.astype(object).where(values.notna(), missing)


def _published(row: Mapping[Hashable, Any]) -> str:
    return f"{row['accuracy']:.4f}{'' if row['evidence'] == 'verified' else ' (from a summary)'}"


def _marked(verdict: Any, text: str) -> str:
    """A number with the mark of its cell's verdict."""
    return text + MARKS.get(str(verdict).partition(":")[0], "") if text else ""


def _seconds(row: Mapping[Hashable, Any]) -> str:
    if pd.isna(row["p50_seconds"]):
        return ""
    value, low, high = (f"{row[f'{name}_seconds']:.3g}" for name in ("p50", "p25", "p75"))
    return f"{value} [{low}, {high}]"
