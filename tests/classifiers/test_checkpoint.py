"""Classifiers that were trained elsewhere: the network of the file, its images and its classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from bench.conformance import conformance
from bench.contracts import DataInfo
from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.registry import CLASSIFIERS
from bench.stages.datasets import load_dataset
from bench.stages.suitability import check_network

LENET = """
from torch import nn

class LeNet(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 4, 5, stride=2), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(),
            nn.Linear(4 * 144, 10),
        )
"""
RUN = """
defenses = ["none"]
attacks = ["fgsm"]
threats = ["whitebox"]
eps = [0.1]
n = 60
draws = 1
convergence = 10

[latency]
batch_sizes = [1]
warmup = 1
min_calls = 3
min_seconds = 0.001
max_seconds = 0.1
"""


@pytest.fixture
def lenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A LeNet that was trained on the digits, whose file of code is in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("lenet.py").write_text(LENET)
    scope: dict[str, Any] = {}
    exec(LENET, scope)
    torch.manual_seed(0)
    network: nn.Module = scope["LeNet"]()
    train = load_dataset("digits", Path()).train
    assert train is not None
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        cross_entropy(network(train.images), train.labels).backward()
        optimizer.step()
    return network.eval()


def built(parameters: str, info: DataInfo) -> nn.Module:
    return configure(CLASSIFIERS, f"checkpoint:{parameters}").plugin.build(info).eval()


def saved(network: nn.Module, images: Tensor, path: str = "net.pt2") -> str:
    """An exported program in a file."""
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(network.eval(), (images,), dynamic_shapes=shapes), path)
    return path


@pytest.mark.parametrize("kind", ["pth", "safetensors", "torchscript", "exported"])
def test_a_run_gives_the_accuracy_of_the_network(
    bench: Callable[..., Any], lenet: nn.Module, kind: str
) -> None:
    test = load_dataset("digits", Path()).test_images(60)
    accuracy = float((lenet(test.images).argmax(1) == test.labels).float().mean())
    writers: dict[str, Callable[[], object]] = {
        "pth": lambda: torch.save({"model": lenet.state_dict()}, "net"),
        "safetensors": lambda: save_file(lenet.state_dict(), "net"),
        "torchscript": lambda: torch.jit.save(
            torch.jit.trace(lenet, torch.rand(2, 1, 28, 28)), "net"
        ),
        "exported": lambda: saved(lenet, test.images[:2], "net"),
    }
    writers[kind]()
    arch = ":arch=[lenet.py:LeNet]" if kind in ("pth", "safetensors") else ""
    Path("run.toml").write_text(RUN)

    finished = bench(
        "run", "--config", "run.toml", "--classifiers", f"checkpoint:path=net{arch}", "--out", "out"
    )
    assert finished.code == 0, finished.err
    results = pd.read_csv("out/tables/results.csv")
    assert accuracy > 0.5
    assert results["clean_accuracy"].tolist() == pytest.approx([accuracy])
    assert results["robust_accuracy"].max() < accuracy


@pytest.mark.parametrize("kind", ["weights", "script", "program"])
def test_it_conforms(lenet: nn.Module, kind: str) -> None:
    spec = "checkpoint:path=net"
    if kind == "weights":
        torch.save(lenet.state_dict(), "net")
        spec += ":arch=[lenet.py:LeNet]"
    elif kind == "script":
        torch.jit.save(torch.jit.trace(lenet, torch.rand(2, 1, 28, 28)), "net")
    else:
        saved(lenet, torch.rand(2, 1, 28, 28), "net")
    assert [found.reason for found in conformance("classifier", spec) if found.reason] == []


def test_a_registered_classifier_is_an_architecture(lenet: nn.Module) -> None:
    info = DataInfo((1, 28, 28), 10)
    cnn = configure(CLASSIFIERS, "cnn:width=2:hidden=4").plugin.build(info).eval()
    torch.save(cnn.state_dict(), "net.pth")
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(built("path=net.pth:arch=[cnn:width=2:hidden=4]", info)(images), cnn(images))

    few = built(
        "path=net.pth:arch=[cnn:width=2:hidden=4]:outputs=10:classes=[7,1]",
        DataInfo((1, 28, 28), 2),
    )
    assert torch.equal(few(images), cnn(images)[:, [7, 1]])


class Sums(nn.Module):
    """A network whose outputs are linear in the sums of the channels of its images."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.last = nn.Linear(channels, outputs)

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.last(images.flatten(2).sum(2))
        return output


def test_images_are_resized_repeated_and_normalized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = Sums(3, 4)
    saved(network, torch.rand(2, 3, 6, 6))
    images = torch.rand(5, 1, 4, 4)
    module = built(
        "path=net.pt2:size=6:channels=3:mean=[0.1,0.2,0.3]:std=0.5", DataInfo((1, 4, 4), 4)
    )

    resized = interpolate(images, size=(6, 6), mode="bilinear")
    expected = [(resized[:, 0] - mean) / 0.5 for mean in (0.1, 0.2, 0.3)]
    assert torch.allclose(module(images), network(torch.stack(expected, 1)), atol=1e-5)


def test_a_single_logit_is_two_classes_of_the_same_probability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = Sums(1, 1)
    saved(network, torch.rand(2, 1, 4, 4))
    images = torch.rand(5, 1, 4, 4)
    logits = built("path=net.pt2", DataInfo((1, 4, 4), 2))(images)
    assert torch.allclose(logits.softmax(1)[:, 1], network(images).sigmoid()[:, 0], atol=1e-6)

    swapped = built("path=net.pt2:classes=[1,0]", DataInfo((1, 4, 4), 2))(images)
    assert torch.equal(swapped, logits.flip(1))


@pytest.mark.parametrize(
    ("parameters", "shape", "classes", "reason"),
    [
        ("", (1, 28, 28), 3, r"10 outputs, and the data 3 classes; classes=\[...\] names the 3"),
        ("", (1, 28, 28), 11, "has 10 outputs, and the data 11 classes"),
        ("", (3, 28, 28), 10, r"cannot take images of shape \(3, 28, 28\)"),
        ("", (1, 32, 32), 10, r"cannot take images of shape \(1, 32, 32\)"),
        (":channels=1", (3, 28, 28), 10, "channels=1: the images have 3 channels"),
        (":mean=[0.1,0.2]", (1, 28, 28), 10, "mean has 2 numbers, and the images 1 channels"),
        (":classes=[0,1]", (1, 28, 28), 3, "classes names 2 outputs, and the data have 3 classes"),
        (":classes=[0,10]", (1, 28, 28), 2, "names output 10, and the network has the"),
        (":std=0", (1, 28, 28), 10, "parameter std=0: input should be greater than 0"),
        (":mean=dark", (1, 28, 28), 10, "parameter mean=dark: input should be a valid number"),
        (":classes=[-1,2]", (1, 28, 28), 10, "parameter classes=-1,2: input should be greater"),
        (":arch=cnn", (1, 28, 28), 10, r"another architecture: 6 missing \(first 3.weight\)"),
        (":arch=none", (1, 28, 28), 10, "holds weights alone: name their architecture"),
        (":path=no.pth", (1, 28, 28), 10, "cannot read no.pth: No such file"),
        (":path=.", (1, 28, 28), 10, "cannot read .: it is a folder"),
        (":path=lenet.py", (1, 28, 28), 10, "lenet.py is not a network's file"),
    ],
)  # fmt: skip
def test_what_does_not_suit_is_one_line_before_anything_is_computed(
    lenet: nn.Module, parameters: str, shape: tuple[int, int, int], classes: int, reason: str
) -> None:
    torch.save(lenet.state_dict(), "net.pth")
    given = {"path": "net.pth", "arch": "[lenet.py:LeNet]"}
    given.update(part.split("=") for part in [parameters.removeprefix(":")] if part)
    spec = ":".join(["checkpoint", *(f"{name}={value}" for name, value in given.items())])
    with pytest.raises(RequestError, match=reason) as caught:
        check_network(configure(CLASSIFIERS, spec), DataInfo(shape, classes))
    assert str(caught.value).startswith("classifier 'checkpoint")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", ["run", "latency"])
@pytest.mark.parametrize("role", ["classifier", "substitute"])
def test_a_command_with_such_a_network_computes_nothing(
    bench: Callable[..., Any], lenet: nn.Module, session_cache: Path, command: str, role: str
) -> None:
    torch.save(lenet.state_dict(), "net.pth")
    wrong = "checkpoint:path=net.pth:arch=cnn"
    if role == "classifier":
        finished = bench(command, "--classifiers", wrong, "--out", "out")
    elif command == "run":
        threat = f"transfer:substitute=[{wrong}]"
        finished = bench(command, "--threats", threat, "--out", "out")
    else:
        return
    assert finished.code == 2
    (line,) = finished.err.strip().splitlines()
    assert line.startswith(f"error: classifier '{wrong}': net.pth has the weights of another")
    assert not Path("out").exists()


def test_bench_check_takes_a_spec_with_a_path(bench: Callable[..., Any], lenet: nn.Module) -> None:
    torch.save(lenet.state_dict(), "net.pth")
    path = Path("net.pth").absolute()
    finished = bench("check", f"checkpoint:path={path}:arch=[lenet.py:LeNet]")
    assert (finished.code, "all checks passed" in finished.out) == (0, True), finished.out

    wrong = bench("check", f"checkpoint:path={path}:arch=cnn")
    assert wrong.code == 2
    assert "another architecture" in wrong.err


def test_data_without_training_images_are_enough(
    bench: Callable[..., Any], lenet: nn.Module
) -> None:
    torch.save(lenet.state_dict(), "net.pth")
    test = load_dataset("digits", Path()).test_images(40)
    np.savez("data.npz", x_test=test.images.numpy(), y_test=test.labels.numpy())
    Path("run.toml").write_text(RUN.replace("n = 60", "n = 40"))
    finished = bench(
        "run", "--config", "run.toml", "--datasets", "npz:file=data.npz", "--classifiers",
        "checkpoint:path=net.pth:arch=[lenet.py:LeNet]", "--out", "out",
    )  # fmt: skip
    assert finished.code == 0, finished.err


def test_a_changed_file_is_another_network_and_a_moved_one_is_the_same(lenet: nn.Module) -> None:
    torch.save(lenet.state_dict(), "net.pth")
    spec = "checkpoint:path={}:arch=[lenet.py:LeNet]"
    first = configure(CLASSIFIERS, spec.format("net.pth")).identity
    Path("other").mkdir()
    Path("net.pth").rename("other/moved.pth")
    assert configure(CLASSIFIERS, spec.format("other/moved.pth")).identity == first
    torch.save({"net": lenet.state_dict()}, "net.pth")
    assert configure(CLASSIFIERS, spec.format("net.pth")).identity != first
