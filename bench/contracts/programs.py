"""Whole networks in files: TorchScript and exported programs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from bench.contracts.file_formats import damaged

_LOADING = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0"}
"""Settings under which PyTorch's own reader of exported programs refuses pickled code, too."""


def read_script(path: Path) -> nn.Module:
    """The network of a TorchScript file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the format is an old one
            script = torch.jit.load(path, map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise damaged(path, error) from error
    return _Whole(script)


def read_program(path: Path) -> nn.Module:
    """The network of an exported program.

    Raises:
        ValueError: it is damaged, would unpickle code, or takes one number of images only.
    """
    try:
        with _no_pickled_code(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(path)
    except Exception as error:
        raise damaged(path, error) from error

    batch = _batch(program)
    if batch is not None:
        raise ValueError(
            f"{path} takes exactly {batch} images at a time: export it again with "
            'dynamic_shapes=({0: torch.export.Dim("batch")},)'
        )
    return _Exported(program.module())


def _batch(program: Any) -> int | None:
    """The number of images that an exported program is fixed to; None for any number."""
    inputs = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in inputs:
            images = node.meta.get("val")
            count = images.shape[0] if isinstance(images, Tensor) and images.dim() else None
            return count if isinstance(count, int) else None
    return None


class _Whole(nn.Module):
    """A network from a file as an ordinary module, which TorchScript's own is not."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """The output of the network."""
        output: Tensor = self.network(images)
        return output


class _Exported(_Whole):
    """The module of an exported program, whose mode is that of the export for good."""

    def train(self, mode: bool = True) -> Self:
        """Note the mode, which the program itself refuses to change."""
        self.training = mode
        return self


@contextmanager
def _no_pickled_code() -> Iterator[None]:
    """Have PyTorch refuse pickled code in the block, where its readers would load it."""
    before = {name: os.environ.get(name) for name in _LOADING}
    os.environ.update(_LOADING)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
