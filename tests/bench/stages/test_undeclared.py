"""Warnings of data that a plugin reads while a task runs."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from bench.errors import PluginFault
from bench.plugins.counted import counted_digest, digest_of_file
from bench.stages.context import TaskContext
from bench.stages.executor import LocalExecutor
from bench.stages.task import Task
from bench.store.artifacts import Meta, Tensors


@dataclass(frozen=True)
class Reading(Task):
    """A task that calls a plugin's function."""

    kind: ClassVar[str] = "predictions"
    call: Callable[[], object]
    name: str

    def identity(self) -> Mapping[str, Any]:
        return {"name": self.name}

    def run(self, context: TaskContext) -> tuple[Tensors, Meta]:
        self.call()
        return {"a": np.zeros(1)}, {"identity": self.identity()}


@pytest.fixture
def plugin(tmp_path: Path) -> Any:
    """A module of a user, with functions that open files."""
    path = tmp_path / "user.py"
    path.write_text(
        "import importlib, numpy, sys\n"
        "def read(path): open(path, 'rb').read()\n"
        "def load(path): numpy.load(path)\n"
        "def compute_name(path):\n"
        "    sys.path.insert(0, str(path.parent))\n"
        "    importlib.import_module(path.stem)\n"
        "def scratch(path): numpy.save(path, 1), numpy.load(path)\n"
    )
    spec = spec_from_file_location("user_that_reads", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("user_that_reads", None)


def warnings_of(
    context: TaskContext, caplog: pytest.LogCaptureFixture, call: Callable[[], object], name: str
) -> list[str]:
    with caplog.at_level(logging.WARNING, logger="bench"):
        LocalExecutor(context).artifact(Reading(call, name))
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("function", ["read", "load", "compute_name"])
def test_what_no_key_covers_is_reported(
    context: TaskContext,
    tmp_path: Path,
    plugin: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
) -> None:
    path = tmp_path / ("named_late.py" if function == "compute_name" else "noise.npy")
    with path.open("wb") as file:
        np.save(file, 1) if path.suffix == ".npy" else file.write(b"A = 1")
    monkeypatch.setattr(sys, "path", list(sys.path))
    (warning,) = warnings_of(
        context, caplog, lambda: getattr(plugin, function)(path), f"{tmp_path} {function}"
    )
    assert warning.startswith(f"{plugin.__file__} reads {path}, which files() does not declare")


def test_declared_and_written_data_and_the_harness_s_own_are_not_reported(
    context: TaskContext, tmp_path: Path, plugin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "noise.npy"
    np.save(path, 1)

    def call() -> None:
        plugin.load(path)
        plugin.scratch(tmp_path / "scratch.npy")

    assert not warnings_of(context, caplog, call, f"{tmp_path} {digest_of_file(path)}")


@pytest.mark.parametrize(
    ("is_code", "opened", "fails"),
    [(False, False, True), (False, True, True), (True, True, True), (True, False, False)],
)
def test_a_file_of_the_identity_that_changes_while_a_task_runs_fails_it(
    context: TaskContext, tmp_path: Path, plugin: Any, is_code: bool, opened: bool, fails: bool
) -> None:
    """Code that was imported before does no harm when its file changes."""
    path = tmp_path / "counted.txt"
    path.write_text(str(tmp_path))
    name = f"{tmp_path} {counted_digest(path, is_code=is_code)}"

    def call() -> None:
        # Another process edits it, since what a task itself writes is its own.
        subprocess.run(["cp", __file__, path], check=True)
        if opened:
            plugin.read(path)

    executor = LocalExecutor(context)
    if fails:
        with pytest.raises(PluginFault, match=r"counted.txt has changed since this command began"):
            executor.artifact(Reading(call, name))
        assert context.store.load("predictions", Reading(call, name).key) is None
    else:
        assert executor.artifact(Reading(call, name)).digest


def test_a_file_that_is_written_again_with_the_same_content_has_not_changed(
    context: TaskContext, tmp_path: Path
) -> None:
    path = tmp_path / "counted.txt"
    path.write_text(str(tmp_path))
    name = f"{tmp_path} {counted_digest(path, is_code=False)}"
    assert (
        LocalExecutor(context)
        .artifact(Reading(lambda: path.write_text(str(tmp_path)), name))
        .digest
    )
