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
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.failures import named
from bench.plugins.code import code_identity
from bench.plugins.origins import is_no_file
from bench.plugins.user_code import global_names, is_users, slot_names

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), range)

_OWN = frozenset(vars(nn.Module()))
"""Attributes that PyTorch keeps in every module; parts, weights and hooks are looked at apart.

The mode is no state of a network that is evaluated.
"""

_HOOKS = (
    *("_forward_pre_hooks", "_forward_hooks"),
    *("_backward_pre_hooks", "_backward_hooks"),
)

_SKIPPED = frozenset(
    {"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__annotate__"}
    | {"_abc_impl", "__abstractmethods__", "__dataclass_fields__", "__dataclass_params__"}
    | {"__firstlineno__", "__static_attributes__", "__match_args__", "__parameters__"}
)
"""Attributes of a class that decide nothing, or that repeat what others say."""

_SHARED = (*_PLAIN, Tensor, np.ndarray, nn.Module, type, types.FunctionType, types.ModuleType)
"""Kinds of the values of a user's module that count wherever the module is used."""

_snapshots: dict[str, tuple[ModuleSpec | None, Any]] = {}
"""The identity of the files of a module, taken once for each time that it is imported."""

logger = logging.getLogger("bench")


class Looked:
    """An object that was looked into.

    Attributes:
        digest: digest of its state and of the code behind it.
        modules: torch modules that it consists of or reaches.
    """

    def __init__(self, subject: Any) -> None:
        digest = _Digest()
        digest.add(subject)
        self.digest: str = digest.hexdigest()
        self.modules: tuple[nn.Module, ...] = tuple(
            value for value in digest.kept if isinstance(value, nn.Module)
        )


def live_digest(subject: Any) -> str:
    """The digest of an object's state and of the code behind it.

    It covers modules with their weights, hooks and plain attributes. Functions and classes of the
    user count by their compiled code, what they hold, and the global names that they use, and where
    they come from a file also by this file and what it imports; others by their name and the
    version of their package. What cannot be looked into gets a digest that no other object has, so
    that no stored result is taken for that of another.

    Args:
        subject: module, function or any other object.
    """
    return Looked(subject).digest


class _Digest:
    """A digest of nested objects, each of which is looked into once.

    Attributes:
        kept: objects that were looked into; no other object gets the number of one of them.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self.kept: list[Any] = []

    def hexdigest(self) -> str:
        """The digest of all that was added."""
        return self._hash.hexdigest()

    def add(self, value: Any) -> None:
        """Add an object."""
        if type(value) in _PLAIN:
            self._text(f"{type(value).__name__} {value!r}")
            return
        if id(value) in self._seen:
            self._text(f"again {self._seen[id(value)]}")
            return
        self._seen[id(value)] = len(self._seen)
        self.kept.append(value)

        self._text(type(value).__qualname__)
        try:
            self._look(value)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's object raises
            self._unknown(value, error)

    def _look(self, value: Any) -> None:
        for kind, look in _LOOKS:
            if isinstance(value, kind):
                if not isinstance(value, type):
                    self.add(type(value))  # a class of the user's may derive from a known kind
                look(self, value)
                return
        self._object(value)

    def _unknown(self, value: Any, error: Exception) -> None:
        """What cannot be looked into: by its pickle, else like no other object."""
        try:
            self._hash.update(pickle.dumps(value, protocol=4))
        except Exception:  # noqa: BLE001 - as above
            kind = type(value).__qualname__
            logger.info("results are not kept: a %s cannot be told apart (%s)", kind, named(error))
            self._text(uuid.uuid4().hex)

    def _text(self, text: str) -> None:
        self._hash.update(f"{len(text)} {text}\n".encode("utf-8", "surrogatepass"))

    def _tensor(self, value: Tensor) -> None:
        tensor = value.detach().cpu()
        self._text(f"{tensor.dtype} {tuple(tensor.shape)}")
        flat = tensor.reshape(-1).contiguous()
        self._hash.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")

    def _array(self, value: Any) -> None:
        array = np.asarray(value)
        self._text(f"{array.dtype.str} {array.shape}")
        if array.dtype.hasobject:
            self._sequence(array.ravel().tolist())
        else:
            self._hash.update(array.tobytes())

    def _sequence(self, value: Iterable[Any]) -> None:
        items = list(value)
        self._text(str(len(items)))
        for item in items:
            self.add(item)

    def _set(self, value: Iterable[Any]) -> None:
        self._sequence(sorted(live_digest(item) for item in value))

    def _mapping(self, value: Mapping[Any, Any]) -> None:
        self._text(str(len(value)))
        for key, item in value.items():
            self.add(key)
            self.add(item)

    def _module(self, value: nn.Module) -> None:
        for held in (value._parameters, value._buffers, value._modules):
            self._mapping(held)
        for name in _HOOKS:
            self._sequence(getattr(value, name, {}).values())  # their numbers grow in a process
        self._mapping({name: item for name, item in vars(value).items() if name not in _OWN})
        if isinstance(value, torch.jit.ScriptModule):
            self._text(value.code)

    def _function(self, value: types.FunctionType) -> None:
        self._text(f"{value.__module__}.{value.__qualname__}")
        self._file_of(value.__module__)
        if not is_users(value.__module__):
            return
        self._code(value.__code__, value.__globals__)
        self._sequence([value.__defaults__, value.__kwdefaults__, vars(value)])
        self._sequence(map(_content, value.__closure__ or ()))

    def _code(self, code: types.CodeType, names: Mapping[str, Any]) -> None:
        self._hash.update(code.co_code)
        self._sequence([code.co_names, code.co_varnames, code.co_freevars])
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant, names)
            else:
                self.add(constant)
        for name in global_names(code):
            if name in names:
                self.add(names[name])

    def _class(self, value: type) -> None:
        self._text(f"{value.__module__}.{value.__qualname__}")
        self._file_of(value.__module__)
        if not is_users(value.__module__):
            return
        self._sequence(value.__bases__)
        self._mapping({name: item for name, item in vars(value).items() if name not in _SKIPPED})

    def _imported(self, value: types.ModuleType) -> None:
        self._text(value.__name__)
        self._file_of(value.__name__)
        if is_users(value.__name__):
            shared = {name: item for name, item in vars(value).items() if _is_shared(name, item)}
            self._mapping(shared)

    def _file_of(self, module: str) -> None:
        """The file of a module and what it imports, as they were when it was imported."""
        found = sys.modules.get(module)
        file = getattr(found, "__file__", None)
        if file is None or is_no_file(file):
            return
        spec = getattr(found, "__spec__", None)
        if module not in _snapshots or _snapshots[module][0] is not spec:
            _snapshots[module] = (spec, code_identity(type("Of", (), {"__module__": module})))
        self.add(_snapshots[module][1])

    def _method(self, value: types.MethodType) -> None:
        self._sequence([value.__func__, value.__self__])

    def _wrapped(self, value: Any) -> None:
        self.add(value.__func__)

    def _property(self, value: property) -> None:
        self._sequence([value.fget, value.fset])

    def _partial(self, value: functools.partial[Any]) -> None:
        self._sequence([value.func, value.args, value.keywords])

    def _builtin(self, value: Any) -> None:
        self._text(value.__qualname__)
        owner = getattr(value, "__self__", None)
        self.add(None if isinstance(owner, types.ModuleType) else owner)

    def _descriptor(self, value: Any) -> None:
        owner = value.__objclass__
        self._text(f"{owner.__module__}.{owner.__qualname__}.{value.__name__}")

    def _logger(self, value: logging.Logger) -> None:
        self._text(value.name)

    def _object(self, value: Any) -> None:
        """An object of any other kind, by its class and what it holds."""
        self.add(type(value))
        slots = [name for name in slot_names(type(value)) if hasattr(value, name)]
        if not hasattr(value, "__dict__") and not slots:
            raise TypeError("it holds nothing that can be seen")
        self._mapping({**getattr(value, "__dict__", {}), **{n: getattr(value, n) for n in slots}})


def _is_shared(name: str, item: Any) -> bool:
    return not name.startswith("__") and isinstance(item, _SHARED)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


_LOOKS: tuple[tuple[Any, Any], ...] = (
    (Tensor, _Digest._tensor),
    ((np.ndarray, np.generic), _Digest._array),
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
    (types.BuiltinFunctionType, _Digest._builtin),
    (
        (types.MethodDescriptorType, types.WrapperDescriptorType, types.GetSetDescriptorType),
        _Digest._descriptor,
    ),
    (types.MemberDescriptorType, _Digest._descriptor),
    (logging.Logger, _Digest._logger),
    (type, _Digest._class),
)
"""How each kind of object is looked into, the special kinds first."""
