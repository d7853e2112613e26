"""The digits: the same as ever by default, in color and in another size where that is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.registry import DATASETS
from bench.stages.datasets import load_dataset


def test_the_defaults_are_no_part_of_the_identity() -> None:
    assert configure(DATASETS, "digits").identity["parameters"] == {}
    assert configure(DATASETS, "digits:colors=gray:size=28").identity["parameters"] == {}


def test_color_changes_nothing_but_the_color() -> None:
    gray = load_dataset("digits:size=32", Path())
    color = load_dataset("digits:colors=rgb:size=32", Path())
    assert color.info.shape == (3, 32, 32)
    assert color.info.classes == 10

    images, colored = gray.test.images[:50].numpy(), color.test.images[:50].numpy()
    factor = colored.max(axis=(2, 3), keepdims=True) / images.max(axis=(2, 3), keepdims=True)
    assert np.allclose(colored, images * factor, atol=1e-2)
    assert 0.39 < factor.min() < 0.6 < 0.8 < factor.max() < 1.01
    assert (gray.test.labels == color.test.labels).all()
    assert load_dataset("digits:size=32:colors=rgb", Path()).test.digest == color.test.digest


@pytest.mark.parametrize("spec", ["digits:size=0", "digits:colors=blue", "digits:channels=3"])
def test_a_wrong_parameter_is_refused(spec: str) -> None:
    with pytest.raises(RequestError):
        configure(DATASETS, spec)
