"""Verdicts: a number that means nothing is marked."""

from __future__ import annotations

import numpy as np

from bench.checks import verdict


def outcome(**changes: object) -> dict[str, np.ndarray]:
    n = 100
    sound: dict[str, object] = {
        "attacked": np.ones(n, bool),
        "linf": np.full(n, 0.1),
        "gradient_norm": np.ones(n, np.float32),
    }
    return {name: np.asarray(value) for name, value in {**sound, **changes}.items()}


def test_a_sound_attack_is_ok() -> None:
    assert str(verdict(outcome(), 0.1)) == "ok"


def test_an_attack_that_moved_nothing_is_invalid() -> None:
    found = verdict(outcome(linf=np.zeros(100)), 0.1)
    assert found.level == "invalid"
    assert "moved 0% of the images" in str(found)


def test_an_attack_that_moved_most_images_is_suspect() -> None:
    assert verdict(outcome(linf=np.r_[np.zeros(10), np.ones(90)]), 0.1).level == "suspect"


def test_images_that_were_not_attacked_do_not_count() -> None:
    half = np.r_[np.zeros(50), np.ones(50)]
    assert verdict(outcome(attacked=half.astype(bool), linf=half, gradient_norm=half), 0.1).level == "ok"


def test_a_masked_gradient_is_marked() -> None:
    for bad in (0.0, np.nan, np.inf):
        assert verdict(outcome(gradient_norm=np.full(100, bad)), 0.1).level == "invalid"
        assert verdict(outcome(gradient_norm=np.r_[np.full(10, bad), np.ones(90)]), 0.1).level == "suspect"


def test_every_reason_is_told_and_the_worst_level_counts() -> None:
    found = verdict(outcome(linf=np.r_[np.zeros(10), np.ones(90)], gradient_norm=np.zeros(100)), 0.1)
    assert found.level == "invalid"
    assert len(found.reasons) == 2


def test_at_epsilon_zero_nothing_need_move() -> None:
    assert verdict(outcome(linf=np.zeros(100)), 0.0).level == "ok"
