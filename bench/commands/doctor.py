"""`bench doctor`: what this installation would run on."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from bench.commands.folders import cache_folder, data_folder
from bench.machine.environment import choose_device, describe


def doctor(data: Path | None, cache: Path | None) -> None:
    """Print versions, devices, data found and cache size."""
    console = Console(highlight=False, soft_wrap=True)
    device = choose_device("auto")
    found = describe(device)
    for name, version in found["packages"].items():
        console.print(f"{name:22s} {version or 'not installed'}")
    console.print(f"{'python':22s} {found['python']} on {found['system']}")
    console.print(
        f"{'device (auto)':22s} {device}: {found['device']['name']}, {found['threads']} CPU threads"
    )
    console.print(f"{'CUDA devices':22s} {torch.cuda.device_count()}")
    folder = data_folder(data)
    for dataset, name in (("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")):
        there = any((folder / name / "raw").glob("*-ubyte*"))
        console.print(f"{'data ' + dataset:22s} {'found' if there else 'not found'} in {folder}")
    store = cache_folder(cache)
    sizes = [path.stat().st_size for path in store.rglob("*.safetensors")] if store.is_dir() else []
    console.print(f"{'cache':22s} {len(sizes)} artifacts, {sum(sizes) / 2**20:.1f} MiB in {store}")
