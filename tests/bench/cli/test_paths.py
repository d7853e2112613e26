"""Every option and argument that names a file or a folder, with paths that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
import typer

from bench.cli import app

GIVEN = {
    "run": ("--no-latency",),
    "latency": (),
    "report": ("RUN",),
    "compare": ("RUN_A", "RUN_B"),
    "board": ("RUNS...",),
    "export": ("RUN", "FOLDER"),
    "doctor": (),
    "list": (),
    "check": ("PLUGIN",),
    "gate": ("BASELINE", "RUN"),
    "merge": ("RUNS...",),
    "table": ("RUN",),
}
"""Commands with paths, and the arguments that each must have."""

FOLDERS = [
    *(f"{command} {option}" for command in ("run", "latency") for option in ("--data", "--cache")),
    *(f"{command} {option}" for command in ("run", "latency") for option in ("--weights", "--out")),
    *("doctor --data", "doctor --cache", "check --data", "export --cache", "export --weights"),
    *("report --compare", "board RUNS...", "board --out", "table RUN", "table --out"),
    *("merge RUNS...", "merge --out"),
    *(
        "report RUN",
        "compare RUN_A",
        "compare RUN_B",
        "gate BASELINE",
        "gate RUN",
        "export RUN",
        "export FOLDER",
    ),
]
FILES = {
    "run --config": "",
    "latency --config": "",
    "run --plugin": ".py",
    "latency --plugin": ".py",
    "list --plugin": ".py",
    "check PLUGIN": ".py",
    "report --against": ".json",
    "gate --junit": "",
    "gate --json": "",
    "gate --markdown": "",
}
"""Options and arguments that name files, with the ending by which a value is taken for a file."""

UNUSABLE = {
    "unknown user": "~nobody_of_that_name/x",
    "a long name": "a" * 300,
    "a long name of a folder": "a" * 256 + "/b",
    "a long name in bytes": "ä" * 128,
    "a path of 5,000 characters": "ab/" * 1700,
    "a path below a file": "file/below",
}


def call(bench: Any, place: str, value: str) -> Any:
    """Run a command with a value at an option or argument, and folders at the others."""
    command, name = place.split()
    Path("folder").mkdir(exist_ok=True)
    Path("file").write_text("")
    arguments = [
        value if given == name else "folder" for given in GIVEN[command] if given.isupper()
    ]
    option = [name, value] if name.startswith("--") else []
    return bench(command, *option, "--", *arguments)


def refused(bench: Any, place: str, value: str) -> str:
    """The one line that refuses a value."""
    done = call(bench, place, value)
    assert done.code == 2, done.err
    (line,) = done.err.splitlines()
    assert line.startswith(f"error: {place.split()[1]} ")
    assert line.isprintable()
    assert len(line) < 500
    assert sorted(path.name for path in Path().iterdir()) == ["file", "folder"]
    return str(line)


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.parametrize("place", [*FOLDERS, *FILES])
def test_an_unusable_path_is_refused_by_the_name_of_its_option(
    bench: Any, place: str, kind: str
) -> None:
    refused(bench, place, UNUSABLE[kind] + FILES.get(place, ""))


@pytest.mark.parametrize("place", FOLDERS)
def test_a_file_is_no_folder(bench: Any, place: str) -> None:
    assert "it is a file, not a folder" in refused(bench, place, "file")


@pytest.mark.parametrize("place", FILES)
def test_a_folder_is_no_file(bench: Any, place: str) -> None:
    Path("folder", f"x{FILES[place]}").mkdir(parents=True)
    line = refused(bench, place, f"folder/x{FILES[place]}")
    assert "it is a folder, not a regular file" in line


@pytest.mark.parametrize("place", FILES)
def test_a_pipe_is_no_file(bench: Any, place: str) -> None:
    Path("folder").mkdir()
    os.mkfifo(f"folder/x{FILES[place]}")
    assert "it is a pipe" in refused(bench, place, f"folder/x{FILES[place]}")


def test_every_path_of_every_command_is_among_these() -> None:
    found = set()
    for command in app.registered_commands:
        for hint in get_type_hints(command.callback, include_extras=True).values():
            if get_origin(hint) is not Annotated:
                continue
            kind, info = get_args(hint)
            is_argument = isinstance(info, typer.models.ArgumentInfo)
            # Inside Annotated, typer takes the first name of an option for its default.
            name = info.metavar if is_argument else info.default
            if Path in (kind, *get_args(kind)) or "FILE" in str(info.metavar):
                found.add(f"{command.name} {name}")
    assert found
    assert found <= {*FOLDERS, *FILES}
