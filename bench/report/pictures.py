"""Pictures of the first test images: clean, adversarial, purified.

And adversarial ones over epsilon.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bench.analysis.outcomes import EvaluatedCell

_SAMPLES = 8
_BUDGETS = 3
"""So many epsilons make a picture over them."""

_IMAGES = 3
"""Images in it."""

_WRONG = "#D55E00"
_UNIT = (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Strip:
    """Images side by side, with what they are.

    Attributes:
        label: beside them.
        images: (n, c, h, w).
        scale: the values of black and white, or of the two colors where it reaches below zero.
        wrong: which of them are misclassified, (n,), to be framed; None where nobody was asked.
    """

    label: str
    images: NDArray[Any]
    scale: tuple[float, float] = _UNIT
    wrong: NDArray[Any] | None = None


def original(cell: EvaluatedCell) -> Strip:
    """The clean images, as the bare classifier sees them."""
    return Strip(
        "original", pictures(cell, "clean"), wrong=cell.outcome.clean_undefended != cell.labels
    )


def adversarial(cell: EvaluatedCell, label: str) -> Strip:
    """The adversarial images, as the bare classifier sees them."""
    images = pictures(cell, "adversarial")
    return Strip(label, images, wrong=cell.outcome.adversarial_undefended != cell.labels)


def purified(cell: EvaluatedCell, label: str) -> Strip:
    """What the defense makes of the adversarial images in its first draw, as the classifier sees that."""
    return Strip(label, pictures(cell, "purified"), wrong=~cell.right[0])


def image_figures(cells: Sequence[EvaluatedCell]) -> Iterator[tuple[str, Figure]]:
    """A name and a figure for each dataset, classifier, attack and threat, of the first seed.

    They show the largest epsilon of those that the most defenses have.
    """
    for (dataset, classifier, attack, threat, seed), group in _first_seed(_pictured(cells)).items():
        having = Counter(cell.eps for cell in group)
        eps = max(having, key=lambda eps: (having[eps], eps))
        title = f"{dataset}, {classifier}, {attack} eps {eps:g} ({threat}); framed: misclassified"
        name = "_".join([dataset, classifier, attack, threat, f"seed{seed}"])
        yield (
            name,
            strips_figure(list(_samples([cell for cell in group if cell.eps == eps])), title),
        )


def epsilon_figures(cells: Sequence[EvaluatedCell]) -> Iterator[tuple[str, Figure]]:
    """A name and a figure for each dataset, classifier and attack that knows of no defense, at
    three epsilons or more.

    The adversarial images of growing epsilon, each over its perturbation: where an image no longer
    shows its class, no defense can be held to it.
    """
    blind = [
        cell
        for cell in _pictured(cells)
        if not cell.record.properties.sees_defense and cell.eps > 0
    ]
    for (dataset, classifier, attack, threat, seed), group in _first_seed(blind).items():
        budgets = {cell.eps: cell for cell in reversed(group)}  # of several defenses the first
        if len(budgets) >= _BUDGETS:
            title = f"{dataset}, {classifier}, {attack} ({threat}); framed: misclassified without defense"
            name = "_".join([dataset, classifier, attack, threat, f"seed{seed}"])
            yield name, _over_eps([budgets[eps] for eps in sorted(budgets)], title)


def strips_figure(strips: Sequence[Strip], title: str) -> Figure:
    """Rows of images under a title."""
    columns = min(_SAMPLES, len(strips[0].images))
    margin = max(
        1.8, 0.4 + 0.085 * max(len(line) for strip in strips for line in strip.label.splitlines())
    )
    width = max(1.0 * columns + margin, _width_of(title))
    figure = Figure(figsize=(width, 1.05 * len(strips) + 0.4), layout="compressed")
    for axes, strip in zip(np.atleast_1d(figure.subplots(len(strips), 1)), strips, strict=True):
        _show(axes, strip, columns)
        axes.set_ylabel(strip.label, rotation=0, ha="right", va="center", fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def pictures(cell: EvaluatedCell, name: str) -> NDArray[Any]:
    """Stored pictures (n, c, h, w), in [0, 1]."""
    images: NDArray[Any] = getattr(cell.images, name)
    return images.astype(np.float32) / 255


def _pictured(cells: Sequence[EvaluatedCell]) -> list[EvaluatedCell]:
    """The cells that the run was left with images of."""
    return [cell for cell in cells if cell.images is not None]


def _first_seed(cells: Sequence[EvaluatedCell]) -> dict[tuple[str, ...], list[EvaluatedCell]]:
    """The cells by dataset, classifier, attack, threat and seed, of the first seed that each of these has."""
    seeds: dict[tuple[str, ...], dict[int, list[EvaluatedCell]]] = {}
    for cell in cells:
        key = tuple(
            str(cell.record.labels[name]) for name in ("dataset", "classifier", "attack", "threat")
        )
        seeds.setdefault(key, {}).setdefault(int(cell.record.labels["seed"]), []).append(cell)
    return {(*key, str(min(found))): found[min(found)] for key, found in seeds.items()}


def _samples(cells: Sequence[EvaluatedCell]) -> Iterator[Strip]:
    """Original, adversarial, perturbation, and what each defense makes of the adversarial image."""
    attacked = adversarial(cells[0], "adversarial")
    yield original(cells[0])
    yield attacked
    yield _perturbation(cells[0])
    yield from purifications(cells, attacked, "{}")


def purifications(cells: Sequence[EvaluatedCell], attacked: Strip, label: str) -> Iterator[Strip]:
    """What each defense makes of the adversarial images, with these where the attack made others
    for it.

    Args:
        cells: one per defense.
        attacked: adversarial images that are shown already.
        label: of a defense's images, with `{}` for its spec.
    """
    for cell in cells:
        defense, own = str(cell.record.labels["defense"]), adversarial(cell, "")
        if not np.array_equal(own.images, attacked.images):
            yield replace(own, label=f"adversarial\nfor {defense}")
        yield purified(cell, label.format(defense))


def _perturbation(cell: EvaluatedCell) -> Strip:
    delta = pictures(cell, "adversarial") - pictures(cell, "clean")
    largest = max(float(np.abs(delta).max()), 1e-6)
    return Strip(f"perturbation\n(colors: ±{largest:.2g})", delta, (-largest, largest))


def _over_eps(cells: Sequence[EvaluatedCell], title: str) -> Figure:
    """Columns: the original, then one per epsilon; two rows per image."""
    attacked = [adversarial(cell, f"eps {cell.eps:g}") for cell in cells]
    moved = [_perturbation(cell) for cell in cells]
    scale = max((strip.scale for strip in moved), key=lambda ends: ends[1])
    images = min(_IMAGES, len(attacked[0].images))
    width = max(0.9 * (len(cells) + 1) + 1.0, _width_of(title))
    figure = Figure(figsize=(width, 1.8 * images + 0.6), layout="compressed")
    grid = figure.subplots(2 * images, len(cells) + 1, squeeze=False)
    for index in range(images):
        above, below = grid[2 * index], grid[2 * index + 1]
        for column, (image, delta) in enumerate(zip(attacked, moved, strict=True), start=1):
            _show(above[column], _one(image, index), 1)
            _show(below[column], _one(replace(delta, scale=scale), index), 1)
        _show(above[0], _one(original(cells[0]), index), 1)
        below[0].axis("off")
        above[0].set_ylabel("image", fontsize=8)
        below[1].set_ylabel(f"change\n(±{scale[1]:.2g})", fontsize=8)
    for axes, label in zip(
        grid[0], ["original", *(strip.label for strip in attacked)], strict=True
    ):
        axes.set_title(label, fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def _one(strip: Strip, index: int) -> Strip:
    chosen = slice(index, index + 1)
    wrong = None if strip.wrong is None else strip.wrong[chosen]
    return replace(strip, images=strip.images[chosen], wrong=wrong)


def _width_of(title: str) -> float:
    """Inches that a title takes."""
    return 0.3 + 0.085 * len(title)


def _show(axes: Axes, strip: Strip, columns: int) -> None:
    """Images side by side, a blank column between two.

    A scale around zero is drawn in two colors.
    """
    images, (low, high) = strip.images[:columns], strip.scale
    apart = np.pad(images, [(0, 0), (0, 0), (0, 0), (0, 1)], constant_values=np.nan)
    joined = np.concatenate(list(apart), axis=2)[..., :-1]
    colored = np.moveaxis((np.nan_to_num(joined, nan=high) - low) / (high - low), 0, -1)
    pixels = joined[0] if len(joined) == 1 else colored
    axes.imshow(
        pixels, cmap="gray" if low == 0 else "RdBu_r", vmin=low, vmax=high, interpolation="nearest"
    )
    axes.set(xticks=[], yticks=[], frame_on=False)
    height, width = images.shape[-2:]
    for index in np.flatnonzero([] if strip.wrong is None else strip.wrong[: len(images)]):
        corner = (index * (width + 1), 0)
        axes.add_patch(
            Rectangle(corner, width - 1, height - 1, fill=False, edgecolor=_WRONG, linewidth=1.8)
        )
