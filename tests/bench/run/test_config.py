"""Presets, files and options resolve to one checked configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import RequestError
from bench.run.config import read_file, resolve
from bench.run.grid import Grid
from bench.run.presets import preset_names, read_preset


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_sound_grid(name: str) -> None:
    grid = Grid.of(resolve(read_preset(name), {}, name))
    assert len(list(grid.cells())) > 0


def test_options_replace_what_the_preset_says() -> None:
    config = resolve(
        {"n": 5, "attack_eps": {"fgsm": [0.1]}, "eps": [0.3]}, {"n": "7", "defenses": None}, "x"
    )
    assert config.n == 7
    assert (config.eps_of("fgsm", "fgsm"), config.eps_of("pgd", "pgd")) == ((0.1,), (0.3,))
    assert resolve({"attack_eps": {"fgsm": [0.1]}}, {"eps": ("0.2",)}, "x").eps_of(
        "fgsm", "fgsm"
    ) == (0.2,)


def test_the_budgets_of_a_spec_go_before_those_of_its_name() -> None:
    config = resolve({"eps": [0.3], "attack_eps": {"pgd": [0.1], "pgd:norm=l2": [2.0]}}, {}, "x")
    assert config.eps_of("pgd:norm=l2", "pgd") == (2.0,)
    assert config.eps_of("pgd:steps=7", "pgd") == (0.1,)


@pytest.mark.parametrize("attack", ["fgsm", "spatial"])
def test_a_budget_beyond_its_range_is_refused(attack: str) -> None:
    config = resolve({"attacks": [attack], "eps": [0.1, 2]}, {}, "x")
    with pytest.raises(RequestError, match=rf"--eps 2: attack '{attack}' takes at most 1"):
        Grid.of(config)


def test_a_budget_in_another_norm_may_exceed_one() -> None:
    Grid.of(resolve({"attacks": ["cw", "pgd:norm=l2"], "eps": [2.5]}, {}, "x"))


@pytest.mark.parametrize(
    ("content", "given", "message"),
    [
        ({"defences": ["none"]}, {}, "x: defences: there is no such key; did you mean 'defenses'"),
        ({"latency": {"calls": 3}}, {}, r"x: latency\.calls: there is no such key"),
        ({"eps": [0.1, -2]}, {}, r"x: eps\.1 = -2: input should be greater than or equal to 0"),
        ({"n": 0}, {}, "x: n = 0: input should be greater than or equal to 1"),
        ({"datasets": []}, {}, "x: datasets"),
        ({"attack_eps": {"fgsm": []}}, {}, r"x: attack_eps\.fgsm"),
        ({}, {"n": "many"}, "--n = 'many': input should be a valid integer"),
        ({}, {"batch_size": "0"}, "--batch-size = '0'"),
        ({}, {"seeds": ("-1",)}, "--seeds = '-1'"),
        ({}, {"eps": ("nan",)}, "--eps = 'nan'"),
    ],
)
def test_what_is_wrong_is_named(
    content: dict[str, object], given: dict[str, object], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        resolve(content, given, "x")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"parameters": {"convea": {"steps": 1}}},
            r"plugin under \[parameters\].*did you mean 'convae'",
        ),
        (
            {"attack_eps": {"fgms": [0.1]}},
            r"attack in the budgets \(--eps NAME.*did you mean 'fgsm'",
        ),
        ({"parameters": {"convae": {"stesp": 1}}}, "did you mean 'steps'"),
        ({"threats": ["greybox"]}, "did you mean 'graybox'"),
    ],
)
def test_names_inside_tables_are_checked(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Grid.of(resolve(parameters, {}, "x"))


def test_a_file_must_be_there_and_toml(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="No such file"):
        read_file(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("n = = 3")
    with pytest.raises(RequestError, match="is not valid TOML"):
        read_file(tmp_path / "bad.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RequestError, match="is not valid TOML"):
        read_file(tmp_path / "binary.toml")


def test_what_is_listed_twice_counts_once() -> None:
    config = resolve(
        {"defenses": ["none", "none"], "attacks": ["fgsm"], "eps": [0.1, 0.1], "seeds": [0, 0]},
        {},
        "x",
    )
    assert len(list(Grid.of(config).cells())) == 1


def test_cells_are_the_product_of_the_axes() -> None:
    config = resolve(
        {
            "defenses": ["none", "convae"],
            "attacks": ["fgsm", "pgd"],
            "attack_eps": {"pgd": [0.1]},
            "eps": [0.1, 0.2],
        },
        {"seeds": ("0", "1")},
        "x",
    )
    cells = list(Grid.of(config).cells())
    assert len(cells) == len({str(cell) for cell in cells}) == 2 * (2 + 1) * 2


def test_a_cells_key_is_of_what_changes_its_outcome() -> None:
    grid = Grid.of(resolve({"attacks": ["pgd"], "eps": [0.1, 0.2]}, {"seeds": ("0", "1")}, "x"))
    cells = list(grid.cells())
    protocol = {"batch_size": 10, "draws": 1}
    assert len({cell.key("data", protocol) for cell in cells}) == len(cells)
    assert cells[0].key("data", protocol) == cells[0].key("data", dict(protocol))
    others = [
        ("atad", protocol),
        ("data", {**protocol, "batch_size": 20}),
        ("data", {**protocol, "draws": 2}),
    ]
    assert len({cells[0].key(*what) for what in [("data", protocol), *others]}) == 4
    threats = Grid.of(
        resolve(
            {"threats": ["whitebox", "whitebox:eot=3"], "attacks": ["pgd"], "eps": [0.1]}, {}, "x"
        )
    )
    assert len({cell.key("data", protocol) for cell in threats.cells()}) == 2 * len(
        threats.defenses
    )


def test_twice_the_steps_is_the_same_attack_otherwise() -> None:
    grid = Grid.of(
        resolve({"attacks": ["fgsm", "pgd:steps=7:rel_stepsize=0.25"], "eps": [0.1]}, {}, "x")
    )
    fgsm, pgd = list(grid.cells())[:2]
    assert fgsm.with_doubled_steps() is None
    longer = pgd.with_doubled_steps()
    assert longer is not None
    assert longer.attack.parameters == {**pgd.attack.parameters, "steps": 14}
