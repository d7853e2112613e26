"""Random resizing and padding, image by image."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from bench.contracts import DataInfo
from defenses.resize_pad import ResizePad


def purified(images: Tensor, least: float = 299 / 331, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    info = DataInfo(tuple(images.shape[1:]), 10)  # type: ignore[arg-type]
    output: Tensor = ResizePad(least=least).build(info)(images)
    return output


def plain(images: Tensor, least: float, seed: int) -> Tensor:
    """Each image is resized to its size and padded on each side."""
    torch.manual_seed(seed)
    draws = torch.rand(3, len(images), 1).tolist()
    ground = images.shape[2:]
    padded = []
    for index, image in enumerate(images[:, None]):
        smallest = [max(1, min(round(least * side), side - 1)) for side in ground]
        size = [
            low + math.floor(draws[0][index][0] * max(1, side - low))
            for low, side in zip(smallest, ground, strict=True)
        ]
        free = [side - taken for side, taken in zip(ground, size, strict=True)]
        top, left = (math.floor(draws[1 + axis][index][0] * (free[axis] + 1)) for axis in (0, 1))
        rows, columns = (
            [at * side // taken for at in range(taken)]
            for side, taken in zip(ground, size, strict=True)
        )
        resized = image[:, :, rows][:, :, :, columns]
        padded.append(pad(resized, (left, free[1] - left, top, free[0] - top)))
    return torch.cat(padded)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 17, 40), (1, 5, 4), (1, 1, 2)])
@pytest.mark.parametrize("least", [0.0, 0.5, 299 / 331, 1.0])
def test_each_image_is_resized_and_padded(shape: tuple[int, int, int], least: float) -> None:
    images = torch.rand(40, *shape)
    assert torch.equal(purified(images, least, seed=3), plain(images, least, seed=3))


def test_sizes_are_from_the_least_to_one_pixel_less_and_all_places_occur() -> None:
    output = purified(torch.ones(2000, 1, 28, 28))
    rows = output.amax(dim=(1, 3))
    sizes, tops = rows.sum(dim=1), rows.argmax(dim=1)
    assert sizes.unique().tolist() == [25, 26, 27]
    assert tops[sizes == 25].unique().tolist() == [0, 1, 2, 3]
    assert float((sizes == 25).float().mean()) == pytest.approx(1 / 3, abs=0.05)
    # The size is one of both sides, the place is not.
    columns = output.amax(dim=(1, 2))
    assert torch.equal(columns.sum(dim=1), sizes)
    assert not torch.equal(columns.argmax(dim=1), tops)
