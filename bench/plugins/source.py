"""Plugins as their source text describes them, read without importing it.

Every plugin file imports torch, which takes seconds; parsing all of them takes none.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.errors import RequestError
from bench.plugins.packages import PACKAGES

_SPECS = ("Spec", "Spec.parse")
"""Calls by which a default is the spec of a plugin."""


@dataclass(frozen=True)
class PluginInfo:
    """The description of a plugin in its source file.

    Attributes:
        family: family of the plugin, such as `defense`.
        name: registered name.
        summary: first line of the docstring.
        parameters: (name, default as text) of each parameter; the text is empty if there is no
            default.
        origin: source file.
        reference: docstring of the file in one line, which names the paper or the code that the
            plugin follows.
    """

    family: str
    name: str
    summary: str
    parameters: tuple[tuple[str, str], ...]
    origin: Path
    reference: str = ""

    @property
    def required(self) -> tuple[str, ...]:
        """The parameters without a default, which a spec must give."""
        return tuple(name for name, default in self.parameters if not default)


def plugins_in(path: Path) -> list[PluginInfo]:
    """The plugins that a source file registers with a decorator `register_<family>("name")`.

    Raises:
        RequestError: the file cannot be read, or is not valid Python.
    """
    tree = _parsed(path)
    own = _classes(tree)
    classes = {**_imported_bases(path, tree), **own}

    return [
        PluginInfo(
            family=family,
            name=name,
            summary=_summary(node),
            parameters=tuple(_parameters(node, classes).items()),
            origin=path,
            reference=" ".join((ast.get_docstring(tree) or "").split()),
        )
        for node in own.values()
        for family, name in _registrations(node)
    ]


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"cannot read plugin {path}: {error.strerror or error}") from None
    except (SyntaxError, ValueError) as error:
        raise RequestError(f"plugin {path} is not valid Python: {error}") from None


def _classes(tree: ast.Module) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _imported_bases(path: Path, tree: ast.Module) -> dict[str, ast.ClassDef]:
    """The classes of the underscore modules beside the file that it imports a base class from."""
    bases = {ast.unparse(base) for node in _classes(tree).values() for base in node.bases}
    imported: dict[str, ast.ClassDef] = {}

    for node in tree.body:
        if not isinstance(node, ast.ImportFrom) or not bases & {name.name for name in node.names}:
            continue
        module = (node.module or "").rpartition(".")[2]
        helper = path.parent / f"{module}.py"
        if module.startswith("_") and helper.is_file():
            imported.update(_classes(_parsed(helper)))

    return imported


def _registrations(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Family and name of each `register_<family>("name")` among the decorators of a class."""
    for decorator in node.decorator_list:
        if not isinstance(decorator, ast.Call) or not decorator.args:
            continue

        argument = decorator.args[0]
        function = ast.unparse(decorator.func).rpartition(".")[2]
        family = function.removeprefix("register_")
        is_registration = function.startswith("register_") and family in PACKAGES
        if is_registration and isinstance(argument, ast.Constant):
            yield family, str(argument.value)


def _summary(node: ast.ClassDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0]


def _parameters(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> dict[str, str]:
    """Names and defaults of the annotated fields, in a dataclass's order: the last base first."""
    parameters: dict[str, str] = {}

    for base in reversed(node.bases):
        parent = classes.get(base.id) if isinstance(base, ast.Name) else None
        if parent is not None and _is_dataclass(parent):
            parameters.update(_parameters(parent, classes))

    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        if "ClassVar" not in ast.unparse(item.annotation):
            parameters[item.target.id] = _default(item.value)

    return parameters


def _is_dataclass(node: ast.ClassDef) -> bool:
    """Whether a class is a dataclass, so that its annotations are fields of its subclasses too."""
    decorators = (ast.unparse(decorator).partition("(")[0] for decorator in node.decorator_list)
    return any(name.rpartition(".")[2] == "dataclass" for name in decorators)


def _default(value: ast.expr | None) -> str:
    """A default as it would be written in a spec.

    For example `fgsm` for `Spec("fgsm")`, `0.5` for `0.5`, `none` for `None`.
    """
    if value is None:
        return ""
    if isinstance(value, ast.Tuple):
        items = ",".join(map(_default, value.elts))
        return items if len(value.elts) == 1 else f"[{items}]"
    if isinstance(value, ast.Constant) and value.value is None:
        return "none"

    if isinstance(value, ast.Call) and ast.unparse(value.func) in _SPECS and len(value.args) == 1:
        value = value.args[0]
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value

    return ast.unparse(value)
