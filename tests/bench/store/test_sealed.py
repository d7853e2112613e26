"""Sealed files: no bit and no key can be changed without notice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import StorageError
from bench.store.reading import Unreadable
from bench.store.sealed import SealedFormat
from bench.store.tree import Tree

FORM = SealedFormat(schema=4, unsealed=(2, 3), most=10_000)
WITHOUT_VERSION = SealedFormat(schema=1, unsealed=(None,), most=10_000)
CONTENT = {"name": "fgsm", "eps": 0.1, "none": None, "list": [1, -2.5e-7, True], "é\ud800": "\n"}

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
json_values = st.recursive(
    scalars | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def stored(folder: Path, form: SealedFormat, content: Any = CONTENT) -> Path:
    form.write(Tree(folder), "file.json", content=content)
    return folder / "file.json"


@pytest.mark.parametrize("form", [FORM, WITHOUT_VERSION])
def test_a_file_comes_back_with_its_version(tmp_path: Path, form: SealedFormat) -> None:
    assert form.read(stored(tmp_path, form)) == {"schema": form.schema, **CONTENT}


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    content=st.dictionaries(
        st.text().filter(lambda key: key not in ("schema", "seal")), json_values, max_size=5
    )
)
def test_any_content_comes_back(tmp_path: Path, content: dict[str, Any]) -> None:
    assert FORM.read(stored(tmp_path, FORM, content)) == {"schema": 4, **content}


def test_what_json_changes_is_sealed_as_it_is_read(tmp_path: Path) -> None:
    path = stored(tmp_path, FORM, {"a": {10: 1, 9: (2,)}})
    assert FORM.read(path)["a"] == {"10": 1, "9": [2]}


@pytest.mark.parametrize("form", [FORM, WITHOUT_VERSION])
def test_every_flipped_bit_is_noticed_or_changes_nothing(
    tmp_path: Path, form: SealedFormat
) -> None:
    path = stored(tmp_path, form)
    sound, content = path.read_bytes(), form.read(path)

    for position in range(len(sound)):
        for bit in range(8):
            damaged = bytearray(sound)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                assert form.read(path) == content, (position, bit)
            except Unreadable:
                continue


@pytest.mark.parametrize("form", [FORM, WITHOUT_VERSION])
@pytest.mark.parametrize(
    "change",
    [
        {"eps": 0.2},
        {"eps": "0.1"},
        {"list": [1, -2.5e-7, 1]},
        {"more": 1},
        {"name": None},
        {"schema": 3},
        {"schema": None},
        {"seal": "0" * 64},
        {"seal": 5},
        {"seal": None},
    ],
)
def test_every_edit_is_noticed(tmp_path: Path, form: SealedFormat, change: dict[str, Any]) -> None:
    path = stored(tmp_path, form)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(Unreadable):
        form.read(path)


@pytest.mark.parametrize("form", [FORM, WITHOUT_VERSION])
@pytest.mark.parametrize("lost", ["schema", "seal", "eps"])
def test_a_lost_key_is_noticed(tmp_path: Path, form: SealedFormat, lost: str) -> None:
    path = stored(tmp_path, form)
    content = json.loads(path.read_text())
    del content[lost]
    path.write_text(json.dumps(content))
    with pytest.raises(Unreadable):
        form.read(path)


@pytest.mark.parametrize("schema", [2, 3])
def test_a_file_of_an_earlier_version_has_no_seal(tmp_path: Path, schema: int) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps({"schema": schema, "a": 1}))
    assert FORM.read(path) == {"schema": schema, "a": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "does not hold a JSON object"),
        ("{", "not JSON"),
        ('{"schema": 99}', "schema 99; this version reads 2, 3 and 4"),
        ('{"schema": [1]}', "schema"),
        ("{}", "schema None"),
        ('{"a": 1, "a": 2, "schema": 3}', "twice"),
        ('{"a": ' + "[" * 4000 + "]" * 4000 + ', "schema": 3}', "nested too deeply"),
        ('{"schema": 3, "a": "' + "x" * 10_000 + '"}', "more than the 10000"),
    ],
)
def test_something_else_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(Unreadable, match=reason):
        FORM.read(tmp_path / "file.json")


def test_what_would_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    path = stored(tmp_path, FORM)
    before = path.read_bytes()
    with pytest.raises(StorageError, match="more than the 10000 that are read"):
        stored(tmp_path, FORM, {"a": "x" * 10_000})
    assert path.read_bytes() == before
