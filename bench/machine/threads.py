"""The number of processor threads of PyTorch.

Floating-point sums are split between threads, so that their last bits depend on the number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def thread_count(number: int | None) -> Iterator[None]:
    """Use a number of threads while the block runs.

    Args:
        number: number of threads; None for no change.
    """
    if number is None:
        yield
        return

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
