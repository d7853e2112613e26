"""Stand-ins of the purifiers, compared with plain code and with the purifiers themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from bench.contracts import DataInfo, Defense, HasStandIns, Mixture, StandIn
from bench.stages.seeding import seeded
from defenses import _smooth_jpeg
from defenses._conditional_vae import _TEMPERATURE, ConditionalVAE
from defenses.bitdepth import _STEEPNESS, BitDepth
from defenses.defensegan import DefenseGAN
from defenses.jpeg import JPEG
from defenses.puvae import PuVAE

CPU = torch.device("cpu")
INFO = DataInfo((1, 12, 12), 10)


def stand_ins(module: nn.Module) -> Mapping[str, StandIn]:
    assert isinstance(module, HasStandIns)
    return module.stand_ins()


def alone(defense: Defense, info: DataInfo = INFO) -> tuple[nn.Module, StandIn]:
    """The module of a defense in float64, and its only stand-in."""
    torch.manual_seed(0)
    module = defense.build(info).eval().double().requires_grad_(False)
    for weight in module.parameters():
        weight.mul_(1.5)
    (stand_in,) = stand_ins(module).values()
    return module, stand_in


VAES = {
    "with noise": PuVAE(channels=4, kernel=3, dilation=1, hidden=32, latent=8, noise=0.3),
    "strided": PuVAE(channels=4, kernel=3, hidden=32, latent=8, stride=2),
    "without noise": PuVAE(channels=4, kernel=3, hidden=32, latent=8, noise=0.0),
}


@pytest.mark.parametrize("name", VAES)
def test_the_mixture_has_the_plain_candidates_and_weights(name: str) -> None:
    module, stand_in = alone(VAES[name])
    assert isinstance(module, ConditionalVAE)
    images = torch.rand(4, 1, 12, 12, dtype=torch.float64)
    with seeded(CPU, "noise"):
        mixture = stand_in.function(images)
    with seeded(CPU, "noise"):
        noise = torch.randn(4 * 10, module.latent, dtype=torch.float64).view(4, 10, -1)

    assert isinstance(mixture, Mixture)
    for index, image in enumerate(images):
        scores = []
        for label in range(10):
            condition = one_hot(torch.tensor([label]), 10).double()
            joined = torch.cat([module.convolutions(image[None]), condition], dim=1)
            hidden = torch.relu(module.hidden(torch.relu(module.joined(joined))))
            deviation = torch.exp(module.log_variance(hidden) / 2)
            z = module.mean(hidden) + module.noise * deviation * noise[index, label]
            logits = module.decoder(module.expand(torch.cat([z, condition], dim=1)))
            candidate = torch.sigmoid(logits)[0]
            torch.testing.assert_close(mixture.images[index, label], candidate)
            scores.append(-float((candidate - image).square().mean()) / _TEMPERATURE)
        probabilities = torch.tensor(scores, dtype=torch.float64).softmax(dim=0)
        torch.testing.assert_close(mixture.log_weights[index].exp(), probabilities)


@pytest.mark.parametrize("name", VAES)
def test_the_likeliest_candidate_is_the_purified_image(name: str) -> None:
    module, stand_in = alone(VAES[name])
    images = torch.rand(6, 1, 12, 12, dtype=torch.float64)
    with seeded(CPU, "draw"):
        purified = module(images)
    with seeded(CPU, "draw"):
        mixture = stand_in.function(images)
    assert isinstance(mixture, Mixture)
    best = mixture.log_weights.argmax(dim=1)
    torch.testing.assert_close(mixture.images[torch.arange(6), best], purified)


def test_the_gradient_of_the_mixture_is_that_of_finite_differences() -> None:
    _, stand_in = alone(VAES["with noise"])
    generator = torch.Generator().manual_seed(2)
    images, direction = torch.rand(2, 2, 1, 12, 12, dtype=torch.float64, generator=generator)
    target = torch.rand(2, 10, 1, 12, 12, dtype=torch.float64, generator=generator)

    def value(at: Tensor) -> Tensor:
        with seeded(CPU, "draw"):
            mixture = stand_in.function(at)
        assert isinstance(mixture, Mixture)
        scores = (mixture.images * target).flatten(2).sum(dim=2)
        return (mixture.log_weights + scores).logsumexp(dim=1).sum()

    inputs = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(inputs), inputs)
    up, down = (float(value(images + sign * 1e-6 * direction)) for sign in (1, -1))
    assert float((gradient * direction).sum()) == pytest.approx((up - down) / 2e-6, rel=1e-4)


@pytest.mark.parametrize("bits", range(1, 9))
def test_the_sigmoids_of_bitdepth_rise_from_level_to_level(bits: int) -> None:
    module, stand_in = alone(BitDepth(bits=bits))
    steps = 2**bits - 1
    pixels = torch.linspace(0, 1, 1001, dtype=torch.float64)
    inputs = pixels.view(1, 1, 1, -1).clone().requires_grad_(True)

    output = stand_in.function(inputs)

    assert not stand_in.backward_only
    assert isinstance(output, Tensor)
    (gradient,) = torch.autograd.grad(output.sum(), inputs)
    distance = pixels * steps - torch.floor(pixels * steps).clamp(max=steps - 1) - 0.5
    rising = torch.sigmoid(_STEEPNESS * distance)
    torch.testing.assert_close(gradient.flatten(), _STEEPNESS * rising * (1 - rising))
    # It is nearest to the rounding away from the thresholds.
    far = distance.abs() > 0.3
    difference = (output - module(inputs)).detach().flatten().abs() * steps
    assert float(difference[far].max()) < 1 / (1 + math.exp(0.3 * _STEEPNESS)) + 1e-6


PHOTO = torch.linspace(0, 6, 40, dtype=torch.float64)
"""Positions of the rows and columns of a smooth picture."""


def picture(channels: int, height: int, width: int) -> Tensor:
    rows, columns = PHOTO[:height, None], PHOTO[None, :width]
    parts = [0.5 + 0.4 * torch.sin(rows * (1 + c / 3) + c) * torch.cos(columns - c) for c in
             range(channels)]  # fmt: skip
    return torch.stack(parts)[None]


@pytest.mark.parametrize("quality", [10, 50, 75, 95])
@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 28, 28), (1, 13, 27), (3, 32, 32), (3, 15, 29)])
def test_with_its_own_rounding_the_smooth_codec_is_the_real_one(
    quality: int, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_smooth_jpeg, "_smoothly_rounded", torch.round)
    module, stand_in = alone(JPEG(quality=quality), DataInfo(shape, 10))
    images = picture(*shape)
    output = stand_in.function(images)
    assert stand_in.backward_only
    assert isinstance(output, Tensor)
    assert output.shape == images.shape
    # The real one rounds to 8 bits on its way, and fills blocks at the edges otherwise.
    assert float((output - module(images)).abs().mean()) < (1 if shape[0] == 1 else 2) / 255


def test_the_smooth_rounding_is_halfway_and_rises() -> None:
    values = torch.linspace(-3, 3, 2401, dtype=torch.float64, requires_grad=True)
    rounded = _smooth_jpeg._smoothly_rounded(values)
    (slope,) = torch.autograd.grad(rounded.sum(), values)
    assert float(slope.min()) > 0.499
    assert float(slope.max()) < 1.501
    nearest = values.detach().round()
    assert bool(((rounded - nearest).abs() <= (values - nearest).abs() + 1e-9).all())
    torch.testing.assert_close(rounded[::400], torch.arange(-3.0, 4.0, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(1, 20, 28), (3, 20, 28)])
def test_the_smooth_codec_has_the_gradient_of_finite_differences(
    shape: tuple[int, int, int],
) -> None:
    _, stand_in = alone(JPEG(quality=50), DataInfo(shape, 10))
    images = picture(*shape)
    generator = torch.Generator().manual_seed(3)
    weights, direction = torch.randn(2, *images.shape, dtype=torch.float64, generator=generator)
    inputs = images.clone().requires_grad_(True)
    output = stand_in.function(inputs)
    assert isinstance(output, Tensor)
    (gradient,) = torch.autograd.grad((output * weights).sum(), inputs)
    up, down = (
        (stand_in.function(images + sign * 1e-6 * direction) * weights).sum()  # type: ignore[operator]
        for sign in (1, -1)
    )
    assert float((gradient * direction).sum()) == pytest.approx(
        float(up - down) / 2e-6, rel=1e-3, abs=1e-4
    )


@pytest.mark.parametrize(
    ("settings", "fewer"),
    [
        ({"steps": 8, "restarts": 4}, {"steps": 2, "restarts": 1}),
        ({"steps": 9, "restarts": 5}, {"steps": 3, "restarts": 2}),
        ({"steps": 1, "restarts": 1}, {"steps": 1, "restarts": 1}),
    ],
)
def test_fewer_steps_of_defense_gan_are_a_projection_of_a_quarter(
    settings: dict[str, int], fewer: dict[str, int]
) -> None:
    full = replace(DefenseGAN(latent=6, width=2, rate=3.0, start_std=1.0), **settings)
    module, stand_in = alone(full)
    short = replace(full, **fewer).build(INFO).double()
    short.load_state_dict(module.state_dict())
    images = torch.rand(3, 1, 12, 12, dtype=torch.float64)

    results = []
    for function in (stand_in.function, short.eval().requires_grad_(False)):
        inputs = images.clone().requires_grad_(True)
        with seeded(CPU, "draw"):
            output = function(inputs)
        assert isinstance(output, Tensor)
        results.append((output, torch.autograd.grad(output.square().sum(), inputs)[0]))

    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert module(images).shape == images.shape
