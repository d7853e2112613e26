"""The harness of the benchmark: contracts, runs, results, reports and the command line.

From a program, `bench.evaluate` judges a purifier that the program has, `bench.run` runs a grid as
the command line does, `bench.read` reads the results of a run, and `bench.load` gives a trained
network, an attack or a data set.
"""

from __future__ import annotations

__all__ = [
    "PluginFault",
    "RequestError",
    "Results",
    "__version__",
    "evaluate",
    "load",
    "read",
    "run",
]

TYPE_CHECKING = False  # `typing` would be loaded before the command line can catch Ctrl-C

if TYPE_CHECKING:
    from bench.errors import PluginFault, RequestError
    from bench.library import Results, evaluate, load, read, run

    __version__: str
else:
    _LIBRARY = ("Results", "evaluate", "load", "read", "run")
    _ERRORS = ("PluginFault", "RequestError")

    def __getattr__(name: str) -> object:
        """A name of the library, imported when it is asked for, or the installed version."""
        if name in _LIBRARY or name in _ERRORS:
            from importlib import import_module

            module = import_module("bench.library" if name in _LIBRARY else "bench.errors")
            return getattr(module, name)
        if name == "__version__":
            return _installed_version()
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

    def _installed_version() -> str:
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("purification-bench")
        except PackageNotFoundError:  # a checkout on PYTHONPATH
            return "unknown"
