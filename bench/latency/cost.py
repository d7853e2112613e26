"""The cost of a call: its floating-point operations, and the size of the weights it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.errors import PluginFault
from bench.plugins.faults import plugin_call


def counted_flops(call: Callable[[], object]) -> int | None:
    """The floating-point operations of a call; None where they cannot be counted."""
    try:
        with plugin_call("counting"), FlopCounterMode(display=False) as counter:
            call()
    except PluginFault:
        return None

    return int(counter.get_total_flops())


def weight_bytes(modules: Iterable[nn.Module]) -> int:
    """The size of all parameters and buffers of the modules, in bytes."""
    tensors = (tensor for module in modules for tensor in (*module.parameters(), *module.buffers()))
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
