"""The probes of a cell: which of them apply to it, and the tasks that measure them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from bench.contracts import Attack, MinimumNorm
from bench.records.outcome import REJECTED
from bench.records.probes import Array, Probes
from bench.stages.attacked import AttackedRef
from bench.stages.cascade_budgets import Cascade
from bench.stages.context import TaskContext
from bench.stages.craft import Craft
from bench.stages.executor import Executor
from bench.stages.predict import Predict
from bench.stages.probe_eot import EOT_IMAGES, EotProbe
from bench.stages.probe_final import FinalImagesProbe
from bench.stages.probe_gradient import GradientProbe
from bench.stages.probe_noise import NoiseProbe
from bench.stages.probe_repeats import RepeatProbe
from bench.stages.probe_scores import ScoreProbe
from bench.stages.references import AdversarialRef, CellNetworks, SplitRef, is_stochastic
from bench.stages.task import Task
from bench.store.artifacts import Tensors
from bench.sweep.cell import Cell
from bench.sweep.config import RunConfig
from bench.sweep.demand import together
from bench.sweep.evaluated import Evaluated

Arrays = dict[str, Array]

_MEASURED = 24
"""Number of images that most probes measure, at most; more would cost without telling more."""

_REPEATED = 16
"""Number of images that are classified twice, at most."""

_SEARCHED = 16
"""Number of images on which the search by scores runs, at most."""

_FEW_VALUES = 16
"""Number of values of pixels in an image up to which a quantizer may well restore it."""

_FULL_RANGE = 8
"""Number of images that are attacked at epsilon 1, at most."""


class CellProbes:
    """Asks an executor for the probes of cells, which other cells share where they can.

    Args:
        executor: executor that runs the tasks.
        context: data sets.
        config: size of batches and number of images.
        craft: function that makes the task of a cell's adversarial set for n images.
    """

    def __init__(
        self,
        executor: Executor,
        context: TaskContext,
        config: RunConfig,
        craft: Callable[[Cell, CellNetworks, int], Craft],
    ) -> None:
        self._executor = executor
        self._context = context
        self._config = config
        self._craft = craft

    def of(self, evaluated: Evaluated) -> Probes:
        """The probes of a cell; none where the convergence check is turned off.

        Raises:
            NotApplicable: the model lacks something that the attack needs.
            PluginFault: a plugin raised or broke its contract.
        """
        if self._config.convergence == 0:
            return Probes()

        measurements = (
            self._classifier_gradient,
            self._pipeline_gradient,
            self._repetition,
            self._final_images,
            self._noise,
            self._scores,
            self._full_range,
            self._eot,
        )
        arrays = together(*(partial(measure, evaluated) for measure in measurements))

        return Probes(**arrays, **_nearest_clean_images(evaluated))

    def _classifier_gradient(self, evaluated: Evaluated) -> Arrays:
        """Truth of the gradient of the classifier that the attack uses."""
        if not evaluated.follows_gradient:
            return {}

        is_transfer = "classifier" not in evaluated.cell.threat.kind.uses
        bare = AttackedRef.of("transfer" if is_transfer else "graybox", evaluated.networks)
        return {"classifier_rise": self._gradient(evaluated, bare)}

    def _pipeline_gradient(self, evaluated: Evaluated) -> Arrays:
        """Truth of the gradient of the pipeline, if the attack follows it."""
        whole = AttackedRef.of("whitebox", evaluated.networks)
        is_exact = evaluated.attacked.kind.surrogate is whole.kind.surrogate
        if not evaluated.follows_gradient or not is_exact:
            return {}

        return {"pipeline_rise": self._gradient(evaluated, whole)}

    def _gradient(self, evaluated: Evaluated, attacked: AttackedRef) -> Array:
        split = self._split(evaluated, self._images(_MEASURED))
        task = GradientProbe(attacked, split, self._config.batch_size, evaluated.cell.seed)

        return self._tensors(task)["rise"]

    def _repetition(self, evaluated: Evaluated) -> Arrays:
        """Differences between calls of a pipeline that is declared to be deterministic."""
        networks = evaluated.networks
        if is_stochastic(networks.classifier, networks.defense):
            return {}

        whole = AttackedRef.of("whitebox", networks)
        split = self._split(evaluated, self._images(_REPEATED))
        task = RepeatProbe(whole, split, self._config.batch_size, evaluated.cell.seed)
        tensors = self._tensors(task)

        return {"repeat_shift": tensors["repeat"], "alone_shift": tensors["alone"]}

    def _final_images(self, evaluated: Evaluated) -> Arrays:
        """What the attacked model says of the adversarial images."""
        if not evaluated.attacks:
            return {}

        task = FinalImagesProbe(
            evaluated.attacked,
            self._split(evaluated, self._images(_MEASURED)),
            self._config.batch_size,
            evaluated.cell.seed,
            evaluated.reference,
        )
        tensors = self._tensors(task)
        names = {"seen": "seen", "gradients_shift": "shift", "final_margin": "margin"}

        return {name: tensors[of_task] for name, of_task in names.items()}

    def _noise(self, evaluated: Evaluated) -> Arrays:
        """What noise of the attack's size does to the attacked model."""
        if not evaluated.attacks or evaluated.norm is None or evaluated.knows_draw:
            return {}

        task = NoiseProbe(
            evaluated.attacked,
            self._split(evaluated, self._images(_MEASURED)),
            self._config.batch_size,
            evaluated.cell.seed,
            evaluated.cell.eps,
            evaluated.norm,
        )
        return {"noise_margin": self._tensors(task)["margin"]}

    def _scores(self, evaluated: Evaluated) -> Arrays:
        """What a short search without a gradient leaves of the attacked model's accuracy.

        A single step may well be weaker, and some cascades search by scores themselves; one draw
        that is known is not what the search is judged by.
        """
        attack = evaluated.cell.attack.plugin
        is_held_against_it = not attack.single_step and not _searches_by_scores(attack)
        if not evaluated.follows_gradient or evaluated.norm is None or not is_held_against_it:
            return {}
        if evaluated.knows_draw:
            return {}

        # The search needs no gradient, so that it is the same for all who see the pipeline.
        sees_defense = evaluated.cell.threat.kind.sees_defense
        seen = (
            AttackedRef.of("whitebox", evaluated.networks) if sees_defense else evaluated.attacked
        )
        task = ScoreProbe(
            seen,
            self._split(evaluated, self._images(_SEARCHED)),
            self._config.batch_size,
            evaluated.cell.seed,
            evaluated.cell.eps,
            evaluated.norm,
        )
        return {"score_right": self._tensors(task)["right"]}

    def _full_range(self, evaluated: Evaluated) -> Arrays:
        """What the same attack leaves of the attacked model's accuracy at epsilon 1."""
        cell = evaluated.cell
        attack = cell.attack.plugin
        is_bounded = not isinstance(attack, MinimumNorm) and attack.ball() == "linf"
        is_judged = "classifier" in cell.threat.kind.uses and not cell.threat.kind.cascade
        if not (evaluated.follows_gradient and is_bounded and is_judged):
            return {}
        if attack.single_step or cell.eps >= 1:
            return {}

        n = self._images(_FULL_RANGE)
        craft = self._craft(replace(cell, eps=1.0), evaluated.networks, n)
        reference = AdversarialRef(craft.key, self._executor.digest(craft))
        sees_defense = cell.threat.kind.sees_defense
        task = Predict(
            split=self._split(evaluated, n),
            adversarial_set=reference,
            classifier=evaluated.networks.classifier,
            purifier=evaluated.networks.defense if sees_defense else None,
            batch_size=self._config.batch_size,
            seed=cell.seed,
            is_fixed_draw=cell.threat.fixed_draw,
        )
        _, labels = self._context.images(task.split)
        predictions = self._tensors(task)["predictions"]
        right = (predictions == labels.cpu().numpy()) | (predictions == REJECTED)

        return {"full_range_right": right.astype(np.float32)}

    def _eot(self, evaluated: Evaluated) -> Arrays:
        """Whether the attack averages over draws, where it was asked to."""
        cell = evaluated.cell
        asked = cell.properties().eot > 1 and not cell.threat.kind.cascade
        if not asked or not evaluated.follows_gradient:
            return {}

        split = self._split(evaluated, min(EOT_IMAGES, self._config.n))
        task = EotProbe(
            evaluated.attacked, split, EOT_IMAGES, cell.seed, attack=cell.attack, eps=cell.eps
        )
        return {"eot_calls": self._tensors(task)["calls"]}

    def _tensors(self, task: Task) -> Tensors:
        return self._executor.artifact(task).tensors

    def _images(self, most: int) -> int:
        """Number of images that are measured: those of the convergence check, or fewer."""
        return min(self._config.convergence, self._config.n, most)

    def _split(self, evaluated: Evaluated, n: int) -> SplitRef:
        return self._context.split(evaluated.cell.dataset, n)


def _searches_by_scores(attack: Attack) -> bool:
    """Whether an attack is a cascade with a member that searches by scores."""
    members = attack.members if isinstance(attack, Cascade) else ()
    return any(member_attack.plugin.access == "score" for _, member_attack in members)


def _nearest_clean_images(evaluated: Evaluated) -> Arrays:
    """Distances of purified and adversarial images to the clean test image nearest to the former.

    Images of few values are left out: a quantizer may well restore them.
    """
    purified_distances = []
    input_distances = []

    for purified, given in zip(evaluated.purified, evaluated.adversarial, strict=False):
        distances = np.abs(evaluated.clean - purified).reshape(len(evaluated.clean), -1).max(axis=1)
        nearest = evaluated.clean[distances.argmin()]
        if len(np.unique(nearest)) <= _FEW_VALUES:
            continue

        purified_distances.append(distances.min())
        input_distances.append(np.abs(given - nearest).max())

    if not purified_distances:
        return {}

    return {
        "purified_distance": np.asarray(purified_distances, np.float32),
        "input_distance": np.asarray(input_distances, np.float32),
    }
