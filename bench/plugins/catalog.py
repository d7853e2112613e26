"""What plugins there are, read from their source text: names, parameters, defaults, first line of
the docstring.

Nothing is imported, so `bench list` answers at once although every plugin file imports torch. The
run itself uses the registry; a test holds the two against each other.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from bench.errors import RequestError

FAMILIES = {"defense": "defenses", "attack": "attacks", "classifier": "classifiers"}
"""Each plugin family and the package that holds the built-in members."""

DATASETS = {
    "digits": "scikit-learn's 8x8 scans scaled to 28x28; needs no download",
    "mnist": "handwritten digits, 28x28, through torchvision (LeCun, Cortes and Burges; CC BY-SA 3.0)",
    "fashion_mnist": "articles of clothing, 28x28, through torchvision (arXiv:1708.07747; MIT licence)",
}
"""The data sets and what they are; `bench.stages.datasets` loads them."""

ENTRY_POINT_GROUP = "purification_bench.plugins"


@dataclass(frozen=True)
class Card:
    """One plugin as its source describes it.

    Attributes:
        parameters: (name, default as source text); the default is empty where there is none.
        origin: the file.
    """

    family: str
    name: str
    summary: str
    parameters: tuple[tuple[str, str], ...]
    origin: Path


def cards(plugins: tuple[str, ...] = ()) -> list[Card]:
    """All built-in, installed and given plugins, sorted by family and name.

    Args:
        plugins: files or module names, as given to `--plugin`.

    Raises:
        RequestError: a file cannot be found or read, or two plugins have one name.
    """
    found: dict[tuple[str, str], Card] = {}
    for path in _sources(plugins):
        for card in cards_in(path):
            taken = found.setdefault((card.family, card.name), card)
            if taken.origin != card.origin:
                raise RequestError(
                    f"two plugins are called {card.family} '{card.name}': {taken.origin} and {card.origin}; rename one"
                )
    return sorted(found.values(), key=lambda card: (list(FAMILIES).index(card.family), card.name))


def cards_in(path: Path) -> list[Card]:
    """The plugins a source file registers with a decorator `register_<family>("name")`."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"cannot read plugin {path}: {error.strerror or error}") from None
    except (SyntaxError, ValueError) as error:
        raise RequestError(f"plugin {path} is not valid Python: {error}") from None
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    return [
        Card(family, name, _summary(node), tuple(_parameters(node, classes)), path)
        for node in classes.values()
        for family, name in _registrations(node)
    ]


def plugin_source(plugin: str) -> Path:
    """The file behind a `--plugin` value or an entry point's module name, found without importing it."""
    if plugin.endswith(".py") or "/" in plugin:
        path = Path(plugin)
        if not path.is_file():
            raise RequestError(f"plugin file '{plugin}' does not exist")
        return path.resolve()
    try:
        found = importlib.util.find_spec(plugin)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None:
        raise RequestError(f"plugin '{plugin}' is neither a file nor a module that can be imported")
    return Path(found.origin)


def _sources(plugins: tuple[str, ...]) -> Iterator[Path]:
    for package in FAMILIES.values():
        yield from sorted(package_folder(package).glob("[!_]*.py"))
    for point in entry_points(group=ENTRY_POINT_GROUP):
        yield plugin_source(point.module)
    for plugin in plugins:
        yield plugin_source(plugin)


def package_folder(package: str) -> Path:
    """The folder of a built-in plugin package."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise RequestError(
            f"the package '{package}' is not installed: reinstall purification-bench"
        )
    return Path(next(iter(found.submodule_search_locations)))


def _registrations(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for decorator in node.decorator_list:
        if not (
            isinstance(decorator, ast.Call)
            and decorator.args
            and isinstance(decorator.args[0], ast.Constant)
        ):
            continue
        called = ast.unparse(decorator.func).rpartition(".")[2]
        family = called.removeprefix("register_")
        if called.startswith("register_") and family in FAMILIES:
            yield family, str(decorator.args[0].value)


def _summary(node: ast.ClassDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0]


def _parameters(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Iterator[tuple[str, str]]:
    """The annotated fields, those of bases in the same file first."""
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            yield from _parameters(classes[base.id], classes)
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            if "ClassVar" in ast.unparse(item.annotation):
                continue
            yield item.target.id, _default(item.value)


def _default(value: ast.expr | None) -> str:
    """A default as `--defenses` would take it: `fgsm` for `Spec("fgsm")`, `0.5` for `0.5`, `none` for `None`."""
    if value is None:
        return ""
    if isinstance(value, ast.Tuple):
        items = ",".join(map(_default, value.elts))
        return items if len(value.elts) == 1 else f"[{items}]"
    if isinstance(value, ast.Constant) and value.value is None:
        return "none"
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "Spec" and len(value.args) == 1:
        value = value.args[0]
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value
    return ast.unparse(value)
