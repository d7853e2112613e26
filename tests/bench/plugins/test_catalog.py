"""The catalog that `bench list` reads from source text agrees with the registries of a run."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import pytest

from bench.errors import RequestError
from bench.plugins.catalog import list_plugins
from bench.plugins.packages import PACKAGES
from bench.plugins.parameters import json_value
from bench.plugins.source import PluginInfo, plugins_in
from bench.registry import REGISTRIES


def test_the_catalog_lists_exactly_the_registered_plugins() -> None:
    listed = {(info.family, info.name) for info in list_plugins()}
    built_in = {
        (family, name)
        for family, registry in REGISTRIES.items()
        for name in registry
        if registry.get(name).__module__.rpartition(".")[0] in PACKAGES.values()
    }
    assert listed == built_in


def as_in_a_spec(value: object) -> str:
    """A value as a spec writes it: lists without spaces, those of one item without brackets."""
    if isinstance(value, list):
        items = ",".join(map(str, value))
        return items if len(value) == 1 else f"[{items}]"

    return "none" if value is None else str(value)


@pytest.mark.parametrize("info", list_plugins(), ids=lambda info: info.name)
def test_summary_parameters_and_defaults_are_those_of_the_class(info: PluginInfo) -> None:
    cls = REGISTRIES[info.family].get(info.name)
    fields = [field.name for field in dataclasses.fields(cls)]
    assert [name for name, _ in info.parameters] == fields
    assert info.summary == (inspect.getdoc(cls) or "").splitlines()[0]
    defaults = {
        field.name: "" if field.default is dataclasses.MISSING else json_value(field.default)
        for field in dataclasses.fields(cls)
    }
    for name, default in info.parameters:
        if "*" in default or "/" in default:
            assert eval(default) == defaults[name]
        else:
            assert as_in_a_spec(defaults[name]) == default


def test_a_third_partys_file_is_read_without_importing_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "raise SystemExit\n"
        '@register_defense("mine")\nclass Mine:\n    """Mine."""\n    x: int = 3\n'
    )
    (info,) = plugins_in(path)
    assert (info.family, info.name, info.summary, info.parameters) == (
        "defense",
        "mine",
        "Mine.",
        (("x", "3"),),
    )


def test_parameters_of_a_base_in_an_underscore_module_come_first(tmp_path: Path) -> None:
    (tmp_path / "_base.py").write_text(
        "class Bare:\n    width: int\n"
        "@dataclass\nclass Root(Bare):\n    steps: int\n    kind: ClassVar[str] = 'x'\n"
        "@dataclasses.dataclass(frozen=True)\nclass Base(Root):\n    keep: str | None = None\n"
    )
    path = tmp_path / "mine.py"
    path.write_text(
        'from mine._base import Base\n@register_attack("mine")\nclass Mine(Base):\n'
        "    norm: str = 'l2'\n    steps: int = 3\n"
    )
    (info,) = plugins_in(path)
    assert info.parameters == (("steps", "3"), ("keep", "none"), ("norm", "l2"))


@pytest.mark.parametrize(
    ("default", "shown"),
    [
        ("None", "none"),
        ('Spec("fgsm")', "fgsm"),
        ('Spec.parse("pgd:steps=3")', "pgd:steps=3"),
        ('(Spec("fgsm"),)', "fgsm"),
        ('(Spec("fgsm"), Spec("pgd"))', "[fgsm,pgd]"),
    ],
)
def test_a_default_is_shown_as_one_would_write_it(tmp_path: Path, default: str, shown: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f'@register_defense("mine")\nclass Mine:\n    x: object = {default}\n')
    (info,) = plugins_in(path)
    assert info.parameters == (("x", shown),)


def test_two_of_one_name_are_refused(plugins: Path) -> None:
    with pytest.raises(RequestError, match="two plugins are called defense 'my_median'"):
        list_plugins((str(plugins / "my_median.py"), str(plugins / "my_median_twin.py")))


@pytest.mark.parametrize("plugin", ["absent.py", "no_such_module", "no.such.module"])
def test_a_plugin_that_is_not_there_is_refused(plugin: str) -> None:
    with pytest.raises(RequestError, match=plugin):
        list_plugins((plugin,))


def test_a_file_that_is_no_python_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def (")
    with pytest.raises(RequestError, match="not valid Python"):
        list_plugins((str(tmp_path / "bad.py"),))
