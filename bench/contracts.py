"""What a plugin is, and what the harness gives it.

A plugin is a frozen dataclass of its hyper-parameters; the network it builds and trains is separate state. Images are
float32 NCHW in [0, 1] at every boundary, and epsilon is on that scale, always. The harness moves devices, seeds, saves,
times, shows progress and checks every output; a plugin does the mathematics.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol

from pydantic import Field

from bench.spec import Spec

__all__ = [
    "Attack",
    "AttackSpec",
    "Classifier",
    "DataInfo",
    "Defense",
    "FamilyOf",
    "FitContext",
    "Fraction",
    "Network",
    "NonNegativeFloat",
    "NonNegativeInt",
    "Norm",
    "Plugin",
    "PositiveFloat",
    "PositiveInt",
    "Spec",
]

if TYPE_CHECKING:
    from torch import Tensor, nn

PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
"""A number in [0, 1], such as an epsilon."""


@dataclass(frozen=True)
class FamilyOf:
    """Marks a parameter whose value is the spec of a plugin of that family; it is checked and keyed like one."""

    family: str


AttackSpec = Annotated[Spec, FamilyOf("attack")]
Norm = Literal["linf", "l2", "l1"]


@dataclass(frozen=True)
class DataInfo:
    """What a network must know of the data it is built for.

    Attributes:
        shape: (channels, height, width) of an image.
        classes: the number of classes; labels are int64 in [0, classes).
    """

    shape: tuple[int, int, int]
    classes: int


class FitContext(Protocol):
    """What the harness gives a plugin to train with. Torch's global random generators are seeded before `fit`."""

    @property
    def data(self) -> DataInfo:
        """The shape of an image and the number of classes."""

    def steps_in(self, epochs: int, batch_size: int) -> int:
        """How many batches `batches(batch_size, epochs=epochs)` yields, for a learning-rate schedule."""

    @property
    def classifier(self) -> nn.Module:
        """The trained classifier, frozen, in evaluation mode; only for a defense with `uses_classifier`."""

    def batches(
        self, batch_size: int, *, steps: int | None = None, epochs: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled training batches on the device, with a progress bar.

        Args:
            batch_size: images in a batch; every batch is full.
            steps: how many batches in all, or
            epochs: how many passes over the training images. Give exactly one of the two.

        Yields:
            images (batch_size, channels, height, width) in [0, 1] and int64 labels (batch_size,).
        """

    def adversarial(self, attack: Spec, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """The images attacked on the bare classifier; same shape, in [0, 1], within `eps` of `images`."""

    def report(self, **losses: Tensor) -> None:
        """Hand over the losses of a step (scalars); they are kept with the network, and a diverged one ends the fit."""


class Plugin:
    """What all plugins share.

    Attributes:
        version: raise it when the mathematics changes, so that stored networks and images are made anew.
    """

    version: ClassVar[int] = 1

    def files(self) -> Sequence[Path]:
        """Files whose content changes the result (a checkpoint, say); their digests become part of the identity."""
        return ()


class Network(Plugin, ABC):
    """A plugin with a network: it is built untrained, then fitted.

    Attributes:
        inference_parameters: names of parameters that `fit` does not depend on, so that one trained network serves all
            their values (the restarts of Defense-GAN, say). `build` may use them.
    """

    inference_parameters: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def build(self, data: DataInfo) -> nn.Module:
        """The untrained network for images of `data.shape`. It is built again before trained weights are loaded."""

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Train the module in place; it comes in training mode, on the device. Default: nothing to train."""


class Classifier(Network):
    """A classifier: its module maps images in [0, 1] to logits (n, classes); it normalises inside, if at all."""


class Defense(Network):
    """A purifier: its module, in evaluation mode, maps images in [0, 1] to images of the same shape in [0, 1].

    Attributes:
        stochastic: two calls on the same images may differ, so the finished images are evaluated with fresh draws.
        uses_classifier: `fit` needs the trained classifier; without it one network serves all classifiers.
    """

    stochastic: ClassVar[bool] = False
    uses_classifier: ClassVar[bool] = False


class Attack(Plugin, ABC):
    """An evasion attack on whatever differentiable model it is handed; it knows nothing of threat models."""

    @abstractmethod
    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """Adversarial versions of the images.

        Args:
            model: maps images to logits; frozen, in evaluation mode.
            images: float32 (n, channels, height, width) in [0, 1], on the model's device.
            labels: int64 (n,), the true classes.
            eps: the budget in the attack's norm, on the [0, 1] scale.

        Returns:
            images of the same shape in [0, 1], at most `eps` away in `norm()`.
        """

    def norm(self) -> Norm:
        """The norm that `eps` bounds."""
        return "linf"

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002 - for overriders
        """What the parameters come to at this budget (the step size in absolute units, say); goes into the record."""
        return {}
