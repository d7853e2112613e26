"""Probes on modules made by hand: each measures what the module does, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.contracts import Attack
from bench.geometry import Norm, distances
from bench.plugins.configured import configure
from bench.registry import ATTACKS
from bench.stages.attacked import AttackedRef
from bench.stages.context import TaskContext
from bench.stages.probe import Batch, margins, shifts, starting_points
from bench.stages.probe_eot import EotProbe
from bench.stages.probe_gradient import GradientProbe
from bench.stages.probe_noise import NoiseProbe
from bench.stages.probe_repeats import RepeatProbe
from bench.stages.probe_scores import ScoreProbe
from bench.stages.references import SplitRef
from bench.stages.threats import THREATS

N, SIZE = 24, 8
IMAGES = 0.2 + 0.6 * torch.rand(N, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


class Linear(nn.Module):
    """Three logits: products of the image, after a function of it, with fixed weights."""

    def __init__(self, before: Callable[[Tensor], Tensor] = lambda images: images) -> None:
        super().__init__()
        weights = torch.randn(SIZE * SIZE, 3, generator=torch.Generator().manual_seed(1))
        self.weights = weights
        self.before = before

    def forward(self, images: Tensor) -> Tensor:
        return self.before(images).flatten(1) @ self.weights


LABELS = Linear()(IMAGES).argmax(dim=1)


def batch(before: Callable[[Tensor], Tensor] = lambda images: images) -> Batch:
    return Batch(Linear(before).eval(), "model", IMAGES, LABELS, ("draw",))


def of(probe: type, *options: object, stochastic: bool = False, **named: object) -> object:
    """A probe without references; only its measurement is used."""

    @dataclass(frozen=True)
    class Declared(AttackedRef):
        @property
        def stochastic(self) -> bool:
            return stochastic

    attacked = Declared(THREATS["graybox"])
    return probe(attacked, SplitRef("x", N, "", None), N, 0, *options, **named)  # type: ignore[arg-type]


def measured(probe: object, on: Batch, context: TaskContext) -> dict[str, np.ndarray]:
    torch.manual_seed(0)
    found = probe.measure(on, 0, context)  # type: ignore[attr-defined]
    return {name: tensor.numpy() for name, tensor in found.items()}


def turned(images: Tensor) -> Tensor:
    """The images, with the negative gradient."""
    return 2 * images.detach() - images


class TestMargins:
    def test_they_are_above_0_for_misclassified_images(self) -> None:
        logits = torch.tensor([[1.0, 3.0, 2.0], [1e6, -1e6, 0.0]])
        assert margins(logits, torch.tensor([1, 1])).tolist() == [-1.0, 2e6]

    def test_a_shift_is_a_share_of_the_range_of_the_logits(self) -> None:
        first, second = torch.tensor([[0.0, 10.0]]), torch.tensor([[1.0, 10.0]])
        assert shifts(first, second).item() == pytest.approx(0.1)
        assert shifts(1e-3 * first, 1e-3 * second).item() == pytest.approx(0.1)
        assert shifts(0 * first, 0 * first).item() == 0

    def test_every_other_image_starts_where_it_is(self) -> None:
        points = starting_points(IMAGES, 0.1)
        assert torch.equal(points[::2], IMAGES[::2])
        assert 0 < (points[1::2] - IMAGES[1::2]).abs().max() <= 0.1


class TestGradientProbe:
    @staticmethod
    def wins(before: Callable[[Tensor], Tensor], context: TaskContext) -> np.ndarray:
        """The share of images at which the gradient beats its rivals, by step."""
        rise = measured(of(GradientProbe), batch(before), context)["rise"]
        return np.asarray((rise[:, :, 0] > rise[:, :, 1:].max(axis=2)).mean(axis=0))

    @pytest.mark.parametrize(
        "before",
        [
            lambda images: images, torch.sqrt, lambda images: 1e-25 * images,
            lambda images: 1e25 * images,
            lambda images: torch.round(16 * images).detach() / 16 + images - images.detach(),
        ],
        ids=["identity", "root", "tiny", "huge", "quantizer"],
    )  # fmt: skip
    def test_a_true_gradient_beats_all_others(
        self, before: Callable[[Tensor], Tensor], context: TaskContext
    ) -> None:
        assert self.wins(before, context).max() > 0.9

    def test_a_randomized_module_is_compared_under_one_draw(self, context: TaskContext) -> None:
        assert self.wins(lambda images: images + torch.randn_like(images), context).max() > 0.9

    def test_the_negative_gradient_loses_to_its_opposite(self, context: TaskContext) -> None:
        assert self.wins(turned, context).max() == 0

    def test_a_ripple_has_a_true_derivative_and_a_false_direction(
        self, context: TaskContext
    ) -> None:
        def rippled(images: Tensor) -> Tensor:
            return images.detach() + 1e-5 * torch.sin(1e4 * images)

        assert self.wins(rippled, context).max() < 0.5

    @pytest.mark.parametrize(
        "before",
        [torch.Tensor.detach, lambda images: 0 * images, lambda images: images / 0],
        ids=["cut", "zero", "infinite"],
    )
    def test_a_gradient_that_cannot_be_followed_is_left_out(
        self, before: Callable[[Tensor], Tensor], context: TaskContext
    ) -> None:
        on = batch(before)
        on.model.before = lambda images: before(images) + 0 * images  # type: ignore[assignment]
        assert np.isnan(measured(of(GradientProbe), on, context)["rise"]).all()


class TestRepeatProbe:
    def test_a_deterministic_module_shifts_by_rounding_only(self, context: TaskContext) -> None:
        found = measured(of(RepeatProbe), batch(), context)
        assert found["repeat"].max() == 0
        assert np.nanmax(found["alone"]) < 1e-5
        assert np.isfinite(found["alone"]).sum() == 8

    def test_random_numbers_are_seen(self, context: TaskContext) -> None:
        random = batch(lambda images: images + 0.01 * torch.randn_like(images))
        assert measured(of(RepeatProbe), random, context)["repeat"].min() > 1e-3

    def test_the_influence_of_the_batch_is_seen(self, context: TaskContext) -> None:
        mixed = batch(lambda images: images - 0.5 * images.mean(dim=0, keepdim=True))
        found = measured(of(RepeatProbe), mixed, context)
        assert found["repeat"].max() == 0
        assert np.nanmin(found["alone"]) > 0.01


class TestScoreProbe:
    @pytest.mark.parametrize(("norm", "eps"), [("linf", 0.15), ("l2", 0.8), ("l1", 6.0)])
    def test_it_breaks_a_weak_model_within_the_ball(
        self, norm: Norm, eps: float, context: TaskContext
    ) -> None:
        on = batch(torch.Tensor.detach)
        found = of(ScoreProbe, eps, norm)._search(on)  # type: ignore[attr-defined]
        assert float(distances(IMAGES, found, norm).max()) <= eps * (1 + 1e-5)
        assert 0 <= float(found.min()) <= float(found.max()) <= 1
        assert measured(of(ScoreProbe, eps, norm), on, context)["right"].mean() < 0.5

    def test_it_breaks_nothing_of_a_model_that_ignores_small_changes(
        self, context: TaskContext
    ) -> None:
        robust = batch(lambda images: torch.zeros_like(images) + IMAGES[: len(images)])
        robust.model.before = lambda images: 0 * images  # type: ignore[assignment]
        right = measured(of(ScoreProbe, 0.1, "linf"), robust, context)["right"]
        assert right.tolist() == (LABELS == 0).float().tolist()

    def test_it_stops_when_nothing_stands(self, context: TaskContext) -> None:
        on = batch()
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        on.model.register_forward_pre_hook(count)
        measured(of(ScoreProbe, 0.5, "linf"), on, context)
        assert calls < 100

    def test_a_lucky_draw_lets_no_image_go(self, context: TaskContext) -> None:
        """A model that is wrong in a tenth of its calls, at random, is right in most draws."""

        class Lucky(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                lost = torch.rand(len(images)) < 0.1
                truth = torch.eye(3)[torch.zeros(len(images), dtype=torch.int64)]
                return torch.where(lost[:, None], truth.flip(1), truth)

        on = Batch(Lucky(), "model", IMAGES, torch.zeros(N, dtype=torch.int64), ("draw",))
        right = measured(of(ScoreProbe, 0.1, "linf", stochastic=True), on, context)["right"]
        assert right.mean() > 0.7


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 1.0), ("l1", 5.0)])
def test_noise_is_worse_than_nothing_and_better_than_the_gradient(
    norm: Norm, eps: float, context: TaskContext
) -> None:
    margin = measured(of(NoiseProbe, eps, norm), batch(), context)["margin"]
    clean = margins(Linear()(IMAGES), LABELS).numpy()
    assert margin.shape == (N, 3)
    assert np.abs(margin - clean[:, None]).min() > 0


def test_noise_on_a_randomized_model_is_judged_by_its_mean(context: TaskContext) -> None:
    """Random logits of standard deviation 100 vary less in the mean over the draws."""

    def spread(*, stochastic: bool) -> float:
        noisy = batch(lambda images: images + 100 * torch.randn_like(images))
        probe = of(NoiseProbe, 0.1, "linf", stochastic=stochastic)
        return float(measured(probe, noisy, context)["margin"].std())

    assert spread(stochastic=True) < 0.6 * spread(stochastic=False)


@pytest.mark.parametrize(("attack", "follows"), [("pgd:steps=3", True), ("saltandpepper", False)])
def test_an_attack_that_averages_calls_the_model_more_often(
    attack: str, follows: bool, context: TaskContext
) -> None:
    configured = configure(ATTACKS, attack)
    assert isinstance(configured.plugin, Attack)
    on = Batch(Linear().eval(), "model", IMAGES[:2], LABELS[:2], ("draw",))
    on.model.eot = 1  # type: ignore[assignment]
    calls = measured(of(EotProbe, attack=configured, eps=0.1), on, context)["calls"]
    assert (calls[1] >= 1.5 * calls[0]) == follows
