"""Only regular files of a stated size and depth are read, whatever lies at a path."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.store.reading import (
    Unreadable,
    check_regular,
    parse_json,
    read_bytes,
    read_json,
    read_text,
    read_toml,
)

READERS: list[Callable[[Path, int], Any]] = [
    check_regular,
    read_bytes,
    read_text,
    read_json,
    read_toml,
]
KINDS = {
    "folder": "a folder",
    "pipe": "a pipe",
    "zero": "a device",
    "sparse": "1099511627776 bytes",
    "longer": "101 bytes",
}


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_of_that_size_is_refused_at_once(
    tmp_path: Path, kind: str, read: Callable[[Path, int], Any]
) -> None:
    path = tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(2**40 if kind == "sparse" else 101)

    start = time.monotonic()
    with pytest.raises(Unreadable, match=KINDS[kind]):
        read(path, 100)
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("read", READERS)
def test_an_absent_file_is_distinguished_from_a_damaged_one(
    tmp_path: Path, read: Callable[[Path, int], Any]
) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent", 100)


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, 2.5]}')
    (tmp_path / "link").symlink_to(tmp_path / "a.json")
    assert read_json(tmp_path / "link", 100) == {"a": [1, 2.5]}
    assert check_regular(tmp_path / "link", 100) == 15


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(json_values)
def test_any_json_is_read(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *(("[" * depth, "nested too deeply|not JSON") for depth in (1, 10**5)),
        ('{"a": ' * 10**5, "nested too deeply"),
        ("NaN", "not finite, NaN"),
        ("[-Infinity]", "not finite, -Infinity"),
        ("1e999", "not finite, 1e999"),
        ("9" * 5000, "not JSON"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "a key stands twice"),
        ("", "not JSON"),
        ("\ufeff{}", "not JSON"),
    ],
)
def test_other_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse_json(text)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'"\xff"')
    with pytest.raises(Unreadable, match="not UTF-8"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a" + ".a" * 100_000 + " = 1", "more than 32 parts"),
        ('[x]\n"a" ' + '. "b"' * 40 + " = 1", "more than 32 parts"),
        ("a = " + "[" * 100_000, "nested too deeply|not valid TOML"),
        ("a = ", "not valid TOML"),
    ],
)
def test_toml_that_takes_minutes_or_is_none_is_refused_at_once(
    tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "a.toml").write_text(text)
    start = time.process_time()
    with pytest.raises(Unreadable, match=reason):
        read_toml(tmp_path / "a.toml")
    assert time.process_time() - start < 2


def test_ordinary_toml_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[a.b.c]\nd.e = [1, 2]\nurl = 'www.example.org'\n")
    assert read_toml(tmp_path / "a.toml") == {
        "a": {"b": {"c": {"d": {"e": [1, 2]}, "url": "www.example.org"}}}
    }
