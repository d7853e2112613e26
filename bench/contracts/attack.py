"""Contracts of attacks: within a budget, or of minimum norm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from bench.contracts.plugin import Plugin
from bench.geometry import Norm, within

if TYPE_CHECKING:
    from torch import Tensor, nn

Access = Literal["gradient", "score", "decision"]
"""What an attack needs from the model: gradients of its logits, its logits, or its decisions."""


class Attack(Plugin, ABC):
    """Evasion attack on any model; the threat model decides which model that is.

    An iterative attack calls its number of steps `steps`: the harness doubles this parameter on a
    sample of the images for the convergence check.

    Attributes:
        access: `gradient` (default), `score` for an attack that uses logits without their gradient,
            or `decision` for one that uses predicted classes only.
        single_step: whether the attack takes one step along the gradient, so that an attack of many
            steps should be at least as strong; False by default.
        returns_unbroken: whether an image that the attack does not break comes back unchanged, as
            from a search that found nothing; False by default.
    """

    access: ClassVar[Access] = "gradient"
    single_step: ClassVar[bool] = False
    returns_unbroken: ClassVar[bool] = False

    @abstractmethod
    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """Adversarial versions of the images.

        Each call of `model` draws the randomness of a stochastic defense anew. If the model has an
        attribute `eot` = k > 1 (expectation over transformation), the attack follows the mean over
        k calls of the gradient of the loss (Athalye et al. 2018, section 4.2).

        If the attacked model is the pipeline that is evaluated, it has an attribute `evaluated`
        that is true. An iterative attack should then return the worst iterate of each image for
        that model, not the last one.

        If earlier attacks left perturbed images within the budget, the model has an attribute
        `start` (n, c, h, w) with them; an image that none perturbed is there as it was. A search
        may start from them.

        If the attacker may see a purifier that generates images from latent codes, the model has
        the attributes `generator` (else None) and `classifier`: `generator.latent` is the dimension
        of the codes, and `generator.generate(z)` maps codes (n, latent) to images.

        Args:
            model: model from images to logits, in evaluation mode. Its weights are frozen, except
                in adversarial training: take gradients with respect to the images only.
            images: float32 (n, channels, height, width) in [0, 1], on the model's device.
            labels: int64 (n,), the true classes.
            eps: budget in the norm of `ball()`, on the [0, 1] scale.

        Returns:
            images of the same shape in [0, 1], at most `eps` away from the originals.

        Raises:
            NotApplicable: the model lacks what the attack needs. The cell is skipped, not failed.
        """

    @property
    def stops_at_first_success(self) -> bool:
        """Whether an image leaves the attack at its first iterate that the model misclassifies.

        Such an image barely fools the attacked model, and is weak against any other. False by
        default.
        """
        return False

    def targets(self, logits: Tensor, labels: Tensor) -> Tensor | None:  # noqa: ARG002 - overridden
        """Class that a targeted attack aims at for each image, int64 (n,); None by default.

        The harness records how many images reach it. None too for an attack without a target, and
        for one that aims at every class in turn.

        Args:
            logits: the attacked model's logits (n, classes) of the clean images.
            labels: int64 (n,), the true classes.
        """
        return None

    def ball(self) -> Norm | None:
        """Norm that `eps` bounds: by default the parameter `norm`, or L-infinity without one.

        None if `eps` bounds something else, on a scale from 0 to 1, which the docstring of the
        attack describes.
        """
        norm: Norm = getattr(self, "norm", "linf")
        return norm

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002 - overridden
        """Quantities that follow from the parameters at this budget, such as the step size.

        They are recorded with the adversarial images; none by default.
        """
        return {}


class MinimumNorm(Attack):
    """Attack that looks for the nearest adversarial image at any distance.

    An image for which it finds none comes back unchanged. It runs once for all budgets. At each
    budget, an image that is farther away is moved back towards the original until its distance is
    the budget.
    """

    returns_unbroken: ClassVar[bool] = True

    @abstractmethod
    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest adversarial images found, in [0, 1]; arguments as in `Attack.perturb`."""

    def ball(self) -> Norm:
        """Norm of the minimized distance: by default the parameter `norm`, or L2 without one."""
        norm: Norm = getattr(self, "norm", "l2")
        return norm

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """The images of `minimise`, moved back into the ball of radius `eps`."""
        return within(images, self.minimise(model, images, labels), eps, self.ball())
