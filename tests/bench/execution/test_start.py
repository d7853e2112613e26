"""Workers that start with their first job."""

from __future__ import annotations

import pytest

from bench.errors import RequestError
from bench.execution.jobs import Finished, Job
from bench.execution.start import StartedWhenNeeded

JOB = Job("key", "network", "title", b"")


class Three:
    """Three workers that note what they are asked for."""

    slots = 3

    def __init__(self) -> None:
        self.calls: list[str] = []

    def submit(self, job: Job) -> None:
        self.calls.append(f"submit {job.key}")

    def finished(self) -> list[Finished]:
        return [Finished("key", "made", "digest")]

    def close(self) -> None:
        self.calls.append("close")


def test_nothing_starts_without_a_job() -> None:
    workers = StartedWhenNeeded(lambda: pytest.fail("they were started"))
    assert workers.slots == 1
    workers.close()


def test_the_first_job_starts_them_once() -> None:
    started: list[Three] = []

    def start() -> Three:
        started.append(Three())
        return started[-1]

    workers = StartedWhenNeeded(start)
    workers.submit(JOB)
    workers.submit(JOB)
    assert (workers.slots, workers.finished()) == (3, [Finished("key", "made", "digest")])
    workers.close()
    assert [each.calls for each in started] == [["submit key", "submit key", "close"]]


def test_a_failed_start_is_that_of_the_job() -> None:
    def fail() -> Three:
        raise RequestError("no cluster")

    workers = StartedWhenNeeded(fail)
    with pytest.raises(RequestError, match="no cluster"):
        workers.submit(JOB)
    workers.close()
