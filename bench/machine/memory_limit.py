"""The loading of PyTorch where the memory of a process is limited, as by `ulimit -v`.

Within a range of limits PyTorch ends the process while it is loaded, without an exception. A
copy of the process loads it first there, so that this becomes an error like any other.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import NoReturn

try:
    import resource
except ImportError:  # not every system has it
    resource = None  # type: ignore[assignment]

_LIBRARY = "torch"


def try_loading_first() -> None:
    """Have PyTorch loaded in a copy of the process first, if memory is limited."""
    if resource is None or _LIBRARY in sys.modules:
        return
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        sys.meta_path.insert(0, _TrialFinder())


class _TrialFinder(MetaPathFinder):
    """Finds nothing, but is asked before PyTorch is loaded."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> None:
        """None, so that the other finders are asked.

        Raises:
            MemoryError: loading the library would end the process.
        """
        if fullname != _LIBRARY:
            return

        sys.meta_path.remove(self)
        copy = os.fork()
        if copy == 0:
            _load_and_end()
        _, status = os.waitpid(copy, 0)
        if status != 0:
            raise MemoryError("PyTorch cannot be loaded")


def _load_and_end() -> NoReturn:
    """Load the library and end this process, without a word; an exception is the parent's to show.

    The parent meets the same exception when it loads the library itself.
    """
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(nowhere, descriptor)
        importlib.import_module(_LIBRARY)
    finally:
        os._exit(0)
