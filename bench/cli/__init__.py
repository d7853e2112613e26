"""The command line: every module here with a function `command` is a command of that name.

A command imports what it needs when it runs, so that `bench --help` answers at once. The work of
the larger ones is in `bench.commands`.
"""

from __future__ import annotations

import io
import logging
import pkgutil
import sys
import traceback
from importlib import import_module
from typing import Annotated, Any, cast

import typer
from rich.console import Console

import bench
from bench.cli.completion import is_asked_for, print_completions
from bench.cli.python_warnings import show_warnings_once
from bench.cli.tracebacks import show_tracebacks
from bench.errors import EXIT_FAILED, EXIT_REQUEST, BenchError, RequestError
from bench.failures import tracebacks
from bench.machine.memory_limit import try_loading_first
from bench.progress import say
from bench.text import LONGEST_LINE, one_line

_UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])
"""The class of all wrong uses of a command; typer names only its subclass in public."""

_FIRST = ("run", "list", "report")
"""Commands that the help names before the others."""

app = typer.Typer(
    name="bench",
    epilog="Exit codes: 0 success, 1 a failure, 2 a wrong request for which nothing was computed, "
    "130 an interruption.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"purification-bench {bench.__version__}")
        raise typer.Exit


@app.callback()
def root_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    show_traceback: Annotated[
        bool,
        typer.Option(
            "--traceback", callback=show_tracebacks, help="Show the tracebacks of faults."
        ),
    ] = False,
) -> None:
    """Benchmark of adversarial-purification defenses.

    It measures robust accuracy under named threat models, and inference latency.
    """


def _add_commands() -> None:
    """Make every module with a function `command` a command of the module's name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    for name in dict.fromkeys((*_FIRST, *names)):
        command = getattr(import_module(f"{__name__}.{name}"), "command", None)
        if command is not None:
            app.command(name)(command)


_add_commands()


class _LogLines(logging.Handler):
    """Shows the package's log as single lines on standard error, below any progress bars.

    A traceback follows its line; the same one is shown once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        text = level + record.getMessage()
        if record.exc_info:
            lines = "".join(traceback.format_exception(record.exc_info[1])).rstrip()
            if lines in self._shown:
                return
            self._shown.add(lines)
            text += f"\n{lines}"
        say(Console(stderr=True), text)


def run_command() -> int:
    """Run the command that the program's arguments name, or complete them; its exit code.

    Whatever else foreign code raises passes, also `SystemExit`, which is no success.
    """
    if is_asked_for():
        return print_completions(app)

    logger = logging.getLogger("bench")
    logger.setLevel(logging.INFO)
    logger.handlers = [_LogLines()]
    tracebacks.setLevel(logging.NOTSET)
    show_warnings_once()
    try_loading_first()

    try:
        return _invoke(sys.argv[1:])
    except BenchError as error:
        if error.__cause__ is not None:
            tracebacks.debug("%s, caused by:", type(error).__name__, exc_info=error.__cause__)
        say(Console(stderr=True), f"error: {one_line(str(error), LONGEST_LINE)}")
        return EXIT_REQUEST if isinstance(error, RequestError) else EXIT_FAILED


def _invoke(arguments: list[str]) -> int:
    """The exit code of a command.

    Typer's own `main` would take `SystemExit`, `EOFError` and others of a command for its own.
    """
    group = typer.main.get_command(app)
    try:
        with _parsed(group, arguments) as context:
            group.invoke(context)
    except typer.Exit as end:
        return int(end.exit_code)
    except _UsageError as error:
        text = io.StringIO()
        error.show(text)
        say(Console(stderr=True), text.getvalue().rstrip())
        return int(error.exit_code)

    return 0


def _parsed(group: Any, arguments: list[str]) -> typer.Context:
    """The context of the program's own options; no command has run yet.

    Raises:
        Exit: typer's options about completion have done their work.
    """
    try:
        return cast("typer.Context", group.make_context("bench", arguments))
    except SystemExit as end:
        raise typer.Exit(int(end.code or 0)) from None
