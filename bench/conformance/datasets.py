"""The checks of data sets."""

from __future__ import annotations

from bench.conformance.subject import Check, Subject
from bench.errors import PluginFault, RequestError
from bench.progress import Silent
from bench.stages.datasets import LoadedDataset, loaded_dataset
from bench.stages.loading import LoadingContext


def _loaded(subject: Subject) -> LoadedDataset:
    """The data set, loaded now.

    Raises:
        PluginFault: it cannot be loaded, or its images or labels have another form.
    """
    context = LoadingContext(subject.description, subject.data, Silent())
    try:
        return loaded_dataset(subject.configured, context)
    except RequestError as error:
        raise PluginFault(str(error)) from error


def _sound(subject: Subject) -> None:
    """Images are uint8 or in [0, 1], of one shape; labels are integers from 0 on."""
    _loaded(subject)


def _all_classes(subject: Subject) -> None:
    """Every class has a training image, where there are any, else a test image."""
    data = _loaded(subject)
    part = data.test if data.train is None else data.train
    missing = [
        label for label in range(data.info.classes) if not bool((part.labels == label).any())
    ]
    if missing:
        name = "test" if data.train is None else "training"
        raise PluginFault(f"class {missing[0]} of {data.info.classes} has no {name} image")


def _repeatable(subject: Subject) -> None:
    """Two calls of `load` give the same images in the same order."""
    first, second = _loaded(subject), _loaded(subject)
    pairs = [(first.test, second.test)]
    if first.train is not None and second.train is not None:
        pairs.append((first.train, second.train))
    if any(one.digest != other.digest for one, other in pairs):
        raise PluginFault("load() gives other images in the second call: seed what it draws")


DATASET_CHECKS: tuple[Check, ...] = (_sound, _all_classes, _repeatable)
"""The checks of a data set."""
