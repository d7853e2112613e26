"""Settings of the process that plugin code may change, and that the numbers of others depend on.

All plugins run in one process. A default type, a number of threads or a working folder that one of
them leaves behind would silently change the results of the next, and what one prints would stand
among the tables.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TextIO, TypeAlias, cast

import numpy as np

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""The signals whose handlers belong to the command line."""

_CUDNN_FLAGS = ("enabled", "benchmark", "deterministic", "allow_tf32")


@dataclass(frozen=True)
class _Setting:
    """A setting of the process.

    Attributes:
        read: function that returns the value.
        write: function that sets it.
    """

    read: Callable[[], Any]
    write: Callable[[Any], object]

    def value(self) -> Any:
        """The value; the error that reading raises if there is none, such as a removed folder."""
        try:
            return self.read()
        except (OSError, RuntimeError) as error:
            return error

    def restore(self, value: Any) -> None:
        """Set the value again if it has changed, unless it could not be read."""
        if not isinstance(value, Exception) and self.value() != value:
            self.write(value)


_State: TypeAlias = "list[tuple[_Setting, Any]]"

_outer: list[_State] = []
"""The states at the entry of the plugin calls that are running, the outermost first."""


@contextmanager
def kept_process_state() -> Iterator[None]:
    """Restore the working folder, signal handlers, and settings of NumPy and PyTorch on exit.

    Of PyTorch: default type and device, gradient mode, number of threads, deterministic algorithms,
    autocast, TF32 and the flags of cuDNN. Random generators are restored by
    `bench.stages.seeding.seeded`.

    Inside the block, Python code that prints to standard output prints to standard error; what code
    in another language writes is not caught.
    """
    state = _state()
    with _restored(state), redirect_stdout(_STANDARD_ERROR):
        _outer.append(state)
        try:
            yield
        finally:
            _outer.pop()


@contextmanager
def first_process_state() -> Iterator[None]:
    """Set the settings as they were before any plugin call that is running; restore them on exit.

    For work of the harness that a plugin asks for, which must not depend on the plugin's settings.
    """
    with _restored(_state()):
        for setting, value in _outer[0] if _outer else ():
            setting.restore(value)
        yield


class _StandardError:
    """Standard error as it is at each call; a progress bar puts another stream in its place."""

    def __getattr__(self, name: str) -> Any:
        return getattr(io.StringIO() if sys.stderr is None else sys.stderr, name)


_STANDARD_ERROR = cast("TextIO", _StandardError())


def _state() -> _State:
    """The settings with their present values."""
    settings = (*_process_settings(), *(_torch_settings() if "torch" in sys.modules else ()))
    return [(setting, setting.value()) for setting in settings]


@contextmanager
def _restored(state: _State) -> Iterator[None]:
    """Set settings to the values of a state on exit."""
    # The stack restores all of them, also where one cannot be restored and raises.
    with ExitStack() as stack:
        for setting, value in state:
            stack.callback(setting.restore, value)
        yield


@lru_cache(maxsize=1)
def _process_settings() -> tuple[_Setting, ...]:
    return (
        _Setting(os.getcwd, os.chdir),
        _Setting(np.geterr, lambda errors: np.seterr(**errors)),
        *map(_signal_handler, _SIGNALS),
    )


@lru_cache(maxsize=1)
def _torch_settings() -> tuple[_Setting, ...]:
    import torch

    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn

    return (
        _Setting(torch.get_default_dtype, torch.set_default_dtype),
        _Setting(torch.get_default_device, _set_default_device),
        _Setting(torch.is_grad_enabled, torch.set_grad_enabled),
        _Setting(torch.get_num_threads, torch.set_num_threads),
        _Setting(_deterministic_algorithms, _set_deterministic_algorithms),
        *map(_autocast, ("cpu", "cuda")),
        _attribute(matmul, "allow_tf32"),
        *(_attribute(cudnn, name) for name in _CUDNN_FLAGS),
    )


def _signal_handler(number: signal.Signals) -> _Setting:
    return _Setting(
        lambda: signal.getsignal(number), lambda handler: signal.signal(number, handler)
    )


def _attribute(owner: Any, name: str) -> _Setting:
    return _Setting(lambda: getattr(owner, name), lambda value: setattr(owner, name, value))


def _autocast(device: str) -> _Setting:
    import torch

    return _Setting(
        lambda: torch.is_autocast_enabled(device),
        lambda enabled: torch.set_autocast_enabled(device, enabled),
    )


def _deterministic_algorithms() -> tuple[bool, bool]:
    """Whether PyTorch uses deterministic algorithms only, and whether it warns of others."""
    import torch

    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_deterministic_algorithms(value: tuple[bool, bool]) -> None:
    import torch

    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _set_default_device(device: Any) -> None:
    """Set the default device; the CPU as PyTorch starts with it, which costs nothing per call."""
    import torch

    torch.set_default_device(None if device.type == "cpu" else device)
