"""The time stage: the purifier alone, and purifier and classifier, by batch size, engine and precision."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.errors import BenchError, NotApplicable, PluginFault
from bench.latency.clock import clocks_disagree, measure
from bench.latency.engines import (
    ENGINES,
    PRECISIONS,
    Engine,
    Precision,
    Purify,
    accelerated,
    engines_of,
    precisions_of,
)
from bench.latency.settings import LatencySettings
from bench.machine.environment import ConditionsMonitor
from bench.records.pipeline import Pipeline
from bench.records.timing import BUSY, EAGER, FLOAT32, TARGETS, Agreement, Subject, Target, Timing
from bench.stages.context import TaskContext
from bench.stages.guard import plugin_call
from bench.stages.references import CellNetworks, SplitRef
from bench.stages.seeding import seeded


def subjects(
    settings: LatencySettings, pipelines: Sequence[Pipeline], device: str
) -> Iterator[Subject]:
    """Everything that is to be timed, round after round.

    Args:
        settings: batch sizes, engines, precisions, rounds.
        pipelines: what is timed, without seeds.
        device: where.

    Raises:
        RequestError: an unknown engine or precision.
    """
    ways = [
        (e.name, p.name)
        for e in engines_of(settings.engines)
        for p in precisions_of(settings.precisions)
    ]
    for round_ in range(settings.rounds):
        for pipeline in pipelines:
            for batch_size in settings.batch_sizes:
                for engine, precision in ways:
                    for target in TARGETS:
                        yield Subject(
                            pipeline, target, batch_size, engine, precision, device, round_
                        )


class OutputFault(PluginFault):
    """An engine ran, but what came out is of no use."""


@dataclass(frozen=True)
class _Pipeline:
    """Purifier and classifier, ready to be called under an engine and a precision."""

    purify: Purify
    classify: Purify

    def target(self, target: Target) -> Purify:
        """What a call does."""
        if target == "purifier":
            return self.purify
        return lambda images: self.classify(self.purify(images))


class Stopwatch:
    """Times subjects on a device that nothing else uses meanwhile.

    Args:
        context: device, data, networks.
        settings: how long and how often.
    """

    def __init__(self, context: TaskContext, settings: LatencySettings) -> None:
        self._context, self._settings = context, settings
        self._pipelines: dict[tuple[Hashable, ...], _Pipeline] = {}
        self._outputs: dict[tuple[Hashable, ...], list[tuple[Tensor, Tensor]]] = {}
        self._agreements: dict[tuple[Hashable, ...], Agreement | BenchError] = {}
        self._flops: dict[tuple[Hashable, ...], int | None] = {}

    def time(self, subject: Subject, networks: CellNetworks, split: SplitRef) -> Timing:
        """Time one subject; where the engine or precision does not apply the record says so.

        Args:
            subject: what.
            networks: classifier and defense.
            split: the test images a batch is taken from (repeated where there are fewer).

        Raises:
            PluginFault: the purifier raised under eager float32, or another engine's output is of
                no use.
        """
        engine, precision = ENGINES[subject.engine], PRECISIONS[subject.precision]
        try:
            engine.check_applies(self._context.device)
            precision.check_applies(self._context.device)
            with torch.no_grad():
                return self._time(subject, networks, split, engine, precision)
        except NotApplicable as reason:
            return Timing(subject, "skipped", str(reason))

    def _time(
        self,
        subject: Subject,
        networks: CellNetworks,
        split: SplitRef,
        engine: Engine,
        precision: Precision,
    ) -> Timing:
        agreement = None
        if (engine.name, precision.name) != (EAGER, FLOAT32):
            agreement = self._agreement(networks, split, subject.batch_size, engine, precision)
        flops = self._flops_per_image(networks, split, subject.target)
        call, batch = (
            self._pipeline(networks, engine, precision).target(subject.target),
            self._batch(split, subject),
        )
        watch = ConditionsMonitor(self._context.device)
        with (
            seeded(self._context.device, "latency"),
            precision.arithmetic(),
            plugin_call(f"{networks.defense.who}, timed"),
        ):
            samples = measure(lambda: call(batch), self._settings, self._context.device)
        if engine.own_pool:
            samples = replace(samples, peak_memory=None)
        return Timing(
            subject,
            "ok",
            samples=samples,
            agreement=agreement,
            flops_per_image=flops,
            weight_bytes=self._weight_bytes(networks, subject.target),
            conditions={
                **watch.conditions(),
                "dtype": precision.converted or str(batch.dtype).removeprefix("torch."),
            },
        )

    def _pipeline(self, networks: CellNetworks, engine: Engine, precision: Precision) -> _Pipeline:
        key = (*_which(networks), engine.name, precision.name)
        if key not in self._pipelines:
            modules = (
                self._context.network(networks.defense),
                self._context.network(networks.classifier),
            )
            self._pipelines[key] = _Pipeline(
                *(accelerated(module, engine, precision) for module in modules)
            )
        return self._pipelines[key]

    def _agreement(
        self,
        networks: CellNetworks,
        split: SplitRef,
        batch_size: int,
        engine: Engine,
        precision: Precision,
    ) -> Agreement:
        """How far the engine is from eager float32; made once for a batch size.

        Raises:
            NotApplicable: the engine or precision cannot run these networks.
            PluginFault: it can, but its output is of another shape or not finite.
        """
        key = (*_which(networks), engine.name, precision.name, batch_size)
        if key not in self._agreements:
            plain = self._plain_outputs(networks, split, batch_size)
            try:
                found = self._outputs_of(networks, split, batch_size, engine, precision)
                who = f"{networks.defense.who} ({engine.name} {precision.name})"
                self._agreements[key] = agreement(plain, found, who)
            except OutputFault as fault:
                self._agreements[key] = fault
            except PluginFault as fault:
                self._agreements[key] = NotApplicable(
                    f"{engine.name} {precision.name} cannot run it: {fault}"
                )
        known = self._agreements[key]
        if isinstance(known, BenchError):
            raise known
        return known

    def _plain_outputs(
        self, networks: CellNetworks, split: SplitRef, batch_size: int
    ) -> list[tuple[Tensor, Tensor]]:
        key = (*_which(networks), batch_size)
        if key not in self._outputs:
            self._outputs[key] = self._outputs_of(
                networks, split, batch_size, ENGINES[EAGER], PRECISIONS[FLOAT32]
            )
        return self._outputs[key]

    def _outputs_of(
        self,
        networks: CellNetworks,
        split: SplitRef,
        batch_size: int,
        engine: Engine,
        precision: Precision,
    ) -> list[tuple[Tensor, Tensor]]:
        """Purified images and classes, batch by batch, on the CPU.

        The same random draws whatever the engine.
        """
        found = []
        with precision.arithmetic(), plugin_call(networks.defense.who):
            pipeline = self._pipeline(networks, engine, precision)
            pipeline.classify(
                pipeline.purify(self._images(split, 0, batch_size))
            )  # compiled or captured by now
            for start in range(0, max(batch_size, self._settings.compared), batch_size):
                with seeded(self._context.device, "agreement", start):
                    purified = pipeline.purify(self._images(split, start, batch_size))
                    classes = pipeline.classify(purified).argmax(1)
                found.append((purified.cpu(), classes.cpu()))
        return found

    def _flops_per_image(
        self, networks: CellNetworks, split: SplitRef, target: Target
    ) -> int | None:
        key = (*_which(networks), target)
        if key not in self._flops:
            call = self._pipeline(networks, ENGINES[EAGER], PRECISIONS[FLOAT32]).target(target)
            self._flops[key] = _counted(lambda: call(self._images(split, 0, 1)))
        return self._flops[key]

    def _weight_bytes(self, networks: CellNetworks, target: Target) -> int:
        modules = [self._context.network(networks.defense)]
        if target == "pipeline":
            modules.append(self._context.network(networks.classifier))
        state = (
            tensor for module in modules for tensor in (*module.parameters(), *module.buffers())
        )
        return sum(tensor.numel() * tensor.element_size() for tensor in state)

    def _batch(self, split: SplitRef, subject: Subject) -> Tensor:
        return self._images(split, 0, subject.batch_size)

    def _images(self, split: SplitRef, start: int, size: int) -> Tensor:
        """So many test images from `start` on, again from the first where they end."""
        images, _ = self._context.images(split)
        index = torch.arange(start, start + size, device=images.device) % len(images)
        return images[index].contiguous()


def _which(networks: CellNetworks) -> tuple[Hashable, ...]:
    return tuple(
        (each.digest, each.plugin.resolved, each.info)
        for each in (networks.defense, networks.classifier)
    )


def agreement(
    plain: list[tuple[Tensor, Tensor]], found: list[tuple[Tensor, Tensor]], who: str
) -> Agreement:
    """Hold purified images and classes, batch by batch, against those of eager float32.

    Raises:
        PluginFault: the images are of another shape or not finite.
    """
    difference, alike, images = 0.0, 0, 0
    for (expected, classes), (purified, others) in zip(plain, found, strict=True):
        if purified.shape != expected.shape or not bool(torch.isfinite(purified).all()):
            raise OutputFault(f"{who}: its output is of another shape than eager's, or not finite")
        difference = max(difference, float((purified - expected).abs().max()))
        alike += int((classes == others).sum())
        images += len(classes)
    return Agreement(difference, alike / images, images)


def _counted(call: Callable[[], object]) -> int | None:
    """Floating-point operations of a call; None where they cannot be counted."""
    try:
        with plugin_call("counting"), FlopCounterMode(display=False) as counter:
            call()
    except PluginFault:
        return None
    return int(counter.get_total_flops())


def timing_line(timing: Timing) -> str:
    """The record of a measurement in one line for people, with what makes its numbers doubtful."""
    subject, samples = timing.subject, timing.samples
    way = (
        subject.engine if subject.precision == FLOAT32 else f"{subject.engine} {subject.precision}"
    )
    name = f"{subject.pipeline.defense} {subject.target}, batch {subject.batch_size}, {way}"
    if samples is None:
        return f"{name}: {timing.status}, {timing.reason}"
    parts = [
        f"{statistics.median(samples.seconds) * 1e3:.4g} ms a call ({len(samples.seconds)} calls)"
    ]
    if timing.agreement is not None:
        parts.append(
            f"off by {timing.agreement.difference:.1g}, {timing.agreement.alike:.1%} classified alike"
        )
    if not samples.stable:
        parts.append("not stable after its warm-up")
    if clocks_disagree(samples):
        parts.append(f"CUDA events say {statistics.median(samples.device_seconds) * 1e3:.4g} ms")
    busy = timing.conditions.get("busy_elsewhere")
    if busy is not None and busy > BUSY:
        parts.append(f"other processes kept {busy:.1f} cores busy")
    return f"{name}: {'; '.join(parts)}"
