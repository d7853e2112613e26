"""The form of labels in files: names, specs and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import GetPydanticSchema, TypeAdapter
from typing_extensions import TypedDict

from bench.store.strict import STRICT, Count, NonNegative, SpecText, validated


class Labels(TypedDict):
    """The labels of a cell in a file."""

    __pydantic_config__ = STRICT  # type: ignore[misc]

    dataset: SpecText
    classifier: SpecText
    defense: SpecText
    attack: SpecText
    eps: NonNegative
    threat: SpecText
    seed: Count


def read_as(model: Any) -> GetPydanticSchema:
    """The annotation of a mapping that has the form of a typed dictionary in a file."""
    return GetPydanticSchema(lambda _, handler: handler(model))


AnyLabels = Annotated[Mapping[str, Any], read_as(Labels)]

_LABELS = TypeAdapter(Labels)


def check_labels(labels: Mapping[str, Any]) -> None:
    """Check labels before anything is computed under them.

    Raises:
        Unreadable: a file with these labels could not be read back.
    """
    validated(_LABELS, dict(labels))
