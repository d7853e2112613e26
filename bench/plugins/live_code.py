"""Objects of a program or a notebook by content: their state, and the code behind them.

A class of a notebook has no file, and its module's weights are not all that decides what it does.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import pickle
import sys
import types
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.plugins.code import code_identity
from bench.plugins.origins import is_no_file

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), range)

_OWN = frozenset(vars(nn.Module()))
"""Attributes that PyTorch keeps in every module; parts, weights and hooks are looked at apart.

The mode is no state of a network that is evaluated.
"""

_SKIPPED = frozenset({"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__"})

logger = logging.getLogger("bench")


def live_digest(subject: Any) -> str:
    """The digest of an object's state and of the code behind it.

    It covers modules with their weights, hooks and plain attributes; functions and classes without
    a file by their compiled code and the global names that it uses; classes of files by these
    files and what they import, see `bench.plugins.code.code_identity`. What cannot be looked into
    gets a digest that no other object has, so that no stored result is taken for that of another.

    Args:
        subject: module, function or any other object.
    """
    digest = _Digest()
    digest.add(subject)
    return digest.hexdigest()


class _Digest:
    """A digest of nested objects, each of which is looked into once."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no other object gets the number of one that was seen

    def hexdigest(self) -> str:
        """The digest of all that was added."""
        return self._hash.hexdigest()

    def add(self, value: Any) -> None:
        """Add an object."""
        if isinstance(value, _PLAIN):
            self._text(f"{type(value).__name__} {value!r}")
            return
        if id(value) in self._seen:
            self._text(f"again {self._seen[id(value)]}")
            return
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)

        self._text(type(value).__qualname__)
        for kind, look in _LOOKS:
            if isinstance(value, kind):
                look(self, value)
                return
        self._other(value)

    def _text(self, text: str) -> None:
        self._hash.update(f"{len(text)} {text}\n".encode())

    def _array(self, value: Any) -> None:
        tensor = (
            value.detach().cpu() if isinstance(value, Tensor) else torch.as_tensor(value.copy())
        )
        self._text(f"{tensor.dtype} {tuple(tensor.shape)}")
        self._hash.update(tensor.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())

    def _sequence(self, value: Any) -> None:
        self._text(str(len(value)))
        for item in value:
            self.add(item)

    def _set(self, value: Any) -> None:
        self._sequence(sorted(map(repr, value)))

    def _mapping(self, value: Mapping[Any, Any]) -> None:
        self._text(str(len(value)))
        for key, item in value.items():
            self.add(key)
            self.add(item)

    def _module(self, value: nn.Module) -> None:
        self.add(type(value))
        for names, held in (
            ("weights", value._parameters),
            ("buffers", value._buffers),
            ("parts", value._modules),
            ("before", value._forward_pre_hooks),
            ("after", value._forward_hooks),
        ):
            self._text(names)
            self._mapping({str(name): item for name, item in held.items()})
        self._mapping({name: item for name, item in vars(value).items() if name not in _OWN})

    def _function(self, value: types.FunctionType) -> None:
        self._text(f"{value.__module__}.{value.__qualname__}")
        if _has_file(value.__module__):
            self._file_of(value.__module__)
        else:
            self._code(value.__code__, value.__globals__)
        self.add(value.__defaults__)
        self.add(value.__kwdefaults__)
        self._sequence([_content(cell) for cell in value.__closure__ or ()])

    def _code(self, code: types.CodeType, names: Mapping[str, Any]) -> None:
        self._hash.update(code.co_code)
        self._text(" ".join(code.co_names))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant, names)
            else:
                self.add(constant)
        for name in code.co_names:
            if name in names:
                self.add(names[name])

    def _class(self, value: type) -> None:
        self._text(f"{value.__module__}.{value.__qualname__}")
        if _has_file(value.__module__):
            self.add(code_identity(value))
            return
        self._sequence(value.__bases__)
        self._mapping({name: item for name, item in vars(value).items() if name not in _SKIPPED})

    def _imported(self, value: types.ModuleType) -> None:
        self._text(value.__name__)
        self._file_of(value.__name__)

    def _file_of(self, module: str) -> None:
        """The file of a module and what it imports, looked up as for a class of the module."""
        self.add(code_identity(type("Of", (), {"__module__": module})))

    def _method(self, value: types.MethodType) -> None:
        self.add(value.__func__)
        self.add(value.__self__)

    def _wrapped(self, value: Any) -> None:
        self.add(value.__func__)

    def _property(self, value: property) -> None:
        self._sequence([value.fget, value.fset])

    def _partial(self, value: functools.partial[Any]) -> None:
        self._sequence([value.func, value.args, value.keywords])

    def _builtin(self, value: types.BuiltinFunctionType) -> None:
        self._text(f"{value.__module__}.{value.__qualname__}")

    def _other(self, value: Any) -> None:
        """An object of any other kind: what it holds, else its pickle, else no equal."""
        self.add(type(value))
        if hasattr(value, "__dict__"):
            self._mapping(vars(value))
            return
        try:
            self._hash.update(pickle.dumps(value, protocol=4))
        except Exception as error:  # noqa: BLE001 - whatever a stranger's object raises
            logger.info("results are not kept: %s cannot be told apart (%s)", type(value), error)
            self._text(uuid.uuid4().hex)


def _has_file(module: str) -> bool:
    """Whether a module comes from a file, or is part of Python."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return module == "builtins" or (file is not None and not is_no_file(file))


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


_LOOKS: tuple[tuple[Any, Any], ...] = (
    ((Tensor, np.ndarray, np.generic), _Digest._array),
    (nn.Module, _Digest._module),
    ((tuple, list), _Digest._sequence),
    ((set, frozenset), _Digest._set),
    (Mapping, _Digest._mapping),
    (types.FunctionType, _Digest._function),
    (types.MethodType, _Digest._method),
    ((staticmethod, classmethod), _Digest._wrapped),
    (property, _Digest._property),
    (functools.partial, _Digest._partial),
    (types.ModuleType, _Digest._imported),
    ((types.BuiltinFunctionType, types.MethodDescriptorType), _Digest._builtin),
    (type, _Digest._class),
)
"""How each kind of object is looked into, the special kinds first."""
