"""Damaged files of a run: reported, or set aside so that they are made again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import RequestError, StorageError

logger = logging.getLogger("bench")

MADE_AGAIN = "run the same `bench run` again, which makes it again"


@contextmanager
def damage_refused(path: Path, remedy: str = MADE_AGAIN) -> Iterator[None]:
    """Turn a fault of a file into an error that names the file.

    Args:
        path: file that is read.
        remedy: advice to the user.

    Raises:
        RequestError: the file is missing, damaged, or cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({reason_of(error)}): {remedy}") from None
    except ValueError as damage:
        raise RequestError(f"{path} is damaged ({damage}): {remedy}") from None


def set_aside_damaged(paths: Iterable[Path], check: Callable[[Path], object]) -> None:
    """Rename the damaged ones among some files to hidden names, which readers ignore.

    Args:
        paths: files to check.
        check: function that raises a ValueError for a damaged file, and a FileNotFoundError for
            one that lacks its counterpart.

    Raises:
        RequestError: a file cannot be read, for another reason than damage.
        StorageError: a file cannot be renamed.
    """
    for path in paths:
        try:
            check(path)
        except (FileNotFoundError, ValueError) as damage:
            hidden = path.with_name(f".{path.name}.damaged")
            logger.warning(
                "%s is damaged (%s): it is set aside as %s and made again",
                path,
                reason_of(damage),
                hidden.name,
            )
            _rename(path, hidden)
        except OSError as error:
            raise RequestError(f"{path} cannot be read: {reason_of(error)}") from None


def _rename(path: Path, to: Path) -> None:
    try:
        path.replace(to)
    except FileNotFoundError:  # another process has set it aside
        pass
    except OSError as error:
        raise StorageError(f"cannot rename {path}: {reason_of(error)}") from error


def reason_of(fault: Exception) -> str:
    """Why a file cannot be read, in a few words."""
    if isinstance(fault, FileNotFoundError):
        return "it is missing"
    if isinstance(fault, OSError):
        return fault.strerror or type(fault).__name__
    return str(fault)
