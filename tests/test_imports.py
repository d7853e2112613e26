"""Imports that must stay cheap: commands that answer at once do not import torch."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

HEAVY = {
    *("torch", "torchvision", "foolbox", "pandas", "pyarrow", "matplotlib", "sklearn", "scipy"),
    *("mlflow", "wandb"),
}
"""Packages that take seconds to import."""


def python(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["list"], ["run", "-h"]])
def test_the_command_line_answers_without_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom bench.entry import main\n"
        f"sys.argv = ['bench', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"heavy = {HEAVY!r} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    finished = python("-c", code)
    assert finished.returncode == 0, finished.stderr


def test_the_report_is_free_of_torch() -> None:
    code = "import sys, bench.report, bench.commands.report\nassert 'torch' not in sys.modules"
    assert python("-c", code).returncode == 0


def test_the_package_knows_its_version() -> None:
    installed = version("purification-bench")
    assert python("-c", "import bench; print(bench.__version__)").stdout.strip() == installed
    finished = python("-m", "bench", "--version")
    assert finished.stdout.strip() == f"purification-bench {installed}"


def test_a_checkout_that_is_not_installed_has_an_unknown_version(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    (tmp_path / "bench").symlink_to(root / "bench")
    code = (
        "import importlib.metadata as metadata\n"
        "def version(name): raise metadata.PackageNotFoundError(name)\n"
        "metadata.version = version\n"
        "import bench; print(bench.__version__)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert python("-c", code, cwd=tmp_path, env=environment).stdout.strip() == "unknown"


def test_an_attribute_that_the_package_lacks_is_an_error() -> None:
    assert "has no attribute 'nothing'" in python("-c", "import bench; bench.nothing").stderr
