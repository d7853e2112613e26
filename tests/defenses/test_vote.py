"""Votes of a defense, compared with plain loops, and the calls that they make."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.contracts import DataInfo, HasStandIns
from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.registry import DEFENSES
from defenses.vote import _RULES, Vote, _Vote
from tests.plugins.kinds import assert_clean

INFO = DataInfo((1, 28, 28), 10)


class Recording(nn.Module):
    """A randomized purifier that keeps what it returned."""

    def __init__(self) -> None:
        super().__init__()
        self.returned: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.returned.append((images + torch.rand(len(images), 1, 1, 1)) / 2)
        return self.returned[-1]


def classifier() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).requires_grad_(False)


def plain_mean(logits: list[list[float]]) -> list[float]:
    return [sum(values) / len(values) for values in zip(*logits, strict=True)]


def plain_winners(logits: list[list[float]]) -> set[int]:
    """The classes that most draws predict, of these the ones with the highest mean logit."""
    predicted = [draw.index(max(draw)) for draw in logits]
    mean = plain_mean(logits)
    ranks = [(predicted.count(label), mean[label]) for label in range(len(mean))]
    return {label for label, rank in enumerate(ranks) if rank == max(ranks)}


@pytest.mark.parametrize("rule", _RULES)
@pytest.mark.parametrize("in_one_call", [True, False])
@pytest.mark.parametrize(("n", "draws"), [(1, 1), (3, 5), (200, 5), (600, 2)])
def test_a_vote_is_the_plain_loop_over_draws(
    rule: Any, in_one_call: bool, n: int, draws: int
) -> None:
    module, network = Recording(), classifier()
    images = torch.rand(n, 1, 28, 28)
    vote = _Vote(module, draws, _RULES[rule], in_one_call=in_one_call)

    logits = vote.classify(images, network)

    versions = torch.cat(module.returned).unflatten(0, (draws, n))
    for index in range(min(n, 5)):
        of_draws = [network(version[None, index])[0].tolist() for version in versions]
        if rule == "mean":
            expected = torch.tensor(plain_mean(of_draws))
            torch.testing.assert_close(logits[index], expected, atol=1e-5, rtol=1e-4)
        assert int(logits[index].argmax()) in (
            plain_winners(of_draws) if rule == "majority" else {int(expected.argmax())}
        )


@pytest.mark.parametrize(
    ("in_one_call", "n", "sizes"),
    [
        (True, 3, [24]),
        (True, 100, [500, 300]),
        (True, 512, [512] * 8),
        (True, 700, [700] * 8),
        (False, 3, [3] * 8),
    ],
)
def test_draws_are_made_in_pieces_of_bounded_size(
    in_one_call: bool, n: int, sizes: list[int]
) -> None:
    module = Recording()
    vote = _Vote(module, 8, _RULES["mean"], in_one_call=in_one_call)
    vote.classify(torch.rand(n, 1, 28, 28), classifier())
    assert [len(images) for images in module.returned] == sizes


@given(
    st.integers(2, 5).flatmap(
        lambda classes: st.lists(
            st.lists(st.integers(-3, 3), min_size=classes, max_size=classes),
            min_size=1,
            max_size=7,
        )
    ),
    st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_the_majority_is_the_count_and_ties_go_to_the_higher_mean(
    logits: list[list[int]], scale: float
) -> None:
    scaled = [[scale * value for value in draw] for draw in logits]
    decided = _RULES["majority"](torch.tensor(scaled, dtype=torch.float32)[:, None])[0]

    predicted = [draw.index(max(draw)) for draw in logits]
    counts = [predicted.count(label) for label in range(len(logits[0]))]
    assert torch.ceil(decided).tolist() == counts
    assert int(decided.argmax()) in plain_winners([[float(v) for v in draw] for draw in logits])


@pytest.mark.parametrize("rule", _RULES)
def test_without_randomness_a_vote_is_the_decision_itself(rule: str) -> None:
    plugin = configure(DEFENSES, f"vote:defense=[median:size=2]:draws=3:rule={rule}").plugin
    median = configure(DEFENSES, "median:size=2").plugin.build(INFO)
    images, network = torch.rand(20, 1, 28, 28), classifier()

    vote = plugin.build(INFO)

    assert not plugin.stochastic
    assert torch.equal(vote(images), median(images))
    decided = vote.classify(images, network)  # type: ignore[operator]
    alone = network(median(images))
    assert torch.equal(decided.argmax(1), alone.argmax(1))
    if rule == "mean":
        torch.testing.assert_close(decided, alone)


@pytest.mark.parametrize("rule", _RULES)
def test_the_gradient_is_that_of_finite_differences(rule: str) -> None:
    plugin = configure(DEFENSES, f"vote:defense=[gaussian_noise:std=0.05]:draws=4:rule={rule}")
    vote, network = plugin.plugin.build(INFO), classifier().double()
    generator = torch.Generator().manual_seed(1)
    images, direction = torch.rand(2, 2, 1, 28, 28, dtype=torch.float64, generator=generator)
    images = 0.4 + 0.2 * images

    def loss(at: Tensor) -> Tensor:
        torch.manual_seed(2)  # The draws are the same at every call.
        logits: Tensor = vote.classify(at, network)  # type: ignore[operator]
        return logits.log_softmax(dim=1)[:, 3].sum()

    inputs = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(inputs), inputs)
    up, down = (float(loss(images + sign * 1e-6 * direction)) for sign in (1, -1))
    assert float(gradient.norm()) > 1e-4
    assert float((gradient * direction).sum()) == pytest.approx((up - down) / 2e-6, rel=1e-4)


def test_what_an_attacker_may_ask_of_the_inner_defense_is_handed_on() -> None:
    gan = "defensegan:latent=8:width=2:restarts=2:steps=2"
    inner = configure(DEFENSES, gan).plugin.build(INFO)
    vote: Any = configure(DEFENSES, f"vote:defense=[{gan}]").plugin.build(INFO)
    assert vote.latent == 8
    assert vote.generate(torch.zeros(3, 8)).shape == (3, 1, 28, 28)
    assert isinstance(vote, HasStandIns)
    assert vote.stand_ins().keys() == inner.stand_ins().keys()  # type: ignore[operator]

    plain: Any = configure(DEFENSES, "vote:defense=none").plugin.build(INFO)
    assert not plain.stand_ins()
    assert not hasattr(plain, "generate")
    assert not hasattr(plain, "latent")


def test_a_configured_vote_can_be_sent_to_another_process() -> None:
    plugin = configure(DEFENSES, "vote:defense=[gaussian_noise:std=0.5]").plugin
    again = pickle.loads(pickle.dumps(plugin))
    assert again == plugin
    assert again.inner == configure(DEFENSES, "gaussian_noise:std=0.5").plugin


def test_a_vote_that_is_not_configured_says_so() -> None:
    with pytest.raises(TypeError, match="Vote has no inner defense"):
        Vote().build(INFO)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("vote:defense=[vote:defense=[puvae]]", r"defense=vote:.*'vote' wraps .*choose from: .*pu"),
        ("vote:defense=vote", "'vote' wraps a defense itself"),
        ("vote:defense=puave", "unknown defense 'puave'.*did you mean 'puvae'"),
        ("vote:defense=[puvae:nose=1]", "unknown parameter of defense 'puvae'.*'noise'"),
        ("vote:defense=[puvae,convae]", "'puvae,convae' is not a spec"),
        ("vote:defense=", "'' is not a spec"),
        ("vote:draws=0", "defense 'vote': parameter draws=0: "),
        ("vote:rule=median", "defense 'vote': parameter rule=median: .*'mean' or 'majority'"),
    ],
)
def test_a_wrong_vote_is_one_clear_line(spec: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        configure(DEFENSES, spec)
    assert_clean(str(caught.value))
