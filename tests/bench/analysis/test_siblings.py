"""Cells of a pipeline are found by their labels, as a look at all of them finds them."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from bench.analysis.siblings import Siblings

LABELS = [
    {"attack": attack, "threat": threat, "eps": eps}
    for attack, threat, eps in itertools.product("ab", "xy", (0.1, 0.2, 0.3))
]


def cell(labels: dict[str, Any], digest: str = "d") -> Any:
    return SimpleNamespace(record=SimpleNamespace(labels=labels, networks={"defense": digest}))


@pytest.mark.parametrize("axes", [("eps",), ("attack", "threat"), ("threat", "eps")])
def test_a_look_at_all_cells_finds_the_same(axes: tuple[str, ...]) -> None:
    cells = [cell(labels) for labels in LABELS]
    siblings = Siblings(cells)
    assert list(siblings) == cells

    for one in cells:
        found = [
            other
            for other in cells
            if all(other.record.labels[axis] == one.record.labels[axis] for axis in axes)
        ]
        assert list(siblings.like(one, *axes)) == found


def test_the_networks_of_a_role_are_told_apart() -> None:
    siblings = Siblings([cell(LABELS[0], "one"), cell(LABELS[1], "two"), cell(LABELS[2], "one")])
    assert siblings.digests("defense") == {"one", "two"}
    assert siblings.digests("substitute") == frozenset()
