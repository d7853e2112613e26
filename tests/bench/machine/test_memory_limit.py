"""A library that ends the process while it is loaded becomes an error, where memory is limited."""

from __future__ import annotations

import importlib
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.machine import memory_limit

LIBRARY = "library_of_a_test"


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a library in the place of PyTorch, in a process whose memory is limited."""
    monkeypatch.setattr(memory_limit, "_LIBRARY", LIBRARY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**40, 2**40))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / f"{LIBRARY}.py"
    sys.modules.pop(LIBRARY, None)


@pytest.mark.parametrize("end", ["os.abort()", "os._exit(127)", "os.kill(os.getpid(), 9)"])
def test_a_library_that_ends_the_process_is_an_error(
    library: Path, capfd: pytest.CaptureFixture[str], end: str
) -> None:
    start = "import faulthandler, os\nfaulthandler.disable()\nos.write(2, b'terminate called')\n"
    library.write_text(start + end)
    memory_limit.try_loading_first()
    with pytest.raises(MemoryError, match="cannot be loaded"):
        importlib.import_module(LIBRARY)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["value = 1", "raise ValueError('its own')"])
def test_any_other_library_is_loaded_as_without_a_limit(library: Path, text: str) -> None:
    library.write_text(text)
    memory_limit.try_loading_first()
    if "raise" in text:
        with pytest.raises(ValueError, match="its own"):
            importlib.import_module(LIBRARY)
    else:
        assert importlib.import_module(LIBRARY).value == 1


def test_without_a_limit_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    before = list(sys.meta_path)
    memory_limit.try_loading_first()
    assert sys.meta_path == before
