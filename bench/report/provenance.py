"""The frame of provenances: one row per cell, what its numbers were computed from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from bench.records.cell import CellRecord
from bench.records.environments import EnvironmentFacts, facts_of
from bench.records.folder import RunFolder

_NETWORKS = ("classifier", "defense", "substitute")
"""Roles of the networks that a cell may use."""

_PARAMETERS = ("classifier", "defense", "attack", "attack_at_eps")
"""Parts of the parameters of a cell; the last are quantities that follow from the budget."""

PROVENANCE_COLUMNS = (
    *("run", "key", "data", "adversarial_set"),
    *(f"{role}_network" for role in _NETWORKS),
    *(f"{part}_parameters" for part in _PARAMETERS),
    *("stochastic", "environment", "device", "torch_version", "package_version"),
)


def provenance_frame(run: RunFolder, records: Iterable[CellRecord]) -> pd.DataFrame:
    """One row per recorded cell, in the order of the records.

    `run` is the name of the run's folder, `key` the content key of the cell. `data`,
    `adversarial_set` and the columns `_network` are SHA-256 digests of the test images, the
    adversarial images and the weights. The columns `_parameters` are JSON objects. What a record
    does not state, and the machine of an unknown environment, is None.

    Args:
        run: the run.
        records: records of all cells.
    """
    name = run.path.resolve().name
    environments = {key: facts_of(content) for key, content in run.environments().items()}

    rows = [_row(name, record, environments.get(record.environment)) for record in records]
    return pd.DataFrame(rows, columns=list(PROVENANCE_COLUMNS))


def _row(run: str, record: CellRecord, environment: EnvironmentFacts | None) -> dict[str, Any]:
    networks = {f"{role}_network": record.networks.get(role) for role in _NETWORKS}
    parameters = {
        f"{part}_parameters": json.dumps(record.parameters[part], sort_keys=True)
        for part in _PARAMETERS
        if part in record.parameters
    }

    return {
        "run": run,
        "key": record.key,
        "data": record.data,
        "adversarial_set": record.adversarial_set or None,
        **networks,
        **parameters,
        "stochastic": record.properties.stochastic,
        "environment": record.environment or None,
        **_machine(environment),
    }


def _machine(environment: EnvironmentFacts | None) -> dict[str, Any]:
    """Device and versions of an environment; nothing for an unknown one."""
    if environment is None:
        return {}

    return {
        "device": environment.device.name,
        "torch_version": environment.packages.get("torch"),
        "package_version": environment.packages.get("purification-bench"),
    }
