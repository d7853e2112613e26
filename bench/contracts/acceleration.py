"""Acceleration: how an engine makes the functions of a module faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

State: TypeAlias = "tuple[Tensor, ...]"
"""Tensors that one step of a loop hands to the next, see `Accelerator.loop`."""


class Accelerator(Protocol):
    """Service of an engine that makes the functions of a module faster without changing results.

    A function handed to it takes and returns tensors, of the same shapes, types and device at every
    call. The function must not make the host wait for the device, branch on values of tensors, or
    return tensors that someone differentiates.
    """

    def function(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, compiled or captured."""

    def loop(
        self, step: Callable[[State, State], State], times: int
    ) -> Callable[[State, State], State]:
        """A function of (state, constants) that repeats `state = step(state, constants)`.

        Args:
            step: one step, from state and constants to the next state.
            times: number of steps.
        """


class Eager:
    """Accelerator that changes nothing: plain PyTorch."""

    def function(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function unchanged."""
        return function

    def loop(
        self, step: Callable[[State, State], State], times: int
    ) -> Callable[[State, State], State]:
        """A Python loop over the step."""

        def repeated(state: State, constants: State) -> State:
            for _ in range(times):
                state = step(state, constants)
            return state

        return repeated
