"""Where plugins make themselves known: a small typed registry per family, and a decorator that fills it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from bench.contracts import Attack, Classifier, Defense
from bench.errors import RequestError, unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """The plugins of one family by name.

    Attributes:
        family: what the members are called in messages, such as `defense`.
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self._members: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """A class decorator that makes the class known under `name`.

        Raises:
            RequestError: the name is taken by another class.
        """

        def add(cls: type[T]) -> type[T]:
            taken = self._members.get(name)
            if taken is not None:
                raise RequestError(
                    f"two plugins are called {self.family} '{name}': {_origin(taken)} and {_origin(cls)}; rename one"
                )
            self._members[name] = cls
            return cls

        return add

    def get(self, name: str) -> type[T]:
        """The class of that name.

        Raises:
            RequestError: there is none; the message lists the names and suggests the nearest.
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


def _origin(cls: type) -> str:
    module = sys.modules.get(cls.__module__)
    return getattr(module, "__file__", None) or cls.__module__


DEFENSES: Registry[Defense] = Registry("defense")
ATTACKS: Registry[Attack] = Registry("attack")
CLASSIFIERS: Registry[Classifier] = Registry("classifier")

register_defense = DEFENSES.register
register_attack = ATTACKS.register
register_classifier = CLASSIFIERS.register
