"""Seeds of the global random generators for a block of work."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from bench.store.keys import derived_seed

_WORD = 2**32
"""Number of values of each of the words that NumPy's generator is seeded with."""


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
