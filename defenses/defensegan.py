"""Defense-GAN: Samangouei, Kabkab, Chellappa, ICLR 2018 (arXiv:1805.06605); official code kabkabm/defensegan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.contracts import (
    DataInfo,
    Defense,
    FitContext,
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
)
from bench.registry import register_defense
from defenses._schedule import linear_decay


@register_defense("defensegan")
@dataclass(frozen=True)
class DefenseGAN(Defense):
    """Project the image on the range of a WGAN-GP generator; the reconstruction is classified (arXiv:1805.06605).

    The defaults are those of the official code, which trains a WGAN-GP although the paper says WGAN; the step size on z
    is constant, as it is in effect there. `batch_norm`, `decay` and `ema` are additions for short trainings, and
    `sphere` for a projection that stays where the generator was trained; all are off by default.

    Attributes:
        latent: dimension of z, drawn from N(0, I) in training.
        width: the generator's last hidden map has `width` channels, the ones before 2x and 4x as many.
        critic_width: the same for the critic's first.
        gradient_penalty: weight of the penalty on the critic's gradient norm.
        critic_steps: critic steps per generator step.
        iterations: generator steps.
        batch_size: images in a training batch.
        learning_rate: of both Adams, betas (0.5, 0.9).
        batch_norm: batch normalisation in the generator.
        decay: the learning rates fall linearly to zero over this last share of the training.
        ema: decay of the moving average of the generator's weights; 0 for none.
        restarts: random starts R of the projection, all restarts of a batch in one tensor.
        steps: gradient steps L on z.
        rate: step size on the pixel-mean squared error, summed over images and restarts.
        momentum: of the steps on z.
        start_std: standard deviation of the starts; the official code uses sqrt(1/128), not the training prior's 1.
        sphere: after each step put z back on the sphere of radius sqrt(latent), near which N(0, I) lies: without it the
            projection drifts to small z, in-between digits that fit the perturbation.
    """

    stochastic: ClassVar[bool] = True
    inference_parameters: ClassVar[frozenset[str]] = frozenset(
        {"restarts", "steps", "rate", "momentum", "start_std", "sphere"}
    )

    latent: PositiveInt = 128
    width: PositiveInt = 64
    critic_width: PositiveInt = 64
    gradient_penalty: NonNegativeFloat = 10.0
    critic_steps: PositiveInt = 5
    iterations: PositiveInt = 200_000
    batch_size: PositiveInt = 50
    learning_rate: PositiveFloat = 1e-4
    batch_norm: bool = False
    decay: Fraction = 0.0
    ema: Fraction = 0.0
    restarts: PositiveInt = 10
    steps: PositiveInt = 200
    rate: PositiveFloat = 10.0
    momentum: Fraction = 0.7
    start_std: PositiveFloat = 128**-0.5
    sphere: bool = False

    def build(self, data: DataInfo) -> nn.Module:
        """The generator with the projection around it; images (n, c, h, w) to images of the same shape."""
        return _Projection(_Generator(data.shape, self.latent, self.width, self.batch_norm), self)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Train the generator against a critic that is thrown away."""
        generator = module.get_submodule("generator")
        images_seen = context.batches(self.batch_size, steps=self.iterations * self.critic_steps)
        average = get_ema_multi_avg_fn(self.ema)
        averaged = AveragedModel(generator, multi_avg_fn=average, use_buffers=True) if self.ema else None
        for _ in self._train(generator, context, images_seen):
            if averaged is not None:
                averaged.update_parameters(generator)
        if averaged is not None:
            generator.load_state_dict(averaged.module.state_dict())

    def _train(
        self, generator: nn.Module, context: FitContext, batches: Iterator[tuple[Tensor, Tensor]]
    ) -> Iterator[None]:
        """Alternate critic and generator steps; yields after each generator step."""
        critic: nn.Module | None = None
        for step, (images, _) in enumerate(batches, start=1):
            if critic is None:
                critic = _Critic(context.data.shape, self.critic_width).to(images.device)
                critic_optimizer, critic_schedule = self._optimizer(critic, self.critic_steps)
                optimizer, schedule = self._optimizer(generator, 1)
            z = torch.randn(2, len(images), self.latent, device=images.device)
            with torch.no_grad():
                fakes = generator(z[0])
            distance = critic(images).mean() - critic(fakes).mean()
            loss = self.gradient_penalty * _penalty(critic, images, fakes) - distance
            critic_optimizer.zero_grad(set_to_none=True)
            loss.backward()
            critic_optimizer.step()
            critic_schedule.step()
            context.report(wasserstein=distance)
            if step % self.critic_steps == 0:
                critic.requires_grad_(False)
                generator_loss = -critic(generator(z[1])).mean()
                optimizer.zero_grad(set_to_none=True)
                generator_loss.backward()
                optimizer.step()
                schedule.step()
                critic.requires_grad_(True)
                yield

    def _optimizer(self, module: nn.Module, steps_per_iteration: int) -> tuple[Adam, LambdaLR]:
        """Adam, and the decay of its learning rate."""
        optimizer = Adam(module.parameters(), lr=self.learning_rate, betas=(0.5, 0.9))
        return optimizer, linear_decay(optimizer, self.iterations * steps_per_iteration, self.decay)


def _penalty(critic: nn.Module, images: Tensor, fakes: Tensor) -> Tensor:
    """Mean squared deviation from 1 of the critic's gradient norm between real and fake images (WGAN-GP, eq. 3)."""
    share = torch.rand(len(images), 1, 1, 1, device=images.device)
    between = torch.lerp(images, fakes, share).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
    return penalty


class _Generator(nn.Module):
    """Linear, then three transposed 5x5 convolutions of stride 2; sigmoid."""

    def __init__(self, shape: tuple[int, int, int], latent: int, width: int, batch_norm: bool) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        self.sizes = [_halvings(self.height), _halvings(self.width)]
        self.start = (4 * width, self.sizes[0][3], self.sizes[1][3])
        self.linear = nn.Linear(latent, self.start[0] * self.start[1] * self.start[2])
        self.up1 = _doubling(4 * width, 2 * width)
        self.up2 = _doubling(2 * width, width)
        self.up3 = _doubling(width, channels)
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(maps) if batch_norm else nn.Identity() for maps in (4 * width, 2 * width, width)
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, z: Tensor) -> Tensor:
        """Images (n, c, h, w) in [0, 1] of z (n, latent)."""
        maps = torch.relu(self.norms[0](self.linear(z).view(-1, *self.start)))
        maps = torch.relu(self.norms[1](self._crop(self.up1(maps), 2)))
        maps = torch.relu(self.norms[2](self._crop(self.up2(maps), 1)))
        return torch.sigmoid(self._crop(self.up3(maps), 0))

    def _crop(self, maps: Tensor, level: int) -> Tensor:
        """Cut a doubled map to the size of that level, as 8x8 to 7x7 on 28x28 images."""
        return maps[..., : self.sizes[0][level], : self.sizes[1][level]]


def _halvings(size: int) -> list[int]:
    """28 gives [28, 14, 7, 4]."""
    sizes = [size]
    for _ in range(3):
        sizes.append((sizes[-1] + 1) // 2)
    return sizes


def _doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=2, output_padding=1)


class _Critic(nn.Module):
    """Three 5x5 convolutions of stride 2 and a linear layer; LeakyReLU 0.2; no batch normalisation."""

    def __init__(self, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        channels, height, breadth = shape
        widths = [channels, width, 2 * width, 4 * width]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 5, stride=2, padding=2) for inputs, outputs in pairwise(widths)
        )
        self.linear = nn.Linear(widths[-1] * _halvings(height)[3] * _halvings(breadth)[3], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Scores (n,)."""
        for convolution in self.convolutions:
            images = leaky_relu(convolution(images), 0.2)
        scores: Tensor = self.linear(images.flatten(1)).squeeze(1)
        return scores


class _Projection(nn.Module):
    """The generated image nearest to the input: L steps of gradient descent on z from R starts, the best kept."""

    def __init__(self, generator: nn.Module, settings: DefenseGAN) -> None:
        super().__init__()
        self.generator, self.settings = generator, settings

    def forward(self, images: Tensor) -> Tensor:
        """G(z*) of images (n, c, h, w). Needs gradients with respect to z, so they are enabled inside."""
        settings, n = self.settings, len(images)
        target = images.detach().repeat_interleave(settings.restarts, dim=0)
        z = self._on_sphere(settings.start_std * torch.randn(len(target), settings.latent, device=images.device))
        velocity = torch.zeros_like(z)
        for _ in range(settings.steps):
            with torch.enable_grad():
                z.requires_grad_(True)
                error = _error(self.generator(z), target).sum()
                (gradient,) = torch.autograd.grad(error, z)
            velocity = settings.momentum * velocity + gradient
            z = self._on_sphere((z - settings.rate * velocity).detach())
        with torch.no_grad():
            candidates = self.generator(z)
            best = _error(candidates, target).view(n, settings.restarts).argmin(dim=1)
            chosen: Tensor = candidates.view(n, settings.restarts, *images.shape[1:])[torch.arange(n), best]
        return chosen

    def _on_sphere(self, z: Tensor) -> Tensor:
        """The nearest point of the sphere of radius sqrt(latent), where that is asked for."""
        if not self.settings.sphere:
            return z
        scale: Tensor = self.settings.latent**0.5 / z.norm(dim=1, keepdim=True)
        return z * scale


def _error(candidates: Tensor, target: Tensor) -> Tensor:
    """Pixel-mean squared error of each candidate."""
    return ((candidates - target) ** 2).flatten(1).mean(dim=1)
