"""The pipelines that are timed: networks run by an engine, and batches of test images."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.latency.engines import ExecutionMode, ImageFunction, accelerated
from bench.records.timing import Target
from bench.stages.context import TaskContext
from bench.stages.references import CellNetworks, SplitRef


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
    """

    purify: ImageFunction
    classify: ImageFunction

    def target(self, target: Target) -> ImageFunction:
        """The function that is timed: the purifier alone, or purifier and classifier."""
        if target == "purifier":
            return self.purify
        return lambda images: self.classify(self.purify(images))


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
            purifier, classifier = self.modules(workload, "pipeline")
            self._pipelines[key] = RunnablePipeline(
                purify=accelerated(purifier, mode.engine, mode.precision),
                classify=accelerated(classifier, mode.engine, mode.precision),
            )

        return self._pipelines[key]

    def batch(self, split: SplitRef, start: int, size: int) -> Tensor:
        """Test images from index `start` on (size, ...); after the last the first follows again."""
        images, _ = self._context.images(split)
        index = torch.arange(start, start + size, device=images.device) % len(images)

        return images[index].contiguous()
