"""Strips: images of a cell side by side, the misclassified ones framed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bench.analysis.outcomes import EvaluatedCell
from bench.report.plotting import longest_line
from bench.text import one_line

_COLUMNS = 8
"""Largest number of images in a strip of a figure."""

_LONGEST_SIDE = 256
"""Number of pixels from which the sides of an image are drawn with every second pixel or fewer."""

_LONGEST_CAPTION = 14
"""Number of characters at which the name of a class in an image is cut."""

_CAPTION: dict[str, Any] = {
    "fontsize": 6,
    "color": "white",
    "ha": "center",
    "va": "bottom",
    "bbox": {"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 1},
}

_ASPECTS = (0.4, 2.5)
"""Least and largest height of a row over the width of a column; a label has two lines."""

_FRAME: dict[str, Any] = {"fill": False, "edgecolor": "#D55E00", "linewidth": 1.8}


@dataclass(frozen=True, eq=False)
class Strip:
    """Images side by side, with a label.

    Attributes:
        label: text beside the images.
        images: pixels, (n, channels, height, width).
        scale: values drawn in black and white, or in two colors where the scale reaches below zero.
        wrong: whether an image is misclassified, and therefore framed, (n,); None for unknown.
        captions: name of a class in each image, empty for none; () where classes have no names.
    """

    label: str
    images: NDArray[Any]
    scale: tuple[float, float] = (0.0, 1.0)
    wrong: NDArray[Any] | None = None
    captions: tuple[str, ...] = ()

    @property
    def aspect(self) -> float:
        """Height of an image over its width, within the bounds of a row of a figure."""
        height, width = self.images.shape[-2:]
        low, high = _ASPECTS

        return float(min(max(height / width, low), high))

    def only(self, index: int) -> Self:
        """The strip of a single image."""
        chosen = slice(index, index + 1)
        wrong = None if self.wrong is None else self.wrong[chosen]

        return replace(
            self, images=self.images[chosen], wrong=wrong, captions=self.captions[chosen]
        )


def original(cell: EvaluatedCell) -> Strip:
    """The clean images with their classes; framed are those that the bare classifier gets wrong."""
    wrong = np.atleast_2d(cell.outcome.clean_undefended)[0] != cell.labels
    captions = _names(cell, cell.labels)

    return Strip("original", _pixels(cell, "clean"), wrong=wrong, captions=captions)


def adversarial(cell: EvaluatedCell, label: str) -> Strip:
    """The adversarial images; framed are those that the bare classifier gets wrong.

    They bear the class that they are taken for.
    """
    predictions = np.atleast_2d(cell.outcome.adversarial_undefended)[0]
    wrong = predictions != cell.labels
    captions = _names(cell, predictions, wrong)

    return Strip(label, _pixels(cell, "adversarial"), wrong=wrong, captions=captions)


def purified(cell: EvaluatedCell, label: str) -> Strip:
    """The adversarial images after purification in the first draw, with its misclassifications."""
    predictions = cell.outcome.adversarial_defended[0]
    captions = _names(cell, predictions, predictions != cell.labels)

    return Strip(label, _pixels(cell, "purified"), wrong=~cell.right[0], captions=captions)


def perturbation(cell: EvaluatedCell) -> Strip:
    """The differences between the adversarial and the clean images."""
    difference = _pixels(cell, "adversarial") - _pixels(cell, "clean")
    largest = max(float(np.abs(difference).max()), 1e-6)

    return Strip(f"perturbation\n(colors: ±{largest:.2g})", difference, (-largest, largest))


def purifications(cells: Sequence[EvaluatedCell], attacked: Strip, label: str) -> Iterator[Strip]:
    """The purified images of each defense.

    Adversarial images that an attack made for a single defense come before its purified ones.

    Args:
        cells: cells of the same attack, one per defense.
        attacked: adversarial images that the figure already shows.
        label: label of a defense's images, with `{}` for its spec.
    """
    for cell in cells:
        defense = str(cell.record.labels["defense"])
        own = adversarial(cell, f"adversarial\nfor {defense}")
        if not np.array_equal(own.images, attacked.images):
            yield own
        yield purified(cell, label.format(defense))


def strips_figure(strips: Sequence[Strip], title: str) -> Figure:
    """A figure with a row for each strip."""
    columns = min(_COLUMNS, len(strips[0].images))
    longest = longest_line(*(strip.label for strip in strips))
    margin = max(1.8, 0.4 + 0.085 * longest)
    width = max(1.0 * columns + margin, title_width(title))
    height = 1.05 * strips[0].aspect * len(strips) + 0.4
    figure = Figure(figsize=(width, height), layout="compressed")

    for axes, strip in zip(np.atleast_1d(figure.subplots(len(strips), 1)), strips, strict=True):
        draw_strip(axes, strip, columns)
        axes.set_ylabel(strip.label, rotation=0, ha="right", va="center", fontsize=9)

    figure.suptitle(title, fontsize=10)
    return figure


def title_width(title: str) -> float:
    """The width of a title in inches."""
    return 0.3 + 0.085 * longest_line(title)


def draw_strip(axes: Axes, strip: Strip, columns: int) -> None:
    """Draw the first images of a strip, with a blank column between two.

    Images of three channels are drawn in color, others by the mean of their channels: in grey, or
    differences in two colors. The misclassified are framed.
    """
    images = strip.images[:columns]
    low, high = strip.scale
    padded = np.pad(images, [(0, 0), (0, 0), (0, 0), (0, 1)], constant_values=np.nan)
    joined = np.concatenate(list(padded), axis=2)[..., :-1]
    colored = np.moveaxis((np.nan_to_num(joined, nan=high) - low) / (high - low), 0, -1)
    pixels = colored if len(joined) == 3 else joined.mean(axis=0)

    colors = "gray" if low == 0 else "RdBu_r"
    axes.imshow(pixels, cmap=colors, vmin=low, vmax=high, interpolation="nearest")
    axes.set(xticks=[], yticks=[], frame_on=False)

    height, width = images.shape[-2:]
    wrong = () if strip.wrong is None else np.flatnonzero(strip.wrong[: len(images)])
    for index in wrong:
        corner = (index * (width + 1), 0)
        axes.add_patch(Rectangle(corner, width - 1, height - 1, **_FRAME))
    for place, caption in enumerate(strip.captions[: len(images)]):
        middle = place * (width + 1) + (width - 1) / 2
        axes.text(middle, height - 1, caption, **_CAPTION)


def _names(
    cell: EvaluatedCell, classes: NDArray[Any], shown: NDArray[Any] | None = None
) -> tuple[str, ...]:
    """The names of classes, (n,); empty where one is not shown, and () where there are none."""
    if not cell.class_names:
        return ()
    are_shown = np.ones(len(classes), bool) if shown is None else shown
    return tuple(
        one_line(cell.class_name(int(label)), _LONGEST_CAPTION) if is_shown else ""
        for label, is_shown in zip(classes, are_shown, strict=True)
    )


def _pixels(cell: EvaluatedCell, name: str) -> NDArray[Any]:
    """Stored images (n, channels, height, width) in [0, 1], of pixels that a figure can show."""
    images: NDArray[Any] = getattr(cell.images, name)
    step = -(-max(images.shape[-2:]) // _LONGEST_SIDE)  # rounded up

    return images[..., ::step, ::step].astype(np.float32) / 255
