"""The command line: every module here with a function `command` is a command of that name.

A command imports what it needs when it runs, so that `bench --help` answers at once. The work of
the larger ones is in `bench.commands`.
"""

from __future__ import annotations

import logging
import pkgutil
import shlex
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console

import bench
from bench.errors import BenchError, Interrupted, RequestError
from bench.progress import say

EXIT_FAILED = 1
EXIT_REQUEST = 2
EXIT_INTERRUPTED = 130

_FIRST = ("run", "list", "report")
"""Commands that the help names before the others."""

app = typer.Typer(
    name="bench",
    epilog="Exit codes: 0 success, 1 a failure, 2 a wrong request for which nothing was computed, "
    "130 an interruption.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
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
    """Shows the package's log as single lines on standard error, below any progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        say(Console(stderr=True), level + record.getMessage())


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Interrupted


def main() -> None:
    """Run a command and turn its end into an exit code; the console script `bench`."""
    logger = logging.getLogger("bench")
    logger.setLevel(logging.INFO)
    logger.handlers = [_LogLines()]
    errors = Console(stderr=True)
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, _interrupt)

    try:
        app(prog_name="bench")
    except RequestError as error:
        say(errors, f"error: {error}")
        sys.exit(EXIT_REQUEST)
    except BenchError as error:
        say(errors, f"error: {error}")
        sys.exit(EXIT_FAILED)
    except Interrupted:
        command = shlex.join(["bench", *sys.argv[1:]])
        say(errors, f"interrupted; to continue, run the same command again: {command}")
        sys.exit(EXIT_INTERRUPTED)
