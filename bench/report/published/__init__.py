"""A run beside published numbers: frames, tables, figures and pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from bench.report.drawing import save_figures
from bench.report.figure_styles import SCREEN, FigureStyle
from bench.report.published.comparison import PublishedComparison
from bench.report.published.figures import published_figures
from bench.report.published.tables import published_tables
from bench.report.terminal import print_named_table
from bench.report.writers import write_all
from bench.store.tree import Tree

__all__ = ["PublishedComparison", "print_published", "write_published"]


def write_published(
    run: Path, comparison: PublishedComparison, styles: Iterable[FigureStyle] = (SCREEN,)
) -> None:
    """Write tables and figures into the run's folder, beside those of the run itself.

    Args:
        run: folder of the run.
        comparison: run beside published figures.
        styles: styles in which the figures are drawn; empty for no figures.
    """
    tree = Tree(run)
    frames = comparison.frames().items()
    named = {f"against_{comparison.name}_{name}": frame for name, frame in frames}
    write_all(tree, named, published_tables(comparison), comparison.report.names)
    for style in styles:
        save_figures(tree, published_figures(comparison), style)


def print_published(console: Console, comparison: PublishedComparison) -> None:
    """Print the tables for people."""
    for table in published_tables(comparison):
        print_named_table(console, table)
