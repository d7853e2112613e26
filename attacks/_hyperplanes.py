"""The shortest way from points of the unit box onto hyperplanes within the box."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks._queries import scaled
from bench.contracts import Norm

_TINY = 1e-12

_FAR = 1e9
"""A difference that no change in the box makes, once the normal is scaled to entries up to 1."""


def to_hyperplane(points: Tensor, normals: Tensor, gaps: Tensor, norm: Norm) -> Tensor:
    """The shortest changes d with <normal, d> = gap that keep points + d within [0, 1].

    Where no change in the box is large enough, each coordinate goes as far as it can.

    Croce and Hein 2020 (arXiv:1907.02044), section 2.2; solved by sorting the coordinates.

    Args:
        points: points (n, d) in [0, 1].
        normals: normals (n, d) of the hyperplanes; one of zero gives no change.
        gaps: differences (n,) that the changes have to make.
        norm: norm of the changes that is minimized: `linf`, `l2` or `l1`.

    Returns:
        changes (n, d).
    """
    # The normal is scaled first, because the square of a gradient of 1e-30 underflows.
    steep = scaled(torch.where((gaps < 0)[:, None], -normals, normals))
    peak = normals.abs().amax(dim=1) / steep.abs().amax(dim=1).clamp_min(_TINY)
    wanted = torch.where(peak > 0, gaps.abs() / peak, 0.0).clamp_max(_FAR)

    slopes = steep.abs()
    room = torch.where(steep > 0, 1 - points, points) * (slopes > 0)
    lengths = _filled(slopes, room, wanted) if norm == "l1" else _raised(slopes, room, wanted, norm)
    return lengths * steep.sign()


def _filled(slopes: Tensor, room: Tensor, wanted: Tensor) -> Tensor:
    """Changes that use up the steepest coordinates first, (n, d)."""
    order = slopes.argsort(dim=1, descending=True)
    steep, free = slopes.gather(1, order), room.gather(1, order)
    gains = steep * free
    before = gains.cumsum(dim=1) - gains
    used = torch.minimum((wanted[:, None] - before).clamp_min(0) / steep.clamp_min(_TINY), free)
    return torch.zeros_like(slopes).scatter(1, order, used)


def _raised(slopes: Tensor, room: Tensor, wanted: Tensor, norm: Norm) -> Tensor:
    """Changes min(level * rate, room) at the level where they make the wanted difference, (n, d).

    The rate is 1 in L-infinity, and the slope in L2. The difference is piecewise linear in the
    level; the pieces end where a coordinate has used up its room.
    """
    rates = (slopes > 0).to(slopes) if norm == "linf" else slopes
    ends = torch.where(rates > 0, room / rates.clamp_min(_TINY), 0.0)
    ordered, order = ends.sort(dim=1)
    gains = (slopes * rates).gather(1, order)
    full = (slopes * room).gather(1, order)

    left = gains.flip(1).cumsum(1).flip(1)  # of the coordinates that are not used up before
    before = full.cumsum(dim=1) - full
    reached = before + ordered * left  # the difference at the end of each piece
    piece = (reached < wanted[:, None]).sum(dim=1, keepdim=True).clamp_max(slopes.shape[1] - 1)
    missing = wanted[:, None] - before.gather(1, piece)
    level = missing / left.gather(1, piece).clamp_min(_TINY)
    return torch.minimum(level.clamp_min(0) * rates, room)
