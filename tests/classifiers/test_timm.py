"""Networks of timm, with a stand-in for the package that has the functions that are called.

`create_model`, `is_model`, `list_models` and `data.resolve_model_data_config` take and return what
those of timm 1.0 do.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.conformance import conformance
from bench.contracts import DataInfo
from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.registry import CLASSIFIERS
from bench.stages.suitability import check_network


class Pooled(nn.Module):
    """A network that pools its images, as any size of them allows."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3, classes)
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        output: Tensor = self.fc(images.mean(dim=(2, 3)))
        return output


def create_model(name: str, pretrained: bool = False, num_classes: int = 20) -> nn.Module:
    if name != "tiny.of_test":
        raise RuntimeError("Invalid pretrained tag")
    torch.manual_seed(0)
    network = Pooled(num_classes)
    if pretrained:
        nn.init.ones_(network.fc.weight)
    return network


MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in, found like an installed package."""
    config = {"input_size": (3, 8, 8), "mean": MEAN, "std": STD, "interpolation": "bicubic"}
    package: Any = SimpleNamespace(
        __spec__=object(),
        create_model=create_model,
        is_model=lambda name: name == "tiny",
        list_models=lambda: ["tiny", "large"],
        data=SimpleNamespace(resolve_model_data_config=lambda network: config),
    )
    monkeypatch.setitem(sys.modules, "timm", package)


def configured(parameters: str) -> Any:
    return configure(CLASSIFIERS, f"timm:name={parameters}")


@pytest.mark.usefixtures("timm")
def test_images_are_those_of_timms_configuration() -> None:
    chosen = "[" + ",".join(map(str, range(10))) + "]"
    module: Any = configured(f"tiny.of_test:classes={chosen}").plugin.build(
        DataInfo((1, 16, 16), 10)
    )
    images = torch.full((2, 1, 16, 16), 0.6)
    logits = module.eval()(images)

    (seen,) = module.network.seen
    expected = (0.6 - torch.tensor(MEAN)) / torch.tensor(STD)
    assert seen.shape == (2, 3, 8, 8)
    assert torch.allclose(seen.mean(dim=(2, 3)), expected.expand(2, 3), atol=1e-5)
    assert (module.network.fc.weight == 1).all()  # those of the hub
    assert torch.equal(logits, module.network(seen)[:, :10])
    assert configured("tiny.of_test:size=4").plugin.build(DataInfo((1, 4, 4), 20)).size == 4


@pytest.mark.usefixtures("timm")
def test_a_file_of_weights_takes_the_place_of_the_hub(tmp_path: Path) -> None:
    network = create_model("tiny.of_test", num_classes=10)
    path = tmp_path / "net.pth"
    torch.save({"state_dict": network.state_dict()}, path)
    module = configured(f"tiny.of_test:weights={path}").plugin.build(DataInfo((1, 8, 8), 10))
    assert torch.equal(module.network.fc.weight, network.fc.weight)

    spec = f"timm:name=tiny.of_test:weights={path}"
    assert [found.reason for found in conformance("classifier", spec) if found.reason] == []
    (digest,) = configure(CLASSIFIERS, spec).identity["files"]
    assert configure(CLASSIFIERS, spec).identity["parameters"]["weights"] == f"sha256-{digest}"


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ("tyny.of_test", "timm has no network 'tyny'; did you mean 'tiny'"),
        ("tiny.of_nobody", "timm cannot load 'tiny.of_nobody': Invalid pretrained tag"),
        ("tiny.of_test", "20 outputs, and the data 10 classes; classes="),
        ("tiny.of_test:classes=[1,2]", "classes names 2 outputs, and the data have 10 classes"),
        ("tiny.of_test:outputs=3", "parameter outputs: weights of the hub"),
    ],
)
def test_what_does_not_suit_is_one_line(parameters: str, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        check_network(configured(parameters), DataInfo((1, 8, 8), 10))


@pytest.mark.parametrize("name", ["timm", "robustbench"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(RequestError, match=rf"pip install 'purification-bench\[{name}\]'"):
        check_network(configure(CLASSIFIERS, f"{name}:name=x"), DataInfo((3, 32, 32), 10))
