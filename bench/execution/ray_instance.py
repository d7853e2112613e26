"""The instance of Ray that a run uses: one of its own, that of a cluster, or one that is there."""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import ray

from bench.errors import Interrupted, RequestError
from bench.execution.temporary_folders import new_folder
from bench.failures import message_line

_OBJECTS_BYTES = 100 * 2**20
"""Size of the object store of an own instance, whose workers see the artifact cache."""

_LONGEST_PARENT = 20
"""Characters of the folder in which that of an own instance lies: paths of sockets are short."""

_SHORT_PARENT = Path("/tmp")  # noqa: S108 - the folder in it is new and private
"""Folder that takes the place of a longer one."""


@contextlib.contextmanager
def connected(address: str | None, processors: int, *, has_gpus: bool) -> Iterator[Path | None]:
    """Use Ray during the block.

    An instance that the program has started itself is used, and stays. What Ray prints while the
    block runs goes to standard error.

    Args:
        address: address of a cluster, `HOST:PORT` or `auto`; None for an instance of its own.
        processors: number of processors of an own instance.
        has_gpus: whether an own instance has the GPUs of this machine.

    Yields:
        the folder of an own instance, which is removed at the end; None for another one.

    Raises:
        RequestError: the instance cannot be started, or there is no cluster at the address.
    """
    with contextlib.redirect_stdout(sys.stderr):
        if ray.is_initialized():
            yield None
        elif address:
            with _joined(address):
                yield None
        else:
            with _started(processors, has_gpus=has_gpus) as folder:
                yield folder


@contextlib.contextmanager
def _joined(address: str) -> Iterator[None]:
    with _disconnected_at_end():
        try:
            with _own_signals():
                ray.init(address=address, log_to_driver=False, configure_logging=False)
        except Exception as error:  # noqa: BLE001 - Ray raises errors of many kinds
            raise RequestError(
                f"--executor ray: cannot join the cluster {address}: {message_line(error)} (does "
                "it run? one that asks for a token needs RAY_AUTH_MODE=token here, too)"
            ) from None
        yield


@contextlib.contextmanager
def _started(processors: int, *, has_gpus: bool) -> Iterator[Path]:
    with _folder() as path, _disconnected_at_end():
        try:
            with _own_signals():
                ray.init(
                    num_cpus=processors,
                    num_gpus=None if has_gpus else 0,  # None for what Ray finds
                    include_dashboard=False,
                    object_store_memory=_OBJECTS_BYTES,
                    log_to_driver=False,
                    configure_logging=False,
                    _temp_dir=str(path),
                )
        except Exception as error:  # noqa: BLE001 - Ray raises errors of many kinds
            reason = message_line(error)
            raise RequestError(f"--executor ray: Ray cannot be started: {reason}") from None
        yield path


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder for the files of an own instance, which is removed at the end."""
    parent = Path(tempfile.gettempdir())
    is_long = len(str(parent)) > _LONGEST_PARENT and _SHORT_PARENT.is_dir()
    folder = new_folder("ray", _SHORT_PARENT if is_long else parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _disconnected_at_end() -> Iterator[None]:
    """Disconnect from Ray at the end, whose own processes then end; be silent meanwhile."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
        logger.setLevel(level)


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Put the handler of termination back that Ray replaces while it starts.

    Raises:
        Interrupted: the handler of Ray, which ends the program, was called meanwhile.
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:
        raise Interrupted from None
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
