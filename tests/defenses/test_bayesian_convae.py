"""Bayesian forms of ConvAE: what they decide, how they are trained, and their control."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from bench.conformance import conformance
from bench.contracts import DataInfo, Decision, Spec
from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.registry import DEFENSES
from defenses._bayesian_forms import Bayes
from defenses._disagreement import disagreement
from defenses.convae import ConvAE
from tests.defenses.test_convae import linear_problem
from tests.plugins.kinds import assert_clean

FORMS: tuple[Bayes, ...] = get_args(Bayes)
INFO = DataInfo((1, 8, 8), 2)


def form(bayes: Bayes, **parameters: Any) -> ConvAE:
    """A tiny network of a form, with the parameters that count with it."""
    own = {"ensemble": {"ensemble_size": 3}, "swag": {"rank": 3}}.get(bayes, {})
    return ConvAE(width=2, steps=12, batch_size=16, eps=0.2, bayes=bayes, **own, **parameters)


def trained(settings: ConvAE, seed: int = 0) -> nn.Module:
    """The module in evaluation mode, after a training of twelve steps."""
    context = linear_problem()
    torch.manual_seed(seed)
    module = settings.build(context.data).train()
    settings.fit(module, context)
    return module.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def networks() -> dict[str, dict[str, Tensor]]:
    """The trained weights of every form."""
    return {bayes: trained(form(bayes)).state_dict() for bayes in FORMS}


def built(weights: dict[str, dict[str, Tensor]], bayes: Bayes, **parameters: Any) -> nn.Module:
    """A module with trained weights, at other inference parameters."""
    module = form(bayes, **parameters).build(INFO)
    module.load_state_dict(weights[bayes])
    return module.eval().requires_grad_(False)


def classifier() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).requires_grad_(False)


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("bayes", FORMS)
def test_a_decision_is_the_mean_of_the_logits_of_as_many_draws(
    networks: Any, bayes: Bayes, control: bool
) -> None:
    module: Any = built(networks, bayes, draws=3, control=control)
    images, network = torch.rand(5, 1, 8, 8), classifier()
    returned: list[Tensor] = []

    def recording(purified: Tensor) -> Tensor:
        returned.append(purified)
        logits: Tensor = network(purified)
        return logits

    decision = module.classify(images, recording)

    versions = torch.cat(returned).unflatten(0, (3, 5))
    assert 0 <= float(versions.min()) <= float(versions.max()) <= 1
    assert not torch.equal(versions[0], versions[1])
    of_draws = torch.stack([network(version) for version in versions])
    torch.testing.assert_close(decision.logits, sum(of_draws) / 3)
    torch.testing.assert_close(decision.extras["disagreement"], disagreement(of_draws))


@pytest.mark.parametrize("bayes", FORMS)
def test_a_single_draw_decides_as_the_purifier_and_tells_no_disagreement(
    networks: Any, bayes: Bayes
) -> None:
    purifier, decided = built(networks, bayes), built(networks, bayes, draws=1)
    images, network = torch.rand(5, 1, 8, 8), classifier()
    assert not hasattr(purifier, "classify")

    torch.manual_seed(1)
    expected = network(purifier(images))
    torch.manual_seed(1)
    decision: Decision = decided.classify(images, network)  # type: ignore[operator]
    if bayes != "ensemble":  # It draws its members without repetition, which takes other numbers.
        torch.testing.assert_close(decision.logits, expected)
    assert not decision.extras


def test_all_members_of_an_ensemble_are_their_plain_mean_at_every_call(networks: Any) -> None:
    module: Any = built(networks, "ensemble", draws=3)
    images, network = torch.rand(5, 1, 8, 8), classifier()
    expected = torch.stack([network(member(images)) for member in module.posterior.members])
    first, second = (module.classify(images, network).logits for _ in range(2))
    torch.testing.assert_close(first, expected.mean(dim=0))
    assert torch.equal(first, second)
    assert not form("ensemble", draws=3).stochastic


@pytest.mark.parametrize(
    ("settings", "stochastic", "independent"),
    [
        (ConvAE(), False, False),
        (form("dropout"), True, True),
        (form("swag", draws=2), True, False),
        (form("swag", draws=2, control=True), True, True),
        (form("variational"), True, False),
        (form("ensemble"), True, False),
        (form("ensemble", draws=2), True, False),
        (form("ensemble", draws=3, control=True), True, True),
    ],
)
def test_what_is_random_is_declared(settings: ConvAE, stochastic: bool, independent: bool) -> None:
    assert (settings.stochastic, settings.independent_draws) == (stochastic, independent)


@pytest.mark.parametrize("bayes", FORMS)
def test_the_control_adds_as_much_noise_as_the_draws_differ(networks: Any, bayes: Bayes) -> None:
    context = linear_problem()
    images = context.adversarial(
        Spec("fgsm"), context.split.images[:16], context.split.labels[:16], 0.2
    )
    drawn, control = built(networks, bayes), built(networks, bayes, control=True)
    torch.manual_seed(2)
    draws = torch.stack([drawn(images) for _ in range(100)])
    noisy = torch.stack([control(images) for _ in range(100)])

    spreads = [float(purified.var(dim=0).mean().sqrt()) for purified in (draws, noisy)]
    assert spreads[1] == pytest.approx(spreads[0], rel=0.2)  # measured on 20 draws of other images

    control.get_buffer("noise_std").fill_(0.01)
    middle = drawn.posterior.mean(images)  # type: ignore[operator, union-attr]
    is_inside = (middle > 0.05) & (middle < 0.95)  # where nothing is clamped
    apart = (torch.stack([control(images) for _ in range(100)]) - middle)[:, is_inside]
    assert float(apart.std()) == pytest.approx(0.01, rel=0.05)
    assert abs(float(apart.mean())) < 0.001


@pytest.mark.parametrize("bayes", FORMS)
def test_a_form_learns_to_undo_the_attack(bayes: Bayes) -> None:
    context = linear_problem()
    settings = replace(form(bayes), width=8, steps=80, batch_size=64, learning_rate=5e-3)
    torch.manual_seed(0)
    module: Any = settings.build(context.data).train()
    settings.fit(module, context)

    attacked = context.adversarial(Spec("fgsm"), context.split.images, context.split.labels, 0.2)
    with torch.no_grad():
        error = float(mse_loss(module.eval()(attacked), context.split.images))
        before = float(mse_loss(attacked, context.split.images))
    assert error < 0.6 * before
    assert 0 < float(module.noise_std) < 0.3


def test_an_ensemble_trains_each_member_from_other_weights_on_other_batches() -> None:
    module: Any = trained(form("ensemble"))
    first, second, third = (list(member.parameters()) for member in module.posterior.members)
    for one, other in ((first, second), (second, third)):
        assert all(not torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("bayes", FORMS)
def test_what_counts_at_inference_changes_no_training(bayes: Bayes) -> None:
    plain = configure(DEFENSES, f"convae:bayes={bayes}").training_identity
    for others in ("draws=3", "draws=3:control=true", "draws=2:reject=0.1", "control=true"):
        configured = configure(DEFENSES, f"convae:bayes={bayes}:{others}")
        assert configured.training_identity == plain
        assert configured.identity["parameters"] != plain["parameters"]

    weights = trained(form(bayes)).state_dict()
    again = trained(form(bayes, draws=2, control=True, reject=0.1)).state_dict()
    assert weights.keys() == again.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, again[name]), name


def test_networks_without_a_form_are_those_of_before() -> None:
    """The identity has no new parameter, and training gives the bits of the plain loop."""
    assert set(json.loads(json.dumps(configure(DEFENSES, "convae").identity))["parameters"]) == {
        *("attack", "eps", "width", "noise", "steps", "batch_size", "learning_rate")
    }

    settings = ConvAE(width=2, steps=12, batch_size=16, eps=0.2)
    context = linear_problem()
    torch.manual_seed(0)
    module = settings.build(context.data).train()
    plain = copy.deepcopy(module)
    torch.manual_seed(1)
    settings.fit(module, context)

    context = linear_problem()
    optimizer = Adam(plain.parameters(), lr=settings.learning_rate)
    schedule = CosineAnnealingLR(optimizer, settings.steps)
    torch.manual_seed(1)
    for images, labels in context.batches(16, steps=12):
        adversarial = context.adversarial(Spec("fgsm"), images, labels, 0.2)
        loss = mse_loss(plain(adversarial), images)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()

    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, plain.state_dict()[name]), name


@pytest.mark.parametrize("bayes", FORMS)
def test_an_image_is_rejected_exactly_where_the_draws_disagree_more(
    networks: Any, bayes: Bayes
) -> None:
    images, network = torch.rand(40, 1, 8, 8), classifier()
    torch.manual_seed(3)
    told = built(networks, bayes, draws=3).classify(images, network)  # type: ignore[operator]
    threshold = float(told.extras["disagreement"].median()) + 1e-12
    torch.manual_seed(3)
    detector: Any = built(networks, bayes, draws=3, reject=threshold)
    decision = detector.classify(images, network)

    assert detector.rejects
    assert decision.logits.shape == (40, 3)
    assert torch.equal(decision.logits[:, :2], told.logits)
    rejected = decision.logits.argmax(dim=1) == 2
    assert torch.equal(rejected, decision.extras["disagreement"] > threshold)
    assert 0 < int(rejected.sum()) < 40


def test_an_attacker_can_follow_the_disagreement_of_a_detector(networks: Any) -> None:
    detector: Any = built(networks, "variational", draws=4, reject=0.01)
    network = classifier()

    def surplus(images: Tensor) -> Tensor:
        torch.manual_seed(4)  # The draws are the same at every call.
        logits = detector.classify(images, network).logits
        return (logits[:, -1] - logits[:, :-1].amax(dim=1)).sum()

    images = torch.rand(6, 1, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(surplus(images), images)
    step = 0.02 * gradient.sign()
    assert float(surplus(images.detach() - step)) < float(surplus(images.detach() + step))


def test_a_vote_may_ask_a_form_that_does_not_decide(networks: Any) -> None:
    inner = "convae:width=2:bayes=dropout"
    vote: Any = configure(DEFENSES, f"vote:defense=[{inner}]:draws=3").plugin.build(INFO).eval()
    own: Any = configure(DEFENSES, f"{inner}:draws=3").plugin.build(INFO).eval()
    own.load_state_dict({name.removeprefix("module."): w for name, w in vote.state_dict().items()})
    images, network = torch.rand(4, 1, 8, 8), classifier()

    torch.manual_seed(5)
    voted = vote.classify(images, network)
    torch.manual_seed(5)
    torch.testing.assert_close(own.classify(images, network).logits, voted)


CONFORMING = (
    "bayes=dropout",
    "bayes=ensemble:ensemble_size=2",
    "bayes=swag:rank=3:draws=2",
    "bayes=variational:draws=2:reject=0.5",
    "bayes=swag:rank=3:draws=2:control=true",
)


@pytest.mark.parametrize("parameters", CONFORMING)
def test_every_form_passes_the_conformance_suite(parameters: str) -> None:
    spec = f"convae:width=4:steps=20:batch_size=32:{parameters}"
    findings = list(conformance("defense", spec))
    assert len(findings) > 10
    assert not [finding for finding in findings if finding.reason]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("draws=3", r"parameter draws: it counts only with bayes=dropout\|ensemble\|swag\|var"),
        ("control=true", "parameter control: it counts only with bayes="),
        ("reject=0.1", "parameter reject: it counts only with bayes="),
        (
            "bayes=swag:ensemble_size=3",
            "parameter ensemble_size: it counts only with bayes=ensemble",
        ),
        ("bayes=ensemble:rank=3", "parameter rank: it counts only with bayes=swag"),
        ("dropout_rate=0.2", "parameter dropout_rate: it counts only with bayes=dropout"),
        ("bayes=dropout:dropout_rate=1", "parameter dropout_rate=1: "),
        ("bayes=ensemble:ensemble_size=1", "parameter ensemble_size=1: "),
        ("bayes=swag:rank=1", "parameter rank=1: "),
        ("bayes=dropout:draws=0", "parameter draws=0: "),
        ("bayes=ensemble:draws=6", "parameter draws=6: .* each of its 5 members"),
        ("bayes=dropout:reject=0.1", "parameter reject: it needs several draws"),
        ("bayes=dropout:draws=1:reject=0.1", "parameter reject: it needs several draws"),
        ("bayes=laplace", "parameter bayes=laplace: .*'dropout'"),
    ],
)
def test_a_wrong_form_is_one_clear_line(parameters: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        configure(DEFENSES, f"convae:{parameters}")
    assert_clean(str(caught.value))
