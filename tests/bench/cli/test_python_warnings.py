"""Warnings of Python code: once each, whatever changes the filters."""

from __future__ import annotations

import warnings

import pytest

from bench.cli.python_warnings import show_warnings_once


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    with warnings.catch_warnings():  # Python forgets what it has shown
        warnings.simplefilter("default")
        warnings.warn(text, category, stacklevel=1)


def test_a_warning_of_a_line_is_shown_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    show_warnings_once()
    for step in range(3):
        warn(f"step {step}\nis \x1b[31mslow")
        warn("other kind", FutureWarning)

    out, err = capsys.readouterr()
    assert out == ""
    shown = err.splitlines()
    assert [line.partition(": ")[0] for line in shown] == ["warning", "warning"]
    assert shown[0].endswith("UserWarning: step 0 is slow")
    assert shown[1].endswith("FutureWarning: other kind")
