"""`bench doctor`: versions, devices, data sets and the cache of this installation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console

from bench.commands.folders import cache_folder, data_folder
from bench.errors import RequestError
from bench.machine.devices import choose_device
from bench.machine.environment import describe_environment
from bench.progress import say
from bench.store.originals import ORIGINALS


def doctor(data: Path | None, cache: Path | None) -> None:
    """Print versions, devices, data sets and the size of the cache.

    Args:
        data: folder of data sets; None for the default.
        cache: folder of artifacts; None for the default.
    """
    console = Console()
    for name, text in (*_machine(), *_data_sets(data_folder(data)), _cache(cache)):
        say(console, f"{name:22s} {text}")


def _machine() -> Iterator[tuple[str, str]]:
    device = choose_device("auto")
    environment = describe_environment(device)

    for name, version in environment["packages"].items():
        yield name, version or "not installed"
    yield "python", f"{environment['python']} on {environment['system']}"
    name = environment["device"]["name"]
    yield "device (auto)", f"{device}: {name}, {environment['threads']} CPU threads"
    yield "CUDA devices", str(torch.cuda.device_count())


def _data_sets(folder: Path) -> Iterator[tuple[str, str]]:
    for name, original in ORIGINALS.items():
        try:
            count = len(original.arrays(folder))
        except RequestError as error:
            yield f"data {name}", str(error)
            continue

        missing = len(original.files) - count
        state = f"{missing} of its {len(original.files)} files missing" if missing else "complete"
        yield f"data {name}", f"{state} in {original.raw_folder(folder)}"


def _cache(option: Path | None) -> tuple[str, str]:
    try:
        folder = cache_folder(option)
    except RequestError as error:
        if option is not None:
            raise
        return "cache", str(error)  # `doctor` reports this instead of failing

    paths = folder.rglob("*.safetensors") if folder.is_dir() else ()
    sizes = [path.stat().st_size for path in paths if path.is_file()]

    return "cache", f"{len(sizes)} artifacts, {sum(sizes) / 2**20:.1f} MiB in {folder}"
