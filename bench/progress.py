"""Progress of long steps: bars with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_LINE_EVERY_S = 15.0


def say(console: Console, text: str) -> None:
    """Print text as it is: names and reasons may hold what would be markup, and a line is not broken."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


class Step(Protocol):
    """A running step."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count units as done; the note (a loss, say) is shown beside."""


class Reporter(Protocol):
    """Where progress is shown."""

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Step]:
        """Show a step of `total` units while the block runs."""


class _SilentStep:
    def advance(self, count: int = 1, note: str = "") -> None:
        pass


class Silent:
    """Shows nothing."""

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Step]:  # noqa: ARG002
        """A step nobody sees."""
        yield _SilentStep()


class _BarStep:
    def __init__(self, progress: Progress, title: str, total: int) -> None:
        self._progress = progress
        self._id = progress.add_task(title, total=total, note="")

    def advance(self, count: int = 1, note: str = "") -> None:
        if note:
            self._progress.update(self._id, note=note)
        self._progress.advance(self._id, count)

    def close(self) -> None:
        self._progress.remove_task(self._id)


class Bars:
    """Live bars; `with` the reporter around the work, so that the terminal is restored."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        self._progress = Progress(*columns, console=console, transient=True)

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Step]:
        """A bar, gone when the block ends.

        The display starts with the first and stops with the last.
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
        self._console, self._title, self._total = console, title, total
        self._done, self._start = 0, time.monotonic()
        self._last = self._start

    def advance(self, count: int = 1, note: str = "") -> None:
        self._done += count
        now = time.monotonic()
        if now - self._last >= _LINE_EVERY_S and self._done < self._total:
            self._last = now
            spent, remaining = now - self._start, self._total - self._done
            left = f", about {spent / self._done * remaining:.0f} s left" if self._done else ""
            self._say(f"{self._done}/{self._total}{left} {note}")

    def close(self) -> None:
        took = time.monotonic() - self._start
        if took >= 1.0:
            self._say(f"{self._done}/{self._total} in {took:.1f} s")

    def _say(self, text: str) -> None:
        say(self._console, f"{self._title}: {text}".rstrip())


class Lines:
    """One line now and then, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, title: str, total: int) -> Iterator[Step]:
        """Lines while the block runs, and one at its end when it took a second or more."""
        line = _LineStep(self._console, title, total)
        yield line
        line.close()


def reporter(console: Console) -> Reporter:
    """Bars where the output is a terminal, lines elsewhere."""
    return Bars(console) if console.is_terminal else Lines(console)
