"""`bench merge`: one run of several, with its tables, and what it still lacks."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.commands.display import SHOW_TABLES, Display
from bench.commands.drawings import DRAW_ALL, Drawings
from bench.commands.report import report
from bench.progress import say
from bench.records.folder import RunFolder
from bench.records.merging.merge import Merge
from bench.report.decision.next_command import RecordedRun
from bench.sweep.expected_cells import missing_cells


def merge(
    paths: Sequence[Path],
    out: Path,
    display: Display = SHOW_TABLES,
    drawings: Drawings = DRAW_ALL,
) -> int:
    """Merge runs and report on the merged one.

    Args:
        paths: folders of the runs.
        out: folder of the merged run, see `bench.records.merging.merge.Merge.of`.
        display: what is shown.
        drawings: figures and page that are made.

    Returns:
        0 when every cell of the merged run has a record and none failed, else 1.

    Raises:
        RequestError: the runs cannot be merged; nothing was written.
    """
    messages = Console(stderr=True)
    merging = Merge.of(paths, out)
    folder = merging.write()

    report(out, False, display=display, drawings=drawings)
    if not display.quiet:
        say(messages, f"{len(merging.cells)} cells of {len(merging.runs)} runs are in {out}")
    if merging.timings.left_out:
        count = f"{merging.timings.left_out} timings are left out"
        say(messages, f"{count}: other runs or machines timed the same calls")

    return 0 if _is_complete(folder, messages) else 1


def _is_complete(folder: RunFolder, messages: Console) -> bool:
    """Whether a run has a record of every cell and no failure; says what it lacks."""
    records = folder.records()
    run = RecordedRun.of(folder, records)
    missing = missing_cells(run.config, records) if run.config and not run.command else []
    failed = sum(record.status == "failed" for record in records)

    if missing or failed:
        again = run.again()
        command = f"{again} --out {shlex.quote(str(folder.path))}" if again else ""
        remedy = command or f"the `bench run` of all these axes with --out {folder.path}"
        counts = [f"{len(missing)} cells have no record"] if missing else []
        counts += [f"{failed} failed"] if failed else []
        say(messages, f"{' and '.join(counts)}; to compute them: {remedy}")

    return not missing and not failed
