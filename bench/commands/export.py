"""`bench export`: a run's trained networks, to be handed on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from bench.artifacts import ArtifactStore, read_artifact
from bench.atomic import write_bytes, write_text
from bench.catalog import DATASETS
from bench.commands.places import cache_folder
from bench.errors import RequestError
from bench.measured import Measured, measured
from bench.metrics import Accuracy, cell_metrics
from bench.progress import say
from bench.runs import RunFolder
from bench.weights import MANIFEST, Entry, Manifest, Score, Weights

_KIND = "network"


def export(run: Path, to: Path, cache: Path | None) -> None:
    """Copy the networks of a run into a folder of weights, with a manifest and a model card.

    Networks that the folder has from other runs stay; those it has already are replaced.

    Args:
        run: the run's folder.
        to: the folder of weights, new or there already.
        cache: where the run's networks lie; None for the default.

    Raises:
        RequestError: it is no run's folder, holds no trained network, one has left the cache, or the weights
            in the folder are damaged.
        StorageError: the folder cannot be written.
    """
    folder, store = RunFolder.open(run), ArtifactStore(cache_folder(cache))
    kept = dict(Weights.open(to).entries) if (to / MANIFEST).is_file() else {}
    found = list(_networks(folder, store))
    if not found:
        raise RequestError(f"{run} has no finished cells with trained networks")
    for entry, path in found:
        write_bytes(to / entry.file, path.read_bytes())
        kept[entry.file] = entry
    networks = sorted(kept.values(), key=lambda entry: (entry.dataset, entry.family, entry.name, entry.file))
    write_text(to / MANIFEST, Manifest(networks=networks).model_dump_json(indent=1) + "\n")
    write_text(to / "README.md", model_card(networks))
    total = sum(entry.size for entry in Weights.open(to).entries.values())
    say(Console(stderr=True), f"{len(found)} networks in {to}, which now holds {len(kept)} ({total / 1e6:.1f} MB)")


def _networks(folder: RunFolder, store: ArtifactStore) -> Iterator[tuple[Entry, Path]]:
    """Every network of the run that has weights, and its file in the cache."""
    cells, config = measured(folder), folder.config()
    environments = folder.environments()
    for family in ("classifier", "defense"):
        digests = dict.fromkeys(cell.result.networks[family] for cell in cells)
        for digest in digests:
            having = [cell for cell in cells if cell.result.networks[family] == digest]
            labels = having[0].result.labels
            path = store.find(_KIND, digest)
            if path is None:
                raise RequestError(
                    f"the {family} {labels[family]} of this run is not in the cache {store.root}: "
                    "give the run's with --cache, or start the run again"
                )
            artifact = read_artifact(path)
            if not artifact.tensors:
                continue
            identity, machine = artifact.meta["identity"], environments[having[0].result.environment]
            plugin = identity["plugin"]
            yield (
                Entry(
                    file=f"{labels['dataset']}-{plugin['name']}-{path.stem[:8]}.safetensors",
                    key=path.stem,
                    digest=digest,
                    family=family,
                    name=plugin["name"],
                    dataset=labels["dataset"],
                    seed=identity["seed"],
                    parameters=plugin["parameters"],
                    against=identity["against"]["weights"] if identity["against"] else None,
                    preset=config["preset"],
                    device=artifact.meta["device"],
                    seconds=artifact.meta["seconds"],
                    size=path.stat().st_size,
                    evaluated=f"{machine['device']['name']}, PyTorch {machine['packages']['torch']}",
                    scores=_scores(family, having),
                ),
                path,
            )


def _scores(family: str, cells: Sequence[Measured]) -> list[Score]:
    """Clean accuracy, and that under each attack: of a classifier alone, or through a defense."""
    found: dict[str, Score] = {}
    for cell in cells:
        metrics, labels = cell_metrics(cell.outcome), cell.result.labels
        clean, attacked = metrics.clean, metrics.robust
        if family == "classifier":
            if cell.result.facts.threat != "graybox":
                continue
            clean, attacked = metrics.undefended_clean, metrics.undefended
        for images, accuracy in (
            ("clean", clean),
            (f"{labels['attack']} {labels['eps']:g}, {labels['threat']}", attacked),
        ):
            if accuracy is not None:
                found.setdefault(images, _score(images, family, cell.result.n, accuracy))
    return list(found.values())


def _score(images: str, family: str, n: int, accuracy: Accuracy) -> Score:
    of: Any = "classifier" if family == "classifier" else "pipeline"
    return Score(images=images, of=of, n=n, value=accuracy.value, low=accuracy.low, high=accuracy.high)


def model_card(networks: Sequence[Entry]) -> str:
    """What a folder of weights holds, as Markdown: training and measured accuracy of each network."""
    made = pd.DataFrame(
        [
            {
                "file": f"{entry.file} ({entry.size / 1e6:.2f} MB)",
                "network": f"{entry.family} `{entry.name}`",
                "trained on": entry.dataset,
                "preset": entry.preset,
                "seed": entry.seed,
                "device": entry.device,
                "minutes": f"{entry.seconds / 60:.1f}",
                "SHA-256 of the weights": f"`{entry.digest[:16]}`",
            }
            for entry in networks
        ]
    )
    scores = pd.DataFrame(
        [
            {
                "file": entry.file,
                "test images": f"{score.images} (n = {score.n})",
                "accuracy of": score.of,
                "accuracy": f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]",
                "measured on": entry.evaluated,
            }
            for entry in networks
            for score in entry.scores
        ]
    )
    parameters = "\n".join(
        f"- {entry.file}: " + ", ".join(f"{name} {_shown(value)}" for name, value in entry.parameters.items())
        for entry in networks
    )
    return _CARD.format(
        manifest=MANIFEST,
        presets=" and ".join(f"`{name}`" for name in dict.fromkeys(entry.preset for entry in networks)),
        command="\n".join(
            f"bench run --preset {preset} --datasets {dataset} --seeds {seed} --data FOLDER"
            for preset, dataset, seed in dict.fromkeys((e.preset, e.dataset, e.seed) for e in networks)
        ),
        data="\n".join(f"- {name}: {DATASETS[name]}" for name in dict.fromkeys(entry.dataset for entry in networks)),
        made=made.to_markdown(index=False),
        scores=scores.to_markdown(index=False),
        parameters=parameters,
    )


def _shown(value: Any) -> str:
    """A parameter's value; a plugin inside a plugin by its name."""
    return str(value["name"]) if isinstance(value, dict) and "name" in value else str(value)


_CARD = """# Trained networks

Classifiers and purification defenses of the presets {presets}, as safetensors. `bench export` writes this folder; a run
takes its networks from it with `--weights FOLDER` (or `--pretrained`, where it comes with the package) instead of
training them, after every file has been held against its digest in `{manifest}`.

**Use**: to evaluate these defenses without training them, and to begin a comparison from the very same networks. They
are networks for the images of a benchmark; none of them is fit to protect anything.

**Data**: all training images of these data sets; the test images were used for the accuracies below alone.

{data}

**Command** that trains and evaluates them, where no option changed the preset (the parameters are below). Other
machines round otherwise, and get other weights.

```
{command}
```

{made}

## Accuracy

With 95 % Wilson intervals. `classifier` is the bare network, `pipeline` the purifier and its classifier.

{scores}

## Parameters

{parameters}
"""
