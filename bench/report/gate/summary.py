"""The result of a gate as JSON for programs, and as Markdown for a pull request."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from bench.report.comparison import Comparison
from bench.report.comparison.tables import summary_tables
from bench.report.escapes import escaped, json_text, markdown_note, markdown_text
from bench.report.gate.check import Check
from bench.report.gate.gate import Gate

SCHEMA = 1
"""Version of the JSON object; 1: the first."""

_MOST_ROWS = 200
"""Number of rows at which a table is cut; a comment may have 65,536 characters."""


def gate_json(gate: Gate) -> str:
    """A JSON object with the result, the limits and every check."""
    content = {
        "schema": SCHEMA,
        "passed": gate.passed,
        "summary": json_text(gate.closing_line),
        "baseline": json_text(gate.baseline),
        "run": json_text(gate.run),
        "limits": {"points": gate.limits.points, "percent": gate.limits.percent},
        "changed": [json_text(name) for name in gate.changed],
        "checks": [_check(check) for check in gate.checks],
    }

    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def gate_markdown(gate: Gate, comparison: Comparison) -> str:
    """The closing line, a table of what failed, and the tables of worst cases and timings.

    The tables are folded.
    """
    parts = [markdown_note(gate.closing_line)]
    failed = [
        {"check": check.kind, "of": check.title, "failure": "; ".join(check.failures)}
        for check in gate.failed
    ]
    if failed:
        parts.append(_table(pd.DataFrame(failed)))

    parts.extend(markdown_note(line) for line in gate.remarks)
    for table in summary_tables(comparison):
        summary = f"<details>\n<summary>{markdown_text(table.title)}</summary>"
        parts.extend([summary, _table(table.frame), "</details>"])

    return "\n\n".join(parts) + "\n"


def _check(check: Check) -> dict[str, Any]:
    return {
        "kind": check.kind,
        "title": json_text(check.title),
        "passed": not check.failures,
        "finding": json_text(check.finding),
        "failures": [json_text(line) for line in check.failures],
        "doubts": [json_text(line) for line in check.doubts],
        "labels": {
            name: json_text(value) if isinstance(value, str) else value
            for name, value in check.labels.items()
        },
        "numbers": dict(check.numbers),
    }


def _table(frame: pd.DataFrame) -> str:
    table = escaped(frame[:_MOST_ROWS], markdown_text)
    text = str(table.to_markdown(index=False, disable_numparse=True))
    rest = len(frame) - _MOST_ROWS

    return f"{text}\n\nand {rest} more" if rest > 0 else text
