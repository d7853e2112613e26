"""Typer's callbacks of the options and arguments that name files and folders.

A wrong path ends a command before it has imported anything large.
"""

from __future__ import annotations

from pathlib import Path

import typer


def path_of_folder(parameter: typer.CallbackParam, value: Path | None) -> Path | None:
    """The checked path of a folder; None where it is not given.

    Raises:
        RequestError: the path is wrong, see `bench.commands.paths.checked_folder`.
    """
    from bench.commands.paths import checked_folder

    return None if value is None else checked_folder(_name(parameter), value)


def paths_of_folders(parameter: typer.CallbackParam, values: list[Path]) -> list[Path]:
    """The checked paths of folders; errors as in `path_of_folder`."""
    from bench.commands.paths import checked_folder

    return [checked_folder(_name(parameter), value) for value in values]


def path_of_file(parameter: typer.CallbackParam, value: Path | None) -> Path | None:
    """The checked path of a file; None where it is not given.

    Raises:
        RequestError: the path is wrong, see `bench.commands.paths.checked_file`.
    """
    from bench.commands.paths import checked_file

    return None if value is None else checked_file(_name(parameter), value)


def path_of_plugin(parameter: typer.CallbackParam, value: str) -> str:
    """A file or module with plugins, or a plugin's name or spec; a file's path is checked.

    Raises:
        RequestError: the path is wrong, see `bench.commands.paths.checked_file`.
    """
    from bench.plugins.catalog import is_file_name

    return _text_of_file(parameter, value) if is_file_name(value) else value


def path_of_checked_plugin(parameter: typer.CallbackParam, value: str) -> str:
    """As `path_of_plugin`, where the spec of one of the plugins may follow the file."""
    from bench.plugins.catalog import split_source

    file, spec = split_source(value)
    return f"{_text_of_file(parameter, file)}:{spec}" if spec else path_of_plugin(parameter, value)


def paths_of_plugins(parameter: typer.CallbackParam, values: list[str] | None) -> list[str]:
    """Files or modules with plugins, each as in `path_of_plugin`."""
    return [path_of_plugin(parameter, value) for value in values or ()]


def path_of_figures(parameter: typer.CallbackParam, value: str | None) -> str | None:
    """Published figures, whose path is checked where they are a file; None where not given.

    Raises:
        RequestError: the path is wrong, see `bench.commands.paths.checked_file`.
    """
    if value is None or not value.endswith(".json"):
        return value

    return _text_of_file(parameter, value)


def _text_of_file(parameter: typer.CallbackParam, value: str) -> str:
    """The text of a checked path, which keeps a leading `./`."""
    given = Path(value)
    path = path_of_file(parameter, given)

    return value if path == given else str(path)


def _name(parameter: typer.CallbackParam) -> str:
    """The name of an option or argument, as the help writes it."""
    is_option = parameter.param_type_name == "option"

    return parameter.opts[0] if is_option else str(parameter.metavar)
