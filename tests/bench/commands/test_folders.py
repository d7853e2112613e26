"""The folders that options, variables and the user's account name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.commands import folders
from bench.errors import RequestError

FOLDERS = [(folders.cache_folder, "BENCH_CACHE"), (folders.data_folder, "BENCH_DATA")]


@pytest.mark.parametrize(("function", "variable"), FOLDERS)
def test_an_option_goes_before_the_variable_which_is_checked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[[Path | None], Path],
    variable: str,
) -> None:
    (tmp_path / "file").write_text("")
    for wrong in ("~no_such_user/x", str(tmp_path / "file")):
        monkeypatch.setenv(variable, wrong)
        with pytest.raises(RequestError, match=f"{variable} {wrong}"):
            function(None)
        assert function(Path("given")) == Path("given")

    monkeypatch.setenv(variable, str(tmp_path))
    assert function(None) == tmp_path


def test_a_user_without_a_home_names_the_cache_and_needs_no_data_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(folders, "user_cache", lambda: None)
    for _, variable in FOLDERS:
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(RequestError, match="--cache or BENCH_CACHE"):
        folders.cache_folder(None)
    assert folders.data_folder(None) == Path("results/data")
    assert folders.cache_folder(Path("c")) == Path("c")


def test_the_weights_are_those_of_one_option(tmp_path: Path) -> None:
    assert folders.weights_folder(False, None) is None
    assert folders.weights_folder(False, tmp_path) == tmp_path
    assert folders.weights_folder(True, None) == folders.packaged_weights()
    with pytest.raises(RequestError, match="not both"):
        folders.weights_folder(True, tmp_path)
