"""`bench board`: a ranking of the defenses of several runs, published figures beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.errors import RequestError
from bench.progress import say
from bench.records.folder import RunFolder
from bench.report.board.board import Board
from bench.report.board.entered import EnteredRun
from bench.report.board.page import FILE, write_board_page
from bench.report.board.tables import board_tables
from bench.report.published.publication import read_published
from bench.report.terminal import print_named_table, table_console
from bench.report.writers import write_all
from bench.store.packaged import published_names
from bench.store.tree import Tree

DEFAULT_FOLDER = Path("results") / "board"


def board(paths: Sequence[Path], folder: Path | None, html: bool) -> None:
    """Print the board of some runs, and write its files.

    Args:
        paths: folders of the runs.
        folder: folder to write to; None for `DEFAULT_FOLDER`.
        html: whether the page is written too.

    Raises:
        RequestError: a path is not the folder of a run, is there twice, a raw file is damaged, or
            no run has a cell.
        StorageError: a file could not be written.
    """
    names = _names(paths)
    runs = [
        EnteredRun.read(name, RunFolder.open(path)) for name, path in zip(names, paths, strict=True)
    ]
    publications = [read_published(name)[1] for name in published_names()]
    made = Board.of(runs, publications)
    if not made.tables:
        raise RequestError(f"no worst case in {', '.join(names)}: no cell is ok")

    tree = Tree(DEFAULT_FOLDER if folder is None else folder)
    output = table_console()
    tables = list(board_tables(made))
    write_all(tree, {"board": made.frame}, tables)
    for table in tables:
        print_named_table(output, table)
    if html:
        write_board_page(tree, made)

    messages = Console(stderr=True)
    say(messages, f"The board is in {tree.root}/tables")
    if html:
        say(messages, f"The page is {tree.root}/{FILE}")


def _names(paths: Sequence[Path]) -> list[str]:
    """The names of the runs: those of their folders, or the paths where two are alike.

    Raises:
        RequestError: a folder is there twice.
    """
    folders = [path.resolve() for path in paths]
    twice = [path for path in paths if folders.count(path.resolve()) > 1]
    if twice:
        raise RequestError(f"{twice[0]} is there twice: give each run once")

    names = [folder.name for folder in folders]
    return [
        name if names.count(name) == 1 else str(path)
        for name, path in zip(names, paths, strict=True)
    ]
