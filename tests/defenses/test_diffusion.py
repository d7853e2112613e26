"""Diffusion purification: its schedules, network, reverse steps, gradient and training."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import plain
import pytest
import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Eager
from bench.plugins.configured import configure
from bench.progress import Silent
from bench.registry import DEFENSES
from bench.stages.pixels import Split
from bench.stages.seeding import seeded
from bench.stages.training import TrainingContext
from defenses import _reverse_diffusion
from defenses._denoising_unet import DenoisingUNet, UNetSizes, _Attention
from defenses._noise_schedule import Schedule, alpha_bars, signal_and_noise
from defenses._reverse_diffusion import DiffusionPurifier
from defenses.diffusion import Diffusion, denoising_loss

CPU = torch.device("cpu")
INFO = DataInfo((1, 10, 7), 10)
TINY: dict[str, Any] = {"channels": 8, "multipliers": (1, 2), "attention": (1,)}


@pytest.fixture
def double() -> Iterator[None]:
    """Everything is built in float64, the factors of the steps too."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def purifier(settings: Diffusion, info: DataInfo = INFO) -> DiffusionPurifier:
    """The module with random weights, also where it begins with zeros."""
    torch.manual_seed(0)
    module = settings.build(info).eval().requires_grad_(False)
    assert isinstance(module, DiffusionPurifier)
    for weight in module.parameters():
        fan_in = weight[0].numel() if weight.dim() > 1 else 4
        weight.add_(torch.randn_like(weight) / math.sqrt(fan_in))
    return module


def cosine_betas(timesteps: int) -> list[float]:
    """Nichol, Dhariwal 2021, equation 17 and the clipping below it."""

    def f(time: int) -> float:
        return math.cos((time / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2

    return [min(1 - f(time) / f(time - 1), 0.999) for time in range(1, timesteps + 1)]


BETAS: dict[Schedule, list[float]] = {
    "cosine": cosine_betas(1000),
    "linear": torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64).tolist(),
}


# The schedules


def test_the_cosine_schedule_has_known_values() -> None:
    """The squared cosine over its value at 0; only the last step is clipped."""
    left = alpha_bars("cosine", 1000)
    at_zero = math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    assert left[0] == 1
    assert left[500] == pytest.approx(math.cos(0.508 / 1.008 * math.pi / 2) ** 2 / at_zero)
    assert left[500] == pytest.approx(0.49384, abs=1e-5)
    assert left[999] == pytest.approx(math.cos(1.007 / 1.008 * math.pi / 2) ** 2 / at_zero)
    assert left[1000] == pytest.approx(1e-3 * left[999])


def test_the_linear_schedule_has_known_values() -> None:
    left = alpha_bars("linear", 1000)
    betas = [1 - after / before for before, after in pairwise(left)]
    assert (betas[0], betas[-1]) == (pytest.approx(1e-4), pytest.approx(0.02))
    assert betas == pytest.approx(BETAS["linear"])
    assert left[1000] == pytest.approx(4.036e-5, rel=1e-3)


@pytest.mark.parametrize("timesteps", [1, 2, 5, 100, 1000, 4000])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_less_of_the_image_is_left_at_each_time(schedule: Schedule, timesteps: int) -> None:
    left = alpha_bars(schedule, timesteps)
    assert len(left) == timesteps + 1
    assert all(1 >= before > after > 0 for before, after in pairwise(left))
    assert left[-1] < 2e-3 or timesteps < 3
    signal, noise = signal_and_noise(left[1])
    assert signal**2 + noise**2 == pytest.approx(1)


# The network


def test_the_network_of_ho_et_al_has_their_number_of_weights() -> None:
    """35.7 million in the paper (appendix B), 35,746,307 in a port of the authors' code."""
    sizes = UNetSizes(128, (1, 2, 2, 2), blocks=2, attention=(1,), dropout=0.1, timesteps=1000)
    with torch.device("meta"):
        network = DenoisingUNet(3, sizes)
    assert sum(weight.numel() for weight in network.parameters()) == 35_746_307


def test_the_default_network_has_about_a_million_weights() -> None:
    module = Diffusion().build(DataInfo((1, 28, 28), 10))
    assert 0.9e6 < sum(weight.numel() for weight in module.parameters()) < 1.6e6


def test_the_output_depends_on_every_weight_and_on_the_time() -> None:
    network = purifier(Diffusion(**TINY)).network.requires_grad_(True)
    noisy = torch.randn(2, 1, 10, 7)
    one, other = (network(noisy, torch.tensor([time])) for time in (3, 700))
    assert one.shape == noisy.shape
    assert float((one - other).detach().abs().max()) > 1e-2
    one.square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert bool(weight.grad.any()), name


def test_a_time_of_all_images_is_that_of_each() -> None:
    network = purifier(Diffusion(**TINY)).network
    noisy = torch.randn(3, 1, 10, 7)
    torch.testing.assert_close(
        network(noisy, torch.tensor([5])), network(noisy, torch.tensor([5, 5, 5]))
    )


def test_attention_is_that_of_pytorch() -> None:
    torch.manual_seed(0)
    layer = _Attention(8)
    nn.init.normal_(layer.leave.weight)
    maps = torch.randn(2, 8, 3, 4)
    queries, keys, values = (
        part.flatten(2).transpose(1, 2)
        for part in layer.projections(layer.norm(maps)).chunk(3, dim=1)
    )
    attended = nn.functional.scaled_dot_product_attention(queries, keys, values)
    expected = maps + layer.leave(attended.transpose(1, 2).reshape(2, 8, 3, 4))
    torch.testing.assert_close(layer(maps), expected)


def test_an_untrained_network_predicts_no_noise() -> None:
    """The last convolution begins with zeros, so that the training begins at a loss of 1."""
    network = Diffusion(**TINY).build(INFO).get_submodule("network")
    assert not bool(network(torch.randn(2, 1, 10, 7), torch.tensor([3])).any())


# The reverse steps


def calls(settings: Diffusion) -> tuple[Tensor, DiffusionPurifier, Callable[..., Tensor]]:
    """Images, the module, and a plain loop that is run with the draws that the module makes."""
    module = purifier(settings)
    images = torch.rand(3, 1, 10, 7)

    def loop(function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        with seeded(CPU, "draws"):
            return function(module.network, BETAS[settings.schedule], images, *arguments)

    return images, module, loop


def purified(module: nn.Module, images: Tensor) -> Tensor:
    with seeded(CPU, "draws"):
        output: Tensor = module(images)
    return output


@pytest.mark.parametrize(("schedule", "t"), [("cosine", 1), ("cosine", 12), ("linear", 12)])
@pytest.mark.usefixtures("double")
def test_all_steps_are_those_of_ddpm(schedule: Schedule, t: int) -> None:
    images, module, loop = calls(Diffusion(**TINY, schedule=schedule, t=t, steps=t))
    torch.testing.assert_close(purified(module, images), loop(plain.ddpm, t))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("t", "times"),
    [
        (300, [300, 200, 100, 0]),
        (10, [10, 7, 5, 2, 0]),
        (1000, [1000, 500, 0]),
        (300, [300, 0]),
    ],
)
@pytest.mark.usefixtures("double")
def test_fewer_steps_are_those_of_ddim(eta: float, t: int, times: list[int]) -> None:
    settings = Diffusion(**TINY, t=t, steps=len(times) - 1, eta=eta)
    images, module, loop = calls(settings)
    torch.testing.assert_close(purified(module, images), loop(plain.ddim, times, eta))


@pytest.mark.parametrize("weight", [9.3, 300.0])
@pytest.mark.usefixtures("double")
def test_repeats_with_a_guide_are_gdmp(weight: float) -> None:
    settings = Diffusion(**TINY, schedule="linear", t=6, steps=6, repeats=3, guide_weight=weight)
    images, module, loop = calls(settings)
    found = purified(module, images)
    torch.testing.assert_close(found, loop(plain.gdmp, 6, 3, weight))
    assert float((found - loop(plain.gdmp, 6, 3, 0.0)).abs().max()) > 1e-5


@pytest.mark.usefixtures("double")
def test_one_step_is_the_estimate_of_the_network() -> None:
    """Equation 15 of Ho et al. solved for the image, on which nothing else is drawn."""
    images, module, _ = calls(Diffusion(**TINY, t=400, steps=1))
    found = purified(module, images)
    with seeded(CPU, "draws"):
        drawn = torch.randn_like(images)
    left = math.prod(1 - beta for beta in BETAS["cosine"][:400])
    noisy = math.sqrt(left) * (2 * images - 1) + math.sqrt(1 - left) * drawn
    noise = module.network(noisy, torch.tensor([399]))
    clean = (noisy - math.sqrt(1 - left) * noise) / math.sqrt(left)
    torch.testing.assert_close(found, ((clean + 1) / 2).clamp(0, 1))


class Knowing(nn.Module):
    """A network that knows the only image there is: the noise is what differs from it."""

    def __init__(self, image: Tensor, left: list[float]) -> None:
        super().__init__()
        self.image = 2 * image - 1
        self.left = torch.tensor(left[1:])

    def forward(self, noisy: Tensor, times: Tensor) -> Tensor:
        left = self.left[times].view(-1, 1, 1, 1)
        return (noisy - left.sqrt() * self.image) / (1 - left).sqrt()


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize(("t", "steps"), [(1, 1), (200, 7), (1000, 3), (999, 1)])
@pytest.mark.usefixtures("double")
def test_a_network_that_knows_the_image_restores_it(t: int, steps: int, eta: float) -> None:
    module = purifier(Diffusion(**TINY, t=t, steps=steps, eta=eta))
    image = torch.rand(1, 1, 10, 7)
    module.network = Knowing(image, alpha_bars("cosine", 1000))  # type: ignore[assignment]
    torch.testing.assert_close(module(torch.rand(4, 1, 10, 7)), image.expand(4, -1, -1, -1))


@pytest.mark.usefixtures("double")
def test_a_guide_keeps_the_images_near_the_given_ones() -> None:
    """Behind a network that predicts no noise, the images drift where the draws take them."""
    given = torch.rand(4, 1, 10, 7)
    apart = []
    for weight in (0.0, 300.0):
        module = Diffusion(**TINY, t=100, steps=100, guide_weight=weight).build(INFO).eval()
        with torch.no_grad():
            apart.append(float((purified(module, given) - given).square().mean()))
    assert apart[1] < 0.7 * apart[0]


# The gradient


def gradient(module: nn.Module, images: Tensor) -> Tensor:
    inputs = images.clone().requires_grad_(True)
    weights = torch.linspace(-1, 1, images.numel()).view_as(images)
    (found,) = torch.autograd.grad((purified(module, inputs) * weights).sum(), inputs)
    return found


CHAINS = {
    "steps": Diffusion(**TINY, t=200, steps=8),
    "without new noise": Diffusion(**TINY, t=200, steps=8, eta=0.0),
    "one step": Diffusion(**TINY, t=400, steps=1),
    "guided": Diffusion(**TINY, t=40, steps=5, repeats=2, guide_weight=30.0),
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.usefixtures("double")
def test_the_gradient_is_that_of_the_plain_graph(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, images = purifier(CHAINS[name]), torch.rand(2, 1, 10, 7)
    ours = gradient(module, images)
    monkeypatch.setattr(
        _reverse_diffusion, "checkpoint", lambda function, *inputs, **_: function(*inputs)
    )
    torch.testing.assert_close(ours, gradient(module, images))
    assert float(ours.norm()) > 1e-3


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.usefixtures("double")
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    module, images = purifier(CHAINS[name]), 0.1 + 0.8 * torch.rand(2, 1, 10, 7)
    weights, h = torch.linspace(-1, 1, images.numel()).view_as(images), 1e-6
    direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    up, down = (
        float((purified(module, images + sign * h * direction) * weights).sum()) for sign in (1, -1)
    )
    along = float((gradient(module, images) * direction).sum())
    assert along == pytest.approx((up - down) / (2 * h), rel=1e-4)


@pytest.mark.parametrize("name", CHAINS)
def test_following_the_gradient_changes_no_image(name: str) -> None:
    module, images = purifier(CHAINS[name]), torch.rand(2, 1, 10, 7)
    plainly = purified(module, images)
    followed = purified(module, images.requires_grad_(True))
    assert torch.equal(plainly, followed)
    assert followed.requires_grad
    assert not plainly.requires_grad


@pytest.mark.parametrize("steps", [5, 20])
def test_a_graph_keeps_an_image_for_each_step(steps: int) -> None:
    """The inputs of the checkpoints, the input of the last clamp, and numbers."""
    module, images = purifier(Diffusion(**TINY, steps=steps)), torch.rand(2, 1, 10, 7)
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(images.requires_grad_(True))
    assert sum(kept) <= (steps + 1) * images.numel() + 20 * steps


# Engines


def test_the_step_is_one_graph() -> None:
    """No part of it falls back to eager when it is compiled."""
    module = purifier(CHAINS["guided"])
    state = (torch.randn(2, 1, 10, 7), torch.tensor([1]))
    torch.compiler.reset()
    step = torch.compile(module.step, fullgraph=True, dynamic=False, backend="eager")
    with torch.no_grad():
        with seeded(CPU, "draws"):
            noisy, number = step(state, (torch.rand(2, 1, 10, 7),))
        with seeded(CPU, "draws"):
            expected, _ = module.step(state, (torch.rand(2, 1, 10, 7),))
    torch.testing.assert_close(noisy, expected)
    assert int(number) == 2


class Counting(Eager):
    """Engine that counts the steps that it runs."""

    def __init__(self) -> None:
        self.steps = 0

    def loop(self, step, times):  # type: ignore[no-untyped-def]
        def counted(state, constants):  # type: ignore[no-untyped-def]
            self.steps += 1
            return step(state, constants)

        return super().loop(counted, times)


def test_an_engine_is_given_every_step() -> None:
    module, engine = purifier(CHAINS["guided"]), Counting()
    images = torch.rand(2, 1, 10, 7)
    with torch.no_grad(), seeded(CPU, "draws"):
        found = module.accelerated(engine)(images)
    assert torch.equal(found, purified(module, images))
    assert engine.steps == 2 * 5


# The training


class Watched(nn.Module):
    """A network that predicts no noise and keeps what it is given."""

    def forward(self, noisy: Tensor, times: Tensor) -> Tensor:
        self.noisy, self.times = noisy, times
        return torch.zeros_like(noisy)


@pytest.mark.usefixtures("double")
def test_the_loss_is_the_squared_error_of_the_noise() -> None:
    images, network = torch.rand(6, 1, 10, 7), Watched()
    levels = torch.tensor([signal_and_noise(left) for left in alpha_bars("cosine", 1000)[1:]])
    with seeded(CPU, "loss"):
        loss = denoising_loss(network, images, levels)
    with seeded(CPU, "loss"):
        times = torch.randint(1000, (6,))
        drawn = torch.randn_like(images)

    assert float(loss) == pytest.approx(float(drawn.square().mean()))
    assert torch.equal(network.times, times)
    for index, time in enumerate(times.tolist()):
        left = math.prod(1 - beta for beta in BETAS["cosine"][: time + 1])
        expected = math.sqrt(left) * (2 * images[index] - 1) + math.sqrt(1 - left) * drawn[index]
        torch.testing.assert_close(network.noisy[index], expected)


class Recording(TrainingContext):
    """A context that keeps the network's weights after each step."""

    def __init__(self, network: nn.Module, images: Tensor) -> None:
        split = Split.of(images, torch.arange(len(images)) % 2)
        super().__init__(title="x", data=INFO, split=split, seed="s", progress=Silent())
        self.network = network
        self.weights: list[dict[str, Tensor]] = []

    def report(self, **losses: Tensor) -> None:
        super().report(**losses)
        self.weights.append(copy.deepcopy(dict(self.network.state_dict())))


@pytest.mark.parametrize("ema", [0.0, 0.7])
def test_the_weights_that_are_kept_are_the_moving_average(ema: float) -> None:
    """ema^(n-1) w_1 + (1 - ema) sum over k > 1 of ema^(n-k) w_k, of the weights w_1 to w_n."""
    settings = Diffusion(**TINY, iterations=4, batch_size=8, ema=ema)
    torch.manual_seed(0)
    module = settings.build(INFO).train()
    context = Recording(module.get_submodule("network"), torch.rand(16, 1, 10, 7))
    settings.fit(module, context)

    assert len(context.weights) == 4
    factors = [ema**3, *((1 - ema) * ema ** (4 - step) for step in (2, 3, 4))]
    for name, kept in module.get_submodule("network").state_dict().items():
        steps = [weights[name] for weights in context.weights]
        expected = sum(factor * step for factor, step in zip(factors, steps, strict=True))
        torch.testing.assert_close(kept, expected)
        assert not torch.equal(steps[0], steps[-1])


def test_the_loss_falls() -> None:
    """Half of the images are black, half are white."""
    settings = Diffusion(
        channels=8,
        multipliers=(1,),
        attention=(0,),
        iterations=60,
        batch_size=8,
        learning_rate=1e-2,
    )
    torch.manual_seed(0)
    module = settings.build(INFO).train()
    images = torch.arange(32.0).remainder(2).view(-1, 1, 1, 1).expand(-1, *INFO.shape)
    context = Recording(module.get_submodule("network"), images)
    settings.fit(module, context)
    losses = [loss for _, loss in context.history["mse"]]
    assert losses[0] == pytest.approx(1, abs=0.2)
    assert sum(losses[-10:]) / 10 < 0.5


# The parameters


def test_one_network_serves_every_purification() -> None:
    specs = ("diffusion:t=36:steps=36:repeats=4:guide_weight=9.3", "diffusion:steps=1:eta=0")
    one, other = (configure(DEFENSES, spec).training_identity for spec in specs)
    assert one == other
    assert configure(DEFENSES, "diffusion:schedule=linear").training_identity != one


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("t=1001", "parameter t=1001: at most timesteps=1000"),
        ("t=40", "parameter steps=50: at most t=40"),
        ("attention=3", "parameter attention=3: the levels of multipliers are 0 to 2"),
        ("multipliers=[1,0]", "greater than or equal to 1"),
        ("schedule=quadratic", "'cosine' or 'linear'"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(spec: str, reason: str) -> None:
    with pytest.raises(Exception, match=reason) as refused:
        configure(DEFENSES, f"diffusion:{spec}")
    assert "\n" not in str(refused.value)
