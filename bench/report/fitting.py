"""Fitting: every text of a figure inside the figure, and apart from its neighbors.

Matplotlib lays out axes, but lets a long title run over the edge and the labels of ticks over each
other. Here texts are measured as they are drawn, then broken, thinned out or given more room.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.axis import Axis, Tick
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter
from matplotlib.transforms import Bbox

MOST_INCHES = 40.0
"""Width and height in inches at which a figure is cut."""

_ROUNDS = 6
"""Largest number of times that a figure is laid out."""

_LEAST_CHARACTERS = 8
"""Number of characters below which no line is broken."""

_TICK_CHARACTERS = 5.0
"""Characters in a line of a tick's label for each inch of the figure's width."""

_SIDE_LABEL = 0.35
"""Largest share of the figure's width that a label left of the axes takes."""

_EDGE = 0.04
"""Inches between a text and the edge of its figure."""

_APART = 1.03
"""Ratio by which a figure grows beyond what its texts need."""

_BETWEEN_PARAMETERS = re.compile(r"[:,](?=[^\s\d])")
_SEAM = "\ue001"
"""Character of private use after which a spec may be broken."""

_DOLLAR = "\ue000"
"""Character of private use that stands for an escaped dollar, which is not to be broken."""


def fit(figure: Figure, *, fixed_width: bool = False) -> None:
    """Lay out a figure so that no text leaves it and no two labels of an axis meet.

    Afterwards the layout is fixed. A figure that would need more than `MOST_INCHES` is cut.

    Args:
        figure: figure whose texts are escaped.
        fixed_width: whether the figure may become higher only.
    """
    bound_size(figure)
    figure.draw_without_rendering()
    for legend in figure.legends:
        _fit_legend(figure, legend)

    for _ in range(_ROUNDS):
        figure.draw_without_rendering()
        steps = (_break_texts(figure), _part_ticks(figure, fixed_width), _grow(figure, fixed_width))
        if not any(steps):
            break
    else:
        figure.draw_without_rendering()

    figure.set_layout_engine("none")  # a second layout would differ between the formats


def bound_size(figure: Figure) -> None:
    """Cut a figure to `MOST_INCHES`."""
    width, height = figure.get_size_inches()
    figure.set_size_inches(min(width, MOST_INCHES), min(height, MOST_INCHES))


def shown_texts(figure: Figure) -> list[Text]:
    """The texts of a figure that are drawn, those of ticks within the axes' limits among them."""
    axes_shown = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    ticks = [tick for axis in axes_shown for tick in _all_ticks(axis)]
    hidden = {id(label) for tick in ticks for label in (tick.label1, tick.label2)}
    for axes in figure.axes:
        if axes.axison:
            hidden -= {id(label) for label in (*tick_labels(axes.xaxis), *tick_labels(axes.yaxis))}

    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden
    ]


def tick_labels(axis: Axis) -> list[Text]:
    """The labels of the ticks of an axis that are drawn, in their order."""
    low, high = sorted(axis.get_view_interval())
    ticks = axis.get_major_ticks()
    places = axis.get_majorticklocs()

    return [
        tick.label1
        for tick, place in zip(ticks, places, strict=False)
        if tick.label1.get_visible() and tick.label1.get_text() and low <= place <= high
    ]


def tick_characters(width: float) -> int:
    """The number of characters at which the label of a tick is broken in a figure so wide."""
    return max(_LEAST_CHARACTERS, int(_TICK_CHARACTERS * width))


def broken(text: str, characters: int) -> str:
    """An escaped text with line breaks, between words or parameters where there are any."""
    marked = _BETWEEN_PARAMETERS.sub(f"\\g<0>{_SEAM} ", text.replace(r"\$", _DOLLAR))
    width = max(_LEAST_CHARACTERS, characters)
    parts = [textwrap.fill(line, width, break_on_hyphens=False) for line in marked.split("\n")]

    lines = "\n".join(parts).replace(f"{_SEAM} ", "").replace(_SEAM, "")
    return lines.replace(_DOLLAR, r"\$")


def _all_ticks(axis: Axis) -> list[Tick]:
    return [*axis.get_major_ticks(), *axis.get_minor_ticks()]


def _fit_legend(figure: Figure, legend: Legend) -> None:
    """Break the long names of a legend, and give the figure its height beside that of the axes."""
    room = figure.bbox.width - 2 * _EDGE * figure.dpi
    for text in legend.get_texts():
        _break(text, room - 4 * float(text.get_fontsize()) / 72 * figure.dpi)
    height = legend.get_window_extent().height / figure.dpi
    figure.set_figheight(min(figure.get_figheight() + height, MOST_INCHES))


def _break_texts(figure: Figure) -> bool:
    """Break titles and labels that are longer than their place; whether any was."""
    changed = [_break(text, room) for text, room in _places(figure)]

    return any(changed)


def _places(figure: Figure) -> Iterator[tuple[Text, float]]:
    """The titles and labels of a figure, each with the length in pixels that it may have."""
    width = figure.bbox.width - 2 * _EDGE * figure.dpi
    above = figure._suptitle  # type: ignore[attr-defined]
    if above is not None:
        yield above, width

    for axes in figure.axes:
        box = axes.get_window_extent()
        yield axes.title, box.width
        yield axes.xaxis.label, box.width
        label = axes.yaxis.label
        yield label, (box.height if label.get_rotation() else _SIDE_LABEL * width)


def _break(text: Text, room: float) -> bool:
    """Break a text that is longer than its room in pixels; whether it was."""
    box = text.get_window_extent()
    length = box.height if text.get_rotation() == 90 else box.width
    before = text.get_text()
    if not before.strip() or length <= room:
        return False

    longest = max(map(len, before.split("\n")))
    text.set_text(broken(before, int(longest * room / length)))
    return text.get_text() != before


def _part_ticks(figure: Figure, fixed_width: bool) -> bool:
    """Part the labels of each axis that meet; whether there were any.

    Of numbers every second one is left out. Names get more room.
    """
    changed = False
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not axes.axison or not meeting(tick_labels(axis)):
                continue
            changed |= _thin(axis) or _widen(figure, axes, axis, fixed_width)

    return changed


def meeting(labels: Sequence[Text]) -> bool:
    """Whether two neighbors among some labels meet."""
    boxes = [label.get_window_extent() for label in labels]

    return any(first.overlaps(second) for first, second in pairwise(boxes))


def _thin(axis: Axis) -> bool:
    """Leave out every second of the numbers at fixed ticks; whether these are numbers."""
    locator = axis.get_major_locator()
    texts = [tick.label1.get_text() for tick in axis.get_major_ticks()]
    if not isinstance(locator, FixedLocator) or not all(map(_is_number, texts)):
        return False

    places = list(axis.get_majorticklocs())
    axis.set_ticks(places[::2], labels=texts[: len(places) : 2])
    return True


def _widen(figure: Figure, axes: Axes, axis: Axis, fixed_width: bool) -> bool:
    """Give the names at an axis more room, or stand them upright; whether that was possible."""
    labels = tick_labels(axis)
    if axis is axes.yaxis:
        return _grow_by(figure, 0.0, figure.get_figheight() * 0.25)
    if fixed_width or figure.get_figwidth() >= MOST_INCHES / 2:
        upright = [label for label in labels if label.get_rotation() != 90]
        axis.set_tick_params(rotation=90)
        return bool(upright)

    return _grow_by(figure, figure.get_figwidth() * 0.2, 0.0)


def _grow(figure: Figure, fixed_width: bool) -> bool:
    """Make a figure larger where a text leaves it; whether it did."""
    boxes = [text.get_window_extent() for text in shown_texts(figure)]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    if not boxes:
        return False

    edge = _EDGE * figure.dpi
    around = Bbox.union([figure.bbox, *boxes])
    wider = max(0.0, around.width - figure.bbox.width) / figure.dpi
    higher = max(0.0, around.height - figure.bbox.height) / figure.dpi
    if max(wider, higher) * figure.dpi < edge / 4:
        return False

    return _grow_by(figure, 0.0 if fixed_width else _APART * wider, _APART * higher)


def _grow_by(figure: Figure, width: float, height: float) -> bool:
    """Add inches to a figure; whether there was room for more."""
    before = tuple(figure.get_size_inches())
    figure.set_size_inches(before[0] + width, before[1] + height)
    bound_size(figure)

    return tuple(figure.get_size_inches()) != before


def _is_number(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return False
    return True


def breaking(formatter: FuncFormatter, characters: int) -> FuncFormatter:
    """A formatter with the texts of another one, broken."""
    return FuncFormatter(lambda value, position: broken(formatter(value, position), characters))
