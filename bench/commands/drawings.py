"""What a command draws beside the tables of a run: its figures and its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from rich.console import Console

from bench.commands.display import Display
from bench.errors import RequestError
from bench.progress import say
from bench.records.folder import RunFolder
from bench.report import Report, write_figures, write_page
from bench.report.figure_styles import SCREEN, FigureStyle, styles_of
from bench.report.page.source import Reference


@dataclass(frozen=True)
class Drawings:
    """The figures and the page that a command makes; by default those for the screen.

    Attributes:
        styles: styles of the figures; empty for no figures.
        page: whether the page is written.
    """

    styles: tuple[FigureStyle, ...] = (SCREEN,)
    page: bool = True

    @classmethod
    def of(cls, *, plots: bool, page: bool, style: str = SCREEN.name) -> Self:
        """The drawings that options ask for.

        Args:
            plots: whether figures are drawn.
            page: whether the page is written.
            style: style of the figures, see `bench.report.figure_styles.styles_of`.

        Raises:
            RequestError: there is no such style, or one is given although no figure is drawn.
        """
        styles = styles_of(style)
        if not plots and style != SCREEN.name:
            raise RequestError(f"--style {style} draws figures: leave out --no-plots")

        return cls(styles if plots else (), page)

    def draw(
        self, run: RunFolder, report: Report, display: Display, reference: Reference | None = None
    ) -> None:
        """Draw the figures, write the page, and say where everything is.

        Args:
            run: folder of the run.
            report: frames of the run, whose tables are written.
            display: what is shown.
            reference: another run, which the page shows this one beside; None for none.

        Raises:
            StorageError: a file could not be written.
        """
        messages = Console(stderr=True, quiet=display.quiet)
        write_figures(run, report, self.styles, display.progress(messages))
        plots = f" and plots are in {run.path}/tables and {run.path}/plots"
        say(messages, f"Tables{plots}" if self.styles else f"Tables are in {run.path}/tables")

        if self.page:
            say(messages, f"The page is {write_page(run, report, reference)}")


DRAW_ALL = Drawings()
"""The default: figures for the screen, and the page."""
