"""Which code has changed between two runs of the same request."""

from __future__ import annotations

from typing import Any

import pytest

from bench.records.changes import changed_code

HELPER = ["tool.py", "1" * 64]


def configuration(label: str = "mine", n: int = 10, **identity: Any) -> dict[str, Any]:
    plugin = {"name": "mine", "version": 1, "parameters": {}, "files": {}, **identity}
    return {"n": n, "plugins": {"format": 2, "defenses": {label: plugin}, "attacks": {}}}


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ({"source": "1"}, {"source": "2"}, "its file"),
        ({"code": [HELPER]}, {"code": [["tool.py", "2"]]}, "tool.py"),
        ({}, {"code": [HELPER]}, "tool.py"),
        ({"code": [HELPER, ["b.py", "1"]]}, {"code": [HELPER]}, "b.py"),
        ({"distributions": [["kit", "1", "d"]]}, {"distributions": [["kit", "2", "e"]]}, "kit"),
        ({"files": ["1"]}, {"files": ["2"]}, "a file that it declares"),
        ({"files": {"a": "1"}}, {"files": ["1"]}, "a file that it declares"),
        ({}, {"observed": {"digits": {"built": "1"}}}, "a file that it loads"),
        ({"version": 1}, {"version": 2}, "its version"),
    ],
)
def test_each_part_of_the_code_is_named(
    before: dict[str, Any], after: dict[str, Any], changed: str
) -> None:
    assert changed_code(configuration(**before), configuration(**after)) == [
        f"defense mine ({changed})"
    ]


def test_a_plugin_in_a_parameter_is_named_by_the_one_that_has_it() -> None:
    inner = {"name": "inner", "version": 1, "parameters": {}, "source": "1"}
    for wrap in (lambda value: value, lambda value: [value, value]):
        before, after = (
            configuration(parameters={"attack": wrap({**inner, "source": digest})})
            for digest in "12"
        )
        assert changed_code(before, after) == ["defense mine (its file)"]


@pytest.mark.parametrize(
    "other",
    [
        configuration(n=20, source="2"),
        configuration(parameters={"radius": 1}, source="2"),
        configuration("another", source="2"),
        {"n": 10},
    ],
)
def test_a_different_request_is_no_change_of_code(other: dict[str, Any]) -> None:
    assert changed_code(configuration(source="1"), other) == []
    assert changed_code(other, configuration(source="1")) == []


def test_the_same_run_has_no_changes() -> None:
    assert changed_code(configuration(source="1"), configuration(source="1")) == []


@pytest.mark.parametrize("odd", [5, [5], [[]], [["tool.py", []]], {"tool.py": 1}, "tool.py", None])
@pytest.mark.parametrize("part", ["code", "distributions"])
def test_odd_code_in_a_stored_configuration_is_a_change(part: str, odd: Any) -> None:
    before, after = configuration(**{part: odd}), configuration(**{part: [HELPER]})
    assert changed_code(before, after) == ["defense mine (tool.py)"]
