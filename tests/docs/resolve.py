"""Resolves `bench` commands without computing anything; run as a process of its own.

Reads a JSON object from standard input: `commands`, a list of argument lists, and `files`, the text
of files by name. Writes a list of as many messages to standard output, each empty where the command
is right. It runs in a scratch folder, because the pages' examples name plugin files, weights and a
configuration, which it writes there, and plugins register themselves in the whole process.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import typer

import bench.commands.latency
import bench.commands.run
from bench.cli import app
from bench.commands.new import new
from bench.commands.request import Request, configuration, requested_plugins
from bench.errors import BenchError
from bench.latency.engines import engines_of, precisions_of
from bench.plugins.discovery import discover
from bench.sweep.grid import Grid

ROOT = Path(__file__).parents[2]
COMMAND = typer.main.get_command(app)
USAGE_ERROR = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""What a wrong command line raises; typer has its own copy of click or uses the installed one."""


class Captured(Exception):
    """Carries the request of a command that would now compute."""

    def __init__(self, request: Request) -> None:
        self.request = request


def capture(request: Request, *_: object) -> NoReturn:
    """Stands in for `prepare`, the first step that needs data."""
    raise Captured(request)


def problem(arguments: Sequence[str]) -> str:
    """What is wrong with a command, empty if nothing is."""
    try:
        name, subcommand, rest = COMMAND.resolve_command(typer.Context(COMMAND), list(arguments))
        context = subcommand.make_context(name, rest)
        if name in ("run", "latency"):
            with context:
                subcommand.invoke(context)
    except Captured as captured:
        return grid_problem(captured.request)
    except USAGE_ERROR as error:
        return error.format_message()
    except BenchError as error:
        return str(error)
    return missing_folder(arguments)


def grid_problem(request: Request) -> str:
    """What keeps a request from being a grid, empty if nothing does."""
    try:
        _, config = configuration(request)
        discover(requested_plugins(request, config))
        Grid.of(config)
        engines_of(config.latency.engines)
        precisions_of(config.latency.precisions)
    except BenchError as error:
        return str(error)
    return ""


def missing_folder(arguments: Sequence[str]) -> str:
    """A committed folder that a command names and that is not there."""
    for argument in arguments:
        if argument.startswith("results/re") and not (ROOT / argument).is_dir():
            return f"there is no folder {argument}"
    return ""


def write_examples(files: Mapping[str, str]) -> None:
    """Write the files that the pages' commands name into the working directory.

    Args:
        files: text of the pages' own examples by file name.
    """
    for name, text in files.items():
        Path(name).write_text(text, encoding="utf-8")
    for family in ("defense", "attack", "classifier", "dataset"):
        new(family, f"my_{family}")
    for name in ("weights.safetensors", "net.pth", "net.pt2"):
        Path(name).touch()
    Path("lenet.py").write_text("from torch import nn\n\n\nclass LeNet(nn.Module): ...\n")
    shutil.copy(ROOT / "bench" / "sweep" / "presets" / "quick.toml", "my.toml")


def main() -> None:
    """Answer for every command."""
    bench.commands.run.prepare = capture  # type: ignore[assignment]
    bench.commands.latency.prepare = capture  # type: ignore[assignment]
    asked = json.load(sys.stdin)
    output = sys.stdout
    sys.stdout = sys.stderr  # the answers alone go to standard output
    write_examples(asked["files"])
    answers = [problem(arguments) for arguments in asked["commands"]]
    json.dump(answers, output)


if __name__ == "__main__":
    main()
