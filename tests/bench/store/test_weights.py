"""Weights: an export comes back as it was, and no file that was changed is accepted."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from bench.commands import export_weights
from bench.commands.given_networks import requested_weights
from bench.contracts import Network
from bench.errors import RequestError, StorageError
from bench.records.folder import RunFolder
from bench.records.given_weights import are_compatible
from bench.report.model_card import model_card
from bench.store.artifacts import ArtifactStore, read_artifact, write_artifact
from bench.store.keys import artifact_key, content_key
from bench.store.weights import MANIFEST, Manifest, Weights, pretrained
from bench.sweep.config import resolve
from bench.sweep.grid import Grid
from bench.sweep.plan import Plan
from bench.sweep.presets import read_preset

COMMAND = ("--defenses", "none,convae,jpeg", "--eps", "0.1,0.3")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test leaves its run and its weights for the others."""
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def run(bench: Callable[..., Any], tiny: Path, finished: Path) -> Path:
    """A run with its networks exported into `weights`, beside it."""
    if not (finished / "weights").exists():
        assert bench("run", "--config", tiny, *COMMAND, "--out", "out").code == 0
        done = bench("export", "out", "weights")
        assert done.code == 0, done.err
        assert "2 networks of the run in weights, which now holds 2" in done.err
        for name in ("out", "weights"):
            shutil.copytree(name, finished / name)
    else:
        for name in ("out", "weights"):
            shutil.copytree(finished / name, name)
    return Path("out")


def test_a_run_on_exported_weights_trains_nothing_and_ends_with_the_same_numbers(
    bench: Callable[..., Any], tiny: Path, run: Path
) -> None:
    done = bench(
        "run",
        "--config",
        tiny,
        *COMMAND,
        "--weights",
        "weights",
        "--cache",
        "other",
        "--out",
        "again",
    )
    assert done.code == 0, done.err
    assert (
        "networks: 2 from weights, 0 cached, 0 to train\n  adversarial sets: 0 cached, 2 to craft"
        in done.err
    )
    assert "trained classifier" not in done.err
    first, second = (pd.read_csv(path / "tables" / "results.csv") for path in (run, Path("again")))
    timed = [name for name in first if name.startswith("latency")]
    pd.testing.assert_frame_equal(first.drop(columns=timed), second.drop(columns=timed))
    assert not [
        path for path in Path("other/network").glob("*.safetensors") if read_artifact(path).tensors
    ]


def test_a_run_on_weights_is_handed_on_too(
    bench: Callable[..., Any], tiny: Path, run: Path
) -> None:
    command = (
        "run",
        "--config",
        tiny,
        "--defenses",
        "convae,convae:width=6",
        "--eps",
        "0.1",
        "--weights",
        "weights",
    )
    assert bench(*command, "--cache", "other", "--out", "again").code == 0
    done = bench("export", "again", "more", "--cache", "other")
    assert done.code == 2
    assert "with --pretrained or --weights" in done.err
    done = bench("export", "again", "more", "--cache", "other", "--weights", "weights")
    assert done.code == 0, done.err
    assert len(Weights.open(Path("more")).entries) == 3


def test_weights_of_which_none_is_asked_for_are_reported(
    bench: Callable[..., Any], tiny: Path, run: Path
) -> None:
    done = bench(
        "run",
        "--config",
        tiny,
        "--defenses",
        "convae",
        "--seeds",
        "7",
        "--weights",
        "weights",
        "--out",
        "x",
    )
    assert done.code == 2
    assert "none of the weights in weights is one that this run (tiny) asks for" in done.err
    assert "the folder has: cnn on digits, seed 0, convae on digits, seed 0" in done.err
    assert not Path("x").exists()


def test_a_run_on_weights_is_another_run_than_one_without(
    bench: Callable[..., Any], tiny: Path, run: Path
) -> None:
    done = bench(
        "run",
        "--config",
        tiny,
        "--defenses",
        "none,convae,jpeg",
        "--weights",
        "weights",
        "--out",
        "out",
    )
    assert done.code == 2
    assert "out holds a run of another configuration" in done.err


def test_what_is_not_among_the_weights_is_trained(
    bench: Callable[..., Any], tiny: Path, run: Path
) -> None:
    weights = Weights.open(Path("weights"))
    (defense,) = (entry for entry in weights.entries.values() if entry.family == "defense")
    manifest = json.loads((weights.folder / MANIFEST).read_text())
    manifest["networks"] = [
        entry for entry in manifest["networks"] if entry["family"] == "classifier"
    ]
    (weights.folder / MANIFEST).write_text(json.dumps(manifest))
    command = (
        "run",
        "--config",
        tiny,
        "--defenses",
        "convae",
        "--eps",
        "0.1",
        "--weights",
        "weights",
    )
    done = bench(*command, "--cache", "other", "--out", "again")
    assert done.code == 0, done.err
    assert (
        "networks: 1 from weights, 0 cached, 1 to train\n    - defense convae on digits" in done.err
    )
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
    assert "width=8" in classifier.spec
    results = pd.read_csv(run / "tables" / "results.csv").set_index(["defense", "eps"])
    at = results.loc[("convae", 0.3)]
    named = {score.images: score for score in defense.scores}
    assert list(named) == ["clean", "fgsm 0.1, graybox", "fgsm 0.3, graybox"]
    assert named["fgsm 0.3, graybox"].value == pytest.approx(at["robust_accuracy"])
    assert (named["fgsm 0.3, graybox"].verdict, named["clean"].verdict) == (at["verdict"], None)
    assert "; ".join(named["fgsm 0.3, graybox"].reasons) == (
        "" if pd.isna(at["reasons"]) else at["reasons"]
    )
    assert (named["clean"].value, named["clean"].defense) == (
        pytest.approx(at["clean_accuracy"]),
        "convae",
    )
    bare = {score.images: score for score in classifier.scores}
    assert bare["clean"].value == pytest.approx(at["undefended_clean_accuracy"])
    assert bare["fgsm 0.3, graybox"].value == pytest.approx(at["undefended_robust_accuracy"])
    assert bare["clean"].defense is None
    card = (Path("weights") / "README.md").read_text()
    assert classifier.sha256 in card
    assert (
        hashlib.sha256((Path("weights") / classifier.file).read_bytes()).hexdigest()
        == classifier.sha256
    )


def test_the_cards_command_asks_for_the_very_networks(bench: Callable[..., Any], run: Path) -> None:
    (command,) = re.findall(
        r"^bench (run .*--classifiers .*)$", (Path("weights") / "README.md").read_text(), re.M
    )
    options = shlex.split(command.replace("--data FOLDER", "--n 10 --attacks fgsm --eps 0.1"))
    done = bench(*options, "--weights", "weights", "--cache", "other", "--out", "again")
    assert done.code == 0, done.err
    assert "networks: 2 from weights, 0 cached, 0 to train" in done.err


def test_the_cards_python_loads_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pretrained())
    (code,) = re.findall(r"```python\n(.*?)```", (pretrained() / "README.md").read_text(), re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["module"](torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_one_network_in_several_pipelines_has_a_score_in_each(
    bench: Callable[..., Any], tiny: Path, run: Path
) -> None:
    other = "cnn:epochs=13"
    command = (
        "run",
        "--config",
        tiny,
        "--classifiers",
        f"cnn,{other}",
        "--eps",
        "0.1",
        "--n",
        "20",
        "--convergence",
        "0",
        "--no-latency",
        "--out",
        "two",
    )
    assert (
        bench(
            *command, "--defenses", "defensegan:iterations=80,defensegan:iterations=80:restarts=1"
        ).code
        == 0
    )
    assert bench("export", "two", "theirs").code == 0
    (shared,) = (
        entry
        for entry in Weights.open(Path("theirs")).entries.values()
        if entry.name == "defensegan"
    )
    attacked = [score for score in shared.scores if score.images != "clean"]
    assert {(score.classifier, score.settings["restarts"]) for score in attacked} == {
        *(("cnn", 2), ("cnn", 1)),
        *((other, 2), (other, 1)),
    }
    assert "restarts 1" in (Path("theirs") / "README.md").read_text()


def test_a_substitute_is_handed_on_as_such(
    bench: Callable[..., Any], tiny: Path, run: Path
) -> None:
    command = (
        "run",
        "--config",
        tiny,
        "--defenses",
        "none",
        "--eps",
        "0.1",
        "--threats",
        "transfer",
    )
    assert bench(*command, "--out", "transferred").code == 0
    assert bench("export", "transferred", "theirs").code == 0
    entries = Weights.open(Path("theirs")).entries.values()
    assert [(entry.name, entry.role, len(entry.scores)) for entry in entries] == [
        ("cnn", "", 1),
        ("cnn", "substitute", 0),
    ]
    done = bench(*command, "--weights", "theirs", "--cache", "other", "--out", "again")
    assert "networks: 2 from theirs, 0 cached, 0 to train" in done.err


def test_networks_of_several_runs_share_a_folder(
    bench: Callable[..., Any], tiny: Path, run: Path
) -> None:
    command = (
        "run",
        "--config",
        tiny,
        "--defenses",
        "convae:width=6",
        "--eps",
        "0.1",
        "--out",
        "second",
    )
    assert bench(*command).code == 0
    assert "now holds 3" in bench("export", "second", "weights").err
    before = Weights.open(Path("weights")).entries
    assert "now holds 3" in bench("export", "out", "weights").err
    assert Weights.open(Path("weights")).entries == before  # the same scores again add nothing
    assert max(len(entry.scores) for entry in before.values()) == 3


def test_a_replaced_classifier_takes_its_defenses_with_it(
    bench: Callable[..., Any], tiny: Path, run: Path
) -> None:
    manifest = json.loads((Path("weights") / MANIFEST).read_text())
    (classifier,) = (entry for entry in manifest["networks"] if entry["family"] == "classifier")
    (defense,) = (entry for entry in manifest["networks"] if entry["family"] == "defense")
    file = Path("weights") / classifier["file"]
    _changed(file.parent, file.name)
    classifier["digest"] = defense["against"] = read_artifact(file).digest
    classifier.update(
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(), size=file.stat().st_size
    )
    (Path("weights") / MANIFEST).write_text(json.dumps(manifest))
    assert (
        bench("run", "--config", tiny, "--defenses", "none", "--eps", "0.1", "--out", "bare").code
        == 0
    )
    done = bench("export", "bare", "weights")
    assert done.code == 0, done.err
    assert "left out: digits-convae" in done.err
    assert [entry.name for entry in Weights.open(Path("weights")).entries.values()] == ["cnn"]
    assert len(list(Path("weights").glob("*.safetensors"))) == 1


def test_an_export_that_was_killed_is_done_again(
    bench: Callable[..., Any], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(export_weights, "_merged", killed)
        assert bench("export", "out", "more").code == 130
    assert len(list(Path("more").glob("*.safetensors"))) == 1
    done = bench("export", "out", "more")
    assert done.code == 0, done.err
    assert len(Weights.open(Path("more")).entries) == 2


def test_an_export_beside_a_damaged_network_writes_nothing(
    bench: Callable[..., Any], run: Path
) -> None:
    before = {path.name for path in Path("weights").iterdir()}
    _damaged(Path("weights"), min(name for name in before if name.endswith(".safetensors")))
    done = bench("export", "out", "weights")
    assert done.code == 2
    assert "damaged" in done.err
    assert {path.name for path in Path("weights").iterdir()} == before


def test_a_folder_of_something_else_is_left_alone(bench: Callable[..., Any], run: Path) -> None:
    Path("mine").mkdir()
    (Path("mine") / "README.md").write_text("mine")
    for other, message in (
        ("mine", "is no folder of weights"),
        ("mine/README.md", "it is a file, not a folder"),
    ):
        done = bench("export", "out", other)
        assert done.code == 2
        assert message in done.err
    assert (Path("mine") / "README.md").read_text() == "mine"


def test_a_network_that_has_left_the_cache_is_reported(
    bench: Callable[..., Any], run: Path
) -> None:
    done = bench("export", "out", "elsewhere", "--cache", "empty")
    assert done.code == 2
    assert "the classifier cnn of this run is not in the cache empty" in done.err
    assert not Path("elsewhere").exists()


def test_only_the_weights_that_a_run_asks_for_are_part_of_it() -> None:
    weights = Weights.open(pretrained())
    (mine, *_), other = weights.entries, 64 * "0"
    asked = requested_weights(
        weights,
        Plan(networks={other: ("defense x on digits", False), mine + 32 * "f": ("y", True)}),
        "quick",
    )
    assert asked == {mine: weights.entries[mine].digest}
    with pytest.raises(
        RequestError, match=r"none of the weights in .* this run \(quick\) asks for"
    ):
        requested_weights(weights, Plan(networks={other: ("defense x on digits", False)}), "quick")


def test_more_weights_in_the_folder_leave_a_run_the_same(
    bench: Callable[..., Any], tiny: Path, run: Path
) -> None:
    command = ("run", "--config", tiny, *COMMAND, "--weights", "weights", "--out", "again")
    assert bench(*command).code == 0
    assert (
        bench(
            "run", "--config", tiny, "--defenses", "convae:width=6", "--eps", "0.1", "--out", "wide"
        ).code
        == 0
    )
    assert bench("export", "wide", "weights").code == 0
    done = bench(*command)
    assert done.code == 0, done.err
    assert "6 already recorded in again" in done.err


def test_runs_on_weights_are_merged_and_go_on_with_more_of_them(
    bench: Callable[..., Any], tiny: Path, run: Path
) -> None:
    entries = Weights.open(Path("weights")).entries
    given = ("run", "--config", tiny, "--weights", "weights", "--eps", "0.1", "--no-latency")
    axes = ("--defenses", "none,jpeg", "--seeds", "0,1")
    assert bench(*given, *axes, "--out", "plain").code == 0
    assert bench(*given, "--defenses", "convae", "--out", "convae").code == 0
    weights = [RunFolder(Path(name)).config()["weights"] for name in ("plain", "convae")]
    digests = {key: entry.digest for key, entry in entries.items()}
    assert weights[1] == digests
    assert weights[0] == {
        key: digest for key, digest in digests.items() if entries[key].family == "classifier"
    }

    merged = bench("merge", "convae", "plain", "--out", "both", "--no-plots", "--no-html")
    assert merged.code == 1  # convae with seed 1 is missing
    assert RunFolder(Path("both")).config()["weights"] == digests
    union = ("--defenses", "convae,jpeg,none", "--seeds", "1,0")  # in any order
    done = bench(*given, *union, "--out", "both")
    assert done.code == 0, done.err
    assert "5 already recorded" in done.err


@pytest.mark.parametrize(
    ("stored", "present", "compatible"),
    [
        (None, None, True),
        (None, {"a": "1"}, False),
        ({"a": "1"}, {"a": "1", "b": "2"}, True),
        ({"a": "1", "c": "3"}, {"a": "1", "b": "2"}, True),
        ({"a": "1"}, {"a": "2"}, False),
        (content_key({"a": "1"}), {"a": "1"}, True),  # of an earlier version
        (content_key({"a": "1"}), {"a": "1", "b": "2"}, False),
        (5, {"a": "1"}, False),
    ],
)
def test_a_folder_is_that_of_a_run_with_the_same_weights(
    tmp_path: Path, stored: Any, present: Any, compatible: bool
) -> None:
    configs = [
        {"n": 1} if given is None else {"n": 1, "weights": given} for given in (stored, present)
    ]
    RunFolder.create(tmp_path / "run", configs[0])
    with nullcontext() if compatible else pytest.raises(RequestError, match="another config"):
        RunFolder.create(tmp_path / "run", configs[1])
    assert are_compatible(present, stored) == compatible


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("defense", "has cells that used other weights of defense convae than this run is given"),
        ("classifier", "holds a run of another configuration"),
    ],
)
def test_a_run_does_not_go_on_with_other_weights_than_its_cells_used(
    bench: Callable[..., Any], tiny: Path, run: Path, family: str, message: str
) -> None:
    """The first run is given the classifier alone, and trains the defense."""
    manifest = json.loads((Path("weights") / MANIFEST).read_text())
    classifiers = [entry for entry in manifest["networks"] if entry["family"] == "classifier"]
    shutil.copytree("weights", "fewer")
    (Path("fewer") / MANIFEST).write_text(json.dumps({**manifest, "networks": classifiers}))
    command = ("run", "--config", tiny, "--defenses", "convae", "--eps", "0.1", "--no-latency")
    assert bench(*command, "--weights", "fewer", "--out", "x").code == 0
    assert "1 already recorded" in bench(*command, "--weights", "weights", "--out", "x").err

    (entry,) = (entry for entry in manifest["networks"] if entry["family"] == family)
    _changed(Path("weights"), entry["file"])
    entry["digest"] = read_artifact(Path("weights") / entry["file"]).digest
    (Path("weights") / MANIFEST).write_text(json.dumps(manifest))
    _describe(Path("weights"), entry["file"])
    done = bench(*command, "--weights", "weights", "--out", "x")
    assert done.code == 2, done.err
    assert f"x {message}" in done.err


def _changed(folder: Path, name: str) -> None:
    artifact = read_artifact(folder / name)
    write_artifact(
        folder / name,
        {key: tensor * 1.01 for key, tensor in artifact.tensors.items()},
        artifact.meta,
    )


def _damaged(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 0xFF
    (folder / name).write_bytes(bytes(content))


def _of_another_type(folder: Path, name: str) -> None:
    save_file({"x": torch.zeros(2, dtype=torch.bfloat16)}, folder / name)
    _describe(folder, name)


def _of_another_size(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.write(b"x")


def _sparse(folder: Path, name: str) -> None:
    with (folder / name).open("wb") as file:
        file.truncate(2**40)


def _pipe(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)


def _folder(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()


def _without_identity(folder: Path, name: str) -> None:
    artifact = read_artifact(folder / name)
    write_artifact(folder / name, artifact.tensors, {**artifact.meta, "identity": None})
    _describe(folder, name)


def _describe(folder: Path, name: str) -> None:
    """State the size and the digest of a file in the manifest as they are now."""
    manifest = json.loads((folder / MANIFEST).read_text())
    (entry,) = (entry for entry in manifest["networks"] if entry["file"] == name)
    content = (folder / name).read_bytes()
    entry.update(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    (folder / MANIFEST).write_text(json.dumps(manifest))


def _missing(folder: Path, name: str) -> None:
    (folder / name).unlink()


def _of_another_form(folder: Path, _name: str) -> None:
    (folder / MANIFEST).write_text('{"version": 3, "networks": []}')


def _version_1_without_scores(folder: Path, _name: str) -> None:
    (folder / MANIFEST).write_text('{"version": 1, "networks": [{}]}')


def _version_1_with_a_fault(folder: Path, _name: str) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    content["networks"][0]["scores"][0]["verdict"] = 5
    (folder / MANIFEST).write_text(json.dumps({**content, "version": 1}))


def _deep(folder: Path, _name: str) -> None:
    (folder / MANIFEST).write_text("[" * 10**6)


def _endless(folder: Path, _name: str) -> None:
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).symlink_to("/dev/zero")


def _no_json(folder: Path, _name: str) -> None:
    (folder / MANIFEST).write_text("{")


def _swapped(folder: Path, _name: str) -> None:
    text = (folder / MANIFEST).read_text()
    one, two = (entry.key for entry in Manifest.read(folder).networks[:2])
    (folder / MANIFEST).write_text(text.replace(one, "x").replace(two, one).replace("x", two))


def _unlisted(folder: Path, _name: str) -> None:
    (folder / MANIFEST).unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_changed, r"not those of the manifest: their digest is \w{12}, not \w{12}"),
        (_damaged, "are damaged: its content does not match its digest"),
        (_of_another_type, "are damaged: unreadable"),
        (_without_identity, "were trained as something else"),
        (_missing, "are missing"),
        (_of_another_form, r"manifest\.json: version = 3: input should be 2"),
        (_version_1_without_scores, r"manifest\.json: networks\.0\.file: field required"),
        (_version_1_with_a_fault, r"manifest\.json: networks\.0\.scores\.0\.verdict = 5"),
        (_no_json, r"manifest\.json: it is not JSON"),
        (_deep, r"manifest\.json: it is nested too deeply"),
        (_endless, r"manifest\.json: it is a device, not a regular file"),
        (_of_another_size, r"are damaged: they have \d+ bytes instead of \d+"),
        (_sparse, r"are damaged: it has 1099511627776 bytes"),
        (_pipe, "are damaged: it is a pipe"),
        (_folder, "are damaged: it is a folder"),
        (_unlisted, "holds no weights"),
        (_swapped, "were trained as something else"),
    ],
)
def test_weights_that_are_not_what_the_manifest_says_are_refused(
    tmp_path: Path, change: Callable[[Path, str], None], message: str
) -> None:
    folder = shutil.copytree(pretrained(), tmp_path / "weights")
    name = min(Manifest.read(folder).networks, key=lambda entry: entry.size).file
    change(folder, name)
    with pytest.raises(RequestError, match=message):
        Weights.open(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("file", "../x.safetensors"),
        ("file", ".safetensors"),
        ("file", "x" * 300 + ".safetensors"),
        ("size", -1),
        ("size", 2**40),
        ("seconds", -1.0),
        ("seconds", "1"),
        ("name", "$(id)"),
        ("name", "convae"),
        ("spec", "cnn:width"),
        ("spec", "x" * 10_001),
        ("dataset", "digits; rm"),
        ("dataset", ""),
        ("seed", -1),
        ("seed", True),
        ("device", "cpu\x1b[2J"),
        ("family", "attack"),
        ("scores", [{}]),
        ("more", 1),
    ],
)
def test_an_entry_with_a_fault_is_named(tmp_path: Path, key: str, value: Any) -> None:
    content = json.loads((pretrained() / MANIFEST).read_text())
    index = next(i for i, entry in enumerate(content["networks"]) if entry["name"] == "cnn")
    content["networks"][index][key] = value
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(RequestError, match=rf"manifest\.json: networks\.{index}") as error:
        Manifest.read(tmp_path)
    assert len(str(error.value)) < 1000
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classifier", "a/b"),
        ("defense", ""),
        ("images", ""),
        ("n", 0),
        ("draws", 1.0),
        ("value", 1.1),
        ("verdict", "fine"),
        ("reasons", "none"),
        ("machine", "x" * 10_001),
        ("settings", {"a b": 1}),
    ],
)
def test_a_score_with_a_fault_is_named(tmp_path: Path, key: str, value: Any) -> None:
    content = json.loads((pretrained() / MANIFEST).read_text())
    content["networks"][0]["scores"][0][key] = value
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(RequestError, match=rf"networks\.0\.scores\.0\.{key}"):
        Manifest.read(tmp_path)


def test_a_manifest_of_version_1_is_read(tmp_path: Path) -> None:
    """Its verdict was a single text: the level, and behind a colon the reasons."""
    content = json.loads((pretrained() / MANIFEST).read_text())
    verdicts = ["suspect: weaker than fgsm: 0.6 against 0.3; not converged", "ok", None]
    scores = content["networks"][1]["scores"][: len(verdicts)]
    for entry in content["networks"]:
        entry["scores"] = scores if entry is content["networks"][1] else []
    for score, verdict in zip(scores, verdicts, strict=True):
        del score["reasons"]
        score["verdict"] = verdict
    (tmp_path / MANIFEST).write_text(json.dumps({**content, "version": 1}))
    manifest = Manifest.read(tmp_path)
    assert manifest.version == 2
    assert [(score.verdict, score.reasons) for score in manifest.networks[1].scores] == [
        ("suspect", ["weaker than fgsm: 0.6 against 0.3", "not converged"]),
        ("ok", []),
        (None, []),
    ]


def test_both_options_at_once_are_refused(bench: Callable[..., Any]) -> None:
    done = bench("run", "--pretrained", "--weights", "x")
    assert done.code == 2
    assert "--pretrained or --weights, not both" in done.err


def test_given_artifacts_go_before_the_folders_and_are_never_written(tmp_path: Path) -> None:
    entry = min(Manifest.read(pretrained()).networks, key=lambda each: each.size)
    path = shutil.copy(pretrained() / entry.file, tmp_path / "given.safetensors")
    store = ArtifactStore(tmp_path / "cache", {"network": {entry.key: Path(path)}})
    key = artifact_key("network", read_artifact(Path(path)).meta["identity"])
    artifact, cached = store.get_or_make("network", key, lambda: pytest.fail("made"))
    assert cached
    assert artifact.digest == store.digest("network", key) == entry.digest
    assert store.find("network", entry.digest) == {entry.key: Path(path)}
    Path(path).write_bytes(b"gone")
    with pytest.raises(StorageError, match="can no longer be read"):
        store.load("network", key)
    assert Path(path).read_bytes() == b"gone"


def test_the_packages_weights_are_those_that_its_presets_ask_for() -> None:
    asked = {
        (cell.dataset, json.dumps(plugin.training_identity, sort_keys=True))
        for preset in ("mnist", "fashion_mnist")
        for cell in Grid.of(resolve(read_preset(preset), {}, preset)).cells()
        for plugin in (cell.classifier, cell.defense)
        if type(plugin.plugin).fit is not Network.fit
    }
    entries = Weights.open(pretrained()).entries.values()
    digests = {entry.digest for entry in entries}
    found = set()
    for entry in entries:
        identity = read_artifact(pretrained() / entry.file).meta["identity"]
        found.add((entry.dataset, json.dumps(identity["plugin"], sort_keys=True)))
        assert (identity["against"] or {}).get("weights") == entry.against
        assert entry.against is None or entry.against in digests
        assert identity["seed"] == entry.seed == 0
    assert found == asked


def test_the_packages_weights_are_small_and_their_card_is_of_them() -> None:
    networks = Manifest.read(pretrained()).networks
    assert sum(entry.size for entry in networks) < 20e6
    assert all((pretrained() / entry.file).stat().st_size == entry.size for entry in networks)
    assert {path.name for path in pretrained().glob("*.safetensors")} == {
        entry.file for entry in networks
    }
    assert (pretrained() / "README.md").read_text() == model_card(networks)


def test_a_run_folder_without_cells_has_nothing_to_hand_on(
    bench: Callable[..., Any], tmp_path: Path
) -> None:
    RunFolder.create(tmp_path / "nothing", {"preset": "x"})
    done = bench("export", "nothing", "weights")
    assert done.code == 2
    assert "nothing has no finished cells" in done.err
    assert not Path("weights").exists()
