"""Defense-GAN: Samangouei, Kabkab, Chellappa, ICLR 2018 (arXiv:1805.06605).

The official code is kabkabm/defensegan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
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
from defenses._projection import Descent, Projection
from defenses._schedule import linear_decay
from defenses._wgan import Critic, Generator, gradient_penalty


@register_defense("defensegan")
@dataclass(frozen=True)
class DefenseGAN(Defense):
    """Defense-GAN: projection on the range of a WGAN-GP generator (arXiv:1805.06605).

    The purified image is the generated image nearest to the input, found by gradient descent on the
    latent code z. The defaults are those of the official code (kabkabm/defensegan), which trains a
    WGAN-GP although the paper says WGAN. The step size on z is constant, as it is in effect in the
    official code.

    Four parameters are additions, all off by default: `batch_norm`, `decay` and `ema` for short
    trainings, and `sphere` for a projection that stays where the generator was trained.

    Attributes:
        latent: dimension of z, at least 1; in training, z is drawn from N(0, I).
        width: number of channels of the generator's last hidden map, at least 1. The maps before it
            have twice and four times as many.
        critic_width: number of channels of the critic's first map, at least 1. The maps after it
            have twice and four times as many.
        gradient_penalty: weight of the penalty on the critic's gradient norm, at least 0.
        critic_steps: number of critic steps for each generator step, at least 1.
        iterations: number of generator steps, at least 1.
        batch_size: number of images in a training batch, at least 1.
        learning_rate: learning rate of both Adam optimizers, above 0; their betas are (0.5, 0.9).
        batch_norm: whether the generator has batch normalization.
        decay: last part of the training over which the learning rates fall linearly to zero, in
            [0, 1].
        ema: decay of the moving average of the generator's weights, in [0, 1]; 0 for no average.
        restarts: number of random starts R of the projection, at least 1.
        steps: number of gradient steps L on z, at least 1.
        rate: step size on z, for the pixel-mean squared error summed over images and restarts,
            above 0.
        momentum: momentum of the steps on z, in [0, 1].
        start_std: standard deviation of the starts, above 0. The official code uses sqrt(1/128),
            not the 1 of the training.
        sphere: whether z is put back on the sphere of radius sqrt(latent) after each step. N(0, I)
            lies near this sphere; without it the projection drifts to small z, which generate
            in-between digits that fit the perturbation.
    """

    stochastic: ClassVar[bool] = True
    independent_draws: ClassVar[bool] = True
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
        """The projection with an untrained generator; images to images of the same shape."""
        generator = Generator(data.shape, self.latent, self.width, self.batch_norm)
        descent = Descent(
            latent=self.latent,
            restarts=self.restarts,
            steps=self.steps,
            rate=self.rate,
            momentum=self.momentum,
            start_std=self.start_std,
            sphere=self.sphere,
        )
        return Projection(generator, descent)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Train the generator against a critic, which is discarded."""
        generator = module.get_submodule("generator")
        if not self.ema:
            for _ in self._train(generator, context):
                pass
            return

        device = next(generator.parameters()).device
        average = AveragedModel(
            generator, device, multi_avg_fn=get_ema_multi_avg_fn(self.ema), use_buffers=True
        )
        for _ in self._train(generator, context):
            average.update_parameters(generator)
        generator.load_state_dict(average.module.state_dict())

    def _train(self, generator: nn.Module, context: FitContext) -> Iterator[None]:
        """Alternate critic and generator steps; yields after each generator step."""
        device = next(generator.parameters()).device
        critic = Critic(context.data.shape, self.critic_width).to(device)
        critic_optimizer, critic_schedule = self._optimizer(critic, self.critic_steps)
        optimizer, schedule = self._optimizer(generator, 1)

        batches = context.batches(self.batch_size, steps=self.iterations * self.critic_steps)
        for step, (images, _) in enumerate(batches, start=1):
            critic_z, generator_z = torch.randn(2, len(images), self.latent, device=device)

            with torch.no_grad():
                fakes = generator(critic_z)
            distance = critic(images).mean() - critic(fakes).mean()
            loss = self.gradient_penalty * gradient_penalty(critic, images, fakes) - distance
            _update(loss, critic_optimizer, critic_schedule)
            context.report(wasserstein=distance)

            if step % self.critic_steps == 0:
                critic.requires_grad_(False)
                _update(-critic(generator(generator_z)).mean(), optimizer, schedule)
                critic.requires_grad_(True)
                yield

    def _optimizer(self, module: nn.Module, steps_per_iteration: int) -> tuple[Adam, LambdaLR]:
        """Adam and the decay of its learning rate."""
        optimizer = Adam(module.parameters(), lr=self.learning_rate, betas=(0.5, 0.9))
        return optimizer, linear_decay(optimizer, self.iterations * steps_per_iteration, self.decay)


def _update(loss: Tensor, optimizer: Adam, schedule: LambdaLR) -> None:
    """One step of the optimizer and of its schedule."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    schedule.step()
