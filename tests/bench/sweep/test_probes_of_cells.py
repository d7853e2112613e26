"""Which probes a cell has, and which of them other cells share."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.stages.task import Task
from bench.store.artifacts import Artifact
from bench.sweep.cell import Cell
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import RunConfig
from bench.sweep.evaluated import Evaluated
from bench.sweep.grid import Grid
from bench.sweep.probes import _nearest_clean_images

ALWAYS = {"repeat_shift", "alone_shift", "purified_distance", "input_distance"}
ATTACKED = ALWAYS | {"gradients_shift", "seen", "final_margin", "noise_margin"}
GRADIENT = ATTACKED | {"classifier_rise"}
SCORES = GRADIENT | {"score_right", "full_range_right"}


class Recording(LocalExecutor):
    """Notes the probes that are asked for."""

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        self.probes: list[Task] = []

    def artifact(self, task: Task) -> Artifact:
        if task.kind == "probes":
            self.probes.append(task)
        return super().artifact(task)


@pytest.fixture
def config(tiny_config: RunConfig) -> RunConfig:
    return tiny_config.model_copy(
        update={"n": 12, "convergence": 10, "eps": (0.1,), "attacks": ("pgd:steps=2",)}
    )


def probes(
    context: TaskContext, config: RunConfig, executor: LocalExecutor | None = None, **axes: object
) -> list[set[str]]:
    """The names of the probes of every cell of a run."""
    changed = config.model_copy(update=axes)
    tasks = CellTasks(executor or LocalExecutor(context), context, changed)

    def names(cell: Cell) -> set[str]:
        found = tasks.result(cell, tasks.networks(cell)).outcome.probes
        arrays = dataclasses.asdict(found)
        return {name for name, array in arrays.items() if array is not None}

    return [names(cell) for cell in Grid.of(changed).cells()]


@pytest.mark.parametrize(
    ("threat", "expected"),
    [
        ("noise", ALWAYS),
        ("transfer", GRADIENT | {"score_right"}),
        ("graybox", SCORES),
        ("bpda", SCORES),
        ("whitebox", SCORES | {"pipeline_rise"}),
    ],
)
def test_a_cell_has_the_probes_that_its_threat_model_calls_for(
    context: TaskContext, config: RunConfig, threat: str, expected: set[str]
) -> None:
    assert probes(context, config, defenses=("none",), threats=(threat,)) == [expected]


def test_a_single_step_is_held_against_no_search_and_not_tried_at_full_range(
    context: TaskContext, config: RunConfig
) -> None:
    one = {"defenses": ("none",), "attacks": ("fgsm",)}
    assert probes(context, config, **one) == [GRADIENT]


def test_eot_is_measured_where_it_is_asked_for(context: TaskContext, config: RunConfig) -> None:
    random = SCORES - {"repeat_shift", "alone_shift"} | {"pipeline_rise"}
    noisy = {"defenses": ("gaussian_noise",)}
    assert probes(context, config, threats=("whitebox",), **noisy) == [random]
    assert probes(context, config, threats=("whitebox:eot=2",), **noisy) == [random | {"eot_calls"}]


def test_no_convergence_images_mean_no_probes(context: TaskContext, config: RunConfig) -> None:
    assert probes(context, config, convergence=0) == [set(), set()]


def test_cells_share_what_does_not_depend_on_them(context: TaskContext, config: RunConfig) -> None:
    executor = Recording(context)
    grid = {
        "defenses": ("none", "median"), "attacks": ("fgsm", "pgd:steps=2"),
        "eps": (0.1, 0.2), "threats": ("graybox",),
    }  # fmt: skip
    probes(context, config, executor, **grid)
    keys: dict[str, set[str]] = {}
    for task in executor.probes:
        keys.setdefault(type(task).__name__, set()).add(task.key)

    assert {name: len(found) for name, found in keys.items()} == {
        "GradientProbe": 1,  # of the classifier
        "RepeatProbe": 2,  # of each pipeline
        "NoiseProbe": 2,  # of the classifier at each budget
        "ScoreProbe": 2,
        "FinalImagesProbe": 4,  # of each adversarial set
    }


def test_the_nearest_clean_image_is_compared_with_the_input_too() -> None:
    clean = np.random.default_rng(0).random((6, 1, 8, 8), np.float32)
    clean[5] = clean[5] > 0.5  # an image of two values, which a quantizer may restore

    def distances(purified: np.ndarray, adversarial: np.ndarray) -> list[tuple[float, float]]:
        arrays = _nearest_clean_images(
            Evaluated(None, None, None, clean, {"adversarial": adversarial}, purified)  # type: ignore[arg-type]
        )
        return list(zip(*(arrays[name].tolist() for name in sorted(arrays)[::-1]), strict=True))

    adversarial = (clean + 0.1).clip(0, 1)
    restored = distances(clean[[3, 1]], adversarial)
    assert [purified for purified, _ in restored] == [0, 0]
    assert restored[0][1] == pytest.approx(np.abs(adversarial[0] - clean[3]).max())
    assert restored[1][1] == pytest.approx(0.1, abs=1e-6)
    assert distances(clean[[5]], adversarial) == []
