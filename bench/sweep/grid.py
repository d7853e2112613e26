"""The grid of a run: all combinations of the configured axes, as cells."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bench.contracts import Attack, Classifier, DataInfo, Defense, Plugin
from bench.errors import RequestError
from bench.plugins.configured import Configured, configure
from bench.plugins.faults import plugin_request
from bench.registry import ATTACKS, CLASSIFIERS, DEFENSES, Registry
from bench.stages.cascade_budgets import CASCADE, CascadeNorm, cascade_attack
from bench.stages.suitability import check_network
from bench.stages.threats import ThreatModel, threat_model
from bench.sweep.cell import CELL_FORMAT, Cell
from bench.sweep.config import Restriction, RunConfig
from bench.sweep.config_checks import check_attack_specs, check_budgets, check_names
from bench.sweep.settings import allowed

P = TypeVar("P", bound=Plugin)
V = TypeVar("V")

Observe = Callable[[Configured[Any], str], Configured[Any]]
"""A function of a network plugin and a data set that completes the plugin's identity."""


def _unobserved(plugin: Configured[Any], _dataset: str) -> Configured[Any]:
    return plugin


@dataclass(frozen=True)
class Grid:
    """The axes of a run, with every plugin configured; making a grid checks the request.

    Attributes:
        datasets: names of data sets.
        classifiers: classifiers with their parameters.
        defenses: defenses with their parameters.
        attacks: attacks with their parameters, each with its budgets on the [0, 1] scale.
        threats: threat models with their parameters.
        seeds: seeds of training and attacks.
        restrictions: part of the grid that a classifier or a defense takes part in, by its spec or
            its name.
        cascades: threat models that bring a cascade of their own, each with its pseudo attack and
            its budgets.
        observe: function that adds to a plugin's identity what shows only while it builds a network
            for a data set, see `bench.stages.observation`.
        share: identities of the cells that are run, see `labels_of`; None for all.
    """

    datasets: tuple[str, ...]
    classifiers: tuple[Configured[Classifier], ...]
    defenses: tuple[Configured[Defense], ...]
    attacks: tuple[tuple[Configured[Attack], tuple[float, ...]], ...]
    threats: tuple[ThreatModel, ...]
    seeds: tuple[int, ...]
    restrictions: Mapping[str, Restriction]
    cascades: tuple[tuple[ThreatModel, Configured[Attack], tuple[float, ...]], ...] = ()
    observe: Observe = _unobserved
    share: frozenset[tuple[Any, ...]] | None = None

    @classmethod
    def of(cls, config: RunConfig) -> Grid:
        """The grid of a configuration; a value that is listed twice counts once.

        Raises:
            RequestError: a name is unknown, a parameter is unknown or out of range, or the
                restrictions leave no cell.
        """
        check_names(config)

        return cls.of_networks(
            config,
            _configured(CLASSIFIERS, config.classifiers, config),
            _configured(DEFENSES, config.defenses, config),
        )

    @classmethod
    def of_networks(
        cls,
        config: RunConfig,
        classifiers: tuple[Configured[Classifier], ...],
        defenses: tuple[Configured[Defense], ...],
    ) -> Grid:
        """The grid of a configuration whose classifiers and defenses are made already.

        Raises:
            RequestError: as in `of`, but data sets, classifiers and defenses are not looked up.
        """
        attacks = _configured(ATTACKS, config.attacks, config)
        check_attack_specs(config, attacks)
        budgets = tuple((attack, _budgets(attack, config)) for attack in attacks)
        threats = tuple(threat_model(text, config.parameters) for text in _unique(config.threats))

        grid = cls(
            datasets=_unique(config.datasets),
            classifiers=classifiers,
            defenses=defenses,
            attacks=budgets,
            threats=threats,
            seeds=_unique(config.seeds),
            restrictions=config.only,
            cascades=tuple(_cascades(threats, budgets, config)),
        )
        if next(grid.cells(), None) is None:
            raise RequestError(
                "nothing is left of the grid: "
                f"[only] allows none of its cells ({', '.join(config.only)})"
            )
        grid.check_properties()

        return grid

    def observed(self, observe: Observe) -> Grid:
        """The same grid, whose plugins have complete identities."""
        return replace(self, observe=observe)

    def check_properties(self) -> None:
        """Check that the properties of all cells can be computed, which asks the plugins for them.

        Raises:
            RequestError: a plugin raises, or gives a property a value that it cannot have.
        """
        checked = set()
        for cell in self.cells():
            names = (cell.attack.label, cell.defense.label, cell.threat.label)
            if names not in checked:
                checked.add(names)
                with plugin_request(f"attack {cell.attack.label} or defense {cell.defense.label}"):
                    cell.properties()

    def check_networks(self, info: Callable[[str], DataInfo]) -> None:
        """Check that every network of the cells can be built for its data set.

        Args:
            info: function that gives shape and number of classes of the images of a data set.

        Raises:
            RequestError: a network does not suit the images, or its file cannot be read.
        """
        checked = set()
        for cell in self.cells():
            for plugin in (cell.classifier, cell.defense, cell.threat.substitute):
                if plugin is None:
                    continue
                key = (cell.dataset, type(plugin.plugin), plugin.resolved)
                if key not in checked:
                    checked.add(key)
                    check_network(plugin, info(cell.dataset))

    def identities(self) -> dict[str, Any]:
        """The identities of all plugins and threat models, and the version of a cell's outcome.

        An identity holds parameters with defaults, version, and digests of files.
        """
        families: dict[str, tuple[Configured[Plugin], ...]] = {
            "classifiers": self.classifiers,
            "defenses": self.defenses,
            "attacks": (
                *(attack for attack, _ in self.attacks),
                *(attack for _, attack, _ in self.cascades),
            ),
        }
        plugins = {
            family: {plugin.label: self._identity(plugin) for plugin in members}
            for family, members in families.items()
        }
        threats = {threat.label: self._threat_identity(threat) for threat in self.threats}

        return {"format": CELL_FORMAT, **plugins, "threats": threats}

    @property
    def whole(self) -> Grid:
        """The grid with all of its cells, where this one has a share of them."""
        return replace(self, share=None)

    def cells(self) -> Iterator[Cell]:
        """All cells; those that share networks and adversarial sets follow each other."""
        share = self.share
        cells = (cell for cell in self._product() if self._allows(cell))

        return (cell for cell in cells if share is None or labels_of(cell) in share)

    def _product(self) -> Iterator[Cell]:
        pipelines = itertools.product(self.datasets, self.seeds, self.classifiers, self.defenses)
        for dataset, seed, classifier, defense in pipelines:
            classifier = self.observe(classifier, dataset)
            defense = self.observe(defense, dataset)
            plain = [
                self._threat(threat, dataset) for threat in self.threats if not threat.kind.cascade
            ]
            for attack, budgets in self.attacks:
                for eps, threat in itertools.product(budgets, plain):
                    yield Cell(dataset, classifier, defense, attack, eps, threat, seed)
            for threat, attack, budgets in self.cascades:
                for eps in budgets:
                    yield Cell(dataset, classifier, defense, attack, eps, threat, seed)

    def _threat(self, threat: ThreatModel, dataset: str) -> ThreatModel:
        """The threat model with its substitute observed, if it has one."""
        if threat.substitute is None:
            return threat
        return replace(threat, substitute=self.observe(threat.substitute, dataset))

    def _identity(self, plugin: Configured[Plugin]) -> dict[str, Any]:
        """A plugin's identity, with what shows for the data sets where something does."""
        if isinstance(plugin.plugin, Attack):
            return dict(plugin.identity)

        observed = {
            dataset: {
                part: value
                for part, value in self.observe(plugin, dataset).identity.items()
                if part not in plugin.identity
            }
            for dataset in self.datasets
        }
        return {**plugin.identity, **({"observed": observed} if any(observed.values()) else {})}

    def _threat_identity(self, threat: ThreatModel) -> dict[str, Any]:
        substitute = threat.substitute
        identity = self._identity(substitute) if substitute else None
        return {**threat.identity, "substitute": identity}

    def _allows(self, cell: Cell) -> bool:
        """Whether the restrictions of the cell's classifier and defense allow the cell."""
        networks = ((plugin.label, plugin.name) for plugin in (cell.classifier, cell.defense))
        attack = (cell.attack.label, cell.attack.name)

        return allowed(self.restrictions, networks, cell.dataset, attack, cell.eps)


def labels_of(cell: Cell) -> tuple[Any, ...]:
    """The values of a cell's labels, which identify it in its grid."""
    return tuple(cell.labels().values())


def _configured(
    registry: Registry[P], specs: tuple[str, ...], config: RunConfig
) -> tuple[Configured[P], ...]:
    return tuple(configure(registry, spec, config.parameters) for spec in _unique(specs))


def _budgets(attack: Configured[Attack], config: RunConfig) -> tuple[float, ...]:
    budgets = _unique(config.eps_of(attack.label, attack.name))
    check_budgets(attack, budgets)

    return budgets


def _cascades(
    threats: Iterable[ThreatModel],
    attacks: Sequence[tuple[Configured[Attack], tuple[float, ...]]],
    config: RunConfig,
) -> Iterator[tuple[ThreatModel, Configured[Attack], tuple[float, ...]]]:
    """The cascades of a run, in every norm of its attacks that has one, at their budgets.

    Budgets of the name `cascade` replace those of the attacks in L-infinity.
    """
    own = _unique(config.attack_eps.get(CASCADE, ()))
    for threat in threats:
        if not threat.kind.cascade:
            continue
        norms: tuple[CascadeNorm, ...] = ("linf", "l2")
        for norm in norms:
            listed = [eps for attack, eps in attacks if attack.plugin.ball() == norm]
            budgets = _unique(tuple(itertools.chain.from_iterable(listed)))
            if norm == "linf" and own:
                budgets = own
            if budgets:
                attack = cascade_attack(norm, threat.budget)
                check_budgets(attack, budgets)
                yield threat, attack, budgets


def _unique(values: tuple[V, ...]) -> tuple[V, ...]:
    return tuple(dict.fromkeys(values))
