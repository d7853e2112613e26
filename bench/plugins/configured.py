"""From a spec to a configured plugin: parameters checked, defaults filled in, identity known."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from bench.contracts import Plugin, SpecOf
from bench.errors import RequestError, unknown
from bench.plugins.catalog import FAMILIES
from bench.registry import ATTACKS, CLASSIFIERS, DEFENSES, Registry
from bench.spec import Spec, split_list

P = TypeVar("P", bound=Plugin, covariant=True)
Json = Any
Overrides = Mapping[str, Mapping[str, Any]]
"""Parameters by plugin name that replace a plugin's own defaults; a preset brings them."""


@dataclass(frozen=True)
class Configured(Generic[P]):
    """A plugin made from a spec.

    Attributes:
        spec: as the user wrote it; its text is the row's name in tables.
        plugin: the instance.
        parameters: every parameter, defaults included, as JSON values.
        identity: name, version, parameters, digests of files read: all of the plugin that changes a
            result. A parameter that is None is an option not taken and left out, so that a new
            option leaves stored results valid.
    """

    spec: Spec
    plugin: P
    parameters: Mapping[str, Json]
    identity: Mapping[str, Json]

    @property
    def label(self) -> str:
        """The spec as text."""
        return str(self.spec)

    @property
    def name(self) -> str:
        """The registered name."""
        return self.spec.name

    @property
    def training_identity(self) -> Mapping[str, Json]:
        """The identity without the parameters that training does not depend on."""
        free: frozenset[str] = getattr(self.plugin, "inference_parameters", frozenset())
        kept = {
            name: value for name, value in self.identity["parameters"].items() if name not in free
        }
        return {**self.identity, "parameters": kept}

    @property
    def resolved(self) -> Spec:
        """The spec with every parameter written out, so that it needs no overrides to mean the same."""
        return Spec.of(self.name, self.parameters)

    def __hash__(self) -> int:
        return hash(self.spec)


def configure(
    registry: Registry[P], spec: Spec | str, overrides: Overrides | None = None
) -> Configured[P]:
    """Make the plugin a spec names, with the spec's parameters over `overrides` over its own
    defaults.

    Raises:
        RequestError: unknown name or parameter, a value of the wrong type or out of range, an
            unreadable file.
    """
    spec = Spec.parse(spec) if isinstance(spec, str) else spec
    overrides = overrides or {}
    cls = registry.get(spec.name)
    what = f"{registry.family} '{spec.name}'"
    hints = _hints(cls)
    given = {**overrides.get(spec.name, {}), **dict(spec.parameters)}
    values: dict[str, Any] = {}
    nested: dict[str, Json] = {}
    for name, value in given.items():
        if name not in hints:
            raise unknown(f"parameter of {what}:", name, hints)
        values[name] = _convert(what, name, hints[name], value)
    try:
        plugin = cls(**values)
    except (TypeError, ValueError) as error:
        raise RequestError(f"{what}: {error}") from None
    for name, hint in hints.items():
        family, value = _family_of(hint), getattr(plugin, name)
        if family is not None and value is not None:
            specs = value if isinstance(value, tuple) else (value,)
            inner = [configure(_registry(family), spec, overrides) for spec in specs]
            resolved = tuple(each.resolved for each in inner)
            plugin = dataclasses.replace(
                plugin, **{name: resolved if isinstance(value, tuple) else resolved[0]}
            )  # type: ignore[type-var]
            nested[name] = (
                inner[0].identity if len(inner) == 1 else [each.identity for each in inner]
            )
    parameters = {name: _plain(getattr(plugin, name)) for name in hints}
    files = {str(path): _digest(what, path) for path in plugin.files()}
    used = {name: value for name, value in {**parameters, **nested}.items() if value is not None}
    identity = {
        "name": spec.name,
        "version": cls.version,
        "parameters": used,
        "files": files,
        **_foreign_source(cls),
    }
    return Configured(spec, plugin, parameters, identity)


def _registry(family: str) -> Registry[Any]:
    return {registry.family: registry for registry in (DEFENSES, ATTACKS, CLASSIFIERS)}[family]


def _hints(cls: type) -> dict[str, Any]:
    """The parameters of a plugin class, in order, with their annotations."""
    if not dataclasses.is_dataclass(cls):
        raise RequestError(
            f"plugin class {cls.__name__} is not a dataclass: decorate it with @dataclass(frozen=True)"
        )
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def _without_none(hint: Any) -> tuple[Any, bool]:
    """What a hint allows beside None, and whether it allows None."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else ()
    rest = [kind for kind in kinds if kind is not NoneType]
    return (rest[0], True) if len(rest) == 1 < len(kinds) else (hint, False)


def _family_of(hint: Any) -> str | None:
    hint, _ = _without_none(hint)
    if get_origin(hint) is Annotated:
        return next((mark.family for mark in get_args(hint)[1:] if isinstance(mark, SpecOf)), None)
    return None


def _convert(what: str, name: str, hint: Any, value: Any) -> Any:
    """The value as the annotation has it; text is read as the type asks."""
    hint, optional = _without_none(hint)
    if optional and value in (None, "none"):
        return None
    if _family_of(hint):
        return _specs(what, name, hint, value)
    try:
        converted = TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise RequestError(
            f"{what}: parameter {name}={value}: {reason[0].lower()}{reason[1:]}"
        ) from None
    if isinstance(converted, float) and not math.isfinite(converted):
        raise RequestError(f"{what}: parameter {name}={value}: must be a finite number")
    return converted


def _specs(what: str, name: str, hint: Any, value: Any) -> Spec | tuple[Spec, ...]:
    """The spec, or the specs (text, comma-separated, or a list of texts), of a parameter that names plugins."""
    several = Ellipsis in get_args(get_args(hint)[0])
    given = split_list(value) if several and isinstance(value, str) else value
    if several and isinstance(given, (list, tuple)) and given:
        return tuple(_spec(what, name, each) for each in given)
    return _spec(what, name, given)


def _spec(what: str, name: str, value: Any) -> Spec:
    if isinstance(value, Spec):
        return value
    if not isinstance(value, str):
        raise RequestError(
            f"{what}: parameter {name}={value}: must be the spec of a plugin, such as 'pgd:steps=10'"
        )
    return Spec.parse(value)


def _plain(value: Any) -> Json:
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if isinstance(value, tuple) and all(isinstance(item, Spec) for item in value):
        return ",".join(map(str, value))
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value)


def _foreign_source(cls: type) -> dict[str, str]:
    """The digest of a third party's source file, which changes without a new version.

    Nothing for built-ins.
    """
    module = sys.modules.get(cls.__module__)
    if (
        cls.__module__.partition(".")[0] in FAMILIES.values()
        or getattr(module, "__file__", None) is None
    ):
        return {}
    return {"source": _digest(cls.__name__, Path(inspect.getfile(cls)))}


def _digest(what: str, path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RequestError(f"{what}: cannot read {path}: {error.strerror or error}") from None
