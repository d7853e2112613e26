"""An author's daily loop: what a plugin consists of is edited, and the same command runs again.

Every kind of edit must give the new numbers, and a command without an edit computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from tests.forked import ForkedCommand

PLUGIN = """
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from bench.contracts import DataInfo, Defense
from bench.registry import register_defense
{imports}


class Dimmer(nn.Module):
    def __init__(self, level):
        super().__init__()
        self.level = level

    def forward(self, images):
        return images if self.level == 1 else 1 - images


@register_defense("dimmer")
@dataclass(frozen=True)
class Dimming({base}):
    \"\"\"The images as they are, or inverted.\"\"\"

    def build(self, data: DataInfo) -> nn.Module:
        return Dimmer({level})
"""


@dataclass
class Kind:
    """A plugin that takes a level from somewhere.

    Attributes:
        level: expression of the level.
        write: function that stores a level in the plugin's folder.
        imports: imports of the plugin.
        base: base class.
    """

    level: str
    write: Callable[[Path, int], object]
    imports: str = ""
    base: str = "Defense"

    def write_plugin(self, folder: Path, level: int) -> None:
        text = PLUGIN.format(imports=self.imports, base=self.base, level=self.level)
        (folder / "plugin.py").write_text(text)
        self.write(folder, level)


def _own_file(folder: Path, level: int) -> None:
    plugin = folder / "plugin.py"
    plugin.write_text(plugin.read_text().replace("LEVEL", str(level)))


def _module(text: str) -> Callable[[Path, int], object]:
    return lambda folder, level: (folder / "tool.py").write_text(text.format(level))


def _array(folder: Path, level: int) -> None:
    np.save(folder / "level.npy", level)


def _tensor(folder: Path, level: int) -> None:
    save_file({"level": torch.tensor(2 * level)}, folder / "level.safetensors")


def _installed(folder: Path, level: int) -> None:
    site = folder / "site-packages"
    metadata = site / "dimmer_tools-1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: dimmer-tools\nVersion: 1.0\n")
    (metadata / "RECORD").write_text("dimmer_tools.py,,\n")
    (site / "dimmer_tools.py").write_text(
        f"from bench.contracts import Defense\nLEVEL = {level}\nclass Base(Defense):\n    pass\n"
    )


LOAD = "int(__import__('numpy').load(HERE / 'level.npy'))"
BASE = "from bench.contracts import Defense\nclass Base(Defense):\n    level = {}\n"

KINDS = {
    "own file": Kind("LEVEL", _own_file),
    "helper": Kind("tool.LEVEL", _module("LEVEL = {}"), "import tool"),
    "base class": Kind("self.level", _module(BASE), "import tool", "tool.Base"),
    "undeclared file": Kind(LOAD, _array),
    "undeclared checkpoint": Kind(
        "load_file(HERE / 'level.safetensors')['level'] // 2",
        _tensor,
        "from safetensors.torch import load_file",
    ),
    "installed package": Kind(
        "dimmer_tools.LEVEL",
        _installed,
        "sys.path.insert(0, str(HERE / 'site-packages'))\nimport dimmer_tools",
        "dimmer_tools.Base",
    ),
}


def bench(folder: Path, cache: Path, *arguments: str) -> tuple[int, str]:
    """Run `bench` in a folder; its exit code and standard error."""
    return ForkedCommand.start(
        folder, *arguments, "--no-plots", "--no-html", "--cache", cache
    ).wait()


def accuracies(folder: Path) -> dict[str, list[float]]:
    """The accuracies of the dimmer in every run of a folder, by the run's name."""
    runs = sorted((folder / "results" / "runs").iterdir(), key=lambda run: run.stat().st_mtime)
    frames = {run.name: pd.read_csv(run / "tables" / "results.csv") for run in runs}
    columns = ["clean_accuracy", "robust_accuracy"]
    return {
        name: frame.loc[frame["defense"] == "dimmer", columns].to_numpy().ravel().tolist()
        for name, frame in frames.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_command_after_an_edit_gives_the_new_numbers(
    tmp_path: Path, session_cache: Path, tiny: Path, kind: str
) -> None:
    command = ["run", "--config", str(tiny), "--plugin", "./plugin.py", "--defenses", "dimmer"]
    command += ["--eps", "0.1", "--threats", "graybox,bpda", "--n", "20", "--no-latency"]
    seen: list[dict[str, list[float]]] = []
    for level in (1, 0):
        KINDS[kind].write_plugin(tmp_path, level)
        code, err = bench(tmp_path, session_cache, *command)
        assert code == 0, err
        seen.append(accuracies(tmp_path))

    assert f"changed since the run in results/runs/{next(iter(seen[0]))}: defense dimmer (" in err
    ((run, before),) = seen[0].items()
    (after,) = (numbers for name, numbers in seen[1].items() if name != run)
    assert seen[1][run] == before
    # Both clean accuracies, of the cells under graybox and bpda: inverted digits are not digits.
    assert max(after[::2]) < 0.6 < min(before[::2])


def test_a_folder_of_a_run_of_other_code_is_kept_and_says_what_changed(
    tmp_path: Path, session_cache: Path, tiny: Path
) -> None:
    command = ["run", "--config", str(tiny), "--plugin", "./plugin.py", "--defenses", "dimmer"]
    command += ["--eps", "0.1", "--n", "20", "--no-latency", "--out", "run"]
    KINDS["helper"].write_plugin(tmp_path, 1)
    assert bench(tmp_path, session_cache, *command)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}

    KINDS["helper"].write_plugin(tmp_path, 0)
    code, err = bench(tmp_path, session_cache, *command)
    assert code == 2
    assert "run holds a run of other code: defense dimmer (tool.py) changed since" in err
    assert before == {path: path.read_bytes() for path in before}
