"""The trained networks of a run as entries of a manifest, with the accuracies it measured."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from bench.analysis.checks import verdicts
from bench.analysis.metrics import (
    Accuracy,
    clean_accuracy,
    robust_accuracy,
    undefended_clean_accuracy,
    undefended_robust_accuracy,
)
from bench.analysis.outcomes import EvaluatedCell, evaluated_cells
from bench.analysis.verdict import Verdict
from bench.commands.network_facts import NetworkFacts
from bench.errors import RequestError
from bench.records.folder import RunFolder
from bench.store.artifacts import ArtifactStore, digest_of, read_artifact
from bench.store.strict import first_fault
from bench.store.weights import KIND, Entry, Score

Role = Literal["classifier", "substitute", "defense"]
ROLES: tuple[Role, ...] = ("classifier", "substitute", "defense")

_RUN_AGAIN = "run it again into another folder (--out)"

_NO_WEIGHTS = digest_of({})
"""Digest of a network without weights, which is not exported."""


@dataclass(frozen=True)
class _Network:
    """The file of a network that was found, with its key, digest and facts."""

    key: str
    path: Path
    digest: str
    facts: NetworkFacts


@dataclass(frozen=True)
class RunNetworks:
    """The trained networks of a run.

    Attributes:
        folder: folder of the run.
        store: cache of its networks.
    """

    folder: RunFolder
    store: ArtifactStore

    def entries(self) -> Iterator[tuple[Entry, Path]]:
        """The entry and the file of every network of the run that has weights.

        Raises:
            RequestError: a network is damaged, or no longer in the cache.
        """
        cells = evaluated_cells(self.folder)
        judged = verdicts(cells)
        machines = self.folder.machines()

        for (role, digest, seed), group in _by_network(cells).items():
            network = self._network(role, digest, seed, group[0])
            trained = network.facts.identity.plugin.parameters
            try:
                scores = [
                    score
                    for cell in group
                    for score in _scores(cell, role, trained, judged[cell.record.key], machines)
                ]
                dataset = str(group[0].record.labels["dataset"])
                entry = _entry(network, dataset, role, _distinct(scores))
            except ValidationError as error:
                raise RequestError(
                    f"{network.path} cannot be exported: {first_fault(error)}"
                ) from None
            yield entry, network.path

    def _network(self, role: Role, digest: str, seed: int, cell: EvaluatedCell) -> _Network:
        """The network with this role, digest and seed."""
        title = f"the {role} {cell.record.labels.get(role, role)}"

        for key, path in self.store.find(KIND, digest).items():
            try:
                artifact = read_artifact(path)
                facts = NetworkFacts.of(artifact.meta)
            except (OSError, ValueError) as damage:
                raise RequestError(
                    f"{title} at {path} is damaged: {damage}: {_RUN_AGAIN}"
                ) from None
            wanted = role if role == "substitute" else ""
            if (facts.identity.seed, facts.identity.role) == (seed, wanted):
                return _Network(key, path, artifact.digest, facts)

        raise RequestError(
            f"{title} of this run is not in the cache {self.store.root}: give the run's own cache "
            "with --cache, and the folder that it took networks from with --pretrained or "
            f"--weights; or {_RUN_AGAIN}"
        )


def _by_network(
    cells: Sequence[EvaluatedCell],
) -> dict[tuple[Role, str, int], list[EvaluatedCell]]:
    """The cells of each network, by role, digest and seed."""
    groups: dict[tuple[Role, str, int], list[EvaluatedCell]] = {}
    for cell in cells:
        seed = int(cell.record.labels["seed"])
        for role in ROLES:
            digest = cell.record.networks.get(role, _NO_WEIGHTS)
            if digest != _NO_WEIGHTS:
                groups.setdefault((role, digest, seed), []).append(cell)

    return groups


def _entry(network: _Network, dataset: str, role: Role, scores: list[Score]) -> Entry:
    identity = network.facts.identity
    name = identity.plugin.name
    # Of a data set with parameters the name alone: a path is of this machine, and may be private.
    kind = dataset.partition(":")[0]
    content = network.path.read_bytes()

    return Entry(
        file=f"{kind}-{name}-{network.key[:8]}-{network.digest[:8]}.safetensors",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        key=network.key,
        digest=network.digest,
        family="defense" if role == "defense" else "classifier",
        role="substitute" if role == "substitute" else "",
        name=name,
        spec=identity.plugin.spec,
        dataset=kind,
        shape=network.facts.shape,
        classes=network.facts.classes,
        seed=identity.seed,
        against=identity.against.weights if identity.against else None,
        device=network.facts.device.partition(":")[0],
        seconds=network.facts.seconds,
        scores=scores,
    )


def _scores(
    cell: EvaluatedCell,
    role: Role,
    trained: Collection[str],
    verdict: Verdict,
    machines: Mapping[str, str],
) -> Iterator[Score]:
    """The clean and the robust accuracy of a classifier alone, or through a defense.

    A substitute has none. The robust accuracy of a classifier alone is that under gray-box attacks,
    which follow its gradient; other attacks say nothing about it.

    Args:
        cell: cell that used the network.
        role: role of the network.
        trained: names of the parameters that the training depends on.
        verdict: verdict of the cell.
        machines: device and PyTorch version by environment.
    """
    record = cell.record
    outcome = cell.outcome
    labels = record.labels
    images = f"{labels['attack']} {labels['eps']:g}, {labels['threat']}"

    common: dict[str, Any] = {
        "classifier": str(labels["classifier"]),
        "defense": None,
        "settings": {},
        "n": record.n,
        "draws": 1,
        "machine": machines.get(record.environment, "unknown"),
    }
    if role == "defense":
        common |= {
            "defense": str(labels["defense"]),
            "settings": _settings(record.parameters.get("defense", {}), trained),
            "draws": len(outcome.adversarial_defended),
        }
        yield _score(clean_accuracy(outcome), "clean", None, common)
        yield _score(robust_accuracy(outcome), images, verdict, common)
    elif role == "classifier":
        yield _score(undefended_clean_accuracy(outcome), "clean", None, common)
        if record.properties.threat == "graybox":
            yield _score(undefended_robust_accuracy(outcome), images, None, common)


def _score(
    accuracy: Accuracy, images: str, verdict: Verdict | None, common: Mapping[str, Any]
) -> Score:
    return Score(
        **common,
        images=images,
        value=accuracy.value,
        low=accuracy.low,
        high=accuracy.high,
        verdict=verdict.level if verdict else None,
        reasons=list(verdict.reasons) if verdict else [],
    )


def _settings(parameters: Mapping[str, Any], trained: Collection[str]) -> dict[str, Any]:
    """The parameters that the training does not depend on, without those that are not set."""
    return {
        name: value
        for name, value in parameters.items()
        if name not in trained and value is not None
    }


def _distinct(scores: Sequence[Score]) -> list[Score]:
    """The first score of each subject, in their order."""
    distinct: dict[str, Score] = {}
    for score in scores:
        distinct.setdefault(score.subject_key, score)

    return list(distinct.values())
