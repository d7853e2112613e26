"""Settings of the process: what a plugin changes does not reach the next."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from bench.errors import PluginFault, RequestError
from bench.plugins.discovery import import_plugin
from bench.plugins.faults import plugin_call, plugin_request
from bench.plugins.process_state import first_process_state
from bench.progress import Bars

Value = Callable[[], object]


def _all_tf32() -> None:
    torch.backends.cuda.matmul.allow_tf32 = not torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32


CHANGES: dict[str, tuple[Callable[[], object], Value]] = {
    "default type": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "default device": (lambda: torch.set_default_device("meta"), torch.get_default_device),
    "gradients": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "threads": (
        lambda: torch.set_num_threads(torch.get_num_threads() + 1),
        torch.get_num_threads,
    ),
    "deterministic": (
        lambda: torch.use_deterministic_algorithms(True, warn_only=True),
        torch.are_deterministic_algorithms_enabled,
    ),
    "autocast": (
        lambda: torch.set_autocast_enabled("cpu", True),
        lambda: torch.is_autocast_enabled("cpu"),
    ),
    "tf32": (
        _all_tf32,
        lambda: (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32),
    ),
    "cudnn": (
        lambda: setattr(torch.backends.cudnn, "benchmark", True),
        lambda: torch.backends.cudnn.benchmark,
    ),
    "numpy": (lambda: np.seterr(all="raise"), np.geterr),
    "folder": (lambda: os.chdir("/"), os.getcwd),
    "signal": (
        lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        lambda: signal.getsignal(signal.SIGTERM),
    ),
}


@pytest.fixture(autouse=True)
def _clean_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("setting", CHANGES)
@pytest.mark.parametrize(
    ("guard", "error"), [(plugin_call, PluginFault), (plugin_request, RequestError)]
)
def test_what_a_plugin_changes_is_restored(guard, error, setting: str, fails: bool) -> None:  # type: ignore[no-untyped-def]
    change, value = CHANGES[setting]
    before = value()

    def plugin_code() -> None:
        change()
        assert value() != before
        if fails:
            raise ValueError

    with pytest.raises(error) if fails else nullcontext(), guard("x"):
        plugin_code()
    assert value() == before


def test_the_settings_of_the_caller_hold_during_the_call_and_after_it() -> None:
    with torch.no_grad():
        with plugin_call("x"):
            assert not torch.is_grad_enabled()
            torch.set_grad_enabled(True)
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def test_new_tensors_are_on_the_cpu_again() -> None:
    with plugin_call("x"):
        torch.set_default_device("meta")
    assert torch.empty(1).device.type == "cpu"


def test_a_removed_working_folder_is_no_fault(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    with plugin_call("x"):
        os.chdir(tmp_path)


def test_a_working_folder_that_the_plugin_removes_is_its_fault(tmp_path: Path) -> None:
    def remove() -> None:
        os.chdir(tmp_path)
        gone.rmdir()
        torch.set_default_dtype(torch.float64)

    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    with pytest.raises(PluginFault, match="x raised FileNotFoundError"), plugin_call("x"):
        remove()
    assert torch.get_default_dtype() == torch.float32, "the other settings are not restored"


def test_what_a_plugin_changes_when_it_is_imported_is_restored(tmp_path: Path) -> None:
    path = tmp_path / "global_settings.py"
    path.write_text(
        "import torch\ntorch.set_default_dtype(torch.float64)\ntorch.set_num_threads(3)\n"
    )
    before = torch.get_num_threads()
    import_plugin(str(path))
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_num_threads() == before != 3


def test_what_a_plugin_prints_goes_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "talkative.py"
    path.write_text("print('imported')\n")

    def plugin_code() -> None:
        sys.stdout.write("called\n")
        with plugin_call("y"):
            sys.stdout.write("inside\n")
        sys.stdout.flush()
        raise ValueError

    import_plugin(str(path))
    with pytest.raises(PluginFault), plugin_call("x"):
        plugin_code()
    sys.stdout.write("table\n")
    assert capsys.readouterr() == ("table\n", "imported\ncalled\ninside\n")


def test_a_bar_that_outlives_a_plugin_call_leaves_standard_output() -> None:
    before = sys.stdout
    bars = Bars(Console(stderr=True, force_terminal=True))
    with plugin_call("x"):
        step = bars.step("training", 2)
        step.__enter__()
    step.__exit__(None, None, None)
    assert sys.stdout is before


def test_work_of_the_harness_in_a_plugin_call_has_the_harness_settings() -> None:
    with plugin_call("outer"):
        torch.set_default_dtype(torch.float64)
        with plugin_call("inner"):
            torch.set_grad_enabled(False)
            with first_process_state():
                assert torch.get_default_dtype() == torch.float32
                assert torch.is_grad_enabled()
            assert torch.get_default_dtype() == torch.float64
            assert not torch.is_grad_enabled()
