"""Budgets of attacks in a configuration: numbers on the [0, 1] scale, or fractions like `8/255`."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_FRACTION = re.compile(rf"{_NUMBER}\s*/\s*{_NUMBER}", re.ASCII)


def _quotient(value: Any) -> Any:
    """The value of the text of a fraction; anything else unchanged.

    Raises:
        ValueError: the text has a `/`, and is no fraction of two numbers with a finite value.
    """
    if not isinstance(value, str) or "/" not in value:
        return value

    fraction = _FRACTION.fullmatch(value.strip())
    upper, lower = map(float, fraction.groups()) if fraction else (0.0, 0.0)
    if lower == 0 or not math.isfinite(upper / lower):
        raise ValueError("write a number, or a fraction of two numbers such as 8/255")
    return upper / lower


def _told_apart(budgets: tuple[float, ...]) -> tuple[float, ...]:
    """The budgets unchanged.

    Raises:
        ValueError: two different budgets would look the same in tables.
    """
    printed: dict[str, float] = {}
    for eps in budgets:
        other = printed.setdefault(f"{eps:g}", eps)
        if other != eps:
            raise ValueError(f"{other!r} and {eps!r} are both printed as {eps:g}: leave one out")

    return budgets


Budget = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_quotient)]
"""A number of at least 0, or the text of a fraction."""

Budgets = Annotated[tuple[Budget, ...], Field(min_length=1), AfterValidator(_told_apart)]
"""One or more budgets that tables can tell apart; the same number twice is allowed."""
