"""`bench list` shows the text of plugins whole, and nothing that a terminal obeys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.plugins.catalog import list_plugins

PLUGIN = """
from dataclasses import dataclass

from bench.contracts import Defense
from bench.registry import register_defense


@register_defense("red")
@dataclass(frozen=True)
class Red(Defense):
    "Red \\x1b[31mtext\\u202e [bold]and[/bold] more."

    mark: str = "\\x1b[2J:smile:"
"""


def test_the_text_of_a_plugin_is_shown_without_codes(bench: Any) -> None:
    Path("red.py").write_text(PLUGIN)
    done = bench("list", "--plugin", "./red.py")
    assert done.code == 0, done.err
    assert "Red text� [bold]and[/bold]" in " ".join(done.out.split())
    assert "mark=:smile:" in done.out
    assert "\x1b" not in done.out


@pytest.mark.parametrize("columns", [80, 120])
def test_every_name_summary_and_default_is_shown_whole(
    bench: Any, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = bench("list").out.splitlines()
    assert max(map(len, lines)) <= columns
    shown = " ".join(" ".join(lines).split())
    for info in list_plugins():
        assert f" {info.name} {info.summary}" in shown
        for name, default in info.parameters:
            assert (f"{name}={default}" if default else f"{name} (required)") in shown
