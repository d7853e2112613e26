"""What a number was computed on: versions, device, driver, threads, commit."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch.version import cuda as cuda_version

from bench.errors import RequestError, nearest

_PACKAGES = (
    "purification-bench",
    "torch",
    "torchvision",
    "foolbox",
    "numpy",
    "scikit-learn",
    "safetensors",
)

_LEAST_WATCH = 0.2
"""Seconds below which the system's ticks (a hundredth of one) are too coarse."""


def choose_device(name: str) -> torch.device:
    """The device of a `--device` value: `auto` (CUDA where there is one), `cpu`, `cuda` or
    `cuda:N`.

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
            raise RequestError(
                f"device '{name}' is not on this machine (CUDA devices: {count}); use --device cpu"
            )
        torch.cuda.set_device(int(index or 0))  # what synchronises and allocates by default
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = (
            False  # float32 means float32
        )
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


class ConditionsMonitor:
    """What surrounds a measurement: begun with the object, read by `conditions`."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._clock = device, clock_mhz(device)
        self._start = self._ticks()

    def conditions(self) -> dict[str, Any]:
        """Threads, the clock in MHz as it was read at the start, and how many cores others kept
        busy since.

        Others are all other processes, and the host where it takes time from a virtual machine.
        """
        return {
            "threads": torch.get_num_threads(),
            "clock_mhz": self._clock,
            "busy_elsewhere": self._elsewhere(),
        }

    def _elsewhere(self) -> float | None:
        end = self._ticks()
        if self._start is None or end is None:
            return None
        (own, all_), seconds = (
            (b - a for a, b in zip(self._start[:2], end[:2], strict=True)),
            end[2] - self._start[2],
        )
        return round(max(0.0, all_ - own) / seconds, 2) if seconds >= _LEAST_WATCH else None

    @staticmethod
    def _ticks() -> tuple[float, float, float] | None:
        """Processor seconds of this process and of all, and the time.

        None where the system does not tell.
        """
        try:
            fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
        except OSError:
            return None
        user, nice, system, _idle, _waiting, *interrupts = (int(field) for field in fields[:8])
        busy = (user + nice + system + sum(interrupts)) / os.sysconf(
            "SC_CLK_TCK"
        )  # the last are stolen by the host
        return time.process_time(), busy, time.perf_counter()


def device_id(device: torch.device) -> str:
    """The device as the machine knows it, whatever number it has in this process: `cpu`, or `GPU-` and its UUID."""
    if device.type != "cuda" or not torch.cuda.is_available():
        return str(device).replace(":", "")
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return f"GPU-{uuid}" if uuid is not None else f"cuda{device.index}"


def clock_mhz(device: torch.device) -> float | None:
    """The clock as the system reports it now: of the GPU's multiprocessors, or the mean of the CPU's cores."""
    if device.type == "cuda":
        found = _output(
            "nvidia-smi",
            "--query-gpu=clocks.sm",
            "--format=csv,noheader,nounits",
            f"--id={_nvidia_smi_id(device)}",
        )
        return float(found) if found and found.replace(".", "", 1).isdigit() else None
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    clocks = [float(line.split(":", 1)[1]) for line in lines if line.startswith("cpu MHz")]
    return round(sum(clocks) / len(clocks), 1) if clocks else None


def _nvidia_smi_id(device: torch.device) -> str:
    """How nvidia-smi is asked for the device."""
    return device_id(device).removeprefix("cuda")


def device_name(device: torch.device) -> str:
    """The processor's or the graphics card's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _cuda(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {}
    return {
        "cuda": cuda_version,
        "cudnn": torch.backends.cudnn.version(),
        "driver": _driver(device),
    }


def _driver(device: torch.device) -> str | None:
    return _output(
        "nvidia-smi",
        "--query-gpu=driver_version",
        "--format=csv,noheader",
        f"--id={_nvidia_smi_id(device)}",
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout this package runs from, `+` added when it is changed.

    None when installed.
    """
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
