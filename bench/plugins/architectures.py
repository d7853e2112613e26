"""Architectures given as code: a class or function of the user's that makes a network."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contracts import DataInfo, Network
from bench.errors import RequestError, nearest
from bench.failures import named
from bench.plugins.catalog import is_file_name
from bench.plugins.code import REGISTERED_BY, code_identity
from bench.plugins.discovery import import_plugin
from bench.plugins.parameters import CODE_REFERENCE
from bench.text import LONGEST_NAME, one_line

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Architecture(Network):
    """A network that the user's code makes, whatever the images are.

    Attributes:
        reference: where the code is, `FILE.py:NAME` or `MODULE:NAME`.
        create: class or function, called without arguments.
    """

    reference: str
    create: Callable[..., Any]

    @property
    def identity(self) -> Mapping[str, Any]:
        """Name and code, as JSON values; where a file lies does not count."""
        source, _, name = self.reference.rpartition(":")
        shown = name if is_file_name(source) else self.reference
        return {"name": shown, "version": 1, "parameters": {}, **code_identity(self.create)}

    def build(self, data: DataInfo) -> nn.Module:  # noqa: ARG002 - the same for all data
        """The network that the code makes.

        Raises:
            ValueError: the code raises, or makes something else than a torch module.
        """
        from torch import nn  # loaded when needed: commands that build nothing are free of it

        try:
            module = self.create()
        except Exception as error:
            raise ValueError(
                f"{self._shown}() is called without arguments, and raised {named(error)}"
            ) from error
        if not isinstance(module, nn.Module):
            raise ValueError(
                f"{self._shown}() returned {type(module).__name__} instead of a torch module"
            )

        return module

    @property
    def _shown(self) -> str:
        return one_line(self.reference, LONGEST_NAME)


def imported_architecture(reference: str) -> Architecture:
    """The architecture of a reference, whose file or module is imported once.

    Args:
        reference: text that `CODE_REFERENCE` matches.

    Raises:
        RequestError: the file or module cannot be found or imported, or has nothing of that name
            that can be called.
    """
    match = CODE_REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError(f"{reference!r} is not FILE.py:NAME or MODULE:NAME")
    source, name = match["source"], match["name"]
    text = str(Path(source).expanduser()) if is_file_name(source) else source
    module = sys.modules[import_plugin(text, "architecture")]

    create = getattr(module, name, None)
    if not callable(create):
        callables = [found for found, value in vars(module).items() if callable(value)]
        raise RequestError(
            f"{one_line(source, LONGEST_NAME)} has no class or function "
            f"'{one_line(name, LONGEST_NAME)}'{nearest(name, callables)}"
        )

    file = getattr(module, "__file__", None)
    if file is not None:
        REGISTERED_BY.setdefault(create, Path(file))
    return Architecture(reference, create)
