"""The batches of images that are timed."""

from __future__ import annotations

from bench.latency.pipelines import PipelineLoader
from bench.stages.context import TaskContext


def test_a_batch_starts_over_where_the_images_end(context: TaskContext) -> None:
    split = context.split("digits", 6)
    images, _ = context.images(split)
    batch = PipelineLoader(context).batch(split, 4, 4)
    indices = [int((images == image).flatten(1).all(dim=1).nonzero()[0]) for image in batch]
    assert indices == [4, 5, 0, 1]
