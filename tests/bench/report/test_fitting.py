"""Fitting: every text inside its figure, ticks apart, legends beside the axes, in both styles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bench.report.cross_attack.figures import cross_attack_figures
from bench.report.drawing import save_figures
from bench.report.figure_styles import PAPER, SCREEN, FigureStyle
from bench.report.fitting import broken, meeting, shown_texts, tick_labels
from bench.report.latency.accuracy_figures import accuracy_latency_figure
from bench.report.latency.figures import latency_figures
from bench.report.looks import DefenseLooks
from bench.report.naming import RunNames
from bench.report.pictures.strips import Strip, strips_figure
from bench.report.worst_case.figures import worst_case_figures
from bench.report.writers import NamedFigure
from bench.store.tree import Tree

SLACK = 1.5
"""Pixels by which a measured text may touch the edge."""


def report_of(defenses: list[str], budgets: tuple[float, ...]) -> Any:
    """A report with worst cases and timings of some defenses."""
    rows = pd.DataFrame(
        {
            "dataset": "a data set of a long name",
            "classifier": "cnn:width=16:epochs=10",
            "norm": "linf",
            "eps": eps,
            "seed": 0,
            "n": 1_000,
            "defense": defense,
            "mark": "?" if index % 3 == 1 else "",
            "note": "no valid attack saw the defense" if index % 3 == 1 else "",
            "graybox_verdict": "ok",
            **{
                f"{kind}_accuracy{end}": 0.5 + add
                for kind in ("clean", "graybox", "worst_case")
                for end, add in (("", 0.0), ("_low", -0.1), ("_high", 0.1))
            },
        }
        for index, defense in enumerate(defenses)
        for eps in budgets
    )
    timings = pd.DataFrame(
        {
            "dataset": "a data set of a long name",
            "classifier": "cnn:width=16:epochs=10",
            "defense": defense,
            "device": "NVIDIA H200",
            "engine": "eager",
            "precision": "float32",
            "target": target,
            "batch_size": size,
            "status": "ok",
            "p25_ms": 0.9 * (index + 1) * size,
            "p50_ms": (index + 1) * size,
            "p75_ms": 1.2 * (index + 1) * size,
        }
        for index, defense in enumerate(defenses)
        for target in ("purifier", "pipeline")
        for size in (1, 2, 3, 4, 8, 32)
    )
    trained = pd.DataFrame(
        {
            "dataset": "digits",
            "classifier": "cnn",
            "defense_name": "convae",
            "defense": defense,
            "trained_for": defense,
            "trained_eps": 0.3,
            "attack": attack,
            "eps": 0.15,
            "threat": "graybox",
            "seed": 0,
            "robust_accuracy": 0.745,
            "robust_accuracy_low": 0.68,
            "robust_accuracy_high": 0.8,
            "verdict": "ok",
        }
        for defense in defenses
        for attack in ("fgsm", "pgd:steps=7:rel_stepsize=0.25", "square:queries=500")
    )
    return SimpleNamespace(
        worst_case=rows,
        latency=timings,
        cross_attack=trained,
        names=RunNames(),
        looks=DefenseLooks(tuple(defenses)),
    )


def figures_of(report: Any) -> Iterator[NamedFigure]:
    """A figure of each kind whose texts depend on the names."""
    yield from worst_case_figures(report)
    yield from latency_figures(report)
    yield from cross_attack_figures(report)
    points = report.worst_case.merge(
        report.latency[report.latency["target"] == "pipeline"].drop_duplicates("defense"),
        on=["dataset", "classifier", "defense"],
    ).assign(verdict="ok", alike=np.nan)
    yield NamedFigure("points", accuracy_latency_figure(report, points, "worst_case_accuracy"))
    strips = [
        Strip(name, np.zeros((8, 1, 4, 4)), captions=("automobile",) * 8)
        for name in dict.fromkeys(report.worst_case["defense"])
    ]
    figure = strips_figure(strips)
    figure.suptitle("of a title that is as long as the specs of a run are, " * 3)
    yield NamedFigure("strips", figure)


def problems(figure: Figure) -> list[str]:
    """Texts outside a figure, ticks that meet, and a legend over the axes."""
    width, height = figure.bbox.width + SLACK, figure.bbox.height + SLACK
    found = []
    for text in shown_texts(figure):
        box = text.get_window_extent()
        if box.x0 < -SLACK or box.y0 < -SLACK or box.x1 > width or box.y1 > height:
            found.append(f"outside: {text.get_text()[:40]}")
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axes.axison and meeting(tick_labels(axis)):
                found.append(f"ticks meet: {[each.get_text() for each in tick_labels(axis)][:3]}")
        for legend in figure.legends:
            if legend.get_window_extent().overlaps(axes.get_window_extent()):
                found.append("the legend lies over the axes")
    return found


specs = st.lists(
    st.text("abcdefgh:=_ 0123456789", min_size=1, max_size=60).filter(str.strip),
    min_size=1,
    max_size=12,
    unique=True,
)


IMAGES = np.zeros((8, 1, 4, 4))


def saved(made: Iterable[NamedFigure], style: FigureStyle) -> list[NamedFigure]:
    """The figures of a generator after they were drawn under the settings of a style."""
    kept: list[NamedFigure] = []

    def drawn() -> Iterator[NamedFigure]:
        for named in made:
            kept.append(named)
            yield named

    with TemporaryDirectory() as folder:
        save_figures(Tree(Path(folder)), drawn(), style)
    return kept


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs)
def test_names_of_any_length_lie_in_their_figure(defenses: list[str]) -> None:
    (named,) = saved(worst_case_figures(report_of(defenses, (0.1,))), SCREEN)
    assert problems(named.figure) == []


@pytest.mark.parametrize("style", [SCREEN, PAPER])
def test_every_text_lies_in_its_figure_and_apart(style: FigureStyle) -> None:
    defenses = [f"defensegan:restarts={n}:steps=100" for n in range(10)]
    kept = saved(figures_of(report_of(defenses, (0.1, 0.2))), style)
    assert {named.name: problems(named.figure) for named in kept} == {
        named.name: [] for named in kept
    }
    if style.width is not None:
        assert {named.figure.get_figwidth() for named in kept} == {style.width}
        assert {named.figure.get_suptitle() for named in kept} == {""}


def test_a_title_of_a_thousand_images_is_whole() -> None:
    figure = Figure(figsize=(2.0, 2.0), layout="constrained")
    figure.subplots().plot([0, 1])
    title = "a data set, a classifier, an attack (graybox), n = 1000"
    figure.suptitle(title)
    saved([NamedFigure("small", figure)], SCREEN)
    assert figure.get_suptitle().replace("\n", " ") == title
    assert problems(figure) == []


@given(st.text("ab:,= $", max_size=80), st.integers(1, 30))
def test_a_broken_text_is_the_same_but_for_its_spaces(text: str, width: int) -> None:
    escaped = text.replace("$", r"\$")
    lines = broken(escaped, width)
    assert "".join(lines.split()) == "".join(escaped.split())
    assert not any(line.endswith("\\") for line in lines.split("\n"))


def test_a_heat_map_rounds_a_half_up_and_shows_its_interval() -> None:
    (named,) = cross_attack_figures(report_of(["a", "b"], (0.1,)))
    texts = {text.get_text() for text in named.figure.axes[0].texts}
    assert texts == {"0.75", "[0.68, 0.80]"}


@pytest.mark.parametrize("strips", [4, 8, 17])
@pytest.mark.parametrize("style", [SCREEN, PAPER])
def test_images_fill_the_height_of_their_figure(strips: int, style: FigureStyle) -> None:
    def figures() -> Iterator[NamedFigure]:
        names = [f"adversarial\nfor gaussian_noise{index}" for index in range(strips)]
        yield NamedFigure("strips", strips_figure([Strip(name, IMAGES) for name in names]))

    (named,) = saved(figures(), style)
    boxes = [axes.get_position() for axes in named.figure.axes]
    assert max(box.y1 for box in boxes) - min(box.y0 for box in boxes) > 0.75


def test_a_wide_heat_map_stands_upright_in_a_column() -> None:
    report = report_of(["a", "b"], (0.1,))
    for style, label in ((SCREEN, "trained for"), (PAPER, "tested on")):
        rows = pd.concat([report.cross_attack.assign(eps=eps) for eps in (0.1, 0.2, 0.3)])
        wide: Any = SimpleNamespace(cross_attack=rows, names=RunNames())
        (named,) = saved(cross_attack_figures(wide), style)
        axes = named.figure.axes[0]
        assert axes.get_ylabel() == label
        shown = axes.get_images()[0].get_array()
        assert shown.shape == (len(axes.get_yticks()), len(axes.get_xticks()))


def test_the_name_of_a_device_is_not_broken() -> None:
    assert broken("milliseconds a call (cuda:0)", 26).split("\n")[-1] == "(cuda:0)"
