"""Purifiers that were trained elsewhere: the network of the file, its range and its draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.conformance import conformance
from bench.contracts import DataInfo
from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.registry import DEFENSES
from bench.stages.suitability import check_network

INFO = DataInfo((1, 28, 28), 10)
CODE = """
import torch
from torch import nn

class Blur(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 1, 3, padding=1))

class Half(nn.Module):
    def forward(self, images):
        return images[..., ::2]

class Noise(Blur):
    def forward(self, images):
        return super().forward(images) + 0.1 * torch.randn_like(images)
"""


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A convolution with a file of code, whose weights lie in the working folder."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1))
    Path("blur.py").write_text(CODE)
    torch.save(made.state_dict(), "net.pth")
    torch.save({"weight": torch.zeros(1)}, "other.pth")
    return made.eval()


def saved(network: nn.Module, path: str, *, program: bool) -> None:
    images = torch.rand(2, 1, 28, 28)
    if program:
        shapes = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(network, (images,), dynamic_shapes=shapes), path)
    else:
        torch.jit.save(torch.jit.trace(network, images), path)


def plugin(parameters: str) -> Any:
    return configure(DEFENSES, f"purifier:{parameters}").plugin


@pytest.mark.parametrize("kind", ["weights", "script", "program"])
def test_the_networks_output_is_clamped_at_inference_only(network: nn.Module, kind: str) -> None:
    with torch.no_grad():
        network[0].bias.fill_(0.9)  # type: ignore[index]
    torch.save(network.state_dict(), "net.pth")
    if kind != "weights":
        saved(network, "net.pth", program=kind == "program")
    module = plugin("path=net.pth" + ":arch=[blur.py:Blur]" * (kind == "weights")).build(INFO)

    images = torch.rand(4, 1, 28, 28)
    assert network(images).max() > 1
    assert torch.allclose(module.train()(images), network(images), atol=1e-6)
    assert torch.allclose(module.eval()(images), network(images).clamp(0, 1), atol=1e-6)


@pytest.mark.parametrize("spec", ["path=net.pth:arch=[blur.py:Blur]", "path=net.pt2"])
def test_it_conforms(network: nn.Module, spec: str) -> None:
    saved(network, "net.pt2", program=True)
    reasons = [found.reason for found in conformance("defense", f"purifier:{spec}") if found.reason]
    assert reasons == []


def test_images_are_normalized_and_the_output_is_not(network: nn.Module) -> None:
    module = plugin("path=net.pth:arch=[blur.py:Blur]:mean=0.4:std=[0.5]").build(INFO).eval()
    images = torch.rand(2, 1, 28, 28)
    expected = (network((images - 0.4) / 0.5) * 0.5 + 0.4).clamp(0, 1)
    assert torch.allclose(module(images), expected, atol=1e-6)


def test_a_random_network_is_declared(network: nn.Module) -> None:
    spec = "purifier:path=net.pth:arch=[blur.py:Noise]"
    reasons = [found.reason for found in conformance("defense", spec) if found.reason]
    assert any("set stochastic = True" in reason for reason in reasons)
    assert [
        found.reason for found in conformance("defense", f"{spec}:random=true") if found.reason
    ] == []


def test_a_registered_defense_keeps_what_it_offers(network: nn.Module) -> None:
    inner = configure(DEFENSES, "puvae:channels=2:hidden=8:latent=4").plugin
    module: Any = inner.build(INFO).eval()
    torch.save(module.state_dict(), "puvae.pth")
    found = plugin("path=puvae.pth:arch=[puvae:channels=2:hidden=8:latent=4]")
    built = found.build(INFO).eval()

    assert type(built) is type(module)
    assert built.stand_ins().keys() == module.stand_ins().keys()
    assert (found.stochastic, found.independent_draws) == (
        inner.stochastic,
        inner.independent_draws,
    )
    with pytest.raises(ValueError, match="leave mean and std out"):
        plugin("path=puvae.pth:arch=[puvae:channels=2:hidden=8:latent=4]:mean=0.5").build(INFO)


@pytest.mark.parametrize(
    ("parameters", "shape", "reason"),
    [
        ("path=net.pth:arch=[blur.py:Blur]", (3, 28, 28), r"images of shape \(3, 28, 28\)"),
        ("path=half.pt2", (1, 28, 28), r"\(1, 28, 28\) into \(1, 28, 14\)"),
        ("path=net.pth", (1, 28, 28), "holds weights alone"),
        ("path=other.pth:arch=[blur.py:Blur]", (1, 28, 28), "another architecture: 2 missing"),
        ("path=net.pth:arch=[convae:width=2]", (1, 28, 28), "another architecture"),
        ("path=net.pth:arch=[blur.py:Blur]:std=[1,2]", (1, 28, 28), "std has 2 numbers"),
        (
            "path=net.pth:arch=[blur.py:Blur]:std=-1",
            (1, 28, 28),
            "std=-1: input should be greater than 0",
        ),
        ("path=missing.pth", (1, 28, 28), "cannot read missing.pth"),
    ],
)
def test_what_does_not_suit_is_one_line(
    network: nn.Module, parameters: str, shape: tuple[int, int, int], reason: str
) -> None:
    class Half(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images[..., ::2]

    saved(Half(), "half.pt2", program=False)
    with pytest.raises(RequestError, match=reason) as caught:
        check_network(configure(DEFENSES, f"purifier:{parameters}"), DataInfo(shape, 10))
    assert str(caught.value).startswith("defense 'purifier")
    assert "\n" not in str(caught.value)


def test_the_network_that_a_vote_asks_is_checked_too(network: nn.Module) -> None:
    spec = "vote:defense=[purifier:path=other.pth:arch=[blur.py:Blur]]:draws=2"
    with pytest.raises(RequestError, match=r"^defense 'vote:.*another architecture"):
        check_network(configure(DEFENSES, spec), INFO)
