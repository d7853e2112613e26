"""Seeds of torch's random generators for a block of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bench.store.keys import derived_seed


@contextmanager
def seeded(device: torch.device, *parts: object) -> Iterator[None]:
    """Seed torch's generators (of the CPU and the device) for the block, then restore them.

    Args:
        device: device that the block runs on.
        parts: keys, numbers and names that the seed is derived from.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derived_seed(*parts))
        yield
