"""The images of a page: as many of those that a run keeps as the page has room for."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bench.analysis.outcomes import EvaluatedCell
from bench.report.pictures.sheets import sheet_of
from bench.report.pictures.strips import Strip, adversarial, original, perturbation, purified

MOST_BYTES = 2_500_000
"""Size in bytes at which the images of a page are cut, with what the page says of each."""

_BYTES_OF_AN_ENTRY = 250
"""Size in bytes of what a page says of one image: its classes, its result and its attack."""

KINDS = ("original", "adversarial", "perturbation", "purified")
"""Kinds of images of a cell, in the order in which they are shown."""


@dataclass(frozen=True, eq=False)
class ShownCell:
    """A cell whose first images are shown.

    Attributes:
        cell: the cell.
        count: number of images shown.
        size: width and height of an image in pixels.
        scale: largest change of a pixel, which the perturbation shows in full color.
        sheets: place of the sheet of each of `KINDS` among those of the page.
    """

    cell: EvaluatedCell
    count: int
    size: tuple[int, int]
    scale: float
    sheets: dict[str, int]


@dataclass(frozen=True, eq=False)
class ImageChoice:
    """The images that a page shows.

    Attributes:
        cells: cells with images that are shown.
        sheets: addresses of the sheets, which hold the files themselves; cells share them.
        kept: number of cells with images, also those for which there is no room.
        most: largest number of images that the run keeps of a cell; 0 where it keeps none.
    """

    cells: tuple[ShownCell, ...]
    sheets: tuple[str, ...]
    kept: int
    most: int

    @classmethod
    def of(cls, cells: Sequence[EvaluatedCell], most_bytes: int = MOST_BYTES) -> ImageChoice:
        """All images of the cells, or the first of each, or those of the first cells.

        Args:
            cells: cells of a run, with or without images.
            most_bytes: size in bytes that all of them together do not exceed.
        """
        kept = [cell for cell in cells if cell.images is not None]
        count = max(map(_count, kept), default=0)
        choice = cls._of_first(kept, count, most_bytes)
        while len(choice.cells) < len(kept) and count > 1:
            count -= 1
            choice = cls._of_first(kept, count, most_bytes)

        return choice

    @classmethod
    def _of_first(cls, kept: Sequence[EvaluatedCell], count: int, most_bytes: float) -> ImageChoice:
        """The first images of each cell, until there is no room for a further cell."""
        places: dict[str, int] = {}
        shown: list[ShownCell] = []
        size = 0

        for cell in kept:
            strips = dict(zip(KINDS, _strips(cell, count), strict=True))
            addresses = {kind: _address(strip) for kind, strip in strips.items()}
            size += sum(len(new) for new in set(addresses.values()) - places.keys())
            size += _BYTES_OF_AN_ENTRY * min(count, _count(cell))
            if size > most_bytes:
                break
            for address in addresses.values():
                places.setdefault(address, len(places))
            sheets = {kind: places[address] for kind, address in addresses.items()}
            shown.append(_shown(cell, strips, sheets))

        most = max(map(_count, kept), default=0)
        return cls(tuple(shown), tuple(places), len(kept), most)


def _shown(cell: EvaluatedCell, strips: dict[str, Strip], sheets: dict[str, int]) -> ShownCell:
    images = strips["original"].images
    height, width = images.shape[-2:]

    return ShownCell(cell, len(images), (width, height), strips["perturbation"].scale[1], sheets)


def _strips(cell: EvaluatedCell, count: int) -> Iterator[Strip]:
    """The first images of each kind."""
    whole = (original(cell), adversarial(cell, ""), perturbation(cell), purified(cell, ""))

    return (replace(strip, images=strip.images[:count]) for strip in whole)


def _count(cell: EvaluatedCell) -> int:
    """The number of images that the run keeps of a cell."""
    return 0 if cell.images is None else len(cell.images.clean)


def _address(strip: Strip) -> str:
    """The address of a sheet, which holds its file."""
    return "data:image/png;base64," + base64.b64encode(sheet_of(strip)).decode("ascii")
