"""From a cell to its raw outcome: which tasks it takes, and what they say image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.artifacts import Tensors
from bench.config import RunConfig
from bench.grid import Cell
from bench.stages.base import Lab, SplitRef, Trained
from bench.stages.craft import Craft
from bench.stages.executor import Executor
from bench.stages.predict import SAMPLES, Crafted, Predict, is_stochastic
from bench.stages.train import Train
from bench.threats import threat_named


@dataclass(frozen=True)
class Networks:
    """The trained networks of a cell."""

    classifier: Trained
    defense: Trained

    def digests(self) -> dict[str, str]:
        """Of their weights."""
        return {"classifier": self.classifier.digest, "defense": self.defense.digest}


class Evaluator:
    """Builds the tasks of cells and asks the executor for them."""

    def __init__(self, executor: Executor, lab: Lab, config: RunConfig) -> None:
        self._executor, self._lab, self._config = executor, lab, config

    def cell_key(self, cell: Cell) -> str:
        """What the cell's outcome depends on."""
        data = self._train_split(cell).digest + self._test_split(cell).digest
        return cell.key(data, self._config.batch_size, self._config.draws)

    def classifier_task(self, cell: Cell) -> Train:
        """Training the cell's classifier."""
        return Train(cell.classifier, self._train_split(cell), cell.seed)

    def defense_task(self, cell: Cell, classifier: Trained | None) -> Train:
        """Training the cell's defense, given the trained classifier (not needed where the defense does not use it)."""
        against = classifier if cell.defense.plugin.uses_classifier else None
        return Train(cell.defense, self._train_split(cell), cell.seed, against)

    def craft_task(self, cell: Cell, classifier: Trained, defense: Trained | None) -> Craft:
        """Crafting the cell's adversarial set; the defense plays no part unless the threat model sees it."""
        sees = threat_named(cell.threat).sees_defense
        return Craft(
            attack=cell.attack,
            eps=cell.eps,
            threat=cell.threat,
            split=self._test_split(cell),
            classifier=classifier,
            purifier=defense if sees else None,
            batch_size=self._config.batch_size,
            seed=cell.seed,
        )

    def networks(self, cell: Cell) -> Networks:
        """Train or load the cell's networks.

        Raises:
            PluginFault: one failed to train.
        """
        classifier = self.trained(self.classifier_task(cell))
        return Networks(classifier, self.trained(self.defense_task(cell, classifier)))

    def trained(self, task: Train) -> Trained:
        """Train or load one network."""
        return Trained(task.plugin, task.split.info, task.key, self._executor.get(task).digest)

    def outcome(self, cell: Cell, networks: Networks) -> Tensors:
        """The raw outcome: one entry per test image (and per draw) in each array.

        Raises:
            PluginFault: a plugin raised or broke its contract.
        """
        task = self.craft_task(cell, networks.classifier, networks.defense)
        crafted = self._executor.get(task)
        images, labels = self._lab.images(task.split)
        clean = images.cpu().numpy()
        delta = (crafted.tensors["adversarial"] - clean).reshape(len(clean), -1)
        reference = Crafted(task.key, crafted.digest)
        adversarial, purified = self._through(cell, networks, reference)
        clean_defended, _ = self._through(cell, networks, None)
        return {
            "labels": labels.cpu().numpy(),
            "clean_undefended": self._bare(cell, networks, None),
            "clean_defended": clean_defended,
            "adversarial_undefended": self._bare(cell, networks, reference),
            "adversarial_defended": adversarial,
            "attacked": crafted.tensors["attacked"],
            "gradient_norm": crafted.tensors["gradient_norm"],
            "linf": np.abs(delta).max(axis=1),
            "l2": np.linalg.norm(delta, axis=1),
            "sample_clean": clean[:SAMPLES],
            "sample_adversarial": crafted.tensors["adversarial"][:SAMPLES],
            "sample_purified": purified,
        }

    def _bare(self, cell: Cell, networks: Networks, crafted: Crafted | None) -> NDArray[Any]:
        """Classes the bare classifier gives, (n,)."""
        return self._executor.get(self._predict(cell, networks.classifier, None, crafted, 0)).tensors["predictions"]

    def _through(self, cell: Cell, networks: Networks, crafted: Crafted | None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Classes through the defense for each draw, (draws, n), and the first purified images of the first draw."""
        draws = self._config.draws if is_stochastic(networks.defense) else 1
        found = [
            self._executor.get(self._predict(cell, networks.classifier, networks.defense, crafted, draw)).tensors
            for draw in range(draws)
        ]
        return np.stack([tensors["predictions"] for tensors in found]), found[0]["purified"]

    def _predict(
        self, cell: Cell, classifier: Trained, purifier: Trained | None, crafted: Crafted | None, draw: int
    ) -> Predict:
        return Predict(
            split=self._test_split(cell),
            crafted=crafted,
            classifier=classifier,
            purifier=purifier,
            batch_size=self._config.batch_size,
            draw=draw,
            seed=cell.seed,
        )

    def _train_split(self, cell: Cell) -> SplitRef:
        return self._lab.split(cell.dataset, None)

    def _test_split(self, cell: Cell) -> SplitRef:
        return self._lab.split(cell.dataset, self._config.n)
