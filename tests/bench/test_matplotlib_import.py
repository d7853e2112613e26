"""The import of matplotlib: nothing in a folder or in the environment changes it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SETTINGS = {
    "latex": b"text.usetex: True\nsvg.fonttype: none\n",
    "not UTF-8": b"font.family: \xff\xfe\n",
    "unknown keys": b"no.such.key: 1\nbackend: nonsense\n",
    "10 MB": b"# comment\n" * 1_000_000,
}
IMPORT = (
    "import os\n"
    "before = dict(os.environ), os.getcwd()\n"
    "from bench.matplotlib_import import import_matplotlib\n"
    "import_matplotlib()\n"
    "import matplotlib\n"
    "assert (dict(os.environ), os.getcwd()) == before\n"
    "default = matplotlib.rcParamsDefault\n"
    "changed = [k for k in default if k != 'backend' and matplotlib.rcParams[k] != default[k]]\n"
    "assert not changed, changed\n"
    "print(dict.get(matplotlib.rcParams, 'backend'))\n"
)


def python(code: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process in a folder that is not on its path of modules."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment}
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("content", SETTINGS.values(), ids=SETTINGS)
def test_a_file_of_settings_is_not_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(content)
    done = python(IMPORT, tmp_path, MATPLOTLIBRC=str(tmp_path / "matplotlibrc"))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_pipe_in_place_of_settings_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "matplotlibrc")
    assert python(IMPORT, tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("backend", "kept"),
    [
        ("module://some.where", True),
        ("svg", True),
        ("module://matplotlib_inline.backend_inline", find_spec("matplotlib_inline") is not None),
        ("nonsense", False),
        ("\x1b[2J", False),
    ],
)
def test_a_backend_is_kept_for_a_notebook_if_it_can_be(
    backend: str, kept: bool, tmp_path: Path
) -> None:
    done = python(IMPORT, tmp_path, MPLBACKEND=backend)
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout.strip() == backend) == kept


def test_a_folder_that_was_removed_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    code = f"import os\nos.rmdir({str(tmp_path / 'gone')!r})\n"
    code += IMPORT.replace("os.getcwd()", "0")
    assert python(code, tmp_path / "gone").returncode == 0


def test_settings_of_a_notebook_stay(tmp_path: Path) -> None:
    code = (
        "import matplotlib\nmatplotlib.rcParams['font.size'] = 31.0\n"
        "import bench.report\nassert matplotlib.rcParams['font.size'] == 31.0\n"
    )
    assert python(code, tmp_path).returncode == 0


def test_the_libraries_of_attacks_do_not_read_settings_either(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(SETTINGS["not UTF-8"])
    code = "from bench.plugins.discovery import discover\ndiscover()\nimport matplotlib.pyplot\n"
    done = python(code, tmp_path, MPLBACKEND="module://matplotlib_inline.backend_inline")
    assert done.returncode == 0, done.stderr
