"""The model card of a folder of weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from shlex import quote
from typing import Any

import pandas as pd

from bench.plugins.catalog import DATASETS
from bench.store.weights import Entry


def model_card(networks: Sequence[Entry]) -> str:
    """What a folder of weights holds, for people, as Markdown: data, training, accuracies, limits,
    use.

    Args:
        networks: at least one.
    """
    first = networks[0]
    parts = {
        "DATA": "\n".join(
            f"- `{name}`: {DATASETS.get(name, '')}" for name in _different(networks, "dataset")
        ),
        "NETWORKS": pd.DataFrame([_network(entry, networks) for entry in networks]).to_markdown(
            index=False
        ),
        "COMMANDS": "\n".join(_commands(networks)),
        "SCORES": _scores(networks),
        "REGISTRY": "DEFENSES" if first.family == "defense" else "CLASSIFIERS",
        "SPEC": first.spec,
        "FILE": first.file,
    }
    card = (resources.files("bench") / "templates" / "model_card.txt").read_text(encoding="utf-8")
    for name, text in parts.items():
        card = card.replace(f"@{name}@", text)
    return card


def _different(networks: Sequence[Entry], name: str) -> list[Any]:
    return list(dict.fromkeys(getattr(entry, name) for entry in networks))


def _network(entry: Entry, networks: Sequence[Entry]) -> dict[str, Any]:
    against = next((each.file for each in networks if each.digest == entry.against), "")
    return {
        "file": entry.file,
        "MB": f"{entry.size / 1e6:.2f}",
        "what": " ".join(filter(None, (entry.role, entry.family))),
        "trained as": f"`{entry.spec}`",
        "on": entry.dataset,
        "seed": entry.seed,
        "with the classifier": against,
        "device": entry.device,
        "minutes": f"{entry.seconds / 60:.1f}",
        "SHA-256 of the file": f"`{entry.sha256}`",
    }


def _commands(networks: Sequence[Entry]) -> Iterator[str]:
    """One per data set, seed and classifier, with every defense that belongs to it or to none."""
    for entry in networks:
        if entry.family == "defense" or entry.role:
            continue
        of_it = [
            each.spec
            for each in networks
            if each.family == "defense"
            and (each.dataset, each.seed) == (entry.dataset, entry.seed)
            and each.against in (None, entry.digest)
        ]
        defenses = quote(",".join(["none", *of_it]))
        place = f"--datasets {entry.dataset} --seeds {entry.seed} --data FOLDER"
        yield f"bench run {place} --classifiers {quote(entry.spec)} --defenses {defenses}"


def _scores(networks: Sequence[Entry]) -> str:
    rows = [
        {
            "network": entry.file,
            "classifier": score.classifier,
            "defense": ", ".join(
                [
                    score.defense or "",
                    *(f"{name} {value}" for name, value in score.settings.items()),
                ]
            ).strip(", "),
            "test images": score.images,
            "n": score.n,
            "draws": score.draws,
            "accuracy": f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]",
            "verdict": (score.verdict or "").partition(":")[0],
            "measured on": score.machine,
        }
        for entry in networks
        for score in entry.scores
    ]
    return pd.DataFrame(rows).to_markdown(index=False) if rows else "None measured."
