"""Exported programs whose file was changed: texts in them are not run as Python."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from bench.contracts import read_network

CODE = "__import__('pathlib').Path('{marker}').write_text('x')"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    batch = torch.export.Dim("batch")
    torch.export.save(
        torch.export.export(network, (torch.rand(2, 1, 4, 4),), dynamic_shapes=({0: batch},)), path
    )
    return path


def changed(program: Path, path: Path, before: str, after: str) -> Path:
    """A copy of a program in whose texts one is replaced."""
    with zipfile.ZipFile(program) as source, zipfile.ZipFile(path, "w") as copy:
        found = 0
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(".json") and before.encode() in content:
                found += 1
                content = content.replace(before.encode(), after.encode())
            copy.writestr(name, content)
    assert found
    return path


def test_a_program_as_it_was_exported_is_read(program: Path) -> None:
    assert read_network(program)(torch.rand(5, 1, 4, 4)).shape == (5, 3)


@pytest.mark.parametrize(
    "code",
    [
        CODE,
        "(lambda: open('{marker}', 'w'))()",
        "[open('{marker}', 'w') for _ in range(1)]",
        "exec('{marker}')",
        "quit()",
        "Symbol.__class__",
        "Symbol('a b')",
        "two words",
    ],
)
def test_a_size_that_is_code_is_refused_and_not_run(
    program: Path, tmp_path: Path, code: str
) -> None:
    with zipfile.ZipFile(program) as archive:
        text = archive.read(next(n for n in archive.namelist() if n.endswith("model.json")))
    start = text.index(b"Symbol(")
    symbol = text[start : text.index(b")", start) + 1].decode()

    marker = tmp_path / "marker"
    evil = changed(program, tmp_path / "evil.pt2", symbol, code.format(marker=marker))
    with pytest.raises(ValueError, match="no arithmetic"):
        read_network(evil)
    assert not marker.exists()


def test_a_renamed_program_is_the_same(program: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(program, tmp_path / "other.pt2"))
    images = torch.rand(2, 1, 4, 4)
    assert torch.equal(read_network(copy)(images), read_network(program)(images))
