"""Probes in a file: what was measured comes back, and anything else is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.records.outcome import Outcome
from bench.records.probes import NOISES, PREFIX, RIVALS, STEPS, Probes

N, K = 20, 8

FULL: dict[str, np.ndarray] = {
    "classifier_rise": np.full((K, len(STEPS), 1 + RIVALS), -0.5, np.float32),
    "pipeline_rise": np.full((K, len(STEPS), 1 + RIVALS), np.nan, np.float32),
    "repeat_shift": np.zeros(K, np.float32),
    "alone_shift": np.full(K, np.nan, np.float32),
    "gradients_shift": np.ones(K, np.float32),
    "seen": np.arange(K, dtype=np.int16),
    "final_margin": np.full(K, -1.5, np.float32),
    "noise_margin": np.full((K, NOISES), 2.5, np.float32),
    "score_right": np.linspace(0, 1, K, dtype=np.float32),
    "full_range_right": np.ones(K, np.float32),
    "eot_calls": np.asarray([40, 80]),
    "purified_distance": np.zeros(K, np.float32),
    "input_distance": np.zeros(K, np.float32),
}


def outcome(made: Any, **probes: np.ndarray) -> Outcome:
    arrays = made.outcome(np.ones(N)).to_arrays()
    return Outcome.from_arrays({**arrays, **{PREFIX + name: probes[name] for name in probes}})


def test_every_probe_comes_back(made: Any) -> None:
    assert FULL.keys() == Probes.__dataclass_fields__.keys()
    found = outcome(made, **FULL)
    for name, array in FULL.items():
        np.testing.assert_array_equal(getattr(found.probes, name), array)
    assert found.to_arrays().keys() == {
        *made.outcome(np.ones(N)).to_arrays(),
        *(PREFIX + name for name in FULL),
    }


def test_an_outcome_of_an_earlier_version_has_none(made: Any) -> None:
    assert outcome(made).probes.to_arrays() == {}


@pytest.mark.parametrize("name", FULL)
@pytest.mark.parametrize("change", ["empty", "scalar", "more axes", "too many", "another type"])
def test_another_shape_or_type_is_refused(made: Any, name: str, change: str) -> None:
    array = FULL[name]
    changed = {
        "empty": array[:0],
        "scalar": array.ravel()[0],
        "more axes": array[..., None],
        "too many": np.concatenate([array] * 3),
        "another type": array.astype("U8"),
    }[change]
    with pytest.raises(ValueError, match=f"array '{PREFIX}{name}'"):
        outcome(made, **{name: np.asarray(changed)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classifier_rise", np.inf), ("noise_margin", -np.inf), ("repeat_shift", -1.0),
        ("score_right", 1.5), ("full_range_right", np.nan), ("seen", -2),
        ("purified_distance", np.nan), ("eot_calls", -1),
    ],
)  # fmt: skip
def test_impossible_values_are_refused(made: Any, name: str, value: float) -> None:
    wrong = FULL[name].copy()
    wrong.flat[0] = value
    with pytest.raises(ValueError, match=f"array '{PREFIX}{name}' must hold"):
        outcome(made, **{name: wrong})


def test_an_unknown_probe_is_refused(made: Any) -> None:
    with pytest.raises(ValueError, match="there is no array 'probe_mind' in an outcome"):
        outcome(made, mind=np.ones(K))
