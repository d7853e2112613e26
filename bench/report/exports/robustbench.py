"""The format `robustbench`: files in the form of RobustBench's `model_info`.

The form is that of https://github.com/RobustBench/robustbench, folder `model_info`: one JSON object
for a model under a threat model, in `DATASET/THREAT/NAME.json`, with accuracies in percent as text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bench.report.escapes import json_text
from bench.report.exports.folder import mark
from bench.report.exports.pipelines import BudgetAccuracy, MeasuredPipeline
from bench.store.keys import content_key
from bench.store.tree import Tree, file_stem

_THREATS = {"linf": "Linf", "l2": "L2", "l1": "L1", "l0": "L0"}
"""RobustBench's name of a threat model, by norm; it has no name for a budget without norm."""

_UNKNOWN = ("link", "authors", "venue", "reported")
"""Fields about a publication, which a run does not know: empty, for the user to fill in."""


def write(pipelines: Sequence[MeasuredPipeline], tree: Tree) -> str:
    """Write a file for each pipeline and budget; a budget that no norm bounds is left out.

    The worst case is in the field `external`, which RobustBench has for evaluations by others. It
    is never in `autoattack_acc`, since the attacks are not AutoAttack. `unreliable` is true where
    the worst case has doubts, and `footnote` names them.

    Raises:
        StorageError: a file could not be written.
    """
    mark(tree, "robustbench")
    count = 0
    for pipeline in pipelines:
        for budget in pipeline.budgets:
            if budget.norm in _THREATS:
                folders = (file_stem(pipeline.pipeline.dataset), _THREATS[budget.norm])
                content = _model_info(pipeline, budget)
                tree.write_json(*folders, f"{_name(pipeline, budget)}.json", content=content)
                count += 1

    return f"files in the form of RobustBench's model_info: {count}"


def _name(pipeline: MeasuredPipeline, budget: BudgetAccuracy) -> str:
    """The name of a file, with a digest, since two specs may read alike in a file's name."""
    labels = {**pipeline.pipeline.labels(), "norm": budget.norm, "eps": budget.eps}
    digest = content_key(labels)[:8]
    parts = (pipeline.pipeline.classifier, pipeline.pipeline.defense, f"eps{budget.eps:g}")

    return f"{file_stem('_'.join(parts))}_seed{pipeline.pipeline.seed}_{digest}"


def _model_info(pipeline: MeasuredPipeline, budget: BudgetAccuracy) -> dict[str, Any]:
    return {
        **dict.fromkeys(_UNKNOWN, ""),
        "name": json_text(pipeline.architecture),
        "additional_data": None,
        "number_forward_passes": 1 if pipeline.undefended else None,
        "dataset": json_text(pipeline.pipeline.dataset),
        "architecture": json_text(pipeline.architecture),
        "eps": _budget(budget.eps),
        "clean_acc": _percent(budget.clean.value),
        "external": _percent(budget.worst.value),
        "footnote": json_text(_footnote(pipeline, budget)),
        "unreliable": bool(budget.doubts),
    }


def _footnote(pipeline: MeasuredPipeline, budget: BudgetAccuracy) -> str:
    low, high = _percent(budget.worst.low), _percent(budget.worst.high)
    sentences = [
        f"The external accuracy is not AutoAttack's: it is the worst case over the attacks of a "
        f"run of purification-bench (basis: {budget.basis}; strongest: {budget.strongest}), "
        f"on {pipeline.n} test images, 95 % interval [{low}, {high}]",
        f"Doubts: {budget.doubts}" if budget.doubts else "",
    ]

    return "".join(f"{sentence}. " for sentence in sentences if sentence).rstrip()


def _budget(eps: float) -> str:
    """A budget as RobustBench writes it: a short decimal number, or so many of 255 gray levels."""
    decimal, levels = f"{eps:g}", round(255 * eps)
    is_rounded = float(decimal) != eps

    return f"{levels}/255" if is_rounded and math.isclose(levels / 255, eps) else decimal


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"
