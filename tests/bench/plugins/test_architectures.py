"""Architectures given as code, from a parameter's text to a part of the identity."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench.contracts import DataInfo
from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.plugins.counted import digest_of_file
from bench.records.changes import changed_code
from bench.registry import CLASSIFIERS
from bench.stages.observation import Observer

CODE = """
from torch import nn
{imports}

number = 3

class Net(nn.Linear):
    def __init__(self):
        super().__init__(4, 2)

class Needy(nn.Linear):
    pass

def net():
    return Net()

def text():
    return "no module"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of code and a file of weights, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("mynet.py").write_text(CODE.format(imports=""))
    torch.save(nn.Linear(4, 2).state_dict(), "net.pth")
    return tmp_path


def configured(arch: str) -> Any:
    return configure(CLASSIFIERS, f"checkpoint:path=net.pth:arch=[{arch}]")


@pytest.mark.parametrize("name", ["Net", "net"])
def test_a_class_or_function_is_called_without_arguments(folder: Path, name: str) -> None:
    found = configured(f"mynet.py:{name}")
    assert found.parameters["arch"] == f"mynet.py:{name}"
    assert isinstance(
        found.plugin.member(found.plugin.arch).build(DataInfo((1, 1, 1), 1)), nn.Linear
    )
    assert configure(CLASSIFIERS, found.resolved).identity == found.identity
    assert str(found.resolved).startswith(f"checkpoint:path=net.pth:arch=[mynet.py:{name}]:")


@pytest.mark.parametrize(
    ("arch", "reason"),
    [
        ("mynet.py:Nett", "has no class or function 'Nett'; did you mean 'Net'"),
        ("mynet.py:number", "has no class or function 'number'"),
        ("other.py:Net", "architecture file 'other.py' does not exist"),
        ("no_such_module:Net", "architecture 'no_such_module' is neither a file nor a module"),
        ("cnn:width", "architecture 'cnn' is neither a file nor a module"),
        ("broken.py:Net", "broken.py cannot be imported: it raised SyntaxError"),
        ("cnnn:width=3", "unknown classifier 'cnnn'"),
        ("mynet.py", "is not a spec"),
    ],
)
def test_another_reference_is_refused_in_a_line(folder: Path, arch: str, reason: str) -> None:
    Path("broken.py").write_text("class Net(")
    with pytest.raises(RequestError, match=reason) as caught:
        configured(arch)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Needy", r"mynet.py:Needy\(\) is called without arguments, and raised TypeError"),
        ("text", r"mynet.py:text\(\) returned str instead of a torch module"),
    ],
)
def test_code_that_makes_no_network_is_an_error_of_the_build(
    folder: Path, name: str, reason: str
) -> None:
    plugin = configured(f"mynet.py:{name}").plugin
    with pytest.raises(ValueError, match=reason):
        plugin.build(DataInfo((1, 1, 1), 2))


def test_a_code_reference_is_no_value_of_another_parameter(folder: Path) -> None:
    with pytest.raises(RequestError, match="is not a spec"):
        configure(CLASSIFIERS, "cnn:adversarial=[mynet.py:Net]:eps=0.1")


def identity_in(
    folder: Path, arch: str = "mynet.py:Net", site: Path | None = None
) -> Mapping[str, Any]:
    """The identity of a checkpoint of that folder, made in a forked process."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        os.chdir(folder)
        sys.path.insert(0, str(site or folder))
        sender.send(json.dumps(configured(arch).identity))

    process = context.Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    result: Mapping[str, Any] = json.loads(receiver.recv())
    return result


def test_the_code_counts_by_content_and_not_by_its_folder(folder: Path) -> None:
    first, other = folder / "first", folder / "other"
    for place in (first, other):
        place.mkdir()
        (place / "helper.py").write_text("x = 1\n")
        (place / "mynet.py").write_text(CODE.format(imports="import helper"))
        (place / "net.pth").write_bytes((folder / "net.pth").read_bytes())

    before = identity_in(first)
    assert identity_in(other) == before
    assert identity_in(folder, f"{other}/mynet.py:Net", site=other) == before
    assert identity_in(other, "mynet:Net") != before  # a module counts by its name
    assert identity_in(other, "mynet.py:net") != before

    (other / "helper.py").write_text("x = 2\n")
    after = identity_in(other)
    assert after != before
    plugins = ({"plugins": {"classifiers": {"mine": found}}} for found in (before, after))
    assert changed_code(*plugins) == ["classifier mine (helper.py)"]
    (other / "mynet.py").write_text(CODE.format(imports="import helper  # edited"))
    assert identity_in(other) not in (before, after)


def test_a_file_that_the_code_reads_while_it_builds_counts(folder: Path) -> None:
    Path("reading.py").write_text(
        "from torch import nn\n\ndef net():\n    open('size.txt')\n    return nn.Linear(4, 2)"
    )
    for text in ("small", "large"):
        Path("size.txt").write_text(text)
        observed = Observer().observed(configured("reading.py:net"), DataInfo((1, 1, 4), 2))
        (read,) = (shown["read"] for shown in observed.identity["members"].values())
        assert digest_of_file(Path("size.txt")) in read
        assert digest_of_file(Path("net.pth")) not in read  # declared


def test_installed_code_counts_by_name() -> None:
    found = configure(CLASSIFIERS, f"checkpoint:path={__file__}:arch=[torchvision.models:resnet18]")
    assert found.identity["parameters"]["arch"] == {
        "name": "torchvision.models:resnet18",
        "version": 1,
        "parameters": {},
    }
