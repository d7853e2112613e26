"""The models that an attacker is given, made of a purifier and a classifier."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from bench.contracts import Mixture
from bench.contracts.stand_in import StandInFunction
from bench.errors import NotApplicable
from bench.stages.decisions import check_makes_images, decides, decision_of, rejects
from bench.stages.generators import CountedGenerator, Generator, generates
from bench.stages.known_draw import KnownDraw
from bench.stages.microbatches import FittingSizes, Microbatches
from bench.stages.seeding import seeded


class AttackedModel(nn.Module):
    """A model under attack: images (n, c, h, w) in [0, 1] to logits (n, classes).

    It counts its calls. For autograd the logits always depend on the images, so a model that cuts
    the graph has a zero gradient, which the verdict reports, and does not raise in an attack.

    Attributes:
        classifier: map from images to logits.
        eot: number of calls over which an attack averages the gradient of its loss.
        evaluated: whether this model is the pipeline that is evaluated.
        start: images that earlier attacks left, (n, c, h, w), from which a search may start; else
            None.
        draw: draw of a randomized pipeline that the attacker knows, which every call repeats; None
            for fresh numbers at every call.
        generator: generator of a purifier that makes images from codes; None for any other.
        microbatches: evaluation of a call in parts where the memory is used up.
        calls: number of calls so far, shown as progress.
        forward_images: number of images that were classified so far.
        backward_images: number of images through which a gradient was taken so far.
        rejects: whether the last logit is that of a rejection, so that there is one more.
    """

    def __init__(self, purifier: nn.Module | None, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier
        self.rejects = False
        self.eot = 1
        self.evaluated = False
        self.start: Tensor | None = None
        self.draw: KnownDraw | None = None
        self.generator: Generator | None = None
        if purifier is not None and generates(purifier):
            self.generator = CountedGenerator(purifier, self)
        self.microbatches = Microbatches("the attacked model", FittingSizes())
        self.calls = 0
        self.forward_images = 0
        self.backward_images = 0

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of the images.

        Raises:
            NotApplicable: under a known draw, the images are not a whole batch.
        """
        if self.draw and len(images) != self.draw.images:
            raise NotApplicable(
                "an attacker who knows the draw must ask about a whole batch, because the draw of "
                "an image depends on its place, and this attack lets images go"
            )
        with seeded(images.device, *self.draw.parts) if self.draw else nullcontext():
            logits = self.microbatches(self.logits, images)

        if images.requires_grad and torch.is_grad_enabled() and not logits.requires_grad:
            # A term of value zero ties the logits to the images.
            logits = logits + 0 * images.flatten(1).sum(dim=1, keepdim=True)

        self.count(logits)
        return logits

    def logits(self, images: Tensor) -> Tensor:
        """Logits (n, classes); what a subclass defines in place of `forward`."""
        raise NotImplementedError

    def count(self, output: Tensor) -> None:
        """Count a call, its images (n, ...), and later the gradients through them."""
        self.calls += 1
        self.forward_images += len(output)
        if output.requires_grad:
            output.register_hook(self._count_backward)

    def _count_backward(self, gradient: Tensor) -> None:
        self.backward_images += len(gradient)


class DefendedClassifier(AttackedModel):
    """Purifier and classifier in sequence, or the bare classifier without a purifier.

    Attributes:
        purifier: module in front of the classifier; None for the bare classifier.
    """

    def __init__(self, purifier: nn.Module | None, classifier: nn.Module) -> None:
        inner = purifier.purifier if isinstance(purifier, BackwardThrough) else purifier
        super().__init__(inner, classifier)
        self.purifier = purifier
        self.rejects = decides(inner) and rejects(inner)

    def logits(self, images: Tensor) -> Tensor:
        """Logits of the purified images, or those that a purifier that decides gives."""
        # A copy, because a module that works in place must not change the attacker's images.
        return defended_logits(self.purifier, self.classifier, images.clone())


class StandInClassifier(AttackedModel):
    """A stand-in of the purifier in its place, in front of the classifier.

    The logits of a mixture are the logarithms of the classifier's mean probabilities.
    """

    def __init__(
        self, purifier: nn.Module, classifier: nn.Module, function: StandInFunction
    ) -> None:
        super().__init__(purifier, classifier)
        self._function = function

    def logits(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of the images."""
        purified = self._function(images.clone())
        if not isinstance(purified, Mixture):
            logits: Tensor = self.classifier(purified)
            return logits

        n, candidates = purified.log_weights.shape
        scores = log_softmax(self.classifier(purified.images.flatten(0, 1)), dim=1)
        weighted = purified.log_weights[:, :, None] + scores.view(n, candidates, -1)
        return weighted.logsumexp(dim=1)


class BackwardThrough(nn.Module):
    """The purifier with the gradient of a function in place of its own.

    Source: Athalye, Carlini and Wagner 2018, section 4.1 (BPDA); the function of section 4.1.1 is
    the identity.

    Args:
        purifier: module whose output is kept.
        function: differentiable function of images whose gradient is taken; None for the identity.
    """

    def __init__(self, purifier: nn.Module, function: StandInFunction | None = None) -> None:
        super().__init__()
        self.purifier = purifier
        self._function = function

    def forward(self, images: Tensor) -> Tensor:
        """Purified images with the gradient of the function."""
        with torch.no_grad():
            purified: Tensor = self.purifier(images.detach().clone())

        result: Tensor = _Replaced.apply(self._followed(images), purified)
        return result

    def _followed(self, images: Tensor) -> Tensor:
        """The tensor whose gradient is taken."""
        followed = images if self._function is None else self._function(images)
        if isinstance(followed, Mixture):
            raise TypeError("a mixture is no image: it is followed alone, not backward only")
        return followed


class DecidingBackwardThrough(BackwardThrough):
    """The same for a purifier that decides by itself: its logits, with the function's gradient."""

    def classify(self, images: Tensor, classifier: nn.Module) -> Tensor:
        """Logits (n, classes) of the purifier; the gradient passes the classifier too."""
        through: Tensor = classifier(self._followed(images))
        with torch.no_grad():
            logits = defended_logits(self.purifier, classifier, images.detach().clone())

        classes = through.shape[1]  # a rejection, which may follow, has no gradient of its own
        result: Tensor = _Replaced.apply(through, logits[:, :classes])
        return torch.cat([result, logits[:, classes:]], dim=1)


class NoGradient(nn.Module):
    """A defended pipeline that gives logits but no gradient, for query access.

    Attributes:
        pipeline: purifier and classifier.
        eot: number of calls over which an attack averages its scores.
        evaluated: whether this model is the pipeline that is evaluated.
    """

    def __init__(self, pipeline: DefendedClassifier) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.eot = 1
        self.evaluated = False
        self.start: Tensor | None = None

    @property
    def rejects(self) -> bool:
        """Whether the last logit is that of a rejection."""
        return self.pipeline.rejects

    @property
    def draw(self) -> KnownDraw | None:
        """Draw that the attacker knows: none, since there is no gradient to follow in it."""
        return self.pipeline.draw

    @draw.setter
    def draw(self, known: KnownDraw | None) -> None:
        self.pipeline.draw = known

    @property
    def microbatches(self) -> Microbatches:
        """Evaluation of a call in parts, that of the pipeline."""
        return self.pipeline.microbatches

    @microbatches.setter
    def microbatches(self, microbatches: Microbatches) -> None:
        self.pipeline.microbatches = microbatches

    @property
    def calls(self) -> int:
        """Number of calls so far, shown as progress."""
        return self.pipeline.calls

    @property
    def forward_images(self) -> int:
        """Number of images that were classified so far."""
        return self.pipeline.forward_images

    @property
    def backward_images(self) -> int:
        """Number of images through which a gradient was taken: none."""
        return self.pipeline.backward_images

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of the images, detached from them."""
        with torch.no_grad():
            logits: Tensor = self.pipeline(images.detach())
        return logits


def defended_logits(purifier: nn.Module | None, classifier: nn.Module, images: Tensor) -> Tensor:
    """Logits (n, classes) of a pipeline, with one more of a purifier that rejects.

    Args:
        purifier: module in front of the classifier, which may decide by itself with `classify`;
            None for the bare classifier.
        classifier: map from images to logits.
        images: float32 (n, c, h, w) in [0, 1].
    """
    if purifier is not None and decides(purifier):
        decided: Tensor = decision_of(purifier.classify(images, classifier))[0]  # type: ignore[operator]
        return decided

    logits: Tensor = classifier(images if purifier is None else purifier(images))
    return logits


def backward_through(
    purifier: nn.Module, function: StandInFunction | None = None
) -> BackwardThrough:
    """The purifier with the gradient of a function, see `BackwardThrough`."""
    check_makes_images(purifier, "the gradient of a stand-in")
    kind = DecidingBackwardThrough if decides(purifier) else BackwardThrough
    return kind(purifier, function)


class _Replaced(torch.autograd.Function):
    """The second argument forward, the gradient to the first backward."""

    @staticmethod
    def forward(ctx: Any, followed: Tensor, value: Tensor) -> Tensor:  # noqa: ARG004 - autograd's signature
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return gradients[0], None
