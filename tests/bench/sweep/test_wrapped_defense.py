"""A run with a defense that wraps another one: one network for both, wherever it is used."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.contracts import DataInfo
from bench.plugins.configured import configure
from bench.records.folder import RunFolder
from bench.registry import CLASSIFIERS, DEFENSES
from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.stages.references import NetworkRef, SplitRef
from bench.stages.train import Train
from bench.store.artifacts import read_artifact
from bench.store.weights import Manifest, pretrained
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import RunConfig, resolve
from bench.sweep.grid import Grid
from bench.sweep.plan import Planner
from bench.sweep.presets import read_preset

VOTE = "vote:defense=convae:draws=2"
GRID = ("--attacks", "fgsm", "--eps", "0.1", "--threats", "graybox", "--n", "20", "--draws", "2")


def planned(text: str) -> tuple[int, int]:
    """The networks of a plan: those that exist, and those to train."""
    given = re.search(r"networks: (?:(\d+) from .*, )?(\d+) cached, (\d+) to train", text)
    assert given, text
    return int(given[1] or 0) + int(given[2]), int(given[3])


@pytest.mark.slow
def test_a_trained_network_serves_the_inner_and_the_wrapped_defense(
    bench: Callable[..., Any], tiny: Path
) -> None:
    run = ("run", "--config", tiny, *GRID)
    done = bench(*run, "--defenses", f"convae,{VOTE}", "--out", "out")
    assert done.code == 0, done.err
    assert sum(planned(done.err)) == 2

    records = RunFolder.open(Path("out")).records()
    assert len(records) == 2
    assert {str(record.networks) for record in records} == {str(records[0].networks)}

    exported = bench("export", "out", "weights")
    assert exported.code == 0, exported.err
    networks = Manifest.read(Path("weights")).networks
    assert [network.name for network in networks] == ["cnn", "convae"]
    assert {score.defense for score in networks[1].scores} == {"convae", VOTE}
    assert VOTE in Path("weights/README.md").read_text()

    again = bench(*run, "--defenses", VOTE, "--out", "b", "--cache", "new", "--weights", "weights")
    assert again.code == 0, again.err
    assert planned(again.err) == (2, 0)


@pytest.mark.parametrize(("inner", "networks"), [("bitdepth", []), ("convae", ["defense convae"])])
def test_a_plan_counts_the_network_of_the_inner_defense(
    context: TaskContext, tiny_config: RunConfig, inner: str, networks: list[str]
) -> None:
    config = tiny_config.model_copy(update={"defenses": (inner, f"vote:defense={inner}")})
    tasks = CellTasks(LocalExecutor(context), context, config)
    plan = Planner(Grid.of(config), tasks, context).plan(lambda _: False)
    titles = [network.title.partition(" on ")[0] for network in plan.networks.values()]
    assert titles == ["classifier cnn", *networks]


@pytest.mark.parametrize("preset", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("name", ["convae", "puvae", "defensegan"])
def test_every_shipped_defense_serves_a_vote(preset: str, name: str) -> None:
    (entry,) = (
        entry
        for entry in Manifest.read(pretrained()).networks
        if (entry.dataset, entry.name) == (preset, name)
    )
    identity = read_artifact(pretrained() / entry.file).meta["identity"]
    parameters = resolve(read_preset(preset), {}, preset).parameters
    info = DataInfo((1, 28, 28), 10)

    cnn = configure(CLASSIFIERS, "cnn", parameters)
    against = NetworkRef(cnn, info, "", entry.against) if entry.against else None
    vote = configure(DEFENSES, f"vote:defense={name}", parameters)
    task = Train(vote, SplitRef(preset, None, identity["data"], info), entry.seed, against)
    assert task.key[:32] == entry.key
