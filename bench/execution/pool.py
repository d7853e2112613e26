"""The process pool: workers on this machine, each in a process of its own.

A process that is killed loses its own job only; the next job of its slot starts another process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Final, NoReturn

from bench.execution.jobs import Finished, Job, WorkerSetup
from bench.execution.worker import Desk

_START: Final = "spawn"
"""How a process starts: with an interpreter of its own, since no thread survives a fork."""

_JOINED = 5.0
"""Seconds for which the end of a process that was killed is waited for."""


class Pool:
    """Workers in processes of this machine.

    Args:
        setups: what the worker of each slot is made from.
    """

    def __init__(self, setups: Sequence[WorkerSetup]) -> None:
        self._setups = setups
        self._idle: list[_Process] = []
        self._busy: dict[Any, _Process] = {}
        self._free = list(setups)
        self.slots = len(setups)

    def submit(self, job: Job) -> None:
        """See `bench.execution.workers.Workers.submit`."""
        process = self._idle.pop() if self._idle else _Process(self._free.pop(0))
        self._busy[process.connection] = process
        process.start(job)

    def finished(self) -> list[Finished]:
        """See `bench.execution.workers.Workers.finished`."""
        ready = wait(list(self._busy))
        return [self._ended(self._busy.pop(connection)) for connection in ready]

    def close(self) -> None:
        """See `bench.execution.workers.Workers.close`."""
        processes = (*self._idle, *self._busy.values())
        self._idle, self._busy = [], {}
        for process in processes:
            process.kill()
        for process in processes:
            process.join()

    def _ended(self, process: _Process) -> Finished:
        """How the job of a process ended; a process that is gone makes room for another."""
        finished = process.answer()
        if finished.ending == "lost":
            self._free.append(process.setup)
        else:
            self._idle.append(process)

        return finished


class _Process:
    """A process with a worker, which has at most one job.

    Attributes:
        setup: what its worker is made from.
        connection: connection to it.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        context = multiprocessing.get_context(_START)
        self.setup = setup
        self.connection, theirs = context.Pipe()
        # No daemon, so that a plugin may start processes of its own.
        self._process = context.Process(target=_serve, args=(theirs, setup), daemon=False)
        self._theirs = theirs
        self._job = ""

    def start(self, job: Job) -> None:
        """Give it a job; the first one starts it."""
        self._job = job.key
        if self._process.pid is None:
            with _without_interruption():
                self._process.start()
            self._theirs.close()
        with suppress(OSError):  # it has ended meanwhile, as `answer` will say
            self.connection.send(job)

    def answer(self) -> Finished:
        """How its job ended."""
        try:
            finished: Finished = self.connection.recv()
        except (EOFError, OSError):
            self.kill()
            self.join()
            return Finished(self._job, "lost", _ending(self._process.exitcode))

        return finished

    def kill(self) -> None:
        """End it, whatever it does."""
        if self._process.pid is not None:
            self._process.kill()

    def join(self) -> None:
        """Wait for its end, after it was killed."""
        if self._process.pid is not None:
            self._process.join(_JOINED)
        self.connection.close()


@contextmanager
def _without_interruption() -> Iterator[None]:
    """Have a process that is started in the block hold back Ctrl-C, which reaches it as well.

    It takes seconds to import PyTorch before `_serve` can ignore the signal.
    """
    if not hasattr(signal, "pthread_sigmask"):  # not every system has it
        yield
        return

    resource_tracker.ensure_running()  # it would let the signal through, if it started in the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ending(code: int | None) -> str:
    """What ended a process, by its exit code; a negative one is the number of a signal."""
    if code is None or code >= 0:
        return f"its process ended with exit code {code}"
    if code == -signal.SIGKILL:
        return "its process was killed (SIGKILL), as happens when memory is used up"

    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"its process was ended by {name}"


def _serve(connection: Connection, setup: WorkerSetup) -> None:
    """Do the jobs that a connection brings, until it is closed: what a process of the pool runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the terminal
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()

    desk = Desk(setup)
    with suppress(EOFError, OSError):
        while True:
            connection.send(desk.finished(connection.recv()))


def _end_with_parent() -> NoReturn:
    """End this process as soon as the one that started it is gone, in whatever way that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)
