"""Accesses of the host to a device, with the lines of code that asked for them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

_INSIDE = (str(Path(torch.__file__).parent), str(Path(__file__).parent / "simulated_"), __file__)
"""Where the code lies that is no line of a program: PyTorch's own, and that of the simulation."""

_MADE = "_made_at"
"""Attribute of a tensor of the CPU that has the lines which led to where it was made."""

Kind: TypeAlias = Literal["wait", "to the host", "to the device"]

Note: TypeAlias = Callable[[Kind, str], None]
"""Function that notes an access: its kind, and what was asked for."""


class Frame(NamedTuple):
    """A line of Python code that is being executed.

    Attributes:
        file: path of the file.
        line: number of the line.
    """

    file: str
    line: int


class HostAccess(NamedTuple):
    """A moment at which the host and the simulated device had to meet.

    Attributes:
        kind: whether the host waited for a value, or a tensor was moved, and where to.
        operation: what was asked for, such as `nonzero`.
        stack: lines outside PyTorch that led there, the innermost first.
    """

    kind: Kind
    operation: str
    stack: tuple[Frame, ...]


class MixedDevices(RuntimeError):
    """What PyTorch raises on a GPU where the CPU and the device are mixed.

    Attributes:
        stack: lines that led there, the innermost first.
        made: for each tensor of the CPU, the lines that led to where it was made, if it was made
            while the device was simulated; else none.
    """

    def __init__(self, message: str, tensors: Sequence[Tensor] = ()) -> None:
        super().__init__(message)
        self.stack = stack()
        self.made = [getattr(tensor, _MADE, ()) for tensor in tensors]


def made_here(result: object, tensors: Sequence[Tensor]) -> None:
    """Let a result on the CPU remember where it was made, or the first tensor it was made of."""
    if isinstance(result, Tensor) and not hasattr(result, _MADE):
        origin = getattr(tensors[0], _MADE, ()) if tensors else stack()
        setattr(result, _MADE, origin)


def stack() -> tuple[Frame, ...]:
    """The lines outside PyTorch that are being executed, the innermost first."""
    lines, frame = [], sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_INSIDE):
            lines.append(Frame(file, frame.f_lineno))
        frame = frame.f_back  # type: ignore[assignment]

    return tuple(lines)
