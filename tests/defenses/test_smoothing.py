"""Randomized smoothing: the paper's algorithms with SciPy's tests, and closed forms."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, norm
from torch import Tensor, nn

from bench.contracts import DataInfo, Decision
from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.registry import DEFENSES
from bench.stages.decisions import folded
from defenses._binomial import fewest_votes, lower_bounds
from defenses.smoothing import Smoothing
from tests.defenses.finite_differences import assert_gradient_is_exact

INFO = DataInfo((1, 4, 5), 3)


def module(**settings: Any) -> Any:
    return Smoothing(**settings).build(INFO).eval()


def tail(successes: int, trials: int, probability: float) -> float:
    """The probability of so many successes or more, term by term."""
    terms = (
        math.comb(trials, k) * probability**k * (1 - probability) ** (trials - k)
        for k in range(successes, trials + 1)
    )
    return math.fsum(terms)


@pytest.mark.parametrize("trials", [1, 7, 100])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.5])
def test_a_bound_is_where_the_tail_has_the_probability_of_an_error(
    trials: int, alpha: float
) -> None:
    bounds = lower_bounds(trials, alpha)
    assert bounds[0] == 0
    for successes in range(1, trials + 1):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if tail(successes, trials, middle) > alpha else (middle, high)
        assert bounds[successes] == pytest.approx(low, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.9])
def test_the_fewest_votes_are_those_that_pass_the_test(alpha: float) -> None:
    fewest = fewest_votes(60, alpha)
    for both in range(61):
        passing = [
            first
            for first in range(both + 1)
            if 2 * sum(math.comb(both, k) for k in range(first, both + 1)) <= alpha * 2**both
        ]
        assert fewest[both] == min(passing, default=both + 1)


@pytest.mark.parametrize(
    ("samples", "radius"), [(100, 1.500), (1000, 2.463), (10_000, 3.199), (100_000, 3.811)]
)
def test_the_largest_radius_is_that_of_the_paper(samples: int, radius: float) -> None:
    """All samples agree: sigma times the quantile of alpha^(1/n) (section 4; alpha 0.001)."""
    largest = float(module(sigma=0.5, samples=samples).radii[-1])
    assert largest == pytest.approx(0.5 * radius, abs=1e-3)
    assert largest == pytest.approx(0.5 * norm.ppf(0.001 ** (1 / samples)), rel=1e-4)


class Scripted(nn.Module):
    """A classifier that gives the noisy versions of each image the classes of a script.

    Args:
        script: classes, (versions, n); those of the first call come first.
    """

    def __init__(self, script: Tensor) -> None:
        super().__init__()
        self.rows = list(script)

    def forward(self, images: Tensor) -> Tensor:
        n = len(self.rows[0])
        versions = [self.rows.pop(0) for _ in range(len(images) // n)]
        chosen = nn.functional.one_hot(torch.cat(versions), 3)
        return 20 * chosen + images.flatten(1)[:, :3]


def plain(votes: list[int], selecting: list[int], alpha: float, sigma: float) -> tuple[int, float]:
    """PREDICT and CERTIFY of section 3 on the classes of the noisy versions; -1 to abstain."""
    (first, most), *rest = Counter(votes).most_common()
    second = rest[0][1] if rest else 0
    if binomtest(most, most + second, 0.5).pvalue > alpha:
        return -1, math.nan

    counts = Counter(selecting)
    selected = min(label for label in counts if counts[label] == max(counts.values()))
    successes = votes.count(selected)
    bound = beta.ppf(alpha, successes, len(votes) - successes + 1) if successes else 0.0
    return first, sigma * norm.ppf(bound) if bound > 0.5 else math.nan


@settings(max_examples=60, deadline=None)
@given(
    st.data(),
    st.integers(1, 90),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([0.001, 0.05, 0.3]),
)
def test_decision_and_radius_are_those_of_the_paper(
    data: st.DataObject, samples: int, selection: int, n: int, alpha: float
) -> None:
    weights = data.draw(st.sampled_from([(0, 0, 0, 0, 0, 1), (0, 0, 1), (0, 1), (0, 1, 2), (2,)]))
    size = samples + selection
    rows = st.lists(st.sampled_from(weights), min_size=size, max_size=size)
    script = torch.tensor([data.draw(rows) for _ in range(n)]).T

    smoothing = module(sigma=0.5, samples=samples, selection=selection, alpha=alpha)
    decision = smoothing.classify(torch.rand(n, *INFO.shape), Scripted(script))

    assert isinstance(decision, Decision)
    for index in range(n):
        votes, selecting = script[:samples, index].tolist(), script[samples:, index].tolist()
        label, radius = plain(votes, selecting, alpha, 0.5)
        assert int(decision.logits[index].argmax()) == (3 if label == -1 else label)
        assert float(decision.extras["radius"][index]) == pytest.approx(
            radius, rel=1e-4, abs=1e-6, nan_ok=True
        )


def linear(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(20, 3)).requires_grad_(False)


def test_a_radius_is_below_the_distance_to_the_boundary_of_a_linear_classifier() -> None:
    """Two classes that a plane divides: smoothing changes nothing, and the distance is known."""
    classifier = linear()
    weight, bias = classifier[1].weight.double(), classifier[1].bias.double()
    images = torch.rand(64, *INFO.shape)
    first = images.flatten(1).double() @ (weight[0] - weight[1]) + (bias[0] - bias[1])
    distance = first.abs() / (weight[0] - weight[1]).norm()

    torch.manual_seed(1)
    smoothing = module(sigma=1.0, samples=2000, selection=20)
    decision = smoothing.classify(images, lambda shown: classifier(shown)[:, :2])
    radius = decision.extras["radius"].double()

    certified = radius.isfinite()
    assert 5 < int(certified.sum()) <= 64
    assert bool((radius[certified] <= distance[certified]).all())
    assert float((distance - radius)[certified].max()) < 0.25
    decided = decision.logits.argmax(1)
    accepted = decided < 2
    assert torch.equal(decided[accepted] == 0, first[accepted] > 0)
    assert bool(radius[~accepted].isnan().all())


def test_the_gradient_is_that_of_finite_differences() -> None:
    smoothing = module(sigma=0.3, samples=70, selection=2).double()
    images = torch.rand(9, *INFO.shape, dtype=torch.float64)
    classifier = linear().double()
    assert_gradient_is_exact(lambda at: smoothing.classify(at, classifier).logits, images)


@pytest.mark.parametrize("label", range(3))
def test_an_attacker_has_a_direction_from_every_decision(label: int) -> None:
    """Also where the image is rejected, between whichever classes."""
    smoothing, classifier = module(sigma=1.0, samples=40, selection=1), linear()
    images = torch.rand(200, *INFO.shape).requires_grad_(True)
    logits = smoothing.classify(images, classifier).logits
    assert logits.argmax(1).unique().numel() > 1
    labels = torch.full((200,), label)
    seen = folded(logits, labels, rejecting=True)
    others = seen.scatter(1, labels[:, None], -torch.inf).amax(1)
    margin = others - seen.gather(1, labels[:, None])[:, 0]
    (gradient,) = torch.autograd.grad(margin.sum(), images)
    assert bool((gradient.flatten(1).norm(dim=1) > 1e-7).all())


def test_the_same_noise_whatever_the_number_of_images() -> None:
    """The noise of a call is drawn in pieces that do not depend on the number of images."""
    smoothing = module(samples=130, selection=1)
    for n in (1, 3, 600):
        torch.manual_seed(0)
        pieces = list(smoothing._noise(torch.zeros(n, *INFO.shape), 130))
        torch.manual_seed(0)
        drawn = [torch.randn(count, n, *INFO.shape) for count in (64, 64, 2)]
        assert torch.equal(torch.cat(pieces), torch.cat(drawn))
        assert max(len(piece) * n for piece in pieces) <= max(512, n)


@pytest.mark.parametrize("alpha", ["0", "1"])
def test_a_level_without_a_meaning_is_refused(alpha: str) -> None:
    with pytest.raises(RequestError, match="must be above 0 and below 1"):
        configure(DEFENSES, f"smoothing:alpha={alpha}")


def test_the_cross_entropy_of_a_rejection_leads_from_the_true_class_to_the_other() -> None:
    """Between two classes of a linear classifier; eight others are never likely."""
    smoothing, classifier = module(sigma=1.0, samples=40, selection=1), linear()
    weight = classifier[1].weight[:2]
    images = torch.rand(200, *INFO.shape).requires_grad_(True)

    def of_ten(shown: Tensor) -> Tensor:
        return nn.functional.pad(classifier(shown)[:, :2], (0, 8), value=-30.0)

    logits = smoothing.classify(images, of_ten).logits
    rejected = logits.argmax(1) == 10
    labels = torch.zeros(200, dtype=torch.long)
    loss = nn.functional.cross_entropy(
        folded(logits, labels, rejecting=True)[rejected], labels[rejected]
    )
    (gradient,) = torch.autograd.grad(loss, images)
    along = gradient[rejected].flatten(1) @ (weight[1] - weight[0])
    assert int(rejected.sum()) > 20
    assert bool((along > 0).all())
