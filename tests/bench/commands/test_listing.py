"""`bench list` shows the text of plugins and nothing that a terminal obeys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
