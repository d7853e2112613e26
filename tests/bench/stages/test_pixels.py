"""Images as they are stored: bytes and numbers, parts, and digests."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.stages.pixels import Pixels, Split

BYTES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2500, 1, 2, 3), np.uint8))
NUMBERS = torch.from_numpy((BYTES.numpy() / np.float32(255)).astype(np.float32))


def test_all_bytes_become_the_quotients_of_float32() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    expected = np.arange(256, dtype=np.float32) / np.float32(255)
    assert np.array_equal(Pixels(every).first(1).flatten().numpy(), expected)


@pytest.mark.parametrize("stored", [BYTES, NUMBERS], ids=["bytes", "numbers"])
@settings(max_examples=30)
@given(order=st.lists(st.integers(0, 2499), min_size=1, max_size=9), data=st.data())
def test_positions_are_those_of_the_order(
    stored: Tensor, order: list[int], data: st.DataObject
) -> None:
    index = data.draw(st.lists(st.integers(0, len(order) - 1), min_size=1, max_size=5))
    chosen = Pixels(stored).chosen(torch.tensor(order))
    assert len(chosen) == len(order)
    expected = NUMBERS[torch.tensor(order)][torch.tensor(index)]
    assert torch.equal(chosen.at(torch.tensor(index)), expected)
    assert torch.equal(chosen.chosen(torch.tensor(index)).first(99), expected)


def test_bytes_and_numbers_have_one_digest() -> None:
    labels = torch.arange(2500)
    splits = [
        Split(Pixels(BYTES), labels),
        Split.of(NUMBERS, labels),
        Split(Pixels(BYTES.flip(0)), labels.flip(0)).chosen(torch.arange(2499, -1, -1)),
        Split(Pixels(BYTES.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)), labels),
    ]
    assert len({split.digest for split in splits}) == 1
    others = [
        Split(Pixels(BYTES), labels.flip(0)),
        Split(Pixels(BYTES.flip(0)), labels),
        Split(Pixels(BYTES.view(2500, 1, 3, 2)), labels),
        splits[0].chosen(torch.arange(2499)),
    ]
    assert len({split.digest for split in (splits[0], *others)}) == 5


def test_the_memory_layout_of_a_batch_does_not_depend_on_that_of_the_file() -> None:
    last = torch.rand(4, 5, 6, 3).permute(0, 3, 1, 2)
    assert Pixels(last).first(2).is_contiguous()
