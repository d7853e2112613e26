"""What `bench list` reads from source text agrees with what a run imports."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import pytest

from bench.errors import RequestError
from bench.plugins.catalog import cards, cards_in
from bench.plugins.configured import configure
from bench.registry import ATTACKS, CLASSIFIERS, DEFENSES

REGISTRIES = {"defense": DEFENSES, "attack": ATTACKS, "classifier": CLASSIFIERS}


def test_every_registered_plugin_has_a_card_and_the_other_way_round() -> None:
    listed = {(card.family, card.name) for card in cards()}
    built_in = {
        (family, name)
        for family, registry in REGISTRIES.items()
        for name in registry
        if registry.get(name).__module__.split(".")[0] in ("defenses", "attacks", "classifiers")
    }
    assert listed == built_in


@pytest.mark.parametrize("card", cards(), ids=lambda card: card.name)
def test_a_card_tells_parameters_and_defaults(card) -> None:  # type: ignore[no-untyped-def]
    cls = REGISTRIES[card.family].get(card.name)
    fields = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    assert [name for name, _ in card.parameters] == fields
    assert card.summary == (inspect.getdoc(cls) or "").splitlines()[0]
    parameters = configure(REGISTRIES[card.family], card.name).parameters  # type: ignore[arg-type]
    for name, default in card.parameters:
        written = "none" if parameters[name] is None else parameters[name]
        if "*" in default or "/" in default:
            assert eval(default) == parameters[name]
        else:
            assert str(written) == default


def test_a_third_partys_file_is_read_without_importing_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        'raise SystemExit\n@register_defense("mine")\nclass Mine:\n    """Mine."""\n    x: int = 3\n'
    )
    (card,) = cards_in(path)
    assert (card.family, card.name, card.summary, card.parameters) == (
        "defense",
        "mine",
        "Mine.",
        (("x", "3"),),
    )


@pytest.mark.parametrize(
    ("default", "shown"),
    [
        ("None", "none"),
        ('Spec("fgsm")', "fgsm"),
        ('(Spec("fgsm"),)', "fgsm"),
        ('(Spec("fgsm"), Spec("pgd"))', "[fgsm,pgd]"),
    ],
)
def test_a_default_is_shown_as_one_would_write_it(tmp_path: Path, default: str, shown: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f'@register_defense("mine")\nclass Mine:\n    x: object = {default}\n')
    (card,) = cards_in(path)
    assert card.parameters == (("x", shown),)


def test_two_of_one_name_are_refused(plugins: Path) -> None:
    with pytest.raises(RequestError, match="two plugins are called defense 'my_median'"):
        cards((str(plugins / "my_median.py"), str(plugins / "my_median_twin.py")))


@pytest.mark.parametrize("plugin", ["absent.py", "no_such_module", "no.such.module"])
def test_a_plugin_that_is_not_there_is_refused(plugin: str) -> None:
    with pytest.raises(RequestError, match=plugin):
        cards((plugin,))


def test_a_file_that_is_no_python_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def (")
    with pytest.raises(RequestError, match="not valid Python"):
        cards((str(tmp_path / "bad.py"),))
