"""First images and changes of the Square attack (arXiv:1912.00049, sections 3.3 to 3.5)."""

from __future__ import annotations

import torch
from torch import Tensor

_TILES = 5
"""Number of tiles along the shorter side of the first images in L2."""

_LEAST_SIDE = 3
"""Least side of a square in L2, whose halves have opposite signs."""

_TINY = 1e-12


def first_stripes(images: Tensor, eps: float) -> Tensor:
    """The images (n, c, h, w) with vertical stripes of -eps or eps in each channel."""
    count, channels, _, width = images.shape
    return images + eps * _signs(images, (count, channels, 1, width))


def new_square(images: Tensor, perturbed: Tensor, side: int, eps: float) -> Tensor:
    """The perturbed images with a perturbation of -eps or eps of each channel in one square."""
    sign = _signs(images, (*images.shape[:2], 1, 1))
    inside = _inside(images, _corners(images, side), side)
    return torch.where(inside, images + eps * sign, perturbed)


def first_tiles(images: Tensor, eps: float) -> Tensor:
    """The images (n, c, h, w) with a perturbation of length eps in L2, made of a grid of tiles."""
    height, width = images.shape[-2:]
    side = max(1, min(height, width) // _TILES)
    delta = torch.zeros_like(images)
    for top in range(height % side // 2, height - side + 1, side):
        for left in range(width % side // 2, width - side + 1, side):
            tile = _tile(images, side) * _signs(images, (*images.shape[:2], 1, 1))
            delta[:, :, top : top + side, left : left + side] = tile

    return images + eps * delta / _length(delta, (1, 2, 3))


def new_tile(images: Tensor, perturbed: Tensor, side: int, eps: float) -> Tensor:
    """The perturbed images with one square reinforced by what another square and the budget leave.

    Algorithm 3 of the paper: a tile is added to the perturbation in a square, and the perturbation
    in another square moves there.
    """
    side = min(max(side, _LEAST_SIDE) | 1, *images.shape[-2:])
    delta = perturbed - images
    kept, emptied = _corners(images, side), _corners(images, side)
    in_kept, in_emptied = _inside(images, kept, side), _inside(images, emptied, side)

    unused = (eps**2 - delta.square().sum(dim=(1, 2, 3), keepdim=True)).clamp_min(0)
    moved = (delta * (in_kept | in_emptied)).square().sum(dim=(2, 3), keepdim=True)
    available = (moved + unused / images.shape[1]).sqrt()

    sign = _signs(images, (*images.shape[:2], 1, 1))
    place = _pixels(images, kept, side)
    old = delta[place]
    new = sign * _tile(images, side) + old / _length(old, (2, 3))
    delta = delta.masked_fill(in_emptied, 0.0)
    delta[place] = new / _length(new, (2, 3)) * available
    return images + delta


def tile(height: int, width: int, device: torch.device) -> Tensor:
    """A rectangle (height, width) whose values fall from its center in rings; equation 2."""
    half = height // 2
    rows = (torch.arange(height, device=device) - half).abs()[:, None]
    columns = (torch.arange(width, device=device) - width // 2).abs()[None, :]
    rings = torch.maximum(rows, columns)
    terms = 1.0 / torch.arange(1, half + 2, device=device).square()
    return terms.flip(0).cumsum(0).flip(0)[rings.clamp_max(half)]


def _tile(images: Tensor, side: int) -> Tensor:
    """Tiles (n, 1, side, side) of length 1: two rectangles of opposite sign, in two directions."""
    half = side // 2
    widths, device = (half, side - half), images.device
    first, second = (tile(side, width, device) for width in widths)
    square = torch.cat([first, -second], dim=1)
    square = (square / square.norm()).to(images)
    is_turned = _signs(images, (len(images), 1, 1, 1)) > 0
    return torch.where(is_turned, square.T, square)


def _signs(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Random numbers -1 and 1."""
    return torch.randint(0, 2, shape, device=images.device).to(images) * 2 - 1


def _corners(images: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The top rows and left columns (n, 1, 1, 1) of random squares."""
    top, left = (
        torch.randint(0, size - side + 1, (len(images), 1, 1, 1), device=images.device)
        for size in images.shape[-2:]
    )
    return top, left


def _inside(images: Tensor, corners: tuple[Tensor, Tensor], side: int) -> Tensor:
    """Whether a pixel lies in its image's square, (n, 1, h, w) bool."""
    top, left = corners
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device).view(-1, 1)
    columns = torch.arange(width, device=images.device).view(1, -1)
    return (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)


def _pixels(images: Tensor, corners: tuple[Tensor, Tensor], side: int) -> tuple[Tensor, ...]:
    """The index of the squares' pixels in a tensor of the images' shape: (n, c, side, side)."""
    count, channels = images.shape[:2]
    steps = torch.arange(side, device=images.device)
    return (
        torch.arange(count, device=images.device).view(-1, 1, 1, 1),
        torch.arange(channels, device=images.device).view(1, -1, 1, 1),
        corners[0] + steps.view(-1, 1),
        corners[1] + steps.view(1, -1),
    )


def _length(values: Tensor, dim: tuple[int, ...]) -> Tensor:
    return values.square().sum(dim=dim, keepdim=True).sqrt().clamp_min(_TINY)
