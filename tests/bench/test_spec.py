"""Specs parse, print and round-trip."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import RequestError
from bench.spec import Spec, split_list

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
plain = st.text(st.characters(codec="utf-8", exclude_characters="[]"), max_size=12)
nested = st.recursive(
    plain, lambda inner: st.builds(lambda a, b: f"{a}[{b}]", plain, inner), max_leaves=3
)
specs = st.builds(
    lambda name, parameters: Spec(name, tuple(parameters.items())),
    names,
    st.dictionaries(names, nested, max_size=4),
)


@given(specs)
def test_what_is_printed_parses_to_the_same(spec: Spec) -> None:
    assert Spec.parse(str(spec)) == spec


@given(specs, names)
def test_a_spec_can_be_a_parameter_of_a_spec(inner: Spec, name: str) -> None:
    outer = Spec(name, (("attack", str(inner)),))
    assert Spec.parse(dict(Spec.parse(str(outer)).parameters)["attack"]) == inner


@given(st.lists(specs, min_size=1, max_size=4))
def test_a_list_splits_into_its_specs(several: list[Spec]) -> None:
    stripped = [Spec.parse(str(spec).strip()) for spec in several]
    assert [Spec.parse(text) for text in split_list(",".join(map(str, stripped)))] == stripped


def test_parameters_keep_their_order() -> None:
    assert Spec.parse("defensegan:restarts=4:steps=100") == Spec(
        "defensegan", (("restarts", "4"), ("steps", "100"))
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "a:",
        "a:b",
        "a:=1",
        "1a",
        "a b",
        "a:b=1:b=2",
        "a:b=[c",
        "a:b=c]",
        "a:b=[c]d[e]",
        "a:b=c=d",
    ],
)
def test_malformed_specs_are_refused(text: str) -> None:
    with pytest.raises(RequestError):
        Spec.parse(text)


@pytest.mark.parametrize("text", ["", ",", "a,,b", "a,", "a,[b"])
def test_malformed_lists_are_refused(text: str) -> None:
    with pytest.raises(RequestError):
        split_list(text)
