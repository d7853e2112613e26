"""`bench export` of networks and folders that come from a stranger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.records.folder import RunFolder
from bench.store.artifacts import write_artifact
from bench.store.keys import artifact_key
from bench.store.weights import Manifest

Export = Callable[..., Any]
IDENTITY = {
    "family": "classifier",
    "plugin": {"name": "cnn", "version": 1, "parameters": {"width": 8}},
    "data": "d" * 64,
    "seed": 0,
    "against": None,
}
META = {"identity": IDENTITY, "device": "cpu", "seconds": 1.0}


@pytest.fixture
def export(made: Any, tmp_path: Path, bench: Export) -> Export:
    """Export a run with one network into `weights`, whatever describes the network."""

    def call(meta: dict[str, Any] = META, dataset: str = "digits") -> Any:
        identity = meta.get("identity", IDENTITY)
        key = artifact_key("network", identity)[:32]
        network = write_artifact(
            tmp_path / "cache" / "network" / f"{key}.safetensors",
            {"weight": np.ones(3, np.float32)},
            meta,
        )
        if not (tmp_path / "run").exists():
            cell = made.cell([1, 0, 1], dataset=dataset)
            record = replace(cell.record, networks={"classifier": network.digest})
            RunFolder.create(tmp_path / "run", {}).save(record, cell.outcome)
        return bench("export", "run", "weights", "--cache", "cache")

    return call


def test_a_network_is_exported(export: Export, tmp_path: Path) -> None:
    done = export()
    assert done.code == 0, done.err
    (entry,) = Manifest.read(tmp_path / "weights").networks
    assert entry.file.startswith("digits-cnn-")
    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == sorted(
        ["README.md", "manifest.json", entry.file]
    )


@pytest.mark.parametrize("name", ["README.md", "manifest.json", "network"])
@pytest.mark.parametrize("to_file", [True, False])
def test_nothing_is_written_through_a_link(
    name: str, to_file: bool, export: Export, bench: Export, tmp_path: Path
) -> None:
    assert export().code == 0
    folder = tmp_path / "weights"
    if name == "network":
        name = Manifest.read(folder).networks[0].file
    elsewhere = tmp_path / "elsewhere"
    (folder / name).rename(elsewhere)
    if not to_file:
        elsewhere = tmp_path / "nowhere"
    (folder / name).symlink_to(elsewhere)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = bench("export", "run", "weights", "--cache", "cache")
    assert done.code in (1, 2)
    assert done.err.count("\n") == 1
    assert (folder / name).is_symlink()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("value", ["../../up", "/tmp/up", "m" * 3_000, "<b>`|$(x)"])
def test_a_data_set_that_is_no_name_is_refused(value: str, export: Export, tmp_path: Path) -> None:
    done = export(dataset=value)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "run"}


def test_of_a_data_set_with_a_path_the_name_alone_is_handed_on(
    export: Export, tmp_path: Path
) -> None:
    done = export(dataset="npz:file=[/home/me/secret.npz]")
    assert done.code == 0, done.err
    (weights,) = (path for path in tmp_path.iterdir() if path.name not in ("cache", "run"))
    texts = [path.read_text() for path in weights.iterdir() if path.suffix != ".safetensors"]
    assert not any("secret" in text for text in (*texts, *map(str, weights.iterdir())))
    assert any('"npz"' in text for text in texts)


def without(path: str, value: Any = ...) -> dict[str, Any]:
    """The description of a network without an entry, or with another value there."""

    def changed(part: dict[str, Any], names: list[str]) -> dict[str, Any]:
        name, *rest = names
        if rest:
            return {**part, name: changed(part[name], rest)}
        return {key: inner for key, inner in part.items() if key != name} | (
            {} if value is ... else {name: value}
        )

    return changed(META, path.split("."))


@pytest.mark.parametrize(
    "meta",
    [
        *map(
            without, ["device", "seconds", "identity.plugin", "identity.seed", "identity.against"]
        ),
        *map(without, ["identity.plugin.name", "identity.plugin.parameters"]),
        *(without("seconds", value) for value in ("1", None, -1.0)),
        *(without("identity.plugin", value) for value in ([], "cnn", {"name": 3})),
        *(without("identity.plugin.name", value) for value in ("", 5, "../up", "a b\n\x1b[2J")),
        without("identity.plugin.parameters", {"attack": {"no": "name"}}),
        without("identity.against", {"weights": "short"}),
        without("identity.role", "another"),
        without("device", 7),
    ],
)
def test_a_network_that_is_described_as_none_is_one_clear_line(
    meta: dict[str, Any], export: Export, tmp_path: Path
) -> None:
    done = export(meta)
    assert done.code == 2, done.err
    assert done.err.count("\n") == 1
    assert "safetensors" in done.err
    assert not (tmp_path / "weights").exists()
