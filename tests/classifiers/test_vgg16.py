"""VGG-16: starting weights, frozen layers, clear messages."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bench.contracts import DataInfo
from bench.plugins.configured import configure
from bench.progress import Silent
from bench.registry import CLASSIFIERS
from bench.stages.pixels import Split
from bench.stages.training import TrainingContext
from classifiers.vgg16 import VGG16

INFO = DataInfo((1, 28, 28), 10)


def context() -> TrainingContext:
    torch.manual_seed(0)
    return TrainingContext(
        title="x",
        data=INFO,
        split=Split.of(torch.rand(8, 1, 28, 28), torch.arange(8)),
        seed="s",
        progress=Silent(),
        max_steps=1,
    )


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_thirteen_convolutions_and_one_logit_a_class(batch_norm: bool) -> None:
    module = VGG16(batch_norm=batch_norm).build(INFO).eval()
    assert len(convolutions(module)) == 13
    assert module(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in module.modules()) == batch_norm


@pytest.mark.usefixtures("light_vgg")
def test_weights_of_a_file_are_the_start_and_frozen_ones_stay(tmp_path: Path) -> None:
    start = VGG16().build(INFO).get_submodule("features").state_dict()
    path = tmp_path / "vgg.safetensors"
    save_file({f"features.{name}": weight for name, weight in start.items()}, path)
    settings = VGG16(weights=str(path), frozen=10, batch_size=8, epochs=1)
    module = settings.build(INFO).train()
    settings.fit(module, context())
    layers = convolutions(module)
    loaded = [weight for name, weight in start.items() if name.endswith("weight")]
    same = [torch.equal(layer.weight, weight) for layer, weight in zip(layers, loaded, strict=True)]
    assert same == [True] * 10 + [False] * 3


@pytest.mark.usefixtures("light_vgg")
def test_imagenet_weights_that_cannot_be_had_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from urllib.error import URLError

    def refuse(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    settings = VGG16(weights="imagenet")
    with pytest.raises(
        OSError,
        match=r"ImageNet weights cannot be downloaded.*put vgg16-.*\.pth into .*weights=none",
    ):
        settings.fit(settings.build(INFO), context())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frozen": 14}, "there are 13"),
        ({"size": 28}, "at least 32"),
        ({"dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_impossible_parameters_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VGG16(**changes)  # type: ignore[arg-type]


def test_no_mixed_precision_is_the_default_network() -> None:
    assert (
        configure(CLASSIFIERS, "vgg16:autocast=false").identity
        == configure(CLASSIFIERS, "vgg16").identity
    )
    assert (
        configure(CLASSIFIERS, "vgg16:autocast=true").identity
        != configure(CLASSIFIERS, "vgg16").identity
    )


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.usefixtures("light_vgg")
def test_mixed_precision_is_for_training_alone(autocast: bool) -> None:
    seen: list[torch.dtype] = []
    plugin = VGG16(epochs=1, batch_size=4, autocast=autocast)
    module = plugin.build(INFO).train()
    last = module.get_submodule("head")[-1]  # type: ignore[index]
    last.register_forward_hook(
        lambda layer, _, output: seen.append(output.dtype) if layer.training else None
    )
    plugin.fit(module, context())
    assert set(seen) == {torch.bfloat16 if autocast else torch.float32}
    assert {weight.dtype for weight in module.parameters()} == {torch.float32}
    assert module.eval()(torch.rand(2, *INFO.shape)).dtype == torch.float32
