"""What a plugin is, and what the harness gives it.

A plugin is a frozen dataclass of its hyper-parameters; the network it builds and trains is separate
state. Images are float32 NCHW in [0, 1] at every boundary, and epsilon is on that scale, always.
The harness moves devices, seeds, saves, times, shows progress and checks every output; a plugin
does the mathematics.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    ClassVar,
    Literal,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
)

from pydantic import Field

from bench.errors import NotApplicable
from bench.geometry import Norm, within
from bench.spec import Spec

__all__ = [
    "Accelerator",
    "Access",
    "Attack",
    "AttackSpec",
    "AttackSpecs",
    "Classifier",
    "DataInfo",
    "Defense",
    "Eager",
    "SpecOf",
    "FitContext",
    "Fraction",
    "MinimumNorm",
    "Network",
    "NonNegativeFloat",
    "NonNegativeInt",
    "Norm",
    "NotApplicable",
    "Plugin",
    "PositiveFloat",
    "PositiveInt",
    "Spec",
    "State",
]

if TYPE_CHECKING:
    from torch import Tensor, nn

P = ParamSpec("P")
R = TypeVar("R")
State: TypeAlias = "tuple[Tensor, ...]"

PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
"""A number in [0, 1], such as an epsilon."""


@dataclass(frozen=True)
class SpecOf:
    """Marks a parameter whose value is the spec of a plugin of that family (or None, or a tuple of
    specs).

    It is checked and keyed like the plugin it names.
    """

    family: str


AttackSpec = Annotated[Spec, SpecOf("attack")]
AttackSpecs = Annotated[tuple[Spec, ...], SpecOf("attack")]
"""One or more attacks, written `fgsm` or `[fgsm,pgd:steps=10]`."""

Access = Literal["gradient", "decision"]
"""What an attack takes from the model: the gradient of its output, or nothing but its decisions."""


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
    """What the harness gives a plugin to train with.

    Torch's global random generators are seeded before `fit`.
    """

    @property
    def data(self) -> DataInfo:
        """The shape of an image and the number of classes."""

    def steps_in(self, epochs: int, batch_size: int) -> int:
        """How many batches `batches(batch_size, epochs=epochs)` yields, for a learning-rate schedule."""

    @property
    def classifier(self) -> nn.Module:
        """The trained classifier, frozen, in evaluation mode.

        Only for a defense with `uses_classifier`.
        """

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

    def steps(self, total: int) -> Iterator[int]:
        """Steps 1 to `total` with a progress bar, for a plugin that draws its batches from something of its own."""

    def adversarial(
        self,
        attack: Spec,
        images: Tensor,
        labels: Tensor,
        eps: float,
        model: nn.Module | None = None,
    ) -> Tensor:
        """The images attacked; same shape, in [0, 1], within `eps` of `images`.

        Args:
            attack: a parameter of type `AttackSpec`.
            images: float32 (n, channels, height, width) in [0, 1].
            labels: int64 (n,).
            eps: the budget on the [0, 1] scale.
            model: what is attacked, in evaluation mode for the time being: the module under
                training, say; None for the bare classifier.
        """

    def report(self, **losses: Tensor) -> None:
        """Hand over the losses of a step (scalars).

        They are kept with the network, and a diverged one ends the fit.
        """


class Plugin:
    """What all plugins share.

    Attributes:
        version: raise it when the mathematics changes, so that stored networks and images are made
            anew.
    """

    version: ClassVar[int] = 1

    def files(self) -> Sequence[Path]:
        """Files whose content changes the result (a checkpoint, say).

        Their digests become part of the identity.
        """
        return ()


class Network(Plugin, ABC):
    """A plugin with a network: it is built untrained, then fitted.

    Attributes:
        inference_parameters: names of parameters that `fit` does not depend on, so that one trained
            network serves all their values (the restarts of Defense-GAN, say). `build` may use
            them.
    """

    inference_parameters: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def build(self, data: DataInfo) -> nn.Module:
        """The untrained network for images of `data.shape`.

        It is built again before trained weights are loaded.
        """

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Train the module in place; it comes in training mode, on the device.

        Default: nothing to train.
        """


class Classifier(Network):
    """A classifier: its module maps images in [0, 1] to logits (n, classes).

    It normalises inside, if at all.
    """


class Accelerator(Protocol):
    """What an engine does to the functions a module is made of: the same results, faster.

    A function handed over takes and returns tensors, of the same shapes, types and device in every
    call. Inside it the host neither waits for the device nor branches on values, and nothing asks
    for gradients of what it returns.
    """

    def function(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, compiled or captured."""

    def loop(
        self, step: Callable[[State, State], State], times: int
    ) -> Callable[[State, State], State]:
        """A function of (state, constants) that does `state = step(state, constants)` so many times."""


class Eager:
    """The accelerator that changes nothing: PyTorch as it is."""

    def function(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function itself."""
        return function

    def loop(
        self, step: Callable[[State, State], State], times: int
    ) -> Callable[[State, State], State]:
        """A Python loop over the step."""

        def repeated(state: State, constants: State) -> State:
            for _ in range(times):
                state = step(state, constants)
            return state

        return repeated


class Defense(Network):
    """A purifier: its module, in evaluation mode, maps images in [0, 1] to images of the same shape
    in [0, 1].

    An engine (`--engines compile`) takes the module's `forward` as one function. Where that will
    not do, as for a loop of gradient steps, the module has a method `accelerated(by: Accelerator)`
    that returns a function from images to purified images, built of functions that `by` has made
    faster.

    Attributes:
        stochastic: two calls on the same images may differ, so the finished images are evaluated
            with fresh draws.
        uses_classifier: `fit` needs the trained classifier; without it one network serves all
            classifiers.
    """

    stochastic: ClassVar[bool] = False
    uses_classifier: ClassVar[bool] = False


class Attack(Plugin, ABC):
    """An evasion attack on whatever model it is handed; it knows nothing of threat models.

    An iterative attack has its number of steps as a parameter `steps`: the harness doubles it on a
    sample of the images to see whether the attack has converged. It may raise `NotApplicable` with
    the reason where the model lacks what it needs; the cell is then skipped, not failed.

    Attributes:
        access: `gradient`, or `decision` for an attack that only asks for classes.
    """

    access: ClassVar[Access] = "gradient"

    @abstractmethod
    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """Adversarial versions of the images.

        Args:
            model: maps images to logits; frozen, in evaluation mode. Each call draws the randomness
                of a stochastic defense afresh; where it has an attribute `eot` = k > 1, the
                gradient to follow is the mean over k calls of the gradient of the loss (Athalye et
                al. 2018, section 4.2). Where it lets the attacker see a purifier that generates
                images, it has `generator` (else None) and `classifier`: `generator.latent` is the
                dimension of the latent code, `generator.generate(z)` gives the images of codes (n,
                latent).
            images: float32 (n, channels, height, width) in [0, 1], on the model's device.
            labels: int64 (n,), the true classes.
            eps: the budget in the attack's norm, on the [0, 1] scale.

        Returns:
            images of the same shape in [0, 1], at most `eps` away in `ball()`.
        """

    @property
    def stops_at_first_success(self) -> bool:
        """Whether an image leaves the attack at its first iterate that the attacked model gets
        wrong.

        Such images barely fool the attacked model, and are weak against any other.
        """
        return False

    def ball(self) -> Norm | None:
        """The norm that `eps` bounds.

        None where it bounds something else in [0, 1], which the class describes.
        """
        return "linf"

    def describe(self, eps: float) -> Mapping[str, float | int | str]:  # noqa: ARG002 - for overriders
        """What the parameters come to at this budget (the step size in absolute units, say).

        Goes into the record.
        """
        return {}


class MinimumNorm(Attack):
    """An attack that looks for the nearest adversarial image, whatever its distance.

    It runs once for all budgets: at each, an image beyond the budget is drawn back towards the
    original.
    """

    @abstractmethod
    def minimise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The nearest adversarial images found, in [0, 1], at any distance.

        See `Attack.perturb`.
        """

    @abstractmethod
    def ball(self) -> Norm:
        """The norm of the distance that is minimised."""

    def perturb(self, model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """`minimise`, drawn back to the ball of radius eps."""
        return within(images, self.minimise(model, images, labels), eps, self.ball())
