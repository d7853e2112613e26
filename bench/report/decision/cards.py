"""The cards with which a run ends: what each defense gains and costs, and what comes next."""

from __future__ import annotations

import shlex
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from rich.console import Console

from bench.progress import say
from bench.report.columns import NO_NORM
from bench.report.decision.answers import DOMINATED
from bench.report.decision.gains import CLEAN_LOST, GRAYBOX_GAIN, WORST_CASE_GAIN
from bench.report.escapes import terminal_text
from bench.report.formats import three_digits
from bench.report.naming import RunNames
from bench.report.report import Report
from bench.report.terminal import say_wrapped

_GROUP = ["dataset", "classifier", "norm", "seed"]

_MOST_BUDGETS = 3
"""Number of budgets that a card shows: the smallest, one between, and the largest."""

LEAST_MEMORY = 0.1
"""Rise of the memory in MiB from which a card tells it; a process on a CPU often shows none."""

Row = Mapping[Hashable, Any]


def print_cards(console: Console, report: Report) -> None:
    """Print a card for each defense, the best of the largest budget first, and the next commands.

    Args:
        console: console to print on.
        report: report of the run; nothing is printed where it has no decisions.
    """
    decisions = report.decisions
    groups = decisions.groupby(_GROUP, sort=False)
    if decisions.empty:
        return

    say_wrapped(console, "Decision (points against no defense, ±: half of the 95 % interval)")
    for labels, rows in groups:
        say(console, "")
        say_wrapped(console, _group_title(labels, rows, report))
        for defense in _by_rank(rows):
            say(console, "")
            for line, indent in _card(rows[rows["defense"] == defense], report.names):
                say_wrapped(console, terminal_text(line), indent)

    _print_next(console, decisions, report.names)


def with_options(report: Report, options: Sequence[str]) -> Report:
    """The report with options added to its next commands.

    Args:
        report: report of a run.
        options: names and values of the options that no folder records, such as `--data`.
    """
    if not options:
        return report

    added = f" {shlex.join(options)}"
    commands = [f"{command}{added}" if command else "" for command in report.decisions["next"]]
    return replace(report, decisions=report.decisions.assign(next=commands))


def _group_title(labels: tuple[Any, ...], rows: pd.DataFrame, report: Report) -> str:
    """Data set, classifier, norm and seed, and the worst case of the bare classifier."""
    dataset, classifier, norm, seed = labels
    several = report.decisions["seed"].nunique() > 1
    parts = [
        report.names.dataset[dataset],
        report.names.classifier[classifier],
        *([norm] if norm != NO_NORM else []),
        *([f"seed {seed}"] if several else []),
    ]
    bare = rows[rows["control"]]
    accuracies = ", ".join(
        f"{row['worst_case_accuracy']:.3f} at eps {row['eps']:g}" for row in _some(bare)
    )
    left = f"; worst case without a defense: {accuracies}" if accuracies else ""

    return terminal_text(f"{', '.join(parts)}{left}")


def _by_rank(rows: pd.DataFrame) -> list[str]:
    """The defenses by their rank at the largest budget at which each was attacked."""
    attacked = rows[~rows["control"]].sort_values("eps", kind="stable")
    largest = attacked.groupby("defense", sort=False)["rank"].last()
    ranks = largest.str.rstrip("=").astype(int)

    return [str(name) for name in ranks.sort_values(kind="stable").index]


def _card(rows: pd.DataFrame, names: RunNames) -> Iterator[tuple[str, str]]:
    """The lines of a defense's card, each with its indent; an answer to all budgets comes once."""
    shown = _some(rows)
    answers = [_answer(row, names) for row in shown]
    is_same = len(set(answers)) == 1
    spec = rows["defense"].iloc[0]
    name = names.defense[spec]
    yield f"{name}: {_costs(shown[0])}", ""
    if name != spec:
        yield f"in full: {spec}", "  "

    for row, answer in zip(shown, answers, strict=True):
        yield f"eps {row['eps']:g}: {_gains(row)}", "  "
        if not is_same:
            yield answer, "    "
    if is_same:
        yield answers[0], "  "


def _answer(row: Row, names: RunNames) -> str:
    """The answer, with the defenses that dominate this one."""
    dominating = [names.defense[name] for name in row["dominated_by"].split(", ") if name]
    dominated = f"; dominated by {', '.join(dominating)}" if dominating else ""

    return f"{row['answer'].removesuffix(DOMINATED)}{dominated}"


def _costs(row: Row) -> str:
    """What a defense costs under any budget: clean accuracy, time and memory."""
    parts = [f"clean lost {_points(row, CLEAN_LOST)}"]
    if pd.notna(row["added_ms"]):
        times = three_digits(row["times_none"])
        parts.append(f"{three_digits(row['added_ms'])} ms added ({times} times none)")
    else:
        parts.append("not timed")
    if row["memory_mib"] >= LEAST_MEMORY:
        parts.append(f"{row['memory_mib']:.1f} MiB")

    return ", ".join(parts)


def _gains(row: Row) -> str:
    """What a defense gains under a budget, and what the number rests on."""
    mark = f" {row['mark']}" if row["mark"] else ""
    if pd.isna(row[WORST_CASE_GAIN]):
        accuracy = f"worst-case accuracy {row['worst_case_accuracy']:.3f}"
        return f"rank {row['rank']}, {accuracy}{mark} ({row['basis']})"

    worst = f"worst case {_points(row, WORST_CASE_GAIN)}{mark} ({row['basis']})"
    if pd.isna(row[GRAYBOX_GAIN]):
        return f"rank {row['rank']}, {worst}"

    return f"rank {row['rank']}, {worst}, gray-box {_points(row, GRAYBOX_GAIN)}"


def _points(row: Row, name: str) -> str:
    if pd.isna(row[name]):
        return "unknown"

    half = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    return f"{row[name]:+z.1f} ±{half:.1f}"


def _some(rows: pd.DataFrame) -> Sequence[Row]:
    """The rows of the smallest budget, of one between, and of the largest."""
    listed: Sequence[Row] = rows.sort_values("eps", kind="stable").to_dict("records")
    if len(listed) <= _MOST_BUDGETS:
        return listed

    return [listed[0], listed[len(listed) // 2], listed[-1]]


def _print_next(console: Console, decisions: pd.DataFrame, names: RunNames) -> None:
    """Print each command that would answer an open question, once, with its defenses."""
    open_rows = decisions[decisions["next"] != ""]
    for command, rows in open_rows.groupby("next", sort=False):
        defenses = dict.fromkeys(names.defense[name] for name in rows["defense"])
        say(console, "")
        say_wrapped(console, terminal_text(f"Next, for {', '.join(defenses)}:"))
        for line in command_lines(str(command), console.width):
            say(console, line)


def command_lines(command: str, width: int) -> Iterator[str]:
    r"""A command in lines that end with `\`, so that it can be copied whole.

    An option stays with its value; one that is longer than a line has a line of its own.
    """
    line = ""
    for part in _options(shlex.split(command)):
        if line and len(line) + len(part) + 3 > width:
            yield f"{line} \\"
            line = f"    {part}"
        else:
            line = f"{line} {part}" if line else part
    yield line


def _options(words: Sequence[str]) -> Iterator[str]:
    """The words of a command, quoted, each option together with its value."""
    part: list[str] = []
    for word in words:
        if word.startswith("-") and part:
            yield shlex.join(part)
            part = []
        part.append(word)
    yield shlex.join(part)
