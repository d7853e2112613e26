"""A registry of one's own: names, duplicates, suggestions."""

from __future__ import annotations

import pytest

from bench.errors import RequestError
from bench.registry import Registry


class Thing:
    pass


@pytest.fixture
def things() -> Registry[Thing]:
    registry: Registry[Thing] = Registry("thing")
    registry.register("first")(Thing)
    return registry


def test_a_registered_class_is_found(things: Registry[Thing]) -> None:
    assert things.get("first") is Thing
    assert "first" in things
    assert list(things) == ["first"]
    assert len(things) == 1


def test_an_unknown_name_suggests_the_nearest(things: Registry[Thing]) -> None:
    with pytest.raises(RequestError, match=r"unknown thing 'frist' .*did you mean 'first'"):
        things.get("frist")


def test_two_of_one_name_are_refused_and_both_are_named(things: Registry[Thing]) -> None:
    with pytest.raises(RequestError, match=r"two plugins are called thing 'first'.*test_registry"):
        things.register("first")(Thing)


@pytest.mark.parametrize("name", ["", "a b", "../up", "a:b", "1st", "a\n", "é", "[a]", 7])
def test_a_name_that_no_spec_can_begin_with_is_refused(things: Registry[Thing], name: str) -> None:
    with pytest.raises(RequestError, match="cannot be the name of a thing"):
        things.register(name)(Thing)
    assert list(things) == ["first"]
