"""The presets `paper` and `paper-cpu` hold a cell for every figure that the paper prints.

`only` keeps the rest out.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from bench.errors import RequestError
from bench.sweep.cell import Cell
from bench.sweep.config import resolve
from bench.sweep.grid import Grid
from bench.sweep.presets import read_preset

PRESETS = ("paper", "paper-cpu")
FGSM = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0, 1.5)
PGD = (0.05, 0.1, 0.15, 0.2, 0.3)


def cells(name: str, **given: Any) -> list[Cell]:
    return list(Grid.of(resolve(read_preset(name), given, name)).cells())


def places(name: str) -> set[tuple[str, str, str, float]]:
    """Dataset, defense, attack and epsilon of each cell, plugins without parameters."""
    return {(c.dataset, c.defense.name, c.attack.name, c.eps) for c in cells(name)}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_the_undefended_curves_have_every_printed_epsilon_on_both_scales(
    preset: str, dataset: str
) -> None:
    wanted = {("fgsm", eps) for printed in FGSM for eps in (printed, printed / 2) if eps <= 1}
    wanted |= {("pgd", eps) for printed in PGD for eps in (printed, printed / 2)}
    found = {
        (attack, eps)
        for at, defense, attack, eps in places(preset)
        if (at, defense) == (dataset, "none")
    }
    assert found == wanted
    assert len(found) == 13 + 7


@pytest.mark.parametrize("preset", PRESETS)
def test_tables_2_and_3_have_their_cells_on_both_scales(preset: str) -> None:
    found = places(preset)
    for dataset in ("mnist", "fashion_mnist"):
        assert {(dataset, "convae", "fgsm", 0.6), (dataset, "convae", "fgsm", 0.3)} <= found
        assert {(dataset, "convae", "pgd", 0.15), (dataset, "convae", "pgd", 0.075)} <= found
    for defense in ("convae", "puvae", "defensegan"):
        assert {("mnist", defense, "fgsm", 0.6), ("mnist", defense, "fgsm", 0.3)} <= found


def test_a_convae_is_trained_for_each_attack_it_is_tested_on() -> None:
    def trained(preset: str, dataset: str) -> set[tuple[str, float]]:
        return {
            (
                str(cell.defense.parameters["attack"]).partition(":")[0],
                cell.defense.parameters["eps"],
            )
            for cell in cells(preset)
            if (cell.dataset, cell.defense.name) == (dataset, "convae")
        }

    for dataset in ("mnist", "fashion_mnist"):
        assert trained("paper", dataset) == {
            ("fgsm", 0.3),
            ("fgsm", 0.6),
            ("pgd", 0.15),
            ("pgd", 0.075),
        }
        assert trained("paper-cpu", dataset) == {("fgsm", 0.3), ("fgsm", 0.6), ("pgd", 0.15)}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_defensegan_is_the_one_that_comes_with_the_package(preset: str) -> None:
    ours, packaged_folder = (
        next(cell.defense for cell in cells(name) if cell.defense.name == "defensegan")
        for name in (preset, "mnist")
    )
    assert ours.training_identity == packaged_folder.training_identity


@pytest.mark.parametrize(
    ("preset", "count", "projections"),
    [("paper", 2 * 20 * 6 + 6, 6), ("paper-cpu", 2 * 20 * 4 + 13 + 5, 5)],
)
def test_the_costly_cells_are_few(preset: str, count: int, projections: int) -> None:
    found = Counter(cell.defense.name for cell in cells(preset))
    assert found.total() == count
    assert found["defensegan"] == projections
    assert {cell.threat.label for cell in cells(preset)} == {"graybox"}


def only(**parts: Any) -> dict[str, Any]:
    content = {"datasets": ["digits", "mnist"], "defenses": ["none", "median", "median:size=5"]}
    return {**content, "attacks": ["fgsm", "pgd:steps=5"], "eps": [0.1, 0.2], "only": parts}


def kept(content: dict[str, Any], **given: Any) -> Counter[str]:
    return Counter(cell.defense.label for cell in Grid.of(resolve(content, given, "x")).cells())


def test_only_restricts_a_plugin_and_a_whole_spec_goes_before_its_name() -> None:
    assert kept(only()) == {"none": 8, "median": 8, "median:size=5": 8}
    assert kept(only(median={"eps": [0.2]})) == {"none": 8, "median": 4, "median:size=5": 4}
    both = only(
        **{
            "median": {"datasets": ["mnist"], "attacks": ["pgd"]},
            "median:size=5": {"attacks": ["fgsm"]},
        }
    )
    assert kept(both) == {"none": 8, "median": 2, "median:size=5": 4}
    assert kept(only(cnn={"datasets": ["digits"]})) == {"none": 4, "median": 4, "median:size=5": 4}


def test_an_axis_from_the_command_line_is_not_restricted() -> None:
    content = only(median={"eps": [0.2], "datasets": ["mnist"]})
    assert kept(content, eps=("0.3",)) == {"none": 4, "median": 2, "median:size=5": 2}
    assert kept(content, datasets=("digits",), eps=("0.3",)) == {
        "none": 2,
        "median": 2,
        "median:size=5": 2,
    }
    assert (
        kept(content, datasets=("digits",), attacks=("fgsm",), attack_eps={"fgsm": ("0.3",)})[
            "median"
        ]
        == 1
    )


def test_a_grid_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(RequestError, match=r"nothing is left of the grid: \[only\] .*median"):
        kept(only(median={"eps": [0.3]}), defenses=("median",))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"medain": {}}, r"unknown classifier or defense under \[only\]: 'medain'"),
        ({"median": {"datasets": ["mnits"]}}, "unknown dataset 'mnits'"),
        ({"median": {"attacks": ["fgms"]}}, r"unknown attack under \[only\]: 'fgms'"),
        ({"median": {"threats": ["bpda"]}}, r"x: only\.median\.threats"),
        ({"median": 3}, r"x: only\.median = 3"),
    ],
)
def test_what_is_wrong_in_only_is_named(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Grid.of(resolve(only(**parts), {}, "x"))
