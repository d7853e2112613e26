"""Weights that are handed on: what is exported comes back as it was, and nothing that was changed is taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.artifacts import ArtifactStore, read_artifact, write_artifact
from bench.config import resolve
from bench.errors import RequestError
from bench.grid import Grid
from bench.keys import content_key
from bench.presets import read_preset
from bench.runs import RunFolder
from bench.stages.base import FORMAT
from bench.weights import MANIFEST, Weights, pretrained


@pytest.fixture
def run(bench: Callable[..., Any], tiny: Path) -> Path:
    """A run with its networks exported into `weights`, beside it."""
    command = ("run", "--config", tiny, "--defenses", "none,convae,jpeg", "--eps", "0.1,0.3")
    assert bench(*command, "--out", "out").code == 0
    done = bench("export", "out", "weights")
    assert done.code == 0, done.err
    assert "2 networks in weights" in done.err
    return Path("out")


def test_a_run_on_exported_weights_trains_nothing_and_ends_with_the_same_numbers(
    bench: Callable[..., Any], tiny: Path, run: Path
) -> None:
    command = ("run", "--config", tiny, "--defenses", "none,convae,jpeg", "--eps", "0.1,0.3")
    done = bench(*command, "--weights", "weights", "--cache", "other", "--out", "again")
    assert done.code == 0, done.err
    assert "networks: 2 cached, 0 to train" in done.err
    assert "trained classifier" not in done.err
    first, second = (pd.read_csv(path / "tables" / "results.csv") for path in (run, Path("again")))
    timed = [name for name in first if name.startswith("latency")]
    pd.testing.assert_frame_equal(first.drop(columns=timed), second.drop(columns=timed))
    assert not [path for path in Path("other/network").glob("*.safetensors") if path.stat().st_size > 5000]


def test_a_run_on_weights_is_another_run_than_one_without(bench: Callable[..., Any], tiny: Path, run: Path) -> None:
    done = bench("run", "--config", tiny, "--defenses", "none,convae,jpeg", "--weights", "weights", "--out", "out")
    assert done.code == 2
    assert "out holds a run of another configuration" in done.err


def test_what_is_not_among_the_weights_is_trained(bench: Callable[..., Any], tiny: Path, run: Path) -> None:
    weights = Weights.open(Path("weights"))
    (defense,) = (entry for entry in weights.entries.values() if entry.family == "defense")
    manifest = json.loads((weights.folder / MANIFEST).read_text())
    manifest["networks"] = [entry for entry in manifest["networks"] if entry["family"] == "classifier"]
    (weights.folder / MANIFEST).write_text(json.dumps(manifest))
    command = ("run", "--config", tiny, "--defenses", "convae", "--eps", "0.1", "--weights", "weights")
    done = bench(*command, "--cache", "other", "--out", "again")
    assert done.code == 0, done.err
    assert "networks: 1 cached, 1 to train\n    - defense convae on digits" in done.err
    trained = ArtifactStore(Path("other")).load("network", defense.key)
    assert trained is not None
    assert trained.digest == defense.digest


def test_the_card_and_the_manifest_say_what_the_run_measured(run: Path) -> None:
    entries = list(Weights.open(Path("weights")).entries.values())
    assert [(entry.family, entry.name, entry.dataset) for entry in entries] == [
        ("classifier", "cnn", "digits"),
        ("defense", "convae", "digits"),
    ]
    classifier, defense = entries
    assert (classifier.against, defense.against) == (None, classifier.digest)
    assert classifier.parameters["width"] == 8
    results = pd.read_csv(run / "tables" / "results.csv").set_index(["defense", "eps"])
    at = results.loc[("convae", 0.3)]
    named = {score.images: score for score in defense.scores}
    assert named["fgsm 0.3, graybox"].value == pytest.approx(at["robust_accuracy"])
    assert (named["clean"].value, named["clean"].of) == (pytest.approx(at["clean_accuracy"]), "pipeline")
    bare = {score.images: score.value for score in classifier.scores}
    assert bare["clean"] == pytest.approx(at["undefended_clean_accuracy"])
    assert bare["fgsm 0.3, graybox"] == pytest.approx(at["undefended_accuracy"])
    card = (Path("weights") / "README.md").read_text()
    assert classifier.digest[:16] in card
    assert "bench run --preset tiny --datasets digits --seeds 0" in card


def test_networks_of_several_runs_share_a_folder(bench: Callable[..., Any], tiny: Path, run: Path) -> None:
    command = ("run", "--config", tiny, "--defenses", "convae:width=6", "--eps", "0.1", "--out", "second")
    assert bench(*command).code == 0
    assert "now holds 3" in bench("export", "second", "weights").err
    assert "now holds 3" in bench("export", "out", "weights").err


def test_a_network_that_has_left_the_cache_is_told(bench: Callable[..., Any], run: Path) -> None:
    done = bench("export", "out", "elsewhere", "--cache", "empty")
    assert done.code == 2
    assert "the classifier cnn of this run is not in the cache empty" in done.err
    assert not Path("elsewhere").exists()


def _changed(folder: Path, name: str) -> None:
    artifact = read_artifact(folder / name)
    write_artifact(folder / name, {key: tensor * 1.01 for key, tensor in artifact.tensors.items()}, artifact.meta)


def _damaged(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 0xFF
    (folder / name).write_bytes(bytes(content))


def _missing(folder: Path, name: str) -> None:
    (folder / name).unlink()


def _of_another_form(folder: Path, _name: str) -> None:
    (folder / MANIFEST).write_text('{"version": 2, "networks": []}')


def _unlisted(folder: Path, _name: str) -> None:
    (folder / MANIFEST).unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_changed, r"not those of the manifest: their digest is \w{12}, not \w{12}"),
        (_damaged, "are damaged: its content does not match its digest"),
        (_missing, "are missing"),
        (_of_another_form, r"manifest\.json: version: input should be 1"),
        (_unlisted, "holds no weights"),
    ],
)
def test_weights_that_are_not_what_the_manifest_says_are_refused(
    tmp_path: Path, change: Callable[[Path, str], None], message: str
) -> None:
    folder = shutil.copytree(pretrained(), tmp_path / "weights")
    name = min(Weights.open(folder).entries.values(), key=lambda entry: entry.size).file
    change(folder, name)
    with pytest.raises(RequestError, match=message):
        Weights.open(folder)


def test_both_options_at_once_are_refused(bench: Callable[..., Any]) -> None:
    done = bench("run", "--pretrained", "--weights", "x")
    assert done.code == 2
    assert "--pretrained or --weights, not both" in done.err


def test_given_artifacts_go_before_the_folders_and_are_never_written(tmp_path: Path) -> None:
    entry = min(Weights.open(pretrained()).entries.values(), key=lambda each: each.size)
    path = shutil.copy(pretrained() / entry.file, tmp_path / "given.safetensors")
    store = ArtifactStore(tmp_path / "cache", {"network": {entry.key: Path(path)}})
    key = entry.key + 32 * "0"
    artifact, cached = store.get_or_make("network", key, lambda: pytest.fail("made"))
    assert cached
    assert artifact.digest == store.digest("network", key) == entry.digest
    assert store.find("network", entry.digest) == Path(path)
    Path(path).write_bytes(b"gone")
    with pytest.raises(RequestError, match="can no longer be read"):
        store.load("network", key)
    assert Path(path).read_bytes() == b"gone"


ENTRIES = list(Weights.open(pretrained()).entries.values())


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.file for entry in ENTRIES])
def test_the_packages_weights_are_those_that_its_preset_asks_for(entry: Any) -> None:
    identity = read_artifact(pretrained() / entry.file).meta["identity"]
    assert content_key({"kind": "network", "format": FORMAT, **identity})[:32] == entry.key
    cells = list(Grid.of(resolve(read_preset(entry.preset), {"datasets": (entry.dataset,)}, "x")).cells())
    asked = {cell.classifier.name: cell.classifier for cell in cells} | {
        cell.defense.name: cell.defense for cell in cells
    }
    assert json.loads(json.dumps(asked[entry.name].training_identity)) == identity["plugin"]
    if identity["against"]:
        assert identity["against"]["weights"] in {each.digest for each in ENTRIES}


def test_the_packages_weights_are_small() -> None:
    assert sum(entry.size for entry in ENTRIES) < 20e6
    assert all((pretrained() / entry.file).stat().st_size == entry.size for entry in ENTRIES)


def test_a_run_folder_without_cells_has_nothing_to_hand_on(bench: Callable[..., Any], tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "nothing", {"preset": "x"})
    done = bench("export", "nothing", "weights")
    assert done.code == 2
    assert "nothing has no finished cells" in done.err
    assert not Path("weights").exists()
