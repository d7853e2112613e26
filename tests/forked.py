"""The command `bench` in a forked process: one of its own, which need not import everything."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from bench.entry import main


@dataclass(frozen=True)
class ForkedCommand:
    """A command that was started.

    Attributes:
        process: its process.
        folder: its working folder, which receives the files `stdout` and `stderr`.
    """

    process: BaseProcess
    folder: Path

    @classmethod
    def start(
        cls, folder: Path, *arguments: object, before: Callable[[], object] = lambda: None
    ) -> ForkedCommand:
        """Start `bench` on the CPU with one thread.

        Args:
            folder: working folder.
            arguments: arguments of the command.
            before: function that the process calls first.
        """

        def run() -> None:
            torch.set_num_threads(1)
            os.chdir(folder)
            for number, name in ((1, "stdout"), (2, "stderr")):
                os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            sys.argv = ["bench", *map(str, arguments)]
            before()
            main()

        process = multiprocessing.get_context("fork").Process(target=run)
        process.start()
        return cls(process, folder)

    def wait(self) -> tuple[int, str]:
        """Wait for the end; the exit code and the standard error."""
        self.process.join(300)
        assert self.process.exitcode is not None
        return self.process.exitcode, (self.folder / "stderr").read_text()
