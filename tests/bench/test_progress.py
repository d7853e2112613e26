"""What is said on the terminal holds nothing that it obeys, and spoils no result."""

from __future__ import annotations

import io
import os
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.errors import Interrupted
from bench.progress import Bars, Lines, say
from bench.text import visible


class Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


class ClosedPipe(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


@given(st.text(st.characters(codec=None), max_size=200))
def test_no_code_reaches_the_terminal(text: str) -> None:
    output = io.StringIO()
    say(Console(file=output, force_terminal=True, width=1000), f"\x1b[31m[bold]{text}")
    assert "\x1b" not in output.getvalue()
    assert output.getvalue() == visible(output.getvalue())
    assert output.getvalue().startswith("[bold]")


def test_a_message_that_cannot_be_written_is_lost_and_a_result_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stderr", Full())
    say(Console(stderr=True), "message")
    with pytest.raises(OSError, match="No space left"):
        say(Console(file=Full()), "result")


def test_a_log_that_nobody_reads_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", ClosedPipe())
    monkeypatch.setattr(os, "dup2", lambda *_: None)  # rich points the output elsewhere
    with pytest.raises(Interrupted):
        say(Console(stderr=True), "message")


def test_a_narrow_terminal_cuts_the_note_and_no_time() -> None:
    output = io.StringIO()
    bars = Bars(Console(file=output, force_terminal=True, width=80, color_system=None))
    with bars.step("figures, by topic", 7) as step:
        step.advance(2, "accuracy_latency_digits_cnn_fgsm_graybox by a long name " * 2)
        time.sleep(0.3)  # the display is renewed ten times a second
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.getvalue())
    line = next(text for text in re.split(r"[\r\n]+", shown) if "accuracy" in text)
    assert re.search(r" 2/7 \d:\d\d:\d\d left [-\d]:[-\d]{2}:[-\d]{2} accuracy\S*.*…", line)
    assert len(line.rstrip()) <= 80


def test_a_step_may_tell_the_time_that_is_left() -> None:
    output = io.StringIO()
    bars = Bars(Console(file=output, force_terminal=True, width=80, color_system=None))
    with bars.step("cells", 7) as step:
        step.advance(2, "sets 1/4", left=3723.4)
        time.sleep(0.3)
    assert re.search(r" 2/7 \d:\d\d:\d\d left 1:02:03 sets 1/4", output.getvalue())


def test_lines_of_a_log_tell_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter((0.0, 20.0, 40.0, 60.0, 80.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    output = io.StringIO()
    with Lines(Console(file=output, width=80)).step("cells", 4) as step:
        step.advance(0, "sets 1/4", left=240)
        step.advance(1, "sets 4/4", left=120)
        step.advance(1, "probes 1/2")
    assert output.getvalue().splitlines() == [
        "cells: 0/4, about 4 min left sets 1/4",
        "cells: 1/4, about 2 min left sets 4/4",
        "cells: 2/4, about 60 s left probes 1/2",
        "cells: 2/4 in 80.0 s",
    ]
