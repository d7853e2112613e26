"""The files whose digests stand in identities, remembered so that a change of one is noticed.

An identity holds the digests of a moment. A file that changes while a run goes on would have the
results of its new content stored under the old key.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from bench.store.reading import check_regular
from bench.store.remembered import FileState, state_of


@dataclass(frozen=True)
class _Counted:
    """A file as it was when its digest was taken.

    Attributes:
        digest: SHA-256 of its content.
        state: state of the file, which changes with the content.
        is_code: whether it was executed then, so that a later change of it does no harm.
    """

    digest: str
    state: FileState
    is_code: bool


_files: dict[Path, _Counted] = {}


def digest_of_file(path: Path) -> str:
    """The SHA-256 digest of a regular file of any size.

    Raises:
        OSError: the file cannot be read.
        Unreadable: it is not a regular file.
    """
    check_regular(path, sys.maxsize)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def counted_digest(path: Path, *, is_code: bool) -> str:
    """The digest of a file that becomes part of an identity; errors as in `digest_of_file`."""
    state = state_of(path)
    digest = digest_of_file(path)
    _files[path.absolute()] = _Counted(digest, state, is_code)

    return digest


def changed_files(identity: str, opened: Collection[Path]) -> list[Path]:
    """The files that have changed since an identity was made of them.

    Args:
        identity: identity as text, in which the digests of its files stand.
        opened: files that were opened since; code counts only if it is among these.
    """
    return [
        path
        for path, counted in list(_files.items())
        if counted.digest in identity
        and (path in opened or not counted.is_code)
        and _has_changed(path, counted)
    ]


def _has_changed(path: Path, counted: _Counted) -> bool:
    try:
        return state_of(path) != counted.state and digest_of_file(path) != counted.digest
    except (OSError, ValueError):  # it is gone
        return True
