"""Verdicts: a number that means nothing is marked, and the mark says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from bench.analysis.checks import verdicts
from bench.analysis.metrics import accuracy
from bench.analysis.outcomes import EvaluatedCell
from bench.analysis.verdict import Verdict
from bench.records.cell import CascadeMember, CellProperties, CellRecord
from bench.records.outcome import Outcome
from bench.records.probes import Probes
from bench.stages.threats import THREATS
from bench.store.keys import content_key

N = 100
LABELS = np.arange(N) % 10


def predictions(right: int | Sequence[int]) -> np.ndarray:
    """(draws, n): in each draw the first so many images are right."""
    counts = [right] if isinstance(right, int) else right
    return np.stack([np.where(np.arange(N) < count, LABELS, (LABELS + 1) % 10) for count in counts])


def cell(
    right: int | Sequence[int] = 50,
    *,
    attack: str = "pgd",
    eps: float = 0.1,
    threat: str = "whitebox",
    bare: int = 50,
    facts: dict[str, Any] | None = None,
    defense: str = "d",
    members: tuple[CascadeMember, ...] = (),
    probes: Probes | None = None,
    **arrays: object,
) -> EvaluatedCell:
    """A cell whose pipeline is right on so many of 100 images, the bare classifier on `bare`."""
    kind = THREATS[threat]
    found: dict[str, Any] = {
        "norm": "linf",
        "access": "gradient",
        "minimum_norm": False,
        "steps": None if attack == "fgsm" else 40,
        "threat": threat,
        "gradient": kind.gradient,
        "sees_defense": kind.sees_defense,
        "stronger_than": kind.stronger_than,
        "eot": 1,
        "stochastic": False,
        "stops_at_first_success": False,
        **(facts or {}),
    }
    labels = {
        "dataset": "x",
        "classifier": "c",
        "defense": defense,
        "attack": attack,
        "eps": eps,
        "threat": threat,
    }
    labels["seed"] = 0
    result = CellRecord(
        content_key(labels), labels, CellProperties(**found), "data", N, "ok", "", {}, {}, "",
        cascade=members,
    )  # fmt: skip
    moved = np.full(N, eps, np.float32)
    outcome: dict[str, object] = {
        "labels": LABELS,
        "clean_undefended": predictions(95)[0],
        "clean_defended": np.tile(predictions(95), (len(predictions(right)), 1)),
        "adversarial_undefended": predictions(bare)[0],
        "adversarial_defended": predictions(right),
        "attacked": np.ones(N, bool),
        "gradient_norm": np.ones(N, np.float32),
        "linf": moved,
        "l2": moved,
        "l1": moved,
        **arrays,
    }
    given = {name: np.asarray(value) for name, value in outcome.items()}
    return EvaluatedCell(result, Outcome(**given, probes=probes or Probes()))


def verdict(first: EvaluatedCell, *others: EvaluatedCell) -> Verdict:
    return verdicts([first, *others])[first.record.key]


def text(found: Verdict) -> str:
    """The level, and the reasons in one line."""
    return ": ".join(filter(None, (found.level, "; ".join(found.reasons))))


def test_a_sound_attack_is_ok() -> None:
    assert text(verdict(cell())) == "ok"


class TestMoved:
    def test_an_attack_that_moved_nothing_is_invalid(self) -> None:
        found = verdict(cell(linf=np.zeros(N)))
        assert found.level == "invalid"
        assert "the attack moved 0% of the images" in text(found)

    def test_a_percent_of_epsilon_is_no_movement(self) -> None:
        half = np.r_[np.full(50, 1e-6), np.full(50, 0.1)]
        assert verdict(cell(80, linf=half)).level == "suspect"
        assert verdict(cell(80, eps=1e-5, linf=half)).level == "invalid"  # beyond epsilon
        assert verdict(cell(80, eps=1e-5, linf=np.full(N, 1e-5))).level == "ok"

    def test_it_is_measured_in_the_attacks_norm(self) -> None:
        short = {"eps": 2.0, "facts": {"norm": "l2"}, "l2": np.full(N, 0.01)}
        assert verdict(cell(80, **short, linf=np.full(N, 0.01))).level == "invalid"

    @pytest.mark.parametrize(
        "search", [{"minimum_norm": True}, {"access": "decision"}, {"returns_unbroken": True}]
    )
    def test_a_search_may_move_an_image_as_little_as_it_likes(
        self, search: dict[str, object]
    ) -> None:
        few = np.r_[np.full(10, 1e-6), np.zeros(90)]
        facts = {**search, "stronger_than": ()}
        assert verdict(cell(90, attack="own", facts=facts, linf=few)).level == "ok"

    def test_one_that_moved_most_images_is_suspect(self) -> None:
        assert verdict(cell(linf=np.r_[np.zeros(10), np.full(90, 0.1)])).level == "suspect"

    def test_images_that_were_not_attacked_do_not_count(self) -> None:
        half = np.r_[np.zeros(50), np.ones(50)]
        assert (
            verdict(cell(attacked=half.astype(bool), linf=half * 0.1, gradient_norm=half)).level
            == "ok"
        )

    def test_images_that_were_wrong_from_the_start_need_not_move(self) -> None:
        still = np.r_[np.full(40, 0.1), np.zeros(60)]
        assert verdict(cell(40, linf=still)).level == "ok"
        assert verdict(cell(60, linf=still)).level == "suspect"
        assert verdict(cell(90, linf=still)).level == "invalid"

    def test_a_search_may_fail_for_some_images_but_not_for_all(self) -> None:
        search = {"minimum_norm": True}
        assert (
            verdict(
                cell(90, attack="ddn", facts=search, linf=np.r_[np.full(10, 0.1), np.zeros(90)])
            ).level
            == "ok"
        )
        found = verdict(cell(90, attack="ddn", facts=search, linf=np.zeros(N)))
        assert text(found) == "suspect: the search found no adversarial image at all"

    def test_at_epsilon_zero_nothing_need_move(self) -> None:
        assert verdict(cell(eps=0.0)).level == "ok"


class TestGradient:
    @pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
    def test_a_masked_gradient_is_marked(self, bad: float) -> None:
        assert verdict(cell(gradient_norm=np.full(N, bad))).level == "invalid"
        assert verdict(cell(gradient_norm=np.r_[np.full(10, bad), np.ones(90)])).level == "suspect"
        assert verdict(cell(gradient_norm=np.r_[np.full(4, bad), np.ones(96)])).level == "ok"

    def test_an_attack_that_follows_none_needs_none(self) -> None:
        none = np.full(N, np.nan)
        assert verdict(cell(threat="noise", gradient_norm=none)).level == "ok"
        decisions = {"access": "decision"}
        assert (
            verdict(
                cell(attack="boundary", threat="query", facts=decisions, gradient_norm=none)
            ).level
            == "ok"
        )


class TestBudget:
    def test_beyond_epsilon_is_invalid_in_the_attacks_norm(self) -> None:
        assert "moved by 0.2 in linf" in text(verdict(cell(linf=np.full(N, 0.2))))
        assert verdict(cell(l2=np.full(N, 0.2))).level == "ok"
        assert verdict(cell(l2=np.full(N, 0.2), facts={"norm": "l2"})).level == "invalid"
        assert verdict(cell(linf=np.full(N, 0.2), facts={"norm": None})).level == "ok"

    def test_float_rounding_is_not(self) -> None:
        assert verdict(cell(eps=0.3, linf=np.full(N, 0.30000001))).level == "ok"


class TestIterative:
    def test_weaker_than_a_single_step_is_suspect(self) -> None:
        found = verdict(cell(60), cell(30, attack="fgsm"))
        assert found.level == "suspect"
        assert "weaker than fgsm: 0.600 against 0.300" in text(found)
        assert text(verdict(cell(30), cell(60, attack="fgsm"))) == "ok"

    def test_within_chance_is_noted_and_ok(self) -> None:
        found = verdict(cell(32), cell(30, attack="fgsm"))
        assert found.level == "ok"
        assert text(found) == "ok: weaker than fgsm: 0.320 against 0.300, within chance"

    def test_a_graybox_attack_is_judged_on_the_bare_classifier_it_attacked(self) -> None:
        pgd, fgsm = (
            cell(80, threat="graybox", bare=5),
            cell(60, attack="fgsm", threat="graybox", bare=20),
        )
        assert text(verdict(pgd, fgsm)) == "ok"
        weak = cell(60, threat="graybox", bare=40)
        assert verdict(weak, fgsm).level == "suspect"

    def test_only_the_same_budget_norm_and_threat_model_count(self) -> None:
        assert text(verdict(cell(60), cell(30, attack="fgsm", eps=0.2))) == "ok"
        assert text(verdict(cell(60), cell(30, attack="fgsm", facts={"norm": "l2"}))) == "ok"
        assert "fgsm" not in text(
            verdict(cell(60), cell(30, attack="fgsm", threat="graybox", bare=30))
        )


class TestSingleStep:
    def test_an_attack_that_says_what_it_is_is_believed(self) -> None:
        many = cell(30, attack="own", facts={"steps": None, "single_step": False})
        one = cell(30, attack="own", facts={"steps": None, "single_step": True})
        assert "weaker than own" in text(verdict(cell(60), one))
        assert text(verdict(cell(60), many)) == "ok"


class TestCascade:
    members = (CascadeMember("whitebox", "pgd", 100, 50, 1, 1),)

    @pytest.mark.parametrize("threat", ["noise", "graybox", "query", "bpda", "whitebox"])
    @pytest.mark.parametrize("eps", [0.05, 0.1])
    def test_it_is_at_least_as_strong_as_any_other_within_its_budget(
        self, threat: str, eps: float
    ) -> None:
        cascade = cell(60, attack="cascade", threat="adaptive", members=self.members)
        found = verdict(cascade, cell(30, eps=eps, threat=threat))
        assert found.level == "suspect"
        assert f"weaker than pgd under {threat} at eps {eps:g}: 0.600 against 0.300" in text(found)
        assert len(found.reasons) == 1
        noted = verdict(cascade, cell(58, eps=eps, threat=threat))
        assert noted.level == "ok"
        assert "within chance" in text(noted)

    @pytest.mark.parametrize(
        ("right", "draws", "level"), [(1, 8, "ok"), (2, 8, "suspect"), (1, 2, "suspect")]
    )
    def test_an_image_that_is_hardly_ever_right_may_leave_it(
        self, right: int, draws: int, level: str
    ) -> None:
        """Images right in a few of the draws, where another attack breaks them all."""
        some = np.where(np.arange(draws)[:, None] < right, LABELS, LABELS + 1)
        given = {"adversarial_defended": np.where(np.arange(N) < 60, some, LABELS + 1)}
        cascade = cell([0] * draws, threat="adaptive", members=self.members, **given)
        assert verdict(cascade, cell([0] * draws)).level == level

    def test_other_norms_and_larger_budgets_do_not_count(self) -> None:
        cascade = cell(60, attack="cascade", threat="adaptive", members=self.members)
        assert text(verdict(cascade, cell(30, eps=0.2))) == "ok"
        assert text(verdict(cascade, cell(30, facts={"norm": "l2"}))) == "ok"
        known = {"stochastic": True, "fixed_draw": True}
        assert text(verdict(cascade, cell(30, facts=known))) == "ok"


class TestMonotone:
    def test_more_epsilon_that_helps_the_defender_is_suspect(self) -> None:
        found = verdict(cell(60, eps=0.2), cell(40, eps=0.1))
        assert found.level == "suspect"
        assert "weaker than at eps 0.1: 0.600 against 0.400" in text(found)
        assert text(verdict(cell(40, eps=0.1), cell(60, eps=0.2))) == "ok"


class TestFullRange:
    def test_the_full_range_must_reach_chance(self) -> None:
        full, small = cell(40, eps=1.0), cell(50)
        assert verdict(full, small).level == "invalid"
        assert "at eps 1 accuracy is still 0.400 (chance 0.10)" in text(verdict(full, small))
        assert verdict(small, full).level == "suspect"
        assert verdict(cell(12, eps=1.0)).level == "ok"

    def test_noise_need_not(self) -> None:
        assert verdict(cell(40, eps=1.0, threat="noise")).level == "ok"


class TestKnowsMore:
    @pytest.mark.parametrize("weaker", ["graybox", "bpda", "transfer", "noise"])
    def test_whitebox_weaker_than_another_is_suspect(self, weaker: str) -> None:
        found = verdict(cell(70), cell(30, threat=weaker))
        assert found.level == "suspect"
        assert f"weaker than under {weaker}: 0.700 against 0.300" in text(found)

    def test_the_other_way_round_is_as_it_should_be(self) -> None:
        for threat in ("graybox", "bpda", "transfer", "noise"):
            assert text(verdict(cell(70, threat=threat), cell(30))) == "ok"

    def test_whatever_is_weaker_is_said(self) -> None:
        found = verdict(cell(51), cell(50, threat="graybox"))
        assert found.level == "ok"
        assert "weaker than under graybox: 0.510 against 0.500, within chance" in text(found)

    def test_a_gradient_attack_of_many_steps_is_held_against_decisions_in_the_same_ball(
        self,
    ) -> None:
        decisions = cell(
            20,
            attack="boundary",
            threat="query",
            facts={"access": "decision", "minimum_norm": True},
        )
        assert "weaker than boundary under query: 0.700 against 0.200" in text(
            verdict(cell(70), decisions)
        )
        assert text(verdict(cell(70, attack="fgsm"), decisions)) == "ok"
        other_ball = cell(
            20, attack="boundary", threat="query", facts={"access": "decision", "norm": "l2"}
        )
        assert text(verdict(cell(70), other_ball)) == "ok"

    def test_draws_are_compared_image_by_image_in_one_direction(self) -> None:
        """Right in every draw far less often, yet right more often: neither stronger nor weaker."""
        draws = np.where(np.arange(N) % 10 < 9, LABELS, (LABELS + 1) % 10)[None]
        spread = np.stack(
            [np.where((np.arange(N) + k) % 10 < 6, LABELS, (LABELS + 1) % 10) for k in range(10)]
        )
        ours = cell(50, facts={"stochastic": True, "eot": 4}, adversarial_defended=spread)
        theirs = cell(
            50,
            threat="bpda",
            facts={"stochastic": True, "eot": 4},
            adversarial_defended=np.repeat(draws, 10, axis=0),
        )
        assert verdict(ours, theirs).level == "ok"
        assert verdict(theirs, ours).level == "ok"  # bpda need not be as strong as whitebox
        swapped = cell(
            50,
            facts={"stochastic": True, "eot": 4},
            adversarial_defended=np.repeat(draws, 10, axis=0),
        )
        weaker = cell(
            50, threat="bpda", facts={"stochastic": True, "eot": 4}, adversarial_defended=spread
        )
        assert verdict(swapped, weaker).level == "suspect"

    def test_other_defenses_do_not_count(self) -> None:
        assert text(verdict(cell(70), cell(30, threat="bpda", defense="other"))) == "ok"

    def test_a_draw_that_is_known_is_not_held_against_one_that_is_not(self) -> None:
        fresh = {"stochastic": True}
        known = {**fresh, "fixed_draw": True}
        weaker = cell([60] * 2, facts=fresh)
        assert verdict(weaker, cell([30] * 2, threat="bpda", facts=fresh)).level == "suspect"
        assert verdict(weaker, cell(30, threat="bpda", facts=known)).level == "ok"


class TestConverged:
    def test_twice_the_steps_that_break_many_more_are_told(self) -> None:
        longer = {
            "doubled_steps_defended": predictions(10)[:, :50],
            "doubled_steps_undefended": predictions(50)[0, :50],
        }
        found = verdict(cell(45, **longer))
        assert found.level == "suspect"
        assert text(found).startswith("suspect: not converged: with twice the steps")
        assert "the accuracy falls from 0.900 to 0.200 on 50 images" in text(found)

    def test_a_change_within_the_interval_is_none(self) -> None:
        longer = {
            "doubled_steps_defended": predictions(44)[:, :50],
            "doubled_steps_undefended": predictions(0)[0, :50],
        }
        assert text(verdict(cell(45, **longer))) == "ok"

    def test_a_change_on_nearly_every_image_that_changed_is_told_although_within_the_interval(
        self,
    ) -> None:
        longer = {
            "doubled_steps_defended": predictions(19)[:, :50],
            "doubled_steps_undefended": predictions(50)[0, :50],
        }
        assert accuracy(predictions(25)[:, :50], LABELS[:50]).low < 19 / 50
        assert verdict(cell(25, **longer)).level == "suspect"

    def test_a_model_that_nobody_asked_is_not_judged(self) -> None:
        longer = {
            "doubled_steps_defended": predictions(0)[:, :50],
            "doubled_steps_undefended": predictions(0)[0, :50],
        }
        assert text(verdict(cell(45, threat="transfer", **longer))) == "ok"

    @pytest.mark.parametrize("variant", ["doubled_steps", "larger_step"])
    @pytest.mark.parametrize(
        ("bare", "shown", "level"),
        [(45, 45, "ok"), (0, 45, "ok"), (45, 0, "ok"), (0, 0, "suspect")],
    )
    def test_graybox_must_be_stronger_on_the_classifier_and_in_the_number_that_is_shown(
        self, variant: str, bare: int, shown: int, level: str
    ) -> None:
        stronger = {
            f"{variant}_defended": predictions(shown)[:, :50],
            f"{variant}_undefended": predictions(bare)[0, :50],
        }
        found = verdict(cell(45, threat="graybox", bare=45, **stronger))
        assert found.level == level
        assert ("the accuracy falls from 0.900 to 0.000" in text(found)) == (level != "ok")

    def test_version_0_1_0_repeated_graybox_on_the_classifier_only(self) -> None:
        longer = {"doubled_steps_undefended": predictions(0)[0, :50]}
        assert verdict(cell(45, threat="graybox", bare=45, **longer)).level == "suspect"

    def test_a_larger_step_that_breaks_many_more_is_told(self) -> None:
        larger = {"larger_step_defended": predictions(10)[:, :50]}
        assert "with a larger step the accuracy falls" in text(verdict(cell(45, **larger)))

    def test_two_images_of_thirty_are_chance(self) -> None:
        longer = {"doubled_steps_defended": predictions(0)[:, :30]}
        assert accuracy(predictions(2)[:, :30], LABELS[:30]).low > 0
        assert verdict(cell(2, **longer)).level == "ok"


class TestOneDraw:
    def test_draws_that_disagree_want_their_gradient_averaged(self) -> None:
        found = verdict(cell([50, 70], facts={"stochastic": True}))
        assert found.level == "suspect"
        assert "2 draws disagree on 20% of the images" in text(found)
        assert text(verdict(cell([50, 70], facts={"stochastic": True, "eot": 10}))) == "ok"
        assert text(verdict(cell([50, 52], facts={"stochastic": True}))) == "ok"
        assert text(verdict(cell([50, 70], threat="graybox", facts={"stochastic": True}))) == "ok"

    @pytest.mark.parametrize(
        ("calls", "level"),
        [((40, 80), "ok"), ((40, 40), "suspect"), ((41, 42), "suspect"), ((0, 0), "suspect")],
    )
    def test_eot_counts_where_the_attack_was_seen_to_follow_it(
        self, calls: tuple[int, int], level: str
    ) -> None:
        facts = {"stochastic": True, "eot": 10}
        probes = Probes(eot_calls=np.asarray(calls))
        found = verdict(cell([50, 70], facts=facts, probes=probes))
        assert found.level == level
        assert ("the attack ignores eot" in text(found)) == (level != "ok")

    def test_the_budget_of_a_cascade_says_over_how_many_draws_it_averages(self) -> None:
        facts = {"stochastic": True}
        cascade = cell([50, 70], threat="adaptive", facts=facts, members=TestCascade.members)
        assert "one of them: take a larger budget" in text(verdict(cascade))
        assert "one of them: set eot" in text(verdict(cell([50, 70], facts=facts)))

    def test_an_attacker_who_knows_the_draw_needs_no_average(self) -> None:
        facts = {"stochastic": True, "fixed_draw": True}
        assert text(verdict(cell(50, facts=facts))) == "ok"

    def test_a_single_draw_is_noted(self) -> None:
        assert text(verdict(cell(50, facts={"stochastic": True}))).startswith(
            "ok: a randomized defense"
        )


class TestBarely:
    search: ClassVar[dict[str, object]] = {"minimum_norm": True}

    def test_the_nearest_image_of_another_model_says_little(self) -> None:
        for threat in ("graybox", "transfer"):
            assert "another model" in text(
                verdict(cell(80, attack="ddn", threat=threat, facts=self.search))
            )
        assert "one draw" in text(
            verdict(cell([50, 51], attack="ddn", facts={**self.search, "stochastic": True}))
        )

    def test_of_the_pipeline_itself_it_is_what_was_asked(self) -> None:
        assert text(verdict(cell(50, attack="ddn", facts=self.search))) == "ok"
        assert (
            text(verdict(cell(50, attack="ddn", threat="graybox", bare=50, facts=self.search)))
            == "ok"
        )  # no defense


class TestStopsAtFirstSuccess:
    early: ClassVar[dict[str, object]] = {"stops_at_first_success": True}

    def test_images_that_barely_fool_the_classifier_say_little_of_a_purifier(self) -> None:
        assert "first success" in text(verdict(cell(80, threat="graybox", facts=self.early)))

    def test_of_the_attacked_model_they_say_all(self) -> None:
        assert "first success" not in text(verdict(cell(80, facts=self.early)))
        assert "first success" not in text(
            verdict(cell(50, threat="graybox", facts=self.early))
        )  # no defense


def test_every_reason_is_told_and_the_worst_level_counts() -> None:
    found = verdict(cell(linf=np.r_[np.zeros(10), np.full(90, 0.1)], gradient_norm=np.zeros(N)))
    assert found.level == "invalid"
    assert len(found.reasons) == 2


def test_cells_of_one_pipeline_share_their_networks() -> None:
    def of(eps: float, **networks: str) -> EvaluatedCell:
        made = cell(eps=eps)
        return replace(made, record=replace(made.record, networks=networks))

    one = of(0.1, classifier="c1", defense="d1")
    assert verdict(one, of(0.2, classifier="c1", defense="d1", substitute="s1")).level == "ok"
    found = verdict(one, of(0.2, classifier="c1", defense="d2"))
    assert (found.level, len(found.reasons)) == ("invalid", 1)
    assert "another defense of that name" in found.reasons[0]
