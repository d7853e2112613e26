"""What a number was computed on: versions, device, driver, threads, commit."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch.version import cuda as cuda_version

from bench.errors import RequestError, nearest

_PACKAGES = ("purification-bench", "torch", "torchvision", "foolbox", "numpy", "scikit-learn", "safetensors")


def choose_device(name: str) -> torch.device:
    """The device of a `--device` value: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.

    Raises:
        RequestError: it is none of these, or not on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and (kind == "cpu" or not index.isdigit())):
        raise RequestError(
            f"unknown device '{name}' (choose from: auto, cpu, cuda, cuda:N{nearest(name, ['auto', 'cpu', 'cuda'])})"
        )
    if kind == "cuda":
        count = torch.cuda.device_count()
        if not torch.cuda.is_available() or int(index or 0) >= count:
            raise RequestError(f"device '{name}' is not on this machine (CUDA devices: {count}); use --device cpu")
        torch.cuda.set_device(int(index or 0))  # what synchronises and allocates by default
        return torch.device("cuda", int(index or 0))
    return torch.device("cpu")


def describe(device: torch.device) -> dict[str, Any]:
    """Everything worth recording of this machine and installation, as JSON."""
    return {
        "packages": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "system": platform.platform(),
        "device": {"type": device.type, "name": device_name(device), **_cuda(device)},
        "threads": torch.get_num_threads(),
        "commit": _commit(),
    }


def device_name(device: torch.device) -> str:
    """The processor's or the graphics card's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _cuda(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {}
    return {"cuda": cuda_version, "cudnn": torch.backends.cudnn.version(), "driver": _driver()}


def _driver() -> str | None:
    return _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout this package runs from, `+` added when it is changed; None when installed."""
    here = str(Path(__file__).resolve().parent)
    commit = _output("git", "-C", here, "rev-parse", "HEAD")
    if commit is None:
        return None
    tracked = _output("git", "-C", here, "ls-files", "--error-unmatch", "__init__.py")
    changed = _output("git", "-C", here, "status", "--porcelain", "--untracked-files=no")
    return None if tracked is None else commit + ("+" if changed else "")


def _output(*command: str) -> str | None:
    """What a command prints, or None where there is no such command or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 - fixed
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
