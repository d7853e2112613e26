"""Modules beside a plugin file: found, also later, and never those of another plugin."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.errors import RequestError
from bench.plugins.discovery import discover, import_plugin
from bench.registry import DEFENSES

PLUGIN = """
from dataclasses import dataclass
from torch import nn
from bench.contracts import Defense
from bench.registry import register_defense
{top}

@register_defense("{name}")
@dataclass(frozen=True)
class Made(Defense):
    def build(self, data):
        {build}
        return nn.Identity(), helper.VALUE
"""
BUILD = "import helper"
SIBLING = "from . import helper"


def written(folder: Path, name: str, top: str = "", build: str = "pass", **files: str) -> str:
    """A plugin file with other files in its folder, whose helper holds the plugin's name."""
    folder.mkdir(exist_ok=True)
    texts = {"helper": f"VALUE = '{name}'\n", **files}
    for module, text in texts.items():
        (folder / f"{module}.py").write_text(text)
    path = folder / f"{name}.py"
    path.write_text(PLUGIN.format(top=top, name=name, build=build))
    return str(path)


def built(*plugins: str) -> Mapping[str, str]:
    """What the helper of each plugin holds, after all are imported, in a forked process."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        try:
            discover(plugins)
            names = [Path(plugin).stem for plugin in plugins]
            made = {name: DEFENSES.get(name)().build(None)[1] for name in names}  # type: ignore
            sender.send(made)
        except RequestError as error:
            sender.send(error)

    process = context.Process(target=child)
    process.start()
    result = receiver.recv() if receiver.poll(60) else None
    process.join(60)
    if isinstance(result, RequestError):
        raise result
    assert result is not None
    return result  # type: ignore[no-any-return]


@pytest.mark.parametrize(("top", "build"), [(BUILD, "pass"), ("", BUILD), ("", SIBLING)])
def test_a_module_beside_a_plugin_is_found(tmp_path: Path, top: str, build: str) -> None:
    assert built(written(tmp_path / "a", "one", top, build)) == {"one": "one"}


@pytest.mark.parametrize(("top", "build"), [(SIBLING, "pass"), ("", SIBLING)])
def test_siblings_of_two_plugins_are_two_modules(tmp_path: Path, top: str, build: str) -> None:
    plugins = [written(tmp_path / name, name, top, build) for name in ("one", "two")]
    assert built(*plugins) == {"one": "one", "two": "two"}


@pytest.mark.parametrize(("top", "build"), [(BUILD, "pass"), ("", BUILD), ("import tool", BUILD)])
def test_two_modules_of_one_name_are_refused(tmp_path: Path, top: str, build: str) -> None:
    files = {"tool": "def use():\n    import helper\n"}
    plugins = [written(tmp_path / name, name, top, build, **files) for name in ("one", "two")]
    with pytest.raises(RequestError, match=r"and there are two: .* write `from \. import ") as made:
        built(*plugins)
    assert str(tmp_path / "one") in str(made.value)
    assert str(tmp_path / "two") in str(made.value)


def test_a_module_that_two_plugins_share_is_one(tmp_path: Path) -> None:
    plugins = [written(tmp_path / "a", name, BUILD) for name in ("one", "two")]
    assert built(*plugins) == {"one": "two", "two": "two"}  # the second has written the helper


def test_a_folder_hides_neither_the_library_nor_installed_packages(tmp_path: Path) -> None:
    files = dict.fromkeys(("json", "rich", "defenses"), "raise RuntimeError('hidden')\n")
    build = "import json, rich, defenses.median, helper; json.dumps; rich.print"
    assert built(written(tmp_path / "a", "one", "", build, **files)) == {"one": "one"}


def test_a_plugin_file_may_have_a_dot_in_its_name(tmp_path: Path) -> None:
    path = Path(written(tmp_path / "a", "dotted", SIBLING))
    dotted = path.rename(path.with_name("my.dotted.py"))
    name = import_plugin(str(dotted))
    assert import_plugin(str(dotted)) == name
