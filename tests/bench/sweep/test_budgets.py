"""Budgets: numbers and fractions, told apart in tables."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import RequestError
from bench.sweep.config import resolve

FRACTION = 8 / 255


@pytest.mark.parametrize(
    ("content", "options", "read"),
    [
        ({"eps": ["8/255"]}, {}, lambda config: config.eps),
        ({"attack_eps": {"pgd": ["8/255"]}}, {}, lambda config: config.attack_eps["pgd"]),
        ({"only": {"cnn": {"eps": ["8/255"]}}}, {}, lambda config: config.only["cnn"].eps),
        ({}, {"eps": ("8/255",)}, lambda config: config.eps),
        ({}, {"attack_eps": {"pgd": ("8 / 255",)}}, lambda config: config.attack_eps["pgd"]),
    ],
)
def test_a_fraction_is_read_wherever_a_budget_is(
    content: dict[str, Any], options: dict[str, Any], read: Any
) -> None:
    assert read(resolve(content, options, "x")) == (FRACTION,)


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.sampled_from(["", ".", ".0", ".5"]))
def test_a_fraction_is_its_quotient(upper: int, lower: int, decimals: str) -> None:
    config = resolve({"eps": [f"{upper}{decimals}/{lower}"]}, {}, "x")
    assert config.eps == (float(f"{upper}{decimals}") / lower,)


@pytest.mark.parametrize(
    "text",
    [
        *("8/0", "8/0.0", "/255", "8/", "8/255/2", "-8/255", "8/-255", "a/b", "1e3/2", "nan/1"),
        *("inf/1", "9" * 400 + "/1", "1/." + "0" * 400 + "1", "٨/255", "8//255", "/"),
    ],
)
@pytest.mark.parametrize("key", ["--eps", "x: only.cnn.eps.0"])
def test_what_is_no_fraction_is_named(text: str, key: str) -> None:
    content, options = {"only": {"cnn": {"eps": [text]}}}, {}
    if key == "--eps":
        content, options = {}, {"eps": (text,)}
    with pytest.raises(RequestError) as refused:
        resolve(content, options, "x")
    message = str(refused.value)
    assert message.startswith(f"{key} = '{text[:90]}")
    assert message.endswith("write a number, or a fraction of two numbers such as 8/255")


@given(st.floats(0, 1), st.floats(0, 1))
def test_two_budgets_that_print_alike_are_refused(first: float, second: float) -> None:
    content = {"eps": [first, second, first]}
    if f"{first:g}" != f"{second:g}" or first == second:
        assert resolve(content, {}, "x").eps == (first, second, first)
        return
    with pytest.raises(RequestError, match="are both printed as"):
        resolve(content, {}, "x")


@given(st.floats(1e-6, 1), st.integers(1, 10**4))
def test_a_budget_changed_beyond_what_tables_print_is_refused(eps: float, steps: int) -> None:
    near = float(f"{eps:g}") * (1 + steps * 1e-12)
    content = {"attack_eps": {"pgd": [float(f"{eps:g}"), near]}}
    with pytest.raises(RequestError) as refused:
        resolve(content, {}, "x")
    assert f"{float(f'{eps:g}')!r} and {near!r} are both printed as {eps:g}" in str(refused.value)


@pytest.mark.parametrize("name", ["cw", "pdg", "pgd:steps=3", "pgd:norm=l1", "fgsm:x=1"])
def test_a_budget_for_an_attack_that_the_run_lacks_is_refused(name: str) -> None:
    attacks = {"attacks": ("fgsm", "pgd:norm=l2")}
    with pytest.raises(RequestError) as refused:
        resolve({}, {**attacks, "attack_eps": {name: ("0.3",)}}, "x")
    message = str(refused.value)
    assert message.startswith(f"--eps {name}=...: the run has no attack '{name}'")
    assert "(its attacks: fgsm, pgd:norm=l2" in message


def test_the_nearest_attack_is_suggested() -> None:
    with pytest.raises(RequestError, match="did you mean 'pgd'"):
        resolve({"attacks": ["fgsm", "pgd"]}, {"attack_eps": {"pdg": ("0.3",)}}, "x")


def test_a_presets_budgets_may_be_for_attacks_that_the_command_line_left_out() -> None:
    content = {"attacks": ["fgsm", "cw"], "attack_eps": {"cw": [1.0], "fgsm": [0.2]}}
    options = {"attacks": ("fgsm",), "attack_eps": {"fgsm": ("0.1",)}}
    config = resolve(content, options, "x")
    assert config.attack_eps == {"cw": (1.0,), "fgsm": (0.1,)}
