"""A simulated device: tensors that say they lie elsewhere and are computed on the CPU.

It behaves as a GPU does where a program can go wrong. An operation on tensors of both devices
raises, and so does one with a generator of the other device. Each time that the host waits for a
value, or a tensor is moved, is noted with the line that asked for it. The numbers are those of the
CPU, so that code which branches on values runs on. Tensors on PyTorch's own `meta` device and fake
tensors have no numbers: they end at the first branch.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, cast
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

SIMULATED = torch.device("meta")
"""The simulated device, under a name for which PyTorch needs neither a driver nor a library."""

_CPU = torch.device("cpu")

_INSIDE = (str(Path(torch.__file__).parent), __file__)
"""Where the code lies that is no line of a program: PyTorch's own, and this module."""

_MIXED = "tensors of the CPU and of another device are mixed"
_GENERATOR = "a random generator of the CPU and another device are mixed"
_NUMPY = "a tensor of another device is taken for an array of NumPy"

_MADE = "_made_at"
"""Attribute of a tensor of the CPU that has the lines which led to where it was made."""

Kind: TypeAlias = Literal["wait", "to the host", "to the device"]


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
        operation: operation of PyTorch, such as `nonzero`.
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
        self.stack = _stack()
        self.made = [getattr(tensor, _MADE, ()) for tensor in tensors]


class SimulatedTensor(Tensor):
    """A tensor on the simulated device.

    Args:
        values: its values, on the CPU.
    """

    values: Tensor

    __module__ = "torch"  # eagerpy, below foolbox, knows a tensor of PyTorch by this name
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values: Tensor) -> SimulatedTensor:
        made = Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            layout=values.layout,
            device=SIMULATED,
            requires_grad=values.requires_grad,
        )
        made.values = values
        return cast("SimulatedTensor", made)

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _computed(function, args, kwargs or {}, lambda *_: None)


class SimulatedGenerator(torch.Generator):
    """A random generator of either device; its numbers are those of the CPU."""

    def __new__(cls, device: torch.device | str = _CPU) -> SimulatedGenerator:
        made = super().__new__(cls, device=_CPU)
        made.simulated = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:
        """The device that it was made for."""
        return self.simulated


class _Operations(TorchDispatchMode):
    """Computes each operation of PyTorch, and notes where the host and the device meet."""

    def __init__(self, note: Callable[[Kind, str], None]) -> None:
        super().__init__()
        self.note = note

    def __torch_dispatch__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _computed(function, args, kwargs or {}, self.note)


class _Functions(TorchFunctionMode):
    """Takes the functions that PyTorch does not run as operations."""

    def __init__(self, note: Callable[[Kind, str], None]) -> None:
        super().__init__()
        self.note = note

    def __torch_function__(
        self, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        _check_generator(args, kwargs)
        if function in _FROM_VALUES and _is_simulated(kwargs.get("device")):
            return function(*args, **{**kwargs, "device": _CPU}).to(SIMULATED)
        if function is Tensor.new_tensor and isinstance(args[0], SimulatedTensor):
            return args[0].values.new_tensor(*args[1:], **kwargs).to(SIMULATED)

        if function is Tensor.tolist and isinstance(args[0], SimulatedTensor):
            self.note("wait", "tolist")
            return args[0].values.tolist()
        if function in _TO_NUMPY and isinstance(args[0], SimulatedTensor):
            raise MixedDevices(_NUMPY)

        return function(*args, **kwargs)


_SHOWN = {"aten::_local_scalar_dense": "a number", "aten::_unique2": "unique"}
"""Names of operations in messages, where those of PyTorch say less."""

_FROM_VALUES = (torch.tensor, torch.as_tensor, torch.asarray)
_TO_NUMPY = (Tensor.numpy, Tensor.__array__)
_WAITING = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
_INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


@contextmanager
def simulated_device() -> Iterator[list[HostAccess]]:
    """The accesses of the host to the simulated device in the block, which grow as it runs."""
    accesses: list[HostAccess] = []

    def note(kind: Kind, operation: str) -> None:
        accesses.append(HostAccess(kind, operation, _stack()))

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
        super().__init__("cpu" if _is_simulated(device_type) else device_type, *args, **kwargs)


def _computed(
    function: Any, args: Any, kwargs: Mapping[str, Any], note: Callable[[Kind, str], None]
) -> Any:
    """The result of an operation, on the device where a GPU's would lie.

    Raises:
        MixedDevices: tensors are of both devices.
    """
    tensors = list(_tensors((*args, *kwargs.values())))
    here = [tensor for tensor in tensors if isinstance(tensor, SimulatedTensor)]
    wanted = kwargs.get("device")
    if not here and not _is_simulated(wanted):
        return _made_here(function(*args, **kwargs), tensors)

    name = function._schema.name
    is_moved = name in ("aten::_to_copy", "aten::copy_")
    others = [tensor for tensor in tensors if not isinstance(tensor, SimulatedTensor)]
    if is_moved:
        _note_move(name, args, wanted, note)
    elif name in _INDEXING:
        _note_index(args, note)
    elif not _is_like(name) and any(tensor.dim() > 0 or "cat" in name for tensor in others):
        raise MixedDevices(_MIXED, others)
    if name not in _INDEXING and any(tag in function.tags for tag in _WAITING):
        note("wait", _SHOWN.get(name, name.removeprefix("aten::")))

    plain_args = _mapped(_values, args)
    plain_kwargs = {key: _mapped(_values, value) for key, value in kwargs.items()}
    if _is_simulated(wanted):
        plain_kwargs["device"] = _CPU
    result = function(*plain_args, **plain_kwargs)
    leaves = wanted is not None and not _is_simulated(wanted)
    if leaves or (name == "aten::copy_" and not isinstance(args[0], SimulatedTensor)):
        return result

    wrapped = _mapped(SimulatedTensor, result)
    if not _shares_memory(function):
        return wrapped
    return return_and_correct_aliasing(function, args, dict(kwargs), wrapped)


def _made_here(result: Any, tensors: Sequence[Tensor]) -> Any:
    """A result on the CPU, which remembers where it, or the first it was made of, was made."""
    if isinstance(result, Tensor) and not hasattr(result, _MADE):
        origins = (getattr(tensor, _MADE, ()) for tensor in tensors)
        setattr(result, _MADE, next(origins, None) if tensors else _stack())
    return result


def _note_move(name: str, args: Any, wanted: Any, note: Callable[[Kind, str], None]) -> None:
    """Note a copy from one device to the other."""
    if name == "aten::copy_":
        target, source = (isinstance(tensor, SimulatedTensor) for tensor in args[:2])
    else:
        source = isinstance(args[0], SimulatedTensor)
        target = source if wanted is None else _is_simulated(wanted)
    if source != target:
        note("to the device" if target else "to the host", "a copy")


def _note_index(args: Any, note: Callable[[Kind, str], None]) -> None:
    """Note what an index costs: a mask is turned into positions, one of the CPU is moved.

    A number that is written through a mask needs no positions.
    """
    indexed, indices, *values = args
    if not isinstance(indexed, SimulatedTensor):
        raise MixedDevices(_MIXED, [indexed])

    given = [index for index in indices if index is not None]
    is_number = bool(values) and values[0].numel() == 1
    if any(index.dtype in (torch.bool, torch.uint8) for index in given) and not is_number:
        note("wait", "a mask as index")
    if any(not isinstance(index, SimulatedTensor) for index in given):
        note("to the device", "an index")
    if values and not isinstance(values[0], SimulatedTensor) and values[0].dim() > 0:
        raise MixedDevices(_MIXED, values[:1])


def _check_generator(args: Any, kwargs: Mapping[str, Any]) -> None:
    """Check that a generator is of the device for which numbers are drawn.

    Raises:
        MixedDevices: it is of the other one.
    """
    generator = kwargs.get("generator")
    if generator is None:
        return
    is_here = _is_simulated(kwargs.get("device")) or any(
        isinstance(tensor, SimulatedTensor) for tensor in _tensors(args)
    )
    if is_here != _is_simulated(generator.device):
        raise MixedDevices(_GENERATOR)


@cache
def _shares_memory(function: Any) -> bool:
    """Whether a result of an operation lies in the memory of an argument, as a view does."""
    return any(value.alias_info is not None for value in function._schema.returns)


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among arguments, also those in lists."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _mapped(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """An argument or result with each tensor in it mapped, also those in lists."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        return type(value)([_mapped(function, item) for item in value])
    return value


def _values(tensor: Tensor) -> Tensor:
    return tensor.values if isinstance(tensor, SimulatedTensor) else tensor


def _is_like(name: str) -> bool:
    """Whether an operation takes a tensor for its form alone, such as `zeros_like`."""
    return name.endswith("_like") or name.startswith("aten::new_")


def _is_simulated(device: object) -> bool:
    return device is not None and torch.device(cast("str", device)) == SIMULATED


def _stack() -> tuple[Frame, ...]:
    """The lines outside PyTorch that are being executed, the innermost first."""
    lines, frame = [], sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_INSIDE):
            lines.append(Frame(file, frame.f_lineno))
        frame = frame.f_back  # type: ignore[assignment]

    return tuple(lines)
