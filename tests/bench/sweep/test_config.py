"""Presets, files and options resolve to one checked configuration."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench.errors import RequestError
from bench.sweep.config import read_file, resolve
from bench.sweep.config_checks import check_names
from bench.sweep.grid import Grid
from bench.sweep.presets import preset_names, read_preset


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
        (
            {"latency": {"rownds": 3}},
            {},
            r"x: latency\.rownds: there is no such key; did you mean 'rounds'",
        ),
        ({"only": {"cnn": {"attack": []}}}, {}, "there is no such key; did you mean 'attacks'"),
        ({"eps": 0.1}, {}, r"x: eps = 0\.1: input should be a list"),
        ({"n": 2**63}, {}, "x: n = 9223372036854775808: input should be less than"),
        ({"attack_eps": {"pgd": [-1]}}, {"attack_eps": {"fgsm": ("1",)}}, r"x: attack_eps\.pgd"),
        ({"attack_eps": {"pgd": [1]}}, {"attack_eps": {"fgsm": ("y",)}}, "--eps = 'y'"),
        ({}, {"latency": {"rounds": "0"}}, "--rounds = '0'"),
        ({"latency": {"rounds": 0}}, {"latency": {"warmup": "1"}}, r"x: latency\.rounds = 0"),
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
            r"attack under \[attack_eps\]: 'fgms'.*did you mean 'fgsm'",
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
    with pytest.raises(RequestError, match="it is not UTF-8"):
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


LONG = 200_000
HOSTILE = {
    "key of many parts": ".".join("a" * (LONG // 2)) + " = 1",
    "key of many parts with spaces": "a ." * (LONG // 3) + "a = 1",
    "key of many quoted parts": '"a".' * (LONG // 4) + "b = 1",
    "key of many lines": "\n".join(".".join(["a"] * 30 + [f"k{i}"]) + " = 1" for i in range(2500)),
    "long key": "a" * LONG + " = 1",
    "word": "a" * LONG,
    "quotes": '"' * LONG,
    "dots": "." * LONG,
    "spaces in a key": "a" + " " * LONG + ".b = 1",
    "nested lists": "defenses = " + "[" * LONG,
    "deep list": "defenses = " + "[" * 300 + "]" * 300,
    "nested tables": "x = " + "{a=" * (LONG // 3),
    "many tables": "[[a]]\n" * (LONG // 6),
    "long integer": "n = " + "9" * LONG,
    "long hexadecimal integer": "n = 0x" + "f" * LONG,
    "long hexadecimal budget": "eps = [0x" + "f" * LONG + "]",
    "long number": "eps = [" + "9" * LONG + ".0]",
    "long fraction": 'eps = ["' + "1" * LONG + '/1"]',
    "slashes": 'eps = ["' + "/" * LONG + '"]',
    "long name": 'defenses = ["' + "a" * LONG + '"]',
    "long spec": 'defenses = ["none:' + "a" * LONG + '"]',
    "long data set": 'datasets = ["' + "a b " * (LONG // 4) + '"]',
    "long attack of budgets": '[attack_eps]\n"' + "a" * LONG + '" = [0.1]',
    "long restriction": '[only."' + "a" * LONG + '"]',
    "long parameters": "[parameters." + "a" * LONG + "]",
    "date": "n = 2020-01-01",
    "escape codes in a key": '"\\u001b]0;title\\u0007" = 1',
    "escape codes in a name": 'datasets = ["\\u001b[31mdigits\\u202e"]',
    "line break in a name": 'attacks = ["fgsm\\nerror: no"]',
    "line break in an attack of budgets": '[attack_eps]\n"fgsm\\nx" = [0.1]',
    "not a number": "eps = [nan]",
    "table for a list": "[eps]\na = 1",
    "unfinished text": 'x = """' + "a\n" * (LONG // 2),
    "large file": "#" * (LONG * 2),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_in_one_short_line_within_a_second(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "x.toml"
    path.write_text(HOSTILE[kind])
    start = time.process_time()
    with pytest.raises(RequestError) as refused:
        check_names(resolve(read_file(path), {}, "x.toml"))
    assert time.process_time() - start < 1
    message = str(refused.value)
    assert message.isprintable()
    assert len(message) < 500 + len(str(path))


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "link to a device"])
def test_a_configuration_is_a_regular_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(RequestError, match=f"--config {path}: it is a .*, not a regular file"):
        read_file(path)
