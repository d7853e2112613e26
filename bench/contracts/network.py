"""Contracts of defenses and classifiers, and of the context in which they are trained."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from bench.contracts.plugin import Plugin
from bench.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class DataInfo:
    """Shape of the images and number of classes that a network is built for.

    Attributes:
        shape: (channels, height, width) of an image.
        classes: number of classes; labels are int64 in [0, classes).
    """

    shape: tuple[int, int, int]
    classes: int


class FitContext(Protocol):
    """Data and services that the harness gives to `Network.fit`."""

    @property
    def data(self) -> DataInfo:
        """Shape of the images and number of classes."""

    def steps_in(self, epochs: int, batch_size: int) -> int:
        """Number of batches in `epochs` passes, for a learning-rate schedule."""

    @property
    def classifier(self) -> nn.Module:
        """Trained classifier, frozen and in evaluation mode.

        Available to a defense with `uses_classifier` only.
        """

    def batches(
        self, batch_size: int, *, steps: int | None = None, epochs: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled training batches on the device, with a progress bar.

        Give exactly one of `steps` and `epochs`.

        Args:
            batch_size: number of images in a batch; every batch is full, and a number above that
                of the training images is reduced to it.
            steps: number of batches.
            epochs: number of passes over the training images.

        Yields:
            images (batch_size, channels, height, width) in [0, 1] and int64 labels (batch_size,).
        """

    def steps(self, total: int) -> Iterator[int]:
        """Steps 1 to `total` with a progress bar, for a plugin that makes its own batches."""

    def adversarial(
        self,
        attack: Spec,
        images: Tensor,
        labels: Tensor,
        eps: float,
        model: nn.Module | None = None,
    ) -> Tensor:
        """Adversarial versions of training images, checked: same shape, in [0, 1], within `eps`.

        Args:
            attack: spec of the attack, the value of a parameter of type `AttackSpec`.
            images: float32 (n, channels, height, width) in [0, 1].
            labels: int64 (n,).
            eps: budget on the [0, 1] scale.
            model: attacked model, for example the module under training; it is in evaluation mode
                during the attack. None for the bare classifier.
        """

    def build(self, spec: Spec) -> nn.Module:
        """The trained module of a defense or classifier that a parameter names.

        It is frozen and in evaluation mode, and trained on the same images and with the same seed
        as for a run that names it alone: a network that is stored is used, one that is trained here
        is stored. The same spec twice gives the same network.

        Other plugins may use the module too, so it must be left as it is. To train on, or to store
        the weights with those of this plugin, load its state dict into a module of the plugin's
        own, see `Network.member`.

        Args:
            spec: value of a parameter of type `DefenseSpec` or `ClassifierSpec`, or one of several.
                A defense that needs the classifier in training can be named only by one with
                `uses_classifier`.
        """

    def report(self, **losses: Tensor) -> None:
        """Hand over the losses of a training step, scalars by name.

        They are stored with the network. A loss that is NaN or infinite ends the fit with an error.
        """


class Network(Plugin, ABC):
    """Plugin with a network, which is built untrained and then fitted.

    Attributes:
        inference_parameters: names of parameters that `fit` does not depend on. One trained network
            serves all values of these parameters, for example the restarts of Defense-GAN. `build`
            may use them.
        stochastic: whether two calls of the module on the same images may differ. The pipeline is
            then evaluated over several independent draws; False by default.
        independent_draws: whether the images of one call get independent draws of the randomness,
            so that several draws for an image may be made in one call, on copies of it. False, the
            default, for a module that may share one draw among the images of a call.
        loads_elsewhere: whether `build` loads what `files()` cannot declare, such as weights of a
            hub. The weights themselves then count; for a plugin from outside the package, always.
    """

    stochastic: ClassVar[bool] = False
    independent_draws: ClassVar[bool] = False
    inference_parameters: ClassVar[frozenset[str]] = frozenset()
    loads_elsewhere: ClassVar[bool] = False
    _members: Mapping[Spec, Plugin]

    def member(self, spec: Spec) -> Network:
        """The plugin of a defense or classifier that a parameter names, for a chain or an ensemble.

        Its `build` gives an untrained module; `FitContext.build` gives the trained one.

        Args:
            spec: value of a parameter of type `DefenseSpec` or `ClassifierSpec`, or one of several;
                or that of a `DefenseArchitecture` or `ClassifierArchitecture`, which may be code.

        Raises:
            KeyError: no parameter holds this spec, or the harness has not configured this plugin.
        """
        member = getattr(self, "_members", {})[spec]
        if not isinstance(member, Network):
            raise KeyError(f"{spec} is neither a defense nor a classifier")
        return member

    @property
    def members(self) -> Sequence[Network]:
        """The plugins of all defenses and classifiers that the parameters name."""
        named = getattr(self, "_members", {}).values()
        return [member for member in named if isinstance(member, Network)]

    def with_members(self, members: Mapping[Spec, Plugin]) -> Self:
        """A copy that knows the plugins that its parameters name; the harness makes it."""
        known = copy.copy(self)
        object.__setattr__(known, "_members", members)
        return known

    def check_data(self, data: DataInfo) -> None:
        """Check that the network can be built for these images, before anything is computed.

        By default the plugins that the parameters name are asked. A network that does not suit
        every shape of images and every number of classes, such as one from a file, says so here.

        Raises:
            ValueError: the network does not suit the images; the text says why in one line.
            OSError: a file cannot be read.
        """
        for member in self.members:
            member.check_data(data)

    @abstractmethod
    def build(self, data: DataInfo) -> nn.Module:
        """The untrained network for images of shape `data.shape`.

        It is built again before trained weights are loaded, so its state dict must contain all that
        `fit` changes.

        Raises:
            NotApplicable: there is no such network for images of this shape, or for this number of
                classes. The cells that need it are skipped, not failed.
        """

    def fit(self, module: nn.Module, context: FitContext) -> None:
        """Train the module in place; by default there is nothing to train.

        Args:
            module: module that `build` returned, in training mode, on the device.
            context: training batches, the trained classifier, attacks.
        """


class Classifier(Network):
    """Classifier: its module maps images in [0, 1] to logits (n, classes).

    Normalization of the images, if any, is part of the module.
    """


class Defense(Network):
    """Purifier: its module maps images in [0, 1] to images of the same shape in [0, 1].

    The range is required in evaluation mode only: in training, leave the output unclamped, so that
    every pixel has a gradient.

    An engine such as `compile` takes the module's `forward` as one function. If that does not work,
    for example with a loop of gradient steps, give the module a method
    `accelerated(by: Accelerator)`. It returns a function from images to purified images, composed
    of functions that `by` has made faster.

    A purifier whose exact gradient is zero or misleads should say what an attacker who knows it
    would follow instead. Give the module a method `stand_ins()`, see
    `bench.contracts.stand_in.HasStandIns`; the threat model `adaptive` attacks through each.

    A defense that decides by itself, as one that votes over several draws, gives its module a
    method `classify(images, classifier)` that returns logits (n, classes), or a `Decision`. It is
    called with the unpurified images (n, channels, height, width) and the classifier's module, in
    place of `classifier(module(images))`. `forward` still returns one purified image for each
    image; a module that makes none leaves it out.

    A module with `classify` and the attribute `rejects = True` returns one more logit, the last,
    which is the largest for an image that it rejects. Clean images must be accepted and right; an
    attack succeeds where an image is accepted and wrong (Tramer 2022, arXiv:2107.11630).

    Attributes:
        uses_classifier: whether `fit` needs the trained classifier. If not, one network serves all
            classifiers; False by default.
    """

    uses_classifier: ClassVar[bool] = False


class WrappedDefense(Defense):
    """Defense around another one, which its only parameter of type `DefenseSpec` names.

    The harness configures the inner defense, trains or loads its network, and gives its module to
    `wrap`. The weights are those of the inner defense alone, under the same content key, so a
    network that was trained for one serves the other.

    A defense that wraps another one cannot be an inner defense.
    """

    _inner: Defense

    @abstractmethod
    def wrap(self, module: nn.Module) -> nn.Module:
        """The module of this defense around that of the inner one.

        It adds no weights, and follows the contract of a defense's module.

        Args:
            module: module of the inner defense, trained or not.
        """

    def around(self, inner: Defense) -> Self:
        """A copy of this defense around an inner one; the harness makes it."""
        wrapped = copy.copy(self)
        object.__setattr__(wrapped, "_inner", inner)
        return wrapped

    @property
    def inner(self) -> Defense:
        """The inner defense.

        Raises:
            TypeError: the harness has not configured this defense.
        """
        try:
            return self._inner
        except AttributeError:
            raise TypeError(
                f"{type(self).__name__} has no inner defense: make it with `around(defense)`"
            ) from None

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """That of the inner defense."""
        return self.inner.stochastic

    @property
    def independent_draws(self) -> bool:  # type: ignore[override]
        """That of the inner defense."""
        return self.inner.independent_draws

    @property
    def uses_classifier(self) -> bool:  # type: ignore[override]
        """That of the inner defense."""
        return self.inner.uses_classifier

    def files(self) -> Sequence[Path]:
        """Those of the inner defense."""
        return self.inner.files()

    def build(self, data: DataInfo) -> nn.Module:
        """The module around an untrained one of the inner defense."""
        return self.wrap(self.inner.build(data))
