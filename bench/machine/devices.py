"""Devices: the choice of one, its name, and its identity across processes."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import torch

from bench.errors import RequestError
from bench.machine.device_names import parse_device


def choose_device(name: str) -> torch.device:
    """The device of a `--device` value: `auto`, `cpu`, `cuda` or `cuda:N`.

    `auto` is CUDA where there is a GPU, else the CPU. Choosing CUDA forbids TF32, so that float32
    results are computed in float32, and asks for deterministic algorithms, so that the same task
    gives the same numbers each time, as on the CPU. PyTorch warns of a function without one.

    Raises:
        RequestError: the value is none of these, or the device is not on this machine.
    """
    wanted = parse_device(name)
    kind = wanted.kind
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"

    return _cuda_device(name, wanted.index) if kind == "cuda" else torch.device("cpu")


def _cuda_device(name: str, index: int) -> torch.device:
    count = torch.cuda.device_count()
    if not torch.cuda.is_available() or index >= count:
        raise RequestError(
            f"device '{name}' is not on this machine (CUDA devices: {count}); use --device cpu"
        )

    # Synchronization and allocation without an explicit device go to the current one.
    torch.cuda.set_device(index)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    _be_deterministic()

    return torch.device("cuda", index)


def _be_deterministic() -> None:
    """Ask PyTorch for deterministic algorithms, before its first matrix product on CUDA."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS's own condition
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.deterministic = True
    # Filling new memory costs a kernel for each tensor, and shows only faults of PyTorch itself.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def device_name(device: torch.device) -> str:
    """The model name of the processor or the graphics card."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))

    return next(names, platform.machine())


def device_id(device: torch.device) -> str:
    """The identity of a device on this machine: `cpu`, or `GPU-` and the UUID of a graphics card.

    The index of a graphics card may differ between processes; its UUID does not.
    """
    if device.type != "cuda" or not torch.cuda.is_available():
        return str(device).replace(":", "")

    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return f"GPU-{uuid}" if uuid is not None else f"cuda{device.index}"


def nvidia_smi(device: torch.device, field: str) -> str | None:
    """A field of a graphics card as nvidia-smi prints it, without its unit; None if it fails."""
    return command_output(
        "nvidia-smi",
        f"--query-gpu={field}",
        "--format=csv,noheader,nounits",
        f"--id={device_id(device).removeprefix('cuda')}",
    )


def command_output(*command: str) -> str | None:
    """The output of a command; None where there is no such command or it fails."""
    try:
        finished = subprocess.run(  # noqa: S603 - every caller gives a fixed command
            command, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None

    return finished.stdout.strip()
