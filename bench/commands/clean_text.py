"""The clean accuracies of a run as text, with a warning about a classifier that guesses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bench.sweep.clean import CleanAccuracy

_GUESSING = (
    "warning: classifier {classifier} is right on {value:.3f} of the clean images of {dataset}, "
    "chance {chance:.3f}: are its normalization and the order of its classes those of the data set?"
)


def clean_text(accuracies: Iterable[CleanAccuracy], n: int) -> Iterator[str]:
    """Lines of clean accuracies: one for each classifier, then the warnings.

    Args:
        accuracies: accuracies of pipelines, those of one classifier after each other.
        n: number of test images.
    """
    groups: dict[tuple[str, str, int | None], list[CleanAccuracy]] = {}
    for found in accuracies:
        pipeline = found.pipeline
        key = (pipeline.dataset, pipeline.classifier, pipeline.seed)
        groups.setdefault(key, []).append(found)

    if groups:
        yield f"Accuracy on {n} clean test images, before any attack:"
    for (dataset, classifier, seed), group in groups.items():
        defended = ", ".join(
            f"{found.pipeline.defense} {found.defended.value:.3f}"
            for found in group
            if found.pipeline.defense != "none"
        )
        bare = f"  {dataset}, {classifier}, seed {seed}: undefended {group[0].undefended.value:.3f}"
        yield f"{bare}; {defended}" if defended else bare
    yield from guessing_text(group[0] for group in groups.values())


def guessing_text(accuracies: Iterable[CleanAccuracy]) -> Iterator[str]:
    """A warning for each classifier that is no better than guessing."""
    warned = set()
    for found in accuracies:
        named = (found.pipeline.classifier, found.pipeline.dataset)
        if found.guesses and named not in warned:
            warned.add(named)
            yield _GUESSING.format(
                classifier=found.pipeline.classifier,
                dataset=found.pipeline.dataset,
                value=found.undefended.value,
                chance=found.chance,
            )
