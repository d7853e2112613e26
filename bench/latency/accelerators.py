"""Accelerators: `torch.compile` and CUDA graphs, which run the functions of a module faster.

Torch is imported when an accelerator is used, so that the names of engines are listed without it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from bench.contracts import Eager, State

if TYPE_CHECKING:
    from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

_SHAPES = 64
"""Largest number of input shapes for which one function is compiled."""

_RECOMPILATIONS = 10_000
"""Limit of recompilations where all modules share one; in effect there is none."""

_WARMUP = 3
"""Number of calls before a capture, in which libraries allocate their workspaces."""


class TorchCompile(Eager):
    """`torch.compile` of whole functions.

    A graph break, which would leave a part of the function eager, is an error.
    """

    def function(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, compiled. It draws the same random numbers as in eager mode."""
        import torch

        # Without these options all modules share one limit of recompilations.
        limits: dict[str, Any] = {"recompile_limit": _SHAPES, "isolate_recompiles": True}
        if not limits.keys() <= inspect.signature(torch.compile).parameters.keys():
            _raise_shared_limit()
            limits = {}
        compiled: Callable[P, R] = torch.compile(
            function, fullgraph=True, dynamic=False, options={"fallback_random": True}, **limits
        )

        return compiled

    def loop(
        self, step: Callable[[State, State], State], times: int
    ) -> Callable[[State, State], State]:
        """The loop: its step is compiled, the loop itself stays in Python."""
        return super().loop(self.function(step), times)


def _raise_shared_limit() -> None:
    """Raise the limit of recompilations that all modules share in older releases of PyTorch."""
    import torch._dynamo

    config: Any = torch._dynamo.config
    for name in ("recompile_limit", "accumulated_recompile_limit"):
        setattr(config, name, max(getattr(config, name), _RECOMPILATIONS))


class CudaGraphs:
    """CUDA graphs: kernels are captured once for each shape of the inputs, then replayed."""

    def function(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, replayed; its results are copies, so the next call leaves them intact."""
        graphs: dict[Any, CapturedFunction] = {}

        def replayed(*inputs: Any) -> Any:
            key = _signature(inputs)
            if key not in graphs:
                graphs[key] = CapturedFunction(function, inputs)
            return _copied(graphs[key](inputs, 1))

        return replayed  # type: ignore[return-value]

    def loop(
        self, step: Callable[[State, State], State], times: int
    ) -> Callable[[State, State], State]:
        """The loop: one step is captured so that it overwrites its state, then replayed."""
        graphs: dict[Any, CapturedFunction] = {}

        def replayed(state: State, constants: State) -> State:
            inputs = (*state, *constants)
            key = _signature(inputs)
            if key not in graphs:
                graphs[key] = CapturedFunction(_in_place(step, len(state)), inputs)
            final: State = _copied(graphs[key](inputs, times))
            return final

        return replayed


class CompiledCudaGraphs:
    """CUDA graphs of compiled functions: fewer kernels, and none started by Python."""

    def __init__(self) -> None:
        self._compile = TorchCompile()
        self._graphs = CudaGraphs()

    def function(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, compiled and then replayed."""
        return self._graphs.function(self._compile.function(function))

    def loop(
        self, step: Callable[[State, State], State], times: int
    ) -> Callable[[State, State], State]:
        """The loop: its step is compiled, captured and then replayed."""
        return self._graphs.loop(self._compile.function(step), times)


class CapturedFunction:
    """A function captured as a CUDA graph on copies of its inputs.

    Args:
        function: function of tensors that returns a tensor or a tuple of tensors.
        inputs: tensors of the shapes and types that every later call has.
    """

    def __init__(self, function: Callable[..., Any], inputs: State) -> None:
        import torch

        self._inputs = tuple(tensor.detach().clone() for tensor in inputs)

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARMUP):
                function(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)

        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = function(*self._inputs)

    def __call__(self, inputs: State, times: int) -> Any:
        """The output after `times` replays; the next call overwrites it."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        for _ in range(times):
            self._graph.replay()

        return self._output


def _in_place(step: Callable[[State, State], State], size: int) -> Callable[..., State]:
    """The step of a loop as a function that overwrites its state, the first `size` tensors."""

    def overwriting(*tensors: Tensor) -> State:
        state = tensors[:size]
        values = step(state, tensors[size:])

        # A step may return one of its inputs at another position of the state. Such a value is
        # copied first, since overwriting the state would change it.
        own = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        values = tuple(
            value.clone() if value.untyped_storage().data_ptr() in own else value
            for value in values
        )
        for tensor, value in zip(state, values, strict=True):
            tensor.copy_(value)

        return state

    return overwriting


def _signature(inputs: State) -> tuple[Any, ...]:
    """Shapes and types of the inputs, for which a capture is valid."""
    return tuple((tensor.shape, tensor.dtype) for tensor in inputs)


def _copied(output: Any) -> Any:
    return (
        tuple(tensor.clone() for tensor in output) if isinstance(output, tuple) else output.clone()
    )
