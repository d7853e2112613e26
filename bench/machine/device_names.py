"""Names of devices as `--device` takes them, read without importing torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.errors import RequestError, unknown

CHOICES = ("auto", "cpu", "cuda")
"""Kinds of device; `cuda` may be followed by an index, as in `cuda:1`."""

_OTHER_BACKENDS = ("hpu", "ipu", "maia", "mps", "mtia", "privateuseone", "vulkan", "xla", "xpu")
"""Devices of PyTorch on which this benchmark has not been tried."""

_INDEXED = re.compile(r"([a-z]+):([0-9]{1,4})")


@dataclass(frozen=True)
class DeviceName:
    """A device that was asked for.

    Attributes:
        kind: one of `CHOICES`.
        index: number of the graphics card; 0 for the other kinds.
    """

    kind: str
    index: int


def parse_device(name: str) -> DeviceName:
    """The device of a `--device` value: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        RequestError: the value is none of these.
    """
    indexed = _INDEXED.fullmatch(name)
    kind, index = (indexed[1], int(indexed[2])) if indexed else (name, 0)

    if kind in _OTHER_BACKENDS:
        raise RequestError(
            f"--device {name}: PyTorch has this device, but the benchmark supports cpu and cuda "
            "only; use --device cpu"
        )
    if kind not in CHOICES or (indexed and kind != "cuda"):
        raise unknown("device", name, (*CHOICES, "cuda:N"))

    return DeviceName(kind, index)
