"""The parameters of a plugin class: their types, and conversion from text and to JSON values."""

from __future__ import annotations

import dataclasses
import math
import re
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from bench.contracts import OmittedAt, SpecOf
from bench.errors import RequestError
from bench.spec import Spec, split_list
from bench.text import LONGEST_NAME, one_line

Json = Any

CODE_REFERENCE = re.compile(r"(?P<source>.+\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)", re.ASCII)
"""A class or function of a file or module, `FILE.py:NAME` or `MODULE:NAME`."""


def parameter_hints(cls: type) -> dict[str, Any]:
    """The parameters of a plugin class, in order, with their type annotations.

    Raises:
        RequestError: the class is not a dataclass.
    """
    if not dataclasses.is_dataclass(cls):
        raise RequestError(
            f"plugin class {cls.__name__} is not a dataclass: "
            "decorate it with @dataclass(frozen=True)"
        )

    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def spec_of(hint: Any) -> SpecOf | None:
    """The marker of a parameter that takes specs of plugins; None for any other parameter."""
    return next((marker for marker in _markers(hint) if isinstance(marker, SpecOf)), None)


def omitted_value(hint: Any) -> bool | int | float | str | None:
    """The value at which a parameter is left out of the identity, from its marker `OmittedAt`.

    None if the parameter has no such marker.
    """
    markers = _markers(hint)
    return next((marker.value for marker in markers if isinstance(marker, OmittedAt)), None)


def typed_value(description: str, name: str, hint: Any, value: Any) -> Any:
    """A parameter's value, converted from text (or JSON) to the annotated type and validated.

    Args:
        description: family and name of the plugin in messages.
        name: name of the parameter.
        hint: type annotation of the parameter.
        value: value as given.

    Raises:
        RequestError: the value has another type, is out of range, or is not finite.
    """
    hint, optional = _without_none(hint)
    omitted = omitted_value(hint)
    if value in (None, "none") and (optional or omitted is not None):
        return omitted
    marker = spec_of(hint)
    if marker is not None:
        if marker.or_code and isinstance(value, str) and CODE_REFERENCE.fullmatch(value):
            return Spec(value)
        return _specs(description, name, hint, value)

    try:
        converted = TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise RequestError(
            f"{description}: parameter {name}={_shown(value)}: {reason[0].lower()}{reason[1:]}"
        ) from None

    numbers = converted if isinstance(converted, tuple | list) else (converted,)
    if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
        raise RequestError(
            f"{description}: parameter {name}={_shown(value)}: must be a finite number"
        )

    return converted


def json_value(value: Any) -> Json:
    """A parameter's value as a JSON value; specs become text."""
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if isinstance(value, tuple) and all(isinstance(item, Spec) for item in value):
        return ",".join(map(str, value))
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]

    return str(value)


def _shown(value: Any) -> str:
    """A value in a message, of which the reason must stay visible."""
    return one_line(str(value), LONGEST_NAME)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """The annotation without an alternative None, and whether it had one."""
    alternatives = get_args(hint) if get_origin(hint) in (Union, UnionType) else ()
    rest = [alternative for alternative in alternatives if alternative is not NoneType]

    return (rest[0], True) if len(rest) == 1 < len(alternatives) else (hint, False)


def _markers(hint: Any) -> tuple[Any, ...]:
    """The metadata of an `Annotated` type."""
    hint, _ = _without_none(hint)
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def _specs(description: str, name: str, hint: Any, value: Any) -> Spec | tuple[Spec, ...]:
    """The specs of a parameter that names plugins, from comma-separated text or a list of texts.

    A parameter that takes a single plugin has one spec; the others have a tuple.
    """
    takes_several = Ellipsis in get_args(get_args(hint)[0])
    given = split_list(value) if takes_several and isinstance(value, str) else value
    if takes_several and isinstance(given, (list, tuple)) and given:
        return tuple(_spec(description, name, item) for item in given)

    return _spec(description, name, given)


def _spec(description: str, name: str, value: Any) -> Spec:
    if isinstance(value, Spec):
        return value
    if not isinstance(value, str):
        raise RequestError(
            f"{description}: parameter {name}={_shown(value)}: "
            "must be the spec of a plugin, such as 'pgd:steps=10'"
        )

    return Spec.parse(value)
