"""The model card of a folder of weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from shlex import quote
from typing import Any

import pandas as pd

from bench.plugins.catalog import DATASETS
from bench.store.weights import Entry, Score


def model_card(networks: Sequence[Entry]) -> str:
    """The model card as Markdown: data, training, accuracies, limits and use.

    Args:
        networks: entries of the folder, at least one.
    """
    first = networks[0]
    datasets = dict.fromkeys(entry.dataset for entry in networks)
    trained = pd.DataFrame([_network(entry, networks) for entry in networks])
    parts = {
        "DATA": "\n".join(f"- `{name}`: {DATASETS.get(name, '')}" for name in datasets),
        "NETWORKS": trained.to_markdown(index=False),
        "COMMANDS": "\n".join(_commands(networks)),
        "SCORES": _scores(networks),
        "REGISTRY": "DEFENSES" if first.family == "defense" else "CLASSIFIERS",
        "SPEC": first.spec,
        "FILE": first.file,
    }

    template = resources.files("bench.report") / "model_card.txt"
    card = template.read_text(encoding="utf-8")
    for name, text in parts.items():
        card = card.replace(f"@{name}@", text)

    return card


def _network(entry: Entry, networks: Sequence[Entry]) -> dict[str, Any]:
    """The row of a network in the table of networks."""
    classifiers = [other.file for other in networks if other.digest == entry.against]

    return {
        "file": entry.file,
        "MB": f"{entry.size / 1e6:.2f}",
        "kind": f"{entry.role} {entry.family}".strip(),
        "trained as": f"`{entry.spec}`",
        "data set": entry.dataset,
        "seed": entry.seed,
        "with the classifier": classifiers[0] if classifiers else "",
        "device": entry.device,
        "minutes": f"{entry.seconds / 60:.1f}",
        "SHA-256 of the file": f"`{entry.sha256}`",
    }


def _commands(networks: Sequence[Entry]) -> Iterator[str]:
    """A command for each classifier, with all defenses that were trained with it or with none."""
    for classifier in networks:
        if classifier.family == "defense" or classifier.role:
            continue
        specs = [
            entry.spec
            for entry in networks
            if entry.family == "defense"
            and (entry.dataset, entry.seed) == (classifier.dataset, classifier.seed)
            and entry.against in (None, classifier.digest)
        ]
        defenses = quote(",".join(["none", *specs]))
        data = f"--datasets {classifier.dataset} --seeds {classifier.seed} --data FOLDER"
        networks_asked = f"--classifiers {quote(classifier.spec)} --defenses {defenses}"
        yield f"bench run {data} {networks_asked}"


def _scores(networks: Sequence[Entry]) -> str:
    rows = [_score(entry, score) for entry in networks for score in entry.scores]

    return pd.DataFrame(rows).to_markdown(index=False) if rows else "None measured."


def _score(entry: Entry, score: Score) -> dict[str, Any]:
    """The row of an accuracy in the table of accuracies."""
    settings = (f"{name} {value}" for name, value in score.settings.items())
    quantity = "clean accuracy" if score.images == "clean" else "robust accuracy"

    return {
        "network": entry.file,
        "classifier": score.classifier,
        "defense": ", ".join(filter(None, (score.defense, *settings))),
        "quantity": quantity if score.defense else f"undefended {quantity}",
        "test images": score.images,
        "n": score.n,
        "draws": score.draws,
        "value": f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]",
        "verdict": score.verdict or "",
        "measured on": score.machine,
    }
