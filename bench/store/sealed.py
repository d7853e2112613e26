"""Sealed JSON files: each carries the digest of its content, so that no change goes unnoticed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import StorageError
from bench.store.keys import content_key
from bench.store.reading import Unreadable, read_json
from bench.store.tree import Tree

_SCHEMA, _SEAL = "schema", "seal"


@dataclass(frozen=True)
class SealedFormat:
    """A kind of sealed JSON files.

    A file holds the keys of its content, the version `schema`, and `seal`, the SHA-256 over the
    canonical JSON of everything else. Both keys are required, so that a change of either name
    cannot pass a sealed file off as one of an earlier version.

    Attributes:
        schema: version of the files that are written.
        unsealed: versions of files without a seal that are still read; None stands for a file
            without a version.
        most: largest size of a file in bytes.
    """

    schema: int
    unsealed: tuple[int | None, ...]
    most: int

    def write(self, tree: Tree, *parts: str, content: Mapping[str, Any]) -> None:
        """Write a file below a tree, see `bench.store.tree.Tree.write_json`.

        Raises:
            ValueError: the content holds NaN or an infinite number.
            StorageError: the path is refused, the content is larger than a file may be, or the file
                could not be written.
        """
        # The seal covers what a reader will parse: text keys, and lists in place of tuples.
        stored = json.loads(json.dumps({_SCHEMA: self.schema, **content}, allow_nan=False))
        sealed = {**stored, _SEAL: content_key(stored)}

        size = len(json.dumps(sealed, indent=2)) + 1
        if size > self.most:
            raise StorageError(
                f"cannot write {'/'.join(parts)}: it would have {size} bytes, more than the "
                f"{self.most} that are read"
            )
        tree.write_json(*parts, content=sealed)

    def read(self, path: Path, *, sealed: bool = False) -> dict[str, Any]:
        """The content of a file without its seal; `schema` is among it where the file states it.

        Args:
            path: file to read.
            sealed: whether a file of an earlier version, which has no seal, is refused.

        Raises:
            FileNotFoundError: there is no such file.
            Unreadable: the file is not JSON, too large, of another version, or changed.
            OSError: it cannot be read.
        """
        content = read_json(path, self.most)
        if not isinstance(content, dict):
            raise Unreadable("it does not hold a JSON object")

        seal = content.pop(_SEAL, None)
        self._check(content, seal)
        if sealed and seal is None:
            raise Unreadable("it has lost its seal")
        return content

    def _check(self, content: Mapping[str, Any], seal: Any) -> None:
        schema = content.get(_SCHEMA)
        if seal is None:
            if schema == self.schema:
                raise Unreadable("it has lost its seal")
            if schema not in self.unsealed:
                raise Unreadable(self._other_version(schema))
            return

        try:
            expected = content_key(content)
        except RecursionError:
            raise Unreadable("it is nested too deeply") from None
        if seal != expected:
            raise Unreadable("its content does not match its seal")
        if schema != self.schema:
            raise Unreadable(self._other_version(schema))

    def _other_version(self, schema: Any) -> str:
        known = [str(version) for version in self.unsealed if version is not None]
        versions = [*known, str(self.schema)]
        read = " and ".join([", ".join(versions[:-1]), versions[-1]] if known else versions)

        return f"schema {str(schema)[:20]}; this version reads {read}"
