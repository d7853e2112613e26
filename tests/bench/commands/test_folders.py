"""The folders that options, variables and the user's account name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.commands import folders
from bench.errors import RequestError
from bench.text import one_line

UNUSABLE = {
    "nobody's home": ("~no_such_user/x", "there is no such home folder"),
    "long name": ("x" * 256, "256 bytes, more than 255"),
    "long name in bytes": ("é" * 128, "256 bytes, more than 255"),
    "long name below nothing": (f"absent/{'x' * 300}/y", "300 bytes"),
    "long path": ("x/" * 3000, "File name too long"),
    "no character": ("a\0b", "null"),
    "half a character": ("a\ud800b", "surrogates not allowed"),
    "through a file": ("/dev/null/x", "Not a directory"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_path_is_refused_in_a_line_that_names_the_option(case: str) -> None:
    path, reason = UNUSABLE[case]
    with pytest.raises(RequestError) as refused:
        folders.checked_path("--out", Path(path))
    assert str(refused.value).startswith("--out ")
    assert reason in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


@given(st.text(st.characters(codec=None), max_size=400))
def test_every_path_is_looked_up_or_refused_in_one_line(text: str) -> None:
    try:
        found, refusal = folders.checked_path("--out", Path(text)), ""
    except RequestError as error:
        found, refusal = None, str(error)
    assert refusal == one_line(refusal, 1000)
    assert found is None or found == Path(text).expanduser()


@pytest.mark.parametrize(
    ("function", "option", "variable"),
    [
        (folders.cache_folder, "--cache", "BENCH_CACHE"),
        (folders.data_folder, "--data", "BENCH_DATA"),
    ],
)
def test_option_and_variable_are_both_checked(
    monkeypatch: pytest.MonkeyPatch, function, option: str, variable: str
) -> None:  # type: ignore[no-untyped-def]
    bad = "~no_such_user/x"
    with pytest.raises(RequestError, match=option):
        function(Path(bad))
    monkeypatch.setenv(variable, bad)
    with pytest.raises(RequestError, match=variable):
        function(None)
    assert function(Path("given")) == Path("given")


def test_a_user_without_a_home_names_the_cache_and_needs_no_data_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(folders, "user_cache", lambda: None)
    for variable in ("BENCH_CACHE", "BENCH_DATA"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(RequestError, match="--cache or BENCH_CACHE"):
        folders.cache_folder(None)
    assert folders.data_folder(None) == Path("results/data")
    assert folders.cache_folder(Path("c")) == Path("c")


def test_the_weights_are_checked(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"--weights ~no_such_user/x"):
        folders.weights_folder(False, Path("~no_such_user/x"))
    assert folders.weights_folder(False, None) is None
    with pytest.raises(RequestError, match="not both"):
        folders.weights_folder(True, tmp_path)
