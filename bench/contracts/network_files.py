"""Networks in files: weights by `torch.save` or safetensors, TorchScript, exported programs.

A file of weights holds tensors alone and needs an untrained network to load them into. TorchScript
and exported programs are whole networks. Pickles that would run Python code are refused. The latter
two are programs all the same, so they should come from someone who is trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contracts.file_formats import format_of, reason_of
from bench.contracts.network import DataInfo
from bench.contracts.weights import load_weights, read_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

_BATCHES = (1, 3)
"""Numbers of images that a network is tried on."""


def read_network(path: Path, create: Callable[[], nn.Module] | None = None) -> nn.Module:
    """The network of a file, with its weights, on the CPU.

    Args:
        path: file with TorchScript, an exported program, or weights.
        create: function that makes the untrained network for weights; None for the other two,
            which need none.

    Raises:
        ValueError: the file has another format, `create` is missing or not needed, or the weights
            are those of another architecture.
        OSError: the file cannot be read.
    """
    form = format_of(path)
    if form in ("safetensors", "pickle"):
        if create is None:
            raise ValueError(
                f"{path} holds weights alone: name their architecture with arch=[FILE.py:NAME]"
            )
        module = create()
        load_weights(module, read_weights(path), path)
        return module

    if create is not None:
        raise ValueError(f"{path} is a whole network: leave arch out")

    from bench.contracts.programs import read_program, read_script  # which import torch

    return read_script(path) if form == "torchscript" else read_program(path)


def tried_output(module: nn.Module, data: DataInfo) -> Tensor:
    """The output of a network for a few gray images, in evaluation mode.

    Args:
        module: network, which is left in evaluation mode.
        data: shape of the images.

    Returns:
        output for three images.

    Raises:
        ValueError: the network raises, or does not return one tensor with an entry for each image.
    """
    module.eval()
    outputs = [_output(module, count, data) for count in _BATCHES]
    return outputs[-1]


def _output(module: nn.Module, count: int, data: DataInfo) -> Tensor:
    """The output of a network for some gray images; errors as in `tried_output`."""
    import torch

    try:
        with torch.no_grad():
            output: object = module(torch.full((count, *data.shape), 0.5))
    except Exception as error:
        raise ValueError(
            f"the network cannot take images of shape {data.shape}: {reason_of(error)}"
        ) from error

    if not isinstance(output, torch.Tensor):
        raise ValueError(f"the network returned {type(output).__name__} instead of a tensor")
    if output.shape[:1] != (count,):
        raise ValueError(f"the network returned shape {tuple(output.shape)} for {count} images")
    return output
