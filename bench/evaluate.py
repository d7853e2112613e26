"""From a cell to its raw outcome: which tasks it takes, and what they say image by image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.artifacts import Tensors
from bench.config import RunConfig
from bench.contracts import MinimumNorm
from bench.geometry import Norm, distances
from bench.grid import Cell
from bench.stages.base import Crafted, Lab, SplitRef, Trained, is_stochastic
from bench.stages.craft import Craft, WithinBudget
from bench.stages.executor import Executor
from bench.stages.predict import SAMPLES, Predict
from bench.stages.train import Train

_CLASS = np.int16
"""Classes in outcomes, which are kept and shared in great number."""


def _picture(images: NDArray[Any]) -> NDArray[Any]:
    """Images in [0, 1] as a file holds them, for pictures only."""
    return np.round(images * 255).astype(np.uint8)


@dataclass(frozen=True)
class Networks:
    """The trained networks of a cell."""

    classifier: Trained
    defense: Trained
    substitute: Trained | None = None

    def digests(self) -> dict[str, str]:
        """Of their weights."""
        found = {"classifier": self.classifier, "defense": self.defense, "substitute": self.substitute}
        return {name: network.digest for name, network in found.items() if network}


class Evaluator:
    """Builds the tasks of cells and asks the executor for them."""

    def __init__(self, executor: Executor, lab: Lab, config: RunConfig) -> None:
        self._executor, self._lab, self._config = executor, lab, config

    def cell_key(self, cell: Cell) -> str:
        """What the cell's outcome depends on."""
        data = self._train_split(cell).digest + self._test_split(cell).digest
        config = self._config
        protocol = {"batch_size": config.batch_size, "draws": config.draws, "convergence": config.convergence}
        return cell.key(data, protocol)

    def test_digest(self, cell: Cell) -> str:
        """Of the test images the cell is evaluated on."""
        return self._test_split(cell).digest

    def classifier_task(self, cell: Cell) -> Train:
        """Training the cell's classifier."""
        return Train(cell.classifier, self._train_split(cell), cell.seed)

    def defense_task(self, cell: Cell, classifier: Trained | None) -> Train:
        """Training the cell's defense, given the trained classifier (not needed where the defense does not use it)."""
        against = classifier if cell.defense.plugin.uses_classifier else None
        return Train(cell.defense, self._train_split(cell), cell.seed, against)

    def substitute_task(self, cell: Cell) -> Train | None:
        """Training the substitute that the cell's threat model attacks, with randomness of its own."""
        substitute = cell.threat.substitute
        return Train(substitute, self._train_split(cell), cell.seed, role="substitute") if substitute else None

    def craft_task(self, cell: Cell, networks: Networks, n: int | None = None) -> Craft:
        """Crafting the cell's adversarial set from the networks its threat model looks at.

        Args:
            cell: the cell.
            networks: all of its networks.
            n: attack only so many of the test images.
        """
        uses = cell.threat.kind.uses
        nearest = isinstance(cell.attack.plugin, MinimumNorm) and cell.threat.kind.surrogate is not None
        return Craft(
            attack=cell.attack,
            eps=None if nearest else cell.eps,
            threat=cell.threat,
            split=self._test_split(cell, n),
            classifier=networks.classifier if "classifier" in uses else None,
            purifier=networks.defense if "purifier" in uses else None,
            substitute=networks.substitute if "substitute" in uses else None,
            batch_size=self._config.batch_size,
            seed=cell.seed,
        )

    def networks(self, cell: Cell) -> Networks:
        """Train or load the cell's networks.

        Raises:
            PluginFault: one failed to train.
        """
        classifier = self.trained(self.classifier_task(cell))
        defense = self.trained(self.defense_task(cell, classifier))
        substitute = self.substitute_task(cell)
        return Networks(classifier, defense, self.trained(substitute) if substitute else None)

    def trained(self, task: Train) -> Trained:
        """Train or load one network."""
        return Trained(task.plugin, task.split.info, task.key, self._executor.get(task).digest)

    def outcome(self, cell: Cell, networks: Networks) -> Tensors:
        """The raw outcome: one entry per test image (and per draw) in each array.

        An attack that looks for the nearest adversarial image adds `minimum_distance`, an iterative one what the model
        it attacked says of the first images under twice its steps, `longer_defended` or `longer_undefended`.

        Raises:
            NotApplicable: the attack needs what the model lacks.
            PluginFault: a plugin raised or broke its contract.
        """
        nearest, reference, tensors = self._crafted(cell, networks, None)
        images, labels = self._lab.images(self._test_split(cell))
        clean = images.cpu().numpy()
        delta = (tensors["adversarial"] - clean).reshape(len(clean), -1)
        adversarial, purified = self._through(cell, networks, reference)
        clean_defended, _ = self._through(cell, networks, None)
        outcome = {
            "labels": labels.cpu().numpy().astype(_CLASS),
            "clean_undefended": self._bare(cell, networks, None),
            "clean_defended": clean_defended,
            "adversarial_undefended": self._bare(cell, networks, reference),
            "adversarial_defended": adversarial,
            "attacked": tensors["attacked"],
            "gradient_norm": tensors["gradient_norm"],
            "linf": np.abs(delta).max(axis=1),
            "l2": np.linalg.norm(delta, axis=1),
            "l1": np.abs(delta).sum(axis=1),
            "sample_clean": _picture(clean[:SAMPLES]),
            "sample_adversarial": _picture(tensors["adversarial"][:SAMPLES]),
            "sample_purified": _picture(purified),
        }
        norm = cell.attack.plugin.ball()
        if nearest is not None and norm is not None:
            found = self._minimum_distance(cell, networks, nearest, norm, clean, outcome["labels"])
            outcome["minimum_distance"] = found
        return {**outcome, **self._longer(cell, networks)}

    def _crafted(self, cell: Cell, networks: Networks, n: int | None) -> tuple[Crafted | None, Crafted, Tensors]:
        """The nearest adversarial images, where the attack looks for them, those within the budget, their tensors."""
        task = self.craft_task(cell, networks, n)
        artifact = self._executor.get(task)
        made = Crafted(task.key, artifact.digest)
        norm = cell.attack.plugin.ball()
        if task.eps is not None or norm is None:
            return None, made, artifact.tensors
        drawn_back = WithinBudget(made, task.split, cell.eps, norm)
        artifact = self._executor.get(drawn_back)
        return made, Crafted(drawn_back.key, artifact.digest), artifact.tensors

    def _minimum_distance(
        self, cell: Cell, networks: Networks, nearest: Crafted, norm: Norm, clean: NDArray[Any], labels: NDArray[Any]
    ) -> NDArray[Any]:
        """How far the nearest image that fools the defended pipeline is, (n,); infinity where none was found."""
        predictions, _ = self._through(cell, networks, nearest)
        far = distances(torch.from_numpy(clean), torch.from_numpy(self._lab.crafted(nearest)["adversarial"]), norm)
        return np.where((predictions != labels).any(axis=0), far.numpy(), np.inf)

    def _longer(self, cell: Cell, networks: Networks) -> Tensors:
        """Predictions of the attacked model for the first images, under an attack of twice the steps."""
        longer, n = cell.longer(), min(self._config.convergence, self._config.n)
        if longer is None or n == 0:
            return {}
        _, reference, _ = self._crafted(longer, networks, n)
        if cell.threat.kind.sees_defense:
            return {"longer_defended": self._through(cell, networks, reference, n)[0]}
        return {"longer_undefended": self._bare(cell, networks, reference, n)}

    def _bare(self, cell: Cell, networks: Networks, crafted: Crafted | None, n: int | None = None) -> NDArray[Any]:
        """Classes the bare classifier gives, (n,)."""
        task = self._predict(cell, networks.classifier, None, crafted, n)
        return self._executor.get(task).tensors["predictions"].astype(_CLASS)

    def _through(
        self, cell: Cell, networks: Networks, crafted: Crafted | None, n: int | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Classes through the defense for each draw, (draws, n), and the first purified images of the first draw."""
        task = self._predict(cell, networks.classifier, networks.defense, crafted, n)
        draws = self._config.draws if is_stochastic(networks.defense) else 1
        found = [self._executor.get(replace(task, draw=draw)).tensors for draw in range(draws)]
        return np.stack([tensors["predictions"] for tensors in found]).astype(_CLASS), found[0]["purified"]

    def _predict(
        self, cell: Cell, classifier: Trained, purifier: Trained | None, crafted: Crafted | None, n: int | None
    ) -> Predict:
        return Predict(
            split=self._test_split(cell, n),
            crafted=crafted,
            classifier=classifier,
            purifier=purifier,
            batch_size=self._config.batch_size,
            seed=cell.seed,
        )

    def _train_split(self, cell: Cell) -> SplitRef:
        return self._lab.split(cell.dataset, None)

    def _test_split(self, cell: Cell, n: int | None = None) -> SplitRef:
        return self._lab.split(cell.dataset, n or self._config.n)
