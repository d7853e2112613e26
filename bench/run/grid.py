"""The grid of a run and its cells: one dataset, classifier, defense, attack, epsilon, threat model and seed each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bench.contracts import Attack, Classifier, Defense, MinimumNorm, Plugin
from bench.errors import RequestError, unknown
from bench.plugins.configured import Configured, configure
from bench.records.cell import CellProperties
from bench.records.pipeline import Pipeline
from bench.registry import ATTACKS, CLASSIFIERS, DEFENSES, Registry
from bench.run.config import Only, RunConfig
from bench.spec import Spec
from bench.stages.datasets import dataset_names
from bench.stages.threats import ThreatModel, threat_model
from bench.store.keys import content_key

P = TypeVar("P", bound=Plugin)

CELL_FORMAT = 2
"""Raise it when a cell's outcome changes its meaning, so that recorded cells no longer count."""


@dataclass(frozen=True)
class Cell:
    """One number of the comparison."""

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

    def labels(self) -> dict[str, Any]:
        """The cell as tables name it."""
        return {
            **self.pipeline.without_seed.labels(),
            "attack": self.attack.label,
            "eps": self.eps,
            "threat": self.threat.label,
            "seed": self.seed,
        }

    def parameters(self) -> dict[str, Any]:
        """Every parameter of the three plugins, defaults included."""
        return {
            "classifier": dict(self.classifier.parameters),
            "defense": dict(self.defense.parameters),
            "attack": dict(self.attack.parameters),
        }

    def key(self, data: str, protocol: Mapping[str, Any]) -> str:
        """What the cell's outcome depends on, before anything is trained.

        Args:
            data: digest of the training and test images.
            protocol: settings of the evaluation that change an outcome (batch size, draws, ...), as
                JSON.
        """
        parts = (
            self.classifier.identity,
            self.defense.identity,
            self.attack.identity,
            self.threat.identity,
        )
        return content_key(
            {
                "format": CELL_FORMAT,
                "cell": {**self.labels(), **{str(i): part for i, part in enumerate(parts)}},
                "data": data,
                **protocol,
            }
        )

    def properties(self) -> CellProperties:
        """What the checks must know of the cell."""
        attack, threat = self.attack.plugin, self.threat.kind
        return CellProperties(
            norm=attack.ball(),
            access=attack.access,
            minimum_norm=isinstance(attack, MinimumNorm),
            steps=self.attack.parameters.get("steps"),
            threat=threat.name,
            gradient=threat.gradient,
            sees_defense=threat.sees_defense,
            stronger_than=threat.stronger_than,
            eot=self.threat.eot if self.defense.plugin.stochastic else 1,
            stochastic=self.defense.plugin.stochastic,
            stops_at_first_success=attack.stops_at_first_success,
        )

    def with_doubled_steps(self) -> Cell | None:
        """The same with twice the steps of its attack, to see whether it has converged.

        None where there is none.
        """
        steps = self.attack.parameters.get("steps")
        if not isinstance(steps, int) or "classifier" not in self.threat.kind.uses:
            return None  # of a model that is never evaluated there is nothing to compare
        given = dict(self.attack.resolved.parameters)
        spec = Spec(self.attack.name, tuple({**given, "steps": str(2 * steps)}.items()))
        try:
            return replace(self, attack=configure(ATTACKS, spec))
        except RequestError:  # beyond what the attack allows
            return None

    def __str__(self) -> str:
        return (
            f"{self.dataset} {self.classifier.label} {self.defense.label} {self.attack.label} "
            f"eps {self.eps:g} {self.threat.label} seed {self.seed}"
        )


@dataclass(frozen=True)
class Grid:
    """The axes, every plugin configured; making one checks the whole request."""

    datasets: tuple[str, ...]
    classifiers: tuple[Configured[Classifier], ...]
    defenses: tuple[Configured[Defense], ...]
    attacks: tuple[tuple[Configured[Attack], tuple[float, ...]], ...]
    threats: tuple[ThreatModel, ...]
    seeds: tuple[int, ...]
    only: Mapping[str, Only]

    @classmethod
    def of(cls, config: RunConfig) -> Grid:
        """The grid of a configuration; what is listed twice counts once.

        Raises:
            RequestError: an unknown name, or a parameter that is unknown or out of range.
        """
        for name in config.datasets:
            if name not in dataset_names():
                raise unknown("dataset", name, dataset_names())
        _check_overrides(config)
        _check_only(config)
        attacks = _configured(ATTACKS, config.attacks, config)
        _check_budgets(config, attacks)
        grid = cls(
            datasets=_once(config.datasets),
            classifiers=_configured(CLASSIFIERS, config.classifiers, config),
            defenses=_configured(DEFENSES, config.defenses, config),
            attacks=tuple((attack, _budgets(attack, config)) for attack in attacks),
            threats=tuple(threat_model(text, config.parameters) for text in _once(config.threats)),
            seeds=_once(config.seeds),
            only=config.only,
        )
        if next(grid.cells(), None) is None:
            raise RequestError(
                f"nothing is left of the grid: [only] allows none of it ({', '.join(config.only)})"
            )
        return grid

    def identities(self) -> dict[str, Any]:
        """Every plugin resolved: parameters with defaults, versions, digests of files.

        And the meaning of a cell.
        """
        families: dict[str, tuple[Configured[Plugin], ...]] = {
            "classifiers": self.classifiers,
            "defenses": self.defenses,
            "attacks": tuple(attack for attack, _ in self.attacks),
        }
        found = {
            name: {plugin.label: plugin.identity for plugin in plugins}
            for name, plugins in families.items()
        }
        threats = {threat.label: threat.identity for threat in self.threats}
        return {"format": CELL_FORMAT, **found, "threats": threats}

    def cells(self) -> Iterator[Cell]:
        """All cells, those that share networks and adversarial sets next to each other."""
        return (cell for cell in self._product() if self._takes_part(cell))

    def _takes_part(self, cell: Cell) -> bool:
        """Whether what restricts the cell's classifier and defense allows it.

        A whole spec goes before its name.
        """
        attack = (cell.attack.label, cell.attack.name)
        rules = (
            self.only.get(each.label, self.only.get(each.name))
            for each in (cell.classifier, cell.defense)
        )
        return all(rule is None or rule.allows(cell.dataset, attack, cell.eps) for rule in rules)

    def _product(self) -> Iterator[Cell]:
        for dataset in self.datasets:
            for seed in self.seeds:
                for classifier in self.classifiers:
                    for defense in self.defenses:
                        for attack, budgets in self.attacks:
                            for eps in budgets:
                                for threat in self.threats:
                                    yield Cell(
                                        dataset, classifier, defense, attack, eps, threat, seed
                                    )


V = TypeVar("V")


def _budgets(attack: Configured[Attack], config: RunConfig) -> tuple[float, ...]:
    """The epsilons of an attack.

    Raises:
        RequestError: one is beyond the range of a pixel in the norm of the largest change (or of a
            share).
    """
    budgets, norm = _once(config.eps_of(attack.label, attack.name)), attack.plugin.ball()
    for eps in budgets:
        if eps > 1 and norm in (None, "linf"):
            raise RequestError(
                f"--eps {eps:g}: attack '{attack.label}' takes at most 1 ({norm or 'a share'})"
            )
    return budgets


def _once(values: tuple[V, ...]) -> tuple[V, ...]:
    return tuple(dict.fromkeys(values))


def _configured(
    registry: Registry[P], specs: tuple[str, ...], config: RunConfig
) -> tuple[Configured[P], ...]:
    return tuple(configure(registry, spec, config.parameters) for spec in _once(specs))


def _check_budgets(config: RunConfig, attacks: tuple[Configured[Attack], ...]) -> None:
    """Every whole spec under `attack_eps` is one of the grid's, as it is written there.

    Raises:
        RequestError: one is not.
    """
    labels = [attack.label for attack in attacks]
    for name in config.attack_eps:
        if ":" in name and name not in labels:
            raise unknown("attack that budgets are given for:", name, labels)


def _check_only(config: RunConfig) -> None:
    """Every name under `only` is a classifier's or defense's, and what it names there exists.

    Raises:
        RequestError: one is not.
    """
    names = [*CLASSIFIERS, *DEFENSES]
    for name, part in config.only.items():
        if Spec.parse(name).name not in names:
            raise unknown("classifier or defense under [only]:", name, names)
        for dataset in part.datasets or ():
            if dataset not in dataset_names():
                raise unknown("dataset", dataset, dataset_names())
        for attack in part.attacks or ():
            if Spec.parse(attack).name not in ATTACKS:
                raise unknown("attack under [only]:", attack, ATTACKS)


def _check_overrides(config: RunConfig) -> None:
    """Every name under `parameters` and `attack_eps` is a plugin's, so that a typing error is not
    ignored.

    Raises:
        RequestError: one is not.
    """
    names = [name for registry in (DEFENSES, ATTACKS, CLASSIFIERS) for name in registry]
    for name in config.parameters:
        if name not in names:
            raise unknown("plugin under [parameters]:", name, names)
    for name in config.attack_eps:
        if Spec.parse(name).name not in ATTACKS:
            raise unknown("attack in the budgets (--eps NAME=VALUE, [attack_eps]):", name, ATTACKS)
