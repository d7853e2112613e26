"""Completion in a shell: names of what a run combines, known without importing torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cli import app, completion
from bench.errors import RequestError
from bench.plugins.catalog import list_plugins
from bench.stages.threats import THREATS
from bench.store.packaged import published_names
from bench.sweep.presets import preset_names

Complete = Callable[[str], list[str]]


@pytest.fixture
def complete(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Complete:
    """Completions of the last word of a command line, which may be empty."""

    def words(line: str) -> list[str]:
        parts = line.split(" ")
        monkeypatch.setenv("_BENCH_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(parts))
        monkeypatch.setenv("COMP_CWORD", str(len(parts) - 1))
        done = bench()
        assert (done.code, done.err) == (0, "")
        return done.out.split()  # type: ignore[no-any-return]

    return words


def names(family: str) -> list[str]:
    return [info.name for info in list_plugins() if info.family == family]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run --defenses", names("defense")),
        ("latency --defenses", names("defense")),
        ("run --attacks", names("attack")),
        ("run --classifiers", names("classifier")),
        ("run --datasets", names("dataset")),
        ("run --threats", list(THREATS)),
        ("run --preset", preset_names()),
        ("run --precisions", ["float32", "tf32", "bfloat16"]),
        ("report RUN --against", published_names()),
        ("new", ["defense", "attack", "classifier", "dataset"]),
        ("check --dataset", names("dataset")),
        ("check", [info.name for info in list_plugins()]),
    ],
)
def test_every_name_is_offered(complete: Complete, line: str, expected: list[str]) -> None:
    assert complete(f"bench {line} ") == expected


def test_every_command_is_offered(complete: Complete) -> None:
    assert complete("bench ") == [each.name for each in app.registered_commands]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("conv", ["convae"]),
        ("none,conv", ["none,convae"]),
        ("none,,p", ["none,,pixel_deflection", "none,,purifier", "none,,puvae"]),
        ("puvae,convae,", [f"puvae,convae,{name}" for name in names("defense")]),
        ("nothing", []),
    ],
)
def test_the_last_name_of_a_list_is_completed(
    complete: Complete, typed: str, expected: list[str]
) -> None:
    assert complete(f"bench run --defenses {typed}") == expected


def test_paths_are_left_to_the_shell(complete: Complete) -> None:
    assert complete("bench report re") == []


def test_names_that_cannot_be_read_leave_the_line_as_it_is() -> None:
    def unreadable() -> completion.Names:
        yield "one", "is read"
        raise RequestError("the package 'defenses' is not installed")

    assert completion.last_entry(unreadable)("none,") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_without_torch(tmp_path: Path) -> None:
    """The printed script, with a program that could not import torch."""
    program = tmp_path / "bench"
    code = "import sys; sys.modules['torch'] = None; from bench.entry import main; main()"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
    program.chmod(0o755)
    lines = [
        f'PATH="{tmp_path}:$PATH"',
        'eval "$(_BENCH_COMPLETE=source_bash bench)"',
        "COMP_WORDS=(bench run --defenses none,def) COMP_CWORD=3",
        '_bench_completion bench && echo "${COMPREPLY[@]}"',
    ]
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("none,defensegan\n", "")


def test_the_script_of_a_shell_can_be_installed(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    monkeypatch.setenv("HOME", str(tmp_path))
    shown = bench("--show-completion")
    assert (shown.code, "_BENCH_COMPLETE=complete_bash" in shown.out) == (0, True)
    assert bench("--install-completion").code == 0
    assert "bench.sh" in (tmp_path / ".bashrc").read_text()
