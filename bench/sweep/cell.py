"""A cell of the grid: one data set, classifier, defense, attack, epsilon, threat model and seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bench.contracts import Attack, Classifier, Defense, MinimumNorm
from bench.errors import RequestError
from bench.plugins.configured import Configured, configure
from bench.records.cell import CellProperties
from bench.records.pipeline import Pipeline
from bench.registry import ATTACKS
from bench.spec import Spec
from bench.stages.cascade_budgets import BUDGETS
from bench.stages.threats import ThreatModel
from bench.store.keys import content_key

CELL_FORMAT = 2
"""Version of a cell's outcome; raise it when its meaning changes, which makes records invalid."""

_LARGER = 4
"""Factor of the larger step of the convergence check."""


@dataclass(frozen=True)
class Cell:
    """One number of the comparison.

    Attributes:
        dataset: name of the data set.
        classifier: classifier with its parameters.
        defense: defense with its parameters.
        attack: attack with its parameters.
        eps: budget of the attack, on the [0, 1] scale.
        threat: threat model with its parameters.
        seed: seed of the training and of the attack.
    """

    dataset: str
    classifier: Configured[Classifier]
    defense: Configured[Defense]
    attack: Configured[Attack]
    eps: float
    threat: ThreatModel
    seed: int

    @property
    def pipeline(self) -> Pipeline:
        """The trained pipeline that is attacked."""
        return Pipeline(self.dataset, self.classifier.label, self.defense.label, self.seed)

    @property
    def steps(self) -> int | None:
        """Number of steps of an iterative attack; None for any other."""
        steps = self.attack.parameters.get("steps")
        return steps if type(steps) is int else None

    def labels(self) -> dict[str, Any]:
        """The labels that name the cell in tables."""
        return {
            **self.pipeline.without_seed.labels(),
            "attack": self.attack.label,
            "eps": self.eps,
            "threat": self.threat.label,
            "seed": self.seed,
        }

    def parameters(self) -> dict[str, Any]:
        """All parameters of the three plugins, defaults included."""
        return {
            "classifier": dict(self.classifier.parameters),
            "defense": dict(self.defense.parameters),
            "attack": dict(self.attack.parameters),
        }

    def key(self, data: str, protocol: Mapping[str, Any]) -> str:
        """The content key of the cell: everything its outcome depends on, before any training.

        Args:
            data: digest of the training and test images.
            protocol: settings of the evaluation that change an outcome (batch size, draws, ...), as
                JSON.
        """
        asked = (data, tuple(sorted(protocol.items())))
        if asked not in self._keys:
            self._keys[asked] = self._key(data, protocol)

        return self._keys[asked]

    @cached_property
    def _keys(self) -> dict[tuple[str, tuple[tuple[str, Any], ...]], str]:
        """The keys that were asked for: a run asks for the same one again and again."""
        return {}

    def _key(self, data: str, protocol: Mapping[str, Any]) -> str:
        identities = (
            self.classifier.identity,
            self.defense.identity,
            self.attack.identity,
            self.threat.identity,
        )
        numbered = {str(index): identity for index, identity in enumerate(identities)}

        return content_key(
            {
                "format": CELL_FORMAT,
                "cell": {**self.labels(), **numbered},
                "data": data,
                **protocol,
            }
        )

    def properties(self) -> CellProperties:
        """The properties of the cell on which the checks depend."""
        attack = self.attack.plugin
        defense = self.defense.plugin
        threat = self.threat.kind

        stochastic = defense.stochastic or self.classifier.plugin.stochastic

        return CellProperties(
            norm=attack.ball(),
            access=attack.access,
            minimum_norm=isinstance(attack, MinimumNorm),
            steps=self.steps,
            threat=threat.name,
            gradient=threat.gradient,
            sees_defense=threat.sees_defense,
            stronger_than=threat.stronger_than,
            eot=self._eot if stochastic else 1,
            stochastic=stochastic,
            stops_at_first_success=attack.stops_at_first_success,
            single_step=attack.single_step,
            returns_unbroken=attack.returns_unbroken,
            evaluated=threat.sees_defense,
            fixed_draw=self.threat.fixed_draw and stochastic,
        )

    @property
    def _eot(self) -> int:
        """Number of draws over which a gradient through a randomized pipeline is averaged."""
        return BUDGETS[self.threat.budget].eot if self.threat.kind.cascade else self.threat.eot

    def stronger_variants(self) -> dict[str, Cell]:
        """The cell with stronger versions of its attack, for the convergence check, by name.

        None at all where the attack has no steps, and where the attacked model is not evaluated, so
        that there is nothing to compare.
        """
        variants = {
            "doubled_steps": self.with_doubled_steps(),
            "larger_step": self.with_larger_step(),
        }
        return {name: variant for name, variant in variants.items() if variant}

    def with_doubled_steps(self) -> Cell | None:
        """The cell with twice the steps of its attack; None if its attack allows no more."""
        return self._with_parameter("steps", 2 * self.steps) if self.steps else None

    def with_larger_step(self) -> Cell | None:
        """The cell with a step of `_LARGER` times the size; None if its attack has no such step."""
        size = self.attack.parameters.get("rel_stepsize")
        return self._with_parameter("rel_stepsize", _LARGER * size) if size else None

    def _with_parameter(self, name: str, value: float) -> Cell | None:
        """The cell with another parameter of its attack; None if it does not apply."""
        if self.steps is None or "classifier" not in self.threat.kind.uses:
            return None

        given = dict(self.attack.resolved.parameters)
        spec = Spec(self.attack.name, tuple({**given, name: str(value)}.items()))
        try:
            return replace(self, attack=configure(ATTACKS, spec))
        except RequestError:
            return None

    def __str__(self) -> str:
        return (
            f"{self.dataset} {self.classifier.label} {self.defense.label} {self.attack.label} "
            f"eps {self.eps:g} {self.threat.label} seed {self.seed}"
        )
