"""The models under attack: mixtures, gradients of stand-ins, deciding purifiers, known draws."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softmax

from bench.contracts import Mixture, StandIn
from bench.errors import NotApplicable, PluginFault
from bench.stages.cascade_models import model_through, stand_ins_of
from bench.stages.known_draw import KnownDraw, fixed_draw
from bench.stages.surrogates import (
    AttackedModel,
    DefendedClassifier,
    NoGradient,
    StandInClassifier,
    backward_through,
    defended_logits,
)

CLASSIFIER = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).requires_grad_(False).eval()
IMAGES = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))


class Rounded(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.round()


class Voting(nn.Module):
    """A purifier that decides by the mean of two purified images."""

    def forward(self, images: Tensor) -> Tensor:
        return images**2

    def classify(self, images: Tensor, classifier: nn.Module) -> Tensor:
        logits: Tensor = (classifier(images**2) + classifier(images**3)) / 2
        return logits


class Noisy(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return (images + 0.1 * torch.randn_like(images)).clamp(0, 1)


def gradient(model: nn.Module, images: Tensor = IMAGES) -> Tensor:
    inputs = images.clone().requires_grad_(True)
    (result,) = torch.autograd.grad(model(inputs).square().sum(), inputs)
    return result


def two_powers(images: Tensor) -> Mixture:
    weights = torch.log_softmax(torch.stack([images.mean((1, 2, 3)), 0 * images[:, 0, 0, 0]], 1), 1)
    return Mixture(torch.stack([images**2, images**3], dim=1), weights)


def test_a_mixture_gives_the_logarithm_of_the_mean_probability() -> None:
    logits = StandInClassifier(Rounded(), CLASSIFIER, two_powers)(IMAGES)
    mixture = two_powers(IMAGES)
    weights = mixture.log_weights.exp()
    expected = sum(
        weights[:, k, None] * softmax(CLASSIFIER(IMAGES ** (k + 2)), dim=1) for k in range(2)
    )
    torch.testing.assert_close(logits.exp(), expected)


def test_a_mixture_is_differentiated_through_images_and_weights() -> None:
    model = StandInClassifier(Rounded(), CLASSIFIER, two_powers)
    exact = gradient(model)
    step = 1e-3 * torch.randn(IMAGES.shape, generator=torch.Generator().manual_seed(1))
    higher, lower = (model(IMAGES + sign * step).square().sum() for sign in (1, -1))
    assert float((exact * step).sum()) == pytest.approx(float(higher - lower) / 2, rel=1e-2)


def test_a_stand_in_for_the_backward_pass_keeps_the_purifiers_output() -> None:
    model = DefendedClassifier(backward_through(Rounded(), lambda images: images**3), CLASSIFIER)
    torch.testing.assert_close(model(IMAGES), CLASSIFIER(IMAGES.round()), rtol=0, atol=0)
    purified = IMAGES.round().requires_grad_(True)
    (upstream,) = torch.autograd.grad(CLASSIFIER(purified).square().sum(), purified)
    torch.testing.assert_close(gradient(model), upstream * 3 * IMAGES**2)


def test_a_deciding_purifier_gives_the_logits_of_the_pipeline() -> None:
    expected = (CLASSIFIER(IMAGES**2) + CLASSIFIER(IMAGES**3)) / 2
    torch.testing.assert_close(defended_logits(Voting(), CLASSIFIER, IMAGES), expected)
    model = DefendedClassifier(backward_through(Voting()), CLASSIFIER)
    torch.testing.assert_close(model(IMAGES), expected, rtol=0, atol=0)
    assert (gradient(model).flatten(1).norm(dim=1) > 0).all()


def test_calls_are_counted_in_images() -> None:
    model = DefendedClassifier(Rounded(), CLASSIFIER)
    model(IMAGES)
    gradient(model)
    gradient(model, IMAGES[:2])
    assert (model.calls, model.forward_images, model.backward_images) == (3, 12, 7)
    query = NoGradient(DefendedClassifier(Rounded(), CLASSIFIER))
    query(IMAGES)
    assert (query.forward_images, query.backward_images) == (5, 0)


def test_a_known_draw_is_the_same_at_every_call_and_another_for_another_batch() -> None:
    model = DefendedClassifier(Noisy(), CLASSIFIER)
    model.draw = KnownDraw(fixed_draw(0, 0), len(IMAGES))
    state = torch.get_rng_state()
    first, second = model(IMAGES), model(IMAGES)
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())
    model.draw = KnownDraw(fixed_draw(0, 100), len(IMAGES))
    assert not torch.equal(first, model(IMAGES))


def test_a_known_draw_holds_for_a_whole_batch_only() -> None:
    model = DefendedClassifier(Noisy(), CLASSIFIER)
    model.draw = KnownDraw(fixed_draw(0, 0), len(IMAGES))
    with pytest.raises(NotApplicable, match="must ask about a whole batch"):
        model(IMAGES[:-1])


class Generating(nn.Module):
    latent = 4

    def generate(self, z: torch.Tensor) -> torch.Tensor:
        return z.view(-1, 1, 2, 2).expand(-1, *IMAGES.shape[1:2], 2, 2)


def test_images_made_from_codes_are_counted() -> None:
    model = DefendedClassifier(Generating(), CLASSIFIER)
    assert model.generator is not None
    z = torch.rand(3, model.generator.latent, requires_grad=True)
    model.generator.generate(z).sum().backward()
    assert (model.forward_images, model.backward_images) == (3, 3)


class Offering(nn.Module):
    def __init__(self, offer: object) -> None:
        super().__init__()
        self.offer = offer

    def stand_ins(self) -> object:
        return self.offer


@pytest.mark.parametrize("offer", [{"a": torch.relu}, {1: StandIn(torch.relu)}, 3, {"": None}])
def test_a_wrong_offer_is_the_purifiers_fault(offer: object) -> None:
    with pytest.raises(PluginFault, match="defense d"):
        stand_ins_of("defense d", Offering(offer))


def test_the_models_of_members() -> None:
    offered = stand_ins_of("defense d", Offering({"mixed": StandIn(two_powers)}))
    mixed = model_through("stand-in", Rounded(), CLASSIFIER, offered["mixed"])
    assert isinstance(mixed, StandInClassifier)
    through = StandIn(lambda images: images, backward_only=True)
    assert isinstance(model_through("stand-in", Rounded(), CLASSIFIER, through), AttackedModel)
    assert isinstance(model_through("query", Rounded(), CLASSIFIER), NoGradient)
    with pytest.raises(NotApplicable, match="no stand-in"):
        model_through("stand-in", Rounded(), CLASSIFIER)
    assert not stand_ins_of("defense d", Rounded())
