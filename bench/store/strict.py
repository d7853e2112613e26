"""What the project's own JSON files have in common: they are read strictly, and a fault is told in one line."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class StrictModel(BaseModel):
    """Part of a file: nothing beyond what is named, no coercion, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def first_fault(error: ValidationError) -> str:
    """The first fault: where it is, what it holds, what is wrong."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    given = (
        f" = {first['input']!r}" if isinstance(first["input"], int | float | str) and where else ""
    )
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}{given}{': ' if where else ''}{message[0].lower()}{message[1:]}"
