"""Tensors that say they lie on another device, and are computed on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils._python_dispatch import return_and_correct_aliasing

from bench.conformance.host_access import MixedDevices, Note, made_here

SIMULATED = torch.device("meta")
"""The simulated device, under a name for which PyTorch needs neither a driver nor a library."""

CPU = torch.device("cpu")

_MIXED = "tensors of the CPU and of another device are mixed"

_SHOWN = {"aten::_local_scalar_dense": "a number", "aten::_unique2": "unique"}
"""Names of operations in messages, where those of PyTorch say less."""

_WAITING = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""Tags of the operations whose result the host has to know before it can go on."""

_JOINING = ("aten::cat", "aten::stack")
"""Operations that take not even a number of the CPU."""

_INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


class SimulatedTensor(Tensor):
    """A tensor on the simulated device.

    Args:
        values: its values, on the CPU.
    """

    held: Tensor

    __module__ = "torch"  # eagerpy, below foolbox, knows a tensor of PyTorch by this name
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, values: Tensor) -> SimulatedTensor:
        """The tensor around its values."""
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
        made.held = values
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return computed(function, args, kwargs or {}, lambda *_: None)


def computed(function: Any, args: Any, kwargs: Mapping[str, Any], note: Note) -> Any:
    """The result of an operation, on the device where a GPU's would lie.

    Raises:
        MixedDevices: tensors are of both devices.
    """
    tensors = list(tensors_in((*args, *kwargs.values())))
    here = [tensor for tensor in tensors if isinstance(tensor, SimulatedTensor)]
    wanted = kwargs.get("device")
    if not here and not is_simulated(wanted):
        result = function(*args, **kwargs)
        made_here(result, tensors)
        return result

    name = function._schema.name
    is_moved = name in ("aten::_to_copy", "aten::copy_")
    others = [tensor for tensor in tensors if not isinstance(tensor, SimulatedTensor)]
    if is_moved:
        _note_move(name, args, wanted, note)
    elif name in _INDEXING:
        _note_index(args, note)
    elif not _is_like(name) and any(tensor.dim() > 0 or name in _JOINING for tensor in others):
        raise MixedDevices(_MIXED, others)
    if name not in _INDEXING and any(tag in function.tags for tag in _WAITING):
        note("wait", _SHOWN.get(name, name.removeprefix("aten::")))

    plain_args = _mapped(_values, args)
    plain_kwargs = {key: _mapped(_values, value) for key, value in kwargs.items()}
    if is_simulated(wanted):
        plain_kwargs["device"] = CPU
    result = function(*plain_args, **plain_kwargs)
    leaves = wanted is not None and not is_simulated(wanted)
    if leaves or (name == "aten::copy_" and not isinstance(args[0], SimulatedTensor)):
        return result

    wrapped = _mapped(SimulatedTensor, result)
    if not _shares_memory(function):
        return wrapped
    return return_and_correct_aliasing(function, args, dict(kwargs), wrapped)


def _note_move(name: str, args: Any, wanted: Any, note: Note) -> None:
    """Note a copy from one device to the other."""
    if name == "aten::copy_":
        target, source = (isinstance(tensor, SimulatedTensor) for tensor in args[:2])
    else:
        source = isinstance(args[0], SimulatedTensor)
        target = source if wanted is None else is_simulated(wanted)
    if source != target:
        note("to the device" if target else "to the host", "a copy")


def _note_index(args: Any, note: Note) -> None:
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


@cache
def _shares_memory(function: Any) -> bool:
    """Whether a result of an operation lies in the memory of an argument, as a view does."""
    return any(value.alias_info is not None for value in function._schema.returns)


def tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among arguments, also those in lists."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_in(value)


def _mapped(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """An argument or result with each tensor in it mapped, also those in lists."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        return type(value)([_mapped(function, item) for item in value])
    return value


def _values(tensor: Tensor) -> Tensor:
    return tensor.held if isinstance(tensor, SimulatedTensor) else tensor


def _is_like(name: str) -> bool:
    """Whether an operation takes a tensor for its form alone, such as `zeros_like`."""
    return name.endswith("_like") or name.startswith("aten::new_")


def is_simulated(device: object) -> bool:
    """Whether a device, or its name, is the simulated one."""
    return device is not None and torch.device(cast("str", device)) == SIMULATED
