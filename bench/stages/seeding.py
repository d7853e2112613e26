"""Seeding torch for a block of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bench.store.keys import derived_seed


@contextmanager
def seeded(device: torch.device, *parts: object) -> Iterator[None]:
    """Seed torch's generators (CPU and the device's) for the block, and put them back after it."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derived_seed(*parts))
        yield
