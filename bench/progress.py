"""Progress of long steps: bars with the remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from bench.errors import Interrupted
from bench.text import duration, visible

_LINE_EVERY_S = 15.0
"""Seconds between two lines of progress where the output is not a terminal."""


def say(console: Console, text: str) -> None:
    """Print text as it is, without added line breaks and without codes that a terminal obeys.

    Names may contain brackets, which are no markup here, and codes that move the cursor.

    Raises:
        OSError: the text cannot be written to standard output.
        Interrupted: the reader of standard error went away.
    """
    try:
        console.print(visible(text), markup=False, emoji=False, highlight=False, soft_wrap=True)
    except (OSError, SystemExit) as error:
        if not console.stderr:
            raise
        # A message that cannot be shown spoils no result; a log without a reader has no purpose.
        if isinstance(error, SystemExit):
            raise Interrupted from None


class Step(Protocol):
    """A long step that is running."""

    def advance(self, count: int = 1, note: str = "", left: float | None = None) -> None:
        """Count units as done and show a note beside them, such as the current loss.

        Args:
            count: number of units.
            note: text beside them; an empty one leaves the last as it is.
            left: seconds that the step will still take; None for what its speed so far tells.
        """


class Reporter(Protocol):
    """A display of progress."""

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Step]:
        """The display of a step of `total` units while the block runs."""


class _SilentStep:
    def advance(self, count: int = 1, note: str = "", left: float | None = None) -> None:
        pass


class Silent:
    """A reporter that shows nothing."""

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Step]:  # noqa: ARG002
        """A step without a display."""
        yield _SilentStep()


class _BarStep:
    def __init__(self, progress: Progress, title: str, total: int) -> None:
        self._progress = progress
        self._id = progress.add_task(title, total=total, note="", left=None)

    def advance(self, count: int = 1, note: str = "", left: float | None = None) -> None:
        if note:
            self._progress.update(self._id, note=note)
        self._progress.update(self._id, left=left)
        self._progress.advance(self._id, count)

    def close(self) -> None:
        self._progress.remove_task(self._id)


class _NoteColumn(ProgressColumn):
    """The note on a step, which a narrow terminal cuts before it cuts numbers and times."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["note"], no_wrap=True, overflow="ellipsis")


class _TimeLeftColumn(TimeRemainingColumn):
    """The time that a step will still take, as it says itself or as its speed so far tells."""

    def render(self, task: Task) -> Text:
        left = task.fields["left"]
        if left is None:
            return super().render(task)
        return Text(str(timedelta(seconds=round(left))), style="progress.remaining")


class Bars:
    """A reporter that shows live progress bars on a terminal."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            TextColumn("left"),
            _TimeLeftColumn(table_column=Column(no_wrap=True)),
            _NoteColumn(),
        )
        # What plugins print goes to standard error already, see `bench.plugins.process_state`.
        self._progress = Progress(*columns, console=console, transient=True, redirect_stdout=False)

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Step]:
        """A progress bar that disappears when the block ends.

        Bars may be nested: the display starts with the outermost and stops with it.
        """
        outermost = not self._progress.tasks
        if outermost:
            self._progress.start()
        bar = _BarStep(self._progress, title, total)

        try:
            yield bar
        finally:
            bar.close()
            if outermost:
                self._progress.stop()


class _LineStep:
    def __init__(self, console: Console, title: str, total: int) -> None:
        self._console = console
        self._title = title
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._last = self._start

    def advance(self, count: int = 1, note: str = "", left: float | None = None) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._last < _LINE_EVERY_S or self._done >= self._total:
            return

        self._last = now
        seconds = self._at_this_speed(now) if left is None else left
        time_left = "" if seconds is None else f", about {duration(seconds)} left"
        self._say(f"{self._done}/{self._total}{time_left} {note}")

    def close(self) -> None:
        seconds = time.monotonic() - self._start
        if seconds >= 1.0:
            self._say(f"{self._done}/{self._total} in {seconds:.1f} s")

    def _at_this_speed(self, now: float) -> float | None:
        """The remaining seconds at the present speed; None before the first unit is done."""
        if not self._done:
            return None
        return (now - self._start) / self._done * (self._total - self._done)

    def _say(self, text: str) -> None:
        say(self._console, f"{self._title}: {text}".rstrip())


class Lines:
    """A reporter that prints a line now and then, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Step]:
        """Lines while the block runs, and one at its end if it took a second or more."""
        line = _LineStep(self._console, title, total)
        yield line
        line.close()


def reporter(console: Console) -> Reporter:
    """The reporter of a console: bars on a terminal, lines elsewhere."""
    return Bars(console) if console.is_terminal else Lines(console)
