"""Plugins that log their calls, and end their own process while a task of a run is done."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from bench.contracts import DataInfo, Defense, FitContext
from bench.registry import register_defense

STAGES = {"train": "network", "craft": "set", "predict": "prediction", "probe": "probe"}
"""Kinds of tasks by the beginning of the name of the module of `bench.stages` that does them."""

How = Literal["once", "always", "raises", "waits"]


def note(folder: Path, line: str) -> None:
    """Append a line to the log of a folder."""
    with (folder / "log").open("a") as log:
        log.write(f"{line}\n")


def stage() -> str:
    """The kind of the task that is being done; empty outside of tasks."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        path = Path(frame.f_code.co_filename)
        found = [kind for name, kind in STAGES.items() if path.stem.startswith(name)]
        if path.parent.name == "stages" and found:
            return found[0]

    return ""


def die_once(folder: Path, kind: str) -> None:
    """End this process by SIGKILL, once for each kind of task."""
    try:
        (folder / f"died-in-{kind}").touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


@register_defense("mortal")
@dataclass(frozen=True)
class Mortal(Defense):
    """A weak filter whose process is killed once in each kind of task, or in every training.

    Args:
        folder: folder of the log.
        how: `once` for one death in each kind of task, `always` in every training, `raises` for a
            training that raises, `waits` for one that lasts while the folder has no file `go`.
    """

    folder: str
    how: How = "once"

    def build(self, data: DataInfo) -> nn.Module:
        return _Filter(Path(self.folder), dies=self.how == "once")

    def fit(self, module: nn.Module, context: FitContext) -> None:
        folder = Path(self.folder)
        note(folder, f"{self.how} fit {os.getpid()}" if self.how == "waits" else f"{self.how} fit")
        match self.how:
            case "once":
                die_once(folder, "network")
            case "always":
                os.kill(os.getpid(), signal.SIGKILL)
            case "raises":
                raise RuntimeError("no such luck")
            case "waits":
                while not (folder / "go").exists():
                    time.sleep(0.02)

        with torch.no_grad():
            module.weight.fill_(0.8)


class _Filter(nn.Module):
    def __init__(self, folder: Path, *, dies: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.folder = folder
        self.dies = dies

    def forward(self, images: Tensor) -> Tensor:
        kind = stage()
        if kind and self.dies:
            note(self.folder, f"{kind} of {len(images)}")
            if kind != "network":
                die_once(self.folder, kind)
        return images * self.weight
