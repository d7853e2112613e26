"""Plugins that print and warn: standard output is that of the command alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
import warnings
from dataclasses import dataclass

from torch import Tensor, nn

from bench.contracts import DataInfo, Defense, FitContext
from bench.registry import register_defense

print("talk: import")


class Talking(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        print("talk: forward")
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn("talk: beware")
        return images


@register_defense("talking_{name}")
@dataclass(frozen=True)
class TalkingDefense(Defense):
    'A defense that prints and warns.'

    def build(self, data: DataInfo) -> nn.Module:
        print("talk: build")
        return Talking()

    def fit(self, module: nn.Module, context: FitContext) -> None:
        for step in context.steps(3):
            print("talk: step", step)
"""


@pytest.mark.parametrize("command", ["check", "run", "list"])
def test_what_a_plugin_prints_is_not_among_the_results(
    bench: Callable[..., Any], tiny: Path, tmp_path: Path, command: str
) -> None:
    path = tmp_path / "talking.py"
    path.write_text(PLUGIN.format(name=command))
    options = {
        "check": (path,),
        "list": ("--plugin", path),
        "run": (
            *("--config", tiny, "--plugin", path, "--defenses", f"talking_{command}"),
            *("--eps", "0.1", "--n", "10", "--no-latency", "--out", "o"),
        ),
    }[command]
    done = bench(command, *options)
    assert done.code == 0, done.err
    assert "talk:" not in done.out
    if command == "list":
        return
    for call in ("import", "build", "step 2", "forward"):
        assert f"talk: {call}\n" in done.err
    assert done.err.count("talk: beware") == 1
