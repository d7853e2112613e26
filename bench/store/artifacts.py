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
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from bench.errors import RequestError, StorageError
from bench.store.atomic import make_way, sweep_partials, write_bytes
from bench.store.keys import artifact_key
from bench.store.locks import locked
from bench.store.reading import Unreadable, check_regular, parse_json
from bench.store.remembered import Remembered

MOST_BYTES = 4 * 2**30
"""Largest size in bytes of a file that is read as an artifact."""

NAME_DIGITS = 32
"""Number of digits of its key that name the file of an artifact."""

_LENGTH = 8
"""Number of bytes that state the length of a header, of which its length is a multiple."""

_NAME = re.compile(rf"[0-9a-f]{{{NAME_DIGITS}}}")

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
    write_bytes(path, _with_sorted_header(to_safetensors(arrays, metadata=header)))

    return Artifact(arrays, json.loads(text), digest)


def read_artifact(path: Path, most: int = MOST_BYTES) -> Artifact:
    """The artifact in a file, verified.

    Args:
        path: file to read.
        most: largest size of the file in bytes that is allowed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, altered, too large, or not an artifact.
    """
    # A TypeError comes from a type of tensor that NumPy does not have.
    try:
        check_regular(path, most)
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = header["meta"]
        digest = header["digest"]
        seal = header["seal"]
    except FileNotFoundError:
        raise
    except Unreadable:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(f"unreadable ({type(error).__name__}: {error})") from error

    if digest_of(tensors) != digest or _seal(digest, text) != seal:
        raise ValueError("its content does not match its digest")

    return Artifact(tensors, parse_json(text), digest)


def check_key(kind: str, key: str, meta: Meta) -> None:
    """Check that an artifact is the one of a key: its identity gives the key.

    Args:
        kind: kind of the artifact.
        key: full key, or those first digits of it that name a file.
        meta: description of the artifact, with its identity.

    Raises:
        ValueError: it is another artifact, or one without an identity.
    """
    identity = meta.get("identity") if isinstance(meta, Mapping) else None
    if not isinstance(identity, Mapping):
        raise ValueError("it does not say what it is")
    if not artifact_key(kind, identity).startswith(key):
        raise ValueError("it is another artifact than its name says")


class ArtifactStore:
    """The artifacts below one folder, by kind and content key.

    Every artifact is checked against the key that it is asked for, so that files which were
    exchanged or renamed count as damaged. A folder that cannot be written serves what it holds.

    Args:
        root: folder of the cache.
        given: files outside the folder, such as trained weights, by kind and by the first 32 digits
            of the key. They take precedence over the files of the folder and are never written.

    Raises:
        RequestError: the folder does not exist and cannot be made.
    """

    def __init__(self, root: Path, given: Mapping[str, Mapping[str, Path]] | None = None) -> None:
        self.root = root
        self._given = given or {}
        self._digests = Remembered[str | None]()
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._writable = os.access(root, os.W_OK | os.X_OK)
        except OSError as error:
            raise RequestError(
                f"the cache folder {root} cannot be made: {error.strerror or error}"
            ) from None
        if self._writable:
            sweep_partials(root)

    def path(self, kind: str, key: str) -> Path:
        """The file of an artifact in the folder, whether it exists or not."""
        return self.root / kind / f"{key[:NAME_DIGITS]}.safetensors"

    def digest(self, kind: str, key: str) -> str | None:
        """The digest of a stored artifact, from its header alone; None where there is none.

        A header is read again only where its file has changed.
        """
        path = self._given_path(kind, key) or self.path(kind, key)
        try:
            return self._digests.of(path, lambda: _digest_in(path, kind, key))
        except OSError:
            return None

    def find(self, kind: str, digest: str) -> dict[str, Path]:
        """The files whose header states a digest, by the first 32 digits of their key."""
        paths = sorted((self.root / kind).glob("*.safetensors"))
        files = {path.stem: path for path in paths if _NAME.fullmatch(path.stem)}
        files.update(self._given.get(kind, {}))

        return {key: path for key, path in files.items() if _digest_in(path, kind, key) == digest}

    def load(self, kind: str, key: str) -> Artifact | None:
        """The stored artifact, verified; None where there is none, or a damaged one.

        Raises:
            StorageError: a file outside the folder can no longer be read.
        """
        given = self._given_path(kind, key)
        try:
            return _read(given or self.path(kind, key), kind, key)
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
        if not self._writable:
            raise StorageError(
                f"the cache folder {self.root} is not writable and lacks {kind} {key[:8]}: "
                "choose another with --cache or BENCH_CACHE"
            )
        with locked(path.with_suffix(".lock"), f"{kind} {key[:8]}"):
            # Another process may have made the artifact while this one waited for the lock.
            try:
                return _read(path, kind, key), True
            except FileNotFoundError:
                pass
            except ValueError as damage:
                logger.warning("damaged artifact %s: %s; it is made again", path, damage)

            tensors, meta = make()
            make_way(path)
            return write_artifact(path, tensors, meta), False

    def _given_path(self, kind: str, key: str) -> Path | None:
        return self._given.get(kind, {}).get(key[:NAME_DIGITS])


def _read(path: Path, kind: str, key: str) -> Artifact:
    """The artifact of a key in a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or another artifact.
    """
    artifact = read_artifact(path)
    check_key(kind, key, artifact.meta)

    return artifact


def _with_sorted_header(data: bytes) -> bytes:
    """The bytes of a file in safetensors format with the keys of its header in order.

    The library writes the description in an order that differs from process to process; sorted,
    the same content gives the same file.
    """
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
    header = json.dumps(json.loads(data[_LENGTH:end]), sort_keys=True, separators=(",", ":"))
    padded = header.encode() + b" " * (-len(header.encode()) % _LENGTH)

    return len(padded).to_bytes(_LENGTH, "little") + padded + data[end:]


def _seal(digest: str, meta: str) -> str:
    """The SHA-256 over digest and description, so that neither can be changed alone."""
    return hashlib.sha256(f"{digest}{meta}".encode()).hexdigest()


def _digest_in(path: Path, kind: str, key: str) -> str | None:
    """The digest in the header of a key's file; None where no file has a sound header."""
    try:
        check_regular(path, MOST_BYTES)
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
        digest: str = header["digest"]
        sound = _seal(digest, header["meta"]) == header["seal"]
        check_key(kind, key, parse_json(header["meta"]))
    except (SafetensorError, KeyError, OSError, ValueError):
        return None

    return digest if sound else None
