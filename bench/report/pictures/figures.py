"""Figures of test images: purified by each defense, and their change with epsilon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from bench.analysis.outcomes import EvaluatedCell
from bench.report.figure_styles import figure_width, is_narrow
from bench.report.naming import RunNames, ShortNames
from bench.report.pictures.strips import (
    Strip,
    adversarial,
    draw_strip,
    original,
    perturbation,
    purifications,
    strips_figure,
)
from bench.report.report import Report
from bench.report.writers import NamedFigure

_KEY = "below: predicted class; framed: misclassified"

_EPSILONS = 3
"""Number of epsilons from which an attack has a figure over epsilon."""

_IMAGES = 3
"""Largest number of images in a figure over epsilon."""


def picture_figures(report: Report) -> Iterator[NamedFigure]:
    """Images of each attack at one epsilon, and over epsilon, where the run keeps images."""
    cells = [cell for cell in report.cells if cell.images is not None]

    yield from image_figures(cells, report.names)
    yield from epsilon_figures(cells, report.names)


def image_figures(cells: Sequence[EvaluatedCell], names: RunNames) -> Iterator[NamedFigure]:
    """A figure for each data set, classifier, attack and threat model, of its first seed.

    Among the epsilons that most defenses have, the largest is shown.
    """
    for labels, group in _first_seed(cells).items():
        defenses = Counter(cell.eps for cell in group)
        eps = max(defenses, key=lambda eps: (defenses[eps], eps))
        chosen = [cell for cell in group if cell.eps == eps]
        dataset, classifier, attack, threat, seed = _short(labels, names)
        title = f"{dataset}, {classifier}, {attack} eps {eps:g} ({threat}); {_KEY}"
        name = f"images_{dataset}_{classifier}_{attack}_{threat}_seed{seed}"
        figure = strips_figure(list(_strips(chosen, names.defense)))
        figure.suptitle(title)
        yield NamedFigure(name, figure)


def epsilon_figures(cells: Sequence[EvaluatedCell], names: RunNames) -> Iterator[NamedFigure]:
    """A figure for each attack that does not see the defense and has three epsilons or more.

    It shows the adversarial images of growing epsilon above their perturbations: no defense can be
    expected to recover an image that no longer shows its class.
    """
    shared = [cell for cell in cells if not cell.record.properties.sees_defense and cell.eps > 0]

    for labels, group in _first_seed(shared).items():
        budgets = {cell.eps: cell for cell in reversed(group)}  # the first defense of each epsilon
        if len(budgets) < _EPSILONS:
            continue
        dataset, classifier, attack, threat, seed = _short(labels, names)
        figure = _over_eps([budgets[eps] for eps in sorted(budgets)])
        figure.suptitle(f"{dataset}, {classifier}, {attack} ({threat}); {_KEY}, without defense")
        name = f"images_eps_{dataset}_{classifier}_{attack}_{threat}_seed{seed}"
        yield NamedFigure(name, figure)


def _first_seed(cells: Sequence[EvaluatedCell]) -> dict[tuple[str, ...], list[EvaluatedCell]]:
    """The cells by data set, classifier, attack, threat model and seed, of their smallest seed."""
    seeds: dict[tuple[str, ...], dict[int, list[EvaluatedCell]]] = {}
    for cell in cells:
        labels = cell.record.labels
        key = tuple(str(labels[name]) for name in ("dataset", "classifier", "attack", "threat"))
        seeds.setdefault(key, {}).setdefault(int(labels["seed"]), []).append(cell)

    return {(*key, str(min(groups))): groups[min(groups)] for key, groups in seeds.items()}


def _short(labels: Sequence[str], names: RunNames) -> Iterator[str]:
    """The names of a data set, a classifier, an attack and a threat model, and the seed."""
    families = ("dataset", "classifier", "attack", "threat", "seed")

    return (names[family][label] for family, label in zip(families, labels, strict=True))


def _strips(cells: Sequence[EvaluatedCell], names: ShortNames) -> Iterator[Strip]:
    """Original, adversarial, perturbation, and the purified images of each defense."""
    attacked = adversarial(cells[0], "adversarial")
    yield original(cells[0])
    yield attacked
    yield perturbation(cells[0])
    yield from purifications(cells, attacked, "{}", names)


def _over_eps(cells: Sequence[EvaluatedCell]) -> Figure:
    """Columns: the original, then one per epsilon; two rows per image."""
    attacked = [adversarial(cell, f"eps {cell.eps:g}") for cell in cells]
    changes = _on_one_scale([perturbation(cell) for cell in cells])
    originals = original(cells[0])
    images = min(_IMAGES, *(len(strip.images) for strip in (originals, *attacked)))
    columns = 0.9 * (len(cells) + 1)
    scale = min(1.0, (figure_width() - 1.0) / columns) if is_narrow() else 1.0
    width = max(figure_width(), columns + 1.0)
    height = (1.8 * scale * originals.aspect + 0.2) * images + 0.6
    figure = Figure(figsize=(width, height), layout="compressed")
    grid = figure.subplots(2 * images, len(cells) + 1, squeeze=False)

    for index in range(images):
        above = grid[2 * index]
        below = grid[2 * index + 1]
        for column, (image, change) in enumerate(zip(attacked, changes, strict=True), start=1):
            draw_strip(above[column], image.only(index), 1)
            draw_strip(below[column], change.only(index), 1)
        draw_strip(above[0], originals.only(index), 1)
        below[0].axis("off")
        above[0].set_ylabel("image")
        below[1].set_ylabel(f"change\n(±{changes[0].scale[1]:.2g})")

    labels = [originals.label, *(strip.label for strip in attacked)]
    for axes, label in zip(grid[0], labels, strict=True):
        axes.set_title(label)
    return figure


def _on_one_scale(strips: Sequence[Strip]) -> list[Strip]:
    """The strips on the largest of their scales, so that a small change looks small."""
    scale = max((strip.scale for strip in strips), key=lambda ends: ends[1])

    return [replace(strip, scale=scale) for strip in strips]
