"""Faults of plugins: one clean line, whatever is raised."""

from __future__ import annotations

import gc
import logging
import signal
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import (
    BenchError,
    Interrupted,
    NotApplicable,
    PluginFault,
    RequestError,
    StorageError,
)
from bench.plugins.discovery import import_plugin
from bench.plugins.faults import plugin_call, plugin_request, raised
from tests.plugins.kinds import (
    KINDS,
    MEMORY,
    as_under_the_command_line,
    assert_clean,
    raise_fault,
)

Guard = Callable[[str], AbstractContextManager[None]]
GUARDS: list[tuple[Guard, type[BenchError]]] = [
    (plugin_call, PluginFault),
    (plugin_request, RequestError),
]


@pytest.fixture
def under_the_command_line() -> Iterator[None]:
    with as_under_the_command_line():
        yield


@pytest.mark.usefixtures("under_the_command_line")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("guard", "error"), GUARDS)
def test_whatever_is_raised_is_a_fault_in_one_clean_line(
    guard: Guard, error: type[BenchError], kind: str
) -> None:
    with pytest.raises(error, match=r"^attack x raised ") as caught, guard("attack x"):
        raise_fault(kind)

    assert_clean(str(caught.value))
    assert caught.value.__cause__ is not None
    assert ("--batch-size" in str(caught.value)) == (kind in MEMORY)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("plain", "raised ValueError: no such luck"),
        ("empty", "raised AssertionError"),
        ("exit_text", "raised SystemExit: good bye"),
        ("group", "raised ExceptionGroup: several (2 sub-exceptions), first ValueError: one"),
        ("unprintable", "raised Unprintable: (its message cannot be shown: ValueError)"),
        ("leaving", "raised Leaving: (its message cannot be shown: SystemExit)"),
        ("escapes", "raised RuntimeError: red � �end"),
    ],
)
def test_the_line_says_what_was_raised(kind: str, text: str) -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - any kind
        raise_fault(kind)
    assert raised(caught.value) == text


def test_an_interrupt_by_the_user_passes() -> None:
    """Without a handler, as in a notebook, a KeyboardInterrupt may be the user's."""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    for interrupt in (Interrupted, KeyboardInterrupt):
        for guard, _ in GUARDS:
            with pytest.raises(interrupt), guard("x"):
                raise interrupt


def test_a_wrong_request_by_a_plugin_that_runs_is_its_fault() -> None:
    with (
        pytest.raises(PluginFault, match=r"^x raised RequestError: no such attack$"),
        plugin_call("x"),
    ):
        raise RequestError("no such attack")


@pytest.mark.parametrize("error", [PluginFault, StorageError])
def test_an_error_of_the_harness_passes_as_it_is(error: type[BenchError]) -> None:
    expected = error("a long line of the harness " + "with many names " * 50 + "end")
    with pytest.raises(error) as caught, plugin_call("x"):
        raise expected
    assert caught.value is expected


@pytest.mark.parametrize("error", [PluginFault, NotApplicable])
def test_an_error_of_the_harness_raised_by_a_plugin_is_made_clean(error: type[BenchError]) -> None:
    with pytest.raises(error) as caught, plugin_call("x"):
        raise error("\x1b[31mred\n" + "more " * 100_000)
    assert_clean(str(caught.value))


def test_a_request_error_of_a_plugin_is_made_clean() -> None:
    with pytest.raises(RequestError) as caught, plugin_request("x"):
        raise RequestError("\x1b[31mred\n" + "more " * 100_000)
    assert_clean(str(caught.value))


@settings(max_examples=50)
@given(st.text(max_size=2_000))
def test_any_message_becomes_one_clean_line(message: str) -> None:
    with pytest.raises(PluginFault) as caught, plugin_call("x"):
        raise RuntimeError(message)
    assert_clean(str(caught.value))


def test_used_up_memory_is_given_back() -> None:
    """The fault keeps the exception, and this the frames with their tensors."""

    def allocate() -> None:
        held = torch.zeros(10)
        references.append(weakref.ref(held))
        torch.empty(10**15)

    references: list[weakref.ref[torch.Tensor]] = []
    with pytest.raises(PluginFault) as caught, plugin_call("x"):
        allocate()

    gc.collect()
    assert caught.value.__cause__ is not None
    assert references[0]() is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_traceback_is_logged_for_the_option(
    kind: str, caplog: pytest.LogCaptureFixture, under_the_command_line: None
) -> None:
    with (
        caplog.at_level(logging.DEBUG, "bench.traceback"),
        pytest.raises(PluginFault),
        plugin_call("x"),
    ):
        raise_fault(kind)

    (record,) = caplog.records
    assert record.name == "bench.traceback"
    assert record.levelno == logging.DEBUG
    assert "raise_fault" in caplog.text
    assert_clean(record.getMessage())


@pytest.mark.usefixtures("under_the_command_line")
@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_that_raises_when_it_is_imported_is_a_wrong_request(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "at_import.py"
    path.write_text(f"from tests.plugins.kinds import raise_fault\nraise_fault({kind!r})\n")
    with pytest.raises(RequestError, match=r"at_import\.py cannot be imported") as caught:
        import_plugin(str(path))
    assert_clean(str(caught.value).replace(str(path), "at_import.py"))


@pytest.mark.parametrize(
    "step",
    [
        lambda weight: (weight**2).sum().backward(),
        lambda weight: torch.autograd.grad(weight.sum(), weight),
    ],
)
def test_a_gradient_step_at_inference_says_how_to_take_it(
    step: Callable[[torch.Tensor], object],
) -> None:
    with (
        pytest.raises(PluginFault, match=r"with torch\.enable_grad\(\):") as caught,
        torch.no_grad(),
        plugin_call("defense x"),
    ):
        step(torch.ones(2))
    assert_clean(str(caught.value))
