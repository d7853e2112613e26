"""Networks of RobustBench, with a stand-in for the package that has what is used of it.

`load_model` and `model_zoo.model_dicts` take and hold what those of robustbench 1.1.1 do.
"""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import DataInfo
from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.registry import CLASSIFIERS
from bench.stages.suitability import check_network


class Data(Enum):
    cifar_10 = "cifar10"


class Threat(Enum):
    Linf = "Linf"
    L2 = "L2"


class Means(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3, 10)

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.last(images.mean(dim=(2, 3)))
        return output


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The calls of `load_model` of the stand-in."""
    made: list[tuple[Any, ...]] = []

    def load_model(
        model_name: str, model_dir: Path, *, dataset: str, threat_model: str
    ) -> nn.Module:
        sys.stdout.write("Downloading\n")  # as the package does
        made.append((model_name, Path(model_dir), dataset, threat_model))
        if model_name == "Lost":
            raise OSError("no route to host")
        torch.manual_seed(0)
        return Means()

    zoo = {Data.cifar_10: {Threat.Linf: {"Standard": {}, "Lost": {}}, Threat.L2: {"Other": {}}}}
    package: Any = SimpleNamespace(__spec__=object(), load_model=load_model)
    monkeypatch.setitem(sys.modules, "robustbench", package)
    monkeypatch.setitem(
        sys.modules,
        "robustbench.model_zoo",
        SimpleNamespace(model_dicts=zoo),  # type: ignore[arg-type]
    )
    return made


def test_the_network_of_the_zoo_gets_the_images_as_they_are(
    calls: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = configure(CLASSIFIERS, "robustbench:name=Standard")
    check_network(found, DataInfo((1, 8, 8), 10))
    module = found.plugin.build(DataInfo((3, 8, 8), 10)).eval()

    folder = Path(torch.hub.get_dir()) / "robustbench"
    assert set(calls) == {("Standard", folder, "cifar10", "Linf")}
    assert capsys.readouterr().out == ""
    images = torch.rand(2, 3, 8, 8)
    torch.manual_seed(0)
    assert torch.equal(module(images), Means()(images))


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ("Standart", "no network 'Standart' for cifar10 and Linf; did you mean 'Standard'"),
        ("Other", "no network 'Other' for cifar10 and Linf"),
        ("Standard:threat=L2", "no network 'Standard' for cifar10 and L2"),
        ("Lost", "cannot load 'Lost': no route to host"),
        ("Standard:threat=L1", "parameter threat=L1"),
        ("Standard:classes=[1,2]", "classes names 2 outputs, and the data have 10 classes"),
    ],
)
def test_what_does_not_suit_is_one_line(parameters: str, reason: str) -> None:
    spec = f"robustbench:name={parameters}"
    with pytest.raises(RequestError, match=reason):
        check_network(configure(CLASSIFIERS, spec), DataInfo((3, 8, 8), 10))
