"""A simulated device: tensors that say they lie elsewhere and are computed on the CPU.

It behaves as a GPU does where a program can go wrong. An operation on tensors of both devices
raises, and so does one with a generator of the other device. Each time that the host waits for a
value, or a tensor is moved, is noted with the line that asked for it. The numbers are those of the
CPU, so that code which branches on values runs on. Tensors on PyTorch's own `meta` device and fake
tensors have no numbers: they end at the first branch.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from bench.conformance.host_access import HostAccess, Kind, MixedDevices, Note, stack
from bench.conformance.simulated_tensor import (
    CPU,
    SIMULATED,
    SimulatedTensor,
    computed,
    is_simulated,
    tensors_in,
)

_GENERATOR = "a random generator of the CPU and another device are mixed"
_NUMPY = "a tensor of another device is taken for an array of NumPy"

_FROM_VALUES = (torch.tensor, torch.as_tensor, torch.asarray)
_TO_NUMPY = (Tensor.numpy, Tensor.__array__)


@contextmanager
def simulated_device() -> Iterator[list[HostAccess]]:
    """The accesses of the host to the simulated device in the block, which grow as it runs."""
    accesses: list[HostAccess] = []

    def note(kind: Kind, operation: str) -> None:
        accesses.append(HostAccess(kind, operation, stack()))

    with (
        warnings.catch_warnings(),
        patch.object(torch, "Generator", SimulatedGenerator),
        patch.object(torch, "autocast", _Autocast),
        _Functions(note),
        _Operations(note),
    ):
        # Weights of the CPU are loaded here, whatever PyTorch says of its `meta` device.
        warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter")
        yield accesses


class _Autocast(torch.autocast):
    """Autocast, which PyTorch has for the devices that it knows."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu" if is_simulated(device_type) else device_type, *args, **kwargs)


class SimulatedGenerator(torch.Generator):
    """A random generator of either device; its numbers are those of the CPU."""

    made_for: torch.device

    def __new__(cls, device: torch.device | str = CPU) -> SimulatedGenerator:
        """The generator for a device."""
        made = super().__new__(cls, device=CPU)  # type: ignore[call-arg]
        made.made_for = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The device that it was made for."""
        return self.made_for


class _Operations(TorchDispatchMode):
    """Computes each operation of PyTorch, and notes where the host and the device meet."""

    def __init__(self, note: Note) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.note = note

    def __torch_dispatch__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return computed(function, args, kwargs or {}, self.note)


class _Functions(TorchFunctionMode):
    """Takes the functions that PyTorch does not run as operations."""

    def __init__(self, note: Note) -> None:
        super().__init__()
        self.note = note

    def __torch_function__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        _check_generator(args, kwargs)
        if function in _FROM_VALUES and is_simulated(kwargs.get("device")):
            return function(*args, **{**kwargs, "device": CPU}).to(SIMULATED)
        if function is Tensor.new_tensor and isinstance(args[0], SimulatedTensor):
            return args[0].held.new_tensor(*args[1:], **kwargs).to(SIMULATED)

        if function is Tensor.tolist and isinstance(args[0], SimulatedTensor):
            self.note("wait", "tolist")
            return args[0].held.tolist()
        if function in _TO_NUMPY and isinstance(args[0], SimulatedTensor):
            raise MixedDevices(_NUMPY)

        return function(*args, **kwargs)


def _check_generator(args: Any, kwargs: Mapping[str, Any]) -> None:
    """Check that a generator is of the device for which numbers are drawn.

    Raises:
        MixedDevices: it is of the other one.
    """
    generator = kwargs.get("generator")
    if generator is None:
        return
    is_here = is_simulated(kwargs.get("device")) or any(
        isinstance(tensor, SimulatedTensor) for tensor in tensors_in(args)
    )
    if is_here != is_simulated(generator.device):
        raise MixedDevices(_GENERATOR)
