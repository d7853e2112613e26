"""The record of files that are opened."""

from __future__ import annotations

import linecache
import sysconfig
from pathlib import Path

import pytest

from bench.plugins.origins import is_outside
from bench.plugins.reads import recorded


@pytest.mark.parametrize("before", [[], ["a"]])
def test_a_recording_within_another_ends_alone(tmp_path: Path, before: list[str]) -> None:
    for name in "abc":
        (tmp_path / name).write_text("x")

    with recorded() as outer:
        with recorded() as inner:
            for name in before:
                (tmp_path / name).read_text()
        (tmp_path / "b").read_text()
    (tmp_path / "c").read_text()

    assert [path.name for path in inner.all()] == before
    assert [path.name for path in outer.all()] == [*before, "b"]


def test_the_script_that_starts_the_program_is_not_the_users_code() -> None:
    """Everything runs below it, so that it would count as the reader of every file."""
    assert not is_outside(Path(sysconfig.get_path("scripts")) / "bench")


def test_source_that_is_read_to_show_a_line_of_it_is_no_data(tmp_path: Path) -> None:
    """PyTorch formats the stack of its callers when it is first seeded."""
    script = tmp_path / "script.py"
    script.write_text("print()\n")
    with recorded() as reads:
        assert linecache.getline(str(script), 1) == "print()\n"
    assert reads.all() == []
