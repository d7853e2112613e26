"""The agreement of engines: their outputs compared with those of eager float32."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.errors import BenchError, NotApplicable, PluginFault
from bench.latency.engines import EAGER_FLOAT32, ExecutionMode
from bench.latency.pipelines import PipelineLoader, Workload
from bench.plugins.faults import plugin_call
from bench.records.timing import Agreement
from bench.stages.seeding import seeded


class UnusableOutput(PluginFault):
    """An engine ran, but its output is not finite or has another shape than eager's."""


@dataclass(frozen=True)
class Output:
    """The output of a pipeline for one batch, on the CPU.

    Attributes:
        purified: purified images, float32 (n, channels, height, width).
        classes: predicted classes, int64 (n,).
    """

    purified: Tensor
    classes: Tensor


class AgreementCheck:
    """Compares engines with eager float32, once for each pipeline, mode and batch size.

    Args:
        pipelines: loader of the networks.
        images: number of images to compare; at least one whole batch is compared.
    """

    def __init__(self, pipelines: PipelineLoader, images: int) -> None:
        self._pipelines = pipelines
        self._images = images
        self._eager_outputs: dict[tuple[Hashable, ...], list[Output]] = {}
        self._results: dict[tuple[Hashable, ...], Agreement | BenchError] = {}

    def agreement(self, workload: Workload, batch_size: int, mode: ExecutionMode) -> Agreement:
        """The agreement of a mode with eager float32.

        Raises:
            NotApplicable: the engine or the precision cannot run these networks.
            UnusableOutput: the output is not finite or of another shape.
            PluginFault: the purifier raised under eager float32.
        """
        key = (workload.key, batch_size, str(mode))
        if key not in self._results:
            self._results[key] = self._result(workload, batch_size, mode)

        result = self._results[key]
        if isinstance(result, BenchError):
            raise result
        return result

    def _result(
        self, workload: Workload, batch_size: int, mode: ExecutionMode
    ) -> Agreement | BenchError:
        """The agreement, or the error that says why there is none."""
        expected = self._eager_output(workload, batch_size)
        try:
            outputs = self._output(workload, batch_size, mode)
            with plugin_call(workload.description):
                return agreement_of(outputs, expected, f"{workload.description} ({mode})")
        except UnusableOutput as fault:
            return fault
        except PluginFault as fault:
            return NotApplicable(f"{mode} cannot run this pipeline: {fault}")

    def _eager_output(self, workload: Workload, batch_size: int) -> list[Output]:
        key = (workload.key, batch_size)
        if key not in self._eager_outputs:
            self._eager_outputs[key] = self._output(workload, batch_size, EAGER_FLOAT32)

        return self._eager_outputs[key]

    def _output(self, workload: Workload, batch_size: int, mode: ExecutionMode) -> list[Output]:
        """The output batch by batch, with the same random draws in every mode."""
        pipelines, split = self._pipelines, workload.split
        outputs = []

        with mode.precision.arithmetic(), plugin_call(workload.description):
            pipeline = pipelines.pipeline(workload, mode)
            # The first call compiles or captures, which may draw random numbers of its own.
            pipeline.outputs(pipelines.batch(split, 0, batch_size))

            for start in range(0, max(batch_size, self._images), batch_size):
                with seeded(pipelines.device, "agreement", start):
                    purified, logits = pipeline.outputs(pipelines.batch(split, start, batch_size))
                outputs.append(Output(purified.cpu(), logits.argmax(1).cpu()))

        return outputs


def agreement_of(
    outputs: Sequence[Output], expected: Sequence[Output], description: str
) -> Agreement:
    """The agreement of an engine's output with the expected one, batch by batch.

    Args:
        outputs: output of the engine, one entry per batch.
        expected: output of eager float32 for the same batches.
        description: defense and engine, for messages.

    Raises:
        UnusableOutput: purified images are not finite or of another shape.
    """
    difference = 0.0
    same_class = 0
    images = 0

    for output, reference in zip(outputs, expected, strict=True):
        if (
            output.purified.shape != reference.purified.shape
            or not torch.isfinite(output.purified).all()
        ):
            raise UnusableOutput(
                f"{description}: its output is not finite, or of another shape than eager's"
            )
        largest = float((output.purified - reference.purified).abs().max())
        difference = max(difference, largest)
        same_class += int((output.classes == reference.classes).sum())
        images += len(reference.classes)

    return Agreement(difference, same_class / images, images)
