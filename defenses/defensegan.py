"""Defense-GAN: Samangouei, Kabkab, Chellappa, ICLR 2018 (arXiv:1805.06605).

Official code kabkabm/defensegan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.contracts import (
    Accelerator,
    DataInfo,
    Defense,
    Eager,
    FitContext,
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    State,
)
from bench.registry import register_defense
from defenses._schedule import linear_decay
from defenses._wgan import Critic, Generator, Inference, penalty


@register_defense("defensegan")
@dataclass(frozen=True)
class DefenseGAN(Defense):
    """Project the image on the range of a WGAN-GP generator; the reconstruction is classified
    (arXiv:1805.06605).

    The defaults are those of the official code, which trains a WGAN-GP although the paper says
    WGAN; the step size on z is constant, as it is in effect there. `batch_norm`, `decay` and `ema`
    are additions for short trainings, and `sphere` for a projection that stays where the generator
    was trained; all are off by default.

    Attributes:
        latent: dimension of z, drawn from N(0, I) in training.
        width: the generator's last hidden map has `width` channels, the ones before 2x and 4x as
            many.
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
        start_std: standard deviation of the starts; the official code uses sqrt(1/128), not the
            training prior's 1.
        sphere: after each step put z back on the sphere of radius sqrt(latent), near which N(0, I)
            lies: without it the projection drifts to small z, in-between digits that fit the
            perturbation.
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
        """The generator with the projection around it.

        Images (n, c, h, w) to images of the same shape.
        """
        return _Projection(Generator(data.shape, self.latent, self.width, self.batch_norm), self)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Train the generator against a critic that is thrown away."""
        generator = module.get_submodule("generator")
        images_seen = context.batches(self.batch_size, steps=self.iterations * self.critic_steps)
        average = get_ema_multi_avg_fn(self.ema)
        averaged = (
            AveragedModel(generator, multi_avg_fn=average, use_buffers=True) if self.ema else None
        )
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
                critic = Critic(context.data.shape, self.critic_width).to(images.device)
                critic_optimizer, critic_schedule = self._optimizer(critic, self.critic_steps)
                optimizer, schedule = self._optimizer(generator, 1)
            z = torch.randn(2, len(images), self.latent, device=images.device)
            with torch.no_grad():
                fakes = generator(z[0])
            distance = critic(images).mean() - critic(fakes).mean()
            loss = self.gradient_penalty * penalty(critic, images, fakes) - distance
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


class _Projection(nn.Module):
    """The generated image nearest to the input: L steps of gradient descent on z from R starts, the
    best kept.

    An attacker may differentiate it: the gradient goes through the unrolled steps of the start that
    was kept (the choice itself is piecewise constant), one step at a time, so that its memory is
    that of one step.

    Attributes:
        latent: dimension of z.
    """

    def __init__(self, generator: Generator, settings: DefenseGAN) -> None:
        super().__init__()
        self.generator, self.settings, self.latent = generator, settings, settings.latent
        self._ready: tuple[object, Inference] | None = None

    def generate(self, z: Tensor) -> Tensor:
        """Images (n, c, h, w) of z (n, latent); for attacks that search the generator's range."""
        return self.inference()(z)

    def inference(self) -> Inference:
        """The generator, made ready for many calls; kept until its weights change."""
        tensors = self.generator.state_dict(keep_vars=True).values()
        weights = tuple(
            (tensor.data_ptr(), tensor._version, tensor.dtype, tensor.device) for tensor in tensors
        )
        key = (weights, torch.get_float32_matmul_precision())
        if self._ready is None or self._ready[0] != key:
            self._ready = key, Inference(self.generator)
        return self._ready[1]

    def forward(self, images: Tensor) -> Tensor:
        """G(z*) of images (n, c, h, w)."""
        if torch.is_grad_enabled() and images.requires_grad:
            projected: Tensor = _Unrolled.apply(images, self.starts(images), self)
            return projected
        with torch.no_grad():
            return self.accelerated(Eager())(images)

    def accelerated(self, by: Accelerator) -> Callable[[Tensor], Tensor]:
        """The projection without gradients, its steps and what follows them handed to an engine.

        The weights are those of now; the starts are drawn at each call, as `forward` draws them.
        """
        generator = self.inference()
        descend = by.loop(partial(self.step, generator), self.settings.steps)
        nearest = by.function(partial(self.nearest, generator))

        def purify(images: Tensor) -> Tensor:
            z, target = self.starts(images), images.repeat_interleave(self.settings.restarts, dim=0)
            z, _ = descend((z, torch.zeros_like(z)), (target,))
            return nearest(z, target)

        return purify

    def starts(self, images: Tensor) -> Tensor:
        """Random z (n * restarts, latent), those of an image next to each other."""
        size = (len(images) * self.settings.restarts, self.latent)
        return self.on_sphere(
            self.settings.start_std * torch.randn(size, device=images.device, dtype=images.dtype)
        )

    def step(self, generator: Inference, state: State, constants: State) -> State:
        """One step of momentum descent on the error: z and velocity, given the targets, to the next two."""
        (z, velocity), (target,) = state, constants
        velocity = self.settings.momentum * velocity + generator.gradient(z, target)
        return self.on_sphere(z - self.settings.rate * velocity), velocity

    def nearest(self, generator: Inference, z: Tensor, target: Tensor) -> Tensor:
        """The image (n, c, h, w) of the best start of each, of all last z and the targets."""
        candidates = generator(z)
        return candidates[self.best(candidates, target)]

    def best(self, candidates: Tensor, target: Tensor) -> Tensor:
        """Indices (n,) of the candidates (n * restarts, c, h, w) with the least error."""
        error = ((candidates - target) ** 2).flatten(1).mean(dim=1).view(-1, self.settings.restarts)
        return error.argmin(dim=1) + self.settings.restarts * torch.arange(
            len(error), device=error.device
        )

    def on_sphere(self, z: Tensor) -> Tensor:
        """The nearest point of the sphere of radius sqrt(latent), where that is asked for."""
        if not self.settings.sphere:
            return z
        scale: Tensor = self.settings.latent**0.5 / z.norm(dim=1, keepdim=True)
        return z * scale


class _Unrolled(torch.autograd.Function):
    """The projection, differentiated step by step from the last to the first, each step computed anew."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, start: Tensor, projection: _Projection) -> Tensor:
        path = start.new_empty(
            projection.settings.steps, 2, *start.shape
        )  # in one piece, or it splits the heap
        generator = projection.inference()
        target = images.repeat_interleave(projection.settings.restarts, dim=0)
        state: State = (start, torch.zeros_like(start))
        for before in path:
            before[0], before[1] = state
            state = projection.step(generator, state, (target,))
        candidates = generator(state[0])
        best = projection.best(candidates, target)
        ctx.projection, ctx.generator = projection, generator
        ctx.path = path[:, :, best]
        ctx.save_for_backward(images, state[0][best])
        return candidates[best]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        images, last = ctx.saved_tensors
        projection: _Projection = ctx.projection
        generator: Inference = ctx.generator
        to_images = torch.zeros_like(images)
        with torch.enable_grad():
            last = last.detach().requires_grad_(True)
            (to_z,) = torch.autograd.grad(generator(last), last, gradient)
            to_velocity = torch.zeros_like(to_z)
            for before in ctx.path.flip(0):
                z, velocity, target = (
                    each.detach().requires_grad_(True) for each in (*before, images)
                )
                after = projection.step(generator, (z, velocity), (target,))
                to_z, to_velocity, share = torch.autograd.grad(
                    after, (z, velocity, target), (to_z, to_velocity)
                )
                to_images = to_images + share
        return to_images, None, None
