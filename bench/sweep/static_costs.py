"""Static costs: what a cell and the training of its pipeline will cost, told by parameters alone.

Nothing is measured, so that the costs are the same on every machine and in every run of a grid.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bench.plugins.configured import Configured
from bench.stages.cascade_budgets import BUDGETS, Cascade
from bench.sweep.cell import Cell
from bench.sweep.config import RunConfig

REPEATS = frozenset(
    {
        *("steps", "iterations", "epochs", "critic_steps", "restarts", "draws", "queries"),
        *("binary_search_steps", "initial_gradient_eval_steps", "target_classes", "candidates"),
        *("rotations", "translations", "repeats", "radii"),
    }
)
"""Names of parameters that say how often the work of a plugin is repeated."""

_WITH_BACKWARD = 3
"""Cost of a forward and a backward pass, in forward passes."""

_STRONGER = 3
"""Cost of the stronger variants of an attack, twice the steps and a larger step, in attacks."""

_EPOCH = 10_000
"""Number of images that an epoch is taken to have; the grid does not know the data set's own."""

_BATCH = 64
"""Number of images in a step of training, for a plugin without the parameter `batch_size`."""


class StaticCosts:
    """The costs of cells and of pipelines, in images times passes through a network.

    All networks count alike. A purifier takes the product of those of its `inference_parameters`
    that are in `REPEATS`, and one pass without any. With P passes of purifier and classifier, a
    cell costs for each test image

    - P for each draw of a randomized pipeline, or once;
    - the product of the attack's parameters in `REPEATS`, times 3 where it follows a gradient,
      times P and the draws of the gradient's mean where the attacker goes through the defense. That
      of a cascade is the sum over its members, each judged by P passes for each confirming draw;
    - three times the attack for its stronger variants, on the share of images that they take.

    The training of a network costs 3 passes for each image of each step: the product of its other
    parameters in `REPEATS`, times 10,000 images for epochs, or times the batch size for steps.

    Args:
        config: number of test images, of draws, and of images for the convergence check.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._members: dict[Cascade, int] = {}

    def training(self, cell: Cell) -> int:
        """The cost of the training of a cell's classifier and defense."""
        networks: Iterable[Configured[Any]] = (cell.classifier, cell.defense.trained)
        return sum(_training(network) for network in networks)

    def cell(self, cell: Cell) -> int:
        """The cost of a cell without training; at least 1."""
        config = self._config
        pipeline = _purifier(cell.defense) + 1
        stochastic = cell.defense.plugin.stochastic or cell.classifier.plugin.stochastic

        evaluation = pipeline * (config.draws if stochastic else 1)
        attack = self._attack(cell, pipeline, stochastic)
        checked = min(config.convergence, config.n) if cell.steps else 0

        return config.n * (evaluation + attack) + checked * _STRONGER * attack

    def _attack(self, cell: Cell, pipeline: int, stochastic: bool) -> int:
        """The cost of a cell's attack on one image.

        Args:
            cell: cell of the grid.
            pipeline: number of passes of purifier and classifier.
            stochastic: whether the pipeline is randomized.
        """
        kind = cell.threat.kind
        if kind.surrogate is None:
            return 1

        cascade = cell.attack.plugin
        if isinstance(cascade, Cascade):
            budget = BUDGETS[cascade.budget]
            draws, confirming = (budget.eot, budget.confirm) if stochastic else (1, 1)
            judged = len(budget.members) * confirming
            return pipeline * (self._of_members(cascade) * _WITH_BACKWARD * draws + judged)

        follows = kind.gradient and cell.attack.plugin.access == "gradient"
        draws = cell.threat.eot if stochastic else 1
        through = pipeline * draws if kind.sees_defense else 1

        return _repeats(cell.attack.parameters) * (_WITH_BACKWARD if follows else 1) * through

    def _of_members(self, cascade: Cascade) -> int:
        """The sum of the repeated work over the members of a cascade."""
        if cascade not in self._members:
            attacks = [attack for _, attack in cascade.members]
            self._members[cascade] = sum(_repeats(attack.parameters) for attack in attacks)

        return self._members[cascade]


def _purifier(defense: Configured[Any]) -> int:
    """The number of passes of a purifier, with those of the defense that it wraps."""
    inner = _purifier(defense.inner) if defense.inner else 1
    names = set(defense.parameters) if defense.inner else defense.plugin.inference_parameters

    return inner * _repeats(defense.parameters, names)


def _training(network: Configured[Any]) -> int:
    """The cost of the training of a network; 0 for one that no parameter says to train."""
    names = REPEATS & set(network.parameters) - network.plugin.inference_parameters
    if not names:
        return 0

    batch = network.parameters.get("batch_size")
    images = _EPOCH if "epochs" in names else batch if isinstance(batch, int) else _BATCH

    return _repeats(network.parameters, names) * images * _WITH_BACKWARD


def _repeats(parameters: Mapping[str, Any], names: Collection[str] = REPEATS) -> int:
    """The product of the whole numbers from 1 among some parameters that are in `REPEATS`."""
    values = (parameters.get(name) for name in sorted(REPEATS & set(names)))
    return math.prod(value for value in values if type(value) is int and value > 0)
