"""The evaluation of networks that a program gives, on images that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.commands.destination import Destination
from bench.commands.folders import cache_folder, data_folder
from bench.commands.preparation import PreparedRun, prepare_grid
from bench.contracts import DataInfo, ImageSets, LabelledImages
from bench.errors import PluginFault, RequestError
from bench.failures import message_line
from bench.library.arguments import budgets_of, check_arguments, check_names, listed
from bench.library.given import (
    GivenModule,
    given_network,
    loaded_name,
    logits_probe,
    purifier_probe,
)
from bench.library.results import Results
from bench.library.runs import AnyPath, finished, path, reporter_of
from bench.machine.devices import choose_device
from bench.plugins.configured import Configured, configure
from bench.plugins.discovery import discover
from bench.plugins.faults import plugin_call
from bench.registry import DEFENSES
from bench.stages.context import TaskContext
from bench.stages.datasets import LoadedDataset
from bench.stages.image_sets import checked_splits
from bench.store.artifacts import ArtifactStore
from bench.sweep.cell import Cell
from bench.sweep.config import resolve
from bench.sweep.config_checks import check_fixed_names
from bench.sweep.grid import Grid

Array = Tensor | NDArray[Any]

Purifiers = GivenModule | None | Mapping[str, GivenModule | None]
"""A purifier, none, or several by name."""

_PROBED = 100
"""Number of images on which it is found out whether a network is randomized."""

_FOLDER = "evaluations"
"""Folder of evaluations without a folder of their own, below that of artifacts."""


def evaluate(
    purifier: Purifiers,
    classifier: GivenModule,
    images: Array,
    labels: Array,
    *,
    attacks: Sequence[str] = ("fgsm", "pgd"),
    eps: float | Sequence[float] | Mapping[str, Sequence[float]] = (0.1, 0.3),
    threats: Sequence[str] = ("graybox", "bpda", "whitebox"),
    train: tuple[Array, Array] | None = None,
    class_names: Sequence[str] = (),
    name: str = "images",
    seed: int = 0,
    batch_size: int = 100,
    draws: int = 3,
    convergence: int = 50,
    stochastic: bool | None = None,
    latency: bool = True,
    latency_settings: Mapping[str, Any] | None = None,
    out: AnyPath | None = None,
    cache: AnyPath | None = None,
    device: str = "auto",
    progress: bool = True,
) -> Results:
    """Attack and time a purifier in front of a classifier, with the verdicts of a run.

    Nothing is registered and no file is needed. Results are kept under the content of the images,
    the weights, the state and the code of the networks: the same call continues an interrupted one
    and finds what it has computed; after a change it computes anew.

    Args:
        purifier: torch module or function from images to purified images, both float32
            (n, channels, height, width) in [0, 1]; a module may have what that of a defense may,
            such as `classify` or `stand_ins`. None for no defense. A mapping compares several by
            name.
        classifier: torch module or function from images to logits (n, classes).
        images: test images, uint8 or floating-point numbers in [0, 1], with one or three channels
            before or after the sides.
        labels: their classes, integers from 0 on, (n,).
        attacks: specs of attacks, such as `pgd:steps=20`.
        eps: budgets on the [0, 1] scale, or budgets by attack.
        threats: threat models, such as `graybox`, `whitebox:eot=10` or `adaptive`.
        train: training images and labels, which a learned stand-in of `adaptive` is fitted to;
            None for none.
        class_names: names of the classes; empty for numbers.
        name: name of the images in tables.
        seed: seed of the attacks.
        batch_size: number of images that are attacked and evaluated at once.
        draws: number of evaluations of a randomized network.
        convergence: number of images for the convergence check and the probes; 0 turns them off.
        stochastic: whether calls of a purifier on the same images may differ; None to find out.
        latency: whether the pipelines are timed.
        latency_settings: settings of the timing, by the keys of `[latency]` in a configuration.
        out: folder of the results; by default one in the cache, of a name that depends on what is
            evaluated.
        cache: folder of artifacts; None for the default.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: whether progress is shown on standard error.

    Raises:
        RequestError: an argument is wrong; nothing was computed.
        PluginFault: a network or an attack raised or broke its contract; the cause is the exception
            itself, and what was computed before is kept.
    """
    discover()
    check_arguments(name, eps, train, class_names, latency_settings, stochastic)
    data = _dataset(name, images, labels, train, class_names)
    content = {
        "datasets": [name],
        "attacks": listed(attacks),
        "threats": listed(threats),
        "seeds": [seed],
        "n": len(data.test),
        "batch_size": batch_size,
        "draws": draws,
        "convergence": convergence,
        "latency": dict(latency_settings or {}),
        **budgets_of(eps),
    }
    networks = _Networks.of(purifier, classifier, data, stochastic)
    prepared = _prepared(content, networks, data, device, path(out), path(cache), progress)

    return finished(prepared, latency=latency, on_fault=_raise)


@dataclass(frozen=True)
class _Networks:
    """The given networks as plugins of a run."""

    classifier: Configured[Any]
    defenses: tuple[Configured[Any], ...]

    @classmethod
    def of(
        cls,
        purifier: Purifiers,
        classifier: GivenModule,
        data: LoadedDataset,
        stochastic: bool | None,
    ) -> _Networks:
        images = data.test.pixels.first(_PROBED)
        bare = given_network(
            "classifier", _name_of(classifier, "classifier"), classifier, logits_probe(images), None
        )
        copied = bare.plugin.build(data.info).eval()
        _check_logits(copied, images, data.info)
        probe = purifier_probe(images, copied)
        named = purifier if isinstance(purifier, Mapping) else {_name_of(purifier): purifier}
        check_names(named)

        defenses = (
            configure(DEFENSES, "none")
            if given is None
            else given_network("defense", label, given, probe, stochastic)
            for label, given in named.items()
        )
        return cls(bare, tuple(defenses))


def _prepared(
    content: Mapping[str, Any],
    networks: _Networks,
    data: LoadedDataset,
    device: str,
    out: Path | None,
    cache: Path | None,
    progress: bool,
) -> PreparedRun:
    """The run of an evaluation, ready to start."""
    labels = {
        "classifiers": [networks.classifier.label],
        "defenses": [defense.label for defense in networks.defenses],
    }
    config = resolve({**content, **labels}, {}, "evaluate()")
    check_fixed_names(config)
    grid = Grid.of_networks(config, (networks.classifier,), networks.defenses)
    folder = cache_folder(cache)
    context = TaskContext(
        choose_device(device),
        ArtifactStore(folder),
        data_folder(None),
        reporter_of(progress),
        {data.name: data},
    )
    destination = Destination(
        "evaluation", folder / _FOLDER if out is None else out, is_parent=out is None
    )
    return prepare_grid(grid, config, context, destination)


def _raise(_cell: Cell, fault: PluginFault) -> None:
    raise fault


def _dataset(
    name: str,
    images: Array,
    labels: Array,
    train: tuple[Array, Array] | None,
    class_names: Sequence[str],
) -> LoadedDataset:
    """The given images as a data set, in the order in which they are given.

    Raises:
        RequestError: images or labels have another form or range.
    """
    sets = ImageSets(
        test=LabelledImages(_array(images), _array(labels)),
        train=LabelledImages(_array(train[0]), _array(train[1])) if train is not None else None,
        class_names=class_names,
    )
    try:
        training, test, names = checked_splits(sets)
    except ValueError as error:
        raise RequestError(f"evaluate(): {message_line(error)}") from None

    return LoadedDataset.of(name, training, test, names)


def _array(values: Array) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _name_of(network: object, default: str = "purifier") -> str:
    """The name of a network in tables: that of its class or function."""
    if network is None:
        return "none"
    if (name := loaded_name(network)) is not None:
        return name
    name = getattr(network, "__name__", type(network).__name__).strip("_<>")
    return name if name.isidentifier() else default


def _check_logits(classifier: nn.Module, images: Tensor, info: DataInfo) -> None:
    """Check the number of logits before anything is computed.

    Raises:
        RequestError: there are fewer logits than classes, or more.
        PluginFault: the classifier raises.
    """
    with torch.no_grad(), plugin_call("the classifier"):
        logits = classifier(images.clone())
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (len(images), info.classes):
        raise RequestError(
            f"the classifier gives {shape} for {len(images)} images of {info.classes} classes "
            f"instead of {(len(images), info.classes)}: name all classes with class_names if the "
            "labels do not show them"
        )
