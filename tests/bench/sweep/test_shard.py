"""Shards: their text, and the shares that they have of a grid."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import RequestError
from bench.sweep.config import RunConfig, resolve
from bench.sweep.grid import Grid, labels_of
from bench.sweep.presets import read_preset
from bench.sweep.shard import Shard
from bench.sweep.shares import Unit, share_of, shares
from bench.sweep.static_costs import StaticCosts

COSTS = st.integers(1, 10_000)


@st.composite
def units(draw: st.DrawFn) -> list[Unit]:
    """Units of any sizes and costs, whose cells are numbered."""
    made, first = [], 0
    for name in range(draw(st.integers(1, 12))):
        costs = draw(st.lists(COSTS, min_size=1, max_size=12))
        cells = tuple(range(first, first + len(costs)))
        made.append(Unit(name, draw(st.integers(0, 10_000)), cells, tuple(costs)))
        first += len(costs)

    return made


def loads(made: list[Unit], assigned: list[list[Any]]) -> list[int]:
    """The cost of each share, with what its cells share counted once for each unit."""
    return [
        sum(
            unit.shared_cost + sum(unit.costs[unit.cells.index(cell)] for cell in own)
            for unit in made
            if (own := [cell for cell in unit.cells if cell in share])
        )
        for share in assigned
    ]


@given(units(), st.integers(1, 40))
def test_every_cell_is_in_one_share_and_the_shares_are_balanced(
    made: list[Unit], count: int
) -> None:
    assigned = shares(made, count)
    assert len(assigned) == count
    assert sorted(cell for share in assigned for cell in share) == list(
        range(sum(len(unit.cells) for unit in made))
    )

    ideal = sum(unit.cost for unit in made) / count
    assert max(loads(made, assigned)) <= ideal + max(unit.cost for unit in made)


@given(units(), st.integers(1, 40))
def test_shares_are_empty_only_where_cells_are_fewer_than_shards(
    made: list[Unit], count: int
) -> None:
    cells = sum(len(unit.cells) for unit in made)
    empty = sum(not share for share in shares(made, count))
    assert empty == max(0, count - cells) or len(made) >= count


def test_units_stay_whole_where_that_is_balanced() -> None:
    made = [Unit(name, 50, tuple(range(9 * name, 9 * name + 9)), (1,) * 9) for name in range(8)]
    assert sorted(map(sorted, shares(made, 4))) == sorted(
        sorted(share) for share in shares(made, 4)
    )
    for share in shares(made, 4):
        assert len({cell // 9 for cell in share}) == 2
        assert len(share) == 18


@pytest.fixture(scope="module")
def quick() -> RunConfig:
    given = {"seeds": ["0", "1"], "threats": ["graybox", "whitebox", "adaptive", "noise"]}
    return resolve(read_preset("quick"), given, "quick")


@pytest.mark.parametrize("count", [1, 3, 8, 160])
def test_the_shards_of_a_grid_are_its_cells(quick: RunConfig, count: int) -> None:
    grid = Grid.of(quick)
    whole = [labels_of(cell) for cell in grid.cells()]
    parts = [share_of(grid, quick, Shard(number, count)) for number in range(1, count + 1)]
    found = [[labels_of(cell) for cell in part.cells()] for part in parts]
    assert sorted(labels for part in found for labels in part) == sorted(whole)
    for part in found:
        assert part == [labels for labels in whole if labels in set(part)]  # the grid's order
    assert {len(list(part.whole.cells())) for part in parts} == {len(whole)}
    assert all(part.identities() == grid.identities() for part in parts[:2])


def test_costs_follow_the_parameters(quick: RunConfig) -> None:
    costs = StaticCosts(quick)
    cells = {(c.defense.label, c.attack.label, c.threat.label): c for c in Grid.of(quick).cells()}
    n, checked = quick.n, quick.convergence

    assert costs.cell(cells["none", "fgsm", "noise"]) == n * (2 + 1)
    assert costs.cell(cells["none", "fgsm", "graybox"]) == n * (2 + 3)
    assert costs.cell(cells["none", "pgd", "graybox"]) == n * (2 + 120) + checked * 3 * 120
    assert costs.cell(cells["none", "fgsm", "whitebox"]) == n * (2 + 6)
    passes = 4 * 30 + 1  # restarts, steps; the classifier
    defensegan = costs.cell(cells["defensegan", "fgsm", "whitebox"])
    assert defensegan == n * (passes * quick.draws + 3 * passes)
    adaptive = costs.cell(cells["defensegan", "cascade", "adaptive"])
    assert adaptive > 30 * costs.cell(cells["defensegan", "fgsm", "graybox"])

    classifier = 15 * 10_000 * 3
    assert costs.training(cells["none", "fgsm", "graybox"]) == classifier
    steps = 400 * 64 * 3  # of convae
    assert costs.training(cells["convae", "fgsm", "graybox"]) == classifier + steps


@pytest.mark.parametrize("text", ["1/1", "3/16", "10000/10000"])
def test_a_shard_is_read_back(text: str) -> None:
    assert str(Shard.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0/4", "the numbers 1 to 4"),
        ("5/4", "the numbers 1 to 4"),
        ("1/0", "1 to 10000 shards"),
        ("1/10001", "1 to 10000 shards"),
        *((text, "write NUMBER/COUNT") for text in ("x", "3", "", "1/2/3", "-1/4", "1 / 4", "²/4")),
    ],
)
def test_another_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        Shard.parse(text)
