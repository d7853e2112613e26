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
from bench.report.figure_styles import figure_width, is_narrow, relative_size
from bench.report.naming import ShortNames
from bench.report.plotting import longest_line
from bench.text import one_line

_COLUMNS = 8
"""Largest number of images in a strip of a figure."""

_LONGEST_SIDE = 256
"""Number of pixels from which the sides of an image are drawn with every second pixel or fewer."""

_LONGEST_CAPTION = 14
"""Number of characters at which the name of a class in an image is cut."""

_CAPTION_SIZE = 0.8
"""Size of the name of a class below an image, as a share of that of all text."""

_CAPTION_HEIGHT = 0.19
"""Height of a line of such names in inches."""

_LEAST_IMAGE = 0.3
"""Width in inches of an image in a figure that is a column wide, however long its labels are."""

_MOST_ROWS = 8
"""Number of strips from which a figure has two columns of them, each of half as many images."""

_ASPECTS = (0.4, 2.5)
"""Least and largest height of a row over the width of a column; a label has two lines."""

_WRONG = "#D55E00"
"""Color of the frame and the class of an image that is misclassified."""

_FRAME: dict[str, Any] = {"fill": False, "edgecolor": _WRONG, "linewidth": 1.8}


@dataclass(frozen=True, eq=False)
class Strip:
    """Images side by side, with a label.

    Attributes:
        label: text beside the images.
        images: pixels, (n, channels, height, width).
        scale: values drawn in black and white, or in two colors where the scale reaches below zero.
        wrong: whether an image is misclassified, and therefore framed, (n,); None for unknown.
        captions: class below each image, the predicted one or that of the original; () for none.
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
    captions = _classes(cell, cell.labels)

    return Strip("original", _pixels(cell, "clean"), wrong=wrong, captions=captions)


def adversarial(cell: EvaluatedCell, label: str) -> Strip:
    """The adversarial images with the classes that the bare classifier takes them for."""
    predictions = np.atleast_2d(cell.outcome.adversarial_undefended)[0]
    wrong = predictions != cell.labels

    return _predicted(label, cell, "adversarial", predictions, wrong)


def purified(cell: EvaluatedCell, label: str) -> Strip:
    """The adversarial images after purification in the first draw, with its predictions."""
    predictions = cell.outcome.adversarial_defended[0]

    return _predicted(label, cell, "purified", predictions, ~cell.right[0])


def perturbation(cell: EvaluatedCell) -> Strip:
    """The differences between the adversarial and the clean images."""
    difference = _pixels(cell, "adversarial") - _pixels(cell, "clean")
    largest = max(float(np.abs(difference).max()), 1e-6)

    return Strip(f"perturbation\n(colors: ±{largest:.2g})", difference, (-largest, largest))


def purifications(
    cells: Sequence[EvaluatedCell], attacked: Strip, label: str, names: ShortNames
) -> Iterator[Strip]:
    """The purified images of each defense.

    Adversarial images that an attack made for a single defense come before its purified ones.

    Args:
        cells: cells of the same attack, one per defense.
        attacked: adversarial images that the figure already shows.
        label: label of a defense's images, with `{}` for its name.
        names: names of the defenses.
    """
    for cell in cells:
        defense = names[str(cell.record.labels["defense"])]
        own = adversarial(cell, f"adversarial\nfor {defense}")
        if not np.array_equal(own.images, attacked.images):
            yield own
        yield purified(cell, label.format(defense))


def strips_figure(strips: Sequence[Strip]) -> Figure:
    """A figure with a row for each strip, or, in a wide one of many strips, for two of them."""
    sides = 1 if len(strips) <= _MOST_ROWS or is_narrow() else 2
    rows = -(-len(strips) // sides)  # rounded up
    images = min(columns_of_images() // sides, len(strips[0].images))
    longest = longest_line(*(strip.label for strip in strips))
    margin = max(1.8, 0.4 + 0.085 * longest) if not is_narrow() else 0.2 + 0.07 * longest
    image = max(_LEAST_IMAGE, (figure_width() - margin) / images) if is_narrow() else 1.0
    captions = _CAPTION_HEIGHT if any(strip.captions for strip in strips) else 0.0
    height = (1.05 * image * strips[0].aspect + captions) * rows + 0.4
    figure = Figure(figsize=((images * image + margin) * sides, height), layout="compressed")
    grid = figure.subplots(rows, sides, squeeze=False).T.flatten()

    for axes, strip in zip(grid, strips, strict=False):
        draw_strip(axes, strip, images)
        axes.set_ylabel(strip.label, rotation=0, ha="right", va="center")
    for axes in grid[len(strips) :]:
        axes.remove()

    return figure


def columns_of_images() -> int:
    """The largest number of images in a row of a figure under the settings in force."""
    return _COLUMNS // 2 if is_narrow() else _COLUMNS


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
    flags = () if strip.wrong is None else strip.wrong[: len(images)].tolist()
    wrong = [index for index, is_wrong in enumerate(flags) if is_wrong]
    for index in wrong:
        corner = (index * (width + 1), 0)
        axes.add_patch(Rectangle(corner, width - 1, height - 1, **_FRAME))

    captions = strip.captions[: len(images)]
    middles = [place * (width + 1) + (width - 1) / 2 for place in range(len(captions))]
    size = relative_size(_CAPTION_SIZE)
    axes.set_xticks(middles, captions, fontsize=size)
    axes.tick_params(axis="x", length=0, pad=1.5)
    for index, label in enumerate(axes.get_xticklabels()):
        label.set_color(_WRONG if index in wrong else "black")


def _predicted(
    label: str, cell: EvaluatedCell, images: str, predictions: NDArray[Any], wrong: NDArray[Any]
) -> Strip:
    """The stored images of a name with their predictions (n,), of which some are wrong (n,)."""
    captions = _classes(cell, predictions)

    return Strip(label, _pixels(cell, images), wrong=wrong, captions=captions)


def _classes(cell: EvaluatedCell, classes: NDArray[Any]) -> tuple[str, ...]:
    """The names of classes (n,), or their numbers where a data set has no names."""
    return tuple(one_line(cell.class_name(int(label)), _LONGEST_CAPTION) for label in classes)


def _pixels(cell: EvaluatedCell, name: str) -> NDArray[Any]:
    """Stored images (n, channels, height, width) in [0, 1], of pixels that a figure can show."""
    images: NDArray[Any] = getattr(cell.images, name)
    step = -(-max(images.shape[-2:]) // _LONGEST_SIDE)  # rounded up

    return images[..., ::step, ::step].astype(np.float32) / 255
