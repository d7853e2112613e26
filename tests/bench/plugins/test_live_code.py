"""Tests of the digest of live objects: equal where nothing changed, another where something did."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.plugins.live_code import live_digest

START = """
import torch
from torch import nn

SCALE = 2.0

def helper(images):
    return images * SCALE

class Net(nn.Module):
    limit = 1.0
    def __init__(self, sigma=0.1, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Linear(3, 3)
        self.sigma = sigma
        self.options = {"steps": [1, 2], "name": "x"}
    def forward(self, images):
        inner = lambda values: values + 1
        return self.layer(inner(helper(images))).clamp(0, self.limit)

subject = Net()
"""


def made(program: str) -> Any:
    """The object `subject` that a program without a file makes, as a notebook's cell does."""
    names: dict[str, Any] = {"__name__": "__notebook__"}
    exec(program, names)
    return names["subject"]


def test_the_same_program_gives_the_same_digest() -> None:
    assert live_digest(made(START)) == live_digest(made(START))
    assert live_digest(made("\n\n# a comment\n" + START)) == live_digest(made(START))
    assert live_digest(made(START).train()) == live_digest(made(START).eval())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("SCALE = 2.0", "SCALE = 3.0"),
        ("images * SCALE", "images / SCALE"),
        ("limit = 1.0", "limit = 0.5"),
        ("values + 1", "values + 2"),
        ("sigma=0.1", "sigma=0.2"),
        ("seed=0", "seed=1"),
        ("[1, 2]", "[1, 3]"),
        ("nn.Linear(3, 3)", "nn.Sequential(nn.Linear(3, 3))"),
        ("nn.Linear(3, 3)", "nn.Linear(3, 3, bias=False)"),
        (".clamp(0, self.limit)", ".clamp(0)"),
        ("class Net(nn.Module)", "class Base(nn.Module):\n    pass\n\nclass Net(Base)"),
    ],
)
def test_any_change_gives_another_digest(before: str, after: str) -> None:
    assert before in START
    assert live_digest(made(START)) != live_digest(made(START.replace(before, after)))


def changed(change: Callable[[nn.Module], Any]) -> nn.Module:
    module: nn.Module = made(START)
    change(module)
    return module


@pytest.mark.parametrize(
    "change",
    [
        lambda module: module.layer.weight.data.add_(1e-3),
        lambda module: setattr(module, "mask", torch.ones(3)),
        lambda module: module.register_buffer("mean", torch.zeros(3)),
        lambda module: module.register_forward_hook(lambda *_: None),
        lambda module: setattr(module, "array", np.ones(3)),
        lambda module: setattr(module, "extra", lambda images: images),
    ],
)
def test_a_change_of_an_object_gives_another_digest(change: Callable[[nn.Module], Any]) -> None:
    assert live_digest(changed(change)) != live_digest(made(START))


def test_what_functions_hold_counts() -> None:
    def scaled(factor: float) -> Callable[[float], float]:
        return lambda value: factor * value

    def total(*values: float, start: float = 0) -> float:
        return sum(values, start)

    assert live_digest(scaled(2)) == live_digest(scaled(2))
    assert live_digest(scaled(2)) != live_digest(scaled(3))
    first, second = (functools.partial(total, start=start) for start in (1, 2))
    assert live_digest(first) != live_digest(second)
    assert live_digest(first) == live_digest(functools.partial(total, start=1))


def test_what_cannot_be_looked_into_equals_nothing() -> None:
    generator = (number for number in range(3))
    assert live_digest(generator) != live_digest(generator)
    looped: list[Any] = []
    looped.append(looped)
    assert live_digest(looped) == live_digest(looped)
