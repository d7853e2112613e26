"""Faults of plugins: one clean line, whatever is raised."""

from __future__ import annotations

import errno
import gc
import importlib.util
import logging
import signal
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import (
    BenchError,
    Interrupted,
    NotApplicable,
    PluginFault,
    RequestError,
    StorageError,
)
from bench.plugins.faults import plugin_call, plugin_request, raised
from tests.bench.plugins.lines import assert_one_clean_line

Guard = Callable[[str], AbstractContextManager[None]]


def _raising() -> ModuleType:
    """The kinds of faults of `tests/plugins/raising.py`, without its registrations."""
    path = Path(__file__).parents[2] / "plugins" / "raising.py"
    kinds = ModuleType("kinds")
    source = path.read_text().partition("class _Module")[0]
    exec(compile(source, path, "exec"), kinds.__dict__)
    return kinds
