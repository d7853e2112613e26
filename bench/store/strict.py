"""Strict reading of the project's own JSON files, with a fault reported in one line."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class StrictModel(BaseModel):
    """A part of a file: immutable, without unknown keys and without conversion of values."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def first_fault(error: ValidationError) -> str:
    """The first fault of a file in one line: the key, its value if it is short, and the reason."""
    fault = error.errors()[0]
    key = ".".join(map(str, fault["loc"]))
    value = fault["input"]
    shown = f" = {value!r}" if isinstance(value, int | float | str) and key else ""
    reason = fault["msg"].removeprefix("Value error, ")

    return f"{key}{shown}{': ' if key else ''}{reason[0].lower()}{reason[1:]}"
