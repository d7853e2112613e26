"""Drawing: figures as files, under settings of their own.

Names in a figure may come from a stranger. They are drawn as they are, in a figure of bounded size.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

from bench.report.escapes import figure_text
from bench.report.figure_styles import SCREEN, FigureStyle
from bench.report.fitting import breaking, fit, tick_characters
from bench.report.writers import NamedFigure
from bench.store.tree import Tree, file_stem

_DPI = 150


def save_figures(tree: Tree, figures: Iterable[NamedFigure], style: FigureStyle = SCREEN) -> None:
    """Draw figures and save them into `plots`; the same figure gives the same bytes.

    The settings of a notebook that calls this are as before when it returns.

    Args:
        tree: folder of the run.
        figures: figures, made under the settings of the style if they come from a generator.
        style: style of the figures, and the format of their files.
    """
    with _settings(style):
        for named in figures:
            name = f"{file_stem(named.name)}.{style.ending}"
            tree.write_bytes("plots", name, data=_file(named.figure, style))


def drawn(figures: Iterable[NamedFigure]) -> Iterator[bytes]:
    """Draw figures as PNG, for a notebook; its settings are as before when this ends."""
    with _settings(SCREEN):
        for named in figures:
            yield _file(named.figure, SCREEN)


def _file(figure: Figure, style: FigureStyle) -> bytes:
    """A figure laid out and drawn as a file of the style; afterwards it has a fixed layout."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(_DPI)
    if not style.titled:
        figure.suptitle("")
    if style.width is not None:
        figure.set_figwidth(style.width)
    _escape_text(figure)
    fit(figure, fixed_width=style.width is not None)

    data = io.BytesIO()
    if style.ending == "pdf":
        undated = {"CreationDate": None, "Producer": None, "Creator": None}
        FigureCanvasPdf(figure).print_pdf(data, metadata=undated)  # type: ignore[no-untyped-call]
    else:
        canvas.print_png(data, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return data.getvalue()


@contextmanager
def _settings(style: FigureStyle) -> Iterator[None]:
    """The settings of a style while the block runs, and no warnings of glyphs or space."""
    settings: dict[Any, Any] = {**mpl.rcParamsDefault, **style.settings}

    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph|.*layout not applied", UserWarning)
        yield


def _escape_text(figure: Figure) -> None:
    """Escape every text; the axes write those of their ticks later, with a formatter.

    Matplotlib's own formatters of numbers stay, since they write powers as math.
    """
    for text in figure.findobj(Text):
        text.set_text(figure_text(text.get_text()))

    characters = tick_characters(figure.get_figwidth())
    for axis in figure.findobj(Axis):
        formatter = axis.get_major_formatter()
        if isinstance(formatter, FuncFormatter):
            axis.set_major_formatter(breaking(_escaping(formatter), characters))


def _escaping(formatter: FuncFormatter) -> FuncFormatter:
    """A formatter with the texts of another one, escaped."""
    return FuncFormatter(lambda value, position: figure_text(formatter(value, position)))
