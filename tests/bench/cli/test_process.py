"""Every end of the program: one clean line, the right exit code, and nothing of an interpreter."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench.commands import listing
from bench.errors import RequestError

WATCHED_IMPORT = """
import os, sys, time

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            print("importing", flush=True)
            {action}

sys.meta_path.insert(0, Finder())
from bench.entry import main
sys.argv = ["bench", "--version"]
main()
"""
"""A start of the program that does something while the command line is imported."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def python(code: str, **options: Any) -> subprocess.Popen[str]:
    """A process of Python that a hangup ends, also where the tests themselves ignore it."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **{"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL), **options},
    )


def bench_in_shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `bench` is this package's command."""
    function = f'bench() {{ "{sys.executable}" -m bench "$@"; }}\n'
    return subprocess.run(
        ["bash", "-c", function + command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def raised_by_command(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def show(*_: object) -> None:
        raise error

    monkeypatch.setattr(listing, "show", show)


UNCAUGHT = {
    "exit with success": (SystemExit(0), "tried to end it (SystemExit: 0)"),
    "exit without a code": (SystemExit(), "tried to end it"),
    "exit with a text": (SystemExit("bye\x1b[31m"), "SystemExit: bye)"),
    "end of input": (EOFError(), "unexpected EOFError;"),
    "fault": (ValueError("one\nline \x1b]0;title\x07of text"), "ValueError: one line of text;"),
    "endless": (ValueError("word " * 10_000), "word …"),
    "no text": (Unprintable(), "its message cannot be shown: ValueError"),
    "no exception": (BaseException("odd"), "unexpected BaseException: odd"),
    "generator": (GeneratorExit(), "unexpected GeneratorExit"),
    "memory": (MemoryError(), "memory is used up (MemoryError)"),
    "memory of the system": (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory is used up"),
    "memory of a library": (
        ImportError("libx.so: failed to map segment from shared object"),
        "memory is used up",
    ),
    "library": (ModuleNotFoundError("No module named 'x'"), "install purification-bench again"),
    "disk": (OSError(errno.ENOSPC, "No space left"), "input or output failed: No space left"),
    "file": (PermissionError(errno.EACCES, "Permission denied", "a\nb"), "a b: Permission denied"),
}


@pytest.mark.parametrize("case", UNCAUGHT)
def test_whatever_is_uncaught_is_one_clean_line_and_exit_code_1(  # type: ignore[no-untyped-def]
    bench, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    error, text = UNCAUGHT[case]
    raised_by_command(error, monkeypatch)
    done = bench("list")
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert text in done.err
    assert "\x1b" not in done.err
    assert len(done.err.splitlines()) == 1
    assert len(done.err) < 500


@pytest.mark.parametrize("option", [[], ["--traceback"]])
def test_a_traceback_is_shown_if_wanted(  # type: ignore[no-untyped-def]
    bench, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    raised_by_command(ValueError("\x1b[2Joops"), monkeypatch)
    done = bench(*option, "list")
    assert done.code == 1
    assert ("Traceback" in done.err) == bool(option)
    assert ("raise error\n" in done.err) == bool(option)
    assert "error: unexpected ValueError: oops" in done.err.splitlines()[-1]
    assert "\x1b" not in done.err


@pytest.mark.parametrize("option", [[], ["--traceback"]])
def test_the_cause_of_a_refusal_is_shown_once_if_wanted(  # type: ignore[no-untyped-def]
    bench, tmp_path: Path, option: list[str]
) -> None:
    (tmp_path / "broken.py").write_text("raise LookupError('lost')")
    for _ in range(2):  # the option is not remembered
        done = bench(*option, "check", "./broken.py")
        assert done.code == 2
        assert done.err.count("Traceback") == len(option)
        assert "LookupError: lost" in done.err.splitlines()[-1]
    assert "Traceback" not in bench("check", "./broken.py").err


def test_a_message_with_codes_and_unencodable_names_is_clean(bench, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    raised_by_command(RequestError("no \x1b[31m\udcff\u202e such file"), monkeypatch)
    done = bench("list")
    assert (done.code, done.err) == (2, "error: no �� such file\n")


@pytest.mark.parametrize("arguments", [["lits"], ["list", "--no"], ["report"], ["\x1b[31m"], []])
def test_a_wrong_use_is_explained_with_exit_code_2(bench, arguments: list[str]) -> None:  # type: ignore[no-untyped-def]
    done = bench(*arguments)
    assert done.code == 2
    assert "Usage: bench" in done.err
    assert "\x1b" not in done.err
    assert done.out == ""


@pytest.mark.parametrize("command", ["--version", "--help", "list"])
def test_output_that_cannot_be_written_is_a_failure(command: str) -> None:
    done = bench_in_shell(f"bench {command} > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "error: input or output failed: No space left on device\n"


@pytest.mark.parametrize(
    ("command", "code", "lines"),
    [
        ("bench list | head -n 1; exit ${PIPESTATUS[0]}", 1, 1),
        ("bench list > /dev/full 2> /dev/full", 1, 0),
        ("bench nothing 2> /dev/full", 2, 0),
        ("bench list >&-", 0, 0),
    ],
)
def test_output_without_a_reader_is_dropped_in_silence(command: str, code: int, lines: int) -> None:
    done = bench_in_shell(command)
    assert (done.returncode, done.stderr) == (code, "")
    assert len(done.stdout.splitlines()) == lines


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_every_encoding_of_the_output_will_do(environment: dict[str, str]) -> None:
    done = bench_in_shell("bench list", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "defensegan" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_while_the_program_is_loaded_is_one_line(number: int) -> None:
    process = python(WATCHED_IMPORT.format(action="time.sleep(60)"))
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "interrupted; to continue, run the same command again: bench --version\n"


SWALLOWED = """
            for text in ("first", "second"):
                try:
                    print(text, flush=True)
                    time.sleep(60)
                except BaseException:
                    print("swallowed", flush=True)
"""


def test_a_second_interruption_ends_the_program_at_once() -> None:
    process = python(WATCHED_IMPORT.format(action=SWALLOWED))
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["importing\n", "first\n"]
    process.send_signal(signal.SIGINT)
    assert [process.stdout.readline() for _ in range(2)] == ["swallowed\n", "second\n"]
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 130


LOST = """
            class Finalized:
                def __del__(self):
                    print("finalizer", flush=True)
                    time.sleep(60)
            Finalized()
            time.sleep(60)
"""


def test_an_interruption_that_python_ignores_is_raised_again() -> None:
    """An exception in a finalizer is reported as ignored, and the program would go on."""
    process = python(WATCHED_IMPORT.format(action=LOST))
    assert process.stdout is not None
    process.stdout.readline()
    assert process.stdout.readline() == "finalizer\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert len(err.splitlines()) == 1


WRAPPED = """
            try:
                time.sleep(60)
            except BaseException as error:
                raise RuntimeError("Error calling __set_name__") from error
"""


def test_an_interruption_that_became_another_exception_is_still_one() -> None:
    process = python(WATCHED_IMPORT.format(action=WRAPPED))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.startswith("interrupted; ")


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    process = python(
        WATCHED_IMPORT.format(action="time.sleep(0.5)"),
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "purification-bench" in out


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise MemoryError", "memory is used up"),
        ("raise ModuleNotFoundError(\"No module named 'typer'\")", "install purification-bench"),
        ("raise ImportError('libc.so: bad')", "unexpected ImportError: libc.so: bad"),
        ("sys.meta_path.clear(); sys.path.clear(); raise OSError(5, 'I/O')", "report failed too"),
        ("sys.meta_path.clear(); sys.path.clear(); raise MemoryError", "too little memory"),
        ("raise SystemError('error return without exception set')", "unexpected SystemError"),
        ('raise RuntimeError("can\'t start new thread")', "unexpected RuntimeError"),
    ],
)
def test_a_start_that_fails_is_one_line(action: str, text: str) -> None:
    process = python(WATCHED_IMPORT.format(action=action))
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert len(err.splitlines()) == 1
    assert text in err


NEAR_ITS_LIMIT = """
            import resource
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + {kilobytes} * 2**10,) * 2)
            raise {error}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory in use from /proc")
@pytest.mark.parametrize("kilobytes", [0, 4000, 20_000])
@pytest.mark.parametrize(
    "error",
    [
        "SystemError('error return without exception set')",
        'RuntimeError("can\'t start new thread")',
        "ImportError('x.so: failed to map segment from shared object')",
        "KeyError('what foreign code made of it')",
    ],
)
def test_any_error_near_a_limit_of_memory_is_one_line_that_says_so(
    error: str, kilobytes: int
) -> None:
    process = python(
        WATCHED_IMPORT.format(action=NEAR_ITS_LIMIT.format(kilobytes=kilobytes, error=error))
    )
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert len(err.splitlines()) == 1
    assert error.partition("(")[0] in err
    assert "memory" in err


@pytest.mark.parametrize("megabytes", [23, 24, 24.5, 24.75, 25, 25.25, 25.5, 25.75, 26, 40, 60])
def test_a_limit_of_memory_is_one_line(megabytes: float) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (int(megabytes * 2**20),) * 2)

    process = python("from bench.entry import main; main()", preexec_fn=limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (1, 2)
    if process.returncode == 1:
        assert len(err.splitlines()) == 1
        assert "memory" in err
    else:  # enough for the help
        assert "Usage: bench" in err


NO_ACCOUNT = """
import os, pwd, sys
os.environ.pop("HOME", None)
os.environ.pop("XDG_CACHE_HOME", None)
def nobody(*_):
    raise KeyError("getpwuid(): uid not found")
pwd.getpwuid = pwd.getpwnam = nobody
from bench.entry import main
sys.argv = ["bench", *{arguments!r}]
main()
"""


@pytest.mark.parametrize("arguments", [["list"], ["doctor"]])
def test_a_user_without_an_account_is_served(arguments: list[str], tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BENCH_")}
    process = python(
        NO_ACCOUNT.format(arguments=arguments), env=environment, cwd=tmp_path, umask=0o22
    )
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    if arguments == ["doctor"]:
        assert "name one with --cache or BENCH_CACHE" in out
    assert not list(tmp_path.iterdir())


def test_the_lines_of_the_log_hold_no_codes(bench, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    import logging

    def show(*_: object) -> None:
        logging.getLogger("bench").warning("title %s", "\x1b]0;owned\x07\x9b31mred")

    monkeypatch.setattr(listing, "show", show)
    assert bench("list").err == "warning: title red\n"


def test_the_console_script_starts_where_signals_are_caught() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"bench": "bench.entry:main"}
