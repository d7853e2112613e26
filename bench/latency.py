"""The time stage: the purifier alone, and purifier and classifier, at each batch size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from bench.config import LatencyConfig
from bench.evaluate import Networks
from bench.guard import plugin_call
from bench.runs import Timing
from bench.seeding import seeded
from bench.stages.base import Lab, SplitRef
from bench.timing import measure

EAGER = "eager"
TARGETS = ("purifier", "pipeline")


def time_defense(
    lab: Lab,
    networks: Networks,
    labels: dict[str, Any],
    split: SplitRef,
    target: str,
    batch_size: int,
    settings: LatencyConfig,
) -> Timing:
    """Time one target at one batch size.

    Args:
        lab: device, data, networks.
        networks: classifier and defense.
        labels: dataset, classifier and defense, for the record.
        split: the test images a batch is taken from (repeated where there are fewer).
        target: `purifier` alone or `pipeline`.
        batch_size: images in a call.
        settings: how long and how often.

    Raises:
        PluginFault: the purifier raised.
    """
    purifier, classifier = lab.network(networks.defense), lab.network(networks.classifier)
    module = purifier if target == "purifier" else nn.Sequential(purifier, classifier)
    batch = _batch(lab, split, batch_size)

    def call() -> Tensor:
        output: Tensor = module(batch)
        return output

    who = f"{networks.defense.who}, timed"
    with seeded(lab.device, "latency"), torch.no_grad(), plugin_call(who):
        seconds = measure(call, settings)
    return Timing(labels, target, batch_size, EAGER, str(lab.device), settings.warmup, seconds)


def wanted(settings: LatencyConfig) -> Iterator[tuple[str, int]]:
    """Targets and batch sizes."""
    for batch_size in settings.batch_sizes:
        for target in TARGETS:
            yield target, batch_size


def _batch(lab: Lab, split: SplitRef, size: int) -> Tensor:
    images, _ = lab.images(split)
    index = torch.arange(size, device=images.device) % len(images)
    return images[index].contiguous()
