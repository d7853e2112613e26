"""Files that plugins read although no key covers them, and covered ones that have changed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.errors import PluginFault
from bench.plugins.counted import changed_files, digest_of_file
from bench.plugins.reads import Reads
from bench.stages.task import Task

logger = logging.getLogger("bench")


def undeclared(paths: Iterable[Path], identity: Mapping[str, Any]) -> Iterator[Path]:
    """The files whose content an identity does not cover.

    Args:
        paths: files that were opened.
        identity: identity of a plugin or a task, in which the digest of a covered file stands.
    """
    text = json.dumps(identity)
    for path in paths:
        if path.is_file() and digest_of_file(path) not in text:
            yield path


def check_unchanged(task: Task, reads: Reads) -> None:
    """Check that the files in a task's identity are the same as when the identity was made.

    Args:
        task: task that has run.
        reads: files that were opened meanwhile.

    Raises:
        PluginFault: a file has changed, so that the result belongs to another key.
    """
    changed = changed_files(json.dumps(task.identity()), reads.all())
    if changed:
        paths = " and ".join(map(str, changed))
        raise PluginFault(f"{paths} has changed since this command began: start it again")


def warn_of_reads(task: Task, reads: Reads, reported: set[tuple[Path, Path]]) -> None:
    """Warn of files that plugin code read while a task ran, too late to be part of its key.

    Args:
        task: task that has run.
        reads: files that were opened meanwhile.
        reported: pairs of reader and file that were reported before; new ones are added.
    """
    for reader in reads.by_reader:
        if reader is None:
            continue
        for path in undeclared(reads.by(reader), task.identity()):
            if (reader, path) in reported:
                continue
            reported.add((reader, path))
            logger.warning(
                "%s reads %s, which files() does not declare: stored results stay as they are "
                "when it changes",
                reader,
                path,
            )
