import pytest

from bench.errors import RequestError
from bench.execution.specs import LocalSpec, RaySpec, parse_executor


def test_executor_parses_with_its_parameters() -> None:
    assert parse_executor("local") == LocalSpec()
    assert parse_executor("local:processes=2:threads=1") == LocalSpec(2, 1)
    expected = RaySpec(address="head:6379", cpus=2, gpu=0.25)
    assert parse_executor("ray:address=head:6379:cpus=2:gpu=0.25") == expected


def test_alone_nothing_is_said_of_threads_and_processes_share_them() -> None:
    assert parse_executor("local").task_threads is None
    assert parse_executor("local:processes=1000").task_threads == 1
    assert parse_executor("local:processes=4:threads=3").task_threads == 3


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("locl", "did you mean 'local'"),
        ("local:proceses=2", "did you mean 'processes'"),
        ("local:processes=0", "a whole number from 1"),
        ("local:processes=2.5", "a whole number from 1"),
        ("ray:gpu=2", "at most 1"),
        ("ray:gpu=nan", "at most 1"),
        ("local:", "not PARAMETER=VALUE"),
    ],
)
def test_wrong_executor_is_a_request_error(text: str, part: str) -> None:
    with pytest.raises(RequestError, match=part):
        parse_executor(text)
