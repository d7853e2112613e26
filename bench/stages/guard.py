"""Checks of plugin outputs, made in this one place after every plugin call."""

from __future__ import annotations

import math
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn

from bench.contracts import Decision
from bench.errors import PluginFault
from bench.geometry import Norm, distances
from bench.plugins.faults import plugin_call
from bench.records.outcome import EXTRA_NAME, MOST_EXTRAS
from bench.stages.decisions import decides, decision_of, makes_images, rejects
from bench.stages.microbatches import FittingSizes, Microbatches
from bench.text import LONGEST_NAME, one_line

TOLERANCE = 1e-6
"""Float32 rounding error that is allowed beyond [0, 1] and beyond the epsilon ball."""


def checked_images(description: str, output: object, like: Tensor) -> Tensor:
    """The output as images, with rounding errors beyond [0, 1] clipped.

    Args:
        description: name of the plugin in messages.
        output: return value of the plugin.
        like: images (n, c, h, w) whose shape, type and device the output must have.

    Raises:
        PluginFault: the output is not a tensor, has another shape, type or device, or has values
            that are NaN, infinite or outside [0, 1].
    """
    tensor, low, high = _checked_tensor(description, output, tuple(like.shape), like)
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise PluginFault(
            f"{description} returned values in [{low:.4g}, {high:.4g}], outside [0, 1]"
        )

    # The result is a tensor of its own, whatever memory the plugin's output shares.
    return tensor.clamp(0, 1)


def checked_logits(description: str, output: object, images: Tensor, classes: int) -> Tensor:
    """The output as finite logits (n, classes).

    Args:
        description: name of the plugin in messages.
        output: return value of the plugin.
        images: images (n, c, h, w) that were classified.
        classes: number of classes.

    Raises:
        PluginFault: the output is not a tensor, has another shape, type or device, or has values
            that are NaN or infinite.
    """
    return _checked_tensor(description, output, (len(images), classes), images)[0]


def checked_decision(description: str, output: object, images: Tensor, columns: int) -> Decision:
    """The output of `classify` as finite logits and further numbers for each image.

    Args:
        description: name of the plugin in messages.
        output: return value of the plugin, logits or a `Decision`.
        images: images (n, c, h, w) that were classified.
        columns: number of logits, that of a rejection included.

    Raises:
        PluginFault: logits as in `checked_logits`; further numbers that are too many, of a name
            that is none, of another shape, or infinite.
    """
    given, extras = decision_of(output)
    logits = checked_logits(description, given, images, columns)
    with plugin_call(description):
        named = dict(extras)
        if len(named) > MOST_EXTRAS:
            raise PluginFault(f"{description} returned {len(named)} extras (at most {MOST_EXTRAS})")
        checked = {name: _checked_extra(description, name, named[name], images) for name in named}

    return Decision(logits, checked)


def _checked_extra(description: str, name: object, values: object, images: Tensor) -> Tensor:
    """One number for each image, float32 (n,); NaN stands for none."""
    if not isinstance(name, str) or not EXTRA_NAME.fullmatch(name):
        shown = one_line(repr(name), LONGEST_NAME)
        raise PluginFault(
            f"{description} returned an extra of the name {shown}: use small letters, digits and "
            "'_', a letter first"
        )
    if not isinstance(values, Tensor) or tuple(values.shape) != (len(images),):
        kind = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise PluginFault(
            f"{description} returned the extra '{name}' as {kind} instead of ({len(images)},)"
        )
    numbers = values.as_subclass(Tensor).detach().to(images)
    if bool(torch.isinf(numbers).any()):
        raise PluginFault(f"{description} returned an infinite extra '{name}': use NaN for none")

    return numbers


def _checked_tensor(
    description: str, output: object, shape: tuple[int, ...], like: Tensor
) -> tuple[Tensor, float, float]:
    """The output as a finite float32 tensor of the given shape, on the device of `like`.

    Returns:
        the tensor, its smallest value and its largest.
    """
    # A subclass of `Tensor` may run code of the plugin in every one of these operations.
    with plugin_call(description):
        if not isinstance(output, Tensor):
            raise PluginFault(f"{description} returned {type(output).__name__} instead of a tensor")

        if output.layout != torch.strided:
            raise PluginFault(f"{description} returned a tensor of layout {output.layout}")

        tensor = output.as_subclass(Tensor)
        if tuple(tensor.shape) != shape:
            raise PluginFault(
                f"{description} returned shape {tuple(tensor.shape)} instead of {shape}"
            )
        if tensor.dtype != torch.float32 or tensor.device != like.device:
            raise PluginFault(
                f"{description} returned {tensor.dtype} on {tensor.device} "
                f"instead of torch.float32 on {like.device}"
            )
        if tensor.numel() == 0:
            return tensor, 0.0, 0.0

        # Both ends are NaN where any value is. They come in one copy: the host waits for each.
        low, high = torch.stack(torch.aminmax(tensor.detach())).tolist()
        if not (math.isfinite(low) and math.isfinite(high)):
            raise PluginFault(f"{description} returned NaN or infinite values")

    return tensor, low, high


def check_ball(
    description: str, images: Tensor, adversarial: Tensor, eps: float, norm: Norm
) -> None:
    """Check that every adversarial image is at most `eps` away from its original.

    Args:
        description: name of the attack in messages.
        images: original images (n, c, h, w).
        adversarial: adversarial images (n, c, h, w).
        eps: budget on the [0, 1] scale.
        norm: norm of the budget.

    Raises:
        PluginFault: the largest distance exceeds `eps` by more than float32 rounding.
    """
    # The other norms sum over all pixels, which rounds more than a maximum does.
    slack = TOLERANCE if norm == "linf" else TOLERANCE * max(1.0, eps) * 10
    largest = float(distances(images, adversarial, norm).max())

    # A negated comparison, so that a distance of NaN is refused too.
    if not largest <= eps + slack:
        raise PluginFault(
            f"{description} moved an image by {largest:.6g} in {norm}, beyond eps {eps:g}"
        )


class Guarded(nn.Module):
    """A plugin's module with every output checked.

    Args:
        description: name of the plugin in messages.
        module: the plugin's network.
        classes: number of classes of a classifier, whose output is checked as logits; None for a
            purifier, whose output is checked as images.
        sizes: numbers of images that fit into the memory of the device at once, by which batches
            are divided; None to divide none.
    """

    def __init__(
        self,
        description: str,
        module: nn.Module,
        classes: int | None,
        sizes: FittingSizes | None = None,
    ) -> None:
        super().__init__()
        self.description = description
        self.module = module
        self.classes = classes
        self._outputs = sizes and Microbatches(description, sizes)
        self._decisions = sizes and Microbatches(description, sizes)

    def train(self, mode: bool = True) -> Self:
        """Set the mode, which runs code of the plugin if its module overrides the method."""
        with plugin_call(self.description):
            return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        """The module's output for images (n, c, h, w), checked."""
        return self._outputs(self._output, images) if self._outputs else self._output(images)

    def _output(self, images: Tensor) -> Tensor:
        """The same, of all images at once."""
        with plugin_call(self.description):
            # A copy, because a plugin that works in place must not change the test images.
            output = self.module(images.clone())

        if self.classes is None:
            return checked_images(self.description, output, images)

        return checked_logits(self.description, output, images, self.classes)

    def classify(self, images: Tensor, classifier: Guarded) -> Decision:
        """What a purifier decides by itself, checked: logits (n, classes), and further numbers.

        There is one more logit where the module rejects.
        """
        # The batch is divided in one place: here, not again in front of the classifier.
        inside = Guarded(classifier.description, classifier.module, classifier.classes)
        decision = partial(self._decision, classifier=inside)
        return self._decisions(decision, images) if self._decisions else decision(images)

    def _decision(self, images: Tensor, classifier: Guarded) -> Decision:
        """The same, of all images at once."""
        with plugin_call(self.description):
            output = self.module.classify(images.clone(), classifier)  # type: ignore[operator]

        return checked_decision(
            self.description, output, images, (classifier.classes or 0) + rejects(self.module)
        )


class GuardedPipeline(nn.Module):
    """A pipeline with every output checked: images (n, c, h, w) to logits (n, classes).

    Args:
        purifier: purifier with its output checked; None for the bare classifier.
        classifier: classifier with its output checked.
    """

    def __init__(self, purifier: Guarded | None, classifier: Guarded) -> None:
        super().__init__()
        self.purifier = purifier
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of the images."""
        return self.decided(images, 0)[0].logits

    @property
    def rejects(self) -> bool:
        """Whether the last logit is that of a rejection."""
        module = None if self.purifier is None else self.purifier.module
        return decides(module) and rejects(module)

    def decided(self, images: Tensor, samples: int) -> tuple[Decision, Tensor]:
        """The decision on the images, and the first `samples` images after the purifier.

        A purifier that makes no images leaves them as they are.
        """
        if self.purifier is None:
            return Decision(self.classifier(images), {}), images[:samples]
        if not decides(self.purifier.module):
            purified: Tensor = self.purifier(images)
            return Decision(self.classifier(purified), {}), purified[:samples]

        decision = self.purifier.classify(images, self.classifier)
        shown = images[:samples]
        is_made = len(shown) and makes_images(self.purifier.module)
        return decision, self.purifier(shown) if is_made else shown
