"""Loops of steps that an attacker differentiates in the memory of one step."""

from __future__ import annotations

from collections.abc import Callable

from torch.utils.checkpoint import checkpoint

from bench.contracts import Eager, State


class Checkpointed(Eager):
    """Accelerator of an attacker's gradient: each step is computed again when it is passed.

    Only the states between the steps are kept (Chen et al. 2016, arXiv:1604.06174). A step must
    draw no random numbers.
    """

    def loop(
        self, step: Callable[[State, State], State], times: int
    ) -> Callable[[State, State], State]:
        """A Python loop over the step, whose graph is that of one step at a time."""

        def again(state: State, constants: State) -> State:
            result: State = checkpoint(
                step, state, constants, use_reentrant=False, preserve_rng_state=False
            )
            return result

        return super().loop(again, times)
