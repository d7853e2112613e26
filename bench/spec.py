"""Specs: a plugin's name and parameters as text, such as `defensegan:restarts=4:steps=100`.

A value that contains one of `: , = [ ]` is written in square brackets, so that a spec can be a
parameter of another spec: `convae:attack=[pgd:steps=10]:eps=0.3`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import RequestError
from bench.text import LONGEST_NAME, one_line

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
"""Names of plugins and of parameters."""

_RESERVED = re.compile(r"[:,=\[\]]")


@dataclass(frozen=True)
class Spec:
    """A plugin's name and the parameters given to it; `str` gives the text that `parse` reads.

    Attributes:
        name: registered name of the plugin; `FILE.py:NAME` or `MODULE:NAME` for code that takes the
            place of one, see `bench.contracts.parameters.SpecOf`.
        parameters: (name, value) pairs of text in the order given; the names are unique.
    """

    name: str
    parameters: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Spec:
        """The spec of a text `name:key=value:key=[value with reserved characters]`.

        Raises:
            RequestError: the text does not have this form, or gives a parameter twice.
        """
        head, *rest = _split(text, ":")
        if not NAME.fullmatch(head):
            raise RequestError(
                f"'{_shown(text)}' is not a spec: write NAME or NAME:PARAMETER=VALUE:..."
            )

        parameters: dict[str, str] = {}
        for part in rest:
            key, equals, value = part.partition("=")
            if not equals or not NAME.fullmatch(key):
                raise RequestError(f"'{_shown(part)}' in '{_shown(text)}' is not PARAMETER=VALUE")
            if key in parameters:
                raise RequestError(f"parameter '{_shown(key)}' is given twice in '{_shown(text)}'")
            parameters[key] = _unwrap(value)

        return cls(head, tuple(parameters.items()))

    @classmethod
    def of(cls, name: str, parameters: Mapping[str, Any]) -> Spec:
        """The spec of a plugin with parameters given as JSON values.

        A plugin as a parameter is an object with `name` and `parameters`.
        """
        return cls(name, tuple((key, _text(value)) for key, value in parameters.items()))

    def __str__(self) -> str:
        return ":".join([self.name, *(f"{key}={_wrap(value)}" for key, value in self.parameters)])


def _text(value: Any) -> str:
    """A JSON value as text in a spec."""
    if isinstance(value, Mapping):
        return str(Spec.of(value["name"], value["parameters"]))
    if isinstance(value, (list, tuple)):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def split_list(text: str) -> list[str]:
    """The items of a comma-separated list of specs or numbers; commas inside brackets do not split.

    Raises:
        RequestError: an item is empty, or a bracket is not closed.
    """
    items = [item.strip() for item in _split(text, ",")]
    if not all(items):
        raise RequestError(f"'{_shown(text)}' has an empty item: write a comma-separated list")

    return items


def _split(text: str, separator: str) -> list[str]:
    """The parts of the text between the separators that are outside brackets.

    Raises:
        RequestError: the brackets are not balanced.
    """
    parts = []
    depth = 0
    start = 0

    for index, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if depth < 0:
            break
        if character == separator and depth == 0:
            parts.append(text[start:index])
            start = index + 1

    if depth != 0:
        raise RequestError(f"'{_shown(text)}' has an unbalanced square bracket")

    return [*parts, text[start:]]


def _shown(text: str) -> str:
    """A text in a message, which may be of any length and hold line breaks."""
    return one_line(text, LONGEST_NAME)


def _wrap(value: str) -> str:
    """The value in square brackets if it has reserved characters."""
    return f"[{value}]" if _RESERVED.search(value) else value


def _unwrap(value: str) -> str:
    """The value without the pair of square brackets around it.

    Raises:
        RequestError: a value without brackets has reserved characters.
    """
    if value.startswith("[") and value.endswith("]"):
        # Refuses `[a]b[c]`, whose first and last bracket are not a pair.
        _split(value[1:-1], ":")
        return value[1:-1]

    if _RESERVED.search(value):
        raise RequestError(
            f"the value '{_shown(value)}' contains one of ': , = [ ]': put it in square brackets"
        )

    return value
