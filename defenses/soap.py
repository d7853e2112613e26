"""SOAP: Shi, Holtz, Mishne, ICLR 2021 (arXiv:2101.09387).

The paper is "Online Adversarial Purification based on Self-Supervised Learning"; the official code
is Mishne-Lab/SOAP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Adam

from bench.contracts import (
    Accelerator,
    DataInfo,
    Defense,
    Eager,
    FitContext,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    StandIn,
    State,
)
from bench.registry import register_defense
from defenses._checkpointed import Checkpointed
from defenses._denoising_autoencoder import DenoisingAutoencoder, denoising_loss
from defenses._schedule import linear_decay

_SOFTNESS = 1.0
"""Size of a gradient, in root mean squares of the image, whose smooth sign is 0.7.

A smaller one left more accuracy on MNIST under APGD at 0.2; with larger ones the steps are shorter
than the real ones.
"""

_TINY = 1e-20
"""Square of a gradient that is nothing."""

Direction = Callable[[Tensor], Tensor]
"""A function from images (n, channels, height, width) to directions of the same shape."""


@register_defense("soap")
@dataclass(frozen=True)
class SOAP(Defense):
    """SOAP: signed gradient steps that lower an auto-encoder's error (arXiv:2101.09387).

    From the image, five steps along the sign of the gradient lower the reconstruction error within
    each of several balls around the image, the first of radius zero. The result of least error is
    kept. Data reconstruction is the paper's task for MNIST. The error is that of the image itself,
    without noise.

    The published classifier and auto-encoder share their encoder and are trained together, which
    keeps the auxiliary loss aligned with the classification. This purifier stands in front of any
    frozen classifier, so that the auto-encoder is a network of its own. The paper's other tasks,
    label consistency and rotation, ask the classifier itself and are left out.

    Further differences: each image has a radius of its own (the official code, as read, takes one
    for all images of a batch); the code has 128 units, not 1024, so that the weights stay small;
    the last layer is linear, since a sigmoid with the squared error collapses on mostly black
    images; Adam in place of SGD. Balls that the steps cannot leave are all alike and are tried
    once, which changes nothing.

    Attributes:
        width: number of channels after the first halving, at least 1; doubled at the second.
        hidden: number of units of the code, at least 1.
        noise: standard deviation of the noise on the auto-encoder's input in training, at least 0.
        epochs: number of passes over the clean training images, at least 1.
        batch_size: number of images in a training batch, at least 1.
        learning_rate: learning rate of Adam, above 0, which falls linearly to zero.
        steps: number of steps within each ball, at least 1.
        step_size: change of a pixel by one step, above 0.
        radius: difference between the radii of two balls, above 0.
        radii: number of balls around the image itself, at least 1.
    """

    inference_parameters: ClassVar[frozenset[str]] = frozenset(
        {"steps", "step_size", "radius", "radii"}
    )

    width: PositiveInt = 32
    hidden: PositiveInt = 128
    noise: NonNegativeFloat = 0.5
    epochs: PositiveInt = 100
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3
    steps: PositiveInt = 5
    step_size: PositiveFloat = 0.1
    radius: PositiveFloat = 0.1
    radii: PositiveInt = 10

    def build(self, data: DataInfo) -> nn.Module:
        """The purification with an untrained auto-encoder; images to images of the same shape."""
        return ErrorDescent(DenoisingAutoencoder(data.shape, self.width, self.hidden), self)

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Train the auto-encoder to restore clean images from noisy ones."""
        network = module.get_submodule("autoencoder")
        optimizer = Adam(network.parameters(), lr=self.learning_rate)
        schedule = linear_decay(optimizer, context.steps_in(self.epochs, self.batch_size), 1.0)

        for images, _ in context.batches(self.batch_size, epochs=self.epochs):
            loss = denoising_loss(network, images, self.noise)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            context.report(mse=loss)


class ErrorDescent(nn.Module):
    """Descent on the auto-encoder's error within several balls, and the choice among its results.

    The steps of all balls of all images are taken together. A sign has a gradient of zero almost
    everywhere, and so has the choice: an attacker's exact gradient is that of the image itself, but
    for pixels that are clamped to [0, 1], and leads past the descent.

    Attributes:
        autoencoder: auto-encoder whose error is lowered.
        settings: settings of the descent.
    """

    def __init__(self, autoencoder: DenoisingAutoencoder, settings: SOAP) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.settings = settings

    def forward(self, images: Tensor) -> Tensor:
        """The images (n, channels, height, width) of least error, same shape."""
        return self._descended(images, self._signs, Eager())

    def stand_ins(self) -> Mapping[str, StandIn]:
        """The descent with smooth signs, with its exact gradient through all steps."""
        return {"smooth_signs": StandIn(self._smoothly_descended)}

    def _smoothly_descended(self, images: Tensor) -> Tensor:
        """The images of least error, by steps that depend smoothly on the gradient."""
        return self._descended(images, self._smooth_signs, Checkpointed())

    def _descended(self, images: Tensor, direction: Direction, by: Accelerator) -> Tensor:
        """The images of least error over all balls, by steps of a direction.

        Args:
            images: images before purification, (n, channels, height, width).
            direction: direction that raises the error, of images.
            by: accelerator of the loop of steps.
        """
        radii = self._radii(images)
        centers = images.repeat_interleave(len(radii), dim=0)
        bounds = radii.repeat(len(images)).view(-1, 1, 1, 1)

        descend = by.loop(partial(self._step, direction), self.settings.steps)
        (candidates,) = descend((centers,), (centers, bounds))

        with torch.no_grad():
            errors = self.autoencoder.errors(candidates).view(len(images), len(radii))
        first = len(radii) * torch.arange(len(images), device=images.device)
        return candidates[errors.argmin(dim=1) + first]

    def _radii(self, images: Tensor) -> Tensor:
        """The radii of the balls, from zero on; those that the steps cannot leave only once."""
        reach = min(1.0, self.settings.steps * self.settings.step_size)
        number = min(self.settings.radii, math.ceil(reach / self.settings.radius))
        return self.settings.radius * torch.arange(number + 1, device=images.device).to(images)

    def _step(self, direction: Direction, state: State, constants: State) -> State:
        """One step that lowers the error.

        Args:
            direction: direction that raises the error, of images.
            state: images (n, channels, height, width), alone.
            constants: centers of the balls, same shape, and radii (n, 1, 1, 1).

        Returns:
            the next images, in [0, 1] and within the balls.
        """
        (images,) = state
        centers, bounds = constants
        moved = images - self.settings.step_size * direction(images)
        return ((centers + (moved - centers).clamp(-bounds, bounds)).clamp(0, 1),)

    def _signs(self, images: Tensor) -> Tensor:
        """The signs of the gradient, which are constants to an attacker."""
        return self._gradient(images.detach()).sign()

    def _smooth_signs(self, images: Tensor) -> Tensor:
        """Directions that rise smoothly with the gradient, to signs where it is large."""
        gradients = self._gradient(images)
        mean_square = gradients.square().mean(dim=(1, 2, 3), keepdim=True)
        softened = (gradients.square() + _SOFTNESS**2 * mean_square + _TINY).sqrt()
        return gradients / softened

    def _gradient(self, images: Tensor) -> Tensor:
        """The gradient of each image's error; differentiable where the images are."""
        is_followed = torch.is_grad_enabled() and images.requires_grad

        with torch.enable_grad():
            at = images if is_followed else images.detach().requires_grad_()
            errors = self.autoencoder.errors(at).sum()
            (gradient,) = torch.autograd.grad(errors, at, create_graph=is_followed)

        return gradient
