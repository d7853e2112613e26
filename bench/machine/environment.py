"""The environment that a number was computed in: versions, device, driver, threads, commit."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch.version import cuda as cuda_version

from bench.machine.devices import command_output, device_name, nvidia_smi

_PACKAGES = (
    "purification-bench",
    "torch",
    "torchvision",
    "foolbox",
    "numpy",
    "scikit-learn",
    "safetensors",
    "scipy",
    "adversarial-robustness-toolbox",
)


def describe_environment(device: torch.device) -> dict[str, Any]:
    """The machine, the device and the installed versions, as JSON."""
    return {
        "packages": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "system": platform.platform(),
        "device": {"type": device.type, "name": device_name(device), **_cuda(device)},
        "threads": torch.get_num_threads(),
        "commit": _commit(),
    }


def _cuda(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {}
    return {
        "cuda": cuda_version,
        "cudnn": torch.backends.cudnn.version(),
        "driver": nvidia_smi(device, "driver_version"),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout that this package runs from, with `+` where files are changed.

    None for an installed package.
    """
    folder = str(Path(__file__).resolve().parent)
    commit = command_output("git", "-C", folder, "rev-parse", "HEAD")
    if commit is None:
        return None

    # An installed package may lie inside the checkout of something else, which does not track it.
    tracked = command_output("git", "-C", folder, "ls-files", "--error-unmatch", "__init__.py")
    if tracked is None:
        return None
    changed = command_output("git", "-C", folder, "status", "--porcelain", "--untracked-files=no")

    return commit + ("+" if changed else "")
