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
