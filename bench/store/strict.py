"""Strict models of what files hold: types and ranges, with a fault reported in one line."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from bench.errors import RequestError
from bench.spec import Spec
from bench.store.reading import Unreadable
from bench.text import LONGEST_NAME, one_line

T = TypeVar("T")

LONGEST_TEXT = 10_000
"""Largest number of characters of a text in a file."""

LARGEST = 2**63 - 1
"""Largest whole number in a file, which is that of 64 bits."""

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)
"""Settings of a strict model: no unknown keys, and no conversion of values."""

Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
"""Any text of bounded length."""

FilledText = Annotated[Text, Field(min_length=1)]
"""A text that is not empty."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:+-]{0,99}$")]
"""A name without spaces, such as `classifier`, `float32` or `cuda:0`."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal digits."""

Whole = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
Count = Annotated[int, Field(ge=0, le=LARGEST)]
PositiveCount = Annotated[int, Field(gt=0, le=LARGEST)]
ImageShape = tuple[PositiveCount, PositiveCount, PositiveCount]
"""Channels, height and width of an image."""

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _spec(text: str) -> str:
    try:
        Spec.parse(text)
    except RequestError as error:
        raise ValueError(str(error)) from None
    return text


SpecText = Annotated[FilledText, AfterValidator(_spec)]
"""A plugin's name, or its name and parameters as a spec."""


class StrictModel(BaseModel):
    """A part of a file: immutable, without unknown keys and without conversion of values."""

    model_config = STRICT


def validated(model: TypeAdapter[T], content: Any) -> T:
    """The value of JSON content in the form of a model.

    Args:
        model: model of the content.
        content: value that `bench.store.reading.parse_json` returned.

    Raises:
        Unreadable: the content does not have that form; the text names the first fault.
    """
    # JSON has lists alone, which only the validation of a JSON text takes as tuples.
    try:
        return model.validate_json(json.dumps(content))
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except ValidationError as error:
        raise Unreadable(first_fault(error)) from None


def first_fault(error: ValidationError) -> str:
    """The first fault of a file in one line: the key, its value if it is short, and the reason."""
    fault = error.errors(include_url=False)[0]
    key = one_line(".".join(map(str, fault["loc"])), LONGEST_NAME)
    value = fault["input"]
    is_shown = isinstance(value, int | float | str) and key
    shown = f" = {one_line(repr(value), LONGEST_NAME)}" if is_shown else ""

    return f"{key}{shown}{': ' if key else ''}{reason_of_fault(fault)}"


def reason_of_fault(fault: ErrorDetails) -> str:
    """The reason why a value is refused, in one line that begins in lower case."""
    reason = one_line(fault["msg"].removeprefix("Value error, "))
    return reason[:1].lower() + reason[1:]
