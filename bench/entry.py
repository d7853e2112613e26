"""The entry of the program, which catches signals before anything else is imported.

Every command ends here, also by an interruption, a closed pipe, a full disk under the output, or
an exception that nothing else caught, even while the command line itself is imported.
"""

from __future__ import annotations

import os
import signal
import sys

from bench import memory
from bench.errors import EXIT_FAILED, EXIT_INTERRUPTED, Interrupted

TYPE_CHECKING = False  # `typing` takes too long to load here

if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn, TextIO

_SHOW_CURSOR = b"\x1b[?25h"

_AGAIN_AFTER = 0.05
"""Seconds after which an interruption that was lost is raised again."""


class Interruptions:
    """The signals that interrupt: the first raises `Interrupted`, the next ends the process.

    Attributes:
        received: whether the next signal ends the process.
    """

    def __init__(self) -> None:
        self.received = False
        self._report_ignored = sys.unraisablehook

    def catch(self) -> None:
        """Catch Ctrl-C, the request to end, and the end of the terminal."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # not every system has a hangup
            ignored_hangup = name == "SIGHUP" and number and _is_ignored(number)
            if number is not None and not ignored_hangup:
                signal.signal(number, self._receive)

        sys.unraisablehook = self._raise_again

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        if self.received:
            _end_at_once()

        self.received = True
        raise Interrupted

    def _raise_again(self, ignored: sys.UnraisableHookArgs) -> None:
        """Raise `Interrupted` again if Python ignored it, as in the finalizer of an object."""
        if ignored.exc_type is not Interrupted or not hasattr(signal, "setitimer"):
            self._report_ignored(ignored)
            return

        # It would be ignored here as well, so a timer raises it in what runs next.
        self.received = False
        signal.signal(signal.SIGALRM, self._receive)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_AFTER)


def main() -> NoReturn:
    """Run a command and exit with its code; the console script `bench`."""
    interruptions = Interruptions()
    try:
        interruptions.catch()
        code = _run(interruptions)
        interruptions.received = True  # the results are complete: nothing is left to clean up
    except Interrupted:
        code = EXIT_INTERRUPTED
        _write_line(_interrupted())

    written = [_close(stream) for stream in (sys.stdout, sys.stderr)]
    sys.exit(code if all(written) else code or EXIT_FAILED)


def _run(interruptions: Interruptions) -> int:
    """Run the command line; its exit code, also where something was not caught.

    Raises:
        Interrupted: the user interrupted the command.
    """
    try:
        _show_everything()
        from bench.cli import run_command

        code = run_command()
        if code and interruptions.received:  # foreign code made a failure of the interruption
            raise Interrupted
        if sys.stdout is not None:
            sys.stdout.flush()
    except (Interrupted, KeyboardInterrupt):
        raise Interrupted from None
    except BaseException as error:  # noqa: BLE001 - the end of every command
        if interruptions.received:  # foreign code made another exception of it
            raise Interrupted from None
        if not _is_closed_pipe(error):
            _report(error)
        return EXIT_FAILED

    return code


def _show_everything() -> None:
    """Have characters that the output's encoding lacks written as escapes, not refused."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _report(error: BaseException) -> None:
    """Report an uncaught exception in one line, after its traceback where that is asked for."""
    try:
        if "--traceback" in sys.argv[1:]:
            import traceback

            from bench.text import visible

            _write_line(visible("".join(traceback.format_exception(error)).rstrip()))

        from bench.failures import described

        _write_line(f"error: {described(error)}")
    except Exception as second:  # noqa: BLE001 - what the report needs cannot be imported either
        _write_line(f"error: {type(error).__name__}: {_unreported(error, second)}")


def _unreported(*errors: BaseException) -> str:
    """Why an exception and the one that its report raised cannot be described."""
    if memory.is_short() or any(isinstance(each, MemoryError) for each in errors):
        return "there is too little memory to start"

    return "its report failed too, install purification-bench again"


def _interrupted() -> str:
    import shlex

    from bench.text import visible

    command = visible(shlex.join(["bench", *sys.argv[1:]]))
    return f"interrupted; to continue, run the same command again: {command}"


def _write_line(line: str) -> None:
    """Write a line to standard error, if it can be written at all."""
    if sys.stderr is None:
        return

    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:
        pass  # there is nowhere left to report it


def _close(stream: TextIO | None) -> bool:
    """Write what a stream still holds; whether that succeeded, or its reader went away.

    What cannot be written is dropped; else the interpreter would try again at its end and complain.
    """
    if stream is None:
        return True

    try:
        stream.flush()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return isinstance(error, BrokenPipeError)

    return True


def _is_closed_pipe(error: BaseException) -> bool:
    """Whether an exception means that the reader of the output went away, as `head` does."""
    # The console of rich turns such an error into SystemExit.
    return any(isinstance(each, BrokenPipeError) for each in (error, error.__context__))


def _is_ignored(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN


def _end_at_once() -> NoReturn:
    if os.isatty(2):  # a progress bar hides the cursor
        os.write(2, _SHOW_CURSOR)
    os._exit(EXIT_INTERRUPTED)
