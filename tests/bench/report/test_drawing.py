"""Drawing: foreign text, settings and sizes change nothing but what a figure shows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bench.errors import StorageError
from bench.report import contents
from bench.report.drawing import save_figures
from bench.report.escapes import LONGEST_FIGURE_LINE, MOST_LINES
from bench.report.figure_styles import PAPER, SCREEN, FigureStyle
from bench.report.fitting import MOST_INCHES, shown_texts
from bench.report.pictures.strips import Strip, strips_figure
from bench.report.plotting import legend
from bench.report.report import Report
from bench.report.writers import NamedFigure
from bench.store.tree import Tree

MATH = r"$\frac{x} and $x^2$"


def figure_with(text: str) -> Figure:
    """A figure with a text wherever one stands: titles, axes, ticks, legend, number in a cell."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([1.0, 2.0], [1e-3, 1.0], label=f"line {text}")
    axes.set(xlabel=f"x {text}", title=f"title {text}", yscale="log")
    axes.set_xticks([1.0, 2.0], [f"tick {text}", f"other {text}"])
    axes.text(1.0, 0.5, f"cell {text}")
    figure.suptitle(f"above {text}")
    legend(figure, axes.get_legend_handles_labels()[0])
    return figure


def saved(folder: Path, figure: Figure, name: str = "figure", style: FigureStyle = SCREEN) -> Path:
    """The path of a figure without ending, after it has been saved."""
    save_figures(Tree(folder), [NamedFigure(name, figure)], style)
    return folder / "plots" / name


def texts_of(folder: Path, figure: Figure) -> list[str]:
    """The texts of a figure as they are drawn: escaped, and in lines that fit."""
    saved(folder, figure)
    return [text.get_text() for text in shown_texts(figure)]


@pytest.mark.parametrize("text", [MATH, r"$\undefined$", r"\$5 and $6", "$", r"a\$"])
def test_a_dollar_is_a_dollar_and_powers_of_ten_are_numbers(text: str, tmp_path: Path) -> None:
    texts = [each.replace("\n", " ") for each in texts_of(tmp_path, figure_with(text))]
    escaped = text.replace("$", r"\$")
    for start in ("line", "x", "title", "tick", "other", "cell", "above"):
        assert f"{start} {escaped}" in texts
    assert [each for each in texts if "mathdefault" in each]  # matplotlib's own powers of ten


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(max_size=30))
@example("\x00\x07\x1b[2J\u202e\ufffe\uffff\ud800--><script>alert(1)</script>")
@example("line\nbreak\r\n\u2028and 漢字 😀 " + MATH)
def test_any_text_gives_sound_files_and_no_warning(tmp_path: Path, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stem = saved(tmp_path, figure_with(text))
        saved(tmp_path, figure_with(text), style=PAPER)
    assert matplotlib.image.imread(stem.with_suffix(".png")).ndim == 3
    assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("text", ["m" * 3_000, "word " * 600, "line\n" * 500])
def test_a_text_of_thousands_of_characters_is_cut(text: str, tmp_path: Path) -> None:
    figure = figure_with(text)
    texts = texts_of(tmp_path, figure)
    lines = [line for each in texts for line in each.split("\n")]
    assert max(map(len, lines)) <= LONGEST_FIGURE_LINE
    assert sum(map(len, texts)) < 20 * MOST_LINES * LONGEST_FIGURE_LINE
    assert all(figure.get_size_inches() <= MOST_INCHES)


def test_a_title_of_thousands_of_characters_does_not_widen_pictures(tmp_path: Path) -> None:
    strips = [Strip("l" * 3_000, np.zeros((2, 1, 4, 4))), Strip("b", np.ones((2, 1, 4, 4)))]
    figure = strips_figure(strips)
    figure.suptitle("t" * 3_000)
    saved(tmp_path, figure)
    assert figure.get_figwidth() < 20


@pytest.mark.parametrize("size", [(1e6, 4.0), (6.0, 500.0)])
def test_the_pixels_of_a_figure_are_bounded(size: tuple[float, float], tmp_path: Path) -> None:
    figure = Figure(figsize=size)
    figure.subplots()
    pixels = matplotlib.image.imread(saved(tmp_path, figure).with_suffix(".png"))
    assert max(pixels.shape) <= MOST_INCHES * 150


@pytest.mark.parametrize(
    "setting", [{"text.usetex": True}, {"svg.fonttype": "none"}, {"font.size": 40.0}]
)
def test_the_settings_of_a_notebook_change_nothing_and_stay(
    setting: dict[str, Any], tmp_path: Path
) -> None:

    def drawn(name: str) -> Iterator[NamedFigure]:
        yield NamedFigure(name, figure_with("plain"))

    save_figures(Tree(tmp_path), drawn("plain"))
    plain = (tmp_path / "plots" / "plain.png").read_bytes()
    with mpl.rc_context(setting):
        before = dict(mpl.rcParams)
        save_figures(Tree(tmp_path), drawn("set"))
        assert dict(mpl.rcParams) == before
    assert (tmp_path / "plots" / "set.png").read_bytes() == plain


@pytest.mark.parametrize(
    "name", ["../../up", "/tmp/absolute", "..", "a\x00b", "x" * 3_000, "é/ü", "-", ""]
)
def test_a_figure_lies_in_its_folder_whatever_its_name(name: str, tmp_path: Path) -> None:
    root = tmp_path / "a" / "run"
    save_figures(Tree(root), [NamedFigure(name, Figure())])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert {path.parent for path in files} == {root / "plots"}
    assert all(len(path.name) < 130 for path in files)


def test_a_link_in_place_of_a_figure_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "run" / "plots").mkdir(parents=True)
    (tmp_path / "run" / "plots" / "figure.png").symlink_to(target)
    with pytest.raises(StorageError, match="is a link"):
        saved(tmp_path / "run", Figure())
    assert not target.exists()


@pytest.mark.parametrize(("channels", "side"), [(1, 1), (2, 28), (3, 28), (4, 9), (16, 1_500)])
def test_images_of_any_shape_are_drawn(channels: int, side: int, made: Any, tmp_path: Path) -> None:
    cells = [made.cell([1, 1, 0], eps=eps) for eps in (0.1, 0.2, 0.3)]
    pixels = np.zeros((2, channels, side, side + 1), np.uint8)
    images = made.images()
    for cell in cells:
        cell.__dict__["images"] = type(images)(pixels, pixels + 1, pixels)
    names = [
        named.name
        for named in contents.picture_figures(_report(cells))
        if saved(tmp_path, named.figure)
    ]
    assert len(names) == 2


def _report(cells: list[Any]) -> Report:
    frames = dict.fromkeys(
        (
            *("results", "provenance", "latency", "engines", "decisions"),
            *("worst_case", "pairs"),
            *("cascade", "classes", "seeds", "cross_attack", "scaling"),
        )
    )
    return Report(cells=tuple(cells), invalid=0, machines=(), **frames)  # type: ignore[arg-type]
