"""Notes of the processes that hold a lock: each gives one clean line, or none."""

from __future__ import annotations

import json
import os
import platform
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.store.holders import described, noted
from bench.text import one_line

NOW = 1_700_000_000.0

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def write_note(path: Path, **changes: Any) -> None:
    note = {"pid": os.getpid(), "host": platform.node(), "since": time.time(), **changes}
    path.write_text(json.dumps(note))


def test_a_holder_on_another_host_is_named_with_its_host(tmp_path: Path) -> None:
    note = tmp_path / "note"
    write_note(note, pid=2**22 + 1, host="node\x1b[31m7", since=NOW)
    text = described(note)
    assert text is not None
    assert re.fullmatch(r"pid 4194305 on node7, since 2023-11-1\d \d\d:\d\d", text)


@given(content=values | st.fixed_dictionaries({"pid": values, "host": values, "since": values}))
def test_whatever_a_note_holds_the_line_is_clean(
    tmp_path_factory: pytest.TempPathFactory, content: object
) -> None:
    note = tmp_path_factory.getbasetemp() / "note.holder"
    note.write_text(json.dumps(content))
    text = described(note)
    assert text is None or text == one_line(text, 200)


def test_a_note_that_is_no_file_or_endless_is_none(tmp_path: Path) -> None:
    note = tmp_path / "note"
    assert described(note) is None
    os.mkfifo(note)
    assert described(note) is None
    note.unlink()
    note.write_text(" " * 10_000)
    assert described(note) is None
    assert described(Path("/dev/zero")) is None


def test_a_note_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "note").symlink_to(tmp_path / "precious")
    with noted(tmp_path / "note"):
        assert described(tmp_path / "note") is not None
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_note_that_cannot_be_written_holds_up_nothing(tmp_path: Path) -> None:
    with noted(tmp_path / "absent" / "note"):
        pass
    (tmp_path / "folder").mkdir()
    with noted(tmp_path / "folder"):
        pass
