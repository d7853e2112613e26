"""The stopwatch: one timed call becomes the record of a timing."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import torch

from bench.errors import NotApplicable
from bench.latency.agreement import AgreementCheck
from bench.latency.clock import measure
from bench.latency.cost import counted_flops, weight_bytes
from bench.latency.engines import EAGER_FLOAT32, ExecutionMode
from bench.latency.pipelines import PipelineLoader, Workload
from bench.latency.settings import LatencySettings
from bench.machine.conditions import ConditionsMonitor
from bench.plugins.faults import plugin_call
from bench.records.timing import Agreement, Samples, Target, TimedCall, Timing
from bench.stages.context import TaskContext
from bench.stages.references import CellNetworks, SplitRef
from bench.stages.seeding import seeded


class Stopwatch:
    """Times calls on a device that nothing else uses in the meantime.

    Args:
        context: device, data and trained networks.
        settings: duration and number of calls.
    """

    def __init__(self, context: TaskContext, settings: LatencySettings) -> None:
        self._device = context.device
        self._settings = settings
        self._pipelines = PipelineLoader(context)
        self._agreements = AgreementCheck(self._pipelines, settings.compared)
        self._flops: dict[tuple[Hashable, ...], int | None] = {}

    def time(self, call: TimedCall, networks: CellNetworks, split: SplitRef) -> Timing:
        """The record of a timing; `skipped` where the engine or precision does not apply.

        Args:
            call: call to time.
            networks: trained classifier and defense.
            split: test images that the batch is taken from, repeated where there are too few.

        Raises:
            PluginFault: the purifier raised under eager float32, or another engine's output is
                not finite or of another shape.
        """
        workload = Workload(networks, split)
        mode = ExecutionMode.named(call.engine, call.precision)
        try:
            mode.check_applies(self._device)
            with torch.no_grad():
                return self._timing(call, workload, mode)
        except NotApplicable as reason:
            return Timing(call, "skipped", str(reason))

    def _timing(self, call: TimedCall, workload: Workload, mode: ExecutionMode) -> Timing:
        agreement = self._agreement(call, workload, mode)
        flops = self._flops_per_image(workload, call.target)
        samples, conditions = self._measured(call, workload, mode)

        return Timing(
            call,
            "ok",
            samples=samples,
            agreement=agreement,
            flops_per_image=flops,
            weight_bytes=self._weight_bytes(workload, call.target),
            conditions=conditions,
        )

    def _agreement(
        self, call: TimedCall, workload: Workload, mode: ExecutionMode
    ) -> Agreement | None:
        if mode == EAGER_FLOAT32:
            return None
        return self._agreements.agreement(workload, call.batch_size, mode)

    def _flops_per_image(self, workload: Workload, target: Target) -> int | None:
        key = (workload.key, target)
        if key not in self._flops:
            function = self._pipelines.pipeline(workload, EAGER_FLOAT32).target(target)
            image = self._pipelines.batch(workload.split, 0, 1)
            self._flops[key] = counted_flops(lambda: function(image))

        return self._flops[key]

    def _weight_bytes(self, workload: Workload, target: Target) -> int:
        modules = self._pipelines.modules(workload, target)
        with plugin_call(workload.description):
            return weight_bytes(modules)

    def _measured(
        self, call: TimedCall, workload: Workload, mode: ExecutionMode
    ) -> tuple[Samples, Mapping[str, Any]]:
        """The raw times of the call, and the conditions under which they were measured."""
        function = self._pipelines.pipeline(workload, mode).target(call.target)
        batch = self._pipelines.batch(workload.split, 0, call.batch_size)

        monitor = ConditionsMonitor(self._device)
        with (
            seeded(self._device, "latency"),
            mode.precision.arithmetic(),
            plugin_call(f"{workload.description}, while it was timed,"),
        ):
            samples = measure(lambda: function(batch), self._settings, self._device)

        if mode.engine.own_pool:
            samples = replace(samples, peak_memory=None)
        dtype = mode.precision.converted or str(batch.dtype).removeprefix("torch.")

        return samples, {**monitor.conditions(), "dtype": dtype}
