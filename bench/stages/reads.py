"""Warnings of files that plugins read while a task runs, too late to count."""

from __future__ import annotations

import json
import logging

from bench.plugins.code import digest_of_file
from bench.plugins.reads import Reads
from bench.stages.task import Task

logger = logging.getLogger("bench")


def warn_of_reads(task: Task, reads: Reads) -> None:
    """Warn of data that the code of a plugin read although the task's key does not cover it.

    Args:
        task: task that has run.
        reads: files that were opened meanwhile.
    """
    identity = json.dumps(task.identity()) if reads.by_reader else ""

    for reader, paths in reads.by_reader.items():
        for path in paths:
            is_data = reader is not None and path.suffix != ".py" and path not in reads.written
            if is_data and path.is_file() and digest_of_file(path) not in identity:
                logger.warning(
                    "%s reads %s, which files() does not declare: stored results stay as they are "
                    "when it changes",
                    reader,
                    path,
                )
