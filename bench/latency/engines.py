"""Engines and precisions: other ways to run the same mathematics, timed beside eager float32 and
held against it.

Torch is imported when one is used, so that the names can be listed without it.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bench.contracts import Accelerator, Eager, P, R, State
from bench.errors import NotApplicable, unknown
from bench.records.timing import EAGER, FLOAT32

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_SHAPES = 64
"""Shapes of its input for which a function may be compiled."""

Purify = Callable[["Tensor"], "Tensor"]


class Compiled(Eager):
    """`torch.compile`, whole functions only: a graph break would leave the rest eager without a word."""

    def function(self, function: Callable[P, R]) -> Callable[P, R]:
        """See `Accelerator.function`. Random numbers are drawn as eager does."""
        import torch

        # else all modules of a class share one limit; older releases do not know these
        own: dict[str, Any] = {"recompile_limit": _SHAPES, "isolate_recompiles": True}
        known = inspect.signature(torch.compile).parameters
        compiled: Callable[P, R] = torch.compile(
            function,
            fullgraph=True,
            dynamic=False,
            options={"fallback_random": True},
            **{name: value for name, value in own.items() if name in known},
        )
        return compiled

    def loop(
        self, step: Callable[[State, State], State], times: int
    ) -> Callable[[State, State], State]:
        """See `Accelerator.loop`: the step is compiled, the loop stays in Python."""
        return super().loop(self.function(step), times)


class Captured:
    """CUDA graphs: the kernels of a function are captured once for each shape of its inputs, and replayed."""

    def function(self, function: Callable[P, R]) -> Callable[P, R]:
        """See `Accelerator.function`.

        Results are copies, which the next call does not overwrite.
        """
        captures: dict[Any, _Capture] = {}

        def replayed(*inputs: Any) -> Any:
            key = tuple((each.shape, each.dtype) for each in inputs)
            if key not in captures:
                captures[key] = _Capture(function, inputs)
            return _cloned(captures[key](inputs, 1))

        return replayed  # type: ignore[return-value]

    def loop(
        self, step: Callable[[State, State], State], times: int
    ) -> Callable[[State, State], State]:
        """See `Accelerator.loop`: one step is captured, its state stays in place, and it is replayed so many times."""
        captures: dict[Any, _Capture] = {}

        def replayed(state: State, constants: State) -> State:
            inputs = (*state, *constants)
            key = tuple((each.shape, each.dtype) for each in inputs)
            if key not in captures:

                def in_place(*places: Tensor) -> State:
                    kept, own = (
                        places[: len(state)],
                        {each.untyped_storage().data_ptr() for each in places},
                    )
                    values = step(kept, places[len(state) :])
                    # a step may hand on what it was given, in another place
                    values = tuple(
                        v.clone() if v.untyped_storage().data_ptr() in own else v for v in values
                    )
                    for place, value in zip(kept, values, strict=True):
                        place.copy_(value)
                    return kept

                captures[key] = _Capture(in_place, inputs)
            found: State = _cloned(captures[key](inputs, times))
            return found

        return replayed


class _Capture:
    """A function captured on copies of its inputs."""

    def __init__(self, function: Callable[..., Any], inputs: State) -> None:
        import torch

        self._places = tuple(each.detach().clone() for each in inputs)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries allocate their workspaces before the capture
            for _ in range(3):
                function(*self._places)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = function(*self._places)

    def __call__(self, inputs: State, times: int) -> Any:
        """Replay so many times; the output stays in place until the next call."""
        for place, each in zip(self._places, inputs, strict=True):
            place.copy_(each)
        for _ in range(times):
            self._graph.replay()
        return self._output


def _cloned(output: Any) -> Any:
    return tuple(each.clone() for each in output) if isinstance(output, tuple) else output.clone()


@dataclass(frozen=True)
class Engine:
    """A way to run a module.

    Attributes:
        name: of `--engines`.
        summary: one line for people.
        accelerator: makes what the module's functions are handed to.
        cuda_only: it needs a GPU.
        own_pool: its memory is set apart when it is prepared, so that what a call takes cannot be
            seen.
    """

    name: str
    summary: str
    accelerator: Callable[[], Accelerator]
    cuda_only: bool = False
    own_pool: bool = False

    def check_applies(self, device: torch.device) -> None:
        """Whether it runs there.

        Raises:
            NotApplicable: it does not, and why.
        """
        if self.cuda_only and device.type != "cuda":
            raise NotApplicable(f"engine {self.name} needs CUDA")


@dataclass(frozen=True)
class Precision:
    """The arithmetic of a module.

    Attributes:
        name: of `--precisions`.
        summary: one line for people.
        tf32: matrix products and convolutions may round their inputs to TF32.
        converted: weights and images have the type of that name instead of float32.
        cuda_only: it needs a GPU.
    """

    name: str
    summary: str
    tf32: bool = False
    converted: str | None = None
    cuda_only: bool = False

    def check_applies(self, device: torch.device) -> None:
        """See `Engine.check_applies`."""
        if self.cuda_only and device.type != "cuda":
            raise NotApplicable(f"precision {self.name} needs CUDA")

    def of(self, module: nn.Module) -> nn.Module:
        """The module in that precision; itself where it stays as it is."""
        import torch

        if self.converted is None:
            return module
        return copy.deepcopy(module).to(getattr(torch, self.converted))

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """What the block computes may use TF32, or must not."""
        with tf32_allowed(self.tf32):
            yield


@contextmanager
def tf32_allowed(allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 in matrix products and convolutions.

    By default PyTorch allows it in convolutions alone.
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


class _Accelerable(Protocol):
    def accelerated(self, by: Accelerator) -> Purify:
        """See `bench.contracts.Defense`."""


def accelerated(module: nn.Module, engine: Engine, precision: Precision) -> Purify:
    """The module as a function from float32 images to float32 output, run by the engine in that
    precision.

    Args:
        module: in evaluation mode, frozen; call the result under `no_grad` and
            `precision.arithmetic()`.
        engine: how it runs.
        precision: of its arithmetic.
    """
    import torch

    converted = precision.of(module)
    by = engine.accelerator()
    own: _Accelerable | None = converted if hasattr(converted, "accelerated") else None  # type: ignore[assignment]
    if engine.name == EAGER:  # what accuracies come from, and others are held against
        function: Purify = converted
    else:
        function = own.accelerated(by) if own is not None else by.function(converted)
    if precision.converted is None:
        return function
    kind = getattr(torch, precision.converted)
    return lambda images: function(images.to(kind)).float()


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(EAGER, "PyTorch as it is", Eager),
        Engine("compile", "torch.compile, whole functions", Compiled),
        Engine(
            "cudagraph",
            "kernels captured once and replayed; CUDA only",
            Captured,
            cuda_only=True,
            own_pool=True,
        ),
    )
}

PRECISIONS = {
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


def engines_of(names: tuple[str, ...]) -> list[Engine]:
    """The engines of these names.

    Raises:
        RequestError: there is none of that name.
    """
    return [_named("engine", name, ENGINES) for name in dict.fromkeys(names)]


def precisions_of(names: tuple[str, ...]) -> list[Precision]:
    """The precisions of these names.

    Raises:
        RequestError: there is none of that name.
    """
    return [_named("precision", name, PRECISIONS) for name in dict.fromkeys(names)]


def _named(what: str, name: str, known: dict[str, Any]) -> Any:
    if name not in known:
        raise unknown(what, name, known)
    return known[name]
