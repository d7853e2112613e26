"""Engines and precisions: other ways to run the same networks, timed beside eager float32.

Torch is imported when an engine is used, so that the names are listed without it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from bench.contracts import Accelerator, Eager
from bench.errors import NotApplicable, unknown
from bench.latency.accelerators import CompiledCudaGraphs, CudaGraphs, TorchCompile
from bench.records.timing import EAGER, FLOAT32

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

ImageFunction = Callable[["Tensor"], "Tensor"]
"""A function of images float32 (n, channels, height, width) that returns a float32 tensor."""

T = TypeVar("T")


@dataclass(frozen=True)
class Engine:
    """A way to run a network.

    Attributes:
        name: name in `--engines`.
        summary: description in one line, for `bench list`.
        accelerator: factory of the accelerator that the network's functions are passed to.
        cuda_only: whether the engine needs a GPU.
        own_pool: whether the engine allocates its memory before the first timed call, so that the
            memory of a call cannot be measured.
    """

    name: str
    summary: str
    accelerator: Callable[[], Accelerator]
    cuda_only: bool = False
    own_pool: bool = False

    def check_applies(self, device: torch.device) -> None:
        """Check that the engine runs on the device.

        Raises:
            NotApplicable: the engine needs CUDA, and the device is another.
        """
        if self.cuda_only and device.type != "cuda":
            raise NotApplicable(f"engine {self.name} needs CUDA")


@dataclass(frozen=True)
class Precision:
    """The arithmetic of a network.

    Attributes:
        name: name in `--precisions`.
        summary: description in one line, for `bench list`.
        tf32: whether matrix products and convolutions may round their inputs to TF32.
        converted: name of the torch type that weights and images are converted to; None for
            float32.
        cuda_only: whether the precision needs a GPU.
    """

    name: str
    summary: str
    tf32: bool = False
    converted: str | None = None
    cuda_only: bool = False

    def check_applies(self, device: torch.device) -> None:
        """Check that the device has this arithmetic.

        Raises:
            NotApplicable: the precision needs CUDA, and the device is another.
        """
        if self.cuda_only and device.type != "cuda":
            raise NotApplicable(f"precision {self.name} needs CUDA")

    def of(self, module: nn.Module) -> nn.Module:
        """A converted copy of the module; the module itself for float32 weights."""
        import torch

        if self.converted is None:
            return module
        return copy.deepcopy(module).to(getattr(torch, self.converted))

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Allow or forbid TF32 inside the block, as this precision requires."""
        with tf32_allowed(self.tf32):
            yield


@contextmanager
def tf32_allowed(allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 in matrix products and convolutions inside the block.

    By default PyTorch allows it in convolutions only.
    """
    import torch

    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = allowed
    try:
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


class _SupportsAccelerators(Protocol):
    """A module that chooses which of its functions an accelerator runs."""

    def accelerated(self, by: Accelerator) -> ImageFunction:
        """The module as a function, see `bench.contracts.Defense`."""


def accelerated(module: nn.Module, engine: Engine, precision: Precision) -> ImageFunction:
    """The module as a function of float32 images, run by the engine in the precision.

    Args:
        module: network in evaluation mode, frozen. Call the result under `torch.no_grad` and
            `precision.arithmetic()`.
        engine: engine that runs the module.
        precision: arithmetic of the module.
    """
    import torch

    function = _run_by(engine, precision.of(module))
    if precision.converted is None:
        return function

    dtype = getattr(torch, precision.converted)
    return lambda images: function(images.to(dtype)).float()


def _run_by(engine: Engine, module: nn.Module) -> ImageFunction:
    # Accuracies are computed with the module itself, so eager timings must use it too.
    if engine.name == EAGER:
        return module

    accelerator = engine.accelerator()
    if not hasattr(module, "accelerated"):
        return accelerator.function(module)

    custom: _SupportsAccelerators = module  # type: ignore[assignment]
    return custom.accelerated(accelerator)


ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine(EAGER, "PyTorch without an accelerator", Eager),
        Engine("compile", "torch.compile of whole functions", TorchCompile),
        Engine(
            "cudagraph",
            "CUDA graphs: kernels captured once and replayed; CUDA only",
            CudaGraphs,
            cuda_only=True,
            own_pool=True,
        ),
        Engine(
            "compiled-cudagraph",
            "CUDA graphs of compiled functions; CUDA only",
            CompiledCudaGraphs,
            cuda_only=True,
            own_pool=True,
        ),
    )
}

PRECISIONS: dict[str, Precision] = {
    precision.name: precision
    for precision in (
        Precision(FLOAT32, "IEEE single precision"),
        Precision(
            "tf32",
            "matrix products with inputs rounded to TF32; CUDA only",
            tf32=True,
            cuda_only=True,
        ),
        Precision("bfloat16", "weights and images as bfloat16", converted="bfloat16"),
    )
}


@dataclass(frozen=True)
class ExecutionMode:
    """An engine together with a precision.

    Attributes:
        engine: engine that runs the networks.
        precision: arithmetic of the networks.
    """

    engine: Engine
    precision: Precision

    @classmethod
    def named(cls, engine: str, precision: str) -> Self:
        """The mode of an engine and a precision by name."""
        return cls(ENGINES[engine], PRECISIONS[precision])

    def check_applies(self, device: torch.device) -> None:
        """Check that the device has both the engine and the precision.

        Raises:
            NotApplicable: one of them needs CUDA, and the device is another.
        """
        self.engine.check_applies(device)
        self.precision.check_applies(device)

    def __str__(self) -> str:
        return f"{self.engine.name} {self.precision.name}"


EAGER_FLOAT32 = ExecutionMode.named(EAGER, FLOAT32)
"""The mode that all others are compared with."""


def engines_of(names: Sequence[str]) -> list[Engine]:
    """The engines of these names, each once.

    Raises:
        RequestError: there is no engine of a name.
    """
    return [_named("engine", name, ENGINES) for name in dict.fromkeys(names)]


def precisions_of(names: Sequence[str]) -> list[Precision]:
    """The precisions of these names, each once.

    Raises:
        RequestError: there is no precision of a name.
    """
    return [_named("precision", name, PRECISIONS) for name in dict.fromkeys(names)]


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise unknown(kind, name, known)
    return known[name]
