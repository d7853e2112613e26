"""ConvAE's networks: sizes by hand, no path around the code, and the author's network in plain."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.conformance import conformance
from bench.contracts import DataInfo, NotApplicable
from bench.errors import RequestError
from bench.plugins.configured import configure
from bench.registry import DEFENSES
from defenses.convae import ConvAE

AUTHOR = ConvAE(arch="author")
U = ConvAE(width=4)
WITHOUT_SKIPS = ConvAE(width=4, skips=False)


def built(settings: ConvAE, shape: tuple[int, int, int] = (1, 28, 28)) -> nn.Module:
    torch.manual_seed(0)
    return settings.build(DataInfo(shape, 10)).eval().requires_grad_(False)


def size_of(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(
    "variant", ["loss=logits", "skips=false", "arch=author", "arch=author:loss=logits:through=true"]
)
def test_every_variant_conforms(variant: str) -> None:
    spec = f"convae:width=4:batch_size=8:{variant}"
    assert [finding.reason for finding in conformance("defense", spec) if finding.reason] == []


@pytest.mark.parametrize("skips", [True, False])
def test_the_u_has_the_weights_of_its_sizes(skips: bool) -> None:
    convolutions = [(1, 4), (4, 8), (8, 16), (16, 16)]
    convolutions += [(24, 8), (12, 4)] if skips else [(16, 8), (8, 4)]
    expected = sum(9 * inputs * outputs + outputs for inputs, outputs in [*convolutions, (4, 1)])
    assert size_of(built(U if skips else WITHOUT_SKIPS)) == expected


def with_empty_code(module: nn.Module) -> nn.Module:
    """The module whose last convolution before the code gives zeros, and so does GELU of them."""
    module.get_submodule("latent").register_forward_hook(
        lambda _, __, output: torch.zeros_like(output)
    )
    return module


@pytest.mark.parametrize(("settings", "is_constant"), [(WITHOUT_SKIPS, True), (U, False)])
def test_without_skips_nothing_passes_the_code_by(settings: ConvAE, is_constant: bool) -> None:
    module = with_empty_code(built(replace(settings, noise=0.0))).train().requires_grad_()
    images = torch.rand(2, 1, 28, 28).requires_grad_()
    output = module(images)
    assert torch.equal(output[0], output[1]) == is_constant
    (gradient,) = torch.autograd.grad(output.sum(), images, allow_unused=True)
    assert (gradient is None) == is_constant


def test_without_skips_the_image_still_passes_through_the_code() -> None:
    images = torch.rand(2, 1, 28, 28)
    output = built(WITHOUT_SKIPS).train()(images)
    assert not torch.allclose(output[0], output[1])


def test_the_authors_network_has_the_authors_sizes() -> None:
    """By hand from the class `ConvAutoencoder_GELU` for its images of 1x32x32."""
    encoder = (80, 1_168, 2 * 16, 4_640, 288 * 128 + 128, 128 * 10 + 10)
    decoder = (10 * 128 + 128, 128 * 288 + 288, 4_624, 2 * 16, 1_160, 2 * 8, 73)
    module = built(AUTHOR, (1, 32, 32))
    assert size_of(module) == sum(encoder) + sum(decoder) == 88_667

    maps: list[tuple[int, ...]] = []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(lambda _, __, output: maps.append(tuple(output.shape[1:])))
    module(torch.rand(1, 1, 32, 32))
    down = [(8, 16, 16), (16, 8, 8), (32, 3, 3)]
    assert maps == [*down, (16, 8, 8), (8, 16, 16), (1, 32, 32)]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 9, 9), (1, 15, 17), (3, 33, 30)])
def test_the_authors_network_gives_images_of_any_size(shape: tuple[int, int, int]) -> None:
    images = torch.rand(2, *shape)
    output = built(AUTHOR, shape)(images)
    assert output.shape == images.shape
    assert 0 < float(output.min()) < float(output.max()) < 1


def plain_author(weights: dict[str, Tensor], images: Tensor, noise: Tensor) -> Tensor:
    """The author's forward pass at 1x32x32, layer by layer, with running statistics."""

    def layer(number: int) -> tuple[Tensor, Tensor]:
        return weights[f"{part}.{number}.weight"], weights[f"{part}.{number}.bias"]

    def normalized(maps: Tensor, number: int) -> Tensor:
        mean, variance = (weights[f"{part}.{number}.running_{name}"] for name in ("mean", "var"))
        scale, shift = layer(number)
        scaled = (maps - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        return scaled * scale[:, None, None] + shift[:, None, None]

    def gelu(values: Tensor) -> Tensor:
        return values * 0.5 * (1 + torch.erf(values / 2**0.5))

    part = "encoder"
    maps = gelu(functional.conv2d(images, *layer(0), stride=2, padding=1))
    maps = gelu(normalized(functional.conv2d(maps, *layer(2), stride=2, padding=1), 3))
    maps = gelu(functional.conv2d(maps, *layer(5), stride=2))
    code = functional.linear(gelu(functional.linear(maps.flatten(1), *layer(8))), *layer(10))

    part = "decoder"
    hidden = gelu(functional.linear(code + noise, *layer(0)))
    maps = gelu(functional.linear(hidden, *layer(2))).view(-1, 32, 3, 3)
    enlarge = functional.conv_transpose2d
    maps = gelu(normalized(enlarge(maps, *layer(5), stride=2, output_padding=1), 6))
    maps = enlarge(maps, *layer(8), stride=2, padding=1, output_padding=1)
    maps = enlarge(gelu(normalized(maps, 9)), *layer(11), stride=2, padding=1, output_padding=1)
    return 1 / (1 + torch.exp(-maps))


def test_the_authors_network_is_the_plain_one_with_unit_noise_at_inference() -> None:
    module = built(AUTHOR, (1, 32, 32)).double()
    for name, tensor in module.state_dict().items():
        if "running" in name:
            tensor.uniform_(0.5, 1.5)
    images = torch.rand(3, 1, 32, 32, dtype=torch.float64)
    torch.manual_seed(1)
    output = module(images)
    torch.manual_seed(1)
    noise = torch.randn(3, 10, dtype=torch.float64)
    torch.testing.assert_close(output, plain_author(module.state_dict(), images, noise))
    assert not torch.equal(module(images), output)


def test_only_the_authors_network_is_randomized() -> None:
    author, u = (configure(DEFENSES, spec).plugin for spec in ("convae:arch=author", "convae"))
    assert (author.stochastic, author.independent_draws) == (True, True)
    assert (u.stochastic, u.independent_draws) == (False, False)


def test_images_too_small_for_the_authors_network_are_not_its_case() -> None:
    with pytest.raises(NotApplicable, match=r"8x30 pixels are too small, and 9x9 the smallest"):
        AUTHOR.build(DataInfo((1, 8, 30), 10))


def test_the_authors_network_has_no_skips_to_leave_out() -> None:
    with pytest.raises(RequestError, match=r"parameter skips: .* arch=author has none"):
        configure(DEFENSES, "convae:arch=author:skips=false")
