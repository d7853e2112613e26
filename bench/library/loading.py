"""Trained networks, attacks and data sets of the benchmark for a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from bench.commands.folders import cache_folder, data_folder, weights_folder
from bench.contracts import Attack
from bench.errors import RequestError, unknown
from bench.library.given import remember
from bench.library.runs import AnyPath, path, reporter_of
from bench.machine.devices import choose_device
from bench.plugins.configured import configure
from bench.plugins.discovery import discover
from bench.registry import ATTACKS, REGISTRIES
from bench.stages.context import TaskContext
from bench.stages.datasets import LoadedDataset
from bench.stages.executor import LocalExecutor
from bench.store.artifacts import ArtifactStore
from bench.store.weights import KIND, Weights
from bench.sweep.cell_tasks import CellTasks
from bench.sweep.config import resolve
from bench.sweep.grid import Grid
from bench.sweep.presets import preset_names, read_preset

Family = Literal["defense", "classifier", "attack", "dataset"]

_OF_DIGITS = "quick"
"""Preset of the digits."""


def load(
    family: Family,
    spec: str,
    *,
    dataset: str = "digits",
    classifier: str = "cnn",
    seed: int = 0,
    preset: str | None = None,
    pretrained: bool = False,
    weights: AnyPath | None = None,
    plugins: Sequence[AnyPath] = (),
    data: AnyPath | None = None,
    cache: AnyPath | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> Any:
    """A trained network, an attack or a data set of the benchmark.

    Args:
        family: `defense`, `classifier`, `attack` or `dataset`.
        spec: name of the plugin with parameters, such as `puvae:noise=0.2`.
        dataset: data set that a network is trained on.
        classifier: spec of the classifier that a defense is trained with, if it uses one.
        seed: seed of the training.
        preset: preset whose parameters replace the plugins' defaults; by default that of the data
            set (`quick` for the digits), or none.
        pretrained: whether the trained networks of the package replace training.
        weights: folder of other trained networks that do.
        plugins: files or modules with plugins.
        data: folder of data sets; None for the default.
        cache: folder of trained networks; None for the default.
        device: device of the network, and of its training.
        progress: whether progress is shown on standard error.

    Returns:
        For a network its torch module, frozen and in evaluation mode, trained now where neither the
        cache nor the given weights have it. For an attack the plugin, whose
        `perturb(model, images, labels, eps)` crafts. For a data set an object with
        `test_images(n)`, `train`, `info` and `class_names`; images are float32
        (n, channels, height, width) in [0, 1].

    Raises:
        RequestError: a name or parameter is wrong, or a data set cannot be had.
        PluginFault: the training failed.
    """
    if family not in REGISTRIES:
        raise unknown("family", family, REGISTRIES)
    discover([str(plugin) for plugin in plugins])
    overrides = _parameters(dataset, preset)
    if family == "attack":
        attack: Attack = configure(ATTACKS, spec, overrides).plugin
        return attack

    given = _given(weights_folder(pretrained, path(weights)))
    context = TaskContext(
        choose_device(device),
        ArtifactStore(cache_folder(path(cache)), given),
        data_folder(path(data)),
        reporter_of(progress),
    )
    if family == "dataset":
        loaded: LoadedDataset = context.dataset(spec)
        return loaded

    content = {
        "datasets": [dataset],
        "classifiers": [spec if family == "classifier" else classifier],
        "defenses": [spec if family == "defense" else "none"],
        "attacks": ["fgsm"],
        "seeds": [seed],
        "n": 1,
        "parameters": overrides,
    }
    config = resolve(content, {}, "load()")
    cell = next(Grid.of(config).cells())
    networks = CellTasks(LocalExecutor(context), context, config).networks(cell)
    reference = networks.defense if family == "defense" else networks.classifier
    module = context.network(reference)
    remember(module, reference)

    return module


def _given(weights: Any) -> dict[str, Any] | None:
    return {KIND: Weights.open(weights).paths} if weights else None


def _parameters(dataset: str, preset: str | None) -> dict[str, dict[str, Any]]:
    """Parameters by plugin name, of the preset that was asked for or that of the data set.

    Raises:
        RequestError: there is no such preset.
    """
    of_data = _OF_DIGITS if dataset == "digits" else dataset
    name = preset or (of_data if of_data in preset_names() else None)
    if name is None:
        return {}
    parameters = read_preset(name).get("parameters", {})
    if not isinstance(parameters, dict):
        raise RequestError(f"preset {name}: parameters is no table")
    return parameters
