"""The results of a run in formats of other programs.

Every module here with a function `write` is a format of the module's name, with `-` for `_`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from importlib import import_module

from bench.report.exports.pipelines import MeasuredPipeline
from bench.store.tree import Tree

Write = Callable[[Sequence[MeasuredPipeline], Tree], str]
"""A function that writes an export; returns what it wrote, for the message at the end."""


def formats() -> dict[str, Write]:
    """The function of each format by the format's name, sorted."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    functions = {
        name.replace("_", "-"): getattr(import_module(f"{__name__}.{name}"), "write", None)
        for name in names
    }

    return {name: function for name, function in functions.items() if function is not None}
