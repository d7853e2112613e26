"""Paths that the user names are looked up or refused in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.commands.paths import checked_file, checked_folder
from bench.errors import RequestError
from bench.text import one_line

UNUSABLE = {
    "unknown user": ("~no_such_user/x", "there is no such home folder"),
    "long name": ("x" * 256, "256 bytes, more than 255"),
    "long name in bytes": ("é" * 128, "256 bytes, more than 255"),
    "long name below nothing": (f"absent/{'x' * 300}/y", "300 bytes"),
    "long path": ("x/" * 3000, "File name too long"),
    "no character": ("a\0b", "null"),
    "half a character": ("a\ud800b", "surrogates not allowed"),
    "through a file": ("/dev/null/x", "Not a directory"),
}
CHECKS = [checked_folder, checked_file]

Check = Callable[[str, Path], Path]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_path_is_refused_in_a_line_that_names_the_option(
    case: str, check: Check
) -> None:
    path, reason = UNUSABLE[case]
    with pytest.raises(RequestError) as refused:
        check("--out", Path(path))
    assert str(refused.value).startswith("--out ")
    assert reason in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


@given(st.text(st.characters(codec=None), max_size=400), st.sampled_from(CHECKS))
def test_every_path_is_looked_up_or_refused_in_one_line(text: str, check: Check) -> None:
    try:
        found, refusal = check("--out", Path(text)), ""
    except RequestError as error:
        found, refusal = None, str(error)
    assert refusal == one_line(refusal, 1000)
    assert found is None or found == Path(text).expanduser()


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path: Path) -> None:
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.write_text("")
    os.mkfifo(pipe)
    assert (checked_folder("x", tmp_path), checked_file("x", file)) == (tmp_path, file)

    for check, path, reason in (
        (checked_folder, file, "a file, not a folder"),
        (checked_folder, pipe, "a file, not a folder"),
        (checked_file, tmp_path, "a folder, not a regular file"),
        (checked_file, pipe, "a pipe, not a regular file"),
    ):
        with pytest.raises(RequestError, match=f"x {path}: it is {reason}"):
            check("x", path)
