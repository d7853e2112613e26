"""`bench gate`: one run against a baseline, in robustness and latency, with an exit code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.commands.compare import check_limit, print_comparison
from bench.errors import RequestError
from bench.progress import say
from bench.records.folder import RunFolder
from bench.report.comparison import Comparison
from bench.report.comparison.tables import summary_tables
from bench.report.gate.check import SLOWER, Limits
from bench.report.gate.gate import Gate
from bench.report.gate.junit import junit_xml
from bench.report.gate.summary import gate_json, gate_markdown
from bench.report.terminal import table_console
from bench.store.atomic import write_bytes

_MOST_LINES = 40
"""Number of failures that are printed; the files have them all."""


@dataclass(frozen=True)
class GateFiles:
    """The files that the result of a gate is written to; None for a format that is not wanted.

    Attributes:
        junit: JUnit XML, for a build server.
        json: a JSON object, for a program.
        markdown: Markdown, for a pull request.
    """

    junit: Path | None = None
    json: Path | None = None
    markdown: Path | None = None


def limits_of(fail_below: float | None, fail_slower: float | None, no_latency: bool) -> Limits:
    """The limits that the options name.

    Raises:
        RequestError: a limit is negative, not a finite number, or of timings that are not judged.
    """
    check_limit("--fail-below", fail_below, "percentage points")
    check_limit("--fail-slower", fail_slower, "percent")
    if no_latency and fail_slower is not None:
        raise RequestError("--fail-slower judges timings: leave out --no-latency")
    percent = SLOWER if fail_slower is None else fail_slower

    return Limits(
        points=fail_below,
        percent=None if no_latency else percent,
        latency_required=fail_slower is not None,
    )


def gate(baseline: Path, run: Path, limits: Limits, files: GateFiles) -> int:
    """Judge a run against a baseline, print what failed, and write the files.

    Args:
        baseline: folder of the run that is the reference.
        run: folder of the run that is judged.
        limits: what the run may lose.
        files: files to write.

    Returns:
        0 if the gate is passed, else 1.

    Raises:
        RequestError: a path is not the folder of a run, a raw file is damaged, or the two runs
            cannot be compared.
        StorageError: a file cannot be written.
    """
    comparison = Comparison.of(RunFolder.open(baseline), RunFolder.open(run))
    judged = Gate.of(comparison, limits, str(baseline), str(run))

    output = table_console()
    say(output, f"A: {baseline}, B: {run}")
    print_comparison(output, summary_tables(comparison))

    lines = [line for check in judged.failed for line in check.lines]
    for line in lines[:_MOST_LINES]:
        say(output, f"failed: {line}")
    if len(lines) > _MOST_LINES:
        say(output, f"and {len(lines) - _MOST_LINES} more failures")
    for line in judged.remarks:
        say(output, f"note: {line}")
    say(output, judged.closing_line)
    _write(judged, comparison, files)  # last, so that a full disk does not hide the judgement

    return 0 if judged.passed else 1


def _write(judged: Gate, comparison: Comparison, files: GateFiles) -> None:
    if files.junit is not None:
        _write_text(files.junit, junit_xml(judged))
    if files.json is not None:
        _write_text(files.json, gate_json(judged))
    if files.markdown is not None:
        _write_text(files.markdown, gate_markdown(judged, comparison))


def _write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8", "backslashreplace"))
