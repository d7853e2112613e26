"""Pictures of the first test images: clean, adversarial, purified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.measured import Measured

_SAMPLES = 8


def image_figures(cells: Sequence[Measured]) -> Iterator[tuple[str, Figure]]:
    """A name and a figure for each dataset, classifier, attack and threat: largest epsilon, first seed."""
    groups: dict[tuple[str, ...], list[Measured]] = {}
    first = min((cell.result.labels["seed"] for cell in cells), default=0)
    for cell in cells:
        if cell.result.labels["seed"] != first:
            continue
        key = tuple(str(cell.result.labels[name]) for name in ("dataset", "classifier", "attack", "threat", "seed"))
        groups.setdefault(key, []).append(cell)
    for (dataset, classifier, attack, threat, seed), group in groups.items():
        eps = max(cell.eps for cell in group)
        title = f"{dataset}, {classifier}, {attack} eps {eps:g} ({threat})"
        name = "_".join([dataset, classifier, attack, threat, f"seed{seed}"])
        yield name, _samples([cell for cell in group if cell.eps == eps], title)


def _samples(cells: Sequence[Measured], title: str) -> Figure:
    """Rows: original, adversarial, perturbation, and what each defense makes of the adversarial image."""
    clean, adversarial = (_pictures(cells[0], name) for name in ("sample_clean", "sample_adversarial"))
    delta = adversarial - clean
    largest = max(float(np.abs(delta).max()), 1e-6)
    images_row = (0.0, 1.0)
    rows = [("original", clean, images_row), ("adversarial", adversarial, images_row)]
    rows.append((f"perturbation\n(colors: ±{largest:.2g})", delta, (-largest, largest)))
    for cell in cells:
        defense, attacked = cell.result.labels["defense"], _pictures(cell, "sample_adversarial")
        if not np.array_equal(attacked, adversarial):
            rows.append((f"adversarial\nfor {defense}", attacked, images_row))
        rows.append((str(defense), _pictures(cell, "sample_purified"), images_row))
    columns = min(_SAMPLES, len(clean))
    margin = max(1.8, 0.4 + 0.085 * max(len(line) for label, _, _ in rows for line in label.splitlines()))
    figure = Figure(figsize=(1.0 * columns + margin, 1.05 * len(rows) + 0.4), layout="compressed")
    for axes, (label, images, scale) in zip(np.atleast_1d(figure.subplots(len(rows), 1)), rows, strict=True):
        _show(axes, images[:columns], scale)
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def _pictures(cell: Measured, name: str) -> NDArray[Any]:
    """Stored pictures, in [0, 1]."""
    return cell.outcome[name].astype(np.float32) / 255


def _show(axes: Axes, images: NDArray[Any], scale: tuple[float, float]) -> None:
    """Images (n, c, h, w) side by side, a blank column between two; a scale around zero is drawn in two colors."""
    low, high = scale
    apart = np.pad(images, [(0, 0), (0, 0), (0, 0), (0, 1)], constant_values=np.nan)
    strip = np.concatenate(list(apart), axis=2)[..., :-1]
    colored = np.moveaxis((np.nan_to_num(strip, nan=high) - low) / (high - low), 0, -1)
    pixels = strip[0] if len(strip) == 1 else colored
    axes.imshow(pixels, cmap="gray" if low == 0 else "RdBu_r", vmin=low, vmax=high, interpolation="nearest")
    axes.set(xticks=[], yticks=[], frame_on=False)
