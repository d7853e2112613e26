"""Pictures: what is framed, and which there are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.analysis.outcomes import EvaluatedCell
from bench.report.naming import RunNames
from bench.report.pictures.figures import epsilon_figures, image_figures
from bench.report.pictures.strips import Strip, adversarial, original, purified, strips_figure
from bench.report.published import accuracies, equal_strength
from bench.report.published.pictures import recreated_figures
from bench.report.writers import NamedFigure


def frames(figure: Figure) -> list[int]:
    """How many images of each row of axes are framed."""
    return [
        len([patch for patch in axes.patches if isinstance(patch, Rectangle)])
        for axes in figure.axes
    ]


def labels(figure: Figure) -> list[str]:
    return [axes.get_ylabel() for axes in figure.axes]


def test_the_misclassified_are_framed_where_they_stand() -> None:
    wrong = np.array([False, True, False, True] + 6 * [True])
    figure = strips_figure(
        [Strip("a", np.zeros((10, 1, 4, 6)), wrong=wrong), Strip("b", np.zeros((10, 1, 4, 6)))]
    )
    assert frames(figure) == [6, 0]  # of the eight that are shown
    first, second = (patch.get_x() for patch in figure.axes[0].patches[:2])
    assert (first, second) == (7, 21)  # a blank column between two images
    assert figure.axes[0].get_images()[0].get_array().shape == (4, 8 * 7 - 1)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((28, 28), 1.0), ((48, 64), 0.75), ((64, 48), 4 / 3), ((2, 90), 0.4), ((90, 2), 2.5)],
)
def test_a_figure_of_strips_is_as_high_as_its_images_are(
    size: tuple[int, int], expected: float
) -> None:
    strips = [Strip(str(number), np.zeros((8, 3, *size))) for number in range(4)]
    assert strips_figure(strips).get_figheight() == pytest.approx(0.4 + 4 * 1.05 * expected)


def test_each_strip_asks_the_model_that_sees_it(made: Any) -> None:
    cell = EvaluatedCell(
        made.record(),
        made.outcome([1, 0, 1, 0], clean=[1, 1, 1, 0], undefended=[0, 0, 1, 1]),
        made.images,
    )
    assert original(cell).wrong.tolist() == [False] * 4
    assert adversarial(cell, "x").wrong.tolist() == [True, True, False, False]
    assert purified(cell, "x").wrong.tolist() == [False, True, False, True]


def test_samples_are_of_the_largest_epsilon(made: Any) -> None:
    cells = [
        made.cell([1, 1], moved=0.2, defense=name, eps=eps)
        for name in ("none", "convae")
        for eps in (0.1, 0.3)
    ]
    (named,) = image_figures(cells, RunNames())
    figure = named.figure
    assert named.name == "images_digits_cnn_fgsm_graybox_seed0"
    assert labels(figure)[2:] == ["perturbation\n(colors: ±0.2)", "none", "convae"]
    assert "eps 0.3" in figure.get_suptitle()


def test_samples_are_of_an_epsilon_that_all_defenses_have(made: Any) -> None:
    cells = [made.cell([1, 1], moved=0.2, eps=eps) for eps in (0.1, 0.3, 0.6)]
    cells += [made.cell([1, 1], moved=0.2, defense="defensegan", eps=eps) for eps in (0.1, 0.3)]
    figure = next(image_figures(cells, RunNames())).figure
    assert labels(figure)[3:] == ["d", "defensegan"]
    assert "eps 0.3" in figure.get_suptitle()


def test_samples_are_of_the_first_seed_that_each_pipeline_has(made: Any) -> None:
    cells = [made.cell([1], moved=0.2, seed=1), made.cell([1], moved=0.2, dataset="mnist", seed=2)]
    names = [
        each.name for each in image_figures([*cells, made.cell([1], moved=0.2, seed=3)], RunNames())
    ]
    assert names == ["images_digits_cnn_fgsm_graybox_seed1", "images_mnist_cnn_fgsm_graybox_seed2"]


def test_three_budgets_are_shown_side_by_side(made: Any) -> None:
    budgets = (0.1, 0.2, 0.3)
    cells = [
        made.cell([1, 1], moved=eps, defense=name, eps=eps)
        for name in ("none", "convae")
        for eps in budgets
    ]
    seen = [made.cell([1, 1], threat="whitebox", eps=eps) for eps in budgets]
    (named,) = epsilon_figures([*cells, *seen], RunNames())
    figure = named.figure
    assert named.name == "images_eps_digits_cnn_fgsm_graybox_seed0"
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["original", "eps 0.1", "eps 0.2", "eps 0.3"]
    scales = {
        axes.get_images()[0].get_clim()
        for axes in figure.axes
        if axes.images and axes.images[0].norm.vmin < 0
    }
    assert len(scales) == 1  # a small change looks small beside a large one
    assert list(epsilon_figures(cells[:2], RunNames())) == []
    assert list(epsilon_figures([], RunNames())) == []


def place(columns: tuple[str, ...], **changes: Any) -> pd.DataFrame:
    row = {
        **{
            "dataset": "digits",
            "classifier": "cnn",
            "our_attack": "fgsm",
            "defense": "convae",
            "seed": 0.0,
        }
    }
    row.update(
        {
            "threat": "graybox",
            "epsilon": "0.60",
            "scale": "[-1, 1]",
            "eps": 0.3,
            "our_defense": "convae:width=8",
            **changes,
        }
    )
    return pd.DataFrame([row], columns=list(columns))


def recreated(
    cells: list[EvaluatedCell], printed: pd.DataFrame, equal: pd.DataFrame
) -> list[NamedFigure]:
    comparison: Any = SimpleNamespace(
        name="made",
        report=SimpleNamespace(cells=cells, names=RunNames()),
        accuracies=printed,
        equal_strength=equal,
    )
    return list(recreated_figures(comparison))


def test_published_pictures_have_the_printed_and_the_equal_epsilon(made: Any) -> None:
    names = ("none", "convae", "convae:width=8")
    cells = [made.cell([1, 0], defense=name, eps=eps) for name in names for eps in (0.1, 0.3)]
    printed = pd.concat(
        [
            place(accuracies.COLUMNS),
            place(accuracies.COLUMNS, eps=0.6, scale="[0, 1]", our_defense="", seed=np.nan),
        ]
    )
    equal = pd.concat(
        [
            place(equal_strength.COLUMNS, eps=0.1),
            place(equal_strength.COLUMNS, eps=0.1, our_defense="convae"),
        ]
    )
    (named,) = recreated(cells, printed, equal)
    figure = named.figure
    assert named.name == "against_made_images_digits_cnn_fgsm_graybox_convae_0"
    assert labels(figure) == [
        "original",
        "attacked, eps 0.1\n(as strong as theirs)",
        "recreated by\nconvae",
        "recreated by\nconvae:width=8",
        "attacked, eps 0.3\n(printed 0.60, on [-1, 1])",
        "recreated by\nconvae:width=8",
    ]
    assert frames(figure)[2] == 1
    assert recreated([], printed, equal) == []
    seen = [made.cell([1, 0], defense="convae:width=8", eps=0.3, threat="whitebox")]
    assert recreated(seen, printed, equal) == []
    (named,) = recreated(seen, printed.assign(threat="whitebox"), equal)
    assert named.name == "against_made_images_digits_cnn_fgsm_whitebox_convae_0"


def test_every_image_bears_its_class_and_a_wrong_one_in_another_color(made: Any) -> None:
    cell = made.cell([1, 0], moved=0.2, defense="convae")
    (named,) = image_figures([cell], RunNames())
    purified_row = next(axes for axes in named.figure.axes if axes.get_ylabel() == "convae")
    texts = purified_row.get_xticklabels()
    assert [text.get_text() for text in texts] == ["0", "2"]
    assert texts[0].get_color() != texts[1].get_color()


@pytest.mark.parametrize(("strips", "rows", "images"), [(8, 8, 8), (9, 5, 4), (13, 7, 4)])
def test_many_strips_stand_in_two_columns(strips: int, rows: int, images: int) -> None:
    figure = strips_figure([Strip(str(i), np.zeros((8, 1, 4, 4))) for i in range(strips)])
    places = [(axes.get_subplotspec().num1, axes.get_ylabel()) for axes in figure.axes]
    columns = 1 if images == 8 else 2
    in_columns = sorted(places, key=lambda place: (place[0] % columns, place[0]))
    assert [label for _, label in in_columns] == list(map(str, range(strips)))
    assert figure.axes[0].get_subplotspec().get_gridspec().nrows == rows
    assert figure.axes[0].get_images()[0].get_array().shape == (4, 5 * images - 1)
