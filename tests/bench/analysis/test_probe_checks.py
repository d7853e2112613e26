"""Checks on probes: each speaks where its measurement is bad, and is silent where it is sound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.verdict import Verdict
from bench.records.cell import CascadeMember
from bench.records.probes import NOISES, RIVALS, STEPS, Probes
from tests.bench.analysis.test_checks import LABELS, N, cell, text, verdict

K = 40

MEMBERS = (CascadeMember("whitebox", "pgd", 100, 50, 1, 1),)


def probed(right: Any = 50, *, members: tuple[CascadeMember, ...] = (), **options: Any) -> Verdict:
    """The verdict on a cell with probes; options that `Probes` does not know go to the cell."""
    names = Probes.__dataclass_fields__.keys() & options.keys()
    probes = Probes(**{name: np.asarray(options.pop(name)) for name in names})
    return verdict(cell(right, probes=probes, members=members, **options))


def rise(wins: int, flat: int = 0, k: int = K, scale: float = 1.0) -> np.ndarray:
    """Rises along a gradient that beats its rivals on so many images, and is flat on others."""
    result = np.zeros((k, len(STEPS), 1 + RIVALS), np.float32)
    result[:, :, 1:] = np.linspace(-0.5, 0.5, RIVALS)
    result[:, :, 0] = -0.2
    result[:wins, :, 0] = 1.0
    result[k - flat :] = 0.0
    return result * scale


class TestGradient:
    @pytest.mark.parametrize("name", ["classifier_rise", "pipeline_rise"])
    @pytest.mark.parametrize(
        ("wins", "level"), [(K, "ok"), (30, "ok"), (24, "suspect"), (8, "invalid"), (0, "invalid")]
    )
    def test_it_must_beat_other_directions_at_most_images(
        self, name: str, wins: int, level: str
    ) -> None:
        found = probed(**{name: rise(wins)})
        assert found.level == level
        assert ("misleads" in text(found)) == (level != "ok")

    @given(st.integers(-30, 30))
    def test_the_scale_of_the_loss_does_not_matter(self, exponent: int) -> None:
        assert probed(pipeline_rise=rise(K, scale=10.0**exponent)).level == "ok"
        assert probed(pipeline_rise=rise(5, scale=10.0**exponent)).level == "invalid"

    def test_the_best_step_counts(self) -> None:
        short = rise(K)
        short[:, 1:, 0] = -1.0
        assert probed(pipeline_rise=short).level == "ok"

    def test_a_loss_that_never_changes_along_it_is_suspect(self) -> None:
        found = probed(pipeline_rise=rise(K, flat=30))
        assert found.level == "suspect"
        assert "at 75% of the images no step along it changes the loss" in text(found)
        assert probed(pipeline_rise=rise(K, flat=20)).level == "ok"

    def test_images_without_a_usable_gradient_have_another_check(self) -> None:
        masked = rise(0)
        masked[5:] = np.nan
        assert probed(pipeline_rise=masked).level == "ok"

    def test_only_one_of_the_members_of_a_cascade_follows_the_purifiers(self) -> None:
        assert probed(pipeline_rise=rise(0)).level == "invalid"
        found = probed(pipeline_rise=rise(0), members=MEMBERS)
        assert found.level == "ok"
        assert "misleads" in text(found)
        assert probed(classifier_rise=rise(0), members=MEMBERS).level == "invalid"

    def test_under_transfer_it_is_the_substitutes(self) -> None:
        assert "gradient of the substitute" in text(
            probed(threat="transfer", classifier_rise=rise(0))
        )


class TestNoise:
    @staticmethod
    def margins(wins: int) -> dict[str, np.ndarray]:
        final = np.where(np.arange(K) < wins, 1.0, -3.0)
        return {"final_margin": final, "noise_margin": np.full((K, NOISES), -2.0)}

    @pytest.mark.parametrize(
        ("wins", "level"), [(K, "ok"), (28, "ok"), (24, "suspect"), (10, "invalid")]
    )
    def test_an_attack_does_more_than_noise_of_its_size(self, wins: int, level: str) -> None:
        found = probed(**self.margins(wins))
        assert found.level == level
        assert ("noise of its size" in text(found)) == (level != "ok")

    def test_an_image_that_is_barely_misclassified_is_a_success(self) -> None:
        final, noise = np.full(K, 1e-4), np.full((K, NOISES), 3.0)
        assert probed(final_margin=final, noise_margin=noise).level == "ok"
        assert probed(final_margin=-final, noise_margin=noise).level == "invalid"

    def test_images_that_were_not_attacked_do_not_count(self) -> None:
        attacked = np.arange(N) < 20
        assert probed(**self.margins(20), attacked=attacked).level == "ok"

    def test_images_that_a_search_gave_back_do_not_count(self) -> None:
        moved = np.where(np.arange(N) < 20, 0.1, 0.0)
        search = {"returns_unbroken": True}
        assert probed(**self.margins(20), linf=moved, facts=search).level == "ok"
        assert probed(**self.margins(5), linf=moved, facts=search).level == "invalid"


class TestWithGradientsAndWithout:
    def test_other_logits_with_gradients_on_are_invalid(self) -> None:
        share = np.where(np.arange(K) < 10, 0.3, 0.0)
        assert "gives the attacker other logits" in text(probed(gradients_shift=share))
        assert probed(gradients_shift=share).level == "invalid"
        assert probed(gradients_shift=np.full(K, 1e-4)).level == "ok"
        assert probed(gradients_shift=np.full(K, np.nan)).level == "invalid"
        assert probed(gradients_shift=np.where(np.arange(K) < 3, 0.3, 0.0)).level == "ok"

    @pytest.mark.parametrize("threat", ["whitebox", "graybox"])
    def test_other_classes_than_when_evaluated_are_invalid(self, threat: str) -> None:
        evaluated = cell(50, threat=threat).outcome
        shown = (
            evaluated.adversarial_defended[0]
            if threat == "whitebox"
            else evaluated.adversarial_undefended
        )
        assert probed(threat=threat, seen=shown[:K]).level == "ok"
        found = probed(threat=threat, seen=(shown[:K] + 1) % 10)
        assert found.level == "invalid"
        assert "other classes than when evaluated at 100%" in text(found)

    def test_draws_of_a_randomized_pipeline_may_differ(self) -> None:
        facts = {"stochastic": True, "eot": 4}
        assert probed([50, 52], seen=(LABELS[:K] + 1) % 10, facts=facts).level == "ok"


class TestRepetition:
    def test_a_pipeline_that_does_not_declare_randomness_says_the_same_twice(self) -> None:
        found = probed(repeat_shift=np.full(16, 0.01), alone_shift=np.full(16, 0.5))
        assert found.level == "invalid"
        assert len(found.reasons) == 1, "what differs in two calls differs alone, too"
        assert "two calls differ at 100% of the images" in text(found)
        assert probed(repeat_shift=np.full(16, 1e-6)).level == "ok"

    def test_the_other_images_of_the_batch_do_not_matter(self) -> None:
        alone = np.r_[np.full(8, 0.2), np.full(8, np.nan)]
        found = probed(repeat_shift=np.zeros(16), alone_shift=alone)
        assert found.level == "suspect"
        assert "the other images of the batch change the logits" in text(found)
        assert probed(alone_shift=np.full(16, 1e-4)).level == "ok"
        assert probed(alone_shift=np.full(16, np.nan)).level == "ok"


class TestSearch:
    @pytest.mark.parametrize(
        ("survivors", "left", "level"),
        [(20, 20, "ok"), (20, 16, "ok"), (20, 10, "suspect"), (5, 1, "suspect"), (3, 0, "ok")],
    )
    def test_it_breaks_few_images_that_withstood_the_attack(
        self, survivors: int, left: int, level: str
    ) -> None:
        found = probed(survivors, score_right=(np.arange(20) < left).astype(float))
        assert found.level == level
        assert ("search without gradients" in text(found)) == (level != "ok")

    def test_a_single_step_is_not_held_against_it(self) -> None:
        right = np.zeros(20)
        assert probed(60, attack="fgsm", score_right=right).level == "ok"
        assert probed(60, facts={"single_step": True}, score_right=right).level == "ok"
        steps = {"single_step": False, "steps": None}
        assert probed(60, attack="own", facts=steps, score_right=right).level == "suspect"

    def test_an_unlucky_draw_is_no_break(self) -> None:
        facts = {"stochastic": True, "eot": 4}
        assert probed([60, 60], facts=facts, score_right=np.full(20, 0.75)).level == "ok"
        assert probed([60, 60], facts=facts, score_right=np.full(20, 0.25)).level == "suspect"

    def test_graybox_is_judged_on_the_bare_classifier(self) -> None:
        right = np.zeros(20)
        assert probed(90, bare=0, threat="graybox", score_right=right).level == "ok"
        assert probed(90, bare=60, threat="graybox", score_right=right).level == "suspect"


class TestFullRange:
    @pytest.mark.parametrize(
        ("right", "level"), [(0, "ok"), (2, "ok"), (5, "suspect"), (8, "suspect")]
    )
    def test_the_attack_reaches_chance(self, right: int, level: str) -> None:
        found = probed(full_range_right=(np.arange(8) < right).astype(float))
        assert found.level == level
        assert ("at eps 1" in text(found)) == (level != "ok")


class TestTestImages:
    def test_a_purifier_that_restores_an_image_it_was_not_given_is_invalid(self) -> None:
        near = np.full(10, 0.05)
        assert probed(purified_distance=near, input_distance=np.full(10, 0.1)).level == "ok"
        one = np.r_[5e-4, np.full(9, 0.05)]
        found = probed(purified_distance=one, input_distance=np.full(10, 0.1))
        assert found.level == "invalid"
        assert "the purifier turns 1 of 10 adversarial images into clean test images" in text(found)

    @pytest.mark.parametrize(("share", "level"), [(0.1, "invalid"), (0.2, "ok")])
    def test_an_image_that_is_nearly_restored_is_restored(self, share: float, level: str) -> None:
        given = np.linspace(0.05, 0.3, 10)
        assert probed(purified_distance=share * given, input_distance=given).level == level

    def test_one_that_it_was_given_is_none_of_its_doing(self) -> None:
        assert probed(purified_distance=np.zeros(10), input_distance=np.zeros(10)).level == "ok"


def test_a_cell_without_probes_is_judged_by_the_other_checks_alone() -> None:
    assert text(probed()) == "ok"
