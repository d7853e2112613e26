"""Registries of plugins, one for each family, and the decorators that fill them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from bench.contracts import Attack, Classifier, Dataset, Defense
from bench.errors import RequestError, unknown
from bench.spec import NAME

T = TypeVar("T")


class Registry(Generic[T]):
    """The plugins of one family by name.

    Attributes:
        family: name of the family in messages, such as `defense`.
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self._members: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """A class decorator that registers the class under `name`.

        Raises:
            RequestError: another plugin of the family already has the name, or a spec cannot begin
                with it.
        """

        def add(cls: type[T]) -> type[T]:
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise RequestError(
                    f"{_origin(cls)}: {name!r} cannot be the name of a {self.family}: use letters, "
                    "digits, '-' and '_', a letter first"
                )
            taken = self._members.get(name)
            if taken is not None and _is_same(taken, cls):
                return cls
            if taken is not None and not _is_defined_again(taken, cls):
                raise RequestError(
                    f"two plugins are called {self.family} '{name}': "
                    f"{_origin(taken)} and {_origin(cls)}; rename one of them"
                )

            self._members[name] = cls
            return cls

        return add

    def get(self, name: str) -> type[T]:
        """The plugin class of that name.

        Raises:
            RequestError: the name is unknown; the message lists all names and suggests one.
        """
        try:
            return self._members[name]
        except KeyError:
            raise unknown(self.family, name, self._members) from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._members))

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __len__(self) -> int:
        return len(self._members)


def _is_same(earlier: type, cls: type) -> bool:
    """Whether two classes come from one file that was imported under two names."""
    if earlier.__qualname__ != cls.__qualname__ or earlier.__module__ == cls.__module__:
        return False
    files = [getattr(sys.modules.get(each.__module__), "__file__", None) for each in (earlier, cls)]
    return files[0] is not None and files[0] == files[1]


def _is_defined_again(earlier: type, cls: type) -> bool:
    """Whether a class is a new version of an earlier one, as in a notebook's cell that runs again.

    A file is imported once, so that two classes of one name are two plugins there.
    """
    same = (earlier.__module__, earlier.__qualname__) == (cls.__module__, cls.__qualname__)
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return same and (file is None or file.startswith("<"))


def _origin(cls: type) -> str:
    """The file that defines a class; the name of its module if there is no file."""
    module = sys.modules.get(cls.__module__)
    return getattr(module, "__file__", None) or cls.__module__


DEFENSES: Registry[Defense] = Registry("defense")
ATTACKS: Registry[Attack] = Registry("attack")
CLASSIFIERS: Registry[Classifier] = Registry("classifier")
DATASETS: Registry[Dataset] = Registry("dataset")

REGISTRIES: Mapping[str, Registry[Any]] = {
    registry.family: registry for registry in (DEFENSES, ATTACKS, CLASSIFIERS, DATASETS)
}
"""Every registry by the name of its family."""

register_defense = DEFENSES.register
register_attack = ATTACKS.register
register_classifier = CLASSIFIERS.register
register_dataset = DATASETS.register
