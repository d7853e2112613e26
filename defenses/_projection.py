"""Projection on the range of a generator, by gradient descent on the latent code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bench.contracts import Accelerator, Eager, StandIn, State
from defenses._folded_generator import FoldedGenerator
from defenses._wgan import Generator

_FRACTION = 4
"""The stand-in takes this fraction of the steps and of the starts, rounded up."""


@dataclass(frozen=True)
class Descent:
    """Settings of the projection: parameters of `DefenseGAN`, which describes them."""

    latent: int
    restarts: int
    steps: int
    rate: float
    momentum: float
    start_std: float
    sphere: bool


class Projection(nn.Module):
    """The generated image nearest to the input, found by gradient descent from several starts.

    The descent takes L steps from each of R random starts, and the best result is kept. An attacker
    may differentiate the projection: the gradient goes through the unrolled steps of the start that
    was kept, one step at a time, so that its memory is that of one step. The choice of the start is
    piecewise constant and has no gradient.

    Attributes:
        generator: generator in the form in which it is trained and stored.
        settings: settings of the descent.
        latent: dimension of the latent code z.
    """

    def __init__(self, generator: Generator, settings: Descent) -> None:
        super().__init__()
        self.generator = generator
        self.settings = settings
        self.latent = settings.latent
        self._folded: tuple[object, FoldedGenerator] | None = None

    def generate(self, z: Tensor) -> Tensor:
        """Images (n, channels, height, width) of latent codes (n, latent).

        Attacks that search the range of the generator call it.
        """
        return self.folded_generator()(z)

    def stand_ins(self) -> Mapping[str, StandIn]:
        """A projection of a quarter of the steps and of the starts, with its exact gradient.

        It costs a sixteenth, and its gradient passes through fewer steps.
        """
        shorter = replace(
            self.settings,
            steps=-(-self.settings.steps // _FRACTION),
            restarts=-(-self.settings.restarts // _FRACTION),
        )
        return {"fewer_steps": StandIn(Projection(self.generator, shorter))}

    def folded_generator(self) -> FoldedGenerator:
        """The generator prepared for many calls; the same object until its weights change."""
        tensors = self.generator.state_dict(keep_vars=True).values()
        weights = tuple(
            (tensor.data_ptr(), tensor._version, tensor.dtype, tensor.device) for tensor in tensors
        )
        key = (weights, torch.get_float32_matmul_precision())

        if self._folded is None or self._folded[0] != key:
            self._folded = key, FoldedGenerator(self.generator)
        return self._folded[1]

    def forward(self, images: Tensor) -> Tensor:
        """The projections of images (n, channels, height, width), same shape."""
        if torch.is_grad_enabled() and images.requires_grad:
            projected: Tensor = _UnrolledProjection.apply(images, self.starts(images), self)
            return projected

        with torch.no_grad():
            return self.accelerated(Eager())(images)

    def accelerated(self, by: Accelerator) -> Callable[[Tensor], Tensor]:
        """The projection without gradients; an engine runs its steps and the choice of the result.

        The weights are those at the time of this call. The starts are drawn at each call of the
        returned function, as `forward` draws them.
        """
        generator = self.folded_generator()
        descend = by.loop(partial(self.step, generator), self.settings.steps)
        nearest = by.function(partial(self.nearest, generator))

        def purify(images: Tensor) -> Tensor:
            start = self.starts(images)
            target = images.repeat_interleave(self.settings.restarts, dim=0)
            z, _ = descend((start, torch.zeros_like(start)), (target,))
            return nearest(z, target)

        return purify

    def starts(self, images: Tensor) -> Tensor:
        """Random latent codes (n * restarts, latent), those of one image next to each other."""
        size = (len(images) * self.settings.restarts, self.latent)
        noise = torch.randn(size, device=images.device, dtype=images.dtype)
        return self.on_sphere(self.settings.start_std * noise)

    def step(self, generator: FoldedGenerator, state: State, constants: State) -> State:
        """One step of gradient descent with momentum on the squared error.

        Args:
            generator: generator of the images.
            state: latent codes and velocities, (n * restarts, latent) each.
            constants: target images (n * restarts, channels, height, width), alone.

        Returns:
            the next latent codes and velocities.
        """
        z, velocity = state
        (target,) = constants
        velocity = self.settings.momentum * velocity + generator.gradient(z, target)
        return self.on_sphere(z - self.settings.rate * velocity), velocity

    def nearest(self, generator: FoldedGenerator, z: Tensor, target: Tensor) -> Tensor:
        """The images (n, channels, height, width) of the best latent codes of all restarts."""
        candidates = generator(z)
        return candidates[self.best(candidates, target)]

    def best(self, candidates: Tensor, target: Tensor) -> Tensor:
        """Indices (n,) of the candidates (n * restarts, ...) with the least error to the target."""
        error = ((candidates - target) ** 2).flatten(1).mean(dim=1).view(-1, self.settings.restarts)
        first = self.settings.restarts * torch.arange(len(error), device=error.device)
        return error.argmin(dim=1) + first

    def on_sphere(self, z: Tensor) -> Tensor:
        """The nearest points on the sphere of radius sqrt(latent) if `sphere` is set, else z."""
        if not self.settings.sphere:
            return z

        scale: Tensor = self.settings.latent**0.5 / z.norm(dim=1, keepdim=True)
        return z * scale


class _UnrolledProjection(torch.autograd.Function):
    """Projection that is differentiated step by step, from the last to the first.

    The backward pass computes each step again, so that one step's graph is alive at a time.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, start: Tensor, projection: Projection) -> Tensor:
        generator = projection.folded_generator()
        target = images.repeat_interleave(projection.settings.restarts, dim=0)
        # One tensor for all steps: many small ones would fragment the heap.
        path = start.new_empty(projection.settings.steps, 2, *start.shape)
        state: State = (start, torch.zeros_like(start))
        for before in path:
            before[0], before[1] = state
            state = projection.step(generator, state, (target,))

        candidates = generator(state[0])
        best = projection.best(candidates, target)
        ctx.projection = projection
        ctx.generator = generator
        ctx.path = path[:, :, best]
        ctx.save_for_backward(images, state[0][best])
        return candidates[best]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        images, last = ctx.saved_tensors
        projection: Projection = ctx.projection
        generator: FoldedGenerator = ctx.generator
        to_images = torch.zeros_like(images)

        with torch.enable_grad():
            last = last.detach().requires_grad_(True)
            (to_z,) = torch.autograd.grad(generator(last), last, gradient)
            to_velocity = torch.zeros_like(to_z)

            for before in ctx.path.flip(0):
                z, velocity, target = (
                    tensor.detach().requires_grad_(True) for tensor in (*before, images)
                )
                after = projection.step(generator, (z, velocity), (target,))
                to_z, to_velocity, share = torch.autograd.grad(
                    after, (z, velocity, target), (to_z, to_velocity)
                )
                to_images = to_images + share

        return to_images, None, None
