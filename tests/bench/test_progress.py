"""What is said on the terminal holds nothing that it obeys, and spoils no result."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.errors import Interrupted
from bench.progress import say
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
