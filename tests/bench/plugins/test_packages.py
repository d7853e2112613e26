"""The packages of built-in plugins are found, and whatever shadows one of them is named."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

import bench
from bench.errors import RequestError
from bench.plugins import packages
from bench.plugins.packages import FAMILIES, PACKAGES, package_folder

ROOT = Path(bench.__file__).parents[1]
COMMAND = [sys.executable, "-c", "from bench.entry import main; main()"]
IN_SITE_PACKAGES = PathFinder.find_spec("attacks", site.getsitepackages()) is not None
SHADOWING = {
    "package": ("attacks/__init__.py", "folder"),
    "namespace package": ("attacks/mine.py", "folder"),
    "module": ("attacks.py", "file"),
}


def run(
    *arguments: str, path: list[Path], cwd: Path = Path(sys.prefix)
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "COLUMNS": "200"}
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def shadow(folder: Path, kind: str) -> tuple[Path, str]:
    """A file or folder that shadows the package `attacks`, and how the message calls it."""
    name, noun = SHADOWING[kind]
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("X = 1\n")
    return (path if noun == "file" else path.parent), noun


def check_message(done: subprocess.CompletedProcess[str], shadower: Path, noun: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert f"the {noun} {shadower} shadows the package 'attacks'" in line
    assert str(package_folder("attacks")) in line
    assert f"rename the {noun} or remove {shadower.parent} from PYTHONPATH" in line
    assert "choose from" not in line


@pytest.mark.parametrize("family", PACKAGES)
def test_the_packages_lie_beside_bench_or_in_it(family: str) -> None:
    package = PACKAGES[family]
    assert package_folder(package) == ROOT.resolve().joinpath(*package.split("."))


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("package", ("list",)),
        ("package", ("run", "--preset", "quick", "--attacks", "fgsm")),
        ("package", ("check", "fgsm")),
        pytest.param(
            "namespace package",
            ("list",),
            marks=pytest.mark.skipif(
                IN_SITE_PACKAGES, reason="the package in site-packages goes before a namespace"
            ),
        ),
        ("module", ("list",)),
    ],
)
def test_what_shadows_a_package_on_pythonpath_is_named(
    tmp_path: Path, kind: str, command: tuple[str, ...]
) -> None:
    shadower, noun = shadow(tmp_path, kind)
    # A checkout that is not installed is found through PYTHONPATH; it hides no namespace package.
    path = [tmp_path] if kind == "namespace package" else [tmp_path, ROOT]
    check_message(run(*command, path=path), shadower, noun)


def test_what_shadows_a_package_in_the_working_directory_is_named(tmp_path: Path) -> None:
    shadower, noun = shadow(tmp_path, "module")
    done = run("list", path=[ROOT], cwd=tmp_path)
    check_message(done, shadower, noun)
    assert done.stderr.strip().endswith("or start the command in another folder")


@pytest.mark.parametrize("kind", SHADOWING)
def test_a_name_that_python_finds_later_does_no_harm(tmp_path: Path, kind: str) -> None:
    shadow(tmp_path, kind)
    done = run("list", path=[ROOT, tmp_path])
    assert done.returncode == 0, done.stderr
    assert "fgsm" in done.stdout


@pytest.mark.parametrize("layout", ["copies", "linked folders", "linked files"])
def test_packages_copied_or_linked_into_one_folder_work(tmp_path: Path, layout: str) -> None:
    """The layout of a wheel: all packages lie beside each other in site-packages."""
    for name in ("bench", *FAMILIES.values()):
        if layout == "linked folders":
            (tmp_path / name).symlink_to(ROOT / name)
            continue
        shutil.copytree(
            ROOT / name,
            tmp_path / name,
            ignore=shutil.ignore_patterns("__pycache__"),
            copy_function=os.symlink if layout == "linked files" else shutil.copy2,
        )
    done = run("list", path=[tmp_path])
    assert done.returncode == 0, done.stderr
    assert "fgsm" in done.stdout


def test_a_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "ROOT", tmp_path)
    with pytest.raises(RequestError, match="'attacks' is not installed: reinstall"):
        package_folder("attacks")
