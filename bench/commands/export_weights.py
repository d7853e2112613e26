"""The format `weights` of `bench export`: the trained networks of a run as a folder of weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from bench.commands.folders import cache_folder
from bench.commands.run_networks import RunNetworks
from bench.errors import RequestError
from bench.progress import say
from bench.records.folder import RunFolder
from bench.report.model_card import model_card
from bench.store.artifacts import ArtifactStore
from bench.store.atomic import is_partial, sweep_partials
from bench.store.keys import content_key
from bench.store.locks import locked
from bench.store.tree import Tree
from bench.store.weights import KIND, MANIFEST, Entry, Manifest, Weights, check_file

_MODEL_CARD = "README.md"


def export_weights(run: Path, to: Path, cache: Path | None, weights: Path | None) -> None:
    """Copy the networks of a run into a folder of weights, with a manifest and a model card.

    Networks of other runs stay in the folder, and accuracies add up. A network that was trained
    again replaces its earlier version; defenses that were trained with the earlier version are
    removed, since no run can ask for them any more.

    Args:
        run: folder of the run.
        to: folder of weights, new or existing.
        cache: folder of the run's networks; None for the default.
        weights: folder of weights that the run took networks from; None for none.

    Raises:
        RequestError: `run` is not the folder of a run or holds no trained network, a network is no
            longer in the cache, or `to` is something else than a sound folder of weights.
        StorageError: the folder cannot be written, or holds a link in place of a file.
    """
    _entries_in(to)  # a wrong folder is reported before the networks are read
    sweep_partials(to)
    given = {KIND: Weights.open(weights).paths} if weights else None
    store = ArtifactStore(cache_folder(cache), given)
    exported = list(RunNetworks(RunFolder.open(run), store).entries())
    if not exported:
        raise RequestError(f"{run} has no finished cells with trained networks")

    lock = store.root / f"export-{content_key({'folder': str(to.resolve())})[:16]}.lock"
    with locked(lock, f"the weights in {to}"):
        networks, orphans = _write(to, exported)

    console = Console(stderr=True)
    for entry in orphans:
        say(console, f"left out: {entry.file}, trained with a classifier that has been replaced")
    size = sum(entry.size for entry in networks) / 1e6
    total = f"{len(networks)} ({size:.1f} MB)"
    say(console, f"{len(exported)} networks of the run in {to}, which now holds {total}")


def _write(to: Path, exported: Iterable[tuple[Entry, Path]]) -> tuple[list[Entry], list[Entry]]:
    """Add networks to a folder of weights; returns its networks, and those that were left out.

    A process that is killed at any moment leaves a folder of weights that a manifest describes.
    """
    tree = Tree(to)
    earlier = _entries_in(to)
    for name in (MANIFEST, _MODEL_CARD, *(entry.file for entry in earlier)):
        tree.path(name)  # a link is refused before anything is written
    for entry in earlier:
        check_file(to, entry)
    if not earlier:
        _describe(tree, [])

    kept = {entry.key: entry for entry in earlier}
    for entry, path in exported:
        tree.write_bytes(entry.file, data=path.read_bytes())
        check_file(to, entry)
        kept[entry.key] = _merged(kept.get(entry.key), entry)

    orphans = _without_classifier(kept.values())
    networks = sorted(
        (entry for entry in kept.values() if entry not in orphans),
        key=lambda entry: (entry.dataset, entry.family, entry.role, entry.name, entry.file),
    )
    _describe(tree, networks)

    files = {entry.file for entry in networks}
    for entry in earlier:
        if entry.file not in files:
            tree.path(entry.file).unlink(missing_ok=True)

    return networks, orphans


def _describe(tree: Tree, networks: list[Entry]) -> None:
    """Write the manifest and the model card."""
    manifest = Manifest(networks=networks)
    tree.write_text(MANIFEST, text=manifest.model_dump_json(indent=1) + "\n")
    if networks:
        tree.write_text(_MODEL_CARD, text=model_card(networks))


def _entries_in(folder: Path) -> list[Entry]:
    """The entries of a folder of weights; empty for a folder that does not exist yet."""
    if (folder / MANIFEST).is_file():
        return Manifest.read(folder).networks

    empty = folder.is_dir() and all(is_partial(path) for path in folder.iterdir())
    if folder.exists() and not empty:
        raise RequestError(f"{folder} exists and is no folder of weights: choose another")
    return []


def _merged(earlier: Entry | None, entry: Entry) -> Entry:
    """The entry, with the scores that the same weights had before."""
    if earlier is None or earlier.digest != entry.digest:
        return entry

    scores = {score.subject_key: score for score in (*earlier.scores, *entry.scores)}
    return entry.model_copy(update={"scores": list(scores.values())})


def _without_classifier(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that were trained with a classifier that is not among them."""
    listed = list(entries)
    digests = {entry.digest for entry in listed}

    return [entry for entry in listed if entry.against is not None and entry.against not in digests]
