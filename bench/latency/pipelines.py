"""The pipelines that are timed: networks run by an engine, and batches of test images."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from bench.contracts import Decision
from bench.errors import NotApplicable
from bench.latency.engines import EAGER_FLOAT32, ExecutionMode, ImageFunction, accelerated
from bench.records.timing import Target
from bench.stages.context import TaskContext
from bench.stages.decisions import decides, decision_of, makes_images
from bench.stages.references import CellNetworks, NetworkRef, SplitRef


@dataclass(frozen=True)
class Workload:
    """The networks of a pipeline, and the test images that they are timed on.

    Attributes:
        networks: trained classifier and defense.
        split: test images that batches are taken from.
    """

    networks: CellNetworks
    split: SplitRef

    @property
    def key(self) -> tuple[Hashable, ...]:
        """Everything that the pipeline's output depends on, except engine and precision."""
        networks = (self.networks.defense, self.networks.classifier)
        parts = ((network.digest, network.plugin.resolved, network.info) for network in networks)

        return (self.split, *parts)

    @property
    def description(self) -> str:
        """Name of the defense in messages."""
        return self.networks.defense.description


@dataclass(frozen=True)
class RunnablePipeline:
    """Purifier and classifier as functions, run by an engine in a precision.

    Attributes:
        purify: function from images to purified images.
        classify: function from images to logits (n, classes).
        decide: function `classify(images, classifier)` of a defense that decides by itself; None
            for any other.
        classes: number of classes.
        purifies: whether `purify` makes images, which a defense that decides may not.
    """

    purify: ImageFunction
    classify: ImageFunction
    decide: Callable[[Tensor, ImageFunction], Tensor | Decision] | None
    classes: int
    purifies: bool = True

    def target(self, target: Target) -> ImageFunction:
        """The function that is timed: the purifier alone, or purifier and classifier.

        A defense that decides by itself is timed alone with a classifier that takes no time, so
        that everything is timed that it computes for a decision, such as all draws of a vote.
        """
        decide = self.decide
        if target == "pipeline":
            return self.logits
        if decide is None:
            return self.purify
        return lambda images: decision_of(decide(images, self._no_classifier))[0]

    def logits(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of images."""
        if self.decide is None:
            return self.outputs(images)[1]
        logits: Tensor = decision_of(self.decide(images, self.classify))[0]
        return logits

    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Purified images and logits (n, classes)."""
        if self.decide is not None:
            return self.purify(images) if self.purifies else images, self.logits(images)
        purified = self.purify(images)
        return purified, self.classify(purified)

    def _no_classifier(self, images: Tensor) -> Tensor:
        logits = images.new_zeros(len(images), self.classes)
        # A defense may take gradients through the classifier.
        return logits + 0 * images.flatten(1)[:, :1] if images.requires_grad else logits


class _Module(nn.Module):
    """A function of images as a module, for a defense to wrap."""

    def __init__(self, function: ImageFunction) -> None:
        super().__init__()
        self._function = function

    def forward(self, images: Tensor) -> Tensor:
        """The value of the function."""
        return self._function(images)


class PipelineLoader:
    """Loads the networks of workloads and prepares them for each mode once.

    Args:
        context: device, data and trained networks.
    """

    def __init__(self, context: TaskContext) -> None:
        self.device = context.device
        self._context = context
        self._pipelines: dict[tuple[Hashable, ...], RunnablePipeline] = {}

    def modules(self, workload: Workload, target: Target) -> list[nn.Module]:
        """The networks that a target runs: the purifier, and the classifier for a pipeline."""
        networks = workload.networks
        references = [networks.defense, networks.classifier]
        used = references if target == "pipeline" else references[:1]

        return [self._context.network(reference) for reference in used]

    def pipeline(self, workload: Workload, mode: ExecutionMode) -> RunnablePipeline:
        """The pipeline under an engine and a precision."""
        key = (workload.key, str(mode))
        if key not in self._pipelines:
            networks = workload.networks
            purifier = self._purifier(networks.defense, mode)
            classifier = self._context.network(networks.classifier)
            self._pipelines[key] = RunnablePipeline(
                purify=purifier,
                classify=accelerated(classifier, mode.engine, mode.precision),
                decide=getattr(purifier, "classify", None),
                classes=networks.classifier.info.classes,
                purifies=makes_images(self._context.network(networks.defense)),
            )

        return self._pipelines[key]

    def _purifier(self, defense: NetworkRef, mode: ExecutionMode) -> ImageFunction:
        """The defense under an engine, which runs the inner defense of one that wraps another.

        Raises:
            NotApplicable: the defense decides by itself, and the engine runs functions of images
                only.
        """
        module = self._context.network(defense)
        inner = defense.plugin.inner
        if inner is not None and mode != EAGER_FLOAT32:
            wrapped = self._context.network(replace(defense, plugin=inner))
            function = accelerated(wrapped, mode.engine, mode.precision)
            return defense.plugin.around(_Module(function))

        function = accelerated(module, mode.engine, mode.precision)
        if decides(module) and function is not module:
            raise NotApplicable(f"{mode} cannot run {defense.description}, which decides by itself")
        return function

    def batch(self, split: SplitRef, start: int, size: int) -> Tensor:
        """Test images from index `start` on (size, ...); after the last the first follows again."""
        images, _ = self._context.images(split)
        index = torch.arange(start, start + size, device=images.device) % len(images)

        return images[index].contiguous()
