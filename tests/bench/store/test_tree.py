"""Nothing is written outside a tree's root, through a link, or under a name of any length."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import StorageError
from bench.store.tree import LONGEST_STEM, Tree, file_stem

NO_NAMES = [
    "",
    ".",
    "..",
    ".hidden",
    "a/b",
    "/etc",
    "a\0b",
    "a\nb",
    "x" * 201,
    "é",
    "a b",
    "\\",
    "~",
]


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("place", [("{}",), ("{}", "file"), ("folder", "{}")])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str, place: tuple[str, ...]) -> None:
    parts = [part.format(name) for part in place]
    with pytest.raises(StorageError, match="is not the name of a file below") as refused:
        Tree(tmp_path / "root").write_text(*parts, text="x")
    assert str(refused.value).isprintable()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("link", ["folder", "folder/file", "dangling"])
def test_nothing_is_written_through_a_link(tmp_path: Path, link: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    root.mkdir()
    if link == "folder":
        (root / "folder").symlink_to(outside)
    else:
        (root / "folder").mkdir()
        target = outside / ("file" if link == "folder/file" else "absent")
        (root / "folder" / "file").symlink_to(target)

    with pytest.raises(StorageError, match="is a link, and nothing is written through one"):
        Tree(root).write_text("folder", "file", text="x")
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"file": "precious"}


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    Tree(tmp_path / "root").write_json("folder", "a.json", content={"b": 1, "a": [0.5]})
    written = (tmp_path / "real" / "folder" / "a.json").read_text()
    assert written == '{\n  "a": [\n    0.5\n  ],\n  "b": 1\n}\n'


def test_nan_is_no_json_and_leaves_the_earlier_file(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write_json("a.json", content={"x": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        tree.write_json("a.json", content={"x": float("nan")})
    assert (tmp_path / "a.json").read_text() == '{\n  "x": 1\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@given(st.text(st.characters(codec=None), max_size=300))
def test_every_text_gives_a_stem_that_a_tree_takes(text: str) -> None:
    stem = file_stem(text)
    assert len(stem) <= LONGEST_STEM
    assert Tree(Path("root")).path(f"{stem}.safetensors") == Path("root", f"{stem}.safetensors")


def test_two_long_texts_do_not_share_a_stem() -> None:
    stems = {file_stem("x" * 3000 + end) for end in ("", "a", "b", "/", "\ud800")}
    assert len(stems) == 5
    assert file_stem("pgd:steps=20") == "pgd-steps=20"
