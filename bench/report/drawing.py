"""Drawing: figures as PNG and SVG files, under matplotlib's default settings.

Names in a figure may come from a stranger. They are drawn as they are, in a figure of bounded size.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

from bench.report.escapes import figure_text
from bench.report.writers import NamedFigure
from bench.store.tree import Tree, file_stem

MOST_INCHES = 40.0
"""Width and height in inches at which a figure is cut."""

_DPI = 150


def save_figures(tree: Tree, figures: Iterable[NamedFigure]) -> None:
    """Draw figures and save them into `plots`; the same figure gives the same bytes.

    The settings of a notebook that calls this are as before when it returns.
    """
    with _default_settings():
        for named in figures:
            save_figure(tree, named)


def save_figure(tree: Tree, named: NamedFigure) -> None:
    """Save a figure as PNG and SVG."""
    stem = file_stem(named.name)
    tree.write_bytes("plots", f"{stem}.png", data=_png(named.figure))

    svg = io.BytesIO()
    canvas = FigureCanvasSVG(named.figure)
    canvas.print_svg(svg, metadata={"Date": None})  # type: ignore[no-untyped-call]
    tree.write_bytes("plots", f"{stem}.svg", data=svg.getvalue())


def drawn(figures: Iterable[NamedFigure]) -> Iterator[bytes]:
    """Draw figures as PNG, for a notebook; its settings are as before when this ends."""
    with _default_settings():
        for named in figures:
            yield _png(named.figure)


def _png(figure: Figure) -> bytes:
    """A figure laid out and drawn as PNG; afterwards it has a fixed layout."""
    _bound_size(figure)
    _escape_text(figure)
    png = io.BytesIO()

    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(_DPI)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # a second layout would differ between the formats
    canvas.print_png(png, metadata={"Software": None})  # type: ignore[no-untyped-call]

    return png.getvalue()


@contextmanager
def _default_settings() -> Iterator[None]:
    """Matplotlib's defaults while the block runs, and no warnings of missing glyphs or space."""
    settings = {**mpl.rcParamsDefault, "svg.hashsalt": "purification-bench"}

    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph|.*layout not applied", UserWarning)
        yield


def _bound_size(figure: Figure) -> None:
    width, height = figure.get_size_inches()
    figure.set_size_inches(min(width, MOST_INCHES), min(height, MOST_INCHES))


def _escape_text(figure: Figure) -> None:
    """Escape every text; the axes write those of their ticks later, with a formatter.

    Matplotlib's own formatters of numbers stay, since they write powers as math.
    """
    for text in figure.findobj(Text):
        text.set_text(figure_text(text.get_text()))

    for axis in figure.findobj(Axis):
        formatter = axis.get_major_formatter()
        if isinstance(formatter, FuncFormatter):
            axis.set_major_formatter(_escaping(formatter))


def _escaping(formatter: FuncFormatter) -> FuncFormatter:
    """A formatter with the texts of another one, escaped."""
    return FuncFormatter(lambda value, position: figure_text(formatter(value, position)))
