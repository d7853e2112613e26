"""Purifiers, compared with plain loops written from the papers, with the same random draws."""

from __future__ import annotations

from dataclasses import replace

import plain
import pytest
import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, State
from bench.stages.seeding import seeded
from defenses._conditional_vae import ConditionalVAE
from defenses._projection import Projection
from defenses.defensegan import DefenseGAN
from defenses.puvae import PuVAE

CPU = torch.device("cpu")
INFO = DataInfo((1, 28, 28), 10)
SHORT = DefenseGAN(latent=8, width=4, restarts=3, steps=8, rate=5.0, start_std=1.0)
GANS = {
    "published form": SHORT,
    "one start": replace(SHORT, restarts=1),
    "sphere": replace(SHORT, sphere=True),
    "batch norm": replace(SHORT, batch_norm=True, sphere=True, restarts=4),
}
VAES = {
    "published form": PuVAE(channels=4, hidden=16, latent=6),
    "without noise": PuVAE(channels=4, hidden=16, latent=6, noise=0.0),
    "strided": PuVAE(channels=4, hidden=16, latent=6, kernel=5, dilation=1, stride=2, noise=0.5),
}
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-5}


def scrambled(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The module in evaluation mode, with random weights and statistics, none one or zero."""
    torch.manual_seed(1)
    module = module.to(dtype).eval().requires_grad_(False)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.add_(
                (0.3 * tensor.std() if tensor.numel() > 1 else 0.1) * torch.randn_like(tensor)
            )
            tensor.mul_(1.5 if name.endswith("weight") else 1.0)
        if name.endswith("running_var"):
            tensor.add_(0.2 * torch.rand_like(tensor)).abs_()
    return module


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", VAES)
def test_puvae_is_the_plain_loop(name: str, dtype: torch.dtype) -> None:
    module = scrambled(VAES[name].build(INFO), dtype)
    assert isinstance(module, ConditionalVAE)
    images = torch.rand(5, 1, 28, 28, dtype=dtype)
    with seeded(CPU, "noise"):
        ours = module(images)
    with seeded(CPU, "noise"):
        noise = torch.randn(5 * 10, module.latent, dtype=dtype).view(5, 10, -1)
    expected = plain.puvae(module, images, noise)
    torch.testing.assert_close(ours, expected, rtol=0, atol=TOLERANCE[dtype])
    assert float((expected - plain.puvae(module, images, noise.flip(1))).abs().max()) > TOLERANCE[
        dtype
    ] or (module.noise == 0)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", GANS)
def test_defense_gan_is_the_plain_loop(name: str, dtype: torch.dtype) -> None:
    settings = GANS[name]
    module = scrambled(settings.build(INFO), dtype)
    images = torch.rand(4, 1, 28, 28, dtype=dtype)
    starts = started(settings, dtype)
    with seeded(CPU, "z"):
        ours = module(images)
    expected = plain.defensegan(module.get_submodule("generator"), settings, images, starts)
    torch.testing.assert_close(ours, expected, rtol=0, atol=TOLERANCE[dtype])
    fewer = replace(settings, steps=settings.steps - 1)
    short = plain.defensegan(module.get_submodule("generator"), fewer, images, starts)
    difference = float((short - expected).abs().max())
    assert difference > 10 * TOLERANCE[dtype]  # A missing step would be noticed.


def started(settings: DefenseGAN, dtype: torch.dtype) -> Tensor:
    """The draws of `seeded(CPU, "z")`."""
    with seeded(CPU, "z"):
        drawn = settings.start_std * torch.randn(
            4 * settings.restarts, settings.latent, dtype=dtype
        )
    return drawn.view(4, settings.restarts, -1)


@pytest.mark.parametrize("name", GANS)
def test_the_step_is_one_graph(name: str) -> None:
    """No part of it falls back to eager when it is compiled."""
    settings = GANS[name]
    module = scrambled(settings.build(INFO), torch.float32)
    assert isinstance(module, Projection)
    generator = module.folded_generator()
    size = (4 * settings.restarts, settings.latent)
    state: State = (module.on_sphere(torch.randn(size)), torch.randn(size))
    target = torch.rand(4 * settings.restarts, 1, 28, 28)
    torch.compiler.reset()
    step = torch.compile(
        lambda z, v, t: module.step(generator, (z, v), (t,)),
        fullgraph=True,
        dynamic=False,
        backend="eager",
    )
    with torch.no_grad():
        compiled = step(*state, target)
        expected = module.step(generator, state, (target,))
    torch.testing.assert_close(compiled, expected)


class Counting:
    """Engine that counts the steps and calls that it runs."""

    def __init__(self) -> None:
        self.steps = self.calls = 0

    def function(self, function):  # type: ignore[no-untyped-def]
        def counted(*inputs: Tensor) -> Tensor:
            self.calls += 1
            return function(*inputs)

        return counted

    def loop(self, step, times):  # type: ignore[no-untyped-def]
        def looped(state: State, constants: State) -> State:
            for _ in range(times):
                self.steps += 1
                state = step(tuple(tensor.clone() for tensor in state), constants)
            return state

        return looped


def test_an_engine_is_given_every_step() -> None:
    module = scrambled(SHORT.build(INFO), torch.float32)
    assert isinstance(module, Projection)
    engine, images = Counting(), torch.rand(4, 1, 28, 28)
    with torch.no_grad():
        purify = module.accelerated(engine)
        with seeded(CPU, "z"):
            purified = purify(images)
        with seeded(CPU, "z"):
            expected = module(images)
    assert torch.equal(purified, expected)
    assert (engine.steps, engine.calls) == (SHORT.steps, 1)


def test_the_generator_is_folded_once_and_again_when_its_weights_change() -> None:
    module = scrambled(SHORT.build(INFO), torch.float32)
    assert isinstance(module, Projection)
    z = torch.randn(2, SHORT.latent)
    first = module.folded_generator()
    before = module.generate(z)
    assert module.folded_generator() is first
    state = {name: tensor * 1.1 for name, tensor in module.state_dict().items()}
    module.load_state_dict(state)
    torch.testing.assert_close(module.generate(z), module.generator(z))
    assert float((module.generate(z) - before).abs().max()) > 1e-3
    assert module.double().generate(z.double()).dtype == torch.float64
