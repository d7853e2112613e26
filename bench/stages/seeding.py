"""Seeds and states of the global random generators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from bench.store.keys import derived_seed

_WORD = 2**32
"""Number of values of each of the words that NumPy's generator is seeded with."""


@dataclass(frozen=True)
class TorchState:
    """The state of torch's generators, of the CPU and of a device.

    Attributes:
        device: the device.
        cpu: state of the generator of the CPU.
        cuda: state of the generator of a CUDA device; None for another one.
    """

    device: torch.device
    cpu: torch.Tensor
    cuda: torch.Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> Self:
        """The present state."""
        is_cuda = device.type == "cuda" and torch.cuda.is_initialized()
        cuda = torch.cuda.get_rng_state(device) if is_cuda else None
        return cls(device, torch.get_rng_state(), cuda)

    def restore(self) -> None:
        """Let the generators go on from this state."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)


@contextmanager
def seeded(device: torch.device, *parts: object) -> Iterator[None]:
    """Seed the generators of torch, NumPy and `random` for the block, then restore them.

    Of torch, the generators of the CPU and the device; of NumPy and `random`, the global ones.

    Args:
        device: device that the block runs on.
        parts: keys, numbers and names that the seed is derived from.
    """
    seed = derived_seed(*parts)
    devices = [device] if device.type == "cuda" else []

    with torch.random.fork_rng(devices=devices), _kept_host_generators():
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(divmod(seed, _WORD))
        yield


@contextmanager
def _kept_host_generators() -> Iterator[None]:
    """Restore the global generators of NumPy and `random` after the block."""
    state = random.getstate()
    numpy_state = np.random.get_state()
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)
