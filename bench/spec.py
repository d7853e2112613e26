"""Specs: a plugin's name and parameters as text, such as `defensegan:restarts=4:steps=100`.

A value that holds one of `: , = [ ]` stands in square brackets, so a spec can be a parameter of
another: `convae:attack=[pgd:steps=10]:eps=0.3`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import RequestError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_RESERVED = re.compile(r"[:,=\[\]]")


@dataclass(frozen=True)
class Spec:
    """A plugin's name and the parameters given to it, values as text; prints as it parses.

    Attributes:
        name: the registered name.
        parameters: (name, value) pairs in the order they were given; names are unique.
    """

    name: str
    parameters: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read `name:key=value:key=[value with reserved characters]`.

        Raises:
            RequestError: the text does not have that form.
        """
        head, *rest = _split(text, ":")
        if not _NAME.fullmatch(head):
            raise RequestError(f"'{text}' is not a spec: write NAME or NAME:PARAMETER=VALUE:...")
        parameters: dict[str, str] = {}
        for part in rest:
            key, equals, value = part.partition("=")
            if not equals or not _NAME.fullmatch(key):
                raise RequestError(f"'{part}' in '{text}' is not PARAMETER=VALUE")
            if key in parameters:
                raise RequestError(f"parameter '{key}' is given twice in '{text}'")
            parameters[key] = _unwrap(value)
        return cls(head, tuple(parameters.items()))

    @classmethod
    def of(cls, name: str, parameters: Mapping[str, Any]) -> Spec:
        """The spec of these parameters, values as JSON.

        A plugin among them has `name` and `parameters` of its own.
        """
        return cls(name, tuple((key, _text(value)) for key, value in parameters.items()))

    def __str__(self) -> str:
        return ":".join([self.name, *(f"{key}={_wrap(value)}" for key, value in self.parameters)])


def _text(value: Any) -> str:
    """A JSON value as a spec writes it."""
    if isinstance(value, Mapping):
        return str(Spec.of(value["name"], value["parameters"]))
    if isinstance(value, (list, tuple)):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def split_list(text: str) -> list[str]:
    """Split a comma-separated list of specs or numbers; commas inside brackets do not count.

    Raises:
        RequestError: an item is empty, or a bracket is not closed.
    """
    items = [item.strip() for item in _split(text, ",")]
    if not all(items):
        raise RequestError(f"'{text}' has an empty item: write a comma-separated list")
    return items


def _split(text: str, separator: str) -> list[str]:
    """Split at the separators outside brackets."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if depth < 0:
            break
        if character == separator and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    if depth != 0:
        raise RequestError(f"'{text}' has an unbalanced square bracket")
    return [*parts, text[start:]]


def _wrap(value: str) -> str:
    return f"[{value}]" if _RESERVED.search(value) else value


def _unwrap(value: str) -> str:
    """Drop the outer brackets where one pair encloses the whole value.

    Stray reserved characters are refused.
    """
    if value.startswith("[") and value.endswith("]"):
        _split(value[1:-1], ":")  # refuses `[a]b[c]`, where the outer brackets are no pair
        return value[1:-1]
    if _RESERVED.search(value):
        raise RequestError(
            f"the value '{value}' holds one of ': , = [ ]': put it in square brackets"
        )
    return value
