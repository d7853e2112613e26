"""From options to a configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.commands.request import (
    Request,
    Resources,
    budgets,
    check_request,
    configuration,
    requested_plugins,
)
from bench.errors import RequestError
from bench.sweep.config import RunConfig


def test_budgets_may_name_their_attack() -> None:
    assert budgets(["0.1", "cw=1.5", "pgd:norm=l2=2", "0.3", "cw=3"]) == {
        "eps": ("0.1", "0.3"),
        "attack_eps": {"cw": ("1.5", "3"), "pgd:norm=l2": ("2",)},
    }
    assert budgets(["cw=1"]) == {"eps": None, "attack_eps": {"cw": ("1",)}}
    assert budgets(None) == {"eps": None, "attack_eps": None}


def request(
    tmp_path: Path, eps: str | None, attacks: str | None = None, **scalars: str
) -> RunConfig:
    path = tmp_path / "mine.toml"
    path.write_text("eps = [0.05]\n[attack_eps]\nfgsm = [0.2]\npgd = [0.3]\n")
    resources = Resources(device="cpu", data=None, cache=None, out=None)
    return configuration(
        Request({"eps": eps, "attacks": attacks}, scalars, {}, None, path, (), resources)
    )[1]


def test_named_budgets_alone_leave_the_presets_others(tmp_path: Path) -> None:
    config = request(tmp_path, "pgd=0.1,pgd=0.15,fgsm:x=[a,b]=1", "fgsm:x=[a,b],pgd")
    assert config.eps == (0.05,)
    assert config.attack_eps == {"fgsm": (0.2,), "pgd": (0.1, 0.15), "fgsm:x=[a,b]": (1.0,)}
    config = request(tmp_path, "0.1,pgd=0.15")
    assert (config.eps, config.attack_eps) == ((0.1,), {"pgd": (0.15,)})
    assert request(tmp_path, None).attack_eps == {"fgsm": (0.2,), "pgd": (0.3,)}
    assert request(tmp_path, None, convergence="7").convergence == 7


@pytest.mark.parametrize("eps", ["pgd=x", "pgd=", "pgd=-1", "x", "pgd:norm=l2"])
def test_a_budget_that_is_no_number_is_refused(tmp_path: Path, eps: str) -> None:
    with pytest.raises(RequestError, match="--eps = "):
        request(tmp_path, eps)


WITHOUT_TORCH = """
import shlex
import sys

from bench.cli import run_command

for line in sys.stdin.read().splitlines():
    sys.argv = ["bench", *shlex.split(line)]
    assert run_command() == 2, line
    assert "torch" not in sys.modules, line
"""


def test_a_wrong_request_is_answered_without_torch(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("epsilon = 3")
    (tmp_path / "plugins.toml").write_text("plugins = ['absent.py']")
    requests = [
        "run --preset foo",
        "run --config wrong.toml",
        "run --config absent.toml",
        "run --n many",
        "run --eps 8/0",
        "run --eps 0.1,pdg=0.2",
        "run --eps 0.1,0.1000000001",
        "run --pretrained --weights .",
        "run --weights wrong.toml",
        "run --device mps",
        "run --plugin absent.py",
        "run --config plugins.toml",
        "run --out wrong.toml",
        "run --defenses convea",
        "run --attacks pdg:steps=3",
        "run --classifiers cn",
        "run --datasets digit",
        "run --threats gray",
        "run --engines egaer",
        "run --precisions float",
        "latency --preset foo",
        "latency --rounds 0",
        "latency --engines egaer",
        "latency --defenses convea",
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        input="\n".join(requests),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("error: ") == len(done.stderr.splitlines()) == len(requests)


HIDDEN = """
from dataclasses import dataclass

from torch import nn

from bench.contracts import DataInfo, Defense
from bench.registry import register_defense


@dataclass(frozen=True)
class Hidden(Defense):
    'A defense whose registration cannot be read from the source.'

    def build(self, data: DataInfo) -> nn.Module:
        return nn.Identity()


globals()["register_" + "defense"]("hidden_name")(Hidden)
"""


def test_a_plugin_from_outside_is_known_after_its_import(tmp_path: Path) -> None:
    path = tmp_path / "hidden.py"
    path.write_text(HIDDEN)
    resources = Resources(device="cpu", data=None, cache=None, out=None)
    axes = {"defenses": "hidden_name"}
    check_request(Request(axes, {}, {}, None, None, (str(path),), resources))
    with pytest.raises(RequestError, match="unknown defense 'hidden_name'"):
        check_request(Request(axes, {}, {}, None, None, (), resources))


def requested(path: Path, plugins: str, *given: str) -> tuple[str, ...]:
    """The plugins of a configuration file and of `--plugin`."""
    path.write_text(f"plugins = {plugins}\n")
    resources = Resources(device="cpu", data=None, cache=None, out=None)
    request = Request({}, {}, {}, None, path, given, resources)
    check_request(request)
    return requested_plugins(request, configuration(request)[1])


def test_plugins_of_a_file_lie_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugins: Path
) -> None:
    folder = tmp_path / "configs"
    (folder / "sub").mkdir(parents=True)
    for name in ("one.py", "sub/two.py"):
        (folder / name).touch()
    monkeypatch.chdir(folder.parent)
    other = str(plugins / "my_median.py")

    file = Path("configs/my.toml")
    found = requested(file, f"['one.py', './sub/two.py', '{folder / 'one.py'}', 'json']", other)
    assert found == (other, str(folder / "one.py"), str(folder / "sub/two.py"), "json")


def test_plugins_are_no_part_of_a_runs_identity(tmp_path: Path, plugins: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(f"plugins = ['{plugins / 'my_median.py'}']\n")
    resources = Resources(device="cpu", data=None, cache=None, out=None)
    named = configuration(Request({}, {}, {}, None, path, (), resources))[1]
    path.write_text("")
    plain = configuration(Request({}, {}, {}, None, path, (), resources))[1]
    assert named.model_dump(mode="json") == plain.model_dump(mode="json")


@pytest.mark.parametrize(
    ("plugins", "reason"),
    [
        ("['absent.py']", "plugin file '.*absent.py' does not exist"),
        ("['no_such_module']", "'no_such_module' is neither a file nor a module"),
        ("'one.py'", "plugins = 'one.py': .* list"),
        ("[3]", r"plugins\.0 = 3"),
        ("['']", "is neither a file nor a module"),
        ("['/']", "plugin /: it is a folder"),
        (f"['{'x' * 300}.py']", "a name has 303 bytes"),
        ("['~nobody-of-this-name/x.py']", "there is no such home folder"),
    ],
)
def test_a_wrong_plugin_of_a_file_is_refused(tmp_path: Path, plugins: str, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        requested(tmp_path / "my.toml", plugins)


def test_a_run_has_the_plugins_of_its_file(
    bench: Callable[..., Any], tiny: Path, plugins: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "mine.py").write_text(
        (plugins / "my_median.py").read_text().replace('"my_median"', '"beside_the_file"')
    )
    (folder / "my.toml").write_text(f"plugins = ['mine.py']\n{tiny.read_text()}")
    options = ("--defenses", "beside_the_file", "--eps", "0.1", "--no-latency", "--out", "o")
    done = bench("run", "--config", folder / "my.toml", *options)
    assert done.code == 0, done.err
    assert "beside_the_file" in done.out
