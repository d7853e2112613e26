"""`bench export`: a run's trained networks, to be handed on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from bench.analysis.checks import Verdict, verdicts
from bench.analysis.metrics import cell_metrics
from bench.analysis.outcomes import EvaluatedCell, evaluated_cells
from bench.commands.folders import cache_folder
from bench.errors import RequestError
from bench.progress import say
from bench.records.folder import RunFolder
from bench.report.model_card import model_card
from bench.spec import Spec
from bench.store.artifacts import Artifact, ArtifactStore, digest_of, locked, read_artifact
from bench.store.atomic import is_partial, write_bytes, write_text
from bench.store.keys import content_key
from bench.store.weights import KIND, MANIFEST, Entry, Manifest, Score, Weights, check

Role = Literal["classifier", "substitute", "defense"]
ROLES: tuple[Role, ...] = ("classifier", "substitute", "defense")

_ANEW = "run it anew into another folder (--out)"

_EMPTY = digest_of({})
"""Of a network without weights: there is nothing to hand on."""


def export(run: Path, to: Path, cache: Path | None, weights: Path | None) -> None:
    """Copy the networks of a run into a folder of weights, with a manifest and a model card.

    CellNetworks that the folder has from other runs stay, and accuracies add up. One that was
    trained anew replaces its earlier self; defenses that were trained with that are left out then,
    since no run can ask for them any more.

    Args:
        run: the run's folder.
        to: the folder of weights, new or there already.
        cache: where the run's networks lie; None for the default.
        weights: the folder of weights that the run took networks from.

    Raises:
        RequestError: it is no run's folder, holds no trained network, one has left the cache, or
            `to` is something else than a folder of weights, or its weights are damaged.
        StorageError: the folder cannot be written.
    """
    _entries_in(to)  # what is wrong with the folder is told first
    given = {KIND: Weights.open(weights).paths} if weights else None
    store = ArtifactStore(cache_folder(cache), given)
    found = list(_Export(RunFolder.open(run), store).networks())
    if not found:
        raise RequestError(f"{run} has no finished cells with trained networks")
    lock = store.root / f"export-{content_key({'folder': str(to.resolve())})[:16]}.lock"
    with locked(lock, f"the weights in {to}"):
        networks, orphans = _write(to, found)
    console = Console(stderr=True)
    for entry in orphans:
        say(console, f"left out: {entry.file}, trained with a classifier that has been replaced")
    total = sum(entry.size for entry in networks) / 1e6
    say(
        console,
        f"{len(found)} networks of the run in {to}, which now holds {len(networks)} ({total:.1f} MB)",
    )


def _write(to: Path, found: Iterable[tuple[Entry, Path]]) -> tuple[list[Entry], list[Entry]]:
    """Add networks to a folder of weights; returns what it now holds, and what of both had to be
    left out.

    Killed at any moment, it leaves a folder of weights that a manifest describes.
    """
    earlier = _entries_in(to)
    for entry in earlier:
        check(to, entry)
    if not earlier:
        _describe(to, [])
    kept = {entry.key: entry for entry in earlier}
    for entry, path in found:
        write_bytes(to / entry.file, path.read_bytes())
        check(to, entry)
        kept[entry.key] = _merged(kept.get(entry.key), entry)
    orphans = _without_classifier(kept.values())
    networks = sorted(
        (entry for entry in kept.values() if entry not in orphans),
        key=lambda entry: (entry.dataset, entry.family, entry.role, entry.name, entry.file),
    )
    _describe(to, networks)
    for entry in earlier:
        if entry.file not in {each.file for each in networks}:
            (to / entry.file).unlink(missing_ok=True)
    return networks, orphans


def _describe(to: Path, networks: list[Entry]) -> None:
    write_text(to / MANIFEST, Manifest(networks=networks).model_dump_json(indent=1) + "\n")
    if networks:
        write_text(to / "README.md", model_card(networks))


def _entries_in(folder: Path) -> list[Entry]:
    """What a folder of weights holds; nothing where there is none yet."""
    if (folder / MANIFEST).is_file():
        return Manifest.read(folder).networks
    if folder.exists() and (
        not folder.is_dir() or any(not is_partial(entry) for entry in folder.iterdir())
    ):
        raise RequestError(f"{folder} exists and is no folder of weights: choose another")
    return []


def _merged(earlier: Entry | None, entry: Entry) -> Entry:
    """The entry, with the scores that the same weights had before."""
    if earlier is None or earlier.digest != entry.digest:
        return entry
    scores = {score.place: score for score in (*earlier.scores, *entry.scores)}
    return entry.model_copy(update={"scores": list(scores.values())})


def _without_classifier(entries: Iterable[Entry]) -> list[Entry]:
    """Those that were trained with a classifier that is not among them."""
    listed = list(entries)
    there = {entry.digest for entry in listed}
    return [entry for entry in listed if entry.against is not None and entry.against not in there]


@dataclass(frozen=True)
class _Export:
    """Finds the networks of a run.

    Attributes:
        folder: of the run.
        store: where its networks lie.
    """

    folder: RunFolder
    store: ArtifactStore

    def networks(self) -> Iterator[tuple[Entry, Path]]:
        """Every network of the run that has weights, and its file."""
        cells = evaluated_cells(self.folder)
        judged, machines = verdicts(cells), self.folder.machines()
        groups: dict[tuple[Role, str, int], list[EvaluatedCell]] = {}
        for cell in cells:
            for role in ROLES:
                digest = cell.record.networks.get(role, _EMPTY)
                if digest != _EMPTY:
                    groups.setdefault((role, digest, int(cell.record.labels["seed"])), []).append(
                        cell
                    )
        for (role, digest, seed), having in groups.items():
            key, path, artifact = self._artifact(role, digest, seed, having[0])
            trained = artifact.meta["identity"]["plugin"]["parameters"]
            scores = list(_scores(role, having, trained, judged, machines))
            yield _entry(key, path, artifact, having[0], role, scores), path

    def _artifact(
        self, role: Role, digest: str, seed: int, cell: EvaluatedCell
    ) -> tuple[str, Path, Artifact]:
        """The network of that digest that was trained with that seed, in that role."""
        label = cell.record.labels.get(role, role)
        for key, path in self.store.find(KIND, digest).items():
            try:
                artifact = read_artifact(path)
            except ValueError as damage:
                raise RequestError(
                    f"the {role} {label} at {path} is damaged: {damage}: {_ANEW}"
                ) from None
            identity = artifact.meta["identity"]
            wanted = role if role == "substitute" else ""
            if (identity["seed"], identity.get("role", "")) == (seed, wanted):
                return key, path, artifact
        raise RequestError(
            f"the {role} {label} of this run is not in the cache {self.store.root}: give the run's own with --cache, "
            f"and what it took networks from with --pretrained or --weights; or {_ANEW}"
        )


def _entry(
    key: str, path: Path, artifact: Artifact, cell: EvaluatedCell, role: Role, scores: list[Score]
) -> Entry:
    identity, dataset = artifact.meta["identity"], cell.record.labels["dataset"]
    plugin, content = identity["plugin"], path.read_bytes()
    return Entry(
        file=f"{dataset}-{plugin['name']}-{key[:8]}-{artifact.digest[:8]}.safetensors",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        key=key,
        digest=artifact.digest,
        family="defense" if role == "defense" else "classifier",
        role="substitute" if role == "substitute" else "",
        name=plugin["name"],
        spec=str(Spec.of(plugin["name"], plugin["parameters"])),
        dataset=dataset,
        seed=identity["seed"],
        against=identity["against"]["weights"] if identity["against"] else None,
        device=str(artifact.meta["device"]).partition(":")[0],
        seconds=artifact.meta["seconds"],
        scores=scores,
    )


def _scores(
    role: Role,
    cells: Iterable[EvaluatedCell],
    trained: Collection[str],
    judged: Mapping[str, Verdict],
    machines: Mapping[str, str],
) -> Iterator[Score]:
    """Clean accuracy, and that under each attack: of a classifier alone, or through a defense.

    None of a substitute.
    """
    found: dict[str, Score] = {}
    for cell in cells if role != "substitute" else ():
        for score in _of_cell(cell, role == "defense", trained, judged[cell.record.key], machines):
            found.setdefault(score.place, score)
    yield from found.values()


def _of_cell(
    cell: EvaluatedCell,
    defended: bool,
    trained: Collection[str],
    verdict: Verdict,
    machines: Mapping[str, str],
) -> Iterator[Score]:
    """Both scores of a cell.

    What is attacked without knowledge of the bare classifier says nothing of it.
    """
    result, metrics, labels = cell.record, cell_metrics(cell.outcome), cell.record.labels
    attack = f"{labels['attack']} {labels['eps']:g}, {labels['threat']}"
    clean = (
        metrics.clean_accuracy if defended else metrics.undefended_clean_accuracy,
        "clean",
        None,
    )
    attacked = (
        metrics.robust_accuracy if defended else metrics.undefended_robust_accuracy,
        attack,
        str(verdict) if defended else None,
    )
    parameters = result.parameters.get("defense", {}) if defended else {}
    for accuracy, images, level in (clean, attacked):
        if accuracy is None or (
            images != "clean" and not defended and result.properties.threat != "graybox"
        ):
            continue
        yield Score(
            classifier=str(labels["classifier"]),
            defense=str(labels["defense"]) if defended else None,
            settings={
                name: value
                for name, value in parameters.items()
                if name not in trained and value is not None
            },
            images=images,
            n=result.n,
            draws=len(cell.outcome.adversarial_defended) if defended else 1,
            value=accuracy.value,
            low=accuracy.low,
            high=accuracy.high,
            verdict=level,
            machine=machines.get(result.environment, "unknown"),
        )
