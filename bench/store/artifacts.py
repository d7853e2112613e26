"""The cache: trained networks, adversarial sets and predictions under content keys.

One file holds one artifact, in safetensors format, with its description and a digest in the header.
A damaged file is reported and made again. A lock keeps two processes from making the same artifact
twice, so that a cache may be shared and a run interrupted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from bench.errors import RequestError, StorageError
from bench.store.atomic import sweep_partials, write_bytes
from bench.store.locks import locked

Tensors = Mapping[str, NDArray[Any]]
Meta = Mapping[str, Any]

logger = logging.getLogger("bench")


@dataclass(frozen=True)
class Artifact:
    """A stored result of a task.

    Attributes:
        tensors: arrays by name.
        meta: description of the arrays, as a JSON object.
        digest: SHA-256 over the tensors, which identifies a network in everything derived from it.
            The description, which holds times and devices, is left out: a network that is trained
            again with the same weights has the same digest.
    """

    tensors: Tensors
    meta: Meta
    digest: str


def digest_of(tensors: Tensors) -> str:
    """The SHA-256 over names, types, shapes and bytes of the tensors."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name]
        total.update(f"\x00{name}\x00{array.dtype.str}\x00{array.shape}\x00".encode())
        total.update(array.tobytes())

    return total.hexdigest()


def write_artifact(path: Path, tensors: Tensors, meta: Meta) -> Artifact:
    """Write tensors and their description to one file, atomically.

    Raises:
        StorageError: the file could not be written.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    text = json.dumps(meta, sort_keys=True, allow_nan=False)
    digest = digest_of(arrays)

    header = {"digest": digest, "meta": text, "seal": _seal(digest, text)}
    write_bytes(path, to_safetensors(arrays, metadata=header))

    return Artifact(arrays, json.loads(text), digest)


def read_artifact(path: Path) -> Artifact:
    """The artifact in a file, verified.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, altered, or not an artifact.
    """
    if not path.is_file():
        raise FileNotFoundError(path)

    # A TypeError comes from a type of tensor that NumPy does not have.
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = header["meta"]
        digest = header["digest"]
        seal = header["seal"]
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(f"unreadable ({type(error).__name__}: {error})") from error

    if digest_of(tensors) != digest or _seal(digest, text) != seal:
        raise ValueError("its content does not match its digest")

    return Artifact(tensors, json.loads(text), digest)


class ArtifactStore:
    """The artifacts below one folder, by kind and content key.

    Args:
        root: folder of the cache.
        given: files outside the folder, such as trained weights, by kind and by the first 32 digits
            of the key. They take precedence over the files of the folder and are never written.

    Raises:
        RequestError: the folder cannot be made or written to.
    """

    def __init__(self, root: Path, given: Mapping[str, Mapping[str, Path]] | None = None) -> None:
        self.root = root
        self._given = given or {}
        try:
            root.mkdir(parents=True, exist_ok=True)
            writable = os.access(root, os.W_OK | os.X_OK)
        except OSError as error:
            raise RequestError(
                f"the cache folder {root} cannot be made: {error.strerror or error}"
            ) from None
        if not writable:
            raise RequestError(
                f"the cache folder {root} is not writable: "
                "choose another with --cache or BENCH_CACHE"
            )
        sweep_partials(root)

    def path(self, kind: str, key: str) -> Path:
        """The file of an artifact in the folder, whether it exists or not."""
        return self.root / kind / f"{key[:32]}.safetensors"

    def digest(self, kind: str, key: str) -> str | None:
        """The digest of a stored artifact, from its header alone; None where there is none."""
        return _digest_in(self._given_path(kind, key) or self.path(kind, key))

    def find(self, kind: str, digest: str) -> dict[str, Path]:
        """The files whose header states a digest, by the first 32 digits of their key."""
        files = {path.stem: path for path in sorted((self.root / kind).glob("*.safetensors"))}
        files.update(self._given.get(kind, {}))

        return {key: path for key, path in files.items() if _digest_in(path) == digest}

    def load(self, kind: str, key: str) -> Artifact | None:
        """The stored artifact, verified; None where there is none, or a damaged one.

        Raises:
            StorageError: a file outside the folder can no longer be read.
        """
        given = self._given_path(kind, key)
        try:
            return read_artifact(given or self.path(kind, key))
        except (FileNotFoundError, ValueError) as damage:
            if given:
                raise StorageError(f"{given} can no longer be read: {damage}") from None
            return None

    def get_or_make(
        self, kind: str, key: str, make: Callable[[], tuple[Tensors, Meta]]
    ) -> tuple[Artifact, bool]:
        """The artifact of a key, made under a lock where it is not stored.

        Returns:
            the artifact, and whether it was stored already.

        Raises:
            StorageError: the lock or the artifact could not be written.
        """
        stored = self.load(kind, key)
        if stored is not None:
            return stored, True

        path = self.path(kind, key)
        with locked(path.with_suffix(".lock"), f"{kind} {key[:8]}"):
            # Another process may have made the artifact while this one waited for the lock.
            try:
                return read_artifact(path), True
            except FileNotFoundError:
                pass
            except ValueError as damage:
                logger.warning("damaged artifact %s: %s; it is made again", path, damage)

            return write_artifact(path, *make()), False

    def _given_path(self, kind: str, key: str) -> Path | None:
        return self._given.get(kind, {}).get(key[:32])


def _seal(digest: str, meta: str) -> str:
    """The SHA-256 over digest and description, so that neither can be changed alone."""
    return hashlib.sha256(f"{digest}{meta}".encode()).hexdigest()


def _digest_in(path: Path) -> str | None:
    """The digest in the header of a file; None where there is no file with a sound header."""
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
        digest: str = header["digest"]
        sound = _seal(digest, header["meta"]) == header["seal"]
    except (SafetensorError, KeyError, OSError):
        return None

    return digest if sound else None
