"""Configured plugins: from a spec to a checked instance with its defaults and its identity."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from bench.contracts import Defense, Network, Plugin, WrappedDefense
from bench.errors import RequestError, unknown
from bench.failures import message_line
from bench.plugins.architectures import imported_architecture
from bench.plugins.code import code_identity
from bench.plugins.counted import counted_digest
from bench.plugins.declarations import check_declarations
from bench.plugins.faults import plugin_request
from bench.plugins.parameters import (
    CODE_REFERENCE,
    Json,
    json_value,
    omitted_value,
    parameter_hints,
    spec_of,
    typed_value,
)
from bench.registry import DEFENSES, REGISTRIES, Registry
from bench.spec import Spec
from bench.store.reading import Unreadable
from bench.text import LONGEST_NAME, one_line

if TYPE_CHECKING:
    from torch import nn

P = TypeVar("P", bound=Plugin, covariant=True)
Q = TypeVar("Q", bound=Plugin)
Overrides = Mapping[str, Mapping[str, Any]]
"""Parameters by plugin name that replace the plugin's own defaults, as a preset gives them."""

_Nested: TypeAlias = "dict[str, list[Configured[Any]]]"
"""The configured plugins that parameters name, by the name of the parameter."""


@dataclass(frozen=True)
class Configured(Generic[P]):
    """A plugin made from a spec.

    Attributes:
        spec: spec as the user wrote it; its text names the row in tables.
        plugin: instance of the plugin class.
        parameters: all parameters, defaults included, as JSON values.
        identity: everything in the plugin that changes a result, as JSON values: name, version,
            parameters, digests of the files it reads, and its code, see `code_identity`. The path
            of a file does not count: the same content elsewhere is the same plugin. An option that
            is not taken (its value is None or that of its marker `OmittedAt`) is left out, so that
            a new option leaves stored results valid.
        inner: defense that a `WrappedDefense` wraps; None for any other plugin.
        members: plugins that parameters name, by the spec that the parameter holds.
    """

    spec: Spec
    plugin: P
    parameters: Mapping[str, Json]
    identity: Mapping[str, Json]
    inner: Configured[Defense] | None = None
    members: Mapping[Spec, Configured[Any]] = dataclasses.field(default_factory=dict)

    @property
    def label(self) -> str:
        """The text of the spec."""
        return str(self.spec)

    @property
    def name(self) -> str:
        """The registered name of the plugin."""
        return self.spec.name

    @property
    def trained(self) -> Configured[Any]:
        """The plugin whose network is trained: the inner defense of one that wraps another."""
        return self.inner or self

    @property
    def training_identity(self) -> Mapping[str, Json]:
        """The identity of `trained`, without parameters that the training does not depend on."""
        trained = self.trained
        free: frozenset[str] = getattr(trained.plugin, "inference_parameters", frozenset())
        parameters = trained.identity["parameters"].items()
        kept = {name: value for name, value in parameters if name not in free}

        return {**trained.identity, "parameters": kept}

    @property
    def resolved(self) -> Spec:
        """The spec with all parameters written out, which means the same under any overrides."""
        return Spec.of(self.name, self.parameters)

    def around(self, module: nn.Module) -> nn.Module:
        """The module of this plugin, made from the module of `trained`."""
        return self.plugin.wrap(module) if isinstance(self.plugin, WrappedDefense) else module

    def __hash__(self) -> int:
        return hash(self.spec)


def configure(
    registry: Registry[P], spec: Spec | str, overrides: Overrides | None = None
) -> Configured[P]:
    """The configured plugin of a spec.

    Parameters of the spec take precedence over `overrides`, and these over the plugin's defaults.

    Args:
        registry: registry of the plugin's family.
        spec: name and parameters of the plugin.
        overrides: parameters by plugin name; they also apply to plugins named in parameters.

    Raises:
        RequestError: a name or parameter is unknown, a value has the wrong type or is out of range,
            a file cannot be read, or the plugin raises.
    """
    spec = Spec.parse(spec) if isinstance(spec, str) else spec
    cls = registry.get(spec.name)
    description = f"{registry.family} '{spec.name}'"
    with plugin_request(description):
        return _configured(cls, description, spec, overrides or {})


def _configured(cls: type[P], description: str, spec: Spec, overrides: Overrides) -> Configured[P]:
    """The configured plugin of a class; errors are those of the plugin, or as in `configure`."""
    given = {**overrides.get(spec.name, {}), **dict(spec.parameters)}
    plugin = _instance(cls, description, given)
    plugin, nested = _with_configured_specs(plugin, overrides)
    inner = _inner(plugin, description, nested)
    if isinstance(plugin, WrappedDefense) and inner:
        plugin = plugin.around(inner.plugin)
    members = _members(nested)
    if isinstance(plugin, Network):
        plugin = plugin.with_members({named: each.plugin for named, each in members.items()})
    check_declarations(description, plugin)

    hints = parameter_hints(cls)
    parameters = {name: json_value(getattr(plugin, name)) for name in hints}
    files = _declared_files(plugin, description)
    identity = {
        "name": spec.name,
        "version": cls.version,
        "parameters": {
            name: _by_content(value, files)
            for name, value in {**parameters, **_identities(nested)}.items()
            if value not in (None, omitted_value(hints[name]))
        },
        "files": list(files.values()) if files else {},
        **code_identity(cls),
    }

    return Configured(spec, plugin, parameters, identity, inner, members)


def _instance(cls: type[Q], description: str, given: Mapping[str, Any]) -> Q:
    """The plugin with the given parameters, converted to the types of the class.

    Raises:
        RequestError: a parameter is unknown, or the class refuses a value.
    """
    hints = parameter_hints(cls)
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in hints:
            raise unknown(f"parameter of {description}:", name, hints)
        values[name] = typed_value(description, name, hints[name], value)

    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        has_default = field.default is not field.default_factory  # both are MISSING without one
        if field.init and not has_default and field.name not in values:
            name = description.partition("'")[2].rstrip("'")
            raise RequestError(
                f"{description} needs parameter {field.name}: write {name}:{field.name}=VALUE"
            )

    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise RequestError(f"{description}: {message_line(error)}") from None


def _with_configured_specs(plugin: Q, overrides: Overrides) -> tuple[Q, _Nested]:
    """The plugin with the specs among its parameters written out, and their plugins by name."""
    nested: _Nested = {}

    for name, hint in parameter_hints(type(plugin)).items():
        marker = spec_of(hint)
        value = getattr(plugin, name)
        if marker is None or value is None:
            continue

        specs = value if isinstance(value, tuple) else (value,)
        nested[name] = [_member(marker.family, spec, overrides) for spec in specs]
        resolved = tuple(configured.resolved for configured in nested[name])
        plugin = dataclasses.replace(
            plugin, **{name: resolved if isinstance(value, tuple) else resolved[0]}
        )  # type: ignore[type-var]

    return plugin, nested


def _member(family: str, spec: Spec, overrides: Overrides) -> Configured[Any]:
    """The configured plugin that a parameter names, or that of code in its place."""
    if not CODE_REFERENCE.fullmatch(spec.name):
        return configure(REGISTRIES[family], spec, overrides)

    architecture = imported_architecture(spec.name)
    return Configured(spec, architecture, {}, architecture.identity)


def _identities(nested: _Nested) -> dict[str, Json]:
    """The identities of the plugins that parameters name."""
    identities = {name: [plugin.identity for plugin in given] for name, given in nested.items()}

    # A single spec in a tuple has the identity of the spec alone.
    return {name: given[0] if len(given) == 1 else given for name, given in identities.items()}


def _members(nested: _Nested) -> dict[Spec, Configured[Any]]:
    """The plugins that parameters name, by the spec that the parameter holds."""
    named = itertools.chain.from_iterable(nested.values())
    return {configured.resolved: configured for configured in named}


def _inner(plugin: Plugin, description: str, nested: _Nested) -> Configured[Defense] | None:
    """The defense that a plugin wraps; None for a plugin that wraps none.

    Raises:
        RequestError: the class has no parameter for it or more than one, or the defense wraps
            another one itself.
    """
    if not isinstance(plugin, WrappedDefense):
        return None

    hints = parameter_hints(type(plugin))
    markers = {name: spec_of(hint) for name, hint in hints.items()}
    names = [
        name for name, marker in markers.items() if marker and marker.family == DEFENSES.family
    ]
    if len(names) != 1 or len(nested.get(names[0], ())) != 1:
        raise RequestError(
            f"{description}: a WrappedDefense has exactly one parameter of type DefenseSpec "
            f"(it has: {', '.join(names) or 'none'})"
        )

    inner = nested[names[0]][0]
    if inner.inner is not None:
        plain = (name for name in DEFENSES if not issubclass(DEFENSES.get(name), WrappedDefense))
        raise RequestError(
            f"{description}: parameter {names[0]}={one_line(inner.label, LONGEST_NAME)}: "
            f"'{inner.name}' wraps a defense itself (choose from: {', '.join(plain)})"
        )

    return inner


def _declared_files(plugin: Plugin, description: str) -> dict[Path, str]:
    """The digests of the files that a plugin declares, in their order.

    Raises:
        RequestError: a file cannot be read.
    """
    digests = {}
    for path in map(Path, plugin.files()):
        try:
            digests[path] = counted_digest(path, is_code=False)
        except (OSError, Unreadable) as error:
            reason = getattr(error, "strerror", None) or error
            raise RequestError(f"{description}: cannot read {path}: {reason}") from None

    return digests


def _by_content(value: Json, files: Mapping[Path, str]) -> Json:
    """A parameter's value with the path of a declared file replaced by the file's digest."""
    if isinstance(value, list):
        return [_by_content(item, files) for item in value]
    if isinstance(value, str):
        real = {os.path.realpath(path): digest for path, digest in files.items()}
        digest = real.get(os.path.realpath(Path(value).expanduser())) if value else None
        return value if digest is None else f"sha256-{digest}"

    return value
