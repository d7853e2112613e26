"""The folder of a run: the one that is named, or the default; what has changed since the last."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bench.commands.destination import open_folder

TITLES = ["tiny", "**", "a[b", "x*y?", "tiny (copy)"]


def configuration(source: str) -> dict[str, Any]:
    plugin = {"name": "mine", "version": 1, "parameters": {}, "files": {}, "source": source}
    return {"plugins": {"defenses": {"mine": plugin}}}


@pytest.mark.parametrize("title", TITLES)
def test_a_change_since_the_last_run_of_the_title_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, title: str
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO", "bench")
    runs = Path("results/runs")
    for number, name in enumerate(("old", "last")):
        open_folder(runs / f"{title}-{name}", configuration(name), title)
        os.utime(runs / f"{title}-{name}", (number, number))
    (runs / f"{title}-lost").symlink_to("/nowhere")
    (runs / f"{title}-file").write_text("")
    (runs / "another-run").mkdir()
    caplog.clear()

    open_folder(runs / f"{title}-new", configuration("new"), title)
    (line,) = caplog.messages
    assert line == f"changed since the run in {runs}/{title}-last: defense mine (its file)"


@pytest.mark.parametrize(
    ("stem", "reason"), [("tiny", "Not a directory"), ("x" * 249, "a name has 258 bytes")]
)
def test_a_default_folder_that_cannot_be_made_is_a_wrong_request(
    bench: Any, tiny: Path, stem: str, reason: str
) -> None:
    config = Path(f"{stem}.toml")
    config.write_text(tiny.read_text())
    if stem == "tiny":
        Path("results").mkdir()
        Path("results/runs").write_text("")
    done = bench("run", "--config", config, "--defenses", "none", "--eps", "0.1", "--n", "20")
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert line.startswith("error: --out results/runs/")
    assert reason in line
