"""The literature's numbers, as printed: the files of results/published, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from bench.errors import RequestError, unknown
from bench.store.packaged import packaged_folder
from bench.store.strict import Fraction, StrictModel, first_fault

Budget = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]

Scale = Literal["[0, 1]", "[-1, 1]", "unstated"]


class Source(StrictModel):
    """Where figures were printed.

    Attributes:
        title: of the publication.
        authors: likewise.
        venue: where and when it appeared.
        arxiv: its number there.
        code: address of the authors' code.
        read: what of it was read.
        note: what a reader must know of all its figures.
    """

    title: Text
    authors: Text
    venue: Text
    arxiv: Annotated[str, Field(pattern=r"^\d{4}\.\d{4,5}$")] | None
    code: Annotated[str, Field(pattern=r"^https://")] | None
    read: Text
    note: str


class Figure(StrictModel):
    """A printed accuracy, latency, or both; None stands for what is not said.

    Attributes:
        source: key of its source.
        table: as the source numbers it.
        dataset: in this project's names, like `defense` and `attack`; without an attack the image
            is clean.
        classifier: as printed.
        defense: `none` where there is none.
        attack: name of its family.
        norm: that epsilon bounds.
        epsilon: as printed.
        eps: the same as a number.
        scale: range of the pixels that epsilon is measured on, where the source states it.
        threat_printed: what the attacker knows, in the source's words.
        threat: the same as one of this project's threat models.
        accuracy: share of the test images, in [0, 1].
        latency_s: seconds.
        device: that the latency was measured on.
        evidence: `verified` was read in the source or its authors' repository, `summary` in
            another's summary.
        note: what a reader must know of it.
    """

    source: Text
    table: Text | None
    dataset: Text
    classifier: Text | None
    defense: Text
    attack: Text | None
    norm: Literal["linf", "l2", "l1"] | None
    epsilon: Text | None
    eps: Budget | None
    scale: Scale
    threat_printed: Text | None
    threat: Literal["noise", "transfer", "graybox", "query", "bpda", "whitebox"] | None
    accuracy: Fraction | None
    latency_s: Seconds | None
    device: Text | None
    evidence: Literal["verified", "summary"]
    note: str

    @property
    def clean(self) -> bool:
        """Whether the image is not attacked."""
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
        sources: by key.
        figures: in the order in which they are printed.
    """

    sources: dict[str, Source]
    figures: Annotated[tuple[Figure, ...], Field(min_length=1, strict=False)]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        named = {figure.source for figure in self.figures}
        if named != self.sources.keys():
            raise ValueError(
                f"named, or described, but not both: source {', '.join(named ^ self.sources.keys())}"
            )
        seen = set()
        for figure in self.figures:
            place = (
                figure.source,
                figure.table,
                figure.dataset,
                figure.defense,
                figure.attack,
                figure.eps,
            )
            if place in seen:
                raise ValueError(
                    f"there are two figures at {' '.join(str(part) for part in place if part is not None)}"
                )
            seen.add(place)
        return self


def published_names() -> list[str]:
    """The files of results/published, without their ending."""
    return sorted(path.stem for path in packaged_folder("published").glob("*.json"))


def read_published(name: str) -> tuple[str, Publication]:
    """The figures of a file, and what to call them.

    Args:
        name: one of `published_names`, or the path of a file of the same form, which ends in
            `.json`.

    Raises:
        RequestError: there is no such file, or it is not of that form.
    """
    if name.endswith(".json"):
        return Path(name).stem, _parse(name, _text(Path(name)))
    if name not in published_names():
        raise unknown("published figures", name, published_names())
    return name, _parse(
        f"{name}.json", (packaged_folder("published") / f"{name}.json").read_text(encoding="utf-8")
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RequestError(
            f"cannot read published figures {path}: {error.strerror or error}"
        ) from None
    except UnicodeDecodeError as error:
        raise RequestError(f"published figures {path} are not UTF-8: {error.reason}") from None


def _parse(source: str, text: str) -> Publication:
    """Checked; the first fault in one line."""
    try:
        return Publication.model_validate_json(text)
    except ValidationError as error:
        raise RequestError(f"published figures {source}: {first_fault(error)}") from None
