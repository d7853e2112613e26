"""The cells that a recorded configuration has, told without plugins: a merged run may lack some."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from bench.records.cell import LABELS, CellRecord
from bench.spec import Spec
from bench.stages.cascade_budgets import CASCADE, CascadeNorm, cascade_spec
from bench.stages.threats import THREATS
from bench.sweep.settings import RunConfig, allowed

Columns = Iterator[tuple[str, float, str]]
"""Attack, budget and threat model of cells."""


def missing_cells(config: RunConfig, records: Iterable[CellRecord]) -> list[dict[str, Any]]:
    """The labels of the cells of a configuration that have no record.

    An attack that has no record at all is taken to have no cascade in its norm.

    Args:
        config: configuration of a run.
        records: records of the run.
    """
    found = list(records)
    norms = {str(record.labels["attack"]): record.properties.norm for record in found}
    recorded = {tuple(record.labels[name] for name in LABELS) for record in found}

    return [
        labels
        for labels in _cells(config, norms)
        if tuple(labels[name] for name in LABELS) not in recorded
    ]


def _cells(config: RunConfig, norms: Mapping[str, str | None]) -> Iterator[dict[str, Any]]:
    """The labels of all cells, see `bench.sweep.grid.Grid.cells`."""
    columns = list(dict.fromkeys((*_plain(config), *_cascades(config, norms))))
    networks = (map(_spec, config.classifiers), map(_spec, config.defenses))
    pipelines = itertools.product(config.datasets, config.seeds, *networks)

    for (dataset, seed, classifier, defense), column in itertools.product(pipelines, columns):
        attack, eps, threat = column
        parts = tuple((str(each), each.name) for each in (classifier, defense))
        if allowed(config.only, parts, dataset, (attack, _spec(attack).name), eps):
            yield {
                "dataset": dataset,
                "classifier": str(classifier),
                "defense": str(defense),
                "attack": attack,
                "eps": eps,
                "threat": threat,
                "seed": seed,
            }


def _plain(config: RunConfig) -> Columns:
    """The columns of the attacks that the configuration lists."""
    threats = [spec for spec in map(_spec, config.threats) if not _is_cascade(spec)]
    for attack, threat in itertools.product(map(_spec, config.attacks), threats):
        for eps in config.eps_of(str(attack), attack.name):
            yield str(attack), eps, str(threat)


def _cascades(config: RunConfig, norms: Mapping[str, str | None]) -> Columns:
    """The columns of the cascades, in each norm at the budgets of the attacks in it."""
    threats = [spec for spec in map(_spec, config.threats) if _is_cascade(spec)]
    for threat, norm in itertools.product(threats, get_args(CascadeNorm)):
        listed = [attack for attack in map(_spec, config.attacks) if norms.get(str(attack)) == norm]
        budgets = [eps for attack in listed for eps in config.eps_of(str(attack), attack.name)]
        own = config.attack_eps.get(CASCADE, ()) if norm == "linf" else ()
        for eps in own or budgets:
            yield str(cascade_spec(norm)), eps, str(threat)


def _is_cascade(threat: Spec) -> bool:
    return threat.name in THREATS and THREATS[threat.name].cascade


def _spec(text: str) -> Spec:
    return Spec.parse(text)
