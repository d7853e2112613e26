"""What a plugin declares about itself besides its parameters, checked when it is configured.

The harness reads these attributes in many places, where a plugin that raises or gives a value of
another type would end the run instead of failing its own cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from bench.contracts import Access, Attack, Defense, MinimumNorm, Network, Norm, Plugin
from bench.errors import RequestError
from bench.plugins.faults import plugin_request
from bench.text import LONGEST_NAME, one_line


@dataclass(frozen=True)
class _Declaration:
    """An attribute or method that every plugin of a class has.

    Attributes:
        read: function that returns its value.
        hint: type of the value.
        allowed: the allowed values, as messages name them.
    """

    read: Callable[[Any], object]
    hint: Any
    allowed: str


def _names(literal: Any) -> str:
    return ", ".join(get_args(literal))


_DECLARATIONS: Mapping[type[Plugin], Mapping[str, _Declaration]] = {
    Plugin: {
        "version": _Declaration(lambda plugin: plugin.version, int, "a whole number"),
    },
    Attack: {
        "access": _Declaration(lambda attack: attack.access, Access, _names(Access)),
        "single_step": _Declaration(lambda attack: attack.single_step, bool, "True, False"),
        "returns_unbroken": _Declaration(
            lambda attack: attack.returns_unbroken, bool, "True, False"
        ),
        "stops_at_first_success": _Declaration(
            lambda attack: attack.stops_at_first_success, bool, "True, False"
        ),
        "ball()": _Declaration(lambda attack: attack.ball(), Norm | None, f"{_names(Norm)}, None"),
    },
    MinimumNorm: {
        "ball()": _Declaration(lambda attack: attack.ball(), Norm, _names(Norm)),
    },
    Network: {
        "stochastic": _Declaration(lambda network: network.stochastic, bool, "True, False"),
        "independent_draws": _Declaration(
            lambda network: network.independent_draws, bool, "True, False"
        ),
        "inference_parameters": _Declaration(
            lambda network: network.inference_parameters, frozenset[str], "a frozenset of names"
        ),
    },
    Defense: {
        "uses_classifier": _Declaration(
            lambda defense: defense.uses_classifier, bool, "True, False"
        ),
    },
}


def check_declarations(description: str, plugin: Plugin) -> None:
    """Check what a plugin declares about itself.

    Args:
        description: name of the plugin in messages, such as `defense 'convae'`.
        plugin: plugin with its parameters.

    Raises:
        RequestError: a value has the wrong type, or the plugin raises when it is read.
    """
    with plugin_request(description):
        for cls, declarations in _DECLARATIONS.items():
            if isinstance(plugin, cls):
                for name, declaration in declarations.items():
                    _check(description, name, declaration, declaration.read(plugin))


def _check(description: str, name: str, declaration: _Declaration, value: object) -> None:
    # A set or tuple of names is as good as a frozenset; any other type must be the declared one.
    is_strict = declaration.hint != frozenset[str]
    try:
        _adapter(declaration.hint).validate_python(value, strict=is_strict)
    except ValidationError:
        raise RequestError(
            f"{description}: {name} is {one_line(repr(value), LONGEST_NAME)} "
            f"(allowed: {declaration.allowed})"
        ) from None


@lru_cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint)
