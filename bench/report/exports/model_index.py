"""The format `model-index`: evaluation results as metadata of a Hugging Face model card.

The form is that of https://github.com/huggingface/hub-docs/blob/main/modelcard.md, key
`model-index`. The file is a block of YAML for the front of a `README.md`; each line holds JSON,
which YAML contains, so that no YAML writer is needed and every text is quoted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from bench.report.escapes import yaml_text
from bench.report.exports.folder import mark
from bench.report.exports.pipelines import MeasuredPipeline
from bench.store.tree import Tree

_FILE = "model-index.yaml"
_TASK = {"type": "image-classification", "name": "Image Classification"}
_DIGITS = 4
"""Number of digits of a share; JSON writes a smaller one as 1e-05, no number in YAML 1.1."""


def write(pipelines: Sequence[MeasuredPipeline], tree: Tree) -> str:
    """Write `model-index.yaml` with a model for each pipeline; an earlier file is replaced.

    Accuracies are shares in [0, 1]. The name of a suspect one ends in `(suspect)`. No result is
    marked as verified, which the Hub alone does.

    Raises:
        StorageError: the file could not be written.
    """
    mark(tree, "model-index")
    lines = [line for pipeline in pipelines for line in _model(pipeline)]
    tree.write_text(_FILE, text="\n".join(["model-index:", *lines]) + "\n")

    return f"models in {_FILE}: {len(pipelines)}"


def _model(pipeline: MeasuredPipeline) -> Iterator[str]:
    """The lines of a model."""
    labels = pipeline.pipeline
    dataset = {"type": labels.dataset, "name": labels.dataset, "split": "test"}

    yield f"- name: {_inline(f'{pipeline.architecture}, seed {labels.seed}')}"
    yield "  results:"
    yield f"  - task: {_inline(_TASK)}"
    yield f"    dataset: {_inline(dataset)}"
    yield "    metrics:"
    yield from (f"    - {_inline(metric)}" for metric in _metrics(pipeline))


def _metrics(pipeline: MeasuredPipeline) -> Iterator[dict[str, Any]]:
    """The clean accuracy, the worst cases and the accuracy under each attack."""
    images = {"n": pipeline.n}
    yield _metric("Clean accuracy", pipeline.clean.value, images, doubtful=False)

    for budget in pipeline.budgets:
        limits = {"norm": budget.norm, "eps": f"{budget.eps:g}"}
        yield _metric(
            f"Worst-case accuracy, {budget.norm} {budget.eps:g}",
            budget.worst.value,
            {**images, **limits, "basis": budget.basis, "doubts": budget.doubts},
            doubtful=bool(budget.doubts),
        )
    for attack in pipeline.attacks:
        limits = {"norm": attack.norm, "eps": f"{attack.eps:g}", "threat": attack.threat}
        yield _metric(
            f"Robust accuracy, {attack.attack} {attack.eps:g}, {attack.threat}",
            attack.robust.value,
            {**images, "attack": attack.attack, **limits, "verdict": attack.verdict},
            doubtful=attack.verdict == "suspect",
        )


def _metric(name: str, value: float, facts: dict[str, Any], *, doubtful: bool) -> dict[str, Any]:
    title = f"{name} (suspect)" if doubtful else name
    return {"type": "accuracy", "value": round(value, _DIGITS), "name": title, "args": facts}


def _inline(value: Any) -> str:
    """A value as JSON in one line, its texts escaped."""
    if isinstance(value, dict):
        inner = (f"{_inline(str(key))}: {_inline(entry)}" for key, entry in value.items())
        return f"{{{', '.join(inner)}}}"

    return json.dumps(yaml_text(value) if isinstance(value, str) else value, ensure_ascii=False)
