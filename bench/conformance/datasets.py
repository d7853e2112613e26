"""The checks of data sets."""

from __future__ import annotations

from bench.conformance.subject import Checks, Subject
from bench.errors import PluginFault, RequestError


def _sound(subject: Subject) -> None:
    """Images are uint8 or in [0, 1], of one shape; labels are integers from 0 on."""
    try:
        _ = subject.dataset
    except RequestError as error:
        raise PluginFault(str(error)) from error


def _all_classes(subject: Subject) -> None:
    """Every class has a training image, where there are any, else a test image."""
    data = subject.dataset
    part = data.test if data.train is None else data.train
    counts = part.labels.bincount(minlength=data.info.classes)
    missing = (counts == 0).nonzero().flatten().tolist()
    if missing:
        name = "test" if data.train is None else "training"
        raise PluginFault(f"class {missing[0]} of {data.info.classes} has no {name} image")


def _repeatable(subject: Subject) -> None:
    """Two calls of `load` give the same images in the same order."""
    first, second = subject.dataset, subject.load()
    pairs = [(first.test, second.test)]
    if first.train is not None and second.train is not None:
        pairs.append((first.train, second.train))
    if any(one.digest != other.digest for one, other in pairs):
        raise PluginFault("load() gives other images in the second call: seed what it draws")


DATASET_CHECKS: Checks = {_sound: (), _all_classes: (_sound,), _repeatable: (_sound,)}
"""The checks of a data set."""
