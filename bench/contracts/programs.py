"""Whole networks in files: TorchScript and exported programs."""

from __future__ import annotations

import ast
import builtins
import json
import os
import warnings
import zipfile
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
        _check_expressions(path)
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


def _check_expressions(path: Path) -> None:
    """Check the texts of sizes in an exported program, which its reader would run as Python.

    Raises:
        ValueError: one is no arithmetic.
        OSError: the file cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".json"):
                for text in _expressions(json.loads(archive.read(name))):
                    _check_arithmetic(text)


def _expressions(content: Any) -> Iterator[str]:
    """The texts under `expr_str` and similar keys, anywhere in JSON content."""
    if isinstance(content, dict):
        for key, value in content.items():
            if isinstance(value, str) and "expr" in key:
                yield value
            yield from _expressions(value)
    elif isinstance(content, list):
        for item in content:
            yield from _expressions(item)


def _check_arithmetic(text: str) -> None:
    """Check that a text consists of numbers, names and their arithmetic.

    Raises:
        ValueError: it has something else.
    """
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError):
        raise ValueError("it has a size that is no arithmetic") from None
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    is_sound = all(isinstance(node, _ARITHMETIC) for node in nodes) and not any(
        name.startswith("_") or (name in vars(builtins) and name not in _FUNCTIONS)
        for name in names
    )
    values = [node.value for node in nodes if isinstance(node, ast.Constant)]
    if not is_sound or not all(map(_is_number_or_name, values)):
        raise ValueError("it has a size that is no arithmetic")


def _is_number_or_name(value: object) -> bool:
    """Whether a constant is a number, or the name of a symbol."""
    is_name = isinstance(value, str) and value.isidentifier() and not value.startswith("_")
    return is_name or isinstance(value, int | float)


def _batch(program: Any) -> int | None:
    """The number of images that an exported program is fixed to; None for any number."""
    inputs = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in inputs:
            images = node.meta.get("val")
            count = images.shape[0] if isinstance(images, Tensor) and images.dim() else None
            return count if isinstance(count, int) else None
    return None


_ARITHMETIC = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.Call, ast.Name),
    *(ast.Constant, ast.keyword, ast.Load, ast.operator, ast.unaryop, ast.cmpop, ast.boolop),
)
"""Parts of an expression that are arithmetic."""

_FUNCTIONS = frozenset({"abs", "max", "min", "int", "float", "bool", "pow", "round"})
"""Functions of Python's own that may stand in one."""


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
