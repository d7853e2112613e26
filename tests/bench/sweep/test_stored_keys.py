"""Content keys are those of version 0.1.0: its networks, adversarial sets and cells stay valid.

The file `keys-0.1.0.json` was written by that version. A key covers the digests of data and
weights, which stand in it as letters here, so that it does not depend on the machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.contracts import DataInfo
from bench.plugins.catalog import list_plugins
from bench.plugins.configured import configure
from bench.plugins.packages import FAMILIES
from bench.registry import ATTACKS, CLASSIFIERS, DEFENSES, Registry
from bench.stages.craft import Craft, ProjectToBudget
from bench.stages.predict import Predict
from bench.stages.references import AdversarialRef, NetworkRef, SplitRef
from bench.stages.threats import threat_model
from bench.stages.train import Train
from bench.store.artifacts import read_artifact
from bench.store.keys import content_key
from bench.store.weights import Manifest, pretrained
from bench.sweep.config import resolve
from bench.sweep.grid import Grid
from bench.sweep.presets import read_preset

STORED = json.loads((Path(__file__).parent / "keys-0.1.0.json").read_text())

DATA, TEST = "d" * 64, "e" * 64
INFO = DataInfo((1, 28, 28), 10)
TRAIN_SPLIT, TEST_SPLIT = SplitRef("digits", None, DATA, INFO), SplitRef("digits", 500, TEST, INFO)
ADVERSARIAL = AdversarialRef("k" * 64, "a" * 64)


AS_RELEASED: dict[str, dict[str, Any]] = {
    "quick": {"threats": ("graybox",), "draws": 3, "attack_eps": {}}
}
"""What the last release ran in a preset that has changed since."""

CHANGED = re.compile(r"craft pgd (bpda|whitebox:eot=4) ")
"""Sets that are computed again: on the pipeline, an attack now keeps each image's worst iterate."""


def overrides(preset: str) -> dict[str, dict[str, Any]]:
    return resolve(read_preset(preset), {}, preset).parameters


def builtin(registry: Registry[Any]) -> list[str]:
    """The built-in plugins of a family that need no file or name; tests register others."""
    needing = {info.name for info in list_plugins() if info.required}
    return [
        name
        for name in registry
        if registry.get(name).__module__.partition(".")[0] in FAMILIES.values()
        and name not in needing
    ]


def plugin_keys() -> Iterator[tuple[str, str]]:
    for registry in (DEFENSES, ATTACKS, CLASSIFIERS):
        for name in builtin(registry):
            yield f"{registry.family} {name}", content_key(configure(registry, name).identity)


def cell_keys() -> Iterator[tuple[str, str]]:
    for preset in ("quick", "mnist", "fashion_mnist", "paper-cpu"):
        config = resolve(read_preset(preset), AS_RELEASED.get(preset, {}), preset)
        protocol = {
            "batch_size": config.batch_size,
            "draws": config.draws,
            "convergence": config.convergence,
        }
        for cell in Grid.of(config).cells():
            yield f"{preset}: {cell}", cell.key(DATA, protocol)


def task_keys() -> Iterator[tuple[str, str]]:
    parameters = overrides("quick")
    cnn = configure(CLASSIFIERS, "cnn", parameters)
    classifier = NetworkRef(cnn, INFO, "k" * 64, "c" * 64)

    yield "train cnn", Train(cnn, TRAIN_SPLIT, 0).key
    yield "train substitute cnn", Train(cnn, TRAIN_SPLIT, 0, role="substitute").key
    yield "predict clean undefended", Predict(TEST_SPLIT, None, classifier, None, 100).key
    yield "within budget", ProjectToBudget(ADVERSARIAL, TEST_SPLIT, 0.1, "l2").key

    for name in builtin(DEFENSES):
        defense = configure(DEFENSES, name, parameters)
        against = classifier if defense.plugin.uses_classifier else None
        yield f"train {name}", Train(defense, TRAIN_SPLIT, 0, against).key

        purifier = NetworkRef(defense, INFO, "k" * 64, "p" * 64)
        for draw in (0, 1):
            task = Predict(TEST_SPLIT, ADVERSARIAL, classifier, purifier, 100, draw, 0)
            yield f"predict {name} draw {draw}", task.key
        for threat in ("bpda", "whitebox:eot=4", "query"):
            key = craft_key("pgd", threat, parameters, classifier, purifier)
            yield f"craft pgd {threat} {name}", key

    for attack in builtin(ATTACKS):
        for threat in ("noise", "graybox", "transfer"):
            key = craft_key(attack, threat, parameters, classifier, None)
            yield f"craft {attack} {threat}", key


def craft_key(
    attack: str,
    threat: str,
    parameters: dict[str, dict[str, Any]],
    classifier: NetworkRef,
    purifier: NetworkRef | None,
) -> str:
    model = threat_model(threat, parameters)
    uses = model.kind.uses
    task = Craft(
        configure(ATTACKS, attack, parameters),
        0.1,
        model,
        TEST_SPLIT,
        classifier if "classifier" in uses else None,
        purifier,
        classifier if "substitute" in uses else None,
        100,
        0,
    )
    return task.key


@pytest.mark.parametrize(
    ("part", "keys"), [("plugins", plugin_keys), ("cells", cell_keys), ("tasks", task_keys)]
)
def test_every_key_of_the_last_release_is_made_again(part: str, keys: Any) -> None:
    made = dict(keys())
    stored = STORED[part]

    kept = {name: key for name, key in stored.items() if not CHANGED.match(name)}
    assert {name: made.get(name) for name in kept} == kept
    assert all(made[name] != stored[name] for name in stored.keys() - kept.keys())


def test_the_shipped_networks_have_the_keys_of_the_last_release() -> None:
    entries = {entry.file: entry.key for entry in Manifest.read(pretrained()).networks}

    assert entries == STORED["shipped"]


@pytest.mark.parametrize("file", sorted(STORED["shipped"]))
def test_a_preset_asks_for_every_shipped_network(file: str) -> None:
    """The key that the training task has now, given the digests of data and classifier."""
    identity = read_artifact(pretrained() / file).meta["identity"]
    preset = file.partition("-")[0]
    registry: Any = DEFENSES if identity["family"] == "defense" else CLASSIFIERS
    plugin = configure(registry, identity["plugin"]["name"], overrides(preset))
    against = identity["against"]
    classifier = NetworkRef(
        configure(CLASSIFIERS, "cnn", overrides(preset)),
        INFO,
        "",
        against["weights"] if against else "",
    )

    task = Train(
        plugin,
        SplitRef(preset, None, identity["data"], INFO),
        identity["seed"],
        classifier if against else None,
    )

    assert task.key[:32] == STORED["shipped"][file]
