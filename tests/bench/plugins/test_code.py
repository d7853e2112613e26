"""The code of a plugin: an edit of anything that it consists of makes it another plugin.

Every case imports its plugin in a process of its own, as two calls of the command line do.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from bench.plugins.configured import configure
from bench.plugins.discovery import discover
from bench.registry import DEFENSES

PLUGIN = """
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from torch import nn

from bench.contracts import DataInfo, Defense
from bench.registry import register_defense
{imports}

@register_defense("edited")
@dataclass(frozen=True)
class Edited({base}):
    \"\"\"A defense in several files.\"\"\"

    def build(self, data: DataInfo) -> nn.Module:
        {build}
        return nn.Identity()
"""


def identity_of(*plugins: str, site: Path | None = None) -> dict[str, Any]:
    """The identity of the plugin `edited`, imported in a forked process after the others."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        sys.path[:0] = [str(site)] if site else []
        discover(plugins)
        sender.send(json.dumps(configure(DEFENSES, "edited").identity))

    process = context.Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    identity: dict[str, Any] = json.loads(receiver.recv())
    return identity


def written(
    folder: Path,
    imports: str = "",
    base: str = "Defense",
    build: str = "pass",
    files: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """A plugin file, and other files below its folder by their names."""
    texts = {"plugin.py": PLUGIN.format(imports=imports, base=base, build=build), **files}
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return folder / "plugin.py"


BASE = "from bench.contracts import Defense\nclass Base(Defense):\n    level = 1\n"
RUN = 'import runpy; runpy.run_path(Path(__file__).with_name("tool.py"))'
READ = 'A = Path(__file__).with_name("a.txt").read_text()'
TOOL = {"tool.py": "A = 1\n"}
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "its own file": ({"build": "1"}, "plugin.py"),
    "a module": ({"imports": "import tool", "files": TOOL}, "tool.py"),
    "a module from a module": (
        {"imports": "import tool", "files": {"tool.py": "import inner\n", "inner.py": "A = 1\n"}},
        "inner.py",
    ),
    "a name from a package": (
        {"imports": "from kit.part import A", "files": {"kit/part.py": "A = 1\n"}},
        "kit/part.py",
    ),
    "a module from a package": (
        {"imports": "from kit import part", "files": {"kit/part.py": "A = 1\n"}},
        "kit/part.py",
    ),
    "a package that a module lies in": (
        {"imports": "import kit.part", "files": {"kit/__init__.py": "A = 1\n", "kit/part.py": ""}},
        "kit/__init__.py",
    ),
    "a relative import": (
        {
            "imports": "import kit",
            "files": {"kit/__init__.py": "from . import part\n", "kit/part.py": "A = 1\n"},
        },
        "kit/part.py",
    ),
    "a base class": (
        {"imports": "import bases", "base": "bases.Base", "files": {"bases.py": BASE}},
        "bases.py",
    ),
    "a base class of a base class": (
        {
            "imports": "from second import Second",
            "base": "Second",
            "files": {
                "bases.py": BASE,
                "second.py": "import bases\nclass Second(bases.Base):\n    pass\n",
            },
        },
        "bases.py",
    ),
    "an import in a function": ({"build": "import tool", "files": TOOL}, "tool.py"),
    "an import by a name in a call": ({"build": 'import_module("tool")', "files": TOOL}, "tool.py"),
    "an import by a computed name": (
        {"imports": 'import_module("to" + "ol")', "files": TOOL},
        "tool.py",
    ),
    "a sibling": ({"imports": "from . import tool", "files": TOOL}, "tool.py"),
    "a name from a sibling": ({"imports": "from .tool import A", "files": TOOL}, "tool.py"),
    "a sibling that a function imports": (
        {"build": "from . import tool", "files": TOOL},
        "tool.py",
    ),
    "a sibling of a sibling": (
        {
            "build": "from .tool import inner",
            "files": {"tool.py": "from . import inner\n", "inner.py": "A = 1\n"},
        },
        "inner.py",
    ),
    "a base class of a sibling": (
        {"imports": "from . import bases", "base": "bases.Base", "files": {"bases.py": BASE}},
        "bases.py",
    ),
    "a module that is run": ({"imports": RUN, "files": TOOL}, "tool.py"),
    "data that is read at import": ({"imports": READ, "files": {"a.txt": "1\n"}}, "a.txt"),
    "data that a module reads at import": (
        {
            "imports": "import tool",
            "files": {"tool.py": f"from pathlib import Path\n{READ}\n", "a.txt": "1\n"},
        },
        "a.txt",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_of_any_part_makes_another_plugin(tmp_path: Path, kind: str) -> None:
    files, edited = KINDS[kind]
    plugin = written(tmp_path / "here", **files)
    first = identity_of(str(plugin))
    assert identity_of(str(plugin)) == first

    path = plugin.parent / edited
    path.write_text(path.read_text().replace("1", "2") + "\n")
    second = identity_of(str(plugin))
    assert second != first

    elsewhere = written(tmp_path / "elsewhere", **files)
    assert identity_of(str(elsewhere)) == first, "the folder counts"


START = """
import dataclasses, sys
from dataclasses import dataclass
from pathlib import Path
from torch import nn
from bench.contracts import Defense
from bench.registry import register_defense
"""
CLASS = """
@dataclass(frozen=True)
class Made(Defense):
    level = 1
    def build(self, data):
        return nn.Identity()
"""
INDENTED = CLASS.replace("\n", "\n    ")
FACTORY = {"fact.py": f"{START}\nLEVEL = 0\ndef make(level):{INDENTED}return Made\n"}
ELSEWHERE = {
    "a class that a helper registers": (
        "import fact\nregister_defense('edited')(fact.make(1))\n",
        FACTORY,
    ),
    "a helper that is told to register": (
        "import fact\nfact.start(1)\n",
        {"fact.py": FACTORY["fact.py"] + "def start(n): register_defense('edited')(make(n))\n"},
    ),
    "a setting of a helper": (
        "import fact\nfact.LEVEL = 1\nregister_defense('edited')(fact.make(2))\n",
        FACTORY,
    ),
    "a class without a module": (
        f"{CLASS}\nregister_defense('edited')(dataclasses.make_dataclass('X', [], bases=(Made,), "
        "frozen=True))\n",
        {},
    ),
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_the_file_that_registers_a_class_from_elsewhere_counts(tmp_path: Path, kind: str) -> None:
    text, files = ELSEWHERE[kind]
    plugin = written(tmp_path, files=files)
    plugin.write_text(START + text)
    first = identity_of(str(plugin))
    assert identity_of(str(plugin)) == first
    plugin.write_text(START + text.replace("1", "3"))
    assert identity_of(str(plugin)) != first


def test_a_module_in_an_archive_counts_by_the_archive(tmp_path: Path) -> None:
    plugin = written(
        tmp_path,
        imports="sys.path.insert(0, str(Path(__file__).with_name('kit.zip')))\nimport tool",
    )
    seen = []
    for level in (1, 2):
        with zipfile.ZipFile(tmp_path / "kit.zip", "w") as archive:
            archive.writestr("tool.py", f"A = {level}\n")
        seen.append(identity_of(str(plugin)))
    assert seen[0]["code"][0][0] == "kit.zip"
    assert seen[0] != seen[1]


def test_the_identity_of_a_plugin_in_one_file_is_that_of_version_0_1_0(tmp_path: Path) -> None:
    identity = identity_of(str(written(tmp_path)))
    assert sorted(identity) == ["files", "name", "parameters", "source", "version"]
    assert identity["files"] == {}


def test_modules_of_python_and_of_what_this_package_needs_do_not_count(tmp_path: Path) -> None:
    plugin = written(tmp_path, imports="import json, numpy, torch.nn, sklearn.svm, bench.spec")
    assert sorted(identity_of(str(plugin))) == ["files", "name", "parameters", "source", "version"]


def test_a_file_that_another_plugin_imported_first_still_counts(tmp_path: Path) -> None:
    plugin = written(tmp_path, imports="import tool", files=TOOL)
    alone = identity_of(str(plugin))

    other = tmp_path / "other.py"
    other.write_text("import tool\n")
    assert identity_of(str(other), str(plugin)) == alone


def installed(site: Path, value: int, listed: str = "") -> Path:
    """An installed distribution `edited-plugins` with a plugin in two modules."""
    package = site / "edited_plugins"
    plugin = written(package, imports="import edited_plugins.tool")
    (package / "__init__.py").write_text("")
    (package / "tool.py").write_text(f"A = {value}\n")
    files = [f"edited_plugins/{name}.py" for name in ("__init__", "plugin", "tool")]
    describe(site, "edited-plugins", files, listed)
    return plugin


def describe(site: Path, name: str, files: list[str], listed: str = "") -> None:
    """Write what an installer writes about a distribution."""
    metadata = site / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "RECORD").write_text("\n".join([*(f"{file},," for file in files), listed]))


def test_an_edit_of_an_installed_distribution_makes_another_plugin(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    installed(site, 1)
    first = identity_of("edited_plugins.plugin", site=site)
    assert first["distributions"][0][:2] == ["edited-plugins", "1.0"]
    assert identity_of("edited_plugins.plugin", site=site) == first

    installed(site, 2)
    assert identity_of("edited_plugins.plugin", site=site) != first


@pytest.mark.parametrize("other", ["aaa", "zzz"])
def test_an_edit_of_one_of_two_distributions_in_a_namespace_makes_another_plugin(
    tmp_path: Path, other: str
) -> None:
    site = tmp_path / "site-packages"
    written(site / "group" / "ours", imports="import group.ours.tool", files=TOOL)
    describe(site, "group-ours", ["group/ours/plugin.py", "group/ours/tool.py"])
    (site / "group" / other).mkdir()
    (site / "group" / other / "a.py").write_text("")
    describe(site, f"group-{other}", [f"group/{other}/a.py"])
    first = identity_of("group.ours.plugin", site=site)
    assert [name for name, *_ in first["distributions"]] == ["group-ours"]

    (site / "group" / "ours" / "tool.py").write_text("A = 2\n")
    assert identity_of("group.ours.plugin", site=site) != first


def test_another_version_of_a_distribution_that_a_plugin_imports_makes_another_plugin(
    tmp_path: Path,
) -> None:
    site = tmp_path / "site-packages"
    installed(site, 1, listed="a")
    user = tmp_path / "user"
    plugin = written(user, imports="from edited_plugins import tool")
    first = identity_of(str(plugin), site=site)
    assert [entry[0] for entry in first["distributions"]] == ["edited-plugins"]
    installed(site, 1, listed="b")
    assert identity_of(str(plugin), site=site) != first


def test_a_copied_file_among_the_distributions_counts_as_code(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    site.mkdir()
    (site / "stray_tool.py").write_text("A = 1\n")
    plugin = written(tmp_path / "user", imports="import stray_tool")
    first = identity_of(str(plugin), site=site)
    (site / "stray_tool.py").write_text("A = 2\n")
    assert identity_of(str(plugin), site=site) != first


@pytest.fixture
def as_released(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    from bench.plugins import code, released

    def change(name: str) -> None:
        digests = {**released.present_digests(), name: "0" * 64}
        monkeypatch.setattr(released, "_released", lambda: digests)
        monkeypatch.setattr(code, "_identities", {})

    return change


def test_a_built_in_plugin_that_someone_has_changed_counts_by_its_code(
    as_released: Callable[[str], None],
) -> None:
    plain = dict(configure(DEFENSES, "convae").identity)
    assert "source" not in plain
    as_released("defenses/convae.py")
    assert {*configure(DEFENSES, "convae").identity} - {*plain} == {"source"}
    assert configure(DEFENSES, "median").identity.keys() == plain.keys()


def test_a_helper_of_built_in_plugins_that_someone_has_changed_counts(
    as_released: Callable[[str], None],
) -> None:
    as_released("defenses/_schedule.py")
    assert [name for name, _ in configure(DEFENSES, "defensegan").identity["code"]] == [
        "defenses/_schedule.py"
    ]


def test_the_files_of_the_built_in_plugins_are_as_released() -> None:
    from bench.plugins.released import RELEASED, present_digests

    assert json.loads(RELEASED.read_text()) == present_digests(), (
        "a built-in plugin has changed: raise its version if results change, "
        "then `make release-plugins`"
    )
