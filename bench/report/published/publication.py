"""Published numbers as printed: the files of results/published, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from bench.errors import RequestError, unknown
from bench.store.packaged import packaged_folder, published_names
from bench.store.reading import MEBIBYTE, read_json
from bench.store.strict import (
    FilledText,
    Fraction,
    NonNegative,
    Positive,
    StrictModel,
    Text,
    validated,
)

_MOST_BYTES = 4 * MEBIBYTE
"""Largest size in bytes of a file of published figures."""

Scale = Literal["[0, 1]", "[-1, 1]", "unstated"]


class Source(StrictModel):
    """A publication in which figures were printed.

    Attributes:
        title: title of the publication.
        authors: names of the authors.
        venue: journal or conference, and year.
        arxiv: arXiv number; None where there is none.
        code: address of the authors' code; None where there is none.
        read: parts of the publication that were read.
        note: remark on all its figures; empty for none.
    """

    title: FilledText
    authors: FilledText
    venue: FilledText
    arxiv: Annotated[str, Field(pattern=r"^\d{4}\.\d{4,5}$")] | None
    code: Annotated[str, Field(pattern=r"^https://", max_length=1000)] | None
    read: FilledText
    note: Text


class PublishedFigure(StrictModel):
    """A printed accuracy, latency, or both; None stands for what the source does not state.

    Attributes:
        source: key of the source.
        table: number of the table in the source.
        dataset: name of the data set in this project.
        classifier: name of the classifier as printed.
        defense: name of the defense in this project; `none` for the bare classifier.
        attack: name of the attack in this project; None for clean images.
        norm: norm that epsilon bounds.
        epsilon: epsilon as printed.
        eps: epsilon as a number, on the printed scale.
        scale: range of the pixels that epsilon is measured on.
        threat_printed: knowledge of the attacker in the source's words.
        threat: name of the corresponding threat model in this project.
        accuracy: share of test images that are right, in [0, 1].
        latency_s: latency of a call in seconds.
        device: device that the latency was measured on.
        evidence: `verified` for a number read in the source or its authors' repository, `summary`
            for one read in someone else's summary.
        note: remark on this figure; empty for none.
    """

    source: FilledText
    table: FilledText | None
    dataset: FilledText
    classifier: FilledText | None
    defense: FilledText
    attack: FilledText | None
    norm: Literal["linf", "l2", "l1"] | None
    epsilon: FilledText | None
    eps: NonNegative | None
    scale: Scale
    threat_printed: FilledText | None
    threat: Literal["noise", "transfer", "graybox", "query", "bpda", "whitebox"] | None
    accuracy: Fraction | None
    latency_s: Positive | None
    device: FilledText | None
    evidence: Literal["verified", "summary"]
    note: Text

    @property
    def clean(self) -> bool:
        """Whether the images are clean."""
        return self.attack is None or self.eps == 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.accuracy is None and self.latency_s is None:
            raise ValueError("there is neither an accuracy nor a latency")

        if (self.attack is None) != (self.epsilon is None) or (self.attack is None) != (
            self.threat is None
        ):
            raise ValueError(
                "an attack goes with an epsilon and a threat model, and only with them"
            )

        if (self.epsilon is None) != (self.eps is None) or (
            self.epsilon and float(self.epsilon) != self.eps
        ):
            raise ValueError(f"eps is not the epsilon that is printed, {self.epsilon}")

        return self


class Publication(StrictModel):
    """A file of published figures.

    Attributes:
        sources: publications by key.
        figures: published figures in the order in which they are printed.
    """

    sources: dict[str, Source]
    figures: Annotated[tuple[PublishedFigure, ...], Field(min_length=1, strict=False)]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        named = {figure.source for figure in self.figures}
        if named != self.sources.keys():
            faulty = ", ".join(sorted(named ^ self.sources.keys()))
            raise ValueError(f"named, or described, but not both: source {faulty}")

        known = set()
        for figure in self.figures:
            names = ("source", "table", "dataset", "defense", "attack", "eps")
            key = tuple(getattr(figure, name) for name in names)
            if key in known:
                title = " ".join(str(part) for part in key if part is not None)
                raise ValueError(f"there are two figures at {title}")
            known.add(key)

        return self


def read_published(name: str) -> tuple[str, Publication]:
    """Read a file of published figures; returns its name and its content.

    Args:
        name: one of `bench.store.packaged.published_names`, or the path of a file of the same form
            that ends in `.json`.

    Raises:
        RequestError: there is no such file, or it does not have that form.
    """
    if name.endswith(".json"):
        return Path(name).stem, _read(Path(name))
    if name not in published_names():
        raise unknown("published figures", name, published_names())

    return name, _read(packaged_folder("published") / f"{name}.json")


_PUBLICATION = TypeAdapter(Publication)


def _read(path: Path) -> Publication:
    """The checked content of a file; a fault is reported in one line."""
    try:
        return validated(_PUBLICATION, read_json(path, _MOST_BYTES))
    except OSError as error:
        raise RequestError(
            f"cannot read published figures {path}: {error.strerror or error}"
        ) from None
    except ValueError as fault:
        raise RequestError(f"published figures {path}: {fault}") from None
