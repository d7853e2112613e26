"""The model card of a folder of weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import pandas as pd

from bench.plugins.catalog import list_plugins
from bench.report.escapes import markdown_code, markdown_text, python_text, shell_word
from bench.store.weights import Entry, Score


def model_card(networks: Sequence[Entry]) -> str:
    """The model card as Markdown: data, training, accuracies, limits and use.

    Args:
        networks: entries of the folder, at least one.
    """
    first = networks[0]
    parts = {
        "DATA": "\n".join(_datasets(networks)),
        "NETWORKS": _table([_network(entry, networks) for entry in networks]),
        "COMMANDS": "\n".join(_commands(networks)),
        "SCORES": _scores(networks),
        "REGISTRY": "DEFENSES" if first.family == "defense" else "CLASSIFIERS",
        "SPEC": python_text(first.spec),
        "INFO": _info(first),
        "FILE": python_text(first.file),
    }

    template = resources.files("bench.report") / "model_card.txt"
    card = template.read_text(encoding="utf-8")
    # In one pass, so that a name that looks like a place in the template stays as it is.
    return re.sub("@([A-Z]+)@", lambda place: parts[place[1]], card)


def _datasets(networks: Sequence[Entry]) -> Iterator[str]:
    """A line for each data set, and for each size of its images."""
    summaries = {info.name: info.summary for info in list_plugins() if info.family == "dataset"}
    for name, size in dict.fromkeys((entry.dataset, _size(entry)) for entry in networks):
        summary = summaries.get(name.partition(":")[0], "")
        yield f"- {markdown_code(name)}{size}: {summary}"


def _size(entry: Entry) -> str:
    """Size of the images and number of classes, in brackets; empty where they are unknown."""
    if entry.shape is None or entry.classes is None:
        return ""
    return f" ({'x'.join(map(str, entry.shape))}, {entry.classes} classes)"


def _info(entry: Entry) -> str:
    """The argument of `build` as Python; names for the reader to fill in where it is unknown."""
    shape = "(CHANNELS, HEIGHT, WIDTH)" if entry.shape is None else str(entry.shape)
    classes = "CLASSES" if entry.classes is None else str(entry.classes)
    return f"DataInfo(shape={shape}, classes={classes})"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table; their texts are Markdown."""
    return str(pd.DataFrame(rows).to_markdown(index=False))


def _network(entry: Entry, networks: Sequence[Entry]) -> dict[str, Any]:
    """The row of a network in the table of networks."""
    classifiers = [other.file for other in networks if other.digest == entry.against]

    return {
        "file": markdown_text(entry.file),
        "MB": f"{entry.size / 1e6:.2f}",
        "kind": f"{entry.role} {entry.family}".strip(),
        "trained as": markdown_code(entry.spec),
        "data set": markdown_text(entry.dataset),
        "seed": entry.seed,
        "with the classifier": markdown_text(classifiers[0]) if classifiers else "",
        "device": markdown_text(entry.device),
        "minutes": f"{entry.seconds / 60:.1f}",
        "SHA-256 of the file": markdown_code(entry.sha256),
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
        dataset = shell_word(classifier.dataset)
        defenses = shell_word(",".join(["none", *specs]))
        data = f"--datasets {dataset} --seeds {classifier.seed} --data FOLDER"
        networks_asked = f"--classifiers {shell_word(classifier.spec)} --defenses {defenses}"
        yield f"bench run {data} {networks_asked}"


def _scores(networks: Sequence[Entry]) -> str:
    rows = [_score(entry, score) for entry in networks for score in entry.scores]

    return _table(rows) if rows else "None measured."


def _score(entry: Entry, score: Score) -> dict[str, Any]:
    """The row of an accuracy in the table of accuracies."""
    settings = (f"{name} {value}" for name, value in score.settings.items())
    quantity = "clean accuracy" if score.images == "clean" else "robust accuracy"

    return {
        "network": markdown_text(entry.file),
        "classifier": markdown_text(score.classifier),
        "defense": markdown_text(", ".join(filter(None, (score.defense, *settings)))),
        "quantity": quantity if score.defense else f"undefended {quantity}",
        "test images": markdown_text(score.images),
        "n": score.n,
        "draws": score.draws,
        "value": f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]",
        "verdict": score.verdict or "",
        "measured on": markdown_text(score.machine),
    }
