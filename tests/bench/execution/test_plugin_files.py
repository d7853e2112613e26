"""Plugin files on their way: content, helpers and folders, and nothing of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import RequestError
from bench.execution.jobs import ShippedPlugin
from bench.execution.plugin_files import packed
from bench.plugins.counted import digest_of_file
from bench.plugins.packages import ROOT


def plugin(folder: Path, name: str, text: str, **helpers: str) -> ShippedPlugin:
    """A plugin file with helpers beside it, by module name."""
    folder.mkdir(exist_ok=True)
    for module, content in {name: text, **helpers}.items():
        (folder / f"{module}.py").write_text(content)
    path = folder / f"{name}.py"
    return ShippedPlugin(str(path), digest_of_file(path))


def test_helpers_come_along_and_folders_stay_apart(tmp_path: Path) -> None:
    helpers = {"sent_helper": "import sent_second\n", "sent_second": "A = 1\n", "unused": "B = 2\n"}
    first = plugin(tmp_path / "one", "sent", "import sent_helper\n", **helpers)
    second = plugin(tmp_path / "two", "sent", "C = 3\n")
    beside = plugin(tmp_path / "one", "beside", "from . import sent_second\n")

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path / "one")  # as the import of the plugin leaves it
        given = packed([first, second, beside])

    for folder in ("one", "two"):  # as on another machine
        (tmp_path / folder).rename(tmp_path / f"moved-{folder}")
    target = tmp_path / "there"
    unpacked = given.unpacked(target)
    found = {path.relative_to(target).as_posix() for path in target.rglob("*.py")}
    assert found >= {
        *("0/sent.py", "0/sent_helper.py", "0/sent_second.py", "0/beside.py"),
        "1/sent.py",
    }
    assert "0/unused.py" not in found
    assert [Path(each.source).relative_to(target).as_posix() for each in unpacked] == [
        "0/sent.py",
        "1/sent.py",
        "0/beside.py",
    ]
    for each, original in zip(unpacked, (first, second, beside), strict=True):
        assert digest_of_file(Path(each.source)) == each.digest == original.digest


def test_files_of_the_package_and_modules_are_found_by_name(tmp_path: Path) -> None:
    own = ShippedPlugin(str(ROOT / "defenses" / "convae.py"), "0")
    module = ShippedPlugin("json", "1")
    given = packed([own, module])
    assert given.contents == {}
    assert [each.source for each in given.unpacked(tmp_path)] == ["defenses.convae", "json"]


def test_a_file_that_has_vanished_is_named(tmp_path: Path) -> None:
    gone = plugin(tmp_path, "gone", "")
    (tmp_path / "gone.py").unlink()
    with pytest.raises(RequestError, match="gone"):
        packed([gone])


@pytest.mark.parametrize("changed", ["nothing", "kept.py", "kept_helper.py"])
def test_files_that_are_there_already_are_used(tmp_path: Path, changed: str) -> None:
    """A helper in two folders, one of which is on the path of imports, would be refused."""
    here = plugin(tmp_path / "here", "kept", "import kept_helper\n", kept_helper="A = 1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path / "here")
        given = packed([here])
    if changed != "nothing":
        (tmp_path / "here" / changed).write_text("B = 2\n")

    (found,) = given.unpacked(tmp_path / "there")
    folder = tmp_path / ("here" if changed == "nothing" else "there/0")
    assert Path(found.source) == folder / "kept.py"
    assert digest_of_file(Path(found.source)) == here.digest
    assert (folder / "kept_helper.py").read_text() == "A = 1\n"
