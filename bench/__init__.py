"""The harness of the benchmark: contracts, runs, results, reports and the command line."""

from __future__ import annotations

__all__ = ["__version__"]

TYPE_CHECKING = False  # `typing` would be loaded before the command line can catch Ctrl-C

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """The attribute `__version__`, read from the installation when it is asked for."""
        if name != "__version__":
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("purification-bench")
        except PackageNotFoundError:  # a checkout on PYTHONPATH
            return "unknown"
