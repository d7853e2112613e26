"""The optional library of some attacks: whether it is installed, and how to install it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ART_WORK = "ART computes in NumPy"
"""What the CPU does in an attack of the Adversarial Robustness Toolbox, see `host_work`."""


def require_art() -> None:
    """Check that the Adversarial Robustness Toolbox is installed, without importing it.

    Raises:
        ValueError: it is not, with the command that installs it.
    """
    spec = importlib.util.find_spec("art")
    folders = spec.submodule_search_locations if spec is not None else None

    # Another distribution has a package of the same name, without estimators.
    if not any((Path(folder) / "estimators").is_dir() for folder in folders or ()):
        raise ValueError(
            "the Adversarial Robustness Toolbox is not installed: "
            "pip install 'purification-bench[art]'"
        )
